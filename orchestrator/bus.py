"""News between the parts of one process: which run went on, what an agent does now. May be lost."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from orchestrator.events import RunId
from orchestrator.ports import News

Listener = Callable[[News], None]


class Bus:
    """Calls every listener at once; listeners only set events or put into queues."""

    def __init__(self) -> None:
        self._all: list[Listener] = []
        self._of: defaultdict[RunId, list[Listener]] = defaultdict(list)

    def publish(self, news: News) -> None:
        """Tell the listeners of all runs and those of this one."""
        for listener in (*self._all, *self._of.get(news.run_id, ())):
            listener(news)

    def listen(self, listener: Listener, run_id: RunId | None = None) -> Callable[[], None]:
        """Call `listener` at news (of one run, or of all). Returns what ends it."""
        listeners = self._all if run_id is None else self._of[run_id]
        listeners.append(listener)

        def end() -> None:
            if listener in listeners:
                listeners.remove(listener)
            if run_id is not None and not listeners and self._of.get(run_id) is listeners:
                self._of.pop(run_id, None)

        return end


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
