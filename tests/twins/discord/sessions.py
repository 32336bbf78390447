"""Sessions of the gateway: IDENTIFY starts one, RESUME goes on with one, its numbered events wait meanwhile.

What happens while nobody is connected stays in the session and comes again with RESUME. A session that is
gone (invalidated, expired, closed with 1000 or 1001) is gone with its events: Discord redelivers nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import discord
from simcord.backend import Backend

from tests.twins.discord import events
from tests.twins.discord.events import Json

IDENTIFIES_A_DAY = 1000
RESUMABLE_S = 120.0  # how long a session waits for its bot


class Rejected(Exception):
    """The connection is closed with this code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code
        self.why = why


class Invalid(Exception):
    """INVALID_SESSION (op 9): not resumable."""


class Line(Protocol):
    """A connection, as a session needs it."""

    def push(self, payload: Json) -> None:
        """Send soon, in order."""
        ...


@dataclass(slots=True)
class Limits:
    """What IDENTIFY keeps within."""

    identify_every_s: float = 0.05  # for each key; Discord's is 5 s: short here, so that bots may start again
    max_concurrency: int = 1  # keys: a shard's is its number modulo this
    most_guilds: int = 2500  # in one shard; with more, sharding is required
    remaining: int = IDENTIFIES_A_DAY


@dataclass(frozen=True, slots=True)
class Identify:
    """One IDENTIFY, with what became of it."""

    shard: tuple[int, int]
    intents: int
    outcome: str  # "ready", "invalid session", or the close code, e.g. "4014"


@dataclass(frozen=True, slots=True)
class Resume:
    """One RESUME, with what became of it."""

    session_id: str
    seq: int
    outcome: str  # "resumed", "invalid session", or the close code
    replayed: int = 0  # how many events came again


@dataclass(eq=False)
class Session:
    """One session: its numbered events, and the connection that it is on, if any."""

    id: str
    shard: tuple[int, int]  # (number, count)
    intents: discord.Intents
    dispatches: list[Json] = field(default_factory=list[Json])  # whole payloads, `s` from 1 on
    line: Line | None = None
    left_at: float | None = None  # the loop's time at which its connection went

    @property
    def connected(self) -> bool:
        """A connection carries it now."""
        return self.line is not None

    def tell(self, event: str, payload: Json) -> None:
        """Number an event, keep it, and send it where there is a connection."""
        dispatch: Json = {"op": 0, "s": len(self.dispatches) + 1, "t": event, "d": payload}
        self.dispatches.append(dispatch)
        if self.line is not None:
            self.line.push(dispatch)

    def last(self, event: str) -> Json | None:
        """The newest event of a name."""
        return next((each["d"] for each in reversed(self.dispatches) if each["t"] == event), None)


