"""What the gateway tells a session: whom an event concerns, and what the intents leave of it. Pure.

The world (SimCord's `Backend`) says everything that happens. A bot gets what its intents ask for, in guilds
where it is a member and channels that it may view, with contents only where it is entitled to them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, cast

import discord
from simcord import intents as rules
from simcord.backend import Backend, serializers
from simcord.backend.access import channel_accessible

Json = dict[str, Any]

INTERACTION = "INTERACTION_CREATE"
CHUNK_SIZE = 1000  # members in one GUILD_MEMBERS_CHUNK
_OF_CHANNELS = ("MESSAGE_", "THREAD_", "TYPING_START")
_FLAGS = {  # privileged intent → (the application's flag with it, as it is for small bots)
    "presences": 1 << 13,
    "members": 1 << 15,
    "message_content": 1 << 19,
}


def known_intents() -> int:
    """Every bit that means an intent."""
    return int(discord.Intents.all().value)


def intents_of(value: int) -> discord.Intents:
    """The intents of IDENTIFY's number."""
    intents = discord.Intents.none()
    intents.value = value
    return intents


def privileged_of(value: int) -> list[str]:
    """The privileged intents among them: `message_content`, `members`, `presences`."""
    intents = intents_of(value)
    return [name for name in rules.PRIVILEGED_INTENTS if getattr(intents, name)]


def application_flags(privileged: Iterable[str]) -> int:
    """The application's flags that say which privileged intents are switched on."""
    return sum(_FLAGS[name] for name in privileged)


def guilds_of(backend: Backend, shard: tuple[int, int]) -> list[int]:
    """The guilds of a shard in which the bot is a member."""
    number, count = shard
    bot = backend.bot_user.id
    return [
        guild.id
        for guild in backend.guilds.values()
        if bot in guild.members and (guild.id >> 22) % count == number
    ]


def shard_of(event: str, payload: Mapping[str, Any], count: int) -> int:
    """The shard that gets an event; direct messages and what concerns no guild go to 0."""
    guild = payload.get("guild_id")
    if guild is None and event in ("GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE"):
        guild = payload["id"]
    return 0 if guild is None else (int(guild) >> 22) % count


def shaped(backend: Backend, event: str, payload: Mapping[str, Any], intents: discord.Intents) -> Json | None:
    """What a session with these intents gets of an event; None: nothing."""
    if not _is_for_bot(backend, event, payload) or not _is_asked_for(backend, event, payload, intents):
        return None
    mine = copy.deepcopy(dict(payload))
    bot = backend.bot_user.id
    if event == "GUILD_CREATE":
        return guild_create(backend, int(mine["id"]), intents)
    if event == "MESSAGE_REACTION_ADD":
        message = backend.messages.get(int(mine["channel_id"]), {}).get(int(mine["message_id"]))
        if message is not None:
            mine["message_author_id"] = str(message.author_id)
    if not intents.message_content:
        if event in ("MESSAGE_CREATE", "MESSAGE_UPDATE"):
            rules.censor_message(mine, bot, backend=backend)
        elif event == INTERACTION:
            _censor_interaction(backend, mine)
    return mine


def _is_for_bot(backend: Backend, event: str, payload: Mapping[str, Any]) -> bool:
    """The bot is in the guild and may view the channel."""
    bot = backend.bot_user.id
    guild_id = payload.get("guild_id") or (
        payload["id"] if event in ("GUILD_CREATE", "GUILD_UPDATE") else None
    )
    if guild_id is not None:
        guild = backend.guilds.get(int(guild_id))
        if guild is None or bot not in guild.members:
            return False
    if not event.startswith(_OF_CHANNELS):
        return True
    channel_id = int(payload.get("channel_id") or payload["id"])
    if channel_id not in backend.channels and payload.get(
        "parent_id"
    ):  # the thread is gone, its place is not
        channel_id = int(payload["parent_id"])
    return channel_accessible(backend, channel_id, bot)


def _is_asked_for(backend: Backend, event: str, payload: Mapping[str, Any], intents: discord.Intents) -> bool:
    bot = str(backend.bot_user.id)
    if event == "GUILD_MEMBER_UPDATE" and payload["user"]["id"] == bot:
        return True  # changes of the bot itself need no intent
    if event == "THREAD_MEMBERS_UPDATE" and not intents.members:
        added = [str(each["user_id"]) for each in payload.get("added_members", ())]
        return intents.guilds and bot in [*added, *payload.get("removed_member_ids", ())]
    needed = rules.required_intent(event, payload)
    return needed is None or bool(getattr(intents, needed))


