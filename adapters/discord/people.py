"""Who somebody is. Most comes with what they did; the rest is asked seldom and kept for minutes.

A name that cannot be had now is no reason to let a person wait. Roles are different: where Discord cannot be
reached it says so, so that nobody is refused wrongly.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import structlog

from adapters.contract import ConversationRef, Person, ThreadLine
from adapters.discord import meaning
from adapters.discord.inbound import Arrival, Me, place
from adapters.discord.payload import guild_of, ident, name_of, user_of
from adapters.discord.ports import DIRECT, Api
from adapters.errors import AdapterError, NotAllowed, PlatformDown, RateLimited
from adapters.payload import Payload, items, mapping, text
from adapters.plain import clean_text
from adapters.urgency import Urgency

NAMES_S = 600.0  # how long a name is kept
ROLES_S = 120.0
KEPT = 5_000
FEW = 10  # names are looked up for at most so many people at once
PATIENCE_S = 3.0  # for what only makes a text nicer
LINES = 100  # of a thread that the bot comes to
STARTS_THREAD = 21  # type of the message that repeats what a thread was begun on

log = structlog.get_logger(__name__)


class Cache(Protocol):
    """What the gateway knows; the Gateway does."""

    def permissions(self, guild: str, channel: str, payload: Payload) -> frozenset[str]:
        """What somebody may do in a channel, by name."""
        ...


class People:
    """Looks people up.

    Args:
        api: Discord's REST API.
        cache: what the gateway knows.
    """

    def __init__(self, api: Api, cache: Cache) -> None:
        self._api = api
        self._cache = cache
        self._kept: OrderedDict[str, tuple[float, Any]] = OrderedDict()  # path → until, answer

    def close(self) -> None:
        """Forget everybody."""
        self._kept.clear()

    async def who(self, arrival: Arrival, conversation: ConversationRef) -> Person:
        """Who did it, with roles and permissions in that channel.

        Raises:
            PlatformDown, RateLimited: they came with nothing and cannot be looked up now.
        """
        payload = arrival.payload
        user, guild = user_of(payload), conversation.workspace
        here = guild == guild_of(payload)
        if guild == DIRECT:
            who = meaning.person(payload)
            # Nobody owns a place where they talk with the bot alone because of what they do elsewhere, which
            # includes the place where somebody else does.
            own = here and conversation.channel == place(payload).channel
            return who if own else who.model_copy(update={"groups": (), "is_admin": False})
        if here and ident(payload, "webhook_id"):
            return meaning.person(payload)
        member: Payload = mapping(payload.get("member")) if here else mapping(None)
        if member and text(member, "permissions") and conversation.channel == place(payload).channel:
            return meaning.person(payload)
        if not member:
            member = mapping(await self._get(f"/guilds/{guild}/members/{ident(user, 'id')}", ROLES_S))
            user = user if len(user) > 1 else mapping(member.get("user")) or user
        known: Payload = {"guild_id": guild, "author": user, "member": member}
        return meaning.person(
            known, self._cache.permissions(guild, conversation.channel, known) if member else ()
        )

    async def names(self, guild: str, users: Iterable[str]) -> dict[str, str]:
        """Names by id, of a few people; who cannot be looked up in time is missing."""
        wanted = list(dict.fromkeys(user for user in users if user))[:FEW]

        async def one(user: str) -> tuple[str, str]:
            path = f"/users/{user}" if guild == DIRECT else f"/guilds/{guild}/members/{user}"
            try:
                async with asyncio.timeout(PATIENCE_S):
                    found = mapping(await self._get(path, NAMES_S))
            except (AdapterError, TimeoutError):
                return user, ""
            known = mapping(found.get("user")) or found
            return user, " ".join(clean_text(name_of(known, found)).split())[:100]

        found = await asyncio.gather(*(one(user) for user in wanted))
        return {user: name for user, name in found if name}

    async def roles(self, guild: str) -> Mapping[str, str]:
        """Names of a server's roles by id; none where they cannot be had in time."""
        if guild == DIRECT:
            return {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                listed = await self._get(f"/guilds/{guild}/roles", NAMES_S)
        except (AdapterError, TimeoutError):
            return {}
        roles = (mapping(one) for one in items(listed))
        return {ident(role, "id"): " ".join(clean_text(text(role, "name")).split())[:100] for role in roles}

    async def earlier(self, thread: str, before: str, me: Me) -> tuple[ThreadLine, ...]:
        """What was said in a thread before a message; nothing where it cannot be had in time.

        Args:
            thread: the thread's id.
            before: the message's id.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await self._api.call(
                    "GET",
                    f"/channels/{thread}/messages",
                    urgency=Urgency.PERSON,
                    query={"before": before, "limit": str(LINES)},
                )
        except (AdapterError, TimeoutError) as error:
            log.warning(
                "The earlier messages of a thread could not be read; the turn starts without them.",
                action="discord.no_earlier",
                error=f"{type(error).__name__}: {error}"[:200],
            )
            return ()
        lines = (meaning.line(_itself(mapping(one)), own=me.user) for one in reversed(items(found)))
        return tuple(line for line in lines if line is not None)

    async def _get(self, path: str, seconds: float) -> Any:
        until, known = self._kept.get(path, (0.0, None))
        if until > time.monotonic():
            return known
        try:
            found = await self._api.call("GET", path, urgency=Urgency.PERSON)
        except (PlatformDown, RateLimited):
            raise
        except AdapterError as error:  # nobody there, or not for us to see: that is an answer too
            level = log.warning if isinstance(error, NotAllowed) else log.info
            level(
                "Discord does not tell who somebody is.", action="discord.no_person", error=str(error)[:200]
            )
            found = None
        self._kept[path] = (time.monotonic() + seconds, found)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def _itself(message: Payload) -> Payload:
    """The message; of the one that stands at a thread's beginning, what it repeats."""
    if message.get("type") == STARTS_THREAD:
        return mapping(message.get("referenced_message"))
    return message
