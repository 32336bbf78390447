"""Our order of calls within Discord's limits: the most urgent first, nothing before there is room.

`Schedule` is the arithmetic: pure, time comes in as an argument. `Pace` is the front where calls wait. Which
calls share a bucket is learned from the answers' headers; a route of which nothing is known is called one at
a time. Nobody waits after a call: who empties a bucket has the answer as soon as Discord has given it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from adapters.discord.buckets import GLOBAL_RESERVE, Bucket, Global, Invalid, Place, read_headers
from adapters.discord.routes import Route
from adapters.errors import PlatformDown, RateLimited
from adapters.urgency import Urgency

KEPT = 2_000  # buckets in memory; idle ones are dropped first
LOOKED_AT = 8  # of them at each call, where there are too many
KEPT_ROUTES = 1_000
SOON_S = 0.25  # progress comes back after this where nobody knows when there is room
PROMISE_CAP_S = 30.0  # progress is never sent away for longer, a 429 aside
PATIENT_S = 60.0  # a pause that Discord asks for beyond this is not waited for in here

Scope = Literal[
    "user", "shared", "global", "address"
]  # whom a 429 means; "address": Cloudflare, everybody here
Key = tuple[str, str]  # the bucket, or the route where it is not known; and the major parameter


@dataclass(order=True, slots=True)
class Ticket:
    """A call. Ordered: what comes first goes first."""

    urgency: Urgency
    order: int
    route: Route = field(compare=False)
    go: Callable[[], None] = field(compare=False)
    key: Key = field(compare=False)
    state: str = field(default="waiting", compare=False)  # "waiting", "out", "done"
    bucket: Bucket | None = field(default=None, compare=False)
    place: Place | None = field(default=None, compare=False)


class Schedule:
    """The calls of one bot. Pure: every method is told the time, in seconds.

    Args:
        scale: how many times as fast the global limit allows more; 1 for Discord.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._buckets: OrderedDict[Key, Bucket] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()  # route → bucket; "": it has none
        self._limits: OrderedDict[str, tuple[int, float]] = OrderedDict()  # bucket → calls, seconds
        self._global = Global(scale)
        self._invalid = Invalid()
        self._address_until = 0.0
        self._lines: dict[Key, list[Ticket]] = {}  # heaps
        self._uncounted = 0  # of those who wait the global limit does not count so many
        self._number = 0
        self._promised: deque[float] = deque(maxlen=1_000)

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return sum(map(len, self._lines.values()))

    def enter(
        self, route: Route, urgency: Urgency, go: Callable[[], None], order: int | None = None
    ) -> Ticket:
        """Stand in line, at an earlier call's place where `order` is given. `serve` calls `go` in time."""
        ticket = self._ticket(route, urgency, go, order)
        self._stand(ticket)
        return ticket

    def count(self, now: float) -> None:
        """A call goes out past us that the global limit counts."""
        self._global.take(now)

    def progress(self, route: Route, now: float) -> Ticket | float:
        """Let one call of progress go out, if there is room that nobody more urgent wants.

        Returns:
            The ticket: it is out. Else the seconds after which it should be tried again.
        """
        self.serve(now)  # where room was made this moment, it is for those who wait
        ticket = self._ticket(route, Urgency.PROGRESS, lambda: None, None)
        at = max(self._address_until, self._invalid.progress_at(now))
        bucket = self._bucket(ticket.key)
        if bucket is not None:
            reserve = bucket.reserve + len(self._lines.get(ticket.key, ()))
            ready = bucket.ready_at(now, 1 + reserve)
            at = max(at, now + SOON_S if ready is None else ready)
            if not bucket.is_known and ticket.key in self._lines:
                at = max(at, now + SOON_S)
        if route.is_counted:
            ready = self._global.ready_at(now, 1 + GLOBAL_RESERVE)
            if ready > now:
                # Each who is sent away is told another time: they do not all come back at once for one place.
                while self._promised and self._promised[0] <= now:
                    self._promised.popleft()
                ready = max(ready, min(ready + len(self._promised) / 40, now + PROMISE_CAP_S))
                self._promised.append(ready)
            at = max(at, ready)
        if at > now:
            return at - now
        self._take(ticket, now)
        return ticket

    def serve(self, now: float) -> None:
        """Let go whatever may go out now, the most urgent first."""
        while self._lines and now >= self._address_until and self._invalid.ready_at(now) <= now:
            counted = self._global.room(now) > 0
            if not counted and not self._uncounted:
                return
            ready = [
                line[0]
                for key, line in self._lines.items()
                if (counted or not line[0].route.is_counted) and self._room(key, now)
            ]
            if not ready:
                return
            ticket = min(ready)
            self._remove(ticket)
            self._take(ticket, now)
            ticket.go()

    def next_at(self, now: float) -> float | None:
        """When `serve` should be called again; None: nobody waits, or an answer has to come first."""
        overall = self._global.ready_at(now)
        if self._lines and overall > now and not self._uncounted:
            return max(overall, self._address_until, self._invalid.ready_at(now))
        soonest: float | None = None
        for key, line in self._lines.items():
            bucket = self._bucket(key)
            ready = now if bucket is None else bucket.ready_at(now)
            if ready is None:
                continue
            if line[0].route.is_counted:
                ready = max(ready, overall)
            soonest = ready if soonest is None else min(soonest, ready)
        if soonest is None:
            return None
        return max(soonest, self._address_until, self._invalid.ready_at(now))

    def answered(self, ticket: Ticket, now: float, status: int, headers: Mapping[str, str]) -> None:
        """Take note of an answer."""
        if ticket.place is not None:
            self._global.answered(ticket.place, now)
        said = read_headers(headers)
        if ticket.bucket is not None and said is None:  # a 5xx, say: whether it was counted is not known
            ticket.bucket.lost(now)
        elif ticket.bucket is not None:
            ticket.bucket.in_flight -= 1
        ticket.state = "done"
        if status in (401, 403) or (status == 429 and headers.get("X-RateLimit-Scope") != "shared"):
            self._invalid.note(now)
        if said is not None:
            self._learn(ticket.route, said.bucket)
            _, window_s = self._limits.get(said.bucket, (0, 0.0))
            self._limits[said.bucket] = (said.limit, max(window_s, said.reset_after))
            ticket.bucket = self._made((said.bucket, ticket.route.major))
            ticket.bucket.heard(said, now)
        elif 200 <= status < 300 and ticket.route.name not in self._names:
            self._learn(ticket.route, "")

    def lost(self, ticket: Ticket, now: float) -> None:
        """No answer will come."""
        if ticket.bucket is not None:
            ticket.bucket.lost(now)
        ticket.state = "done"

    def leave(self, ticket: Ticket) -> None:
        """The call does not go out: it leaves the line, or gives its room back."""
        if ticket.state == "waiting":
            self._remove(ticket)
        elif ticket.state == "out":
            if ticket.bucket is not None:
                ticket.bucket.give_back()
            if ticket.place is not None:
                ticket.place.until = float("-inf")
        ticket.state = "done"

    def limited(self, ticket: Ticket, now: float, retry_after_s: float, scope: Scope) -> None:
        """Discord said 429 to a call, which was answered: nothing it means goes out for so long."""
        until = now + retry_after_s
        if scope == "address":
            self._address_until = max(self._address_until, until)
        elif scope == "global":
            self._global.freeze(until)
        else:
            if ticket.bucket is None:  # it has a limit after all
                self._learn(ticket.route, ticket.route.name)
                ticket.bucket = self._made((ticket.route.name, ticket.route.major))
            ticket.bucket.freeze(until)

    def closed_until(self, route: Route) -> float:
        """Until when a 429 keeps a route closed."""
        bucket = self._bucket(self._key(route))
        return max(
            self._address_until,
            self._global.frozen_until if route.is_counted else 0.0,
            bucket.frozen_until if bucket is not None else 0.0,
        )

    def hopeless(self, now: float) -> list[Ticket]:
        """Take those out of the lines for whom it would take too long."""
        late = [
            ticket
            for line in self._lines.values()
            for ticket in line
            if self.closed_until(ticket.route) - now > PATIENT_S
        ]
        for ticket in late:
            self.leave(ticket)
        return late

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _ticket(self, route: Route, urgency: Urgency, go: Callable[[], None], order: int | None) -> Ticket:
        if order is None:
            self._number += 1
            order = self._number
        return Ticket(urgency, order, route, go, self._key(route))

    def _key(self, route: Route) -> Key:
        return (self._names.get(route.name, route.name), route.major)

    def _room(self, key: Key, now: float) -> bool:
        bucket = self._bucket(key)
        return bucket is None or bucket.room(now) > 0

    def _bucket(self, key: Key) -> Bucket | None:
        """The bucket of a key; None: the route has no limit of its own."""
        return self._buckets.get(key) or (self._made(key) if key[0] else None)

    def _made(self, key: Key) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(*self._limits.get(key[0], (0, 0.0)))
        return bucket

    def _take(self, ticket: Ticket, now: float) -> None:
        ticket.bucket = self._bucket(ticket.key)
        if ticket.bucket is not None:
            ticket.bucket.take(now)
        if ticket.route.is_counted:
            ticket.place = self._global.take(now)
        self._invalid.sent(now)
        ticket.state = "out"
        self._forget(now)

    def _stand(self, ticket: Ticket) -> None:
        heapq.heappush(self._lines.setdefault(ticket.key, []), ticket)
        self._uncounted += not ticket.route.is_counted

    def _remove(self, ticket: Ticket) -> None:
        self._uncounted -= not ticket.route.is_counted
        line = self._lines[ticket.key]
        if line[0] is ticket:
            heapq.heappop(line)
        else:
            line[:] = [each for each in line if each is not ticket]
            heapq.heapify(line)
        if not line:
            del self._lines[ticket.key]

    def _learn(self, route: Route, bucket: str) -> None:
        """All calls of the route are counted in this bucket; who waits already moves there."""
        if self._names.get(route.name) == bucket:
            return
        self._names[route.name] = bucket
        while len(self._names) > KEPT_ROUTES:
            self._names.popitem(last=False)
        while len(self._limits) > KEPT_ROUTES:
            self._limits.popitem(last=False)
        moving = [t for line in self._lines.values() for t in line if t.route.name == route.name]
        for ticket in moving:
            self._remove(ticket)
            ticket.key = (bucket, ticket.route.major)
            self._stand(ticket)

    def _forget(self, now: float) -> None:
        """Drop idle buckets of too many, looking at a few of the oldest at each call."""
        for key in list(islice(self._buckets, LOOKED_AT if len(self._buckets) > KEPT else 0)):
            if key not in self._lines and self._buckets[key].is_idle(now):
                del self._buckets[key]
            else:
                self._buckets.move_to_end(key)


