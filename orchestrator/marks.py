"""What callers over HTTP did with runs of theirs, which the log does not say: hidden, heard so far."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from orchestrator.events import RunId


class Mark(NamedTuple):
    """What was done with one run."""

    hidden: bool = False  # not in lists any more
    heard: int = 0  # lines of its log that a socket was sent


class Marks(Protocol):
    """Marks by run."""

    async def mark(self, run_id: RunId) -> Mark:
        """Of one run; of an unknown one what holds when nothing was done."""
        ...

    async def hide(self, run_id: RunId) -> None:
        """Leave it out of `Views.entered`. The log keeps it."""
        ...

    async def heard(self, run_id: RunId, lines: int) -> None:
        """So many lines were sent; a lower number than before changes nothing."""
        ...
