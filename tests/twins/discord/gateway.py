"""The gateway: where bots connect with a WebSocket, and the faults that a test can order of it.

    await discord.until(lambda: discord.gateway.connected)
    discord.gateway.drop_all()          # connections break; RESUME brings what was missed
    discord.gateway.expire_sessions()   # RESUME is refused; what was missed does not come again

As on the real Discord, a session that is gone takes its events with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.twins.discord import events
from tests.twins.discord.connection import CLOSE_S, Connection, packer
from tests.twins.discord.events import Json
from tests.twins.discord.sessions import IDENTIFIES_A_DAY, Identify, Resume, Session, Sessions

if TYPE_CHECKING:
    from tests.twins.discord.interactions import Interaction
    from tests.twins.discord.server import DiscordTwin

HEARTBEAT_S = 41.25
ANSWER_LIMIT_S = 3.0
VERSIONS = ("9", "10")
DAY_MS = 24 * 3600 * 1000


class Gateway:
    """The gateway of one twin.

    Attributes that tests may set:
        heartbeat_s: of HELLO.
        answer_limit_s: how long a person's client waits for the answer to an interaction.
        privileged: privileged intents that are switched on ("members", "presences") besides message
            content, which is the twin's own setting.
        limits: of IDENTIFYs.
    """

    def __init__(self, twin: DiscordTwin) -> None:
        self.heartbeat_s = HEARTBEAT_S
        self.answer_limit_s = ANSWER_LIMIT_S
        self.silent = False
        self.privileged: set[str] = set()
        self.presences: list[Json] = []  # what bots said of themselves (op 3), oldest first
        self.beats = 0  # heartbeats of all connections
        self.opened = 0  # connections since the beginning
        self.interactions: list[Interaction] = []  # what people did with the app, oldest first
        self._twin = twin
        self._sessions = Sessions(
            twin.backend,
            token_good=lambda token: twin.token_valid and token == twin.token,
            privileged=self._switched_on,
            spent=twin.revokes_token,
        )
        self.limits = self._sessions.limits
        self._lines: list[Connection] = []
        self._down_until = 0.0  # the loop's time

    # ── what happened ────────────────────────────────────────────────────────────────────────

    @property
    def connected(self) -> int:
        """How many connections carry a session now."""
        return sum(line.session is not None for line in self._lines)

    @property
    def sessions(self) -> list[Session]:
        """Sessions that are connected or can be resumed, oldest first."""
        return self._sessions.all

    @property
    def identifies(self) -> list[Identify]:
        """Every IDENTIFY, oldest first."""
        return self._sessions.identifies

    @property
    def resumes(self) -> list[Resume]:
        """Every RESUME, oldest first."""
        return self._sessions.resumes

    @property
    def problems(self) -> list[str]:
        """What no correct bot does: IDENTIFYs too close together, payloads that we had to close for."""
        return self._sessions.problems

    @property
    def failed_interactions(self) -> list[Interaction]:
        """What the bot did not answer within 3 s."""
        return [each for each in self.interactions if each.failed]

    @property
    def session_start_limit(self) -> Json:
        """As `GET /gateway/bot` tells it."""
        return {
            "total": IDENTIFIES_A_DAY,
            "remaining": self.limits.remaining,
            "reset_after": DAY_MS,
            "max_concurrency": self.limits.max_concurrency,
        }

    @property
    def application_flags(self) -> int:
        """The application's flags for the privileged intents that are switched on."""
        return events.application_flags(self._switched_on())

    # ── faults ───────────────────────────────────────────────────────────────────────────────

    def drop(self, shard: int | None = None) -> bool:
        """The newest connection (of a shard) breaks without a word; False: there is none."""
        for line in reversed(self._lines):
            if shard is None or (line.session is not None and line.session.shard[0] == shard):
                line.reset()
                return True
        return False

    def drop_all(self) -> int:
        """Every connection breaks without a word; returns how many there were."""
        for line in self._lines:
            line.reset()
        return len(self._lines)

    def close_all(self, code: int) -> None:
        """Every connection is closed with a code, e.g. 4004 as after a reset of the token."""
        for line in self._lines:
            line.close(code)

    def reconnect(self) -> None:
        """RECONNECT (op 7) to every connection: bots are to come again and RESUME."""
        for line in self._lines:
            line.push({"op": 7, "d": None})

    def invalidate(self, *, resumable: bool) -> None:
        """INVALID_SESSION (op 9) to every connection; not resumable, its session is gone."""
        for line in self._lines:
            if line.session is not None and not resumable:
                self._sessions.forget(line.session)
            line.push({"op": 9, "d": resumable})

    def expire_sessions(self) -> None:
        """Every session is gone: connections get nothing more, and RESUME is refused."""
        for session in self._sessions.all:
            self._sessions.forget(session)

    def refuse(self, code: int | None) -> None:
        """From now on IDENTIFY and RESUME are answered by closing with this code; None ends it."""
        self._sessions.refused_with = code

    def silence(self, *, on: bool = True) -> None:
        """From now on heartbeats are not acknowledged."""
        self.silent = on

    def stop_for(self, seconds: float) -> None:
        """An outage: every connection breaks, and there are no new ones for so long."""
        self._down_until = asyncio.get_running_loop().time() + seconds
        self.drop_all()

    def ask_for_heartbeat(self) -> None:
        """HEARTBEAT (op 1) to every connection, which is to be answered at once."""
        for line in self._lines:
            line.push({"op": 1, "d": None})

    def repeat_last(self, kind: str) -> int:
        """The newest event of this name (`MESSAGE_CREATE`) again; returns to how many sessions."""
        return self._sessions.repeat_last(kind)

    def hold(self) -> None:
        """Keep every event back until `release`."""
        self._sessions.hold()

    def release(self) -> int:
        """Send what was held, in order; returns how many events it were."""
        return self._sessions.release()

    @property
    def held(self) -> int:
        """How many events wait for `release`."""
        return self._sessions.held

    # ── for the server and its connections ───────────────────────────────────────────────────

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """`GET /gateway?v=10&encoding=json&compress=…`: one connection, from HELLO to its end."""
        if asyncio.get_running_loop().time() < self._down_until:
            return web.Response(status=503, text="the gateway is down")
        try:
            pack = packer(request.query.get("compress", ""))
        except ValueError as no:
            return web.Response(status=400, text=str(no))
        ws = web.WebSocketResponse(timeout=CLOSE_S, compress=False, autoping=True)
        await ws.prepare(request)
        transport = request.transport
        assert transport is not None
        line = Connection(self, ws, transport, pack)
        self._lines.append(line)
        self.opened += 1
        if request.query.get("v", "10") not in VERSIONS:
            line.close(4012, "no such version")
        elif request.query.get("encoding", "json") != "json":
            line.close(4002, "this twin speaks JSON")
        self._twin.changed()
        try:
            await line.run()
        finally:
            self._lines.remove(line)
            if line.session is not None:
                self._sessions.left(line.session, line, for_good=line.gives_up)
            self._twin.changed()
        return ws

    async def close(self) -> None:
        """End every connection."""
        for interaction in self.interactions:
            interaction.give_up()
        for line in self._lines:
            line.close(1001)

    def identify(self, line: Connection, asked: Mapping[str, Any]) -> Session:
        """IDENTIFY came on a connection."""
        return self._sessions.identify(line, asked, self._twin.gateway_url)

    def resume(self, line: Connection, asked: Mapping[str, Any]) -> Session:
        """RESUME came on a connection."""
        return self._sessions.resume(line, asked)

    def beat(self, line: Connection) -> None:
        """A heartbeat came."""
        self.beats += 1

    def changed(self) -> None:
        """Something came on a connection."""
        self._twin.changed()

    def sets_presence(self, line: Connection, presence: Json) -> None:
        """A bot says what it is doing."""
        self.presences.append(presence)

    def wants_members(self, line: Connection, asked: Mapping[str, Any]) -> None:
        """A bot asks for a guild's members; the answer goes to its session alone."""
        assert line.session is not None
        for chunk in events.member_chunks(self._twin.backend, asked, line.session.intents):
            line.session.tell("GUILD_MEMBERS_CHUNK", chunk)

    def _switched_on(self) -> set[str]:
        return self.privileged | ({"message_content"} if self._twin.message_content else set())
