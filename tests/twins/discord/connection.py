"""One WebSocket of the gateway: frames, compression, heartbeats, limits. Sessions are in `sessions.py`."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, cast

import zstandard
from aiohttp import WSMsgType, web

from tests.twins.discord.events import Json
from tests.twins.discord.sessions import Invalid, Rejected, Session

LARGEST_FRAME = 4096  # bytes of what a client sends
MOST_SENT, WITHIN_S = 120, 60.0
CLOSE_S = 0.5  # how long a closing connection waits for the client's farewell
RESUMABLE_CODES = (4000, 4001, 4002, 4003, 4005, 4008)  # of ours; after the others the session is gone
GONE_CODES = (1000, 1001)  # with these a client gives its session up
MISUSE = (4001, 4002, 4003, 4005, 4007, 4008)  # what no correct bot makes us close with
OURS_ALONE = (0, 7, 9, 10, 11)  # op codes that no client sends

Pack = Callable[[Json], str | bytes]


class Owner(Protocol):
    """What a connection asks of the gateway."""

    heartbeat_s: float
    silent: bool

    @property
    def problems(self) -> list[str]: ...

    def identify(self, line: Connection, asked: Mapping[str, Any]) -> Session: ...

    def resume(self, line: Connection, asked: Mapping[str, Any]) -> Session: ...

    def beat(self, line: Connection) -> None: ...

    def sets_presence(self, line: Connection, presence: Json) -> None: ...

    def wants_members(self, line: Connection, asked: Mapping[str, Any]) -> None: ...

    def changed(self) -> None: ...


def packer(compress: str) -> Pack:
    """How payloads are written on a connection: plain JSON, or one running compressed stream.

    Args:
        compress: "", "zlib-stream" or "zstd-stream"; each payload ends with a flush, so that it can be read.
    """
    if compress == "zlib-stream":
        deflating = zlib.compressobj()

        def deflate(payload: Json) -> bytes:
            return deflating.compress(_json(payload)) + deflating.flush(zlib.Z_SYNC_FLUSH)

        return deflate
    if compress == "zstd-stream":
        stream = zstandard.ZstdCompressor().compressobj()

        def squeeze(payload: Json) -> bytes:
            return stream.compress(_json(payload)) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

        return squeeze
    if compress:
        raise ValueError(f"{compress!r} is no compression that Discord has")
    return lambda payload: _json(payload).decode()


class Connection:
    """One connection, from HELLO to its end.

    Args:
        owner: the gateway.
        ws, transport: the WebSocket and what carries it.
        pack: how payloads are written.
    """

    def __init__(
        self, owner: Owner, ws: web.WebSocketResponse, transport: asyncio.Transport, pack: Pack
    ) -> None:
        self.session: Session | None = None
        self.beats = 0
        self._owner = owner
        self._ws = ws
        self._transport = transport
        self._pack = pack
        self._leaving: asyncio.Queue[Json | Rejected] = asyncio.Queue()
        self._code = 0  # that we closed with
        self._dead: asyncio.TimerHandle | None = None
        self._sent: deque[float] = deque()

    async def run(self) -> None:
        """HELLO, then whatever comes, until one side ends it."""
        self.push({"op": 10, "d": {"heartbeat_interval": round(self._owner.heartbeat_s * 1000)}, "t": None})
        self._alive()
        writing = asyncio.get_running_loop().create_task(self._write())
        try:
            with suppress(ConnectionError):
                async for message in self._ws:
                    if message.type == WSMsgType.TEXT:
                        self._take(cast(str, message.data).encode())
                    elif message.type == WSMsgType.BINARY:
                        self._take(cast(bytes, message.data))
        finally:
            if self._dead is not None:
                self._dead.cancel()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    @property
    def gives_up(self) -> bool:
        """The session does not outlive this end: the client closed with 1000 or 1001, or we for good."""
        if self._code:
            return self._code not in RESUMABLE_CODES
        return self._ws.close_code in GONE_CODES

    def push(self, payload: Json) -> None:
        """Send soon, in order."""
        self._leaving.put_nowait({"t": None, "s": None} | payload)

    def close(self, code: int, why: str = "") -> None:
        """Close after what is on its way."""
        self._leaving.put_nowait(Rejected(code, why))

    def reset(self) -> None:
        """End without a word: a connection that breaks."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None:  # linger of 0 s: a reset instead of an orderly end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        with suppress(ConnectionError):
            while True:
                leaving = await self._leaving.get()
                if isinstance(leaving, Rejected):
                    self._code = leaving.code
                    await self._ws.close(code=leaving.code, message=leaving.why.encode()[:120])
                    return
                packed = self._pack(leaving)
                await (self._ws.send_str(packed) if isinstance(packed, str) else self._ws.send_bytes(packed))

    def _alive(self) -> None:
        """A client that does not send a heartbeat for two intervals is dead."""
        if self._dead is not None:
            self._dead.cancel()
        self._dead = asyncio.get_running_loop().call_later(
            2 * self._owner.heartbeat_s, self.close, 4009, "no heartbeat for two intervals"
        )

    def _take(self, frame: bytes) -> None:
        try:
            self._count()
            self._obey(*_read(frame))
        except Rejected as no:
            if no.code in MISUSE:
                self._owner.problems.append(str(no))
            self.close(no.code, no.why)
        except Invalid:
            self.push({"op": 9, "d": False})
        self._owner.changed()

    def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        self._sent.append(now)
        while self._sent[0] < now - WITHIN_S:
            self._sent.popleft()
        if len(self._sent) > MOST_SENT:
            raise Rejected(4008, f"more than {MOST_SENT} payloads a minute")

    def _obey(self, op: int, asked: Any) -> None:
        if op == 1:
            self.beats += 1
            self._alive()
            self._owner.beat(self)
            if not self._owner.silent:
                self.push({"op": 11})
            return
        if op not in (2, 3, 4, 6, 8, 31):
            raise Rejected(
                4001, f"op {op} is not for clients" if op in OURS_ALONE else f"there is no op {op}"
            )
        if op in (2, 6):
            if self.session is not None:
                raise Rejected(4005, "already authenticated")
            asked = _record(asked)
            take_up = self._owner.identify if op == 2 else self._owner.resume
            self.session = take_up(self, asked)
            return
        if self.session is None:
            raise Rejected(4003, "not authenticated")
        if op == 3:
            presence = _record(asked)
            if not {"since", "activities", "status", "afk"} <= presence.keys():
                raise Rejected(4002, "a presence without since, activities, status or afk")
            self._owner.sets_presence(self, presence)
        elif op == 8:
            asked = _record(asked)
            if "guild_id" not in asked or not asked.keys() & {"query", "user_ids"}:
                raise Rejected(4002, "members of which guild, and which?")
            self._owner.wants_members(self, asked)


def _json(payload: Json) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


def _read(frame: bytes) -> tuple[int, Any]:
    if len(frame) > LARGEST_FRAME:
        raise Rejected(4002, f"more than {LARGEST_FRAME} bytes")
    try:
        payload = _record(json.loads(frame))
    except ValueError:
        raise Rejected(4002, "not JSON") from None
    op = payload.get("op")
    if not isinstance(op, int) or isinstance(op, bool):
        raise Rejected(4002, "no op")
    return op, payload.get("d")


def _record(asked: Any) -> Json:
    if not isinstance(asked, dict):
        raise Rejected(4002, "no object")
    return cast(Json, asked)
