"""The stream of one run's log, for a thousand clients at once.

A waiting client costs no task step for an event: its frames are handed to the server as soon as they
are there, by who brings the news. Only where the client's buffers are full, or the log has to be
read, its own task goes on with it.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any

from starlette.types import Send

from bot.api.core import Core
from bot.api.entries import pieces
from bot.api.feed import Feed, Follower
from bot.api.sse import Streamed, frame
from orchestrator.events import RunId


class RunStream(Streamed):
    """An answer of all events of a run with `seq > after`, live; `end` is the last one.

    Args:
        core: the bot.
        run_id: a run that there is.
        after: the last event that the client has.
        heartbeat_s: seconds of silence before a comment is sent.
    """

    def __init__(self, core: Core, run_id: RunId, after: int, *, heartbeat_s: float) -> None:
        super().__init__(heartbeat_s=heartbeat_s)
        self._core = core
        self._run_id = run_id
        self._after = after

    async def _send_all(self, send: Send) -> None:
        async with self._core.feeds.joined(self._core.ready(), self._run_id) as feed:
            pushed = _Pushed(self, feed, send)
            while True:
                pushed.is_told = False
                if pushed.unsent is not None:
                    coroutine, waits_for = pushed.unsent
                    pushed.unsent = None
                    await _rest_of(coroutine, waits_for)
                    self._sending = False
                elif self._core.closing.is_set():
                    return  # the client comes back
                elif entries := await feed.read(self._after):
                    for piece in pieces(entries):
                        await self._send(send, piece)
                    self._after = entries[-1].event.seq
                elif feed.is_whole:
                    await self._send(send, frame({"status": feed.status}, event="end"))
                    return
                else:
                    await feed.wait(pushed)

    def push(self, feed: Feed, send: Send, pushed: _Pushed) -> bool:
        """Send what is there without a task; whether there is nothing else to do now."""
        before = self._after
        while entries := feed.ready(self._after):
            content = entries[0].frame if len(entries) == 1 else b"".join([entry.frame for entry in entries])
            sending = self._send(send, content)
            self._after = entries[-1].event.seq
            try:
                waits_for = sending.send(None)
            except StopIteration:
                continue
            pushed.unsent = sending, waits_for  # the client's buffers are full
            return False
        # What else there may be takes the task: an end, or a part of the log that has to be read.
        is_over = feed.is_whole or self._core.closing.is_set()
        return before < self._after == feed.head and not is_over


class _Pushed(Follower):
    """A waiting client, to whom events are sent as they come."""

    __slots__ = ("_feed", "_send", "_stream", "unsent")

    def __init__(self, stream: RunStream, feed: Feed, send: Send) -> None:
        super().__init__(doing=False)
        self._stream = stream
        self._feed = feed
        self._send = send
        self.unsent: tuple[Coroutine[Any, Any, None], Any] | None = None  # begun, and what it waits for

    def wake(self) -> None:
        if self.is_waiting:
            try:
                if self._stream.push(self._feed, self._send, self):
                    self._feed.waits_on(self)
                    return
            except Exception as error:  # the server's; the task that waits is the one to hear of it
                self.fail(error)
                return
        super().wake()


@types.coroutine
def _rest_of(begun: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that was begun outside of a task, and waits for a future."""
    while True:
        try:
            got = yield waits_for
        except BaseException as error:
            try:
                waits_for = begun.throw(error)
            except StopIteration:
                return
        else:
            try:
                waits_for = begun.send(got)
            except StopIteration:
                return
