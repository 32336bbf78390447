"""Clicks and forms: one outcome whatever people press, and a private word for everybody else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Feedback, FormInput
from bot.api.views import run_detail
from orchestrator.errors import StoreFailed
from orchestrator.events import ApprovalResolved, Problem, RunEnded
from tests.builders import NOW, plan, task
from tests.unit.bot.office import ADA, BOB, EVE, HERE, Desk, desk

FIELDS = {"goal": "New goal", "outline": "", "tasks": "draft. Write it", "risks": ""}


async def decided(d: Desk, run_id: str) -> tuple[str, str]:
    (approval,) = (await d.state(run_id)).approvals.values()
    assert approval.decision is not None
    return approval.decision.decision, approval.decision.who.name


@pytest.mark.parametrize("action", ["approve", "reject"])
async def test_click_decides_and_wakes_the_run(tmp_path: Path, action: str) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        d.wakes.woken.clear()
        receipt = await d.press(action, approval, BOB)
        assert receipt.accepted
        assert receipt.run_id == run_id
        assert await decided(d, run_id) == (action, "Bob")
        assert d.wakes.woken == [run_id]


async def test_second_click_on_same_approval_changes_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        await d.press("approve", approval, BOB)
        late = await d.press("reject", approval, ADA)
        assert not late.accepted
        assert late.text == "This was already approved by Bob; your click changed nothing."
        assert await decided(d, run_id) == ("approve", "Bob")


async def test_hundred_clicks_at_once_have_one_outcome(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        actions = [("approve", "reject")[n % 2] for n in range(100)]
        people = [(ADA, BOB, EVE)[n % 3] for n in range(100)]
        clicks = zip(actions, people, strict=True)
        receipts = await asyncio.gather(*[d.press(a, approval, p) for a, p in clicks])
        won = [(a, p.name) for a, p, r in zip(actions, people, receipts, strict=True) if r.accepted]
        assert won == [await decided(d, run_id)]
        assert sum("already" in r.text for r in receipts) == 99
        state = await d.go(run_id)
        resolutions = [e for e in await d.store.events(state.run_id) if isinstance(e.body, ApprovalResolved)]
        assert len(resolutions) == 1


async def test_same_person_pressing_twice_at_once_wins_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        _, approval = await d.asked()
        receipts = await asyncio.gather(*[d.press("approve", approval) for _ in range(10)])
        assert [r.accepted for r in receipts].count(True) == 1


async def test_click_by_someone_who_may_not_decide_is_refused_and_recorded_nowhere(tmp_path: Path) -> None:
    async with desk(tmp_path, approvers=("web:bob", "leads")) as d:
        run_id, approval = await d.asked()
        before = (await d.state(run_id)).seq
        for action in ("approve", "reject", "edit", "changes"):
            receipt = await d.press(action, approval, EVE)
            assert not receipt.accepted
            assert receipt.form is None
            assert receipt.text == "Only web:bob, leads may decide here."
        for form in (f"edit:{approval}", f"changes:{approval}"):
            receipt = await d.send(form, {**FIELDS, "comment": "x"}, EVE)
            assert not receipt.accepted
        assert (await d.state(run_id)).seq == before
        lead = EVE.model_copy(update={"groups": ("leads",)})
        assert (await d.press("approve", approval, lead)).accepted


async def test_requester_may_not_decide_where_the_channel_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path, allow_requester=False) as d:
        _, approval = await d.asked()
        refused = await d.press("approve", approval, ADA)
        assert not refused.accepted
        assert "somebody else has to" in refused.text
        assert (await d.press("approve", approval, BOB)).accepted


async def test_late_click_after_the_end_says_what_happened(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        assert (await d.press("stop", run_id)).accepted
        await d.go(run_id)
        late = await d.press("approve", approval, BOB)
        assert not late.accepted
        assert late.text == "The run has ended (stopped); your click changed nothing."
        assert (await d.state(run_id)).status == "stopped"


async def test_late_click_after_expiry_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path, expires_after_s=1) as d:
        run_id, approval = await d.asked()
        expired = ApprovalResolved(node="plan_approval", visit=1, approval_id=approval, outcome="expired")
        await d.go(run_id, expired)
        late = await d.press("approve", approval)
        assert not late.accepted
        assert "expired" in late.text
        assert "changed nothing" in late.text


@pytest.mark.parametrize(
    ("action", "target"),
    [
        ("approve", "nope"),
        ("edit", ""),
        ("changes", "x" * 10_000),
        ("stop", "nope"),
        ("retry", "nope"),
        ("pause", "'"),
    ],
)
async def test_click_on_something_unknown_is_answered(tmp_path: Path, action: str, target: str) -> None:
    async with desk(tmp_path) as d:
        receipt = await d.press(action, target)
        assert not receipt.accepted
        assert receipt.text


@pytest.mark.parametrize("action", ["", "APPROVE", "drop table", "x" * 5_000, "approve\x00"])
async def test_unknown_button_is_answered(tmp_path: Path, action: str) -> None:
    async with desk(tmp_path) as d:
        _, approval = await d.asked()
        receipt = await d.press(action, approval)
        assert "does not know the button" in receipt.text
        assert len(receipt.text) < 200


async def test_failing_store_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise StoreFailed("the disk is full")

    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        with monkeypatch.context() as away:
            away.setattr(d.store, "append", fails)
            for action, target in (("approve", approval), ("stop", run_id)):
                with pytest.raises(StoreFailed):
                    await d.press(action, target)
            with pytest.raises(StoreFailed):
                await d.send(f"changes:{approval}", {"comment": "shorter"})
        assert (await d.press("approve", approval)).accepted


async def test_click_and_form_from_another_conversation_change_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        before = (await d.state(run_id)).seq
        there = HERE.model_copy(update={"thread": "c2"})
        targets = dict.fromkeys(("approve", "reject", "edit", "changes"), approval)
        targets |= dict.fromkeys(("stop", "pause", "resume", "retry"), run_id)
        for action, target in targets.items():
            click = d.click(action, target).model_copy(update={"conversation": there})
            receipt = await d.decisions.click(click, d.policy)
            assert not receipt.accepted
            assert receipt.form is None
            assert "another conversation" in receipt.text
        for form in ("edit", "changes"):
            given = FormInput(
                key="f",
                conversation=there,
                person=ADA,
                form_id=f"{form}:{approval}",
                values=FIELDS | {"comment": "x"},
                at=NOW,
            )
            receipt = await d.decisions.form(given)
            assert not receipt.accepted
            assert "another conversation" in receipt.text
        assert (await d.state(run_id)).seq == before


# ── forms ────────────────────────────────────────────────────────────────────────────────────


async def test_edit_opens_a_form_and_what_is_sent_is_what_the_builder_gets(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        opened = await d.press("edit", approval, BOB)
        assert opened.form is not None
        values = {f.name: f.value for f in opened.form.fields} | {"goal": "Explain green tea"}
        receipt = await d.send(opened.form.id, values, BOB)
        assert receipt.accepted
        state = await d.go(run_id)
        assert state.latest("planner") == plan("Explain green tea")
        assert state.nodes["builder"].status == "working"
        (approval_state,) = state.approvals.values()
        assert approval_state.resolved is not None
        assert approval_state.resolved.changes == ('goal: "Explain tea" → "Explain green tea"',)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"goal": " "}, "goal"),
        ({"tasks": ""}, "tasks"),
        ({"tasks": "a. A [after b]"}, "tasks"),
        ({"risks": "x" * 20_001}, "risks"),
    ],
)
async def test_form_errors_come_back_at_their_fields_and_nothing_is_recorded(
    tmp_path: Path, changes: dict[str, str], field: str
) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        before = (await d.state(run_id)).seq
        receipt = await d.send(f"edit:{approval}", FIELDS | changes)
        assert not receipt.accepted
        assert set(receipt.errors) == {field}
        assert (await d.state(run_id)).seq == before
        assert (await d.send(f"edit:{approval}", FIELDS)).accepted  # mended and sent again


async def test_changes_need_a_comment_and_plan_again_with_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        opened = await d.press("changes", approval)
        assert opened.form is not None
        empty = await d.send(opened.form.id, {"comment": " \n"})
        assert set(empty.errors) == {"comment"}
        assert (await d.send(opened.form.id, {"comment": " shorter \n"})).accepted
        state = await d.go(run_id)
        assert state.comments == ("shorter",)
        assert state.nodes["planner"].visit == 2


async def test_form_of_a_decided_approval_does_not_open_and_is_late_when_sent(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        opened = await d.press("edit", approval, BOB)
        assert opened.form is not None
        await d.press("approve", approval, ADA)
        assert (await d.press("changes", approval)).form is None
        late = await d.send(opened.form.id, FIELDS, BOB)
        assert not late.accepted
        assert late.text == "This was already approved by Ada; your click changed nothing."
        assert await decided(d, run_id) == ("approve", "Ada")


@pytest.mark.parametrize(
    "form_id", ["", "edit", "edit:", ":x", "approve:x", "edit:nope", "changes:nope", "x" * 9_999]
)
async def test_unknown_form_is_answered(tmp_path: Path, form_id: str) -> None:
    async with desk(tmp_path) as d:
        receipt = await d.send(form_id, {**FIELDS, "comment": "x"})
        assert not receipt.accepted
        assert receipt.text


async def test_forged_plan_does_not_reach_the_builder(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        forged = '{"goal": 5, "outline": null, "tasks": "all", "risks": {}}'
        receipt = await d.send(f"edit:{approval}", {"json": forged})
        assert set(receipt.errors) == {"goal", "tasks"}
        assert (await d.state(run_id)).open_approvals()


# ── controls ─────────────────────────────────────────────────────────────────────────────────


async def test_only_those_concerned_stop_a_run(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, _ = await d.asked()
        for action in ("stop", "pause", "resume"):
            refused = await d.press(action, run_id, EVE)
            assert not refused.accepted
            assert "web:ada asked for this one" in refused.text
        assert (await d.state(run_id)).stop is None
        admin = EVE.model_copy(update={"is_admin": True})
        assert (await d.press("pause", run_id, admin)).accepted
        assert (await d.press("resume", run_id, ADA)).accepted
        assert (await d.press("stop", run_id, ADA)).accepted
        assert (await d.go(run_id)).status == "stopped"


async def test_stop_of_an_ended_run_says_that_it_has_ended(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        await d.press("reject", approval)
        await d.go(run_id)
        receipt = await d.press("stop", run_id)
        assert not receipt.accepted
        assert "has ended already (rejected)" in receipt.text


async def test_try_again_pressed_many_times_is_one_new_run(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, _ = await d.asked()
        early = await d.press("retry", run_id)
        assert not early.accepted
        assert "Only a failed run" in early.text
        problem = Problem(kind="model_refused", message="no key")
        await d.store.append(
            (await d.state(run_id)).run_id,
            [RunEnded(status="failed", problem=problem)],
            epoch=None,
            status="failed",
        )
        receipts = await asyncio.gather(*[d.press("retry", run_id, (ADA, BOB)[n % 2]) for n in range(10)])
        assert all(r.accepted for r in receipts)
        (new,) = {r.run_id for r in receipts}
        assert new != run_id
        assert (await d.state(new)).created.turn.text == "Explain tea"


async def test_edited_plan_may_hold_any_text(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id, approval = await d.asked()
        evil: Any = "<script>alert(1)</script> \u202e ﷽ '; DROP TABLE runs; --"
        receipt = await d.send(f"edit:{approval}", FIELDS | {"goal": evil, "tasks": f"x. {evil}"})
        assert receipt.accepted
        state = await d.go(run_id)
        assert state.latest("planner") == plan(" ".join(evil.split()), task("x", evil), outline=[])


# ── reactions ────────────────────────────────────────────────────────────────────────────────


async def test_reaction_of_who_asked_stops_the_run_and_of_others_says_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, admins=("web:bob",)) as d:
        run_id, _ = await d.asked()
        quiet = d.click("stop", run_id, BOB).model_copy(update={"quiet": True})
        refused = await d.inbox.click(quiet)
        assert (refused.accepted, refused.text) == (False, "")
        assert (await d.state(run_id)).stop is None
        taken = await d.inbox.click(quiet.model_copy(update={"person": ADA}))
        assert taken.accepted
        state = await d.go(run_id)
        assert state.status == "stopped"
        late = await d.inbox.click(quiet.model_copy(update={"person": ADA}))
        assert (late.accepted, late.text) == (False, "")


@pytest.mark.parametrize("action", ["edit", "changes", "settings", "explode"])
async def test_reaction_never_opens_a_form_nor_says_a_word(tmp_path: Path, action: str) -> None:
    async with desk(tmp_path) as d:
        _, approval = await d.asked()
        target = "web:local:general" if action == "settings" else approval
        boss = ADA.model_copy(update={"is_admin": True})
        receipt = await d.inbox.click(d.click(action, target, boss).model_copy(update={"quiet": True}))
        assert (receipt.accepted, receipt.text, receipt.form) == (False, "", None)


async def test_reaction_of_who_asked_does_not_decide_where_they_may_not(tmp_path: Path) -> None:
    async with desk(tmp_path, approvers=("web:bob",)) as d:
        run_id, approval = await d.asked()
        for person in (ADA, BOB):  # Bob may, but he did not ask: his mark may mean anything
            quiet = d.click("approve", approval, person).model_copy(update={"quiet": True})
            receipt = await d.inbox.click(quiet)
            assert (receipt.accepted, receipt.text) == (False, "")
        (question,) = (await d.state(run_id)).approvals.values()
        assert question.decision is None
        assert question.late == ()


# ── what people think of answers ─────────────────────────────────────────────────────────────


def opinion(run_id: str, person: Any = ADA, *, good: bool = True, **more: Any) -> Feedback:
    given = {"key": "o", "conversation": HERE, "person": person, "target": run_id, "good": good, "at": NOW}
    return Feedback.model_validate(given | more)


async def answered(d: Desk) -> str:
    run_id, _ = await d.asked()
    await d.go(run_id, RunEnded(status="completed", answer={"body": "Tea."}))
    return run_id


async def test_newest_word_of_each_person_counts_and_the_same_again_adds_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id = await answered(d)
        assert (await d.inbox.feedback(opinion(run_id))).text.startswith("Thank you")
        assert (await d.inbox.feedback(opinion(run_id, EVE, good=False, comment=" too long "))).accepted
        assert (await d.inbox.feedback(opinion(run_id, good=False))).accepted
        before = (await d.state(run_id)).seq
        assert (await d.inbox.feedback(opinion(run_id, good=False))).accepted
        state = await d.state(run_id)
        assert state.seq == before
        said = {key: (f.good, f.comment) for key, f in state.feedback.items()}
        assert said == {"web:ada": (False, ""), "web:eve": (False, "too long")}
        assert state.status == "completed"
        shown = run_detail(state).feedback
        assert [(f.who, f.good, f.comment) for f in shown] == [("Ada", False, ""), ("Eve", False, "too long")]


async def test_feedback_from_elsewhere_for_nothing_or_too_early_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id = await answered(d)
        there = HERE.model_copy(update={"thread": "c2"})
        assert "another conversation" in (await d.inbox.feedback(opinion(run_id, conversation=there))).text
        assert not (await d.inbox.feedback(opinion("r' OR 1=1"))).accepted
        early, _ = await d.asked(key="t2")
        assert "no answer yet" in (await d.inbox.feedback(opinion(early))).text
        assert (await d.state(run_id)).feedback == {}


async def test_long_comments_are_cut(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        run_id = await answered(d)
        await d.inbox.feedback(opinion(run_id, comment="x" * 100_000))
        assert len((await d.state(run_id)).feedback["web:ada"].comment) == 4_000
