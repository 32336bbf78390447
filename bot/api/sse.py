"""Server-sent events that reach the client at once, also through proxies: frames and their stream.

A frame is bytes, made once however many clients get it. `EventStream` sends frames as they come,
says a comment in silence, and ends its source when the client has gone or does not read; what
other answers of this kind share with it is in `Streamed`.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from typing import Any, Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bot.api.letting_go import SERVERS_SEND, cut, key_lives

log = structlog.get_logger(__name__)

HEARTBEAT_S: Final = 15.0  # proxies end what is silent for longer: nginx after 60 s
UNREAD_S: Final = 60.0  # a client that takes nothing for so long is let go; it comes back where it was
HEARTBEAT: Final = b": ping\n\n"
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-cache, no-transform",  # no-transform: nobody compresses, which would buffer
    "X-Accel-Buffering": "no",  # nginx sends on at once, without settings of its own
    "Content-Type": "text/event-stream; charset=utf-8",
}


def frame(content: Any, *, event: str = "", id: str | int | None = None) -> bytes:
    """One event.

    Args:
        content: JSON; sent as ASCII in one line, so that no character of it looks like a line break.
        event: its type, one line; "": `message`.
        id: what a client sends back as `Last-Event-ID`, one line; None: the event cannot be resumed behind.
    """
    lines = [f"id: {id}"] if id is not None else []
    if event:
        lines.append(f"event: {event}")
    lines.append(f"data: {json.dumps(content)}")
    return "\n".join([*lines, "", ""]).encode()


class Streamed(Response, ABC):
    """An answer of events. Where they come from, and who sends them when, is for the kinds of it to say.

    Args:
        heartbeat_s: seconds of silence before a comment is sent.
    """

    def __init__(self, *, heartbeat_s: float) -> None:
        super().__init__(headers=dict(HEADERS), media_type=None)
        del self.headers["content-length"]
        self._heartbeat_s = heartbeat_s
        self._sent_at = 0.0  # the loop's time
        self._sending = False
        self._is_refused = False  # the caller's key ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until there is no more, or the client goes."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        self._sent_at = asyncio.get_running_loop().time()
        send = scope.get(SERVERS_SEND, send)  # what is behind a header concerns no middleware
        gone = asyncio.timeout(None)
        watching: asyncio.Task[None] | None = None
        try:
            async with gone:
                watching = asyncio.create_task(self._watch(scope, receive, send, gone))
                await self._send_all(send)
                await _end(send)
        except TimeoutError:
            if not gone.expired():
                raise
            if self._is_refused and not await _in_time(_end(send)):
                cut(scope)
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    @abstractmethod
    async def _send_all(self, send: Send) -> None:
        """Send everything, by `_send`; cancelled when the client goes."""

    async def _send(self, send: Send, content: bytes) -> None:
        self._sending, self._sent_at = True, asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": content, "more_body": True})
        self._sending = False

    async def _watch(self, scope: Scope, receive: Receive, send: Send, gone: asyncio.Timeout) -> None:
        """Beat, and end the stream when nobody reads it any more. One waiting task, and one timer."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(self._sent_at + self._heartbeat_s):
                    if (await receive())["type"] == "http.disconnect":
                        break
                continue
            except TimeoutError:
                pass
            if not await key_lives(scope):
                self._is_refused = True
                break
            now = loop.time()
            if self._sending:  # the client's buffers are full
                if now - self._sent_at > UNREAD_S:
                    _give_up(scope)
                    break
                await asyncio.sleep(min(1.0, self._heartbeat_s))
            elif now - self._sent_at >= self._heartbeat_s:
                self._sent_at = now
                beat = send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
                if not await _in_time(beat):  # the server took all, and the client nothing since
                    _give_up(scope)
                    break
        gone.reschedule(loop.time())


class EventStream(Streamed):
    """An answer of events, as long as its source gives them.

    Args:
        frames: the events, as `frame` makes them; several may come as one. Closed at the end, whoever ends.
        heartbeat_s: seconds of silence before a comment is sent.
    """

    def __init__(self, frames: AsyncGenerator[bytes, None], *, heartbeat_s: float = HEARTBEAT_S) -> None:
        super().__init__(heartbeat_s=heartbeat_s)
        self._frames = frames

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._frames) as frames:
            async for content in frames:
                await self._send(send, content)


async def _end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _in_time(sending: Awaitable[None]) -> bool:
    """Send; whether the client read enough of what was sent before."""
    try:
        async with asyncio.timeout(UNREAD_S):
            await sending
    except TimeoutError:
        return False
    return True


def _give_up(scope: Scope) -> None:
    log.info("a client did not read its stream", action="stream_unread")
    cut(scope)
