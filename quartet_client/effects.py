"""What a flow asks of the wire, and what the wire gives back. Pure: the wires do it, the flows think.

A flow is a generator: it yields one of these, is sent what came of it (or has the error thrown at
it), and returns its result. So every method is written once, and `Quartet` and `AsyncQuartet`
differ in nothing but how they wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
ItemOut = TypeVar("ItemOut", covariant=True)


@dataclass(frozen=True, slots=True)
class Request:
    """One call."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict[str, "str | int"])
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    repeatable: bool = False  # doing it twice is the same as once
    timeout_s: float | None = None  # for the whole answer; None: that of the client


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes = field(repr=False)

    def media_type(self) -> str:
        """What the body claims to be."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The body.

        Raises:
            ValueError: it is not JSON.
        """
        try:
            return json.loads(self.content)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class Frame(NamedTuple):
    """One server-sent event."""

    event: str
    data: str
    id: str


@dataclass(frozen=True, slots=True)
class Send:
    """Make a call. → Reply."""

    request: Request


@dataclass(frozen=True, slots=True)
class Listen:
    """Open a stream of server-sent events. → Reply; without content where the stream is open."""

    request: Request


@dataclass(frozen=True, slots=True)
class NextFrame:
    """Wait for the open stream. → Frame, or None at its end."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a WebSocket. → None."""

    path: str
    params: Mapping[str, str | int] = field(default_factory=dict[str, "str | int"])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Say:
    """Send text on the open socket. → None."""

    text: str


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait for the open socket. → text, or None when the server closed it in order."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Close what is open. → None."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait. → None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tell:
    """Call the caller's function; an async one is awaited by the async client. → None."""

    listener: Callable[[Any], Any]
    news: Any


@dataclass(frozen=True, slots=True)
class Give(Generic[ItemOut]):
    """Hand an item of a stream to the caller. → None."""

    item: ItemOut


Effect = Send | Listen | NextFrame | Connect | Say | Hear | Hang | Sleep | Tell
Flow = Generator[Effect, Any, T]


def send(request: Request) -> Flow[Reply]:
    """`Send`, typed."""
    reply: Reply = yield Send(request)
    return reply


def listen(request: Request) -> Flow[Reply]:
    """`Listen`, typed."""
    reply: Reply = yield Listen(request)
    return reply


def next_frame() -> Flow[Frame | None]:
    """`NextFrame`, typed."""
    frame: Frame | None = yield NextFrame()
    return frame


def hear() -> Flow[str | None]:
    """`Hear`, typed."""
    text: str | None = yield Hear()
    return text
