"""Look into what Discord sent, whatever it is: ids, numbers, who, where and when. Pure; nothing raises."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from adapters.discord.ports import DIRECT
from adapters.payload import Payload, items, mapping, text

PARENT = "quartet_parent"  # the channel that a thread hangs in; Discord does not say it with a message
CHANNEL_TYPE = "quartet_channel_type"  # nor of what type its channel is
OWN_ROLE = "quartet_own_role"  # nor which role is our own there
CHANNELS = "quartet_channels"  # nor what the channels are called that it names: id → name
ROLES = "quartet_roles"  # nor the roles: id → name
THREADS = frozenset({10, 11, 12})  # types of channels that are threads: of news, public, private
PUBLIC_THREAD = 11
HOLDS_THREADS = frozenset({0, 5})  # types of channels where a thread can be made on a message
FORUMS = frozenset({15, 16})  # nothing is written in these but threads
DM = 1  # type of a direct message's channel

_ID = re.compile(r"\d{1,20}", re.ASCII)
_MOST = 1 << 64
_EPOCH_MS = 1_420_070_400_000  # Discord counts from the first second of 2015


def number(given: Payload, name: str, default: int = -1) -> int:
    """A whole number of a payload."""
    value = given.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def snowflake(value: object) -> str:
    """An id of Discord's; "" where it does not look like one."""
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        return ""
    return value if 0 < int(value) < _MOST and not value.startswith("0") else ""


def ident(given: Payload, name: str) -> str:
    """An id in a payload; "" where it is missing or does not look like one."""
    return snowflake(given.get(name))


def idents(value: object) -> frozenset[str]:
    """The ids in a JSON list, whether they stand there alone or in objects."""
    found = (snowflake(one) or ident(mapping(one), "id") for one in items(value))
    return frozenset(found) - {""}


def at(snowflake_id: str) -> datetime:
    """When something was made, out of its id (aware, UTC); 2015 where it is none."""
    passed_ms = int(snowflake(snowflake_id) or 0) >> 22
    return datetime.fromtimestamp((_EPOCH_MS + passed_ms) / 1000, UTC)


def guild_of(given: Payload) -> str:
    """The guild of a payload; `DIRECT` where it has none."""
    return ident(given, "guild_id") or DIRECT


def user_of(given: Payload) -> Payload:
    """Who did it: the author of a message, the user of an interaction or of a reaction."""
    member = mapping(given.get("member"))
    for one in (given.get("author"), member.get("user"), given.get("user")):
        if ident(mapping(one), "id"):
            return mapping(one)
    return {"id": ident(given, "user_id")}


def name_of(user: Payload, member: Payload | None = None) -> str:
    """What a person is called there: the nickname, the display name, or the username; "" for none."""
    for name in (text(member or {}, "nick"), text(user, "global_name"), text(user, "username")):
        if name.strip():
            return name
    return ""


def channel_of(given: Payload) -> tuple[str, str, int]:
    """Where a payload stands: its channel, the parent where that is a thread, its type (-1: not known)."""
    channel = mapping(given.get("channel"))
    kind = number(channel, "type", number(given, CHANNEL_TYPE))
    parent = ident(channel, "parent_id") or ident(given, PARENT)
    return ident(given, "channel_id") or ident(channel, "id"), parent if kind in THREADS else "", kind
