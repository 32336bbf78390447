"""One line of what `quartet check` reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# note: nothing is wrong, but something is to be known or done elsewhere
# refused: the value of a setting that a following row, which is wrong, explains
State = Literal["ok", "wrong", "refused", "unused", "note"]


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One line of the report."""

    name: str
    value: str  # secrets masked
    origin: str  # "environment", ".env:3", "config/quartet.yaml:12", "default", or a file
    state: State = "ok"
    note: str = ""  # what is wrong and how to mend it; or what happens instead
