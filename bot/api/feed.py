"""The log of one run, as those who follow it read it.

A `Feed` keeps the newest part of the log in blocks of equal length. Each follower has only its place
in the log; it takes what is there and waits for more, so a slow one holds up nobody and keeps nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

from bot.api.entries import Doing, Entry
from orchestrator.errors import NotFound
from orchestrator.events import ENDED, RunEnded, RunId, RunStatus
from orchestrator.ports import News, RunRow
from orchestrator.service import Service

BLOCK: Final = 64  # events
KEPT: Final = 16  # blocks of one run in memory; who is further behind reads the log again
SLICE: Final = 50  # followers that are woken before others have a turn on the loop
REST_S: Final = 0.00006  # for each of many followers, between two times that they are woken
DOINGS: Final = 32  # newest words of what agents do that wait for a slow follower


class Follower:
    """Who waits for news of a run."""

    __slots__ = ("_woken", "doings", "is_told")

    def __init__(self, *, doing: bool) -> None:
        self._woken: asyncio.Future[None] | None = None
        self.is_told = False  # since it last looked: it must look again before it waits
        self.doings: deque[Doing] | None = deque(maxlen=DOINGS) if doing else None

    def wake(self) -> None:
        """There may be something new."""
        self.is_told = True
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    @property
    def is_waiting(self) -> bool:
        """Whether it waits, and was not woken yet."""
        return self._woken is not None and not self._woken.done()

    def fail(self, error: Exception) -> None:
        """Nothing more can be told: end the wait with an error."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_exception(error)

    async def wait(self) -> None:
        """Until told."""
        if self.is_told:
            return
        self._woken = asyncio.get_running_loop().create_future()
        try:
            await self._woken
        finally:
            self._woken = None


