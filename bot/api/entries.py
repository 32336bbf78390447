"""What followers of a run's log are given: its events with their frames, what agents do, and the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bot.api.sse import frame
from bot.api.views import moment
from orchestrator.events import RunEvent, RunStatus

AT_ONCE: Final = 64 * 1024  # bytes that are sent in one piece, roughly


class Doing(NamedTuple):
    """What a node does now. Not a fact: it may be lost."""

    node: str
    text: str


class Ended(NamedTuple):
    """The run has ended, and everything was given."""

    status: RunStatus


class Entry:
    """An event with its frame, which is made when first asked for."""

    __slots__ = ("_frame", "event")

    def __init__(self, event: RunEvent) -> None:
        self.event = event
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The event as it is sent in streams."""
        if self._frame is None:
            event = self.event
            content = {
                "run_id": event.run_id,
                "seq": event.seq,
                "at": moment(event.at),
                "type": event.body.type,
                "body": event.body.model_dump(mode="json"),
            }
            self._frame = frame(content, event=event.body.type, id=event.seq)
        return self._frame


def pieces(entries: Sequence[Entry]) -> Iterator[bytes]:
    """Frames together, as much as is sent at once."""
    together: list[bytes] = []
    size = 0
    for entry in entries:
        together.append(entry.frame)
        size += len(entry.frame)
        if size > AT_ONCE:
            yield b"".join(together)
            together, size = [], 0
    if together:
        yield b"".join(together)
