"""A plain reply answers the one open question of a conversation, and nothing else becomes an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Receipt
from bot.edit_forms import MAX_ANSWER
from bot.replies import TAKEN
from orchestrator.events import RunId
from orchestrator.workflow import Workflow
from tests.builders import flow
from tests.unit.bot.office import ADA, BOB, EVE, Desk, desk

QUESTION = {"kind": "input", "title": "Which version?", "question": "Which version shall it be?"}


def asking(**more: Any) -> Workflow:
    return flow({"ask": QUESTION | more, "builder": "agent"}, "ask > builder", name="asking")


async def asked(made: Desk, workflow: Workflow, **turn: Any) -> RunId:
    """A run that waits for words."""
    made.use(workflow)
    receipt = await made.intake.take(made.turn("Release it", workflow=workflow.name, **turn))
    assert receipt.accepted, receipt.text
    await made.go(receipt.run_id)
    return RunId(receipt.run_id)


async def reply(made: Desk, text: str, *, key: str = "r1", **more: Any) -> Receipt:
    return await made.inbox.turn(made.turn(text, key=key, **more))


async def test_reply_is_the_answer_and_no_turn(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking())
        receipt = await reply(made, "  1.4.2 \n", person=BOB)
        assert (receipt.accepted, receipt.run_id, receipt.text, receipt.private) == (
            True,
            run_id,
            TAKEN,
            True,
        )
        state = await made.go(run_id)
        assert state.latest("ask") == {"text": "1.4.2"}
        (approval,) = state.approvals.values()
        assert approval.decision is not None
        assert (approval.decision.who.name, approval.decision.key) == ("Bob", "r1")
        assert len((await made.store.runs()).items) == 1


async def test_answer_delivered_again_starts_no_turn(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking())
        for _ in range(3):
            receipt = await reply(made, "1.4.2")
            assert (receipt.accepted, receipt.run_id) == (True, run_id)
            await made.go(run_id)
        assert len((await made.store.runs()).items) == 1
        assert len([a for a in (await made.state(run_id)).approvals.values() if a.late]) == 0


async def test_next_message_is_a_turn_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking())
        await reply(made, "1.4.2")
        await made.go(run_id)
        receipt = await reply(made, "And what is new in it?", key="r2")
        assert receipt.accepted
        assert receipt.run_id != run_id


@pytest.mark.parametrize("text", ["status", "help", "runs"])
async def test_commands_stay_commands(tmp_path: Path, text: str) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking())
        await reply(made, text)
        assert (await made.state(run_id)).open_approvals()


async def test_workflow_asked_for_by_name_and_files_are_turns(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking())
        receipt = await reply(made, "Explain tea", workflow="quartet")
        assert receipt.accepted
        assert receipt.run_id != run_id
        assert (await made.state(run_id)).open_approvals()


async def test_whoever_may_not_answer_is_heard_as_anybody_else(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking(approvers=["web:bob"]))
        receipt = await reply(made, "I say 9.9", person=EVE)
        assert receipt.accepted
        assert receipt.run_id != run_id  # queued behind it
        assert (await made.state(run_id)).open_approvals()
        answered = await reply(made, "1.4.2", key="r2", person=BOB)
        assert answered.run_id == run_id


async def test_two_open_questions_are_not_guessed_between(tmp_path: Path) -> None:
    both = flow({"one": QUESTION, "two": QUESTION}, strategy="parallel", name="asking")
    async with desk(tmp_path) as made:
        run_id = await asked(made, both)
        assert len((await made.state(run_id)).open_approvals()) == 2
        receipt = await reply(made, "1.4.2")
        assert receipt.run_id != run_id
        assert len((await made.state(run_id)).open_approvals()) == 2


async def test_approval_is_not_answered_by_words(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id, _ = await made.asked()
        receipt = await reply(made, "yes, go on")
        assert receipt.run_id != run_id
        assert (await made.state(run_id)).open_approvals()


async def test_answer_that_is_too_long_is_refused_with_its_limit(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking())
        receipt = await reply(made, "x" * (MAX_ANSWER + 1))
        assert not receipt.accepted
        assert "20,000" in receipt.text
        assert (await made.state(run_id)).open_approvals()
        assert (await reply(made, "short")).run_id == run_id


async def test_reply_after_the_end_is_a_turn(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking())
        (approval,) = (await made.state(run_id)).open_approvals()
        await made.press("reject", approval.asked.approval_id)
        await made.go(run_id)
        receipt = await reply(made, "1.4.2")
        assert receipt.accepted
        assert receipt.run_id != run_id


# ── the buttons ──────────────────────────────────────────────────────────────────────────────


async def test_answer_opens_a_form_with_the_question_and_the_form_answers(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking())
        (approval,) = (await made.state(run_id)).open_approvals()
        target = approval.asked.approval_id
        form = (await made.press("answer", target)).form
        assert form is not None
        assert (form.id, form.note) == (f"answer:{target}", "Which version shall it be?")
        (field,) = form.fields
        assert (field.name, field.multiline, field.required) == ("text", True, True)
        empty = await made.send(form.id, {"text": "  \n "})
        assert not empty.accepted
        assert "text" in empty.errors
        assert (await made.send(form.id, {"text": "<b>1.4.2</b>"})).accepted
        assert (await made.go(run_id)).latest("ask") == {"text": "<b>1.4.2</b>"}
        late = await made.send(form.id, {"text": "no"}, BOB)
        assert (late.accepted, late.text) == (
            False,
            "This was already answered by Ada; your click changed nothing.",
        )


async def test_question_takes_neither_approve_nor_changes_and_an_approval_no_answer(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        run_id = await asked(made, asking())
        (approval,) = (await made.state(run_id)).open_approvals()
        target = approval.asked.approval_id
        for refused in (
            await made.press("approve", target),
            await made.press("changes", target),
            await made.send(f"changes:{target}", {"comment": "x"}),
        ):
            assert not refused.accepted
            assert "press Answer" in refused.text
        assert (await made.state(run_id)).open_approvals()
        await made.press("reject", target, ADA)
        await made.go(run_id)
        _, plan_target = await made.asked(key="t2")
        for refused in (
            await made.press("answer", plan_target),
            await made.send(f"answer:{plan_target}", {"text": "yes"}),
        ):
            assert not refused.accepted
            assert "press one of the buttons" in refused.text
