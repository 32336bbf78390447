"""Cards on Slack, on a strict Slack on loopback: each shown once, completed after any interruption."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.contract import FilePart, MessageRef, Person
from adapters.errors import CardRefused, MessageGone, PlatformDown, RateLimited
from adapters.slack.busy import Busy
from adapters.slack.outbound import draw
from adapters.slack.text import plain
from tests.unit.adapters.slack.going_out import (
    SCOPES,
    Desk,
    answer_card,
    approval_card,
    desk,
    long_text,
    status_card,
)

FILE = FilePart(name="llamas.md", media_type="text/markdown", text="# Llamas\n" + "grass\n" * 2_000)


def bob(made: Desk, name: str = "bob") -> Person:
    return Person(platform="slack", id=made.twin.person(name).id, name=name)


async def test_card_is_one_message_in_the_thread_that_says_whose_it_is(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card(), nonce="n")
        assert made.methods() == ["chat.postMessage"]
        call = made.twin.calls[0].arguments
        assert call["metadata"] == {
            "event_type": "quartet_card",
            "event_payload": {"card": "run-1:answer", "part": 0, "parts": 1},
        }
        assert (call["unfurl_links"], call["unfurl_media"], call["parse"]) == (False, False, "none")
        [seen] = made.seen()
        assert (seen.ts, seen.thread_ts) == (ref.message_id, made.thread)
        assert "grass" in seen.shows


async def test_direct_message_needs_no_thread(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        await made.sender.post(made.direct, answer_card(), nonce="n")
        [seen] = made.seen(made.direct)
        assert seen.thread_ts == ""


async def test_edit_changes_the_message_and_an_unchanged_card_costs_no_call(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        made.forget_calls()
        assert await made.sender.edit(ref, approval_card()) == ref
        assert made.methods() == []
        assert await made.sender.edit(ref, approval_card("approved by Ada", open=False)) == ref
        assert made.methods() == ["chat.update"]
        [seen] = made.seen()
        assert "approved by Ada" in seen.shows
        assert seen.buttons == ()
        await made.restart()
        await made.sender.edit(ref, approval_card("approved by Ada", open=False))
        assert made.methods() == ["chat.update"]  # known after a restart as well


async def test_card_grows_by_messages_and_shrinks_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card(long_text(4)), nonce="n")
        assert len(made.seen()) == 1 + len(ref.parts)
        grown = await made.sender.edit(ref, answer_card(long_text(9)))
        assert len(grown.parts) > len(ref.parts)
        assert len(made.seen()) == 1 + len(grown.parts)
        assert "Paragraph 8" in made.seen()[-1].shows
        small = await made.sender.edit(grown, answer_card("short"))
        assert small.parts == ()
        assert [seen.ts for seen in made.seen()] == [ref.message_id]


async def test_a_change_in_one_part_edits_that_part_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        text = long_text(8)
        ref = await made.sender.post(made.conversation, answer_card(text), nonce="n")
        assert len(ref.parts) >= 1
        made.forget_calls()
        await made.sender.edit(ref, answer_card(text.replace("Paragraph 0", "Paragraph Z")))
        assert made.methods() == ["chat.update"]


async def test_post_whose_answer_was_lost_is_found_and_not_posted_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order("chat.postMessage", after_effect=True)
        with pytest.raises(PlatformDown) as down:
            await made.sender.post(made.conversation, answer_card(), nonce="n")
        assert down.value.outcome_unknown
        found = await made.sender.find(made.conversation, answer_card().id)
        assert found is not None
        made.forget_calls()
        assert await made.sender.edit(found, answer_card()) == found
        assert made.methods() == []  # it says the same already
        assert len(made.seen()) == 1


async def test_post_in_a_direct_message_whose_answer_was_lost_is_found(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order("chat.postMessage", after_effect=True)
        with pytest.raises(PlatformDown):
            await made.sender.post(made.direct, approval_card(), nonce="n")
        made.ada.posts(made.ada.dm, "are you there?")
        found = await made.sender.find(made.direct, approval_card().id)
        assert found is not None
        await made.sender.edit(found, approval_card("approved"))
        assert "approved" in made.seen(made.direct)[0].shows


async def test_post_that_never_reached_slack_is_known_not_to_be_there(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order("chat.postMessage", retry_after=5)
        with pytest.raises(RateLimited):
            await made.sender.post(made.conversation, status_card(), nonce="n")
        made.forget_calls()
        assert await made.sender.find(made.conversation, status_card().id) is None
        assert made.methods() == []  # Slack's list methods are scarce
        await made.restart()
        assert await made.sender.find(made.conversation, status_card().id) is None
        assert made.methods() == ["conversations.replies"]  # a new process does not know


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("restarted", [False, True])
async def test_long_answer_interrupted_at_any_part_is_completed_and_nothing_twice(
    tmp_path: Path, lost: int, restarted: bool
) -> None:
    card = answer_card(long_text(9))
    async with desk(tmp_path) as made:
        # All parts before this one go through; this one does as well, but nobody hears of it.
        for _ in range(lost):
            made.twin.faults.order("chat.postMessage", latency_s=0.001)
        made.twin.faults.order("chat.postMessage", after_effect=True)
        with pytest.raises(PlatformDown):
            await made.sender.post(made.conversation, card, nonce="n")
        if restarted:
            await made.restart()
        found = await made.sender.find(made.conversation, card.id)
        assert found is not None
        done = await made.sender.edit(found, card)
        assert len(done.parts) + 1 == len(draw(card))
        seen = made.seen()
        assert [plain(each.text) for each in seen] == [plain(message.text) for message in draw(card)]
        assert [each.ts for each in seen] == [done.message_id, *done.parts]


@pytest.mark.parametrize("kind", ["never sent", "refused"])
async def test_part_that_surely_did_not_go_out_is_posted_without_looking(tmp_path: Path, kind: str) -> None:
    card = answer_card(long_text(9))
    async with desk(tmp_path) as made:
        made.twin.faults.order("chat.postMessage", latency_s=0.001)
        made.twin.faults.order("chat.postMessage", error="invalid_auth")
        with pytest.raises(PlatformDown):
            await made.sender.post(made.conversation, card, nonce="n")
        found = await made.sender.find(made.conversation, card.id)
        assert found is not None
        await made.sender.edit(found, card)
        assert "conversations.replies" not in made.methods()
        assert len(made.seen()) == len(draw(card))


async def test_post_cancelled_in_the_middle_is_found(tmp_path: Path) -> None:
    card = answer_card(long_text(9))
    async with desk(tmp_path) as made:
        made.twin.faults.order("chat.postMessage", latency_s=0.001)
        made.twin.faults.order("chat.postMessage", after_effect=True, latency_s=5, status=500)
        posting = asyncio.create_task(made.sender.post(made.conversation, card, nonce="n"))
        await made.twin.until(lambda: len(made.seen()) == 2)
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)
        await made.restart()
        found = await made.sender.find(made.conversation, card.id)
        assert found is not None
        await made.sender.edit(found, card)
        assert len(made.seen()) == len(draw(card))


@pytest.mark.parametrize("lost", ["nothing", "bytes", "shown"])
async def test_file_goes_into_the_thread_once_whatever_is_lost(tmp_path: Path, lost: str) -> None:
    card = answer_card("See the file.", FILE)
    async with desk(tmp_path) as made:
        if lost == "bytes":
            made.twin.faults.order("files.completeUploadExternal", status=500)
        elif lost == "shown":
            made.twin.faults.order("files.completeUploadExternal", after_effect=True)
        if lost == "nothing":
            ref = await made.sender.post(made.conversation, card, nonce="n")
        else:
            with pytest.raises(PlatformDown):
                await made.sender.post(made.conversation, card, nonce="n")
            await made.restart()
            found = await made.sender.find(made.conversation, card.id)
            assert found is not None
            ref = await made.sender.edit(found, card)
        files = [file for seen in made.seen() for file in seen.files]
        wanted = [file for message in draw(card) for file in message.files]
        assert [(file.name, file.text) for file in files] == [(file.name, file.content) for file in wanted]
        assert [part for part in ref.parts if part.startswith("file:")] == [f"file:{f.id}" for f in files]
        made.forget_calls()
        await made.sender.edit(ref, card)
        assert made.methods() == []


async def test_missing_scope_for_files_does_not_lose_the_answer(tmp_path: Path) -> None:
    async with desk(tmp_path, scopes=SCOPES - {"files:write"}) as made:
        ref = await made.sender.post(made.conversation, answer_card("Grass.", FILE), nonce="n")
        assert made.seen()[0].ts == ref.message_id


async def test_posting_a_card_twice_shows_it_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        refs = await asyncio.gather(
            *(made.sender.post(made.conversation, answer_card(), nonce="n") for _ in range(5))
        )
        assert len({ref.message_id for ref in refs}) == 1
        assert len(made.seen()) == 1


async def test_message_that_a_person_deleted_is_gone(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        made.twin.world.delete(made.twin.general, ref.message_id)
        with pytest.raises(MessageGone):
            await made.sender.edit(ref, approval_card("approved"))


async def test_further_part_that_a_person_deleted_does_not_stop_the_others(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        text = long_text(8)
        ref = await made.sender.post(made.conversation, answer_card(text), nonce="n")
        made.twin.world.delete(made.twin.general, ref.parts[0])
        changed = text.replace("Paragraph", "Absatz")
        assert await made.sender.edit(ref, answer_card(changed)) == ref
        assert all("Absatz" in seen.shows for seen in made.seen())


async def test_refused_blocks_become_sections_then_text_and_that_is_remembered(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order("chat.postMessage", error="invalid_blocks")
        await made.sender.post(made.conversation, answer_card(), nonce="n")
        blocks = made.seen()[0].blocks
        assert {block["type"] for block in blocks} <= {"section", "actions"}
        assert "grass" in made.seen()[0].shows
        made.forget_calls()
        other = answer_card("Hay.").model_copy(update={"id": "run-2:answer"})
        await made.sender.post(made.conversation, other, nonce="n")
        assert made.methods() == ["chat.postMessage"]  # not tried again at once
        assert {block["type"] for block in made.seen()[1].blocks} <= {"section", "actions"}


async def test_buttons_survive_refused_blocks_and_text_survives_all(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order("chat.postMessage", error="invalid_blocks")
        await made.sender.post(made.conversation, approval_card(), nonce="n")
        assert made.seen()[0].buttons == ("Approve", "Reject")
        made.twin.faults.order("chat.postMessage", error="invalid_blocks")
        other = approval_card().model_copy(update={"id": "run-2:approval:b"})
        await made.sender.post(made.conversation, other, nonce="n")
        assert made.twin.calls[-1].arguments.get("blocks") is None
        assert "May I go on?" in made.seen()[1].shows
        made.twin.faults.order("chat.postMessage", error="no_text")  # text alone is refused as well
        third = approval_card().model_copy(update={"id": "run-3:approval:b"})
        with pytest.raises(CardRefused):
            await made.sender.post(made.conversation, third, nonce="n")


async def test_long_text_is_edited_within_what_chat_update_takes(tmp_path: Path) -> None:
    card = answer_card("& " * 5_000)
    assert any(len(message.text) > 4_000 for message in draw(card))
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, card, nonce="n")
        ref = await made.sender.edit(ref, answer_card("& " * 5_000 + "the end"))
        assert "the end" in made.seen()[len(ref.parts)].shows


async def test_lost_file_of_ours_leaves_cards_that_can_be_edited(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card(long_text(9)), nonce="n")
        await made.sender.posted.forget(answer_card().id)
        await made.restart()
        again: MessageRef = await made.sender.edit(ref, answer_card(long_text(9).replace("llama", "alpaca")))
        assert again == ref
        assert all("alpaca" in seen.shows for seen in made.seen())


async def test_other_apps_metadata_is_not_taken_for_ours(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        forger = made.twin.other_bot("forger")
        forged_by = next(each.bot_user for each in made.twin.world.installs if each.app == forger.app)
        made.twin.world.post(
            made.twin.general,
            user=forged_by,
            text="mine",
            thread_ts=made.thread,
            metadata={
                "event_type": "quartet_card",
                "event_payload": {"card": "run-1:answer", "part": 0, "parts": 1},
            },
        )
        assert await made.sender.find(made.conversation, answer_card().id) is None


async def test_status_card_is_edited_ever_more_seldom_but_its_buttons_change_at_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, status_card("0"), nonce="n")
        waits: list[float] = []
        for number in range(1, 30):
            try:
                await made.sender.edit(ref, status_card(str(number)))
            except RateLimited as limited:
                waits.append(limited.retry_after_s)
        assert 24 <= len(waits) <= 28
        assert all(0 < wait <= 5 for wait in waits)
        await made.sender.edit(ref, status_card("done", state="done", buttons=(), status="done"))
        assert "done" in made.seen()[0].shows
        assert made.seen()[0].buttons == ()


async def test_note_is_seen_by_one_person_in_the_thread(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card(), nonce="n")
        await made.sender.note(made.conversation, bob(made), "You may not.")
        note = made.twin.person("bob").sees(made.twin.general, made.thread)[-1]
        assert (note.ephemeral, note.text) == (True, "You may not.")
        assert [seen.ts for seen in made.seen()] == [ref.message_id]


async def test_note_about_a_message_without_replies_stands_in_the_channel(tmp_path: Path) -> None:
    # Slack shows no ephemeral message in a thread that has no reply yet.
    async with desk(tmp_path) as made:
        await made.sender.note(made.conversation, bob(made), "You may not.")
        note = made.twin.person("bob").sees(made.twin.general)[-1]
        assert (note.ephemeral, note.text) == (True, "You may not.")


async def test_note_for_somebody_who_is_not_there_is_a_direct_message(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        dora = made.twin.person("dora")
        small = made.conversation.model_copy(
            update={"channel": made.twin.channel("small", "ada"), "thread": ""}
        )
        await made.sender.note(small, bob(made, "dora"), "You may not.")
        assert [seen.text for seen in dora.sees(dora.dm, None)] == ["You may not."]


async def test_busy_line_is_shown_once_and_goes_with_a_post(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        for text in ("is reading", "is reading", "is writing"):
            await made.sender.busy(made.conversation, text)
        assert made.methods() == ["assistant.threads.setStatus"]
        assert made.twin.world.threads[made.twin.general, made.thread].status == "is reading"
        await made.sender.post(made.conversation, answer_card(), nonce="n")
        await made.sender.busy(made.conversation, "")
        assert made.methods().count("assistant.threads.setStatus") == 1  # Slack took it away itself


async def test_busy_line_that_is_still_there_is_taken_away(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        await made.sender.busy(made.conversation, "is reading")
        await made.sender.busy(made.conversation, "")
        assert made.twin.world.threads[made.twin.general, made.thread].status == ""


async def test_busy_line_is_refreshed_before_slack_forgets_it_and_dropped_when_nobody_cares(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as made:
        now = [0.0]
        busy = Busy(made.api, lambda: now[0])
        await busy.set(made.conversation, "is reading")
        for now[0], calls in ((50.0, 1), (105.0, 2), (150.0, 2), (210.0, 3), (2_000.0, 3), (2_200.0, 3)):
            await busy.refresh()
            assert made.methods().count("assistant.threads.setStatus") == calls


@pytest.mark.parametrize("error", ["missing_scope", "invalid_auth", "unknown_method", "internal_error"])
async def test_busy_never_raises_and_does_not_insist(tmp_path: Path, error: str) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order("assistant.threads.setStatus", error=error)
        await made.sender.busy(made.conversation, "is reading")
        await made.sender.busy(made.conversation, "is writing")
        await made.sender.busy(made.direct, "is reading")  # no thread: nothing to show it under
        assert made.methods().count("assistant.threads.setStatus") == 1
