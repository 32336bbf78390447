"""`WS /ws/{session_id}`: a session's status, then its log, then what is added, live.

Each message has an `id`, and `?after=ID` goes on exactly behind it. Without it a socket goes on where the
last one closed. That place is kept in the database: what was handed to the connection counts as heard. A
connection that breaks can swallow its last messages, and a bot that is killed can repeat some; a client that
must not miss or repeat any remembers the last `id` itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final

import structlog
from fastapi import Query, WebSocket

from bot.api import starting
from bot.api.core import Core
from bot.api.errors import wrong
from bot.api.session_log import Entry, SessionLog
from bot.api.session_models import FAMILY
from bot.api.sockets import Gone, Socket, opened
from orchestrator.errors import StoreFailed
from orchestrator.events import RunId
from orchestrator.marks import Marks

log = structlog.get_logger(__name__)

UNKNOWN: Final = -1  # until the database was asked


@dataclass(slots=True)
class _Open:
    """Sockets of one session that are open at the same time."""

    count: int = 0
    base: int = UNKNOWN  # where one that opens now begins: how far the last that closed had come
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class SessionSockets:
    """The sockets of all sessions.

    Args:
        core: the bot.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._open: dict[RunId, _Open] = {}

    async def follow(
        self,
        websocket: WebSocket,
        session_id: str,
        after: Annotated[str | None, Query(max_length=20)] = None,
    ) -> None:
        """Send a session's log from where the client stands, until the session ends."""
        async with opened(websocket, self._core, error_field="content") as socket:
            socket.hear_no_more()
            await self._send_all(socket, session_id, _position(after))

    async def _send_all(self, socket: Socket, session_id: str, after: int | None) -> None:
        run_id = await starting.find(self._core, FAMILY, session_id)
        async with self._joined(run_id) as known:
            # Before the log is read: so all that other sockets were sent by now is in it.
            base = known.base
            await self._send_from(socket, run_id, known, base, after)

    async def _send_from(
        self, socket: Socket, run_id: RunId, known: _Open, base: int, after: int | None
    ) -> None:
        service = self._core.ready()
        events = await service.store.events(run_id)
        state = await service.state(run_id)
        session = SessionLog(await self._core.definition(state.created.workflow_digest))
        so_far = [entry for event in events for entry in session.feed(event)]
        if after is not None and after > session.length:
            raise wrong("after", f"is beyond the log, which has {session.length} lines")
        start = min(base, session.length) if after is None else after
        async with self._heard(run_id, known, start) as heard:
            # Its id is where the client stands: who comes back with it has missed nothing.
            await socket.send({"type": "status", "content": session.status, "id": start})
            await _send(socket, so_far, start, heard)
            heard(session.length)
            async with aclosing(self._core.follow(run_id, events[-1].seq, socket.gone)) as live:
                async for event in live:
                    await _send(socket, session.feed(event), start, heard)
            if socket.gone.is_set():
                raise Gone

    @asynccontextmanager
    async def _joined(self, run_id: RunId) -> AsyncGenerator[_Open]:
        """What a session's open sockets know together; counted before anything is waited for."""
        known = self._open.setdefault(run_id, _Open())
        known.count += 1
        try:
            async with known.reading:
                if known.base == UNKNOWN:
                    known.base = (await self._core.ready().store.mark(run_id)).heard
            yield known
        finally:
            known.count -= 1
            if known.count == 0:  # and all was written: whoever comes next reads it
                del self._open[run_id]

    @asynccontextmanager
    async def _heard(self, run_id: RunId, known: _Open, start: int) -> AsyncGenerator[Callable[[int], None]]:
        """Whom a socket tells how far it came; that is kept at once, and at the end."""
        place = _Place(self._core.ready().store, run_id, start)
        keeping = asyncio.create_task(place.keep(), name="session:heard")
        try:
            yield place.heard
        finally:
            known.base = max(known.base, place.position)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await place.write()


class _Place:
    """How far a socket has come, kept in the database: many messages at once are one write."""

    def __init__(self, store: Marks, run_id: RunId, position: int) -> None:
        self._store = store
        self._run_id = run_id
        self._written = position
        self._further = asyncio.Event()
        self.position = position

    def heard(self, position: int) -> None:
        """So far the client was sent everything."""
        self.position = max(self.position, position)
        self._further.set()

    async def keep(self) -> None:
        """Write whenever there is something new; a task."""
        while True:
            await self._further.wait()
            self._further.clear()
            await self.write()

    async def write(self) -> None:
        """Write now, if there is something new."""
        position = self.position
        if position <= self._written:
            return
        try:
            await self._store.heard(self._run_id, position)
            self._written = position
        except StoreFailed as error:
            # The client that comes back hears some of it twice: better than not at all.
            log.warning("how far a socket came was not kept", action="heard_unkept", error=str(error))


def _position(after: str | None) -> int | None:
    if after is None or not after.strip():
        return None
    if not (after.isascii() and after.isdigit()):
        raise wrong("after", "is no number; send the `id` of the last message that you have")
    return int(after)


async def _send(socket: Socket, entries: Sequence[Entry], start: int, heard: Callable[[int], None]) -> None:
    """Send those behind `start`."""
    for entry in entries:
        if entry.live and entry.id > start:
            await socket.send({"type": entry.type, "content": entry.content, "id": entry.id})
        heard(entry.id)
