"""Many runs at once on Slack: who waited how long, and how long Slack's limits would have made anybody wait.

    storm = Storm(desk)
    await storm.begin(channels=20, each=10)       # every mention in one moment
    await storm.answered()                        # people approve what appears
    waits = await storm.waits("approval")         # each counted from its event in the run's log

The best that the limits allow is computed from the twin's own buckets (`rates.py`): messages go out in the
order of their events, none later than the limits demand, and nothing else is ever posted.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import mean
from typing import Any

from tests.journey.slack_desk import APPROVAL, Desk
from tests.twins.slack.rates import POST_IN_CHANNEL, limit_of
from tests.twins.slack.workspace import Happening, Message

PEOPLE = 10
FACTOR = 1.2  # an approval takes at most so many times what the limits allow at best
CALM_S = 3.0  # and less than this where there is room
POSTED = {"approval": "approval_requested", "answer": "run_ended"}  # kind of card → the event that it shows
ON_ITS_WAY_S = 0.05  # a call so soon after a 429 was sent before anybody could know of it


@dataclass(frozen=True, slots=True)
class Shown:
    """A card that came to Slack."""

    run: str
    kind: str  # status, approval, answer
    channel: str
    thread: str
    ts: str


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from events to the messages that show them, beside the best that the limits allow."""

    real: Sequence[float]
    best: Sequence[float]

    def p(self, share: float) -> tuple[float, float]:
        """Real and best wait that so large a share stays below; 1.0 is the longest."""
        return quantile(self.real, share), quantile(self.best, share)

    @property
    def mean(self) -> tuple[float, float]:
        """The average waits, real and best."""
        return mean(self.real), mean(self.best)

    def line(self) -> str:
        """One line for people."""
        parts = [("mean", self.mean), ("p50", self.p(0.5)), ("p95", self.p(0.95)), ("longest", self.p(1.0))]
        return ", ".join(f"{name} {real:.2f} s (best {best:.2f} s)" for name, (real, best) in parts)


@dataclass(slots=True)
class _Bucket:
    """One of Slack's buckets, by the time at which it will be full again."""

    burst: float
    per_s: float
    full_at: float = float("-inf")

    def ready_at(self) -> float:
        return self.full_at - (self.burst - 1) / self.per_s

    def take(self, now: float) -> None:
        self.full_at = max(now, self.full_at) + 1 / self.per_s


def best(posts: Sequence[tuple[float, str]]) -> list[float]:
    """When each of these posts can be there at best.

    Args:
        posts: the time of the event, and the channel, of everything that has to be posted.
    """
    shared = _Bucket(*limit_of("chat.postMessage"))
    channels = {channel: _Bucket(*POST_IN_CHANNEL) for _, channel in posts}
    at = [0.0] * len(posts)
    left = sorted(range(len(posts)), key=lambda number: posts[number][0])
    while left:

        def ready(number: int) -> float:
            event, channel = posts[number]
            return max(event, shared.ready_at(), channels[channel].ready_at())

        chosen = min(left, key=ready)  # of those that are ready at once, the oldest
        at[chosen] = ready(chosen)
        shared.take(at[chosen])
        channels[posts[chosen][1]].take(at[chosen])
        left.remove(chosen)
    return at


