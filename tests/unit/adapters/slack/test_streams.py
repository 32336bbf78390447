"""Status cards as streams: one message a run, whatever Slack does with the stream."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Card, ConversationRef
from adapters.errors import PlatformDown, RateLimited
from adapters.slack.inbox import Inbox, Known
from adapters.slack.streams import AGE_S
from tests.unit.adapters.slack.going_out import Desk, approval_card, desk, status_card


def stream_calls(made: Desk) -> list[str]:
    return [m for m in made.methods() if m.startswith("chat.")]


def ended() -> Card:
    return status_card("", state="done", buttons=(), status="done")


async def edit_until(made: Desk, ref: Any, card: Card) -> None:
    """Edit as the outbox does: again when it is told that there is no room."""
    made.sender._edits.clear()  # pyright: ignore[reportPrivateUsage] # the test does not wait for the cadence
    await made.sender.edit(ref, card)


async def post_until(made: Desk, conversation: ConversationRef, card: Card) -> None:
    """Post as the outbox does: again when there is room beside what people wait for."""
    async with asyncio.timeout(60):
        while True:
            try:
                await made.sender.post(conversation, card, nonce="n")
            except RateLimited as error:
                await asyncio.sleep(error.retry_after_s)
            else:
                return


async def test_status_card_is_a_stream_that_grows_and_ends_as_one_message(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        ref = await made.sender.post(made.conversation, status_card("one"), nonce="n")
        await edit_until(made, ref, status_card("two"))
        await edit_until(made, ref, status_card("two"))
        assert made.seen()[0].streaming
        assert made.seen()[0].buttons == ("Stop",)
        assert "two" in str(made.seen()[0].blocks)
        await edit_until(made, ref, ended())
        assert stream_calls(made) == [
            "chat.startStream",
            "chat.appendStream",
            "chat.stopStream",
            "chat.update",
        ]
        [seen] = made.seen()
        assert (seen.ts, seen.streaming, seen.buttons) == (ref.message_id, False, ())
        assert "done" in seen.shows
        start = made.twin.calls[0].arguments
        assert (start["recipient_user_id"], start["task_display_mode"]) == (made.ada.id, "plan")


async def test_only_status_cards_in_threads_are_streams(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="stream") as made:
        await made.sender.post(made.conversation, approval_card(), nonce="n")
        await post_until(made, made.direct, status_card())
        assert stream_calls(made) == ["chat.postMessage", "chat.postMessage"]


async def test_card_without_agents_is_no_stream_and_is_found_again(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="stream") as made:
        bare = status_card().model_copy(update={"parts": ()})
        ref = await made.sender.post(made.conversation, bare, nonce="n")
        assert stream_calls(made) == ["chat.postMessage"]
        await made.sender.posted.forget(bare.id)  # as after a crash between the post and its note
        assert await made.sender.find(made.conversation, bare.id) == ref


async def test_blocks_mode_never_streams(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="blocks") as made:
        ref = await made.sender.post(made.conversation, status_card("one"), nonce="n")
        await edit_until(made, ref, status_card("two"))
        assert stream_calls(made) == ["chat.postMessage", "chat.update"]


@pytest.mark.parametrize("error", ["unknown_method", "missing_scope", "channel_type_not_supported"])
async def test_workspace_without_streams_is_not_asked_again_for_a_while(tmp_path: Path, error: str) -> None:
    async with desk(tmp_path, progress="auto") as made:
        made.twin.faults.order("chat.startStream", error=error)
        await made.sender.post(made.conversation, status_card(), nonce="n")
        other = status_card().model_copy(update={"id": "run-2:status"})
        await post_until(made, made.conversation, other)
        assert stream_calls(made) == ["chat.startStream", "chat.postMessage", "chat.postMessage"]
        made.twin.world.clock.jump(3_700)
        third = status_card().model_copy(update={"id": "run-3:status"})
        await made.sender.post(made.conversation, third, nonce="n")
        assert stream_calls(made)[-1] == "chat.startStream"


async def test_spent_stream_budget_means_block_kit_at_once(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        made.twin.faults.order("chat.startStream", retry_after=30)
        ref = await made.sender.post(made.conversation, status_card(), nonce="n")
        assert stream_calls(made) == ["chat.startStream", "chat.postMessage"]
        assert not made.seen()[0].streaming
        await edit_until(made, ref, status_card("two"))
        assert stream_calls(made)[-1] == "chat.update"


async def test_spent_append_budget_means_takeover_by_update(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        ref = await made.sender.post(made.conversation, status_card("one"), nonce="n")
        made.twin.faults.order("chat.appendStream", retry_after=30)
        await edit_until(made, ref, status_card("two"))
        assert stream_calls(made)[1:] == ["chat.appendStream", "chat.stopStream", "chat.update"]
        assert "two" in made.seen()[0].shows
        made.twin.faults.order("chat.update", retry_after=30)
        with pytest.raises(RateLimited):
            await edit_until(made, ref, status_card("three"))
        assert len(made.seen()) == 1


async def test_stream_that_slack_closed_is_taken_over(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        ref = await made.sender.post(made.conversation, status_card("one"), nonce="n")
        made.twin.faults.order("chat.appendStream", error="message_not_in_streaming_state")
        made.twin.faults.order("chat.stopStream", error="message_not_in_streaming_state")
        made.twin.world.clock.jump(200)
        stream = made.twin.world.message(made.twin.general, ref.message_id).stream
        assert stream is not None
        stream.open = False
        await edit_until(made, ref, status_card("two"))
        assert stream_calls(made) == ["chat.startStream", "chat.appendStream", "chat.update"]
        assert "two" in made.seen()[0].shows
        assert len(made.seen()) == 1


async def test_stream_is_ended_before_slack_closes_it_and_with_the_last_change_in_one_call(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, progress="auto") as made:
        ref = await made.sender.post(made.conversation, status_card("one"), nonce="n")
        made.twin.world.clock.jump(AGE_S + 5)
        await edit_until(made, ref, status_card("two"))
        assert stream_calls(made) == ["chat.startStream", "chat.stopStream"]
        assert "two" in str(made.seen()[0].blocks)
        assert made.seen()[0].buttons == ("Stop",)
        await edit_until(made, ref, status_card("three"))
        assert stream_calls(made)[-1] == "chat.update"
        made.twin.world.clock.jump(3_600)
        await edit_until(made, ref, status_card("four"))
        assert "four" in made.seen()[0].shows
        assert len(made.seen()) == 1


async def test_stream_refused_as_too_long_is_taken_over(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        ref = await made.sender.post(made.conversation, status_card("one"), nonce="n")
        made.twin.faults.order("chat.appendStream", error="msg_too_long")
        await edit_until(made, ref, status_card("two"))
        assert "two" in made.seen()[0].shows
        assert not made.seen()[0].streaming


async def test_long_run_stays_within_a_streams_size(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        made.twin.rates.on = False
        ref = await made.sender.post(made.conversation, status_card("begin"), nonce="n")
        number = 0
        while "chat.update" not in stream_calls(made):
            number += 1
            await edit_until(made, ref, status_card(f"{number} " + "reading the archive " * 6))
        assert number > 10
        assert "chat.stopStream" in stream_calls(made)
        assert "msg_too_long" not in {call.error for call in made.twin.calls}
        assert f"{number} reading" in made.seen()[0].shows
        assert len(made.seen()) == 1


async def test_after_a_restart_an_open_stream_is_taken_over_at_its_next_edit(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        ref = await made.sender.post(made.conversation, status_card("one"), nonce="n")
        await made.restart()
        await edit_until(made, ref, status_card("two"))
        assert stream_calls(made) == ["chat.startStream", "chat.stopStream", "chat.update"]
        assert "two" in made.seen()[0].shows
        assert len(made.seen()) == 1


async def test_stream_whose_opening_was_lost_is_found_by_its_tasks(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        made.twin.faults.order("chat.startStream", after_effect=True)
        with pytest.raises(PlatformDown) as down:
            await made.sender.post(made.conversation, status_card("one"), nonce="n")
        assert down.value.outcome_unknown
        found = await made.sender.find(made.conversation, status_card().id)
        assert found is not None
        await edit_until(made, found, status_card("two"))
        assert len(made.seen()) == 1
        assert "two" in made.seen()[0].shows
        assert not made.seen()[0].streaming


@pytest.mark.parametrize("restarted", [False, True])
async def test_stream_that_nobody_edits_is_closed_before_slack_does(tmp_path: Path, restarted: bool) -> None:
    async with desk(tmp_path, progress="auto") as made:
        ref = await made.sender.post(made.conversation, status_card("waiting"), nonce="n")
        if restarted:
            await made.restart()
        await made.sender.tend()
        assert made.seen()[0].streaming
        made.twin.world.clock.jump(AGE_S + 5)
        await made.sender.start()
        await made.sender.start()
        await made.twin.until(lambda: not made.seen()[0].streaming)
        await made.sender.stop()
        await made.sender.stop()
        assert made.seen()[0].buttons == ("Stop",)
        made.twin.world.clock.jump(3_600)
        await edit_until(made, ref, ended())
        assert len(made.seen()) == 1
        assert made.seen()[0].buttons == ()


async def test_open_stream_that_our_file_does_not_know_is_stopped_before_it_is_edited(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        ref = await made.sender.post(made.conversation, status_card("one"), nonce="n")
        await made.sender.posted.forget(status_card().id)
        await made.restart()
        await edit_until(made, ref, status_card("two"))
        assert "two" in made.seen()[0].shows
        assert len(made.seen()) == 1


async def test_stop_button_of_the_card_is_known_while_it_is_there(tmp_path: Path) -> None:
    async with desk(tmp_path, progress="auto") as made:
        ref = await made.sender.post(made.conversation, status_card(), nonce="n")
        there = Inbox(made.database)
        assert await there.stops_in(made.conversation) == Known(made.conversation, "run-1")
        await edit_until(made, ref, ended())
        assert await there.stops_in(made.conversation) is None
