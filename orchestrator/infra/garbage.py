"""How often Python looks for garbage in cycles. The shipped settings cost a fifth of the engine's time."""

from __future__ import annotations

import gc

ALLOCATIONS = 100_000  # between two looks at what is young; Python's own setting is 700


def seldom() -> None:
    """Look for garbage less often. Called when a program starts: a tenth of that time went into looking.

    Almost nothing here is garbage in cycles, so memory does not grow by it.
    """
    gc.set_threshold(ALLOCATIONS, *gc.get_threshold()[1:])


def settle() -> None:
    """The same, and spare what is there now, which stays anyway. Called once, when a program is up."""
    seldom()
    gc.freeze()
