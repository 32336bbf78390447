"""Hand in what was kept: in order within a lane, lanes side by side, again after a failure.

For platforms whose payloads an adapter stores before it acknowledges them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import structlog

from adapters.errors import ConversationGone, NotAllowed

AT_ONCE = 32  # lanes of messages at work; people's presses have as many places of their own
MOST_TRIES = 20
LONGEST_PAUSE_S = 30.0  # seconds between two tries
PRUNE_S = 3600.0
APART_S = 0.02  # between two messages handed in: what comes at once is acknowledged first
STUCK_S = 5.0  # seconds with one row, until words that need nothing of it pass ahead

log = structlog.get_logger(__name__)


class Arrived(Protocol):
    """Something that a person did."""

    @property
    def key(self) -> str:
        """The same delivery again has the same key."""
        ...

    @property
    def lane(self) -> str:
        """Rows of one lane are handed in in order."""
        ...

    @property
    def kind(self) -> str:
        """What it is, for the log."""
        ...

    @property
    def pressed(self) -> bool:
        """Whether a person waits with a click or a form in their hand: it does not wait for messages."""
        ...


A = TypeVar("A", bound=Arrived)


@dataclass(frozen=True)  # slots and a generic alias that makes one do not go together in Python 3.11
class Row(Generic[A]):
    """Something that waits to be handed in."""

    arrival: A
    received: float  # epoch seconds
    tries: int
    again: bool = False  # it may have been handed in before: after a failure or a restart
    early: tuple[Row[A], ...] = ()  # what belongs behind it and came before it, kept with it


class Kept(Protocol[A]):
    """The store of what came in."""

    async def waiting(self) -> Sequence[Row[A]]:
        """What was kept and not taken by the bot yet, in order."""
        ...

    async def done(self, key: str, run_id: str = "") -> None:
        """The bot has it."""
        ...

    async def given_up(self, key: str) -> None:
        """The bot will never take it."""
        ...

    async def failed(self, key: str) -> int:
        """Count one try more; how many there were."""
        ...

    async def prune(self) -> None:
        """Forget what was done long ago."""
        ...


@dataclass(frozen=True, slots=True)
class Passing(Generic[A]):
    """What goes ahead of a row that does not get through, such as one whose file cannot be had."""

    may: Callable[[Row[A]], bool]
    takes_back: Callable[[Row[A], Row[A]], bool]  # (what passes, the stuck one) → the stuck one is given up
    taken_back: Callable[[Row[A]], Awaitable[None]]  # tells the person; must not raise


async def _silently(_: object) -> None:
    """Nobody is to be told."""


class Lanes(Generic[A]):
    """The workers between the inbox and the bot.

    Args:
        inbox: what was kept.
        perform: hands one in and says which run it became, or "".
            What it raises is tried again, but for `NotAllowed` and `ConversationGone`.
        give_up: tells the person that it was in vain; must not raise.
        passing: what need not wait for a row that is stuck.
        first_pause_s: seconds before the second try; doubled each time.
        stuck_s: seconds with one row until it counts as stuck; after a failure it does at once.
    """

    def __init__(
        self,
        inbox: Kept[A],
        perform: Callable[[Row[A]], Awaitable[str]],
        give_up: Callable[[Row[A]], Awaitable[None]],
        *,
        passing: Passing[A] | None = None,
        first_pause_s: float = 0.5,
        stuck_s: float = STUCK_S,
    ) -> None:
        self._passing: Passing[A] = passing or Passing(lambda _: False, lambda _, __: False, _silently)
        self._stuck_s = stuck_s
        self._stuck: dict[str, asyncio.Task[None]] = {}  # lane → the work on its first row
        self._inbox = inbox
        self._perform = perform
        self._give_up = give_up
        self._first_pause_s = first_pause_s
        self._queues: dict[str, deque[Row[A]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._messages = asyncio.Semaphore(AT_ONCE)
        self._presses = asyncio.Semaphore(AT_ONCE)
        self._running = False
        self._next_at = 0.0  # when the next message may be handed in, by the loop's clock

    async def start(self) -> None:
        """Begin, first with what was left over. May be called twice."""
        if self._running:
            return
        await self._inbox.prune()
        left_over = await self._inbox.waiting()
        self._running = True
        for row in left_over:
            self.add(row)
        self._spawn(self._prune())

    async def stop(self) -> None:
        """Hand in nothing more; what is not done is handed in at the next start. May be called twice."""
        self._running = False
        tasks, self._queues = list(self._tasks), {}
        self._stuck.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def add(self, row: Row[A]) -> None:
        """Queue what was kept. Before the start nothing happens: `start` finds it in the inbox."""
        if not self._running:
            return
        lane = row.arrival.lane
        queue = self._queues.get(lane)
        if queue is not None:
            if lane in self._stuck and self._passing.may(row):
                self._spawn(self._pass_ahead(row, queue[0], self._stuck[lane]))
            else:
                queue.append(row)
            return
        self._queues[lane] = deque([row])
        self._spawn(self._work(lane))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _work(self, lane: str) -> None:
        queue = self._queues[lane]
        while queue:
            first = self._spawn(self._until_done(queue[0]))
            timer = asyncio.get_running_loop().call_later(self._stuck_s, self._let_pass, lane, first)
            await asyncio.wait([first])  # it may be taken back, which is no end of the lane
            timer.cancel()
            self._stuck.pop(lane, None)
            queue.popleft()
        self._queues.pop(lane, None)

    def _let_pass(self, lane: str, first: asyncio.Task[None]) -> None:
        """The first row of a lane does not get through now: what need not wait for it goes on."""
        queue = self._queues.get(lane)
        if queue is None or first.done():
            return
        self._stuck[lane] = first
        for row in [row for row in list(queue)[1:] if self._passing.may(row)]:
            queue.remove(row)
            self._spawn(self._pass_ahead(row, queue[0], first))

    async def _pass_ahead(self, row: Row[A], stuck: Row[A], work: asyncio.Task[None]) -> None:
        if self._passing.takes_back(row, stuck) and not work.done():
            work.cancel()
            await asyncio.wait([work])
            if work.cancelled():
                await self._settle(stuck.arrival.key)
                await self._passing.taken_back(stuck)
        await self._until_done(row, ahead=True)

    async def _until_done(self, row: Row[A], *, ahead: bool = False) -> None:
        places = self._presses if ahead or row.arrival.pressed else self._messages
        pause_s = self._first_pause_s
        while True:
            async with places:
                if places is self._messages:
                    await self._in_turn()
                if await self._once(row):
                    return
            lane, now = row.arrival.lane, asyncio.current_task()
            if not ahead and now is not None:
                self._let_pass(lane, now)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            row = replace(row, again=True, tries=row.tries + 1)

    async def _in_turn(self) -> None:
        """A message makes more work than it takes to acknowledge ten: a burst is not handed in as one."""
        now = asyncio.get_running_loop().time()
        begin = max(now, self._next_at)
        self._next_at = begin + APART_S
        if begin > now:
            await asyncio.sleep(begin - now)

    async def _once(self, row: Row[A]) -> bool:
        """Whether it is settled."""
        key = row.arrival.key
        try:
            run_id = await self._perform(row)
            await self._inbox.done(key, run_id)
        except (NotAllowed, ConversationGone) as error:
            self._log(row, "Something that came in can never be answered.", "chat.unanswerable", error)
        except Exception as error:
            self._log(
                row, "Something that came in could not be handed to the bot.", "chat.delivery_failed", error
            )
            if await self._tries(key) < MOST_TRIES:
                return False
            await self._give_up(row)
        else:
            return True
        return await self._settle(key)

    async def _settle(self, key: str) -> bool:
        try:
            await self._inbox.given_up(key)
        except Exception as error:  # the file itself fails: at the next start it is tried again
            _file_failed(error)
        return True

    async def _tries(self, key: str) -> int:
        try:
            return await self._inbox.failed(key)
        except Exception as error:
            _file_failed(error)
            return 0

    def _log(self, row: Row[A], message: str, action: str, error: Exception) -> None:
        log.warning(
            message,
            action=action,
            key=row.arrival.key,
            kind=row.arrival.kind,
            tries=row.tries + 1,
            error=f"{type(error).__name__}: {error}"[:300],
        )

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_S)
            try:
                await self._inbox.prune()
            except Exception as error:
                log.warning(
                    "An adapter's file failed.", action="chat.file_failed", error=type(error).__name__
                )


def _file_failed(error: Exception) -> None:
    log.warning("An adapter's file failed.", action="chat.file_failed", error=type(error).__name__)
