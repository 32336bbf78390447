"""Extracts: which piece of a passage or file is quoted, and how well it fits the question. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from orchestrator.agents.rules_text import blocks, items, overlap, sentences, stems, words
from orchestrator.events import Json
from orchestrator.headings import sections
from orchestrator.ports import StepInput

QUOTE_CHARS = 700
PART = 0.6  # of a longer question's keywords a passage must have
_MARKDOWN = (".md", ".markdown", ".mdown")
_OF_FILES = stems("file files attached attachment document documents note notes summary summaries text")


@dataclass(frozen=True, slots=True)
class Extract:
    """A piece of a passage that fits the question."""

    title: str
    url: str
    quote: str  # verbatim
    fit: float
    whole: str  # the passage or section it was cut from
    said: str = ""  # how it is put where the quote alone would not be understood: a row without its head


def wants_summary(step: StepInput) -> bool:
    """The turn is about its attached files as a whole."""
    if not any(file.text for file in step.turn.files):
        return False
    asked = re.search(
        r"\b(summar\w*|tl;?dr|(main|key) points|overview|what is in|(read|look at) (this|the|these|my))\b",
        step.turn.text,
        re.IGNORECASE,
    )
    return bool(asked) or not stems(step.turn.text) - _OF_FILES


def covers(own: frozenset[str], wanted: frozenset[str], text: str) -> bool:
    """A passage speaks of the question: of all of a short one, of most of a longer one."""
    has = stems(text)
    least = len(own) if len(own) <= 2 else math.ceil(PART * len(own))
    return bool(own) and len(own & has) >= least and (own == wanted or bool(wanted & has))


def nearest(own: frozenset[str], title: str, text: str) -> bool:
    """A passage shares half of the question, and its title says so too: worth showing, not an answer."""
    return len(own) > 1 and overlap(own, f"{title} {text}") >= 0.5 and overlap(own, title) > 0


def from_passage(
    passage: Json,
    wanted: frozenset[str],
    place: int,
    *,
    narrow: bool = False,
    asks: frozenset[str] = frozenset(),
) -> Extract:
    """An extract of a passage that the search gave at this place.

    Args:
        narrow: only the list item that is about what is wanted, where there is one.
        asks: question words, such as "who"; a heading that has one answers just that.
    """
    title, url, text = (str(passage.get(k, "")) for k in ("title", "url", "text"))
    page, *below = title.split(" › ")
    heading = below[-1] if below else page
    on_page, in_heading = overlap(wanted, page), overlap(wanted, heading)
    # Short passages rank high in a search, since their words are dense; what is said at length says more.
    substance = 0.3 * min(len(text), 450) / 450
    exact = in_heading * len(wanted) / max(len(stems(heading)), 1)
    if (
        on_page == 1.0 and not narrow
    ):  # the page is about just this: its introduction first, then its main sections
        fit = 2.6 + (0.8 if not below else 0.1 * exact) + 1.3 * substance
    else:
        rank = 1 / (1 + place * 0.15)
        fit = overlap(wanted, f"{title} {text}") + 0.7 * in_heading + 0.3 * on_page
        fit += 0.25 * overlap(wanted, text) + 0.4 * rank + 0.5 * substance + 0.8 * min(exact, 1.0)
    fit += 0.8 if asks & set(words(heading)) else 0.0
    quote, said = _quote(text, wanted, narrow=narrow, rows=not wanted <= stems(title))
    if text.lstrip().startswith("|") or said:
        fit -= 0.3  # prose explains, a row of a table names
    elif narrow and quote != text.strip():
        fit += 0.3
    return Extract(title, url, quote, fit, text, said)


def from_file(name: str, text: str, own: frozenset[str], *, whole: bool) -> list[Extract]:
    """Extracts of an attached file: of all of it, or of what fits the question; headings are no passages."""
    text = text[:200_000].replace("\r\n", "\n")
    if name.lower().endswith(_MARKDOWN):
        cut = [(" › ".join(path), body.strip()) for path, body in sections(text)]
    else:
        cut = [("", block.text) for block in blocks(text)]
    pieces = [(heading, body) for heading, body in cut if body]
    often: dict[str, int] = {}  # what occurs often in a file matters in it
    for heading, body in pieces:
        for s in stems(f"{heading} {body}"):
            often[s] = often.get(s, 0) + 1
    top = frozenset(sorted(often, key=lambda s: (-often[s], s))[:12])
    asked = own - _OF_FILES
    found: list[tuple[float, int, Extract]] = []
    for place, (heading, body) in enumerate(pieces):
        everything = f"{heading} {body}"
        if not whole and not covers(asked, asked, everything):
            continue
        score = 2 * overlap(asked, everything) + overlap(top, everything) + (0.2 if place == 0 else 0)
        title = f"Attached file {name}" + (f" › {heading}" if heading else "")
        quote, said = _quote(body, asked | top if whole else asked)
        # A file that a person attached is meant: what fits in it comes before what the folder has.
        found.append((score, -place, Extract(title, f"attachment:{name}", quote, 0.0, body, said)))
    best = sorted(found, key=lambda f: f[:2], reverse=True)[: 5 if whole else 3]
    if whole:
        best.sort(key=lambda f: -f[1])
    return [
        Extract(e.title, e.url, e.quote, 4.0 - n * 0.1, e.whole, e.said) for n, (_, _, e) in enumerate(best)
    ]


def claim(extract: Extract) -> str:
    """An extract as a claim: without headings, otherwise its own words."""
    return re.sub(r"(?m)^#{1,6}\s+", "", extract.said or extract.quote).strip()


def _quote(text: str, wanted: frozenset[str], *, narrow: bool = False, rows: bool = True) -> tuple[str, str]:
    """What is quoted of a passage, verbatim, and how it is said where that differs."""
    pieces = blocks(text)
    if wanted and pieces:
        scores = [overlap(wanted, p.text) for p in pieces]
        tables = [p for p, s in zip(pieces, scores, strict=True) if p.kind == "table" and s == max(scores)]
        prose = [s for p, s in zip(pieces, scores, strict=True) if p.kind != "table"]
        if (
            rows
            and tables
            and max(scores) > max(prose, default=0.0)
            and (row := _row(tables[0].text, wanted))
        ):
            return row
        if narrow:
            for piece in pieces:
                if piece.kind == "list" and (item := _item(piece.text, wanted)):
                    return item, ""
    return _window(text, wanted), ""


def _row(table: str, wanted: frozenset[str]) -> tuple[str, str] | None:
    """The row of a table that fits best, and the same as a sentence with the table's head."""
    head, *rows = [line for line in table.split("\n") if line.strip().startswith("|")]
    rows = [r for r in rows if not re.fullmatch(r"[\s|:-]+", r)]
    if len(rows) < 4:
        return None
    best = max(rows, key=lambda r: overlap(wanted, r))
    if sum(overlap(wanted, r) == overlap(wanted, best) for r in rows) > 2:
        return None  # it is about the table, not about a row
    names, cells = ([c.strip() for c in re.split(r"(?<!\\)\|", r.strip().strip("|"))] for r in (head, best))
    said = "; ".join(f"{name}: {cell}" for name, cell in zip(names, cells, strict=False) if cell)
    return (best.strip(), f"{said}.") if overlap(wanted, best) > 0 else None


