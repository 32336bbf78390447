"""The twin's streams, statuses and sessions, through slack_sdk's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.models.messages.chunk import MarkdownTextChunk, PlanUpdateChunk, TaskUpdateChunk

from tests.unit.twins.slack_office import Office, office, refused


@pytest.fixture
async def slack() -> AsyncIterator[Office]:
    async with office() as made:
        yield made


async def start(slack: Office, **more: Any) -> tuple[str, str]:
    """A plan stream in a fresh thread: (root ts, stream ts)."""
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="root")
    opened = await slack.client.chat_startStream(
        channel=slack.general.id,
        thread_ts=root.ts,
        recipient_user_id=slack.ada.id,
        recipient_team_id=slack.team.id,
        task_display_mode="plan",
        **more,
    )
    return root.ts, opened["ts"]


async def test_a_plan_grows_by_task_updates_and_keeps_their_ids(slack: Office) -> None:
    chunks = [
        PlanUpdateChunk(title="Working"),
        TaskUpdateChunk(id="r1:status#0", title="researcher", status="in_progress", details="searching"),
        TaskUpdateChunk(id="r1:status#1", title="planner", status="pending"),
    ]
    root, ts = await start(slack, chunks=chunks)
    later = [TaskUpdateChunk(id="r1:status#0", title="researcher", status="complete")]
    await slack.client.chat_appendStream(channel=slack.general.id, ts=ts, chunks=later)
    shown = (await slack.replies(root))[1]
    plan = shown["blocks"][0]
    assert (plan["type"], plan["title"]) == ("plan", "Working")
    assert [(t["task_id"], t["status"]) for t in plan["tasks"]] == [
        ("r1:status#0", "complete"),
        ("r1:status#1", "pending"),
    ]
    assert plan["tasks"][0]["details"]["elements"][0]["elements"][0]["text"] == "searching"
    assert slack.world.thread(slack.general.id, root).session_status == "processing"


async def test_a_stopped_stream_keeps_metadata_and_blocks_and_takes_no_more(slack: Office) -> None:
    root, ts = await start(slack, markdown_text="Hello ")
    client, place = slack.client, {"channel": slack.general.id, "ts": ts}
    await client.chat_appendStream(**place, chunks=[MarkdownTextChunk(text="world")])
    metadata = {"event_type": "quartet_card", "event_payload": {"card": "r1:answer"}}
    divider = [{"type": "divider"}]
    await client.chat_stopStream(**place, metadata=metadata, blocks=divider, session_status="closed")
    shown = (await slack.replies(root))[1]
    assert (shown["text"], shown["metadata"]) == ("Hello world", metadata)
    assert [b["type"] for b in shown["blocks"]] == ["markdown", "divider"]
    assert slack.world.thread(slack.general.id, root).session_status == "closed"
    word = await refused(client.chat_appendStream(**place, markdown_text="more"))
    assert word == "message_not_in_streaming_state"
    assert await refused(client.chat_stopStream(**place)) == "message_not_in_streaming_state"


async def test_a_stream_ends_by_itself_after_five_minutes_and_update_takes_it_over(slack: Office) -> None:
    root, ts = await start(slack, markdown_text="working")
    client, place = slack.client, {"channel": slack.general.id, "ts": ts}
    assert await refused(client.chat_update(**place, text="too early")) == "streaming_state_conflict"
    slack.world.clock.jump(301)
    word = await refused(client.chat_appendStream(**place, markdown_text="late"))
    assert word == "message_not_in_streaming_state"
    await client.chat_update(**place, text="done", blocks=[{"type": "markdown", "text": "done"}])
    shown = (await slack.replies(root))[1]
    assert (shown["text"], [b["type"] for b in shown["blocks"]]) == ("done", ["markdown"])


async def test_a_stream_takes_12000_characters_and_not_one_more(slack: Office) -> None:
    _, ts = await start(slack, markdown_text="x" * 6_000)
    place = {"channel": slack.general.id, "ts": ts}
    append = slack.client.chat_appendStream
    assert await refused(append(**place, markdown_text="y" * 6_001)) == "msg_too_long"
    assert await refused(append(**place, markdown_text="y" * 6_000)) == ""
    assert await refused(append(**place, chunks=[MarkdownTextChunk(text="z")])) == "msg_too_long"
    message = slack.world.message(slack.general.id, ts)
    assert message.stream is not None
    assert message.stream.text == "x" * 6_000 + "y" * 6_000


async def test_what_a_stream_needs_to_begin(slack: Office) -> None:
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="root")
    begin, channel = slack.client.chat_startStream, slack.general.id
    who: dict[str, Any] = {"recipient_user_id": slack.ada.id, "recipient_team_id": slack.team.id}
    assert await refused(begin(channel=channel, thread_ts="", **who)) == "invalid_thread_ts"
    assert await refused(begin(channel=channel, thread_ts="1.000000", **who)) == "invalid_thread_ts"
    assert await refused(begin(channel=channel, thread_ts=root.ts)) == "missing_recipient_user_id"
    alone = begin(channel=channel, thread_ts=root.ts, recipient_user_id=slack.ada.id)
    assert await refused(alone) == "missing_recipient_team_id"
    foreign = begin(
        channel=channel, thread_ts=root.ts, recipient_user_id=slack.ada.id, recipient_team_id="T404"
    )
    assert await refused(foreign) == "team_not_found"
    both = begin(
        channel=channel, thread_ts=root.ts, markdown_text="a", chunks=[MarkdownTextChunk(text="b")], **who
    )
    assert await refused(both) == "invalid_arguments"
    metadata: dict[str, Any] = {"event_type": "x", "event_payload": {}}
    assert (
        await refused(begin(channel=channel, thread_ts=root.ts, metadata=metadata, **who))
        == "invalid_arguments"
    )
    wrong = begin(
        channel=channel,
        thread_ts=root.ts,
        chunks=[{"type": "task_update", "id": "1", "title": "t", "status": "done"}],
        **who,
    )
    assert await refused(wrong) == "invalid_chunks"
    direct = slack.world.direct(slack.ada.id, slack.bot.bot_user)
    first = slack.world.post(direct.id, user=slack.ada.id, text="hi")
    assert await refused(begin(channel=direct.id, thread_ts=first.ts)) == ""


async def test_slack_sdks_own_streamer_works(slack: Office) -> None:
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="root")
    stream = await slack.client.chat_stream(
        channel=slack.general.id,
        thread_ts=root.ts,
        recipient_user_id=slack.ada.id,
        recipient_team_id=slack.team.id,
        task_display_mode="plan",
        buffer_size=1,
    )
    await stream.append(markdown_text="**Hello** ")
    await stream.append(chunks=[TaskUpdateChunk(id="1", title="one", status="in_progress")])
    await stream.stop(markdown_text="bye")
    shown = (await slack.replies(root.ts))[1]
    assert shown["text"] == "**Hello** bye"
    assert shown["blocks"][0]["tasks"][0]["task_id"] == "1"


async def test_a_foreign_stream_and_a_plain_message_take_nothing(slack: Office) -> None:
    root, ts = await start(slack)
    app = slack.world.add_app("Other")
    install = slack.world.install(app.id, slack.team.id, {"chat:write"})
    slack.general.members.append(install.bot_user)
    other = slack.client_with(slack.world.token_of(install))
    append = other.chat_appendStream(channel=slack.general.id, ts=ts, markdown_text="x")
    assert await refused(append) == "message_not_owned_by_app"
    plain = await slack.client.chat_postMessage(channel=slack.general.id, thread_ts=root, text="plain")
    append = slack.client.chat_appendStream(channel=slack.general.id, ts=plain["ts"], markdown_text="x")
    assert await refused(append) == "message_not_in_streaming_state"


async def test_pings_in_streamed_text_are_seen(slack: Office) -> None:
    _, ts = await start(slack)
    assert slack.world.pings == []
    await slack.client.chat_appendStream(channel=slack.general.id, ts=ts, markdown_text="<!here>")
    assert [p.what for p in slack.world.pings][:1] == ["<!here>"]


async def test_slacks_stop_button_ends_the_streams_and_tells_the_app(slack: Office) -> None:
    root, ts = await start(slack)
    slack.world.stop_session(slack.general.id, root, slack.ada.id)
    told = slack.events("agent_session_stopped")
    assert [(e["thread_ts"], e["user"], e["streaming_message_ts"]) for e in told] == [
        (root, slack.ada.id, [ts])
    ]
    word = await refused(slack.client.chat_stopStream(channel=slack.general.id, ts=ts))
    assert word == "message_not_in_streaming_state"


async def test_a_status_goes_when_the_bot_posts_and_after_two_minutes(slack: Office) -> None:
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="root")
    set_status = slack.client.assistant_threads_setStatus
    place: dict[str, Any] = {"channel_id": slack.general.id, "thread_ts": root.ts}
    await set_status(**place, status="is thinking…", loading_messages=["reading"])
    assert slack.world.status_of(slack.general.id, root.ts) == "is thinking…"
    await slack.client.chat_postMessage(channel=slack.general.id, thread_ts=root.ts, text="hi")
    assert slack.world.status_of(slack.general.id, root.ts) == ""
    await set_status(**place, status="is writing…")
    slack.world.clock.jump(121)
    assert slack.world.status_of(slack.general.id, root.ts) == ""
    assert await refused(set_status(**place, status="x", loading_messages=["y"] * 11)) == "invalid_arguments"
    assert [text for _, text in slack.world.thread(slack.general.id, root.ts).history] == [
        "is thinking…",
        "is writing…",
    ]


async def test_sessions_are_made_by_status_and_renamed_by_name(slack: Office) -> None:
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="root")
    client, place = slack.client, {"channel_id": slack.general.id, "thread_ts": root.ts}
    assert await refused(client.agents_sessions_rename(**place, title="x")) == "session_not_found"
    made = await client.agents_sessions_setStatus(**place, status="processing", title="First")
    assert (made["agent_status"], made["title"], made.get("warning")) == ("processing", "First", None)
    again = await client.agents_sessions_setStatus(**place, status="active", title="Ignored")
    assert again["title"] == "First"
    await client.agents_sessions_rename(**place, title="Second")
    assert slack.world.thread(slack.general.id, root.ts).session_title == "Second"
    assert await refused(client.agents_sessions_setStatus(**place, status="busy")) == "invalid_arguments"
    slack.app.events.clear()
    warned = await client.agents_sessions_setStatus(**place, status="processing")
    assert warned["warning"] == "missing_agent_session_stopped_event_subscription"


async def test_agent_apps_set_prompts_without_a_thread(slack: Office) -> None:
    direct = slack.world.direct(slack.ada.id, slack.bot.bot_user)
    first = slack.world.post(direct.id, user=slack.ada.id, text="hi")
    prompts = [{"title": "Ask", "message": "What is new?"}]
    set_prompts = slack.client.assistant_threads_setSuggestedPrompts
    await set_prompts(channel_id=direct.id, thread_ts=first.ts, prompts=prompts)
    assert slack.world.prompts == {}
    await set_prompts(channel_id=direct.id, prompts=prompts)
    assert slack.world.prompts[direct.id, ""].prompts == prompts
    assert await refused(set_prompts(channel_id=direct.id, prompts=prompts * 5)) == "invalid_arguments"
    await slack.client.assistant_threads_setTitle(channel_id=direct.id, thread_ts=first.ts, title="News")
    assert slack.world.thread(direct.id, first.ts).title == "News"
