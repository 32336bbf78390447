"""How fast Slack may be called: a budget for each workspace and method, the most urgent call first.

`Gate` is the arithmetic of one method in one workspace: pure, time comes in as an argument. `Pace` is
the front where calls wait. What goes out stays just under the limits, however long it is on its way, so
that a 429 is the exception; when one comes all the same, nothing of that kind goes out before its
`Retry-After` has passed.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from adapters.errors import RateLimited
from adapters.urgency import Urgency

SHARE = 0.985  # of what Slack allows we use this much: clocks differ

KEPT_GATES = 2_000  # (workspace, method) pairs in memory; idle ones are dropped first
KEPT_CHANNELS = 1_000  # channels of one gate
PROMISE_CAP_S = 60.0  # progress is never sent away for longer, a freeze aside


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may be done."""

    per_s: float
    burst: int  # this many at once after a quiet time
    reserve: int = 0  # of the burst: progress leaves it to what is more urgent


@dataclass(frozen=True, slots=True)
class Limit:
    """What Slack allows for one method."""

    shared: Rate  # for the whole workspace
    channel: Rate | None = None  # for each channel besides


def tier(per_minute: int, reserve: int = 0) -> Limit:
    """One of Slack's tiers. A quiet minute may be made up for at once ("bursts are welcome")."""
    return Limit(Rate(per_minute / 60, per_minute, reserve))


# https://docs.slack.dev/apis/web-api/rate-limits: tiers 1 to 4 allow 1, 20, 50, 100 calls a minute and
# more, for each method, app and workspace. Which method is in which tier stands on the method's page.
TIER_1, TIER_2, TIER_3, TIER_4 = tier(1), tier(20), tier(50), tier(100)
LIMITS: dict[str, Limit] = {
    # "Generally one message per second per channel, while also maintaining a workspace-wide limit" of
    # "several hundred messages per minute", short bursts allowed: 1 a second a channel with 4 at once, 10 a
    # second a workspace with 60 at once. Slack publishes no burst sizes; a 429 corrects them. Progress gets
    # what would overflow: hundreds of questions at once need the whole burst.
    "chat.postMessage": Limit(Rate(10, 60, reserve=59), Rate(1, 4, reserve=3)),
    "chat.update": tier(50, reserve=25),
    "chat.delete": TIER_3,
    "chat.startStream": TIER_2,
    "chat.stopStream": TIER_2,
    "chat.appendStream": TIER_4,
    "chat.postEphemeral": TIER_4,
    "assistant.threads.setStatus": Limit(Rate(10, 60)),  # its page: 600 a minute for an app in a workspace
    "assistant.threads.setSuggestedPrompts": TIER_4,
    "assistant.threads.setTitle": TIER_4,
    "apps.connections.open": TIER_1,
    "auth.test": Limit(Rate(5, 60)),  # "special": hundreds a minute
    "bots.info": TIER_3,
    "conversations.history": TIER_3,
    "conversations.info": TIER_3,
    "conversations.members": TIER_4,
    "conversations.open": TIER_3,
    "conversations.replies": TIER_3,
    "files.completeUploadExternal": TIER_4,
    "files.getUploadURLExternal": TIER_4,
    "files.info": TIER_4,
    "reactions.add": TIER_3,
    "reactions.remove": TIER_2,
    "usergroups.list": TIER_2,
    "usergroups.users.list": TIER_2,
    "users.info": TIER_4,
    "users.list": TIER_2,
    "views.open": TIER_4,
    "views.publish": TIER_4,
    "views.push": TIER_4,
    "views.update": TIER_4,
}


def limit_of(method: str) -> Limit:
    """What Slack allows for `method`; tier 3 where we do not know."""
    return LIMITS.get(method, TIER_3)


class _Bucket:
    """Tokens that come back with time.

    Slack counts a call when it arrives, somewhere between going out and its answer, and a full bucket gets
    nothing. So what is surely there is at most what fits beside the calls on their way.
    """

    def __init__(self, rate: Rate, now: float, scale: float) -> None:
        self.rate = rate
        self.per_s = rate.per_s * SHARE * scale
        self.tokens = float(rate.burst)  # as if every call arrived when it went out
        self.sure = float(rate.burst)  # whenever they arrive
        self.away = 0  # calls that went out and are not answered
        self.at = now
        self.frozen_until = 0.0

    def level(self, now: float) -> float:
        return min(float(self.rate.burst), self.tokens + self._come_back(now))

    def ready_at(self, now: float, calls: float = 1) -> float:
        """When one of `calls` calls could go out, were nothing else to go out before."""
        missing = max(calls - self.level(now), 1 - self._surely(now))
        left = max(0.0, missing - 1e-9) / self.per_s
        # A frozen bucket's `at` lies ahead: from there on it fills.
        return max(max(now, self.at) + left if left > 0 else now, self.frozen_until)

    def take(self, now: float) -> None:
        self._fill(now)
        self.tokens -= 1
        self.sure -= 1
        self.away += 1

    def answered(self, now: float) -> None:
        self._fill(now)
        self.away -= 1

    def give_back(self) -> None:
        self.tokens += 1
        self.sure += 1
        self.away -= 1

    def _surely(self, now: float) -> float:
        return min(float(self.rate.burst - self.away), self.sure + self._come_back(now))

    def _come_back(self, now: float) -> float:
        return max(0.0, now - self.at) * self.per_s

    def _fill(self, now: float) -> None:
        self.tokens, self.sure = self.level(now), self._surely(now)
        self.at = max(now, self.at)

    def freeze(self, until: float) -> None:
        # Slack counts more than we thought: when it lets us in again there is room for one, not for many.
        self.tokens = self.sure = 1.0
        self.at = max(self.at, until)
        self.frozen_until = max(self.frozen_until, until)

    def is_idle(self, now: float) -> bool:
        return now >= self.frozen_until and self._surely(now) >= self.rate.burst