class Pace:
    """Where calls wait until Discord's limits let them out. Every ticket is answered, lost or left.

    Args:
        clock: seconds, never going back.
        scale: how many times as fast the global limit allows more; 1 for Discord.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, scale: float = 1.0) -> None:
        self._clock = clock
        self._schedule = Schedule(scale)
        self._waiters: dict[int, asyncio.Future[None]] = {}  # by the ticket's id()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, route: Route, urgency: Urgency, order: int | None = None) -> Ticket:
        """Return when the call may go out. After a 429 `order` keeps its place in the line.

        Raises:
            RateLimited: `Urgency.PROGRESS` only, and at once: there is no room now.
            PlatformDown: Discord has closed the route for longer than is waited for in here.
        """
        now = self._clock()
        closed = self._schedule.closed_until(route) - now
        if urgency is Urgency.PROGRESS:
            found = max(closed, 0.0) or self._schedule.progress(route, now)
            if isinstance(found, Ticket):
                return found
            raise RateLimited(f"Discord allows no more of {route.name} just now", retry_after_s=found)
        if closed > PATIENT_S:
            raise _closed(route, closed)
        waiter = asyncio.get_running_loop().create_future()

        def go() -> None:
            if not waiter.done():
                waiter.set_result(None)

        ticket = self._schedule.enter(route, urgency, go, order)
        self._waiters[id(ticket)] = waiter
        self._serve()
        try:
            await waiter
        except asyncio.CancelledError:
            self.leave(ticket)
            raise
        finally:
            self._waiters.pop(id(ticket), None)
        return ticket

    def count(self) -> None:
        """A call goes out past us that the global limit counts."""
        self._schedule.count(self._clock())

    def answered(self, ticket: Ticket, status: int, headers: Mapping[str, str]) -> None:
        """An answer came."""
        self._schedule.answered(ticket, self._clock(), status, headers)
        self._serve()

    def lost(self, ticket: Ticket) -> None:
        """No answer will come, but the call may have arrived."""
        self._schedule.lost(ticket, self._clock())
        self._serve()

    def leave(self, ticket: Ticket) -> None:
        """The call was not made."""
        self._schedule.leave(ticket)
        self._serve()

    def limited(self, ticket: Ticket, retry_after_s: float, scope: Scope) -> None:
        """The answer that came was a 429."""
        now = self._clock()
        self._schedule.limited(ticket, now, retry_after_s, scope)
        for late in self._schedule.hopeless(now):
            waiter = self._waiters.get(id(late))
            if waiter is not None and not waiter.done():
                waiter.set_exception(_closed(late.route, retry_after_s))
        self._serve()

    def _serve(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        self._schedule.serve(now)
        at = self._schedule.next_at(now)
        if at is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                # A little after, so that rounding never wakes it for nothing.
                self._timer = asyncio.get_running_loop().call_later(max(at - now, 0) + 0.001, self._serve)


def _closed(route: Route, seconds: float) -> PlatformDown:
    return PlatformDown(
        f"Discord has closed {route.name} for {seconds:.0f} s after too many calls; it is tried again then"
    )