class Feed:
    """The log of one run, as its followers read it. Made by `Feeds`."""

    def __init__(self, service: Service, run_id: RunId) -> None:
        self._service = service
        self._run_id = run_id
        self._blocks: OrderedDict[int, list[Entry]] = OrderedDict()  # the last used ones, by number
        self._reading = asyncio.Lock()
        self._waiting: OrderedDict[Follower, None] = OrderedDict()
        self._to_wake = 0  # of those waiting, from the first
        self._is_resting = False  # after many were woken
        self._is_behind = False  # something came while it rested
        self._keen: dict[Follower, None] = {}  # want to know what agents do
        self._growing: asyncio.Task[None] | None = None
        self._is_new = asyncio.Event()
        self.head = 0  # the log is at least this long
        self.status: RunStatus | None = None  # how the run ended
        self.is_whole = False  # the run has ended, and `head` is the end of its log
        self.broken: Exception | None = None  # the log cannot be read
        self.followers = 0

    async def open(self) -> None:
        """Look whether there is such a run, and follow its log from now on. May be called again.

        Raises:
            NotFound: no such run.
        """
        async with self._reading:
            if self._growing is not None:
                return
            deaf = self._service.bus.listen(self._hear, self._run_id)  # first: nothing comes in between
            try:
                row = await _row(self._service, self._run_id)
            except BaseException:
                deaf()
                raise
            self.head = max(self.head, row.seq)
            if row.status in ENDED:
                self.status = row.status
            self._growing = asyncio.create_task(self._grow(), name=f"feed:{self._run_id}")
            self._growing.add_done_callback(lambda _: deaf())
            self._is_new.set()

    def close(self) -> None:
        """Follow no more."""
        if self._growing is not None:
            self._growing.cancel()

    def note(self, head: int) -> None:
        """The log is so long now, somebody says."""
        if head > self.head:
            self._is_new.set()

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def read(self, after: int) -> Sequence[Entry]:
        """Some of the events with `seq > after`, from the first; empty: there are none yet.

        Raises:
            UnknownEvent: the log holds something this program cannot read.
            StoreFailed: the database fails.
        """
        if self.broken is not None:
            raise self.broken
        if after >= self.head:
            return ()
        number, skipped = divmod(after, BLOCK)
        block = self._blocks.get(number)
        if block is None:
            async with self._reading:
                block = self._blocks.get(number)
                if block is None:
                    block = await self._load(number, number * BLOCK)
        else:
            self._blocks.move_to_end(number)
        return block[skipped:]

    def ready(self, after: int) -> Sequence[Entry]:
        """What `read` would give without waiting; empty: nothing, or it has to be read first."""
        block = self._blocks.get(after // BLOCK) if after < self.head and self.broken is None else None
        return block[after % BLOCK :] if block else ()

    async def _load(self, number: int, after: int) -> list[Entry]:
        """Read on behind an event of a block. The caller holds the lock."""
        block = self._blocks.get(number, [])
        wanted = number * BLOCK + BLOCK - after
        events = await self._service.store.events(self._run_id, after=after, limit=wanted)
        block.extend(Entry(event) for event in events)
        self._blocks[number] = block
        self._blocks.move_to_end(number)
        while len(self._blocks) > KEPT:
            self._blocks.popitem(last=False)
        if events:
            for event in events:
                if isinstance(event.body, RunEnded) and self.status is None:
                    self.status = event.body.status
                    self._is_new.set()  # `is_whole` is for `_grow` to say
            if events[-1].seq > self.head:
                self.head = events[-1].seq
                self.wake()
        return block

    async def _grow(self) -> None:
        """Take up what is appended, until the run has ended."""
        try:
            while not self.is_whole:
                await self._is_new.wait()
                self._is_new.clear()
                async with self._reading:
                    while await self._more():
                        pass
                    # What ended the run may be followed by late words; they were read just now.
                    self.is_whole = self.status is not None
        except Exception as error:
            self.broken = error
        self.wake()

    async def _more(self) -> bool:
        """Read what follows `head`; whether there may be still more. The caller holds the lock."""
        before = self.head
        number, there = divmod(before, BLOCK)
        # A block is kept from its first event on: who comes later finds all of it.
        after = before if number in self._blocks or not there else number * BLOCK
        await self._load(number, after)
        return self.head > before and self.head % BLOCK == 0

    # ── telling ──────────────────────────────────────────────────────────────────────────────

    def _hear(self, news: News) -> None:
        if news.seq > self.head or not news.doing:
            self._is_new.set()
        for follower in self._keen if news.doing else ():
            if follower.doings is not None:
                follower.doings.extend(Doing(node, text) for node, text in news.doing.items())
            follower.wake()

    def wake(self) -> None:
        """Wake all who wait, a few at a time: a thousand at once would keep everybody else waiting."""
        if self._is_resting:
            self._is_behind = True
            return
        self._is_behind = False
        is_under_way = self._to_wake > 0
        self._to_wake = len(self._waiting)
        if not is_under_way:
            self._begin_round()

    def _begin_round(self) -> None:
        """Wake all who wait now; with many of them not again at once, so that what comes is sent together."""
        self._to_wake = len(self._waiting)
        if self._to_wake > SLICE:
            self._is_resting = True
            asyncio.get_running_loop().call_later(self._to_wake * REST_S, self._rested)
        self._wake_some()

    def _rested(self) -> None:
        self._is_resting = False
        if self._is_behind:
            self.wake()

    def _wake_some(self) -> None:
        for _ in range(min(SLICE, self._to_wake, len(self._waiting))):
            follower, _ = self._waiting.popitem(last=False)
            follower.wake()
            self._to_wake -= 1
        self._to_wake = min(self._to_wake, len(self._waiting))
        if self._to_wake:
            asyncio.get_running_loop().call_soon(self._wake_some)

    def waits_on(self, follower: Follower) -> None:
        """A follower that was woken took what there was without ending its wait."""
        self._waiting[follower] = None

    async def wait(self, follower: Follower) -> None:
        """Until there may be something new."""
        self._waiting[follower] = None
        try:
            await follower.wait()
        finally:
            self._waiting.pop(follower, None)

    def is_keen(self, follower: Follower) -> None:
        """Tell this follower what agents do, too."""
        self._keen[follower] = None

    def leave(self, follower: Follower) -> None:
        """Forget a follower."""
        self._keen.pop(follower, None)


async def _row(service: Service, run_id: RunId) -> RunRow:
    row = await service.store.run(run_id)
    if row is None:
        raise NotFound(f"there is no run {run_id!r}; `quartet runs` lists them")
    return row
