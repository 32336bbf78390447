"""Untrusted CommonMark as Discord shows it: blocks, lists, quotations, code and tables. Pure.

Discord's Markdown is another one, so a text is read as CommonMark and written anew. Headings are small ones,
small print there is none: both are what our own labels look like. Where the reading would lose words (deeper
nesting than the reader goes), the text is shown as it was written.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.rules_block.table import escapedSplit
from markdown_it.token import Token

from adapters.discord import inline
from adapters.discord.inline import Atom
from adapters.discord.pieces import merged
from adapters.discord.tables import columns
from adapters.discord.text import JOINER, is_seen, one_line, readable, units
from adapters.splitting import Piece as Cut
from adapters.splitting import split_pieces

LONG_CODE = 3_000  # characters; more is attached as a file
ENOUGH = 20_000  # characters of running text: more than all messages of a card take
_CODE_PIECE = 900
_BLOCKS = MarkdownIt("commonmark", {"html": False}).enable("table").disable("reference")
_BLOCKS.core.ruler.enableOnly(["normalize", "block"])
_LANGUAGE = re.compile(r"[A-Za-z0-9_+\-.#]{1,20}")
_WORD = re.compile(r"[^\W_]+")
_LINE = "⎯" * 12
_EXTENSIONS = {
    "bash": "sh", "c": "c", "c++": "cpp", "cpp": "cpp", "csharp": "cs", "css": "css", "diff": "diff",
    "dockerfile": "dockerfile", "go": "go", "html": "html", "java": "java", "javascript": "js", "js": "js",
    "json": "json", "kotlin": "kt", "markdown": "md", "md": "md", "php": "php", "py": "py", "python": "py",
    "ruby": "rb", "rust": "rs", "sh": "sh", "shell": "sh", "sql": "sql", "swift": "swift", "toml": "toml",
    "ts": "ts", "typescript": "ts", "xml": "xml", "yaml": "yaml", "yml": "yml",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LongCode:
    """Code that is too long to read in a conversation."""

    content: str
    language: str

    @property
    def extension(self) -> str:
        """For the name of its file."""
        return _EXTENSIONS.get(self.language.lower(), "txt")


def markdown(text: str) -> str:
    """The whole text as Discord's Markdown, of any length."""
    return merged([part for part in blocks(text, long_code=False) if isinstance(part, Cut)])


def blocks(text: str, *, long_code: bool = True) -> list[Cut | LongCode]:
    """The text in stretches that may each end a message, and long code where it stands.

    Args:
        long_code: leave out code that is longer than `LONG_CODE`; False: show it too.
    """
    text = readable(text)
    try:
        found = _Writer(text, long_code=long_code).written()
    except RecursionError:
        found = None
    return found if found is not None and _says_all(text, found) else list(as_written(text))


def as_written(text: str) -> list[Cut]:
    """A text with all its marks, nothing of it read."""
    return inline.cuts([Atom(unit) for unit in units(text)])


def code(content: str, language: str = "", lead: str = "") -> list[Cut]:
    """A code block that can be cut; nothing in it closes it."""
    shown = readable(content)
    while "```" in shown:
        shown = shown.replace("```", f"``{JOINER}`")
    if not shown.strip() or shown.startswith("\n"):
        shown = f"{JOINER}{shown}"
    if not shown.endswith("\n"):
        shown += "\n"
    first, *rest = split_pieces(f"```{language}\n{shown}```", _CODE_PIECE)
    return [Cut(first.opening, f"{lead}{first.body}", first.closing), *rest]


@dataclass(slots=True)
class _List:
    number: int | None  # None: with points
    marker: str = ""  # that waits for its item's first words