class Sessions:
    """Every session of one bot.

    Args:
        backend: the world; its events are handed to the sessions.
        token_good: whether a token that IDENTIFY or RESUME shows is the bot's.
        privileged: the privileged intents that are switched on for the application now.
        spent: called when a day's IDENTIFYs are used up: Discord resets the token.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        token_good: Callable[[str], bool],
        privileged: Callable[[], Collection[str]],
        spent: Callable[[], None],
    ) -> None:
        self.limits = Limits()
        self.refused_with: int | None = None
        self.identifies: list[Identify] = []
        self.resumes: list[Resume] = []
        self.problems: list[str] = []
        self._backend = backend
        self._token_good = token_good
        self._privileged = privileged
        self._spent = spent
        self._open: dict[str, Session] = {}
        self._identified_at: dict[int, float] = {}  # rate limit key → the loop's time
        self._held: list[tuple[Session, str, Json]] | None = None
        backend.subscribers.append(self.happened)

    @property
    def all(self) -> list[Session]:
        """Sessions that can be on a connection or be resumed, oldest first."""
        now = asyncio.get_running_loop().time()
        self._open = {
            key: each
            for key, each in self._open.items()
            if each.left_at is None or now - each.left_at < RESUMABLE_S
        }
        return list(self._open.values())

    # ── events ───────────────────────────────────────────────────────────────────────────────

    def happened(self, event: str, payload: Mapping[str, Any]) -> None:
        """Something changed in the world: every session that it concerns gets it."""
        for session in list(self._open.values()):
            number, count = session.shard
            if events.shard_of(event, payload, count) != number:
                continue
            mine = events.shaped(self._backend, event, payload, session.intents)
            if mine is None:
                continue
            if self._held is not None:
                self._held.append((session, event, mine))
            else:
                session.tell(event, mine)

    def hold(self) -> None:
        """Keep what happens back from every session until `release`."""
        self._held = self._held or []

    def release(self) -> int:
        """Tell what was held, in order; returns how many events it were."""
        held, self._held = self._held or [], None
        for session, event, payload in held:
            session.tell(event, payload)
        return len(held)

    @property
    def held(self) -> int:
        """How many events wait for `release`."""
        return len(self._held or [])

    def repeat_last(self, event: str) -> int:
        """Tell the newest event of a name once more, under a new number.

        Returns: how many connected sessions got it. One that was left keeps it until it is resumed.
        """
        found = [(each, last) for each in self.all if (last := each.last(event)) is not None]
        for session, payload in found:
            session.tell(event, payload)
        return sum(session.connected for session, _ in found)

    # ── begin, go on, end ────────────────────────────────────────────────────────────────────

    def identify(self, line: Line, asked: Mapping[str, Any], resume_url: str) -> Session:
        """Start a session: READY, then each guild.

        Raises:
            Rejected: with the code that the connection is closed with.
            Invalid: too many IDENTIFYs at a time.
        """
        shard = (0, 1)
        value = asked.get("intents")
        try:
            shard = self._shard(asked)
            self._check(asked, shard)
        except (Rejected, Invalid) as no:
            outcome = str(no.code) if isinstance(no, Rejected) else "invalid session"
            self.identifies.append(Identify(shard, value if isinstance(value, int) else 0, outcome))
            raise
        assert isinstance(value, int)
        session = Session(secrets.token_hex(16), shard, events.intents_of(value), line=line)
        self._open[session.id] = session
        self.identifies.append(Identify(shard, value, "ready"))
        session.tell(
            "READY",
            events.ready(
                self._backend,
                session_id=session.id,
                resume_url=resume_url,
                shard=shard,
                flags=events.application_flags(self._privileged()),
            ),
        )
        if session.intents.guilds:
            for guild in events.guilds_of(self._backend, shard):
                session.tell("GUILD_CREATE", events.guild_create(self._backend, guild, session.intents))
        return session

    def resume(self, line: Line, asked: Mapping[str, Any]) -> Session:
        """Go on with a session: every event after `seq`, then RESUMED.

        Raises:
            Rejected: with the code that the connection is closed with.
            Invalid: there is no such session (any more).
        """
        seq, session_id = asked.get("seq"), str(asked.get("session_id"))
        number = seq if isinstance(seq, int) else -1
        try:
            session = self._resumable(asked, session_id, number)
        except (Rejected, Invalid) as no:
            outcome = str(no.code) if isinstance(no, Rejected) else "invalid session"
            self.resumes.append(Resume(session_id, number, outcome))
            raise
        missed = session.dispatches[number:]
        session.line, session.left_at = line, None
        for dispatch in missed:
            line.push(dispatch)
        session.tell("RESUMED", {"_trace": ["loopback"]})
        self.resumes.append(Resume(session_id, number, "resumed", len(missed)))
        return session

    def left(self, session: Session, line: Line, *, for_good: bool) -> None:
        """A connection went; the session waits for RESUME unless its bot (or Discord) ended it."""
        if session.line is not line:
            return  # another connection has taken it over
        session.line, session.left_at = None, asyncio.get_running_loop().time()
        if for_good:
            self.forget(session)

    def forget(self, session: Session) -> None:
        """End a session; nothing of it comes again."""
        self._open.pop(session.id, None)

    def _check(self, asked: Mapping[str, Any], shard: tuple[int, int]) -> None:
        self._check_token(asked)
        value = asked.get("intents")
        if not isinstance(value, int) or isinstance(value, bool) or value & ~events.known_intents():
            raise Rejected(4013, "invalid intents")
        if not isinstance(asked.get("properties"), dict):
            raise Rejected(4002, "IDENTIFY without properties")
        if denied := [name for name in events.privileged_of(value) if name not in self._privileged()]:
            raise Rejected(4014, f"intents that are not switched on: {', '.join(denied)}")
        if len(events.guilds_of(self._backend, shard)) > self.limits.most_guilds:
            raise Rejected(4011, "sharding required")
        now, key = asyncio.get_running_loop().time(), shard[0] % self.limits.max_concurrency
        if now - self._identified_at.get(key, -1e9) < self.limits.identify_every_s:
            self.problems.append(f"shard {shard[0]} identified too soon")
            raise Invalid
        if self.limits.remaining == 0:  # Discord ends every session and resets the token
            self._open.clear()
            self._spent()
            raise Rejected(4004, "1000 IDENTIFYs in a day: the token was reset")
        self._identified_at[key] = now
        self.limits.remaining -= 1

    def _resumable(self, asked: Mapping[str, Any], session_id: str, seq: int) -> Session:
        self._check_token(asked)
        session = {each.id: each for each in self.all}.get(session_id)
        if session is None:
            raise Invalid
        if not 0 <= seq <= len(session.dispatches):
            self.forget(session)
            raise Rejected(4007, "no such sequence number")
        return session

    def _check_token(self, asked: Mapping[str, Any]) -> None:
        if self.refused_with is not None:
            raise Rejected(self.refused_with, "refused by the test")
        if not self._token_good(str(asked.get("token")).removeprefix("Bot ")):
            raise Rejected(4004, "the token is wrong")

    def _shard(self, asked: Mapping[str, Any]) -> tuple[int, int]:
        shard = asked.get("shard", [0, 1])
        match shard:
            case [int(number), int(count)] if 0 <= number < count:
                return number, count
            case _:
                raise Rejected(4010, f"{shard!r} is no shard")
