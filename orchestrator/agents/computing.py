"""Where agents that compute do their work, while everybody else goes on.

The rules engine computes for milliseconds on end. On the server's loop calls, streams and clicks
would wait for it; in a thread they would wait for Python's lock, which is handed over every 5 ms.
So a server gives this work to a process of its own, which yields to the server where processors are few.
"""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import structlog
from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from orchestrator.errors import AgentFailed

T = TypeVar("T")
NICE: Final = 10
log = structlog.get_logger(__name__)


class Compute(Protocol):
    """Calls a function somewhere else."""

    async def __call__(self, work: Callable[..., T], *given: object) -> T:
        """Its result, or what it raises; `work`, its arguments and its result can be pickled."""
        ...


async def in_thread(work: Callable[..., T], *given: object) -> T:
    """For a process that serves one person."""
    return await asyncio.to_thread(work, *given)


class OwnProcess:
    """One process for all computing agents, in the order in which they ask.

    It is started with the first work, and again after it died. Whoever is cancelled does not wait for the
    end of the work; it is done to its end, and nobody hears of it.
    """

    def __init__(self) -> None:
        self._limiter: CapacityLimiter | None = None
        self._under_way: set[asyncio.Task[Any]] = set()

    async def __call__(self, work: Callable[..., T], *given: object) -> T:
        """See `Compute`.

        Raises:
            AgentFailed: the process died twice over this work.
        """
        # In a task of its own: a start that is cancelled half way leaves its process behind.
        task = asyncio.create_task(self._worked(work, given), name="compute")
        self._under_way.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, if nobody waits for it any more

    async def _worked(self, work: Callable[..., T], given: tuple[object, ...]) -> T:
        if self._limiter is None:
            self._limiter = CapacityLimiter(1)
        limiter = self._limiter
        try:
            return await to_process.run_sync(_politely, work, given, limiter=limiter)
        except BrokenWorkerProcess:  # ended by the system, perhaps for want of memory: not by the work
            log.warning("the process of the rules engine died; it is started again", action="compute_died")
        try:
            return await to_process.run_sync(_politely, work, given, limiter=limiter)
        except BrokenWorkerProcess as error:
            raise AgentFailed(
                "The rules engine's process died twice over this step; is there memory left?", retryable=True
            ) from error


_POLITE: list[int] = []  # the process that has been told


def _politely(work: Callable[..., T], given: tuple[object, ...]) -> T:
    """Runs in the other process."""
    if os.getpid() not in _POLITE:
        _POLITE.append(os.getpid())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
        os.nice(NICE)
    try:
        return work(*given)
    except Exception as error:
        error.add_note(traceback.format_exc())  # where it broke does not travel by itself
        raise
