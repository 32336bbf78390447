"""Small work that nobody waits for, such as a note or a sign that work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import structlog

log = structlog.get_logger(__name__)


class Later:
    """Holds it until it is done or stopped."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def do(self, work: Awaitable[object]) -> None:
        """Begin it; what goes wrong is logged."""
        task = asyncio.ensure_future(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End all of it. May be called twice."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _quietly(self, work: Awaitable[object]) -> None:
        try:
            await work
        except Exception as error:
            log.info(
                "Something small did not work.",
                action="chat.small",
                error=f"{type(error).__name__}: {error}"[:200],
            )
