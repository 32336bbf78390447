"""`WS /ws/{session_id}`: a session's status, then its log, then what is added, live.

Each message has an `id`, and `?after=ID` goes on exactly behind it. Without it a socket goes on where the
last one closed. That place is kept in the database: what was handed to the connection counts as heard. A
connection that breaks can swallow its last messages, and a bot that is killed can repeat some; a client that
must not miss or repeat any remembers the last `id` itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
from fastapi import Query, WebSocket

from bot.api import starting
from bot.api.core import Core
from bot.api.errors import ProblemError, wrong
from bot.api.session_log import Entry, SessionLog
from bot.api.sockets import Gone, Socket, opened
from orchestrator.engine.state import RunState
from orchestrator.errors import StoreFailed
from orchestrator.events import RunId
from orchestrator.ports import Marks
from orchestrator.workflow import Workflow

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Open:
    """Sockets of one session that are open at the same time."""

    base: int  # where one that opens now begins: how far the last that closed had come
    count: int = 0


class SessionSockets:
    """The sockets of all sessions.

    Args:
        core: the bot.
        workflow: the definition that a session began with.
    """

    def __init__(self, core: Core, workflow: Callable[[RunState], Awaitable[Workflow]]) -> None:
        self._core = core
        self._workflow = workflow
        self._open: dict[RunId, _Open] = {}

    async def follow(
        self,
        websocket: WebSocket,
        session_id: str,
        after: Annotated[str | None, Query(max_length=20)] = None,
    ) -> None:
        """Send a session's log from where the client stands, until the session ends."""
        async with opened(websocket, self._core, error_field="content") as socket:
            ignoring = asyncio.create_task(_ignore(socket), name="session:ignore")
            try:
                await self._send_all(socket, session_id, _position(after))
            finally:
                ignoring.cancel()
                await asyncio.gather(ignoring, return_exceptions=True)

    async def _send_all(self, socket: Socket, session_id: str, after: int | None) -> None:
        service = self._core.ready()
        run_id = await starting.find(self._core, "session", session_id)
        events = await service.store.events(run_id)
        session = SessionLog(await self._workflow(await service.state(run_id)))
        so_far = [entry for event in events for entry in session.feed(event)]
        if after is not None and after > session.length:
            raise wrong("after", f"is beyond the log, which has {session.length} lines")
        async with self._heard(run_id, after) as (start, heard):
            # Its id is where the client stands: who comes back with it has missed nothing.
            await socket.send({"type": "status", "content": session.status, "id": start})
            await _send(socket, [entry for entry in so_far if entry.id > start], heard)
            heard(session.length)
            async with aclosing(self._core.follow(run_id, events[-1].seq, socket.gone)) as live:
                async for event in live:
                    await _send(socket, session.feed(event), heard)
            if socket.gone.is_set():
                raise Gone

    @asynccontextmanager
    async def _heard(
        self, run_id: RunId, after: int | None
    ) -> AsyncGenerator[tuple[int, Callable[[int], None]]]:
        """Where a socket begins, and whom it tells how far it came; that is kept at once, and at the end."""
        store = self._core.ready().store
        known = self._open.get(run_id)
        if known is None:
            base = (await store.mark(run_id)).heard
            known = self._open.setdefault(run_id, _Open(base))
        start = known.base if after is None else after
        known.count += 1
        place = _Place(store, run_id, start)
        keeping = asyncio.create_task(place.keep(), name="session:heard")
        try:
            yield start, place.heard
        finally:
            known.base = max(known.base, place.position)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await place.write()
            known.count -= 1
            if known.count == 0:  # only now: whoever comes next reads what was written
                del self._open[run_id]


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


async def _send(socket: Socket, entries: Sequence[Entry], heard: Callable[[int], None]) -> None:
    for entry in entries:
        if entry.live:
            await socket.send({"type": entry.type, "content": entry.content, "id": entry.id})
        heard(entry.id)


async def _ignore(socket: Socket) -> None:
    """What clients say on this socket means nothing; some send signs of life."""
    while True:
        try:
            _unread: Any = await socket.receive()
        except ProblemError:
            if socket.flaw is not None:
                return
        except Gone:
            return
