"""What discord.py's cache knows of guilds, channels and roles, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import discord

from adapters.discord.payload import (
    CHANNEL_TYPE,
    CHANNELS,
    DM,
    OWN_ROLE,
    PARENT,
    ROLES,
    THREADS,
    ident,
    idents,
    number,
    user_of,
)
from adapters.discord.ports import DIRECT
from adapters.discord.reading import named_ids
from adapters.payload import Payload, items, mapping


class Where(NamedTuple):
    """What a channel is."""

    parent: str  # the channel that a thread hangs in; "" for all others
    kind: int  # Discord's type of channel


class Last(NamedTuple):
    """The newest message of a channel."""

    guild: str
    message: str


def where(client: discord.Client, guild_id: str, channel_id: str) -> Where | None:
    """What a channel is; None: the cache does not know it."""
    channel = _channel(client, guild_id, channel_id)
    if channel is None:
        return None
    parent = str(channel.parent_id) if isinstance(channel, discord.Thread) else ""
    return Where(parent, channel.type.value)


def where_told(channel: Payload) -> Where | None:
    """What a channel is, as Discord's API tells it; None: it does not."""
    kind = number(channel, "type")
    return Where(ident(channel, "parent_id") if kind in THREADS else "", kind) if kind >= 0 else None


def added(client: discord.Client, payload: Payload, found: Where | None) -> dict[str, Any]:
    """The payload with what Discord does not say in it: see `payload.PARENT` and its sisters.

    Args:
        payload: of an event. What it claims to be such an addition is left out.
        found: what its channel is; None: not known.
    """
    given = {name: value for name, value in payload.items() if not name.startswith("quartet_")}
    guild_id, channel_id = ident(given, "guild_id"), ident(given, "channel_id")
    if not guild_id:
        return {**given, CHANNEL_TYPE: DM}
    if found is not None:
        given |= {CHANNEL_TYPE: found.kind} | ({PARENT: found.parent} if found.parent else {})
    guild = client.get_guild(int(guild_id))
    if guild is None:
        return given
    if idents(given.get("mention_roles")) and guild.self_role is not None:
        given[OWN_ROLE] = str(guild.self_role.id)
    channels, roles = named_ids(given)
    if channels:
        given[CHANNELS] = {
            one: there.name for one in channels if (there := guild.get_channel_or_thread(int(one)))
        }
    if roles:
        given[ROLES] = {one: role.name for one in roles if (role := guild.get_role(int(one)))}
    member = mapping(given.get("member"))
    if member and "permissions" not in member:  # interactions bring them, messages and reactions do not
        given["member"] = {**member, "permissions": permission_bits(client, guild_id, channel_id, given)}
    return given


def permission_bits(client: discord.Client, guild_id: str, channel_id: str, payload: Payload) -> str:
    """What a member may do in a channel, as Discord's bit field; "0" where it cannot be told.

    Args:
        payload: with `member` (its roles count) and who that is.
    """
    guild = client.get_guild(int(guild_id)) if ident({"id": guild_id}, "id") else None
    user = user_of(payload)
    if guild is None or not ident(user, "id"):
        return "0"
    member = mapping(payload.get("member"))
    roles = sorted(role for one in items(member.get("roles")) if (role := ident({"id": one}, "id")))
    timeout = member.get("communication_disabled_until")
    told: Any = {
        "user": {"id": ident(user, "id"), "username": "", "discriminator": "0", "avatar": None},
        "roles": roles,
        "flags": 0,
        "communication_disabled_until": timeout if isinstance(timeout, str) else None,
    }
    state: Any = client._connection  # pyright: ignore[reportPrivateUsage]
    try:
        somebody = discord.Member(data=told, guild=guild, state=state)
        channel = _channel(client, guild_id, channel_id)
        held = channel.permissions_for(somebody) if channel is not None else somebody.guild_permissions
    except (discord.ClientException, ValueError):  # a thread whose channel is not known; a date that is none
        return "0"
    return str(held.value)


def last_messages(client: discord.Client) -> Mapping[str, Last]:
    """The newest message of every channel and open thread whose messages the bot can read."""
    newest: dict[str, Last] = {}
    for guild in client.guilds:
        for channel in (*guild.text_channels, *guild.threads):
            if channel.last_message_id is not None and _readable(channel, guild.me):
                newest[str(channel.id)] = Last(str(guild.id), str(channel.last_message_id))
    return newest


def _readable(channel: discord.TextChannel | discord.Thread, me: discord.Member | None) -> bool:
    if me is None:  # a guild that is not available now
        return False
    try:
        held = channel.permissions_for(me)
    except discord.ClientException:  # a thread whose channel is not known
        return False
    return held.view_channel and held.read_message_history


def _channel(client: discord.Client, guild_id: str, channel_id: str) -> Any:
    if guild_id == DIRECT or not (guild_id.isdecimal() and channel_id.isdecimal()):
        return None
    guild = client.get_guild(int(guild_id))
    return guild.get_channel_or_thread(int(channel_id)) if guild is not None else None


def channel_name(client: discord.Client, guild_id: str, channel_id: str) -> str:
    """What a channel or a thread is called; "" where the cache does not know it."""
    channel = _channel(client, guild_id, channel_id)
    return channel.name if channel is not None else ""
