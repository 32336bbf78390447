"""Tables, which Discord does not know: columns of a code block where they are narrow, else lists. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from adapters.discord.text import JOINER, readable
from adapters.splitting import Piece as Cut

WIDEST = 60  # columns of letters that fit on a screen, and nearly on a phone
LONGEST_HEAD = 400  # characters of the head of a table that is repeated where it is cut
GAP = "  "


def width(text: str) -> int:
    """Columns that a text takes: wide letters and signs take two, marks on letters none."""
    found = 0
    for character in text:
        if unicodedata.category(character) in ("Mn", "Me", "Cf"):
            continue
        found += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return found


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], aligns: Sequence[str]) -> list[Cut] | None:
    """A table as a code block that can be cut after each line; None: it is too wide.

    Args:
        header: plain words, as are the cells of the rows; rows may be longer or shorter than the header.
        aligns: "left", "right" or "center", by column.
    """
    table = [[_cell(cell) for cell in row] for row in (header, *rows)]
    count = max(len(row) for row in table)
    table = [[*row, *[""] * (count - len(row))] for row in table]
    widths = [max(1, *(width(row[at]) for row in table)) for at in range(count)]
    if sum(widths) + len(GAP) * (count - 1) > WIDEST:
        return None
    sides = [*aligns, *["left"] * count][:count]
    lines = [_line(row, widths, sides) for row in table]
    head = f"{lines[0]}\n{GAP.join('─' * one for one in widths)}\n"
    again = f"```\n{head}" if len(head) <= LONGEST_HEAD else "```\n"
    bodies = [f"{line}\n" for line in lines[1:]]
    if not bodies:
        return [Cut("", f"```\n{head}```", "")]
    bodies[0] = f"```\n{head}{bodies[0]}"
    bodies[-1] += "```"
    last = len(bodies) - 1
    return [Cut(again if n else "", body, "```" if n < last else "") for n, body in enumerate(bodies)]


def _cell(text: str) -> str:
    words = " ".join(readable(text).split())
    return words.replace("``", f"`{JOINER}`").replace("``", f"`{JOINER}`")


def _line(row: Sequence[str], widths: Sequence[int], sides: Sequence[str]) -> str:
    cells: list[str] = []
    for cell, wide, side in zip(row, widths, sides, strict=True):
        room = wide - width(cell)
        left = room if side == "right" else room // 2 if side == "center" else 0
        cells.append(" " * left + cell + " " * (room - left))
    return GAP.join(cells).rstrip() or JOINER