@dataclass
class Storm:
    """Runs that were begun, and what came to Slack of them.

    Args:
        desk: the Slack, and the bot.
        approve_at_once: people approve each question as soon as they see it; else when `approve` is called.
    """

    desk: Desk
    approve_at_once: bool = True
    threads: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # channel, root
    shown: list[Shown] = field(default_factory=list[Shown])
    _open: list[Shown] = field(default_factory=list[Shown])  # approvals that nobody has pressed
    _events: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def __post_init__(self) -> None:
        self.desk.slack.world.subscribe(self._told)
        self.people = [self.desk.slack.person(f"person{number}") for number in range(PEOPLE)]
        self._channels: list[str] = []

    # ── what people do ───────────────────────────────────────────────────────────────────────

    def channels(self, count: int) -> list[str]:
        """Channels with all people and the bot."""
        while len(self._channels) < count:
            name = f"storm{len(self._channels)}"
            self._channels.append(self.desk.slack.channel(name, *(each.user.name for each in self.people)))
        return self._channels[:count]

    def ask(self, channel: str) -> str:
        """Somebody begins a run; returns its thread."""
        number = len(self.threads)
        thread = self.people[number % PEOPLE].mentions(channel, f"What is tea, question {number}?")
        self.threads.append((channel, thread))
        return thread

    def begin(self, *, channels: int, each: int) -> None:
        """So many runs in every channel, all in one moment."""
        for _ in range(each):
            for channel in self.channels(channels):
                self.ask(channel)

    async def begin_slowly(self, *, channels: int, runs: int, pause_s: float) -> None:
        """One run after the other, in the channels in turn."""
        for number in range(runs):
            self.ask(self.channels(channels)[number % channels])
            await asyncio.sleep(pause_s)

    def approve(self) -> None:
        """Everything that was asked and is not approved yet."""
        for asked in self._open:
            self.people[0].clicks(asked.channel, asked.ts, APPROVAL)
        self._open.clear()

    # ── what came of it ──────────────────────────────────────────────────────────────────────

    async def there(self, kind: str, *, within_s: float) -> None:
        """Wait until every run has its card of this kind."""
        wanted = set(self.threads)

        def all_there() -> bool:
            if self.approve_at_once:
                self.approve()
            return wanted <= {(each.channel, each.thread) for each in self.shown if each.kind == kind}

        await self.desk.slack.until(all_there, within_s=within_s)

    async def ended(self, *, within_s: float) -> None:
        """Wait until every approval says who decided, and every status card how the run ended."""
        world = self.desk.slack.world

        def quiet() -> bool:
            return not any(
                _can_be_pressed(world.message(channel, ts))
                for channel, thread in self.threads
                for ts in world.replies.get((channel, thread), [])
            )

        await self.desk.slack.until(quiet, within_s=within_s)

    def kinds(self) -> Counter[tuple[str, str]]:
        """How many messages of each kind stand in each thread: (thread, kind)."""
        world = self.desk.slack.world
        return Counter(
            (thread, _card(world.message(channel, ts))[1])
            for channel, thread in self.threads
            for ts in world.replies.get((channel, thread), [])
        )

    async def waits(self, kind: str, *, since: int = 0) -> Waits:
        """How long the cards of a kind took from their event to Slack.

        Args:
            since: the number of the first run that counts; those before it were over by then.
        """
        counted = {thread for _, thread in self.threads[since:]}
        posts = [each for each in self.shown if each.kind in POSTED and each.thread in counted]
        for run in {each.run for each in posts} - set(self._events):
            self._events[run] = await asyncio.to_thread(self._times, run)
        times = [self._events[each.run][POSTED[each.kind]] for each in posts]
        ideal = best([(time, each.channel) for time, each in zip(times, posts, strict=True)])
        mine = [number for number, each in enumerate(posts) if each.kind == kind]
        return Waits(
            [float(posts[number].ts) - times[number] for number in mine],
            [ideal[number] - times[number] for number in mine],
        )

    def calls(self) -> Counter[str]:
        """How often each method was called since the bot was ready, refused calls included."""
        mine = {channel for channel, _ in self.threads} | {""}
        return Counter(each.method for each in self.desk.slack.calls if each.channel in mine)

    def impatient(self) -> list[str]:
        """Calls that were made though Slack had said to wait."""
        return [
            f"{each.method} in {each.channel} {each.early_s:.2f} s early, {each.after_s:.3f} s after a 429"
            for each in self.desk.slack.rates.impatient
            if each.after_s > ON_ITS_WAY_S
        ]

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _told(self, happening: Happening) -> None:
        event = happening.event
        if event.get("type") != "message" or event.get("subtype") or not event.get("bot_id"):
            return
        message = self.desk.slack.world.message(str(event["channel"]), str(event["ts"]))
        run, kind = _card(message)
        shown = Shown(run, kind, message.channel, message.thread_ts, message.ts)
        self.shown.append(shown)
        if kind == "approval":
            self._open.append(shown)

    def _times(self, run: str) -> dict[str, float]:
        """The time of the last event of each type, epoch seconds."""
        log = read_log(self.desk, run)
        return {each["type"]: datetime.fromisoformat(each["at"]).timestamp() for each in log}


def read_log(desk: Desk, run: str) -> list[dict[str, Any]]:
    """The events of a run that has ended."""
    text = desk.bot.client.get(f"/v1/runs/{run}/events").raise_for_status().text
    told = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    return [event for event in told if "seq" in event]  # the stream's own end is no event


def _card(message: Message) -> tuple[str, str]:
    """The run and the kind of a card; a stream says neither until it is stopped."""
    payload: dict[str, Any] = (message.metadata or {}).get("event_payload") or {}
    run, _, rest = str(payload.get("card", ":status")).partition(":")
    return run, rest.split(":")[0]


def _can_be_pressed(message: Message) -> bool:
    """Whether the card is not what it will be at the end."""
    if message.stream is not None and message.stream.open:
        return True
    shown = json.dumps(message.blocks)
    return f'"{APPROVAL}"' in shown or '"Stop"' in shown


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share stays below; 1.0 is the largest."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]
