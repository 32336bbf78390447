"""What a store tells of the work since some place in the log, and of what is there now: for metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from orchestrator.events import Usage


class StepDone(NamedTuple):
    """How an attempt of an agent ended."""

    agent: str
    kind: str  # of its problem; "": it ended well
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What happened behind a place in the log, and what is now."""

    place: int  # the log's end when it was looked at, over all runs; ask behind it the next time
    created: int  # runs
    ended: Mapping[str, int]  # runs, by status
    steps: Sequence[StepDone]
    retried: Mapping[str, int]  # model calls that failed and were made again, by HTTP status; "": no answer
    usage: Mapping[str, Usage]  # by "provider:model"
    unfinished: Mapping[str, int]  # runs now, by status
    waiting: int  # questions that wait for people
    unshown: int  # runs that the outbox has to look at


class Measures(Protocol):
    """What metrics are made of."""

    async def log_end(self) -> int:
        """The place behind everything that is in the log now, over all runs."""
        ...

    async def measured(self, *, after: int) -> Measured:
        """What happened behind a place, at most 50,000 events of it; the rest comes the next time."""
        ...
