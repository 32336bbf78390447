"""A message becomes one run, however often it is delivered; what is refused is told why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.contract import Attachment, Person, ThreadLine, Withdrawal
from adapters.errors import AdapterError, PlatformDown, RateLimited
from bot.intake import EARLIER, MAX_FILES, MAX_TEXT, check_text
from bot.presenter import present
from orchestrator.engine.state import RunState
from orchestrator.errors import StoreFailed
from orchestrator.events import WITHDRAWN, RunEnded, RunId, RunStarted, StopRequested
from orchestrator.ports import RunRow
from tests.builders import NOW, quartet
from tests.unit.bot.office import ADA, BOB, EVE, HERE, Desk, desk


def attachment(name: str = "notes.md", **more: object) -> Attachment:
    return Attachment.model_validate(
        {"id": name, "name": name, "media_type": "text/markdown", "size": 5} | more
    )


async def test_turn_becomes_a_run_with_all_that_was_said(tmp_path: Path) -> None:
    async with desk(tmp_path, language="German", approvers=("web:bob",)) as d:
        earlier = tuple(
            ThreadLine(author=f"p{n}", text=f"line {n}", at=NOW, by_bot=n == 39) for n in range(40)
        )
        turn = d.turn("Explain tea", earlier=earlier, context={"tone": "short", "format": ""})
        receipt = await d.intake.take(turn)
        assert receipt.accepted
        assert d.wakes.woken == [receipt.run_id]
        created = (await d.state(receipt.run_id)).created
        assert created.turn.text == "Explain tea"
        assert created.turn.who.key == "web:ada"
        assert created.turn.context == {"tone": "short"}
        assert [line.text for line in created.turn.earlier] == [f"line {n}" for n in range(40 - EARLIER, 40)]
        assert [line.role for line in created.turn.earlier][-2:] == ["other", "bot"]
        assert created.settings.language == "German"
        assert created.settings.approvers == ("web:bob",)


@pytest.mark.parametrize("broken", ["known", "unfinished", "accept"])
async def test_turn_that_the_store_failed_to_take_can_be_delivered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise StoreFailed("the disk is full")

    async with desk(tmp_path) as d:
        with monkeypatch.context() as away:
            away.setattr(d.store, broken, fails)
            with pytest.raises(StoreFailed):
                await d.intake.take(d.turn())
        assert (await d.intake.take(d.turn())).accepted


@pytest.mark.parametrize("error", [PlatformDown("no answer"), RateLimited("wait", retry_after_s=3)])
async def test_turn_whose_file_cannot_be_had_just_now_can_be_delivered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: AdapterError
) -> None:
    async def fails(_: Attachment) -> bytes:
        raise error

    async with desk(tmp_path) as d:
        monkeypatch.setattr(d.platform, "download", fails)
        with pytest.raises(type(error)):
            await d.intake.take(d.turn(attachments=(attachment(),)))
        assert not (await d.store.runs()).items


async def test_redelivered_turn_is_the_same_run(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        first = await d.intake.take(d.turn())
        again = await d.intake.take(d.turn())
        assert again.accepted
        assert again.run_id == first.run_id
        assert len((await d.store.runs()).items) == 1


@pytest.mark.parametrize("busy", ["queue", "steer", "interrupt"])
async def test_turn_delivered_many_times_at_once_is_one_run_that_lives(tmp_path: Path, busy: str) -> None:
    async with desk(tmp_path, busy=busy) as d:
        receipts = await asyncio.gather(*[d.intake.take(d.turn()) for _ in range(20)])
        assert all(r.accepted for r in receipts)
        assert len({r.run_id for r in receipts}) == 1
        state = await d.state(receipts[0].run_id)
        assert state.stop is None
        assert state.steered == ()


@pytest.mark.parametrize("busy", ["steer", "interrupt"])
async def test_turn_delivered_again_in_the_middle_does_not_meet_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: str
) -> None:
    """The second delivery looks before the first is stored, and goes on after it."""
    async with desk(tmp_path, busy=busy) as d:
        known = d.store.known

        async def first_in_between(key: str) -> RunId | None:
            found = await known(key)
            monkeypatch.setattr(d.store, "known", known)
            await d.intake.take(d.turn())
            return found

        monkeypatch.setattr(d.store, "known", first_in_between)
        receipt = await d.intake.take(d.turn())
        state = await d.state(receipt.run_id)
        assert receipt.accepted
        assert state.stop is None
        assert state.steered == ()
        assert len((await d.store.runs()).items) == 1


@pytest.mark.parametrize("text", ["", "   ", "\n\t\u2003", "\x1f"])
async def test_empty_turn_is_refused(tmp_path: Path, text: str) -> None:
    async with desk(tmp_path) as d:
        receipt = await d.intake.take(d.turn(text))
        assert not receipt.accepted
        assert "empty" in receipt.text
        assert not (await d.store.runs()).items


@pytest.mark.parametrize(
    ("length", "accepted"), [(MAX_TEXT, True), (MAX_TEXT + 1, False), (10_000_000, False)]
)
async def test_long_turn_is_taken_whole_or_refused_with_the_limit(
    tmp_path: Path, length: int, accepted: bool
) -> None:
    async with desk(tmp_path) as d:
        receipt = await d.intake.take(d.turn("x" * length))
        assert receipt.accepted is accepted
        if accepted:
            assert len((await d.state(receipt.run_id)).created.turn.text) == length
        else:
            assert "at most 200,000 characters" in receipt.text
            assert len(receipt.text) < 300


def test_words_for_what_cannot_be_a_turn() -> None:
    assert check_text("hello", 0) == ""
    assert check_text("", 1) == ""
    assert "at most 10" in check_text("x", MAX_FILES + 1)


async def test_too_many_files_are_refused_before_any_is_fetched(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        receipt = await d.intake.take(d.turn(attachments=tuple(attachment(f"f{n}") for n in range(11))))
        assert receipt.text == "Too many files: 11 of at most 10."


async def test_text_file_is_read_and_binary_file_is_kept_without_text(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        d.platform.files = {"notes.md": "Grüße".encode(), "tea.png": b"\x89PNG\r\n\x1a\n\x00\xff\xfe"}
        files = (attachment(), attachment("tea.png", media_type="image/png"))
        receipt = await d.intake.take(d.turn("", attachments=files))
        assert receipt.accepted
        notes, picture = (await d.state(receipt.run_id)).created.turn.files
        assert (notes.text, notes.size) == ("Grüße", 7)
        assert picture.text is None
        assert await d.store.blob(picture.sha256) == d.platform.files["tea.png"]


async def test_file_that_cannot_be_fetched_refuses_the_turn_with_the_reason(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        receipt = await d.intake.take(d.turn("read it", attachments=(attachment("gone.md"),)))
        assert not receipt.accepted
        assert receipt.text == "gone.md is no longer there; send it again"
        assert not (await d.store.runs()).items


async def test_person_who_may_not_start_is_told_who_may(tmp_path: Path) -> None:
    async with desk(tmp_path, who_may_start=("web:ada", "staff")) as d:
        refused = await d.intake.take(d.turn(person=EVE))
        assert not refused.accepted
        assert "Only web:ada, staff may start turns" in refused.text
        assert (await d.intake.take(d.turn(person=ADA))).accepted


async def test_unknown_workflow_is_refused_with_the_nearest(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        receipt = await d.intake.take(d.turn(workflow="quartett"))
        assert not receipt.accepted
        assert "did you mean 'quartet'?" in receipt.text


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "\x00\x01", "\u202e" * 500, "'; DROP TABLE runs; --", "🙂" * 1000]
)
async def test_hostile_text_is_kept_as_it_is(tmp_path: Path, text: str) -> None:
    async with desk(tmp_path) as d:
        receipt = await d.intake.take(d.turn(text))
        assert (await d.state(receipt.run_id)).created.turn.text == text


# ── while a run works ────────────────────────────────────────────────────────────────────────


async def test_queue_keeps_the_turn_for_later(tmp_path: Path) -> None:
    async with desk(tmp_path, busy="queue") as d:
        first = await d.intake.take(d.turn(key="t1"))
        second = await d.intake.take(d.turn(key="t2", person=BOB))
        assert second.run_id != first.run_id
        assert (await d.state(second.run_id)).status == "queued"
        assert d.wakes.woken == [first.run_id]


async def test_steer_hands_the_message_to_the_run_once(tmp_path: Path) -> None:
    async with desk(tmp_path, busy="steer") as d:
        first = await d.intake.take(d.turn(key="t1"))
        for _ in range(2):  # delivered twice
            receipt = await d.intake.take(d.turn("shorter please", key="t2", person=BOB))
            assert receipt.accepted
            assert receipt.run_id == first.run_id
            assert receipt.private or not receipt.text  # nobody else needs to read it
        assert [(s.text, s.who.key) for s in (await d.state(first.run_id)).steered] == [
            ("shorter please", "web:bob")
        ]
        assert len((await d.store.runs()).items) == 1


async def test_steer_with_a_file_is_refused_with_a_way_out(tmp_path: Path) -> None:
    async with desk(tmp_path, busy="steer") as d:
        d.platform.files = {"notes.md": b"x"}
        await d.intake.take(d.turn(key="t1"))
        receipt = await d.intake.take(d.turn(key="t2", attachments=(attachment(),)))
        assert not receipt.accepted
        assert "wait for the answer, or stop the run" in receipt.text


async def test_steer_of_nothing_is_a_new_turn(tmp_path: Path) -> None:
    async with desk(tmp_path, busy="steer") as d:
        first = await d.intake.take(d.turn(key="t1"))
        await d.go(first.run_id, StopRequested(who=(await d.state(first.run_id)).created.turn.who))
        second = await d.intake.take(d.turn("next", key="t2"))
        assert second.accepted
        assert second.run_id != first.run_id


async def test_interrupt_stops_what_works_and_what_waits(tmp_path: Path) -> None:
    async with desk(tmp_path, busy="queue") as d:
        old = [(await d.intake.take(d.turn(key=f"t{n}"))).run_id for n in range(3)]
        d.policy = d.policy.model_copy(update={"busy": "interrupt"})
        new = await d.intake.take(d.turn("never mind, do this", key="t9", person=BOB))
        assert new.accepted
        for run_id in old:
            stop = (await d.state(run_id)).stop
            assert stop is not None
            assert (stop.who.name, stop.reason) == ("Bob", "a new message came")
        assert (await d.state(new.run_id)).stop is None
        assert await d.store.unfinished(HERE.key)


async def test_turn_for_a_named_workflow_is_queued_whatever_the_policy(tmp_path: Path) -> None:
    async with desk(tmp_path, busy="steer") as d:
        first = await d.intake.take(d.turn(key="t1"))
        second = await d.intake.take(d.turn(key="t2", workflow="quartet"))
        assert second.run_id != first.run_id


async def test_message_that_meets_a_run_just_ending_becomes_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the steering the run ends: nothing may be lost."""
    async with desk(tmp_path, busy="steer") as d:
        first = await d.intake.take(d.turn(key="t1"))
        look = d.store.unfinished

        async def look_and_end(conversation_id: str):
            rows = await look(conversation_id)
            monkeypatch.setattr(d.store, "unfinished", look)
            await d.store.append(rows[0].id, [RunEnded(status="completed")], epoch=None, status="completed")
            return rows

        monkeypatch.setattr(d.store, "unfinished", look_and_end)
        receipt = await d.intake.take(d.turn("and milk?", key="t2"))
        assert receipt.accepted, receipt.text
        assert receipt.run_id != first.run_id
        assert (await d.state(receipt.run_id)).created.turn.text == "and milk?"


