"""When a call is made again, and how streams go on after a connection broke. Pure flows.

A call is repeated where that cannot do anything twice: it never arrived, the server refused it for
now (429, 503), or it is one that may be sent twice (a GET, or a POST under an idempotency key).
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from typing import Any, Final, Protocol, TypeVar

from quartet_client.effects import (
    Connect,
    Effect,
    Flow,
    Frame,
    Give,
    Hang,
    Reply,
    Request,
    Say,
    Sleep,
    hear,
    listen,
    next_frame,
    send,
)
from quartet_client.errors import ApiError, QuartetError, TimedOut, TooMany, Unavailable, Unreachable
from quartet_client.replies import check, retry_after
from quartet_client.settings import Settings

Item = TypeVar("Item")
ItemOut = TypeVar("ItemOut", covariant=True)
Streaming = Generator[Effect | Give[Item], Any, None]

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 10.0
STEADY_S: Final = 5.0  # a stream that lived so long worked
FEW: Final = 4  # retries of what is not waited for long: nobody knows whether it helps, or is meant
AGAIN: Final = frozenset({429, 502, 503, 504})


def pause_s(failures: int) -> float:
    """Seconds after that many failures in a row: doubling, with chance so that not all come at once."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1)


def patiently(own: Settings, request: Request) -> Flow[Reply]:
    """Make a call; again, where that is safe and may help.

    One that may be sent twice looks for a server that is away or starting for `reconnect_s` seconds.
    """
    failures, began = 0, time.monotonic()

    def over(*, away: bool) -> bool:
        if own.retries is not None:
            return failures > own.retries
        if away and request.repeatable:
            return time.monotonic() - began > own.reconnect_s
        return failures > FEW

    while True:
        try:
            reply = yield from send(request)
        except Unreachable as error:
            failures += 1
            if over(away=True) or (error.sent and not request.repeatable):
                raise
            wait = pause_s(failures)
        else:
            if reply.status not in AGAIN or not (request.repeatable or reply.status == 429):
                return reply
            failures += 1
            asked = retry_after(reply.headers)
            if over(away=reply.status != 429) or (asked or 0) > own.max_pause_s:
                return reply
            wait = pause_s(failures) if asked is None else asked
        yield Sleep(wait)


class Holding:
    """How long a stream, or a wait, holds out against failures.

    The server is looked for until `reconnect_s` have passed since the last sign of life, or since the first
    try; where `retries` is set, a first connection is tried so many times more.
    """

    def __init__(self, own: Settings) -> None:
        self._own = own
        self._failures = 0
        self._began = time.monotonic()
        self._alive_at: float | None = None
        self._opened_at: float | None = None

    def opens(self) -> None:
        """A connection is tried now; one that is steady was a sign of life."""
        self._opened_at = time.monotonic()

    def alive(self) -> None:
        """There was a sign of life."""
        self._failures = 0
        self._alive_at = time.monotonic()

    def wait_s(self, error: QuartetError) -> float:
        """How long to wait now.

        Raises:
            QuartetError: the same, when waiting is over or cannot help.
        """
        if not isinstance(error, (Unreachable, TimedOut, TooMany, Unavailable)):
            raise error
        if self._opened_at is not None and time.monotonic() - self._opened_at > STEADY_S:
            self.alive()
        self._failures += 1
        if self._alive_at is None and self._own.retries is not None:
            over = self._failures > self._own.retries
        else:
            over = time.monotonic() - (self._alive_at or self._began) > self._own.reconnect_s
        asked = error.retry_after if isinstance(error, ApiError) else None
        if over or (asked or 0) > self._own.max_pause_s:
            raise error
        return pause_s(self._failures) if asked is None else asked


class Reading(Protocol[ItemOut]):
    """What a stream of server-sent events has come to."""

    ended: bool  # the last item was taken

    def request(self) -> Request:
        """The call that goes on behind what was taken."""
        ...

    def take(self, frame: Frame) -> ItemOut | None:
        """The item of an event; None: there is none in it, or it was taken before."""
        ...


def following(own: Settings, reading: Reading[Item]) -> Streaming[Item]:
    """Give every item of a stream once, in order, over as many connections as it takes."""
    holding = Holding(own)
    while True:
        holding.opens()
        try:
            reply = yield from listen(reading.request())
            check(reply)
            if reply.status == 204:  # the stream is over and all of it was sent
                return
            while (frame := (yield from next_frame())) is not None:
                item = reading.take(frame)
                holding.alive()
                if item is not None:
                    yield Give(item)
                if reading.ended:
                    return
            raise Unreachable("The stream ended too early.", sent=True)
        except QuartetError as error:
            wait = holding.wait_s(error)
        yield Hang()
        yield Sleep(wait)


class Talking(Protocol[ItemOut]):
    """What a WebSocket has come to."""

    ended: bool  # the last item was taken
    over: bool  # nothing more is due; the server may close
    resumes: bool  # it can go on behind what was taken

    def connect(self) -> Connect:
        """The connection that goes on behind what was taken."""
        ...

    def first(self) -> str | None:
        """What to say at once."""
        ...

    def take(self, text: str) -> ItemOut | None:
        """The item of a message; None: there is none in it, or it was taken before."""
        ...


def talking(own: Settings, talk: Talking[Item]) -> Streaming[Item]:
    """Give every item of a WebSocket once, in order, over as many connections as it takes."""
    holding = Holding(own)
    while True:
        holding.opens()
        try:
            yield talk.connect()
            first = talk.first()
            if first is not None:
                yield Say(first)
            while (text := (yield from hear())) is not None:
                item = talk.take(text)
                holding.alive()
                if item is not None:
                    yield Give(item)
                if talk.ended:
                    return
            if talk.over:
                return
            raise Unreachable("The connection was closed too early.", sent=True)
        except QuartetError as error:
            if isinstance(error, Unreachable) and error.sent and not talk.resumes:
                raise
            wait = holding.wait_s(error)
        yield Hang()
        yield Sleep(wait)
