"""Text that fits: cleaned of what breaks pictures, measured by the font's own widths, wrapped and clipped.

Measured with the font that PNGs are drawn with (Roboto). Where a page shows an SVG in another
font, `textLength` in the SVG keeps the measured width.
"""

from __future__ import annotations

import struct
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

Weight = Literal["Regular", "Medium"]
LONGEST = 400  # characters of a text that are looked at: more is never shown
WIDE = 1.0  # em of a character that the font lacks and that is drawn wide (CJK, emoji)
UNKNOWN = 0.62  # em of any other that it lacks
JOINER = "\u200d"  # holds emoji together


def font_file(weight: Weight) -> Path:
    """Where the font lies."""
    return Path(str(files("font_roboto") / "files" / f"Roboto-{weight}.ttf"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text and its width in pixels."""

    text: str
    width: float


@cache
def advances(weight: Weight) -> dict[int, float]:
    """How wide each character of the font is, in em. Read from the font's tables `cmap` and `hmtx`."""
    raw = font_file(weight).read_bytes()
    tables: dict[bytes, int] = {}
    for i in range(struct.unpack_from(">H", raw, 4)[0]):
        tag, _, offset, _ = struct.unpack_from(">4sIII", raw, 12 + 16 * i)
        tables[tag] = offset
    em: int = struct.unpack_from(">H", raw, tables[b"head"] + 18)[0]
    metrics: int = struct.unpack_from(">H", raw, tables[b"hhea"] + 34)[0]
    widths = [struct.unpack_from(">H", raw, tables[b"hmtx"] + 4 * i)[0] for i in range(metrics)]
    return {
        code: widths[min(glyph, metrics - 1)] / em for code, glyph in _glyphs(raw, tables[b"cmap"]).items()
    }


def _glyphs(raw: bytes, cmap: int) -> dict[int, int]:
    """Character → glyph, from the table's part in format 4 (all that is in the basic plane)."""
    for i in range(struct.unpack_from(">H", raw, cmap + 2)[0]):
        start = cmap + struct.unpack_from(">HHI", raw, cmap + 4 + 8 * i)[2]
        if struct.unpack_from(">H", raw, start)[0] == 4:
            break
    else:
        raise ValueError("the font has no character map of format 4; use the Roboto of font-roboto")
    count: int = struct.unpack_from(">H", raw, start + 6)[0] // 2
    lists = [
        struct.unpack_from(f">{count}H", raw, start + 14 + 2 * count * k + (2 if k else 0)) for k in range(4)
    ]
    found: dict[int, int] = {}
    for i, (last, first, delta, reach) in enumerate(zip(*lists, strict=True)):
        for code in range(first, min(last, 0xFFFE) + 1):
            glyph = code
            if reach:
                at = start + 16 + 6 * count + 2 * i + reach + 2 * (code - first)
                glyph = struct.unpack_from(">H", raw, at)[0]
            if glyph or not reach:
                found[code] = (glyph + delta) & 0xFFFF
    return {code: glyph for code, glyph in found.items() if glyph}


def clean(text: str) -> str:
    """One line without what XML forbids, what turns the direction of writing, and what is not seen."""
    kept: list[str] = []
    marks = 0  # on the letter before: a pile of them would reach over other boxes
    for letter in text[: LONGEST * 4]:
        kind = unicodedata.category(letter)
        if kind in ("Mn", "Me"):
            marks += 1
            if marks > 2:
                continue
        else:
            marks = 0
        if letter.isspace() or kind in ("Cc", "Zl", "Zp"):
            kept.append(" ")
        elif letter == JOINER or kind not in ("Cf", "Cs", "Co", "Cn"):
            kept.append(letter)
    return " ".join("".join(kept).split())[:LONGEST]


def drawable(text: str, weight: Weight = "Regular") -> str:
    """The text without the characters that the font lacks, for pictures that have no other font."""
    known = advances(weight)
    return " ".join("".join(c for c in unicodedata.normalize("NFC", text) if ord(c) in known).split())


def width(text: str, size: float, weight: Weight = "Regular") -> float:
    """In pixels, without kerning."""
    known = advances(weight)
    total = 0.0
    for letter in text:
        em = known.get(ord(letter))
        if em is None:
            em = _guess(letter)
        total += em
    return total * size


@cache
def _guess(letter: str) -> float:
    if letter == JOINER or unicodedata.category(letter) in ("Mn", "Me"):
        return 0.0
    wide = unicodedata.east_asian_width(letter) in ("W", "F") or ord(letter) > 0xFFFF
    return WIDE if wide else UNKNOWN


def wrap(text: str, size: float, most: float, lines: int, weight: Weight = "Regular") -> list[Line]:
    """At most `lines` lines of at most `most` pixels; what is left over ends in "…".

    Args:
        text: already clean.
    """
    done: list[str] = []
    now = ""
    words = text.split(" ")
    while words and len(done) < lines:
        word = words.pop(0)
        longer = f"{now} {word}" if now else word
        if width(longer, size, weight) <= most:
            now = longer
        elif now:
            done.append(now)
            now, words = "", [word, *words]
        else:
            part = _start_of(word, size, most, weight)
            done.append(part)
            words = [word[len(part) :], *words]
    if now and len(done) < lines:
        done.append(now)
        now = ""
    if (now or words) and done:
        last = done[-1]
        while last and width(last + "…", size, weight) > most:
            last = last[:-1]
        done[-1] = last.rstrip() + "…"
    return [Line(line, width(line, size, weight)) for line in done]


def _start_of(word: str, size: float, most: float, weight: Weight) -> str:
    """As much of the word as fits: up to an underscore, hyphen or the like if that is not far."""
    end = 1
    while end < len(word) and width(word[: end + 1], size, weight) <= most:
        end += 1
    for cut in range(end, end // 2, -1):
        if word[cut - 1] in "_-/.,:":
            return word[:cut]
    return word[:end]
