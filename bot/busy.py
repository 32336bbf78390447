"""Say in each conversation that work goes on, now and then: best effort, in nobody's way.

Platforms show such a line for a minute or two and count every call, so it is said anew only after
`EVERY_S`. Our own screens count nothing: there it follows the work.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from adapters.contract import ChatAdapter, ConversationRef
from orchestrator.events import RunId

log = structlog.get_logger(__name__)

EVERY_S: Final = 45.0  # between two calls for one run
OWN_S: Final = 0.5  # the same on our own screens
OWN_SCREENS: Final = frozenset({"web", "terminal"})


@dataclass(slots=True)
class _Line:
    """What is to be said about one run."""

    wanted: str
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Busy:
    """The lines of all runs.

    Args:
        every_s: seconds between two calls for one run.
    """

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._lines: dict[RunId, _Line] = {}

    def show(self, adapter: ChatAdapter, ref: ConversationRef, run_id: RunId, text: str) -> None:
        """What goes on in a run now; "" when nothing does. Returns at once."""
        line = self._lines.get(run_id)
        if line is not None:
            if line.wanted != text:
                line.wanted = text
                line.changed.set()
        elif text:
            line = self._lines[run_id] = _Line(text)
            line.task = asyncio.create_task(self._say(adapter, ref, run_id, line), name=f"busy:{run_id}")

    async def close(self) -> None:
        """Say nothing more."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _say(self, adapter: ChatAdapter, ref: ConversationRef, run_id: RunId, line: _Line) -> None:
        """Say what is wanted, again in time, until nothing is."""
        own = adapter.platform in OWN_SCREENS
        try:
            while True:
                text = line.wanted
                line.changed.clear()
                await adapter.busy(ref, text)
                if not text and not line.wanted:
                    return
                await _rest(line, OWN_S if own else self._every_s)
                while own and line.wanted == text:  # there it stays until it is changed
                    line.changed.clear()
                    await line.changed.wait()
        except Exception:
            log.warning("what goes on was not shown", action="busy_failed", run_id=run_id, exc_info=True)
        finally:
            del self._lines[run_id]


async def _rest(line: _Line, seconds: float) -> None:
    """Wait so long, or until the work is over."""
    until = asyncio.get_running_loop().time() + seconds
    try:
        async with asyncio.timeout_at(until):
            while line.wanted:
                await line.changed.wait()
                line.changed.clear()
    except TimeoutError:
        return
