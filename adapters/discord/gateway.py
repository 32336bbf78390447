"""What comes in over Discord's gateway, as plain JSON, and what the gateway's cache knows.

Discord delivers again what came while a connection was broken, as long as the session lives. After a new
session it does not: then `fresh` is called, and what was missed has to be read.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
import discord
import structlog

from adapters.contract import Choice, ChoiceKind, ConversationRef
from adapters.discord import commands, known
from adapters.discord.client import Client, quiet_library
from adapters.discord.connection import CLOSE_S, Connection
from adapters.discord.inbound import Me, place, singly
from adapters.discord.known import Last, Where
from adapters.discord.payload import ident, number
from adapters.discord.permissions import permissions_of
from adapters.discord.ports import API_URL, DIRECT
from adapters.errors import AdapterError, NotAllowed, PlatformDown
from adapters.payload import Payload, mapping

LOOK_S = 5.0  # to ask what a channel is
MOST_KNOWN = 2_000  # channels that were asked for

Take = Callable[[str, Payload], Awaitable[None]]
Choices = Callable[[ChoiceKind, ConversationRef, str], Awaitable[Sequence[Choice]]]

log = structlog.get_logger(__name__)


class Gateway:
    """The gateway.

    Args:
        token: the bot's token.
        take: called for every event that may be of use (`inbound.EVENTS`), in order, with plain JSON and what
            Discord does not say in it (`payload.PARENT` and its sisters).
        choices: what a person may mean who is typing a command.
        fresh: called when a new session of any shard is there (not one that goes on), also at the start,
            when one begins later, and when a guild comes late: what was said meanwhile does not come.
        left, joined: called with the id of a guild that the bot was removed from, or invited to.
        ask: what a channel is that the cache does not know; None: nobody knows. May raise `AdapterError`.
        calls: called before every call of the REST API that the library makes by itself, and that counts.
        api_url: Discord's REST API; the gateway's address comes from there.
        shards: how many connections; None: as many as Discord recommends.
        content: ask for the text of messages that do not name the bot.
    """

    def __init__(
        self,
        token: str,
        *,
        take: Take,
        choices: Choices,
        fresh: Callable[[], None],
        left: Callable[[str], Awaitable[None]],
        joined: Callable[[str], Awaitable[None]],
        ask: Callable[[str], Awaitable[Where | None]],
        calls: Callable[[], None] = lambda: None,
        api_url: str = API_URL,
        shards: int | None = None,
        content: bool = True,
    ) -> None:
        self._take = take
        self._choices = choices
        self._fresh = fresh
        self._left = left
        self._joined = joined
        self._ask = ask
        self.calls = calls
        self._connection = Connection(token, self, api_url=api_url, shards=shards, content=content)
        self._small: set[asyncio.Task[Any]] = set()  # events on their way
        self._was_up = False  # since the start
        self._looked: OrderedDict[str, Where] = OrderedDict()
        self._looking: dict[str, asyncio.Task[Where | None]] = {}
        quiet_library()

    async def start(self) -> None:
        """Connect; returns when every session is there. May be called again after an error.

        Raises:
            NotAllowed: the token is wrong; the message names the setting.
            PlatformDown: Discord cannot be reached now.
        """
        self._was_up = False
        await self._connection.start()

    async def stop(self) -> None:
        """Disconnect; what came in is handed in to its end. May be called twice."""
        await self._connection.stop()
        small = [task for task in self._small if task is not asyncio.current_task()]
        if small:
            await asyncio.wait(small, timeout=CLOSE_S)
        rest = [*small, *self._looking.values()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    # ── what is known ────────────────────────────────────────────────────────────────────────

    @property
    def trouble(self) -> str:
        """Why Discord is not reached now, or not in full, with the remedy; "": all is well."""
        return self._connection.trouble

    @property
    def content(self) -> bool:
        """Whether Discord lets us read messages that do not name the bot."""
        return self._connection.content

    @property
    def me(self) -> Me:
        """Who we are; empty before the start."""
        client = self._client
        if client is None or client.user is None:
            return Me()
        return Me(str(client.user.id), str(client.application_id or ""))

    @property
    def unsure(self) -> bool:
        """Whether something may be missing: a shard is away, or has not told of its guilds yet."""
        return self._connection.unsure

    @property
    def guilds(self) -> Mapping[str, str]:
        """The guilds that the bot is in: id → name."""
        return {str(guild.id): guild.name for guild in self._client.guilds} if self._client else {}

    @property
    def commands(self) -> list[dict[str, Any]]:
        """Our commands as Discord is told of them; empty before the start."""
        return commands.payload(self._client.tree) if self._client else []

    def last_messages(self) -> Mapping[str, Last]:
        """The newest message of each channel and open thread that the bot can read; no direct messages."""
        return known.last_messages(self._client) if self._client else {}

    def permissions(self, guild: str, channel: str, payload: Payload) -> frozenset[str]:
        """What a member may do in a channel: names out of `permissions.PERMISSIONS`.

        Args:
            guild: id.
            channel: id of a channel or a thread; "" for the guild as a whole.
            payload: with `member` (its roles count) and who that is (`author`, `user`, or in the member).
        """
        if self._client is None:
            return frozenset()
        return permissions_of(known.permission_bits(self._client, guild, channel, payload))

    def channel_name(self, guild: str, channel: str) -> str:
        """What a channel or a thread is called; "" where that is not known."""
        return known.channel_name(self._client, guild, channel) if self._client else ""

    async def parent_of(self, guild: str, channel: str) -> str:
        """The channel that a thread hangs in; "" for what is no thread, or where it cannot be told."""
        found = await self._where(guild, channel)
        return found.parent if found is not None else ""

    async def placed(self, payload: Payload, guild: str = "") -> Payload:
        """A payload with what Discord does not say in it: what its channel is, who may do what, names.

        Args:
            payload: of an event, or of a message out of a channel's history.
            guild: that it is of, where it does not say so itself, as in a history.
        """
        if guild and guild != DIRECT and not ident(payload, "guild_id"):
            payload = {**payload, "guild_id": guild}
        client, guild_id = self._client, ident(payload, "guild_id")
        if client is None:
            return payload
        # What people press and type says itself where it stands.
        told = number(mapping(payload.get("channel")), "type") >= 0
        found = None if told or not guild_id else await self._where(guild_id, ident(payload, "channel_id"))
        return known.added(client, payload, found)

    async def put_commands(self, guild: str, told: Sequence[Mapping[str, Any]]) -> None:
        """Replace the commands that Discord knows.

        Args:
            guild: id; "": everywhere.
            told: all of them.

        Raises:
            NotAllowed, PlatformDown: they are not replaced.
        """
        client = self._client
        application = client.application_id if client is not None else None
        if client is None or application is None:
            raise PlatformDown("Discord is not connected; the commands are registered later")
        given: Any = list(told)
        try:
            if guild:
                await client.http.bulk_upsert_guild_commands(application, int(guild), given)
            else:
                await client.http.bulk_upsert_global_commands(application, given)
        except (discord.Forbidden, discord.NotFound):
            raise NotAllowed(
                f"Discord does not let the bot register commands in the server {guild or '(all)'}: check "
                "DISCORD_GUILD_IDS, and invite the bot there with the scope applications.commands"
            ) from None
        except discord.HTTPException as error:
            raise PlatformDown(f"Discord did not take the commands ({error.status}, {error.code})") from None
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
            raise PlatformDown(f"Discord cannot be reached ({type(error).__name__})") from None

    @property
    def _client(self) -> Client | None:
        return self._connection.client

    # ── what discord.py tells: see `client.Listener` ─────────────────────────────────────────

    async def heard(self, event: str, payload: Payload) -> None:
        """An event came."""

        async def hand_in() -> None:
            for name, one in singly(event, payload):
                await self._take(name, await self.placed(one))

        await self._safely(hand_in())

    async def choices(self, kind: ChoiceKind, payload: Payload, typed: str) -> Sequence[tuple[str, str]]:
        """What somebody may mean who is typing a command."""
        try:
            found = await self._choices(kind, place(await self.placed(payload)), typed[:100])
        except Exception as error:
            log.warning(
                "A command could not be completed.", action="discord.no_choices", error=type(error).__name__
            )
            return ()
        return [(one.value, one.label) for one in found]

    def up(self, shard: int, *, new: bool) -> None:
        """A shard's session is there."""
        if new:  # first: from `up` on nothing seems to be missing
            self._was_up = True
            self.late()
        self._connection.up(shard)

    def begun(self) -> None:
        """A new session begins. At the start nobody knows of anything yet that may have been missed."""
        if self._was_up:
            self.late()

    def late(self) -> None:
        """What was said meanwhile did not come."""
        self._fresh()

    def down(self, shard: int) -> None:
        """A shard lost its connection."""
        self._connection.down(shard)

    async def gone(self, guild: str) -> None:
        """The bot was removed from a guild."""
        await self._safely(self._left(guild))

    async def joined(self, guild: str) -> None:
        """The bot was invited to a guild."""
        await self._safely(self._joined(guild))

    async def _safely(self, work: Awaitable[None]) -> None:
        """Do it to its end, also while the connection ends; what goes wrong is logged without what it was."""
        task = asyncio.current_task()
        if task is not None:
            self._small.add(task)
        try:
            await work
        except Exception as error:
            log.warning(
                "Something that came in was lost.", action="discord.not_taken", error=type(error).__name__
            )
        finally:
            if task is not None:
                self._small.discard(task)

    # ── what a channel is ────────────────────────────────────────────────────────────────────

    async def _where(self, guild: str, channel: str) -> Where | None:
        client = self._client
        if client is None or not channel or guild == DIRECT:
            return None
        found = known.where(client, guild, channel) or self._looked.get(channel)
        if found is not None:
            return found
        looking = self._looking.get(channel)
        if looking is None:
            looking = self._looking[channel] = asyncio.create_task(self._look(channel))
            looking.add_done_callback(lambda _: self._looking.pop(channel, None))
        return await asyncio.shield(looking)

    async def _look(self, channel: str) -> Where | None:
        """Ask: a thread that was archived, say, is not in the cache."""
        try:
            async with asyncio.timeout(LOOK_S):
                found = await self._ask(channel)
        except (AdapterError, sqlite3.Error, TimeoutError) as error:
            log.info("A channel is not known.", action="discord.no_channel", error=type(error).__name__)
            return None
        if found is not None:
            self._looked[channel] = found
            while len(self._looked) > MOST_KNOWN:
                self._looked.popitem(last=False)
        return found
