"""Posting, changing, deleting messages; ephemeral ones; permalinks; blocks.validate."""

from __future__ import annotations

import json
from typing import cast

from .blocks import check_message_blocks, check_view
from .calls import Ask, method
from .workspace import Channel, Ephemeral, Json, Message, Refused

TEXT_KEPT = 40_000  # chat.postMessage cuts what is longer
TEXT_UPDATED = 4_000  # chat.update refuses what is longer
METADATA_BYTES = 16_384


@method("chat.postMessage", "chat:write")
def post_message(ask: Ask) -> Json:
    channel = writable(ask)
    text, blocks, attachments = content(ask)
    metadata = metadata_of(ask)
    thread_ts = ask.text("thread_ts")
    cut = len(text) > TEXT_KEPT
    message = ask.world.post(
        channel.id,
        user=ask.me.id,
        text=text[:TEXT_KEPT],
        thread_ts=thread_ts,
        blocks=blocks,
        attachments=attachments,
        metadata=metadata,
        broadcast=ask.flag("reply_broadcast"),
        username=_username(ask),
    )
    message.truncated = cut
    answer: Json = {"channel": channel.id, "ts": message.ts, "message": ask.world.message_json(message)}
    if cut:
        answer["warning"] = "message_truncated"
        answer["response_metadata"] = {"warnings": ["message_truncated"]}
    return answer


@method("chat.update", "chat:write")
def update(ask: Ask) -> Json:
    channel = ask.channel()
    message = ask.own_message(channel, ask.need("ts", "message_not_found"), "cant_update_message")
    _refuse_archived(channel)
    if ask.world.streaming(message):
        # Assumed: Slack lists this word for chat.update and says no more about it.
        raise Refused("streaming_state_conflict")
    text, blocks, attachments = content(ask)
    if len(text) > TEXT_UPDATED:
        raise Refused("msg_too_long")
    before = message.stream
    said = "text" in ask.arguments or "markdown_text" in ask.arguments
    ask.world.edit(
        channel.id,
        message.ts,
        by=ask.me.id,
        text=text if said or before is not None else None,
        blocks=blocks if blocks is not None or before is None else message.blocks,
        attachments=attachments,
        metadata=metadata_of(ask),
    )
    return {
        "channel": channel.id,
        "ts": message.ts,
        "text": message.text,
        "message": ask.world.message_json(message),
    }


@method("chat.delete", "chat:write")
def delete(ask: Ask) -> Json:
    channel = ask.channel()
    message = ask.own_message(channel, ask.need("ts", "message_not_found"), "cant_delete_message")
    ask.world.delete(channel.id, message.ts)
    return {"channel": channel.id, "ts": message.ts}


@method("chat.postEphemeral", "chat:write")
def post_ephemeral(ask: Ask) -> Json:
    channel = ask.channel()
    _refuse_archived(channel)
    if ask.me.id not in channel.members and "chat:write.public" not in _scopes(ask):
        raise Refused("not_in_channel")
    user = ask.user()
    if user.id not in channel.members:
        raise Refused("user_not_in_channel")
    text, blocks, _ = content(ask)
    thread_ts = ask.text("thread_ts")
    ts = ask.world.next_ts()
    # "Ephemeral messages in threads are only shown if there is already an active thread": Slack says ok
    # all the same.
    if not thread_ts or ask.world.active_thread(channel.id, thread_ts):
        shown = ask.world.own_blocks(text, blocks, True)
        ask.world.ephemerals.append(
            Ephemeral(channel.id, user.id, ts, text[:TEXT_KEPT], thread_ts, shown, ask.install.app)
        )
    return {"message_ts": ts}


@method("chat.getPermalink")
def permalink(ask: Ask) -> Json:
    channel = ask.channel()
    message = ask.world.message(channel.id, ask.need("message_ts", "message_not_found"))
    return {"channel": channel.id, "permalink": permalink_of(ask, message)}


def permalink_of(ask: Ask, message: Message) -> str:
    """A message's address."""
    domain = ask.world.teams[ask.team].domain
    address = f"https://{domain}.slack.com/archives/{message.channel}/p{message.ts.replace('.', '')}"
    return f"{address}?thread_ts={message.thread_ts}&cid={message.channel}" if message.is_reply else address


@method("blocks.validate")
def validate(ask: Ask) -> Json:
    given = [name for name in ("blocks", "message", "view") if ask.arguments.get(name)]
    if len(given) != 1:
        raise Refused("invalid_arguments")
    name = given[0]
    value = ask.decoded(name, "invalid_blocks_format")
    if name == "blocks":
        check_message_blocks(value)
    elif name == "view":
        check_view(value)
    elif isinstance(value, dict):
        check_message_blocks(cast("Json", value).get("blocks") or [])
    else:
        raise Refused("invalid_arguments")
    return {}


# ── shared with streams and files ────────────────────────────────────────────────────────────


def writable(ask: Ask) -> Channel:
    """The conversation a call wants to write to; a person's id means the direct message.

    Raises:
        Refused: channel_not_found, not_in_channel, is_archived.
    """
    wanted = ask.need("channel", "channel_not_found")
    if wanted in ask.world.users and wanted != ask.me.id:
        return ask.world.direct(wanted, ask.me.id)
    channel = ask.channel()
    _refuse_archived(channel)
    public = channel.public and not channel.is_ext_shared and "chat:write.public" in _scopes(ask)
    if ask.me.id not in channel.members and not public:
        raise Refused("not_in_channel")
    return channel


def content(ask: Ask) -> tuple[str, list[Json] | None, list[Json] | None]:
    """text, blocks, attachments; markdown_text becomes a markdown block.

    Raises:
        Refused: no_text, markdown_text_conflict, msg_too_long, and what blocks are refused with.
    """
    text = ask.text("text")
    given = ask.arguments.get("blocks")
    blocks = check_message_blocks(given) if given not in (None, "") else None
    attached = ask.decoded("attachments", "invalid_attachments")
    if attached is not None and not isinstance(attached, list):
        raise Refused("invalid_attachments")
    attachments = cast("list[Json] | None", attached)
    markdown = ask.text("markdown_text")
    if markdown:
        if text or blocks:
            raise Refused("markdown_text_conflict")
        if len(markdown) > 12_000:
            raise Refused("msg_too_long")
        return markdown, [{"type": "markdown", "text": markdown}], None
    if not text.strip() and not blocks and not attachments:
        raise Refused("no_text")
    return text, blocks, attachments


def metadata_of(ask: Ask) -> Json | None:
    """Message metadata, if it has Slack's shape.

    Raises:
        Refused: invalid_metadata_format, metadata_too_large.
    """
    given = ask.decoded("metadata", "invalid_metadata_format")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise Refused("invalid_metadata_format")
    metadata = cast("Json", given)
    if not metadata:
        return metadata
    kind, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not isinstance(kind, str) or not kind or len(kind) > 255 or not isinstance(payload, dict):
        raise Refused("invalid_metadata_format")
    if len(json.dumps(payload)) > METADATA_BYTES:
        raise Refused("metadata_too_large")
    return {"event_type": kind, "event_payload": cast("Json", payload)}


def _username(ask: Ask) -> str:
    name = ask.text("username")
    if name:
        ask.need_scope("chat:write.customize")
    return name


def _scopes(ask: Ask) -> set[str]:
    return ask.token.scopes if ask.token is not None else set()


def _refuse_archived(channel: Channel) -> None:
    if channel.is_archived:
        raise Refused("is_archived")
