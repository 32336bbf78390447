"""What commands answer with: a line of text, or a card of kind "reply". Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from adapters.contract import Card, CardId, CardPart, Command, Receipt
from orchestrator.ports import RunRow

TITLE_LENGTH = 70


def yes(text: str, run_id: str = "") -> Receipt:
    """It was done."""
    return Receipt(accepted=True, text=text, run_id=run_id)


def no(text: str, run_id: str = "") -> Receipt:
    """It was not done, and why."""
    return Receipt(accepted=False, text=text, run_id=run_id)


def card(command: Command, title: str, parts: Sequence[CardPart]) -> Receipt:
    """An answer with parts."""
    shown = Card(id=CardId(f"reply:{command.key}"), kind="reply", title=title, parts=tuple(parts))
    return Receipt(accepted=True, card=shown)


def short(text: str, length: int) -> str:
    """At most `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def listed(names: Iterable[str]) -> str:
    """Names with commas."""
    return ", ".join(names)


def title(row: RunRow) -> str:
    """A run as people know it: what was asked."""
    return f"“{short(' '.join(row.text.split()), TITLE_LENGTH)}”"


def sentence(text: str) -> str:
    """Begun with a capital letter, unless it begins with the name of something, as of a setting."""
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    return f"{text[0].upper()}{text[1:]}" if first in ("there", "run", "the", "with") else text


def fenced(lines: Sequence[str], language: str) -> str:
    """Lines as a block of code that nothing in them can end."""
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join((f"{fence}{language}", *lines, fence))
