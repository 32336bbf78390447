"""Methods about conversations and reactions."""

from __future__ import annotations

from collections.abc import Iterable

from .calls import Ask, method
from .workspace import Channel, Json, Message, Refused

READ = ("channels:read", "groups:read", "im:read", "mpim:read")
HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")


@method("conversations.info", *READ)
def info(ask: Ask) -> Json:
    channel = ask.channel()
    ask.need_scope_for(channel, "read")
    return {"channel": ask.world.channel_json(channel, ask.me.id)}


@method("conversations.members", *READ)
def members(ask: Ask) -> Json:
    channel = ask.channel()
    ask.need_scope_for(channel, "read")
    page, following = ask.page(channel.members, default=100, most=1000)
    return {"members": page, "response_metadata": {"next_cursor": following}}


@method("conversations.list", *READ)
def list_(ask: Ask) -> Json:
    kinds = {"public_channel": "channel", "private_channel": "group", "im": "im", "mpim": "mpim"}
    named = (ask.text("types") or "public_channel").split(",")
    if any(each.strip() not in kinds for each in named):
        raise Refused("invalid_types")
    wanted = {kinds[each.strip()] for each in named}
    found: list[Channel] = []
    for channel in ask.world.channels.values():
        if channel.channel_type not in wanted or ask.team not in channel.teams:
            continue
        if (channel.is_archived and ask.flag("exclude_archived")) or not (
            channel.public or ask.me.id in channel.members
        ):
            continue
        ask.need_scope_for(channel, "read")
        found.append(channel)
    page, following = ask.page(found, default=100, most=1000)
    shown = [ask.world.channel_json(each, ask.me.id) for each in page]
    return {"channels": shown, "response_metadata": {"next_cursor": following}}


@method("conversations.open", "im:write", "mpim:write")
def open_(ask: Ask) -> Json:
    world = ask.world
    if ask.text("channel"):
        channel = ask.channel()
        if channel.channel_type not in ("im", "mpim"):
            raise Refused("method_not_supported_for_channel_type")
    else:
        users = [
            each.strip() for each in ask.need("users", "users_list_not_supplied").split(",") if each.strip()
        ]
        others = [world.users.get(each) for each in users if each != ask.me.id]
        if not others or any(each is None for each in others):
            raise Refused("user_not_found")
        if len(others) > 8:
            raise Refused("too_many_users")
        if any(each is not None and each.deleted for each in others):
            raise Refused("user_disabled")
        ask.need_scope("im:write" if len(others) == 1 else "mpim:write")
        before = len(world.channels)
        channel = world.direct(*users, ask.me.id)
        if len(world.channels) == before:
            shown: Json = {"id": channel.id}
            return {"no_op": True, "already_open": True, "channel": shown}
    full = world.channel_json(channel, ask.me.id)
    return {"channel": full if ask.flag("return_im") else {"id": channel.id}}


@method("conversations.join", "channels:join")
def join(ask: Ask) -> Json:
    channel = ask.channel()
    if not channel.public:
        raise Refused("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise Refused("is_archived")
    already = ask.me.id in channel.members
    ask.world.join(channel.id, ask.me.id)
    answer: Json = {"channel": ask.world.channel_json(channel, ask.me.id)}
    return {**answer, "warning": "already_in_channel"} if already else answer


@method("conversations.history", *HISTORY)
def history(ask: Ask) -> Json:
    channel = ask.channel()
    ask.need_scope_for(channel, "history")
    if ask.me.id not in channel.members:
        raise Refused("not_in_channel")
    everything = ask.world.messages[channel.id].values()
    shown = [m for m in everything if not m.is_reply or m.subtype == "thread_broadcast"]
    rows = list(reversed(list(_between(ask, shown))))
    page, following = ask.page(rows, default=100, most=999)
    return _listed(ask, page, following)


@method("conversations.replies", *HISTORY)
def replies(ask: Ask) -> Json:
    channel = ask.channel()
    ask.need_scope_for(channel, "history")
    if ask.me.id not in channel.members:
        raise Refused("not_in_channel")
    ts = ask.need("ts", "thread_not_found")
    asked = ask.world.messages[channel.id].get(ts)
    if asked is None:
        raise Refused("thread_not_found")
    if asked.is_reply:  # Slack shows a reply alone
        return _listed(ask, [asked], "")
    root, *rest = ask.world.thread_messages(channel.id, ts)
    page, following = ask.page([root, *_between(ask, rest)], default=1000, most=1000)
    return _listed(ask, page, following)


def _between(ask: Ask, messages: Iterable[Message]) -> Iterable[Message]:
    oldest, latest, inclusive = ask.text("oldest"), ask.text("latest"), ask.flag("inclusive")
    for each in messages:
        late_enough = not oldest or _key(each.ts) > _key(oldest)
        early_enough = not latest or _key(each.ts) < _key(latest)
        if (late_enough and early_enough) or (inclusive and each.ts in (oldest, latest)):
            yield each


def _key(ts: str) -> tuple[int, int]:
    seconds, _, micros = ts.partition(".")
    try:
        return int(seconds), int((micros or "0").ljust(6, "0")[:6])
    except ValueError:
        raise Refused("invalid_ts_oldest") from None


def _listed(ask: Ask, messages: Iterable[Message], following: str) -> Json:
    shown = [ask.world.message_json(m, metadata=ask.flag("include_all_metadata")) for m in messages]
    answer: Json = {"messages": shown, "has_more": bool(following)}
    return {**answer, "response_metadata": {"next_cursor": following}} if following else answer


@method("reactions.add", "reactions:write")
def reactions_add(ask: Ask) -> Json:
    channel, ts, name = _reaction(ask)
    if channel.is_archived:
        raise Refused("is_archived")
    ask.world.react(channel.id, ts, ask.me.id, name)
    return {}


@method("reactions.remove", "reactions:write")
def reactions_remove(ask: Ask) -> Json:
    channel, ts, name = _reaction(ask)
    ask.world.unreact(channel.id, ts, ask.me.id, name)
    return {}


@method("reactions.get", "reactions:read")
def reactions_get(ask: Ask) -> Json:
    channel = ask.channel()
    message = ask.world.message(channel.id, ask.need("timestamp", "message_not_found"))
    shown = {**ask.world.message_json(message), "reactions": ask.world.reactions_json(message)}
    return {"type": "message", "channel": channel.id, "message": shown}


def _reaction(ask: Ask) -> tuple[Channel, str, str]:
    channel = ask.member_channel()
    ts = ask.need("timestamp", "no_item_specified")
    name = ask.need("name", "invalid_name").strip(":")
    if not name.replace("_", "").replace("-", "").replace("+", "").replace(":", "").isalnum():
        raise Refused("invalid_name")
    return channel, ts, name