def _censor_interaction(backend: Backend, payload: Json) -> None:
    """Without the intent only the message that somebody pointed at or pressed keeps its contents."""
    bot = backend.bot_user.id
    data: Json = payload.get("data") or {}
    if payload["type"] in (3, 5) and "message" in payload:
        rules.censor_message(payload["message"], bot, backend=backend, exempt_root=True)
    resolved: Json = data.get("resolved") or {}
    messages: dict[str, Json] = resolved.get("messages") or {}
    for message_id, message in messages.items():
        chosen = payload["type"] == 2 and data.get("type") == 3 and str(data.get("target_id")) == message_id
        rules.censor_message(message, bot, backend=backend, exempt_root=chosen)


# ── what a session begins with ───────────────────────────────────────────────────────────────


def ready(backend: Backend, *, session_id: str, resume_url: str, shard: tuple[int, int], flags: int) -> Json:
    """READY. Its guilds are unavailable; each comes with a GUILD_CREATE of its own."""
    user = cast(Json, copy.deepcopy(serializers.user_payload(backend.bot_user)))
    return {
        "v": 10,
        "user": user,
        "user_settings": {},
        "relationships": [],
        "private_channels": [],
        "presences": [],
        "guilds": [{"id": str(guild), "unavailable": True} for guild in guilds_of(backend, shard)],
        "session_id": session_id,
        "session_type": "normal",
        "resume_gateway_url": resume_url,
        "shard": list(shard),
        "application": {"id": str(backend.application_id), "flags": flags},
        "_trace": ["loopback"],
    }


def guild_create(backend: Backend, guild_id: int, intents: discord.Intents) -> Json:
    """GUILD_CREATE as a bot with these intents gets it: active threads that it may view, few members."""
    payload = cast(Json, copy.deepcopy(serializers.guild_create_payload(backend, backend.guilds[guild_id])))
    bot = backend.bot_user.id
    rules.prune_guild_create(payload, intents, bot)
    payload["threads"] = [
        thread
        for thread in payload["threads"]
        if not thread["thread_metadata"]["archived"] and channel_accessible(backend, int(thread["id"]), bot)
    ]
    return payload


def member_chunks(backend: Backend, ask: Mapping[str, Any], intents: discord.Intents) -> list[Json]:
    """GUILD_MEMBERS_CHUNKs that answer op 8; none where the bot may not ask.

    Args:
        ask: `guild_id`, and `user_ids` or `query` with `limit`; `presences`, `nonce`.
    """
    guild = backend.guilds.get(int(ask["guild_id"]))
    query, limit = str(ask.get("query") or ""), int(ask.get("limit") or 0)
    asked: Any = ask.get("user_ids") or []
    wanted = {int(each) for each in cast("list[Any]", asked if isinstance(asked, list) else [asked])}
    if guild is None or backend.bot_user.id not in guild.members:
        return []
    if not wanted and not query and not intents.members:
        return []
    members = list(guild.members.values())
    if wanted:
        members = [each for each in members if each.user_id in wanted]
    elif query:
        members = [
            each
            for each in members
            if backend.users[each.user_id].name.lower().startswith(query.lower())
            or (each.nick or "").lower().startswith(query.lower())
        ]
    members = members[:limit] if limit else members
    chunks = [members[at : at + CHUNK_SIZE] for at in range(0, len(members), CHUNK_SIZE)] or [[]]
    answers: list[Json] = []
    for index, chunk in enumerate(chunks):
        answer: Json = {
            "guild_id": str(guild.id),
            "members": [copy.deepcopy(serializers.member_payload(backend, guild, each)) for each in chunk],
            "chunk_index": index,
            "chunk_count": len(chunks),
        }
        missing = sorted(wanted - {each.user_id for each in members})
        if index == 0 and missing:
            answer["not_found"] = [str(each) for each in missing]
        if ask.get("presences"):
            answer["presences"] = []
        if ask.get("nonce"):
            answer["nonce"] = ask["nonce"]
        answers.append(answer)
    return answers
