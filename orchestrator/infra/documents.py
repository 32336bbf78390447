"""Cut documents into passages: one per section, with the headings above it. Pure but for PDF's library.

Passages are verbatim: what is quoted from them can be found in the file.
"""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import yaml

from orchestrator.headings import Section, sections

SUFFIXES = frozenset({".md", ".txt", ".rst", ".html", ".htm", ".csv", ".json", ".yaml", ".yml", ".pdf"})
CHUNK_CHARS = 1_800  # longer sections are cut at paragraphs
MOST_PAGES = 1_000
MOST_CHARS = 5_000_000


class Unreadable(Exception):
    """The file cannot be read as what its name says."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document."""

    title: str  # "Approvals › Who may decide"
    url: str  # "approvals.md#who-may-decide"
    text: str


def chunks(name: str, content: bytes) -> list[Chunk]:
    """Cut a document.

    Args:
        name: its path in the folder; the suffix tells the format.

    Raises:
        Unreadable: binary, or broken.
    """
    suffix = "." + name.rpartition(".")[2].lower()
    if suffix == ".pdf":
        cut = list(_pdf(content))
    else:
        text = _decode(content)
        if suffix == ".md":
            cut = sections(text)
        elif suffix == ".rst":
            cut = _rst(text)
        elif suffix in (".html", ".htm"):
            cut = _html(text)
        elif suffix == ".csv":
            cut = _csv(text)
        elif suffix in (".json", ".yaml", ".yml"):
            cut = _tree(text, suffix)
        else:
            cut = [((), text)]
    made: list[Chunk] = []
    for headings, text in cut:
        path = headings or (name.rpartition("/")[2].rpartition(".")[0],)
        anchor = f"#{slug(headings[-1])}" if headings else ""
        made += [Chunk(" › ".join(path), name + anchor, piece) for piece in _pieces(text)]
    return made


def slug(heading: str) -> str:
    """A heading as it is linked to."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.casefold()).strip())


def _decode(content: bytes) -> str:
    if b"\0" in content[:65_536] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("it is binary")
    for encoding in ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            continue
    raise Unreadable("it is not text in UTF-8")


def _pieces(text: str) -> Iterator[str]:
    """Cut at blank lines, else at lines, else at spaces, else anywhere, so that no piece is long."""
    rest = text.strip("\n")
    while len(rest) > CHUNK_CHARS:
        cuts = (rest.rfind(separator, CHUNK_CHARS // 4, CHUNK_CHARS) for separator in ("\n\n", "\n", " "))
        cut = next((c for c in cuts if c > 0), CHUNK_CHARS)
        if piece := rest[:cut].strip():
            yield piece
        rest = rest[cut:]
    if piece := rest.strip():
        yield piece


def _rst(text: str) -> list[Section]:
    rows = text.split("\n")
    marks: list[str] = []  # levels in order of appearance
    out: list[str] = []
    i = 0
    while i < len(rows):
        under = rows[i + 1] if i + 1 < len(rows) else ""
        if (
            rows[i].strip()
            and re.fullmatch(r"([=\-~^\"'`#*+.:_])\1{2,}\s*", under)
            and len(under) >= len(rows[i].rstrip())
        ):
            mark = under[0]
            if mark not in marks:
                marks.append(mark)
            out.append("#" * min(marks.index(mark) + 1, 6) + " " + rows[i].strip())
            i += 2
        else:
            # A line that Markdown would take for a heading is none here.
            out.append(" " + rows[i] if re.match(r"#{1,6}\s", rows[i]) else rows[i])
            i += 1
    return sections("\n".join(out))


class _Reader(html.parser.HTMLParser):
    """HTML as lines of text with `#` headings; scripts and styles are left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "noscript", "template"):
            self._hidden += 1
        elif re.fullmatch(r"h[1-6]", tag):
            self.out.append("\n\n" + "#" * int(tag[1]) + " ")
        elif tag in ("p", "div", "section", "article", "ul", "ol", "table", "pre", "blockquote"):
            self.out.append("\n\n")
        elif tag in ("br", "li", "tr"):
            self.out.append("\n" + ("- " if tag == "li" else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "noscript", "template"):
            self._hidden = max(0, self._hidden - 1)
        elif re.fullmatch(r"h[1-6]|p|div", tag):
            self.out.append("\n\n")
        elif tag in ("td", "th"):
            self.out.append(" | ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.out.append(re.sub(r"\s+", " ", data))


def _html(text: str) -> list[Section]:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return sections(re.sub(r"\n{3,}", "\n\n", "".join(reader.out)))


def _csv(text: str) -> list[Section]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise Unreadable(f"it is no CSV: {error}") from error
    if not rows:
        return []
    head, *rest = rows
    lines = [
        "; ".join(f"{h.strip()}: {cell.strip()}" for h, cell in zip(head, row, strict=False) if cell.strip())
        for row in rest
    ]
    return [((), "\n".join(lines) if rest else "; ".join(head))]


def _tree(text: str, suffix: str) -> list[Section]:
    try:
        value: Any = json.loads(text) if suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise Unreadable(f"it is no {suffix[1:].upper()}: {' '.join(str(error).split())[:200]}") from error
    lines: list[str] = []
    todo: list[tuple[str, Any]] = [("", value)]
    size = 0
    while todo and size < MOST_CHARS:  # YAML aliases can unfold into far more than the file
        path, item = todo.pop()
        if isinstance(item, dict):
            pairs = [(f"{path}.{k}" if path else str(k), v) for k, v in cast(dict[Any, Any], item).items()]
            todo += reversed(pairs)
        elif isinstance(item, list):
            todo += reversed([(f"{path}[{i}]", v) for i, v in enumerate(cast(list[Any], item))])
        else:
            lines.append(f"{path}: {item}" if path else str(item))
            size += len(lines[-1])
    return [((), "\n".join(lines))]


def _pdf(content: bytes) -> Iterator[Section]:
    import logging

    import pypdf

    # It warns of each flaw of a file that it mends by itself.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            reader.decrypt("")  # many need no password to be read; the others fail below
        size = 0
        for number, page in enumerate(reader.pages, start=1):
            text = page.extract_text()
            size += len(text)
            yield (f"page {number}",), text
            if number >= MOST_PAGES or size > MOST_CHARS:
                return
    except Exception as error:  # pypdf raises whatever a broken file makes it trip over
        raise Unreadable(f"it is no readable PDF ({type(error).__name__})") from error
