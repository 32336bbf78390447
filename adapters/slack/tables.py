"""What in a Markdown text Slack shows in its own way: tables, and code too long to read inline. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from markdown_it import MarkdownIt
from markdown_it.rules_block.table import escapedSplit
from markdown_it.token import Token

MAX_ROWS = 100
MAX_COLUMNS = 20
MAX_CELLS = 8_000  # characters in all cells; Slack names 10,000 for its tables
LONG_CODE = 3_000  # characters; more is attached as a file

_BLOCKS = MarkdownIt("commonmark").enable("table")
_BLOCKS.core.ruler.enableOnly(["normalize", "block"])  # where blocks begin and end
_INLINE = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")
_DIVIDER_CELL = re.compile(r"(:?)-+(:?)")
_EXTENSIONS = {
    "bash": "sh", "c": "c", "c++": "cpp", "cpp": "cpp", "csharp": "cs", "css": "css", "diff": "diff",
    "dockerfile": "dockerfile", "go": "go", "html": "html", "java": "java", "javascript": "js", "js": "js",
    "json": "json", "kotlin": "kt", "markdown": "md", "md": "md", "php": "php", "py": "py", "python": "py",
    "ruby": "rb", "rust": "rs", "sh": "sh", "shell": "sh", "sql": "sql", "swift": "swift", "toml": "toml",
    "ts": "ts", "typescript": "ts", "xml": "xml", "yaml": "yaml", "yml": "yml",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring lines of a Markdown text that are drawn in one way. Runs joined are the text."""

    kind: Literal["prose", "fence", "table", "code"]  # code: a fence that is too long to show
    text: str
    content: str = ""  # code: what is between the fences
    language: str = ""  # code: as it was written behind the fence
    table: dict[str, Any] | None = None  # table: the block


def runs(text: str) -> list[Run]:
    """Divide a Markdown text by how Slack can show it."""
    lines = text.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + lines[-1:]
    found: list[Run] = []
    done = 0
    for token in _BLOCKS.parse(text):
        if token.level != 0 or token.map is None or token.type not in ("fence", "table_open"):
            continue
        start, end = token.map
        run = _run(token, "".join(lines[start:end]))
        if run is None or start < done:
            continue
        if start > done:
            found.append(Run("prose", "".join(lines[done:start])))
        found.append(run)
        done = end
    rest = "".join(lines[done:])
    return [*found, Run("prose", rest)] if rest else found


def file_name(run: Run, number: int) -> str:
    """A name for code that becomes a file: `code-1.py`."""
    return f"code-{number}.{_EXTENSIONS.get(run.language.lower(), 'txt')}"


def _run(token: Token, text: str) -> Run | None:
    if token.type == "fence":
        if len(token.content) <= LONG_CODE:
            return Run("fence", text)
        words = token.info.split()
        return Run("code", text, content=token.content, language=words[0][:40] if words else "")
    table = table_block(text)
    return Run("table", text, table=table) if table else None


def table_block(text: str) -> dict[str, Any] | None:
    """A Markdown table as Slack's table block; None where it is too large for one."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2 or len(lines) - 1 > MAX_ROWS:
        return None
    rows = [_cells(line) for line in (lines[0], *lines[2:])]
    width = max(len(row) for row in rows)
    if width > MAX_COLUMNS or sum(len(cell) for row in rows for cell in row) > MAX_CELLS:
        return None
    return {
        "type": "table",
        # Slack refuses empty cells.
        "rows": [
            [{"type": "raw_text", "text": cell or " "} for cell in (*row, *[""] * (width - len(row)))]
            for row in rows
        ],
        "column_settings": [{"align": align, "is_wrapped": True} for align in _alignments(lines[1])],
    }


def _cells(line: str) -> list[str]:
    return [_cell_text(cell.strip()) for cell in _split(line)]


def _split(line: str) -> list[str]:
    cells = escapedSplit(line.strip())
    if cells and not cells[0].strip():
        cells = cells[1:]
    if cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells or [""]


def _alignments(divider: str) -> list[str]:
    found: list[str] = []
    for cell in _split(divider)[:MAX_COLUMNS]:
        match = _DIVIDER_CELL.fullmatch(cell.strip())
        left, right = (bool(match[1]), bool(match[2])) if match else (False, False)
        found.append("center" if left and right else "right" if right else "left")
    return found


def _cell_text(cell: str) -> str:
    """A cell's words without Markdown's marks; addresses of links are kept."""
    if not re.search(r"[\\`*_\[\]~&<!]", cell):
        return cell
    words: list[str] = []
    addresses: list[str] = []
    for token in _INLINE.parseInline(cell)[0].children or []:
        if token.type in ("text", "code_inline"):
            words.append(token.content)
        elif token.type == "image":
            words.append(f"{token.content} ({token.attrGet('src')})")
        elif token.type == "link_open":
            addresses.append(str(token.attrGet("href") or ""))
            words.append("")
        elif token.type == "link_close":
            address = addresses.pop()
            if address and address not in words[-1]:
                words.append(f" ({address})")
    return "".join(words)
