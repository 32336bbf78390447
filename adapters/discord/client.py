"""discord.py's client, with raw events: what comes over the gateway is handed on as the JSON that it was.

The library's objects lose what it does not know (components of our messages, say) and cannot be kept in a
file. So its cache, commands and buttons are used, and the payload itself goes on. It dispatches the raw
frame before anything that it makes of it: an interaction's payload is there when its button or command is
called.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import aiohttp
import discord
import structlog

from adapters.contract import ChoiceKind
from adapters.discord import commands
from adapters.discord.commands import Interaction
from adapters.discord.inbound import EVENTS
from adapters.payload import Payload, mapping, text

CHOICES_S = 2.0  # Discord waits 3 s for the completion of a command
SILENT_S = 60.0  # a connection on which nothing came for so long is dead, though it stands
GUILDS_S = 0.5  # after the last guild that came: those were all of them, or the rest comes late
_WANTED = re.compile(r'"t"\s*:\s*"(?:' + "|".join(sorted(EVENTS)) + r')"')
_MOST_RAW = 1_000  # interactions between their frame and their button: a moment, so few

log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Who is told what happens."""

    async def heard(self, event: str, payload: Payload) -> None:
        """An event came. Never raises."""
        ...

    async def choices(self, kind: ChoiceKind, payload: Payload, typed: str) -> Sequence[tuple[str, str]]:
        """What somebody may mean who is typing: (value, label). Never raises."""
        ...

    def up(self, shard: int, *, new: bool) -> None:
        """A shard's session is there: a new one, or the old one goes on."""
        ...

    def down(self, shard: int) -> None:
        """A shard lost its connection; the library tries again."""
        ...

    def begun(self) -> None:
        """A new session begins: its guilds come, and what people write now."""
        ...

    def late(self) -> None:
        """A guild came after the session was there."""
        ...

    async def gone(self, guild: str) -> None:
        """The bot was removed from a guild. Never raises."""
        ...

    async def joined(self, guild: str) -> None:
        """The bot was invited to a guild. Never raises."""
        ...

    def calls(self) -> None:
        """The library makes a call by itself, which Discord's limit on all calls counts as well."""
        ...


class Client(discord.AutoShardedClient):
    """The connection for one session of the bot. It is not used again once it is closed.

    Args:
        listener: is told what happens.
        content: ask for the text of messages that do not name the bot.
    """

    def __init__(self, listener: Listener, *, content: bool) -> None:
        intents = discord.Intents(
            guilds=True,
            guild_messages=True,
            dm_messages=True,
            guild_reactions=True,
            dm_reactions=True,
            message_content=content,
        )
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._named)
        super().__init__(
            intents=intents,
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            guild_ready_timeout=GUILDS_S,
            heartbeat_timeout=SILENT_S,
            allowed_mentions=discord.AllowedMentions.none(),
            enable_debug_events=True,  # raw frames
            http_trace=trace,
        )
        self._listener = listener
        self._raw: dict[str, Payload] = {}  # interaction id → payload
        self._gone: set[int] = set()  # guilds that the bot was removed from
        self.greeted = asyncio.Event()  # every shard has its session, and its guilds
        self.tree = commands.Tree(self)
        commands.add_to(self.tree, self)
        self.add_dynamic_items(commands.PressedButton)

    # ── what comes in ────────────────────────────────────────────────────────────────────────

    async def on_socket_raw_receive(self, frame: object) -> None:
        """Every frame of the gateway, before the library reads it."""
        if not isinstance(frame, str) or _WANTED.search(frame) is None:
            return
        try:
            given = mapping(json.loads(frame))
        except (ValueError, RecursionError):
            return
        event, payload = text(given, "t"), mapping(given.get("d"))
        if event == "INTERACTION_CREATE":
            self._raw[text(payload, "id")] = payload
            while len(self._raw) > _MOST_RAW:
                del self._raw[next(iter(self._raw))]
        elif event in EVENTS:
            await self._listener.heard(event, payload)

    async def on_interaction(self, interaction: Interaction) -> None:
        """What the library called nobody for: modals, and buttons that it does not find on their message."""
        if interaction.type is discord.InteractionType.autocomplete:
            return
        await self.pressed(interaction)

    async def pressed(self, interaction: Interaction) -> None:
        """Hand an interaction on, once."""
        payload = self._raw.pop(str(interaction.id), None)
        if payload is not None:
            await self._listener.heard("INTERACTION_CREATE", payload)

    async def choices(
        self, kind: ChoiceKind, interaction: Interaction, typed: str
    ) -> Sequence[tuple[str, str]]:
        """What somebody may mean who is typing a command."""
        payload = self._raw.pop(str(interaction.id), None)
        if payload is None:
            return ()
        try:
            async with asyncio.timeout(CHOICES_S):
                return await self._listener.choices(kind, payload, typed)
        except TimeoutError:
            return ()

    async def _named(self, session: object, ask: object, request: aiohttp.TraceRequestStartParams) -> None:
        """Discord wants to know who calls; the library says so but for its answers to interactions."""
        request.headers.setdefault("User-Agent", self.http.user_agent)
        if request.url.scheme.startswith("http") and "/interactions/" not in request.url.path:
            self._listener.calls()

    # ── the connection ───────────────────────────────────────────────────────────────────────

    async def on_ready(self) -> None:
        """Every shard has its session."""
        self.greeted.set()

    async def on_shard_connect(self, shard_id: int) -> None:
        """A new session; its guilds are still to come."""
        self._listener.begun()

    async def on_shard_ready(self, shard_id: int) -> None:
        """A new session, and the guilds that came with it."""
        self._listener.up(shard_id, new=True)

    async def on_shard_resumed(self, shard_id: int) -> None:
        """The old session goes on: Discord sends what was missed."""
        self._listener.up(shard_id, new=False)

    async def on_shard_disconnect(self, shard_id: int) -> None:
        """The connection broke off."""
        self._listener.down(shard_id)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """A guild that took its time, or that Discord itself could not serve."""
        if self.greeted.is_set():
            self._listener.late()
            if guild.id in self._gone:
                await self._listener.joined(str(guild.id))
            self._gone.discard(guild.id)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was invited; what of that comes with a new session is no news."""
        if self.greeted.is_set():
            self._gone.add(guild.id)
        await self.on_guild_available(guild)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The bot was removed, or the guild is no more."""
        self._gone.add(guild.id)
        await self._listener.gone(str(guild.id))

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        """A fault of ours in one of these; the library goes on."""
        error = sys.exc_info()[0]
        log.error(
            "An event of Discord's could not be read.",
            action="discord.event_failed",
            event=event_method,
            error=error.__name__ if error else "",
        )


class _Relay(logging.Handler):
    """What discord.py tells, without messages, addresses and tokens: those stay out of the log."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        log.warning(
            "discord.py told of something.",
            action="discord.library",
            said=str(record.msg)[:200],
            where=record.name,
            error=error.__name__ if error else "",
        )


def quiet_library() -> None:
    """Bring discord.py's own log into ours. May be called twice."""
    library = logging.getLogger("discord")
    library.propagate = False
    library.setLevel(logging.WARNING)
    if not any(isinstance(one, _Relay) for one in library.handlers):
        library.addHandler(_Relay())
    # It says at every start that voice is not there; nobody wants to talk.
    discord.VoiceClient.warn_nacl = False
    discord.VoiceClient.warn_dave = False