@dataclass(slots=True)
class _Writer:
    """Walks over the blocks of a text and writes them down."""

    text: str
    long_code: bool
    found: list[Cut | LongCode] = field(default_factory=list["Cut | LongCode"])
    lists: list[_List] = field(default_factory=list[_List])
    quotes: int = 0
    gap: str = ""  # what stands before the next block
    said: int = 0  # characters of paragraphs
    lines: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.text.split("\n")

    def written(self) -> list[Cut | LongCode]:
        """All of it."""
        tokens = _BLOCKS.parse(self.text)
        at = 0
        while at < len(tokens):
            token = tokens[at]
            match token.type:
                case "blockquote_open":
                    self._leave_marker()
                    self.quotes += 1
                case "blockquote_close":
                    self.quotes -= 1
                    self._space()
                case "bullet_list_open":
                    self._leave_marker()
                    self.lists.append(_List(None))
                case "ordered_list_open":
                    self._leave_marker()
                    self.lists.append(_List(0))
                case "bullet_list_close" | "ordered_list_close":
                    self.lists.pop()
                    self._space()
                case "list_item_open":
                    self.lists[-1].marker = "- " if self.lists[-1].number is None else f"{token.info}. "
                case "list_item_close":
                    self._leave_marker()
                case "heading_open":
                    at += 1
                    self._heading(tokens[at].content, token.tag)
                case "inline":
                    self._paragraph(tokens[at].content)
                case "fence" | "code_block":
                    self._code(token)
                case "hr":
                    self._say([Atom(_LINE)])
                case "table_open":
                    end = next(n for n in range(at, len(tokens)) if tokens[n].type == "table_close")
                    self._table(tokens[at:end])
                    at = end
                case _:
                    pass
            at += 1
        return self.found

    # ── blocks ───────────────────────────────────────────────────────────────────────────

    def _paragraph(self, content: str) -> None:
        if self.said > ENOUGH:  # it will not be shown, so it is not worth the time to read it
            found = [Atom(unit) for unit in units(content)]
        else:
            found = inline.atoms(content, self._line_start())
        self.said += len(content)
        self._say(found)

    def _heading(self, content: str, tag: str) -> None:
        found = inline.atoms(content.replace("\n", " "))
        if tag in ("h1", "h2") and not self.lists and not self.quotes:
            self._say(found, "### ")
        else:
            self._say([Atom(atom.text, ("**", *(m for m in atom.marks if m != "**"))) for atom in found])
        self.gap = "\n"

    def _code(self, token: Token) -> None:
        self._leave_marker()
        first, _, rest = token.info.strip().partition(" ")
        language = first if _LANGUAGE.fullmatch(first) else ""
        about = rest if language else token.info.strip()
        if about.strip():  # what stands behind a language is nowhere else
            self._say([Atom(unit) for unit in units(one_line(about))])
        if self.long_code and len(token.content) > LONG_CODE:
            self.found.append(LongCode(token.content, language))
        else:
            self.found += code(token.content, language, "\n" if self.found else "")
        self.gap = "\n"

    def _table(self, tokens: list[Token]) -> None:
        self._leave_marker()
        start, end = tokens[0].map or (0, 0)
        lines = self.lines[start + 2 : end]
        header = [token.content for token in tokens if token.type == "inline"]
        aligns = [
            str(token.attrGet("style") or "").removeprefix("text-align:") or "left"
            for token in tokens
            if token.type == "th_open"
        ]
        header = header[: len(aligns)]
        rows = [_cells(line) for line in lines if line.strip(" \t>")]
        plain = [[inline.words(cell) for cell in row] for row in (header, *rows)]
        block = columns(plain[0], plain[1:], aligns)
        if block is not None:
            lead = "\n" if self.found else ""
            self.found += [Cut(block[0].opening, lead + block[0].body, block[0].closing), *block[1:]]
            self.gap = "\n"
            return
        if not rows:
            self._say([Atom(unit) for unit in units(" · ".join(plain[0]))])
        for row in rows:
            self._row(header, row)
        self.gap = "\n\n"

    def _row(self, header: list[str], row: list[str]) -> None:
        """A row of a table that is too wide: a list of what stands under each head."""
        first = True
        for at, cell in enumerate(row):
            if not cell.strip():
                continue
            head = inline.words(header[at]).strip() if at < len(header) else ""
            said = [Atom(unit, ("**",)) for unit in units(f"{head}:")] + [Atom(" ")] if head else []
            self._say([*said, *inline.atoms(cell)], "- " if first else "  - ")
            first = False
            self.gap = "\n"

    # ── lines ────────────────────────────────────────────────────────────────────────────

    def _say(self, found: list[Atom], lead: str = "") -> None:
        quote = "> " if self.quotes else ""
        marker = self.lists[-1].marker if self.lists else ""
        indent = "  " * (min(len(self.lists), 6) - (1 if marker else 0)) if self.lists else ""
        for one in self.lists[:-1]:
            one.marker = ""
        if self.lists:
            self.lists[-1].marker = ""
        gap = self.gap if self.found else ""
        if quote and gap == "\n\n":
            gap = f"\n{quote}\n" if self.gap_in_quote else gap
        self.found += inline.cuts(found, f"{gap}{quote}{indent}{marker}{lead}", quote)
        self.gap = "\n" if self.lists else "\n\n"

    @property
    def gap_in_quote(self) -> bool:
        """Whether what was said last stands in the same quotation."""
        last = self.found[-1] if self.found else None
        return isinstance(last, Cut) and last.body.lstrip("\n").startswith("> ")

    def _line_start(self) -> str:
        """What continues a line: the quotation's mark and the item's indentation."""
        return ("> " if self.quotes else "") + "  " * min(len(self.lists), 6)

    def _leave_marker(self) -> None:
        """An item that begins with what cannot stand behind its marker, or with nothing."""
        if self.lists and self.lists[-1].marker:
            self._say([Atom(JOINER)])

    def _space(self) -> None:
        if not self.lists:
            self.gap = "\n\n"


def _cells(line: str) -> list[str]:
    """The cells of a line of a table, also those that have no head."""
    cells = escapedSplit(line.strip(" \t>"))
    if cells and not cells[0].strip():
        cells = cells[1:]
    if cells and not cells[-1].strip():
        cells = cells[:-1]
    return [cell.strip() for cell in cells] or [""]


def _says_all(text: str, found: list[Cut | LongCode]) -> bool:
    """Whether every word of the text is in what was found."""
    said = "".join(
        part.body if isinstance(part, Cut) else f"\n{part.language} {part.content}\n" for part in found
    )
    said = re.sub(r"\\(?=[^\w\s])", "", said).replace(JOINER, "")
    wanted = set(_WORD.findall(html.unescape(text)))
    return wanted <= set(_WORD.findall(said)) and (is_seen(said) or not is_seen(text))
