"""Payloads in the shape that Discord documents, with what the gateway adds, for tests of what comes in."""

from __future__ import annotations

from typing import Any

from adapters.discord.inbound import Arrival, Me, read
from adapters.discord.payload import CHANNEL_TYPE, PARENT

Json = dict[str, Any]
BOT, APP = "900000000000000001", "900000000000000002"
GUILD, GENERAL, THREAD, DM = (
    "100000000000000001",
    "100000000000000002",
    "100000000000000003",
    "100000000000000004",
)
ADA, BEN, OTHER = "200000000000000001", "200000000000000002", "200000000000000003"
M1, M2 = "300000000000000001", "300000000000000002"
ME = Me(user=BOT, application=APP)


def user(user_id: str = ADA, name: str = "ada", **more: Any) -> Json:
    return {
        "id": user_id,
        "username": name,
        "global_name": name.title(),
        "discriminator": "0",
        "avatar": None,
    } | more


def member(*roles: str, **more: Any) -> Json:
    return {"roles": list(roles), "joined_at": "2024-01-01T00:00:00+00:00", "nick": None, "flags": 0} | more


def message(text: str = "hello", /, **more: Any) -> Json:
    """A message in #general."""
    given: Json = {
        "id": M1,
        "type": 0,
        "channel_id": GENERAL,
        "guild_id": GUILD,
        "author": user(),
        "member": member(),
        "content": text,
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "attachments": [],
        "embeds": [],
        "timestamp": "2024-01-01T00:00:00+00:00",
        CHANNEL_TYPE: 0,
    }
    return given | more


def mention(text: str = "hello", /, **more: Any) -> Json:
    return message(f"<@{BOT}> {text}", **({"mentions": [user(BOT, "quartet", bot=True)]} | more))


def in_thread(given: Json) -> Json:
    return given | {"channel_id": THREAD, PARENT: GENERAL, CHANNEL_TYPE: 11}


def direct(text: str = "hello", /, **more: Any) -> Json:
    given = message(text, channel_id=DM, **{CHANNEL_TYPE: 1}) | more
    return {name: value for name, value in given.items() if name not in ("guild_id", "member")}


def reaction(emoji: str = "❌", /, **more: Any) -> Json:
    return {
        "user_id": ADA,
        "channel_id": GENERAL,
        "message_id": M1,
        "guild_id": GUILD,
        "member": member() | {"user": user()},
        "emoji": {"id": None, "name": emoji},
        CHANNEL_TYPE: 0,
    } | more


def interaction(kind: int, data: Json, **more: Any) -> Json:
    """Something pressed or typed in the thread."""
    return {
        "id": "400000000000000001",
        "application_id": APP,
        "type": kind,
        "token": "a-token",
        "version": 1,
        "guild_id": GUILD,
        "channel_id": THREAD,
        "channel": {"id": THREAD, "type": 11, "parent_id": GENERAL, "name": "llamas"},
        "member": member("500000000000000001", permissions="0") | {"user": user()},
        "locale": "en-US",
        "data": data,
    } | more


def pressed(custom_id: str = "q:approve:a1", /, **more: Any) -> Json:
    return interaction(3, {"component_type": 2, "custom_id": custom_id}, message={"id": M2}) | more


def submitted(custom_id: str = "q:form:edit:a1", /, **more: Any) -> Json:
    return interaction(5, {"custom_id": custom_id, "components": []}) | more


def typed(word: str = "", /, **options: str) -> Json:
    """`/quartet word options`."""
    given = [{"name": name, "type": 3, "value": value} for name, value in options.items()]
    data: Json = {"id": "1", "name": "quartet", "type": 1, "options": []}
    if word:
        data["options"] = [{"name": word, "type": 1, "options": given}]
    return interaction(2, data)


def menu(target: Json, name: str = "Ask Quartet about this") -> Json:
    resolved = {"messages": {target["id"]: target}}
    return interaction(
        2, {"id": "2", "name": name, "type": 3, "target_id": target["id"], "resolved": resolved}
    )


def said(payload: Json, *bots: str) -> Arrival:
    """A message that counts."""
    return arrived("MESSAGE_CREATE", payload, *bots)


def done(payload: Json) -> Arrival:
    """Something pressed or typed that counts."""
    return arrived("INTERACTION_CREATE", payload)


def arrived(event: str, payload: Json, *bots: str) -> Arrival:
    arrival = read(event, payload, ME, bots)
    assert arrival is not None
    return arrival
