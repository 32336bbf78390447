"""Socket Mode: tickets, WebSockets, envelopes and their acknowledgements, `disconnect`.

`apps.connections.open` gives an address that works once. Each envelope goes to one of the open connections,
in turn; an acknowledgement counts on whichever connection it comes. A connection that was told to go still
gets envelopes until it is closed.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import struct
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, cast

from aiohttp import WSCloseCode, WSMsgType, web

from tests.twins.slack.delivery import ACK_LIMIT_S, Answer, Attempt, Json, Parcel

Reason = Literal["refresh_requested", "warning", "link_disabled"]
MOST_CONNECTIONS = 10
HOST = "applink-loopback"
CLOSE_S = 0.5  # how long a closing connection waits for the client's farewell


class Sockets:
    """The WebSocket side of the twin.

    Args:
        app_id: the app whose connections these are.
        ack_limit_s: how long an envelope waits for its acknowledgement.
        ping_every_s: pause between the ping frames that Slack sends.
        changed: called when a connection comes or goes.
    """

    def __init__(
        self,
        app_id: str,
        *,
        ack_limit_s: float = ACK_LIMIT_S,
        ping_every_s: float = 5.0,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.app_id = app_id
        self.ack_limit_s = ack_limit_s
        self.ping_every_s = ping_every_s
        self.opened = 0  # connections since the beginning
        self.problems: list[str] = []  # frames that no correct client sends
        self._changed = changed
        self._tickets: set[str] = set()
        self._open: list[tuple[web.WebSocketResponse, asyncio.Transport]] = []
        self._turn = 0
        self._acks: dict[str, asyncio.Future[Answer]] = {}

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._open)

    def ticket(self) -> str:
        """A ticket for one connection, as `apps.connections.open` hands it out."""
        ticket = secrets.token_hex(12)
        self._tickets.add(ticket)
        return ticket

    # ── connections ──────────────────────────────────────────────────────────────────────────

    async def link(self, request: web.Request) -> web.StreamResponse:
        """`GET /link?ticket=…&app_id=…`: one connection, from hello to its end."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=403, text="this ticket was used, or never given")
        self._tickets.discard(ticket)
        ws = web.WebSocketResponse(timeout=CLOSE_S)
        await ws.prepare(request)
        transport = request.transport
        assert transport is not None
        if len(self._open) >= MOST_CONNECTIONS:
            await ws.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await ws.close()
            return ws
        entry = (ws, transport)
        self._open.append(entry)
        self.opened += 1
        pings = asyncio.get_running_loop().create_task(self._ping(ws))
        try:
            with suppress(ConnectionError):
                await ws.send_json(self._hello())
                self._changed()
                async for message in ws:
                    if message.type == WSMsgType.TEXT:
                        self._acknowledge(cast(str, message.data))
        finally:
            pings.cancel()
            self._open = [other for other in self._open if other is not entry]
            self._changed()
        return ws

    async def disconnect(self, reason: Reason = "refresh_requested", *, close_after_s: float = 0.2) -> None:
        """Tell every open connection to go, and close those that have not gone after `close_after_s`."""
        leaving = list(self._open)
        for ws, _ in leaving:
            with suppress(ConnectionError):
                await ws.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": HOST}})
        await asyncio.sleep(close_after_s)
        await asyncio.gather(*(ws.close(code=WSCloseCode.GOING_AWAY) for ws, _ in leaving))

    def drop(self) -> int:
        """Reset every open connection, without a word; returns how many there were."""
        for _, transport in self._open:
            connection = transport.get_extra_info("socket")
            if connection is not None:  # linger of 0 s: a reset instead of an orderly end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return len(self._open)

    async def close(self) -> None:
        """End every connection."""
        await asyncio.gather(*(ws.close(code=WSCloseCode.GOING_AWAY) for ws, _ in self._open))

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._open),
            "debug_info": {"host": HOST, "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": self.app_id},
        }

    async def _ping(self, ws: web.WebSocketResponse) -> None:
        with suppress(ConnectionError):
            while not ws.closed:
                await asyncio.sleep(self.ping_every_s)
                await ws.ping(b"Ping from " + HOST.encode())

    # ── envelopes ────────────────────────────────────────────────────────────────────────────

    async def carry(self, parcel: Parcel, attempt: Attempt) -> Answer:
        """One envelope to one connection; waits for its acknowledgement."""
        envelope_id = str(uuid.uuid4())
        envelope: Json = {
            "envelope_id": envelope_id,
            "type": parcel.kind,
            "payload": parcel.payload,
            "accepts_response_payload": _takes_payload(parcel),
        }
        if parcel.kind == "events_api":
            envelope |= {"retry_attempt": attempt.number, "retry_reason": attempt.reason}
        ack: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._acks[envelope_id] = ack
        try:
            if not await self._push(envelope):
                return Answer(ok=False, failure="connection_failed")
            async with asyncio.timeout(self.ack_limit_s):
                answer = await ack
        except TimeoutError:
            return Answer(ok=False, failure="timeout")
        finally:
            del self._acks[envelope_id]
        if answer.body is not None and not envelope["accepts_response_payload"] and answer.body != {}:
            self.problems.append(f"a {parcel.kind} envelope was answered with a payload, which Slack ignores")
        return answer

    async def _push(self, envelope: Json) -> bool:
        """Send to the next connection that takes it."""
        for _ in range(len(self._open)):
            self._turn += 1
            if not self._open:
                return False
            ws, _ = self._open[self._turn % len(self._open)]
            with suppress(ConnectionError):
                await ws.send_str(json.dumps(envelope))
                return True
        return False

    def _acknowledge(self, frame: str) -> None:
        try:
            envelope_id = str(json.loads(frame)["envelope_id"])
            body: Json | None = json.loads(frame).get("payload")
        except (ValueError, TypeError, KeyError, AttributeError):
            self.problems.append(f"not an acknowledgement: {frame[:200]}")
            return
        waiting = self._acks.get(envelope_id)  # None: it came after 3 s; Slack ignores that
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(ok=True, body=body))


def _takes_payload(parcel: Parcel) -> bool:
    """Slack reads the bot's payload for commands and for what is answered inside a modal."""
    if parcel.kind == "slash_commands":
        return True
    answered = ("view_submission", "block_suggestion")
    return parcel.kind == "interactive" and parcel.payload.get("type") in answered
