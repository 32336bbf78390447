"""What Slack sends to a bot: parcels, their attempts, and the retries Slack documents.

A `Parcel` is one event, interaction or slash command. A carrier (`sockets.py`, `signed_http.py`) takes it
to the bot and says how it was answered. Events that are not acknowledged come again at once, after a minute
and after five minutes, then never; interactions and commands come once. Nothing here knows what the payloads
mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Json = dict[str, Any]
Kind = Literal["events_api", "interactive", "slash_commands"]

ACK_LIMIT_S = 3.0
RETRY_AFTER_S = (0.0, 60.0, 300.0)  # measured from the attempt that failed
GATHER_S = 0.25  # how long `reorder` waits for the rest of its window


@dataclass(frozen=True, slots=True)
class Answer:
    """How the bot took one attempt."""

    ok: bool
    body: Json | str | None = None  # what the bot put into its acknowledgement
    failure: str = ""  # Slack's word for why it will try again: http_timeout, http_error, …
    status: int = 0  # of HTTP; 0 in Socket Mode and where no answer came
    again: bool = True  # False: the bot answered with X-Slack-No-Retry


@dataclass(slots=True)
class Attempt:
    """One try to hand a parcel over. Times are the loop's."""

    number: int  # 0 for the first, then Slack's retry number
    reason: str  # why it is repeated; "" for the first
    sent_at: float
    acked_at: float | None = None
    answer: Answer | None = None


@dataclass(slots=True, eq=False)
class Parcel:
    """One thing that the bot should get, and what became of it."""

    kind: Kind
    payload: Json
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # acknowledged, or given up

    @property
    def event_id(self) -> str:
        """`Ev…`; "" for what is no event."""
        return str(self.payload.get("event_id", ""))

    @property
    def event(self) -> Json:
        """The inner event; {} for what is no event."""
        return self.payload.get("event") or {}

    @property
    def acked(self) -> bool:
        """The bot has acknowledged one of the attempts."""
        return any(attempt.acked_at is not None for attempt in self.attempts)

    @property
    def answer(self) -> Answer | None:
        """The acknowledgement, or else the last failure; None while nothing is known."""
        answers = [attempt.answer for attempt in self.attempts if attempt.answer]
        return next((answer for answer in answers if answer.ok), answers[-1] if answers else None)


class Carrier(Protocol):
    """A way to the bot."""

    async def carry(self, parcel: Parcel, attempt: Attempt) -> Answer:
        """Hand the parcel over and wait for the acknowledgement, at most the 3 s that Slack waits."""
        ...


class Delivery:
    """Hands parcels to a carrier, repeats events, and does what the ordered faults say.

    Args:
        carrier: the way to the bot; `None` until there is one (every attempt fails till then).
        time_scale: what one second of the documented pauses lasts here; 0.01 makes a minute 0.6 s.
        changed: called after everything that a waiting test may want to see.
    """

    def __init__(
        self,
        carrier: Carrier | None,
        *,
        time_scale: float = 1.0,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.carrier = carrier
        self.time_scale = time_scale
        self.parcels: list[Parcel] = []
        self._changed = changed
        self._tasks: set[asyncio.Task[None]] = set()
        self._times = 1
        self._window = 1
        self._held = False
        self._waiting: list[Parcel] = []  # held or gathered, not yet on their way
        self._gathering: asyncio.TimerHandle | None = None

    # ── faults ───────────────────────────────────────────────────────────────────────────────

    def duplicate(self, times: int) -> None:
        """From now on every event is delivered `times` times in all, under its one event id. 1 ends it."""
        self._times = times

    def reorder(self, window: int) -> None:
        """From now on events wait until `window` of them are there, and go in opposite order. 1 ends it.

        A window that does not fill within 0.25 s goes as it is.
        """
        self._window = window
        if window <= 1 and not self._held:
            self._flush()

    def hold(self) -> None:
        """Keep every event back until `release`."""
        self._held = True

    def release(self) -> None:
        """Send what was held."""
        self._held = False
        self._flush()

    @property
    def held(self) -> int:
        """How many events wait for `release` or for their window to fill."""
        return len(self._waiting)

    # ── sending ──────────────────────────────────────────────────────────────────────────────

    def post(self, parcel: Parcel) -> Parcel:
        """Take a parcel; it is on its way when this returns, the bot need not have it yet."""
        self.parcels.append(parcel)
        if parcel.kind != "events_api":
            self._start(parcel)
        elif self._held or self._window > 1:
            self._waiting.append(parcel)
            if not self._held:
                self._gather()
        else:
            self._send(parcel)
        self._changed()
        return parcel

    async def ask(self, parcel: Parcel) -> Answer:
        """Post a parcel and wait for what the bot answers (or for Slack to give up)."""
        await self.post(parcel).settled.wait()
        assert parcel.answer is not None
        return parcel.answer

    def ack_latencies(self, kind: Kind | None = None) -> list[float]:
        """Seconds from sending to acknowledgement, of every attempt that was acknowledged."""
        return [
            attempt.acked_at - attempt.sent_at
            for parcel in self.parcels
            if kind in (None, parcel.kind)
            for attempt in parcel.attempts
            if attempt.acked_at is not None
        ]

    def unacked(self) -> list[Parcel]:
        """What the bot has not acknowledged (yet)."""
        return [parcel for parcel in self.parcels if not parcel.acked]

    async def close(self) -> None:
        """Give up everything that is still on its way."""
        if self._gathering:
            self._gathering.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _gather(self) -> None:
        if len(self._waiting) >= self._window:
            self._flush()
        elif self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER_S, self._flush)

    def _flush(self) -> None:
        if self._gathering:
            self._gathering.cancel()
            self._gathering = None
        if self._held:
            return
        waiting, self._waiting = self._waiting, []
        for parcel in reversed(waiting) if self._window > 1 else waiting:
            self._send(parcel)

    def _send(self, parcel: Parcel) -> None:
        for _ in range(self._times):
            self._start(parcel)

    def _start(self, parcel: Parcel) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(parcel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, parcel: Parcel) -> None:
        """All attempts for a parcel, until one is acknowledged."""
        pauses = RETRY_AFTER_S if parcel.kind == "events_api" else ()
        answer = await self._attempt(parcel, 0, "")
        for number, pause in enumerate(pauses, start=1):
            if answer.ok or not answer.again:
                break
            await asyncio.sleep(pause * self.time_scale)
            answer = await self._attempt(parcel, number, answer.failure)
        parcel.settled.set()
        self._changed()

    async def _attempt(self, parcel: Parcel, number: int, reason: str) -> Answer:
        now = asyncio.get_running_loop().time
        attempt = Attempt(number, reason, sent_at=now())
        parcel.attempts.append(attempt)
        if self.carrier is None:
            answer = Answer(ok=False, failure="connection_failed")
        else:
            answer = await self.carrier.carry(parcel, attempt)
        if answer.ok:
            attempt.acked_at = now()
        attempt.answer = answer
        self._changed()
        return answer