@dataclass(order=True, slots=True)
class Ticket:
    """A call that waits. Ordered: what comes first goes first."""

    urgency: Urgency
    turn: float  # by channels in turn
    order: int
    channel: str = field(compare=False)
    go: Callable[[], None] = field(compare=False)
    state: str = field(default="waiting", compare=False)  # "waiting", "gone", "left"


class Gate:
    """The calls of one method in one workspace. Pure: every method is told the time, in seconds.

    Args:
        limit: what Slack allows.
        now: the time at which nothing has been called yet.
        scale: how many times as fast the limits allow more; 1 for Slack.
    """

    def __init__(self, limit: Limit, now: float, scale: float = 1.0) -> None:
        self._limit = limit
        self._scale = scale
        self._since = now
        self._shared = _Bucket(limit.shared, now, scale)
        self._channels: OrderedDict[str, _Bucket] = OrderedDict()
        self._waiting: dict[str, list[Ticket]] = {}  # a heap for each channel
        self._turns: dict[tuple[Urgency, str], float] = {}
        self._served: dict[Urgency, float] = {}
        self._count = 0
        self._number = 0
        self._promised: deque[float] = deque(maxlen=1_000)
        self._refused: tuple[str, float] = ("", float("-inf"))  # channel and time of the last 429

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._count

    def enter(self, urgency: Urgency, channel: str, go: Callable[[], None]) -> Ticket:
        """Stand in line. `serve` calls `go` when the call may go out."""
        # Channels take turns within an urgency, so that a flood in one does not hold up the others.
        key = (urgency, channel)
        turn = max(self._turns.get(key, 0.0), self._served.get(urgency, 0.0)) + 1
        self._turns[key] = turn
        self._number += 1
        ticket = Ticket(urgency, turn, self._number, channel, go)
        heapq.heappush(self._waiting.setdefault(channel, []), ticket)
        self._count += 1
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Leave the line; a call that was let go but did not go out gives its room back."""
        if ticket.state == "waiting":
            self._count -= 1
            line = self._waiting[ticket.channel]
            line.remove(ticket)
            if line:
                heapq.heapify(line)
            else:
                del self._waiting[ticket.channel]
        elif ticket.state == "gone":
            for bucket in self._buckets(ticket.channel, None):
                bucket.give_back()
        ticket.state = "left"

    def serve(self, now: float) -> None:
        """Let go whatever may go out now, the most urgent first."""
        while self._count and self._shared.ready_at(now) <= now:
            ready = [
                line[0]
                for channel, line in self._waiting.items()
                if not self._is_held(channel)
                and all(bucket.ready_at(now) <= now for bucket in self._buckets(channel, now)[1:])
            ]
            if not ready:
                return
            ticket = min(ready)
            line = self._waiting[ticket.channel]
            heapq.heappop(line)
            if not line:
                del self._waiting[ticket.channel]
            self._count -= 1
            self._served[ticket.urgency] = ticket.turn
            if self._turns.get((ticket.urgency, ticket.channel), 0.0) <= ticket.turn:
                self._turns.pop((ticket.urgency, ticket.channel), None)
            for bucket in self._buckets(ticket.channel, now):
                bucket.take(now)
            ticket.state = "gone"
            ticket.go()

    def answered(self, channel: str, now: float) -> None:
        """A call that went out has its answer, or will never have one."""
        for bucket in self._buckets(channel, None):
            bucket.answered(now)

    def next_at(self, now: float) -> float | None:
        """When `serve` should be called again; None: nobody waits, or only for answers."""
        times = [
            max(bucket.ready_at(now) for bucket in self._buckets(channel, now))
            for channel in self._waiting
            if not self._is_held(channel)
        ]
        return max(min(times), now) if times else None

    def _is_held(self, channel: str) -> bool:
        """Whether a message to this channel is on its way; its answer lets the next one go."""
        # That would come over another connection, and could arrive before it.
        bucket = self._channels.get(channel)
        return bucket is not None and bucket.away > 0

    def progress(self, channel: str, now: float) -> float:
        """Let one progress call go out, if there is room that nobody more urgent wants.

        Returns:
            0.0: it may go out. Else the seconds after which it should be tried again.
        """
        before = (self._count, len(self._waiting.get(channel, ())))
        at = now
        for bucket, waiting in zip(self._buckets(channel, now), before, strict=False):
            at = max(at, bucket.ready_at(now, 1 + bucket.rate.reserve + waiting))
        if at <= now:
            for bucket in self._buckets(channel, now):
                bucket.take(now)
            return 0.0
        # Each who is sent away is told another time: they do not all come back at once for one place.
        while self._promised and self._promised[0] <= now:
            self._promised.popleft()
        slowest = min(bucket.per_s for bucket in self._buckets(channel, now)[:1])
        at = max(at, min(at + len(self._promised) / slowest, now + PROMISE_CAP_S))
        self._promised.append(at)
        return at - now

    def freeze(self, channel: str, now: float, retry_after_s: float) -> None:
        """Slack said 429: nothing of this kind goes out for so long."""
        until = now + retry_after_s
        buckets = self._buckets(channel, now)
        other, at = self._refused
        self._refused = (channel, now)
        # Slack does not say which limit it was. Where channels have their own it is the channel's, unless the
        # workspace's may be spent: by our count, by another process's calls before our time, or because
        # other channels are refused as well.
        quiet_s = self._shared.rate.burst / self._shared.rate.per_s
        of_channel = (
            len(buckets) > 1
            and self._shared.level(now) >= self._shared.rate.burst * 0.2
            and now - self._since >= quiet_s
            and not (other not in ("", channel) and now - at < 5)
        )
        for bucket in buckets[1:] if of_channel else buckets:
            bucket.freeze(until)

    def is_idle(self, now: float) -> bool:
        """Whether forgetting this gate would change nothing."""
        return (
            not self._count
            and self._shared.is_idle(now)
            and all(bucket.is_idle(now) for bucket in self._channels.values())
        )

    def _buckets(self, channel: str, now: float | None) -> list[_Bucket]:
        if self._limit.channel is None or not channel:
            return [self._shared]
        bucket = self._channels.get(channel)
        if bucket is None:
            if now is None:  # only asked for what was taken before
                return [self._shared]
            bucket = self._channels[channel] = _Bucket(self._limit.channel, now, self._scale)
            self._forget(now)
        return [self._shared, bucket]

    def _forget(self, now: float) -> None:
        if len(self._channels) <= KEPT_CHANNELS:
            return
        for channel in [c for c, bucket in self._channels.items() if bucket.is_idle(now)]:
            if channel not in self._waiting:
                del self._channels[channel]


class Pace:
    """Where calls wait until Slack's limits let them out.

    Args:
        clock: seconds, never going back.
        scale: how many times as fast the limits allow more; 1 for Slack.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, scale: float = 1.0) -> None:
        self._clock = clock
        self._scale = scale
        self._gates: OrderedDict[tuple[str, str], Gate] = OrderedDict()
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    @asynccontextmanager
    async def room(self, team: str, method: str, channel: str, urgency: Urgency) -> AsyncGenerator[None]:
        """Enter the block when the call may go out; leave it with the answer.

        Raises:
            RateLimited: `Urgency.PROGRESS` only, and at once: there is no room now.
        """
        key = (team, method)
        gate = self._gate(key)
        await self._wait(key, gate, channel, urgency)
        try:
            yield
        finally:
            gate.answered(channel, self._clock())
            self._serve(key)

    async def _wait(self, key: tuple[str, str], gate: Gate, channel: str, urgency: Urgency) -> None:
        if urgency is Urgency.PROGRESS:
            left = gate.progress(channel, self._clock())
            if left > 0:
                raise RateLimited(f"Slack allows no more {key[1]} just now", retry_after_s=left)
            return
        gone = asyncio.Event()
        ticket = gate.enter(urgency, channel, gone.set)
        self._serve(key)
        try:
            await gone.wait()
        except asyncio.CancelledError:
            gate.leave(ticket)
            self._serve(key)
            raise

    def freeze(self, team: str, method: str, channel: str, retry_after_s: float) -> None:
        """Take note of a 429."""
        key = (team, method)
        self._gate(key).freeze(channel, self._clock(), retry_after_s)
        self._serve(key)

    def _gate(self, key: tuple[str, str]) -> Gate:
        gate = self._gates.get(key)
        if gate is None:
            now = self._clock()
            if len(self._gates) >= KEPT_GATES:
                for old in [k for k, kept in self._gates.items() if kept.is_idle(now)]:
                    del self._gates[old]
            gate = self._gates[key] = Gate(limit_of(key[1]), now, self._scale)
        return gate

    def _serve(self, key: tuple[str, str]) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        gate = self._gate(key)
        now = self._clock()
        gate.serve(now)
        at = gate.next_at(now)
        if at is not None:
            # A little after, so that rounding never wakes it for nothing.
            self._timers[key] = asyncio.get_running_loop().call_later(at - now + 0.001, self._serve, key)