# ── messages that are taken back ─────────────────────────────────────────────────────────────


def deleted(turn_key: str, person: Person = ADA, **more: object) -> Withdrawal:
    given = {"key": f"w{turn_key}", "turn_key": turn_key, "conversation": HERE, "person": person, "at": NOW}
    return Withdrawal.model_validate(given | more)


async def test_deleted_message_that_still_waited_never_starts(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        running, _ = await d.asked(key="t1")
        queued = (await d.intake.take(d.turn("Secret, sorry", key="t2"))).run_id
        receipt = await d.inbox.withdraw(deleted("t2"))
        assert (receipt.accepted, receipt.text) == (True, "")
        state = await d.go(queued)
        assert (state.status, state.started_at) == ("stopped", None)
        (card,) = present(quartet(), state, titles={}, doing={})
        assert (card.kind, card.status) == ("status", WITHDRAWN)
        assert (await d.state(running)).ended is None
        later = (await d.intake.take(d.turn("And now?", key="t3"))).run_id
        said = await d.store.exchanges(HERE.key, before=(await row(d, later)).position, limit=9)
        assert [line.text for line in said if line.role == "person"] == ["Explain tea"]
        again = await d.inbox.withdraw(deleted("t2"))
        assert not again.accepted


async def row(d: Desk, run_id: str) -> RunRow:
    found = await d.store.run(RunId(run_id))
    assert found is not None
    return found


async def test_only_who_wrote_a_message_takes_it_back_and_only_while_it_waits(tmp_path: Path) -> None:
    async with desk(tmp_path, busy="queue") as d:
        running, _ = await d.asked(key="t1")
        queued = (await d.intake.take(d.turn("Next", key="t2"))).run_id
        there = HERE.model_copy(update={"thread": "c2"})
        for wrong in (
            deleted("t2", BOB),
            deleted("t2", conversation=there),
            deleted("t1"),  # works already
            deleted("unknown"),
        ):
            receipt = await d.inbox.withdraw(wrong)
            assert (receipt.accepted, receipt.text) == (False, "")
        assert (await d.state(running)).stop is None
        assert (await d.state(queued)).stop is None


async def test_message_that_was_handed_to_a_run_takes_nothing_back(tmp_path: Path) -> None:
    async with desk(tmp_path, busy="steer") as d:
        running, _ = await d.asked(key="t1")
        assert (await d.intake.take(d.turn("shorter", key="t2"))).run_id == running
        assert not (await d.inbox.withdraw(deleted("t2"))).accepted
        assert (await d.state(running)).stop is None


async def test_run_that_starts_while_it_is_taken_back_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as d:
        await d.asked(key="t1")
        queued = (await d.intake.take(d.turn("Next", key="t2"))).run_id
        look = d.service.state
        looks = 0

        async def state_then_start(run_id: RunId) -> RunState:
            nonlocal looks
            found = await look(run_id)
            looks += 1
            if looks == 2:  # between the look and the stop
                await d.store.append(run_id, [RunStarted()], epoch=None, status="running")
            return found

        monkeypatch.setattr(d.service, "state", state_then_start)
        receipt = await d.inbox.withdraw(deleted("t2"))
        assert not receipt.accepted
        assert (await look(RunId(queued))).stop is None
