"""One paragraph of untrusted CommonMark in Discord's words: emphasis, code, links, and text between. Pure.

A paragraph becomes atoms: words with the marks that they stand in. So it can be cut after any atom: what is
open is closed there and opened again behind the cut, and half a link or half an escape never leaves us.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

from adapters.discord.text import (
    JOINER,
    is_seen,
    may_be_label,
    neutral,
    readable,
    size,
    units,
    web_address,
)
from adapters.splitting import Piece as Cut
from adapters.splitting import split_pieces

FINE = 700  # characters of a stretch that is not cut further
_SLICE = 4_000  # characters that are read at once: hostile text takes long to read
_MARKS = {"strong": "**", "em": "*", "s": "~~"}


class _Reader(MarkdownIt):
    """Addresses stay as they were written; what is a web address, and how it is shown, is ours to say."""

    def normalizeLink(self, url: str) -> str:
        return url

    def normalizeLinkText(self, link: str) -> str:
        return link


_INLINE = _Reader("commonmark", {"html": False}).enable("strikethrough")


@dataclass(frozen=True, slots=True)
class Atom:
    """Words between whose end and the next a text may be cut."""

    text: str  # neutral, or a whole link or piece of code
    marks: tuple[str, ...] = ()


def read(text: str) -> list[Token]:
    """The tokens of one paragraph."""
    found: list[Token] = []
    slices = [piece.body for piece in split_pieces(text, _SLICE)] if len(text) > _SLICE else [text]
    for part in slices:
        found += _INLINE.parseInline(part)[0].children or []
    return found


def atoms(text: str, line_start: str = "") -> list[Atom]:
    """A paragraph's atoms. `line_start` stands behind each of its line breaks."""
    return list(_atoms(read(text), line_start))


def words(text: str) -> str:
    """A paragraph's words without marks, for columns; addresses of links are kept."""
    if not re.search(r"[\\`*_\[\]~&<!]", text):
        return text
    return "".join(_words(read(text)))


def cuts(found: Sequence[Atom], lead: str = "", opening: str = "") -> list[Cut]:
    """Atoms as text that can be cut.

    Args:
        found: the atoms; what they stand in is opened and closed.
        lead: stands in front.
        opening: stands in front of what begins a message.
    """
    pieces: list[Cut] = []
    body, opened, start = lead, (), ""
    for atom in found:
        between = _between(opened, atom.marks)
        if not between and body.endswith("`") and atom.text.startswith("`"):
            between = JOINER  # they would be read as one longer mark
        if size(body) + size(atom.text) > FINE and body != lead:
            pieces.append(Cut(start, body, _closing(opened)))
            start, body = opening + "".join(opened), ""
        body += between + atom.text
        opened = atom.marks
    return [*pieces, Cut(start, body + _closing(opened), "")]


def _between(opened: tuple[str, ...], marks: tuple[str, ...]) -> str:
    same = 0
    while same < min(len(opened), len(marks)) and opened[same] == marks[same]:
        same += 1
    closing, opening = _closing(opened[same:]), "".join(marks[same:])
    # Two neighbours would be read as one longer mark.
    return f"{closing}{JOINER if closing and opening else ''}{opening}"


def _closing(marks: Iterable[str]) -> str:
    return "".join(reversed(list(marks)))


def _atoms(tokens: Sequence[Token], line_start: str) -> Iterator[Atom]:
    marks: list[str] = []
    text = ""
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.type in ("text", "text_special"):  # neighbours are one text: a mention may lie across
            text += token.content
            at += 1
            continue
        yield from _text(text, marks)
        text = ""
        kind, _, side = token.type.rpartition("_")
        if kind in _MARKS:
            mark = _MARKS[kind]
            if side == "open":
                marks.append(mark)
            elif mark in marks:
                marks.remove(mark)
        elif token.type == "softbreak":  # where lines were wrapped: Discord would break them there
            yield Atom(" ", tuple(marks))
        elif token.type == "hardbreak":
            yield Atom(f"\n{line_start}", tuple(marks))
        elif token.type == "code_inline":
            yield from _code(token.content, marks)
        elif token.type == "image":
            yield from _link(token.content, str(token.attrGet("src") or ""), _title(token), marks, [])
        elif token.type == "link_open":
            end = next(n for n in range(at, len(tokens)) if tokens[n].type == "link_close")
            inner = tokens[at + 1 : end]
            label = "".join(_words(inner))
            yield from _link(label, str(token.attrGet("href") or ""), _title(token), marks, inner)
            at = end
        else:  # nothing of it may be lost
            yield from _text(token.content, marks)
        at += 1
    yield from _text(text, marks)


def _text(text: str, marks: Sequence[str]) -> Iterator[Atom]:
    for unit in units(text):
        yield Atom(unit, tuple(marks))


def _code(content: str, marks: Sequence[str]) -> Iterator[Atom]:
    content = readable(content)
    # Discord looks for the end of emphasis in code too.
    outside = () if re.search(r"\*|~~", content) else tuple(marks)
    for number, part in enumerate(re.findall(r".{1,500}", content, re.DOTALL)):
        shown = part
        while "``" in shown:  # three of them would begin a block
            shown = shown.replace("``", f"`{JOINER}`")
        fence = "``" if "`" in shown else "`"
        if shown.startswith("`") or shown.endswith("`"):
            shown = f" {shown} "
        if not shown.strip():
            shown += JOINER
        yield Atom(f"{JOINER if number else ''}{fence}{shown}{fence}", outside)


def _link(label: str, url: str, title: str, marks: Sequence[str], inner: Sequence[Token]) -> Iterator[Atom]:
    """A link by its name where the name does not pretend; else the name, and where it leads."""
    shown, url = " ".join(readable(label).split()), readable(url)
    address = web_address(url)
    if address is not None and may_be_label(shown):
        yield Atom(f"[{neutral(shown)}](<{address}>)", tuple(marks))
    elif shown in (url, url.removeprefix("mailto:")) or not is_seen(shown):
        yield from _text(url if address else (shown or url), marks)
    else:
        yield from _atoms(inner, "") if inner else _text(label, marks)
        yield Atom(" ", tuple(marks))
        yield from [Atom(f"(<{address}>)", tuple(marks))] if address else _text(f"({url})", marks)
    if title:
        yield from _text(f" ({title})", marks)


def _title(token: Token) -> str:
    return str(token.attrGet("title") or "").strip()


def _address(token: Token, name: str) -> str:
    return f"{token.attrGet(name) or ''} {_title(token)}".strip()


def _words(tokens: Iterable[Token]) -> Iterator[str]:
    addresses: list[str] = []
    said = ""
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            said += " "
            yield " "
        elif token.type == "link_open":
            addresses.append(_address(token, "href"))
            said = ""
        elif token.type == "link_close":
            address = addresses.pop() if addresses else ""
            if address and address not in said:
                yield f" ({address})"
        elif token.type == "image":
            yield f"{token.content} ({_address(token, 'src')})"
        elif token.content:
            said += token.content
            yield token.content
