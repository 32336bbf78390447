"""Streamed messages: chat.startStream, appendStream, stopStream.

Reported by users rather than documented, and kept here: a stream ends 5 minutes after its start, and takes
12,000 characters in all. Assumed: a wrong combination of arguments is `invalid_arguments`, a missing or
unknown thread `invalid_thread_ts`.
"""

from __future__ import annotations

from .api_agents import STATUSES, set_session
from .api_chat import metadata_of, writable
from .blocks import characters, check_chunks, check_message_blocks
from .calls import Ask, method
from .workspace import Json, Message, Refused, Stream

STREAM_TEXT = 12_000


@method("chat.startStream", "chat:write")
def start(ask: Ask) -> Json:
    channel = writable(ask)
    if "metadata" in ask.arguments or "blocks" in ask.arguments:
        raise Refused("invalid_arguments")
    thread_ts = ask.need("thread_ts", "invalid_thread_ts")
    if thread_ts not in ask.world.messages[channel.id]:
        raise Refused("invalid_thread_ts")
    recipient = ask.text("recipient_user_id")
    if not channel.is_im:
        if not recipient:
            raise Refused("missing_recipient_user_id")
        team = ask.need("recipient_team_id", "missing_recipient_team_id")
        if team not in ask.world.teams:
            raise Refused("team_not_found")
        user = ask.world.users.get(recipient)
        if user is None or user.team != team:
            raise Refused("user_not_found")
    mode = ask.text("task_display_mode") or "timeline"
    if mode not in ("timeline", "plan", "dense"):
        raise Refused("invalid_arguments")
    stream = Stream(ask.world.now(), mode, recipient=recipient)
    extend(ask, stream)
    message = ask.world.post(channel.id, user=ask.me.id, thread_ts=thread_ts, stream=stream)
    if ask.app.is_agent:
        set_session(ask, channel.id, message.thread_ts, "processing", recipient)
    return {"channel": channel.id, "ts": message.ts}


@method("chat.appendStream", "chat:write")
def append(ask: Ask) -> Json:
    message, stream = _open_stream(ask)
    if not ask.text("markdown_text") and not ask.arguments.get("chunks"):
        raise Refused("no_text")
    extend(ask, stream)
    ask.world.note_pings(message)
    return {"channel": message.channel, "ts": message.ts}


@method("chat.stopStream", "chat:write")
def stop(ask: Ask) -> Json:
    message, stream = _open_stream(ask)
    status = ask.text("session_status") or "active"
    if status not in STATUSES:
        raise Refused("invalid_arguments")
    given = ask.arguments.get("blocks")
    blocks = check_message_blocks(given) if given not in (None, "") else []
    metadata = metadata_of(ask)
    before = ask.world.message_json(message)
    extend(ask, stream)
    stream.open = False
    message.blocks = ask.world.own_blocks("", blocks, True)
    message.metadata = metadata or message.metadata
    ask.world.note_pings(message)
    if ask.app.is_agent:
        set_session(ask, message.channel, message.thread_ts, status, stream.recipient)
    channel = ask.world.channels[message.channel]
    ask.world.emit(channel.team, ask.world.changed_event(message, before))
    return {"channel": message.channel, "ts": message.ts, "message": ask.world.message_json(message)}


def extend(ask: Ask, stream: Stream) -> None:
    """Add what a call brings: markdown_text or chunks. All of it or, refused, nothing."""
    markdown = ask.text("markdown_text")
    given = ask.decoded("chunks", "invalid_chunks")
    if markdown and given:
        raise Refused("invalid_arguments")
    chunks = check_chunks(given) if given is not None else []
    size = stream.characters + len(markdown) + sum(characters(chunk) for chunk in chunks)
    if size > STREAM_TEXT:
        raise Refused("msg_too_long")
    stream.characters = size
    stream.text += markdown
    for chunk in chunks:
        match chunk["type"]:
            case "markdown_text":
                stream.text += str(chunk["text"])
            case "plan_update":
                stream.title = str(chunk["title"])
            case "task_update":
                task = stream.tasks.setdefault(str(chunk["id"]), {})
                task.update({key: value for key, value in chunk.items() if key != "type"})
            case _:
                stream.blocks.extend(ask.world.own_blocks("", chunk["blocks"], True))


def _open_stream(ask: Ask) -> tuple[Message, Stream]:
    channel = ask.channel()
    message = ask.own_message(channel, ask.need("ts", "message_not_found"), "message_not_owned_by_app")
    if message.stream is None or not ask.world.streaming(message):
        raise Refused("message_not_in_streaming_state")
    return message, message.stream
