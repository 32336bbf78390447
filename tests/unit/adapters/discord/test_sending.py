"""Cards on Discord, on a strict Discord on loopback: each shown once, completed after any interruption."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.contract import Card, CardId, FilePart, MessageRef
from adapters.discord import outbound
from adapters.discord.outbound import DiscordMessage, draw, mark
from adapters.discord.plainer import NO_FILES, editing, ordinary, simpler
from adapters.discord.ports import Upload
from adapters.errors import CardRefused, ConversationGone, MessageGone, NotAllowed, PlatformDown, RateLimited
from adapters.urgency import Urgency
from tests.calm import Watch
from tests.unit.adapters.discord.going_out import (
    DELETE,
    EDIT,
    LIST,
    SEND,
    answer_card,
    approval_card,
    desk,
    long_text,
    status_card,
)

FILE = FilePart(name="llamas.md", media_type="text/markdown", text="# Llamas\n" + "grass\n" * 2_000)
LONG = long_text(9)


async def test_card_is_one_message_in_the_thread_that_bears_its_mark_and_pings_nobody(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card("Hi @everyone <@1>"), nonce="n" * 24)
        [call] = made.twin.calls
        assert call.body["allowed_mentions"] == {"parse": []}
        assert (call.body["nonce"], call.body["enforce_nonce"]) == ("n" * 24, True)
        [seen] = made.seen()
        assert (seen.id, seen.channel, seen.pings) == (ref.message_id, made.thread, ())
        assert seen.components[0]["id"] == mark("run-1:answer", 0)


async def test_direct_message_needs_no_thread(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        direct = await made.opens_dms()
        await made.sender.post(direct, answer_card(), nonce="n")
        assert ["grass" in each.text for each in made.ada.sees(direct.channel)] == [True]


async def test_edit_changes_the_message_and_an_unchanged_card_costs_no_call(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        made.forget_calls()
        assert await made.sender.edit(ref, approval_card()) == ref
        assert made.names() == []
        assert await made.sender.edit(ref, approval_card("approved by Ada", open=False)) == ref
        assert made.names() == [EDIT]
        [seen] = made.seen()
        assert "approved by Ada" in seen.text
        await made.restart()
        await made.sender.edit(ref, approval_card("approved by Ada", open=False))
        assert made.names() == [EDIT]  # known after a restart as well


async def test_card_grows_by_messages_and_shrinks_and_grows_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card("short"), nonce="n")
        grown = await made.sender.edit(ref, answer_card(LONG))
        assert [seen.id for seen in made.seen()] == [ref.message_id, *grown.parts]
        assert len(grown.parts) >= 1
        small = await made.sender.edit(grown, answer_card("short"))
        assert small.parts == ()
        assert [seen.id for seen in made.seen()] == [ref.message_id]
        again = await made.sender.edit(small, answer_card(LONG))
        assert [seen.id for seen in made.seen()] == [ref.message_id, *again.parts]


async def test_a_change_in_one_part_edits_that_part_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card(LONG), nonce="n")
        assert len(ref.parts) >= 1
        made.forget_calls()
        await made.sender.edit(ref, answer_card(LONG.replace("Paragraph 0", "Paragraph Z")))
        assert made.names() == [EDIT]


async def test_posting_a_card_twice_shows_it_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        refs = await asyncio.gather(
            *(made.sender.post(made.conversation, answer_card(), nonce="n") for _ in range(5))
        )
        assert len({ref.message_id for ref in refs}) == 1
        assert len(made.seen()) == 1


# ── unknown outcomes ─────────────────────────────────────────────────────────────────────────


async def test_post_whose_answer_was_lost_is_repeated_by_its_nonce_and_stands_there_once(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, after_effect=True)
        made.twin.faults.order(SEND, status=502, after_effect=True)
        ref = await made.sender.post(made.conversation, answer_card(), nonce="n")
        assert made.names() == [SEND] * 3
        assert [seen.id for seen in made.seen()] == [ref.message_id]


@pytest.mark.parametrize("restarted", [False, True])
async def test_post_that_went_through_in_an_outage_is_found_and_not_posted_again(
    tmp_path: Path, restarted: bool
) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, after_effect=True)
        made.twin.faults.order(SEND, status=503, times=50)
        with pytest.raises(PlatformDown) as down:
            await made.sender.post(made.conversation, answer_card(), nonce="n")
        assert down.value.outcome_unknown
        made.twin.faults.clear()
        made.twin.advance(600)  # the nonce is forgotten
        if restarted:
            await made.restart()
        found = await made.sender.find(made.conversation, answer_card().id)
        assert found is not None
        await made.sender.edit(found, answer_card())
        await made.sender.post(made.conversation, answer_card(), nonce="n")
        assert [seen.id for seen in made.seen()] == [found.message_id]


async def test_post_without_find_after_an_unknown_outcome_looks_by_itself(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, after_effect=True)
        made.twin.faults.order(SEND, status=503, times=50)
        with pytest.raises(PlatformDown):
            await made.sender.post(made.conversation, answer_card("old"), nonce="n")
        made.twin.faults.clear()
        made.twin.advance(600)
        await made.restart()
        await made.sender.post(made.conversation, answer_card("new"), nonce="n")
        [seen] = made.seen()
        assert "new" in seen.text


async def test_card_is_found_by_its_mark_when_our_file_was_lost(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card(LONG), nonce="n")
        for number in range(120):  # more than a page of Discord's
            made.ada.posts(made.thread, f"line {number}")
        await made.sender.posted.forget(answer_card().id)
        await made.restart()
        assert await made.sender.find(made.conversation, answer_card().id) == ref
        await made.sender.edit(ref, answer_card(LONG.replace("llama", "alpaca")))
        assert all("alpaca" in seen.text for seen in made.seen())


async def test_messages_of_others_with_our_mark_are_not_taken_for_ours(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        await made.sender.post(made.conversation, answer_card(), nonce="n")
        await made.restart()
        await made.sender.posted.forget(answer_card().id)
        other = made.sender
        other._me = lambda: "1234"  # pyright: ignore[reportPrivateUsage]
        assert await other.find(made.conversation, answer_card().id) is None


async def test_post_that_never_reached_discord_is_known_not_to_be_there(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, retry_after=5)
        with pytest.raises(RateLimited):
            await made.sender.post(made.conversation, status_card(), nonce="n")
        made.forget_calls()
        assert await made.sender.find(made.conversation, status_card().id) is None
        assert made.names() == []
        await made.restart()
        assert await made.sender.find(made.conversation, status_card().id) is None
        assert made.names() == [LIST]  # a new process does not know


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("restarted", [False, True])
async def test_long_answer_interrupted_at_any_part_is_completed_and_nothing_twice(
    tmp_path: Path, lost: int, restarted: bool
) -> None:
    card = answer_card(LONG)
    drawn = draw(card)
    if lost >= len(drawn):
        pytest.skip("it has no so many parts")
    async with desk(tmp_path) as made:
        # All parts before this one go through; this one does as well, but nobody hears of it.
        for _ in range(lost):
            made.twin.faults.order(SEND, latency_s=0.001)
        made.twin.faults.order(SEND, after_effect=True)
        made.twin.faults.order(SEND, status=503, times=50)
        with pytest.raises(PlatformDown):
            await made.sender.post(made.conversation, card, nonce="n")
        made.twin.faults.clear()
        made.twin.advance(600)
        if restarted:
            await made.restart()
        found = await made.sender.find(made.conversation, card.id)
        assert found is not None
        done = await made.sender.edit(found, card)
        assert [each.id for each in made.seen()] == [done.message_id, *done.parts]
        assert [each.components[0]["id"] for each in made.seen()] == [
            mark(card.id, part) for part in range(len(drawn))
        ]


async def test_post_cancelled_in_the_middle_is_found(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, after_effect=True, latency_s=5)
        posting = asyncio.create_task(made.sender.post(made.conversation, answer_card(), nonce="n"))
        await made.twin.until(lambda: len(made.seen()) == 1)
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)
        await made.restart()
        found = await made.sender.find(made.conversation, answer_card().id)
        assert found is not None
        assert found.message_id == made.seen()[0].id


async def test_without_the_history_a_card_counts_as_not_there_and_the_nonce_keeps_it_from_standing_twice(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, after_effect=True)
        made.twin.faults.order(SEND, status=503, times=50)
        with pytest.raises(PlatformDown):
            await made.sender.post(made.conversation, answer_card(), nonce="n")
        made.twin.faults.clear()
        made.twin.faults.order(LIST, status=403, code=50001)
        assert await made.sender.find(made.conversation, answer_card().id) is None
        await made.sender.post(made.conversation, answer_card(), nonce="n")
        assert len(made.seen()) == 1


async def test_a_nonce_that_gives_back_an_old_message_leaves_nothing_old_standing(tmp_path: Path) -> None:
    first, second = answer_card(long_text(6)), answer_card(long_text(6).replace("llama", "alpaca"))
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, first, nonce="n")
        assert ref.parts
        row = await made.sender.posted.get(first.id)
        assert row is not None
        # Killed after the second message was posted and before that was written down.
        await made.sender.posted.save(replace(row, parts=(), total=2, drawn=()))
        await made.restart()
        made.twin.faults.order(LIST, status=403, code=50001, times=9)
        again = await made.sender.edit(ref, second)
        assert again.parts == ref.parts
        assert "llama" not in " ".join(seen.text for seen in made.seen())


async def test_answer_without_an_id_is_an_unknown_outcome(tmp_path: Path) -> None:
    class Odd:
        async def call(self, *_: object, **__: object) -> object:
            return {"content": "hi"}

    async with desk(tmp_path) as made:
        made.sender._api = Odd()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        with pytest.raises(PlatformDown) as down:
            await made.sender.post(made.conversation, answer_card(), nonce="n")
        assert down.value.outcome_unknown


# ── what people and moderators do ────────────────────────────────────────────────────────────


async def test_message_that_a_person_deleted_is_gone(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        made.twin.deletes_message(made.thread, ref.message_id)
        with pytest.raises(MessageGone):
            await made.sender.edit(ref, approval_card("approved"))


async def test_further_part_that_a_person_deleted_does_not_stop_the_others(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card(LONG), nonce="n")
        made.twin.deletes_message(made.thread, ref.parts[0])
        assert await made.sender.edit(ref, answer_card(LONG.replace("Paragraph", "Absatz"))) == ref
        assert all("Absatz" in seen.text for seen in made.seen())
        smaller = await made.sender.edit(ref, answer_card("short"))
        assert smaller.parts == ()


async def test_part_that_was_deleted_within_minutes_comes_back_under_another_nonce(tmp_path: Path) -> None:
    # Discord answers 10008 to a nonce whose message was deleted.
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card("short"), nonce="n")
        made.twin.faults.order(SEND, status=404, code=10008)
        grown = await made.sender.edit(ref, answer_card(LONG))
        assert [seen.id for seen in made.seen()] == [ref.message_id, *grown.parts]
        nonces = [call.body["nonce"] for call in made.twin.calls if call.name == SEND]
        assert len(set(nonces)) == len(nonces)


async def test_card_that_a_person_deleted_before_we_knew_of_it_does_not_come_back(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, status=404, code=10008, times=9)
        with pytest.raises(CardRefused, match="deleted"):
            await made.sender.post(made.conversation, answer_card(), nonce="n")
        assert made.seen() == []


async def test_deleted_thread_is_a_conversation_that_is_gone(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        made.twin.deletes_channel(made.thread)
        with pytest.raises(ConversationGone):
            await made.sender.edit(ref, approval_card("approved"))
        with pytest.raises(ConversationGone):
            await made.sender.post(made.conversation, answer_card(), nonce="m")
        assert await made.sender.posted.get(answer_card().id) is None


async def test_closed_thread_is_opened_for_an_edit_and_by_a_post(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        made.twin.closes_thread(made.thread)
        await made.sender.edit(ref, approval_card("approved", open=False))
        assert "approved" in made.seen()[0].text
        made.twin.closes_thread(made.thread)
        await made.sender.post(made.conversation, answer_card(), nonce="m")
        assert len(made.seen()) == 2


async def test_locked_thread_is_not_opened_against_its_moderators(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        made.twin.closes_thread(made.thread, locked=True)
        with pytest.raises(NotAllowed, match="Manage Threads"):
            await made.sender.edit(ref, approval_card("approved"))
        with pytest.raises(NotAllowed):
            await made.sender.post(made.conversation, answer_card(), nonce="m")


async def test_missing_permission_is_named(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.takes_permissions("send_messages_in_threads", "send_messages")
        with pytest.raises(NotAllowed, match="Send Messages in Threads"):
            await made.sender.post(made.conversation, answer_card(), nonce="n")


# ── old messages ─────────────────────────────────────────────────────────────────────────────


async def test_decision_on_an_old_approval_that_cannot_be_edited_is_posted_anew_in_its_place(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        made.twin.advance(7_200)
        made.twin.faults.order(EDIT, status=429, code=30046)
        moved = await made.sender.edit(ref, approval_card("approved by Ada", open=False))
        assert moved.message_id != ref.message_id
        [seen] = made.seen()
        assert (seen.id, seen.buttons) == (moved.message_id, ())
        assert "approved by Ada" in seen.text
        made.forget_calls()
        again = await made.sender.edit(ref, approval_card("approved by Ada", open=False))
        assert again == moved  # the old handle still leads there
        assert made.names() == []


async def test_old_long_answer_is_posted_anew_as_a_whole(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, answer_card(LONG), nonce="n")
        made.twin.advance(7_200)
        made.twin.backend.old_edits = 0
        moved = await made.sender.edit(ref, answer_card(LONG.replace("llama", "alpaca")))
        assert [each.id for each in made.seen()] == [moved.message_id, *moved.parts]
        assert all("alpaca" in each.text for each in made.seen())
        assert made.names().count(DELETE) == 1 + len(ref.parts)


async def test_progress_on_an_old_card_waits_and_leaves_the_edits_to_what_matters(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ref = await made.sender.post(made.conversation, status_card("0"), nonce="n")
        made.twin.advance(7_200)
        made.forget_calls()
        await made.sender.edit(ref, status_card("1"))
        with pytest.raises(RateLimited) as limited:
            await made.sender.edit(ref, status_card("2"))
        assert 30 < limited.value.retry_after_s <= 60
        await made.sender.edit(ref, status_card("3", status="done", buttons=()))  # is shown at once
        assert made.names() == [EDIT, EDIT]
        made.twin.faults.order(EDIT, status=429, code=30046)
        with pytest.raises(RateLimited) as limited:
            await made.sender.edit(ref, status_card("4", status="failed", buttons=()))
        assert limited.value.retry_after_s >= 5
        assert len(made.seen()) == 1


# ── refused drawings ─────────────────────────────────────────────────────────────────────────


async def test_refused_drawing_becomes_text_with_buttons_that_can_be_edited_and_found(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, status=400, code=50035)
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        [seen] = made.seen()
        assert "May I go on?" in seen.text
        assert set(seen.labels) >= {"Approve", "Reject"}
        await made.restart()
        await made.sender.posted.forget(approval_card().id)
        assert await made.sender.find(made.conversation, approval_card().id) == ref
        made.twin.faults.order(EDIT, status=400, code=50035)
        await made.sender.edit(ref, approval_card("approved by Ada", open=False))
        assert "approved by Ada" in made.seen()[0].text


async def test_card_that_components_cannot_show_becomes_ordinary_messages_and_comes_back(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, status=400, code=50035, times=2)
        card = answer_card(LONG)
        ref = await made.sender.post(made.conversation, card, nonce="n")
        assert len(ref.parts) + 1 == len(made.seen()) == len(ordinary(card))
        assert all(each.components == () for each in made.seen())
        assert all(f"Paragraph {number}" in " ".join(s.text for s in made.seen()) for number in range(9))
        await made.sender.edit(ref, answer_card("short"))
        [seen] = made.seen()
        assert seen.components
        assert "short" in seen.text


async def test_card_that_is_refused_in_every_form_is_refused_and_nothing_is_there(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, status=400, code=50035, times=3)
        with pytest.raises(CardRefused):
            await made.sender.post(made.conversation, answer_card(), nonce="n")
        assert await made.sender.find(made.conversation, answer_card().id) is None
        made.twin.faults.order(SEND, times=0)
        ref = await made.sender.post(made.conversation, approval_card(), nonce="m")
        made.twin.faults.order(EDIT, status=400, code=50035, times=2)
        with pytest.raises(CardRefused):
            await made.sender.edit(ref, approval_card("approved"))
        assert len(made.seen()) == 1


async def test_files_go_with_the_card_and_their_refusal_does_not_lose_the_answer(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        card = answer_card("See the file.", FILE)
        ref = await made.sender.post(made.conversation, card, nonce="n")
        wanted = [file.name for message in draw(card) for file in message.files]
        assert [file.name for seen in made.seen() for file in seen.files] == wanted
        await made.sender.edit(ref, answer_card("No file."))
        assert [file for seen in made.seen() for file in seen.files] == []
        made.twin.faults.order(SEND, status=403, code=50013)
        other = card.model_copy(update={"id": CardId("run-2:answer")})
        if wanted:
            await made.sender.post(made.conversation, other, nonce="m")
            assert NO_FILES in made.seen()[-1].text


def test_simpler_drawing_keeps_text_buttons_and_mark_within_the_limits() -> None:
    button = {"type": 2, "style": 1, "label": "Approve", "custom_id": "q:approve:a"}
    body = {
        "flags": 1 << 15,
        "components": [
            {
                "type": 17,
                "id": 7,
                "accent_color": 1,
                "components": [
                    {"type": 10, "content": "# One"},
                    {"type": 14},
                    {"type": 9, "components": [{"type": 10, "content": "x" * 5_000}], "accessory": button},
                    {"type": 1, "components": [button]},
                    {"type": 13, "file": {"url": "attachment://a.md"}},
                ],
            }
        ],
        "attachments": [{"id": 0, "filename": "a.md"}],
    }
    simple = simpler(DiscordMessage(body, (Upload("a.md", b"a"),)))
    [block] = simple.body["components"]
    assert block["id"] == outbound.marks_in(simple.body) == 7
    assert [each["type"] for each in block["components"]] == [10, 1]
    assert block["components"][0]["content"].startswith("# One\n\nxxx")
    assert len(block["components"][0]["content"]) <= 4_000
    assert simple.files == ()
    assert "attachments" not in simple.body


def test_edit_takes_away_what_was_there_before() -> None:
    assert editing(DiscordMessage({"flags": 1 << 15, "components": []})).body["content"] is None
    assert editing(DiscordMessage({"content": "hi"})).body == {"content": "hi", "attachments": []}
    kept = [{"id": 0, "filename": "a.md"}]
    assert editing(DiscordMessage({"attachments": kept})).body["attachments"] == kept


# ── order and limits ─────────────────────────────────────────────────────────────────────────


async def test_approval_overtakes_twenty_status_cards_that_want_to_be_edited(tmp_path: Path) -> None:
    async with desk(tmp_path, quick=1) as made:
        ref = await made.sender.post(made.conversation, approval_card(), nonce="n")
        cards = [status_card(run=f"run-{number}") for number in range(20)]
        refs: list[tuple[Card, MessageRef]] = []
        for card in cards:  # all of them in one thread, there already
            row = MessageRef(conversation=made.conversation, message_id=ref.message_id)
            refs.append((card, row))
        results = await asyncio.gather(
            *(made.sender.edit(row, card) for card, row in refs), return_exceptions=True
        )
        assert any(isinstance(each, RateLimited) for each in results)
        watch = Watch()
        await made.sender.edit(ref, approval_card("approved by Ada", open=False))
        assert watch.calm_s < 1.0
        assert "approved by Ada" in made.seen()[0].text
        assert made.twin.rates.refused == []


# ── plain messages, what goes on ─────────────────────────────────────────────────────────────


async def test_plain_message_answers_another_even_if_that_was_deleted_and_the_nonce_counts(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as made:
        asked = str(made.ada.posts(made.thread, "well?"))
        first = await made.sender.say(made.conversation, "one moment", reply_to=asked, nonce="k" * 60)
        assert await made.sender.say(made.conversation, "one moment", nonce="k" * 60) == first
        made.twin.deletes_message(made.thread, asked)
        await made.sender.say(made.thread, "gone?", reply_to=asked)
        assert [seen.text for seen in made.seen()] == ["one moment", "gone?"]
        assert made.seen()[0].reply_to == asked
        assert all(seen.pings == () for seen in made.seen())
        with pytest.raises(ConversationGone):
            await made.sender.say("123456789012345678", "hello?", urgency=Urgency.PERSON)


async def test_where_the_bot_may_not_reply_it_says_who_is_meant(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        asked = str(made.ada.posts(made.thread, "well?"))
        made.twin.faults.order(SEND, status=400, code=160002)
        await made.sender.say(made.conversation, "one moment", reply_to=asked, to="ada")
        await made.sender.say(made.conversation, "here", reply_to=asked, to="ada")
        await made.sender.say(made.conversation, "there", to="ada")
        assert [seen.text for seen in made.seen()] == ["ada: one moment", "here", "ada: there"]


async def test_typing_is_kept_up_by_the_started_sender_and_ends(tmp_path: Path) -> None:
    typing = "POST /channels/{channel_id}/typing"
    async with desk(tmp_path) as made:
        await made.sender.start()
        await made.sender.start()
        await made.sender.busy(made.conversation, "is reading")
        await made.sender.busy(made.conversation, "is reading more")
        assert made.names() == [typing]
        await made.sender.busy(made.conversation, "")
        await made.sender.stop()
        await made.sender.stop()
        assert made.names() == [typing]
