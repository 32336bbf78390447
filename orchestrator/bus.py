"""News between the parts of one process: which run went on, what an agent does now. May be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from orchestrator.events import RunId
from orchestrator.ports import News

Listener = Callable[[News], None]


class Bus:
    """Calls every listener at once; listeners only set events or put into queues."""

    def __init__(self) -> None:
        # Made anew at each change, so that one may end while listeners are called.
        self._all: tuple[Listener, ...] = ()
        self._of: dict[RunId, tuple[Listener, ...]] = {}

    def publish(self, news: News) -> None:
        """Tell the listeners of all runs and those of this one."""
        for listener in self._all:
            listener(news)
        for listener in self._of.get(news.run_id, ()):
            listener(news)

    def anybody(self, run_id: RunId, *, besides: int = 0) -> bool:
        """Whether news of a run have more than so many listeners."""
        return bool(self._all) or len(self._of.get(run_id, ())) > besides

    def listen(self, listener: Listener, run_id: RunId | None = None) -> Callable[[], None]:
        """Call `listener` at news (of one run, or of all). Returns what ends it."""
        if run_id is None:
            self._all = (*self._all, listener)
        else:
            self._of[run_id] = (*self._of.get(run_id, ()), listener)

        def end() -> None:
            if run_id is None:
                self._all = _without(self._all, listener)
            elif left := _without(self._of.get(run_id, ()), listener):
                self._of[run_id] = left
            else:
                self._of.pop(run_id, None)

        return end


def _without(listeners: tuple[Listener, ...], gone: Listener) -> tuple[Listener, ...]:
    """Less one of it: it may listen twice."""
    if gone not in listeners:
        return listeners
    i = listeners.index(gone)
    return (*listeners[:i], *listeners[i + 1 :])


class Flag:
    """An event that a listener sets and a waiter clears, with the newest number seen."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self, news: News | None = None) -> None:
        """Something happened."""
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until set, or for `timeout_s` seconds; clears. True when it was set."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
