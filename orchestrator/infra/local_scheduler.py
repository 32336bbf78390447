"""The scheduler of one process: asyncio tasks, one heap of times, one task that sleeps.

A run that waits has no task and no timer handle here: far times stay in the store, and the
sweep brings those that come near. What other processes appended is noticed by a cheap question
to the store. Wakes of a run that is already being advanced lead to one more advance after it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from orchestrator.errors import OrchestratorError
from orchestrator.events import RunId
from orchestrator.ports import Advance, Clock, Due

log = structlog.get_logger(__name__)

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0


class Restless(Protocol):
    """What the scheduler asks the store."""

    async def to_wake(self) -> list[RunId]:
        """See `ports.Views.to_wake`."""
        ...

    async def due(self, *, until: datetime) -> list[Due]:
        """See `ports.Views.due`."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)


class LocalScheduler:
    """Implements `ports.Scheduler` within one process.

    Args:
        store: knows which runs are restless and which timers come near.
        clock: the machine's, unless a test brings its own.
        concurrency: runs that are advanced at once.
        sweep_s: seconds between looks for timers.
        poll_s: seconds between looks for what other processes appended.
    """

    def __init__(
        self,
        store: Restless,
        *,
        clock: Clock | None = None,
        concurrency: int,
        sweep_s: float = 10.0,
        poll_s: float = 1.0,
    ) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._concurrency = concurrency
        self._sweep_s = sweep_s
        self._poll_s = poll_s
        self._ready: deque[RunId] = deque()
        self._queued: set[RunId] = set()  # those in _ready
        self._again: set[RunId] = set()  # woken while being advanced
        self._working: dict[RunId, asyncio.Task[None]] = {}
        self._times: list[tuple[datetime, RunId]] = []  # a heap
        self._timed: set[tuple[datetime, RunId]] = set()  # those in _times
        self._failures: dict[RunId, int] = {}  # in a row; these runs wait for their retry
        self._changed = asyncio.Event()
        self._advance: Advance | None = None

    async def wake(self, run_id: RunId, at: datetime | None = None) -> None:
        """See `ports.Scheduler.wake`."""
        if at is not None and at > self._clock.now():
            self._set_time(at, run_id)
        else:
            self._make_ready(run_id)

    async def run(self, advance: Advance) -> None:
        """See `ports.Scheduler.run`. Cancelling it cancels the advances under way and waits for them."""
        self._advance = advance
        watchers = [
            asyncio.create_task(self._watch(self._poll, self._poll_s), name="scheduler poll"),
            asyncio.create_task(self._watch(self._sweep, self._sweep_s), name="scheduler sweep"),
        ]
        try:
            while True:
                self._changed.clear()
                self._take_due()
                self._start_ready()
                await self._pause()
        finally:
            self._advance = None
            tasks = [*watchers, *self._working.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ── what is ready, and when ──────────────────────────────────────────────────────────────

    def _make_ready(self, run_id: RunId) -> None:
        if run_id in self._working:
            self._again.add(run_id)
        elif run_id not in self._queued:
            self._queued.add(run_id)
            self._ready.append(run_id)
            self._start_ready()

    def _set_time(self, at: datetime, run_id: RunId) -> None:
        if (at, run_id) in self._timed:
            return
        self._timed.add((at, run_id))
        heapq.heappush(self._times, (at, run_id))
        if self._times[0] == (at, run_id):
            self._changed.set()

    def _take_due(self) -> None:
        now = self._clock.now()
        while self._times and self._times[0][0] <= now:
            entry = heapq.heappop(self._times)
            self._timed.discard(entry)
            self._make_ready(entry[1])

    async def _pause(self) -> None:
        """Sleep until the next time, or until something changed."""
        until = (self._times[0][0] - self._clock.now()).total_seconds() if self._times else None
        # A clock that is set forward is noticed within the sweep's time.
        until = self._sweep_s if until is None else max(0.0, min(until, self._sweep_s))
        try:
            async with asyncio.timeout(until):
                await self._changed.wait()
        except TimeoutError:
            pass

    # ── advancing ────────────────────────────────────────────────────────────────────────────

    def _start_ready(self) -> None:
        while self._advance is not None and self._ready and len(self._working) < self._concurrency:
            run_id = self._ready.popleft()
            self._queued.discard(run_id)
            task = asyncio.create_task(self._work(self._advance, run_id), name=f"advance {run_id}")
            self._working[run_id] = task

    async def _work(self, advance: Advance, run_id: RunId) -> None:
        try:
            await advance(run_id)
        except Exception as error:
            self._retry_later(run_id, error)
        else:
            self._failures.pop(run_id, None)
        finally:
            del self._working[run_id]
            if run_id in self._again:
                self._again.discard(run_id)
                self._make_ready(run_id)
            self._start_ready()

    def _retry_later(self, run_id: RunId, error: Exception) -> None:
        failures = self._failures[run_id] = self._failures.get(run_id, 0) + 1
        delay_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(failures - 1, 16))
        log.error(
            "a run could not go on; it is tried again",
            action="advance_failed",
            run_id=run_id,
            failures=failures,
            retry_in_s=delay_s,
            error=str(error),
            # Ours say what to do; anything else needs its traceback.
            exc_info=None if isinstance(error, OrchestratorError) else error,
        )
        self._set_time(self._clock.now() + timedelta(seconds=delay_s), run_id)

    # ── what the store knows ─────────────────────────────────────────────────────────────────

    async def _watch(self, look: Callable[[], Awaitable[None]], every_s: float) -> None:
        """Look at once and then every so often. A database that fails for a while stops nothing."""
        while True:
            try:
                await look()
            except Exception:
                log.exception("the scheduler could not ask the database", action="sweep_failed")
            await asyncio.sleep(every_s)

    async def _poll(self) -> None:
        """Runs that nobody works on. Those being advanced here notice facts themselves."""
        for run_id in await self._store.to_wake():
            if run_id not in self._working and run_id not in self._failures:
                self._make_ready(run_id)

    async def _sweep(self) -> None:
        """Times that come before the sweep after the next."""
        for due in await self._store.due(until=self._clock.now() + timedelta(seconds=2 * self._sweep_s)):
            if due.run_id in self._failures:
                continue
            if due.at > self._clock.now():
                self._set_time(due.at, due.run_id)
            elif due.run_id not in self._working:
                self._make_ready(due.run_id)
