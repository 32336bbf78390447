"""What assistants and agents show in a thread: assistant.threads.*, agents.sessions.*."""

from __future__ import annotations

from typing import cast

from .calls import Ask, method
from .workspace import Channel, Json, Prompts, Refused

STATUSES = ("processing", "active", "suspended", "closed")


@method("assistant.threads.setStatus", "chat:write")
def set_status(ask: Ask) -> Json:
    channel, thread_ts = _thread(ask)
    if "status" not in ask.arguments:
        raise Refused("invalid_arguments")
    status = ask.text("status")
    given = ask.decoded("loading_messages", "invalid_arguments")
    messages = cast("list[object]", given) if isinstance(given, list) else []
    if (given is not None and not isinstance(given, list)) or len(messages) > 10:
        raise Refused("invalid_arguments")
    thread = ask.world.thread(channel.id, thread_ts)
    thread.status, thread.status_at = status, ask.world.now()
    thread.loading_messages = [str(each) for each in messages]
    thread.history.append((thread.status_at, status))
    return {}


@method("assistant.threads.setTitle", "assistant:write")
def set_title(ask: Ask) -> Json:
    channel, thread_ts = _thread(ask)
    ask.world.thread(channel.id, thread_ts).title = ask.need("title")
    return {}


@method("assistant.threads.setSuggestedPrompts", "assistant:write")
def set_suggested_prompts(ask: Ask) -> Json:
    channel = ask.member_channel("channel_id")
    given = ask.decoded("prompts", "invalid_arguments")
    prompts = cast("list[object]", given) if isinstance(given, list) else []
    if not 1 <= len(prompts) <= 4:
        raise Refused("invalid_arguments")
    for each in prompts:
        prompt = cast("Json", each) if isinstance(each, dict) else {}
        if not isinstance(prompt.get("title"), str) or not isinstance(prompt.get("message"), str):
            raise Refused("invalid_arguments")
    if ask.text("thread_ts") and ask.app.is_agent:
        return {}  # Slack: for agent apps such a call fails in silence
    made = Prompts(ask.text("title"), cast("list[Json]", prompts))
    ask.world.prompts[channel.id, ask.text("thread_ts")] = made
    return {}


@method("agents.sessions.setStatus", "chat:write")
def session_status(ask: Ask) -> Json:
    channel, thread_ts = _thread(ask)
    status = ask.need("status")
    title = ask.text("title")
    if status not in STATUSES or len(title) > 200:
        raise Refused("invalid_arguments")
    if not ask.app.is_agent:
        raise Refused("no_permission")
    initiator = ask.text("initiator_user_id")
    if initiator and initiator not in ask.world.users:
        raise Refused("user_not_found")
    if not ask.world.thread(channel.id, thread_ts).session_status:
        ask.world.thread(channel.id, thread_ts).session_title = title  # ignored later: that is rename's
    set_session(ask, channel.id, thread_ts, status, initiator)
    thread = ask.world.thread(channel.id, thread_ts)
    answer: Json = {"status": status, "agent_status": status, "title": thread.session_title}
    if status == "processing" and "agent_session_stopped" not in ask.app.events:
        answer["warning"] = "missing_agent_session_stopped_event_subscription"
    return answer


@method("agents.sessions.rename", "chat:write")
def session_rename(ask: Ask) -> Json:
    channel, thread_ts = _thread(ask)
    title = ask.need("title")
    thread = ask.world.thread(channel.id, thread_ts)
    if not thread.session_status:
        raise Refused("session_not_found")
    if len(title) > 200:
        raise Refused("invalid_arguments")
    thread.session_title = title
    return {"title": title}


def set_session(ask: Ask, channel: str, thread_ts: str, status: str, initiator: str) -> None:
    """Move a thread's session."""
    thread = ask.world.thread(channel, thread_ts)
    thread.session_status = status
    thread.initiator = initiator or thread.initiator


def _thread(ask: Ask) -> tuple[Channel, str]:
    channel = ask.member_channel("channel_id")
    thread_ts = ask.need("thread_ts", "invalid_thread_ts")
    if thread_ts not in ask.world.messages[channel.id]:
        raise Refused("invalid_thread_ts")
    return channel, thread_ts