def _item(text: str, wanted: frozenset[str]) -> str:
    """The item of a list that starts with what is wanted, verbatim without its mark."""
    for match in re.finditer(r"(?m)^\s*(?:[-*+]|\d+[.)])\s+(.+(?:\n(?!\s*(?:[-*+]|\d+[.)])\s).+)*)", text):
        if wanted <= stems(" ".join(words(match[1])[:4])):
            return match[1].strip()
    return ""


def _window(text: str, wanted: frozenset[str]) -> str:
    """The best run of blocks of a passage, verbatim; a list keeps the line that introduces it."""
    pieces = blocks(text)
    if sum(len(p.text) for p in pieces) <= QUOTE_CHARS:
        return text.strip()
    best = max(range(len(pieces)), key=lambda n: (overlap(wanted, pieces[n].text), -n))
    first = best
    if pieces[best].kind in ("list", "code", "table") and best > 0 and pieces[best - 1].kind == "prose":
        first = best - 1
    last, size = best, sum(len(p.text) for p in pieces[first : best + 1])
    while last + 1 < len(pieces) and size + len(pieces[last + 1].text) <= QUOTE_CHARS:
        last += 1
        size += len(pieces[last].text)
    start = text.find(pieces[first].text)
    end = text.find(pieces[last].text, start) + len(pieces[last].text)
    window = text[start:end].strip()
    return window if len(window) <= 2 * QUOTE_CHARS else _part(window, wanted)


def _part(text: str, wanted: frozenset[str]) -> str:
    """The best sentence or line of something long, with what follows it, verbatim."""
    pieces = items(text) or [s for s in sentences(text) if s in text] or text.split("\n")
    best = max(pieces, key=lambda s: overlap(wanted, s))
    start = max(text.find(best[:60]), 0)
    return text[start : start + QUOTE_CHARS].rsplit(" ", 1)[0].strip()
