"""The default workflow and small ones of our own, played move by move."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.engine.kinds import Finish, Resolve, Start
from orchestrator.engine.moves import moves, next_time
from orchestrator.engine.scopes import variables
from orchestrator.events import (
    ApprovalResolved,
    BranchTaken,
    PauseRequested,
    ResumeRequested,
    RunEnded,
    RunSettings,
    RunStarted,
    StepStarted,
)
from tests.builders import ADA, BOB, NOW, Play, brief, draft, edge, flow, plan, quartet, remark, review, task


def started(play: Play) -> list[str]:
    return [e.body.node for e in play.events if isinstance(e.body, StepStarted)]


def ended(play: Play) -> RunEnded:
    assert play.state.ended is not None
    return play.state.ended


# ── the default workflow ─────────────────────────────────────────────────────────────────────


def test_good_run_visits_every_agent_once_and_completes() -> None:
    play = Play().to_end()
    assert started(play) == ["researcher", "planner", "plan_approval", "builder", "reviewer"]
    assert play.state.status == "completed"
    answer = ended(play).answer
    assert answer is not None
    assert answer["body"] == "Tea is warm [1]."
    assert answer["score"] == 9.0
    assert [s["id"] for s in answer["sources"]] == [1]


def test_queued_run_makes_no_move_until_it_is_started() -> None:
    play = Play(started=False).say()
    assert moves(play.workflow, play.state, play.now) == []
    assert play.state.status == "queued"
    play.say(RunStarted())
    assert play.working() == ["researcher"]


def test_same_state_gives_same_moves_until_they_are_performed() -> None:
    play = Play(started=False).add(RunStarted())
    first = moves(play.workflow, play.state, play.now)
    assert first == [Start("researcher", 1, 1, ())] == moves(play.workflow, play.state, play.now)


def test_low_score_builds_again_at_most_twice() -> None:
    play = Play().to_building()
    for round_ in (1, 2, 3):
        play.done("builder", draft(f"version {round_}"))
        play.done("reviewer", review(3, findings=[remark(str(round_))]))
    assert started(play).count("builder") == 3
    assert play.state.status == "completed"
    answer = ended(play).answer
    assert answer is not None
    assert answer["body"] == "version 3"
    assert answer["score"] == 3.0
    assert len(answer["notes"]) == 1  # of the last review only


def test_revision_that_is_good_enough_ends_the_loop() -> None:
    play = Play().to_building().done("builder", draft("poor")).done("reviewer", review(6.9))
    assert play.working() == ["builder"]
    assert play.state.nodes["builder"].visit == 2
    play.done("builder", draft("good")).done("reviewer", review(7.0))
    assert play.state.status == "completed"
    assert started(play).count("builder") == 2


def test_repeated_findings_make_no_third_builder() -> None:
    play = Play().to_building()
    play.done("builder", draft()).done("reviewer", review(3))
    play.done("builder", draft()).done("reviewer", review(3, repeated=True))
    assert started(play).count("builder") == 2
    assert play.state.status == "completed"


def test_branch_says_which_condition_held() -> None:
    play = Play().to_building().done("builder", draft()).done("reviewer", review(3))
    (branch,) = [e.body for e in play.events if isinstance(e.body, BranchTaken)]
    assert branch.to == "builder"
    assert branch.why == "reviewer.score < policies.min_score and not reviewer.repeated"


def test_ask_for_changes_plans_again_with_the_comment_and_asks_anew() -> None:
    play = Play().to_approval().decide("changes", comment="shorter", who=BOB)
    assert play.working() == ["planner"]
    assert play.state.comments == ("shorter",)
    assert play.state.nodes["planner"].visit == 2
    play.done("planner", plan("Explain tea briefly"))
    first, second = play.state.approvals.values()
    assert first.asked.approval_id != second.asked.approval_id
    assert first.asked.digest != second.asked.digest
    assert second.asked.arguments["goal"] == "Explain tea briefly"
    assert play.state.status == "waiting"
    play.decide("approve")
    assert play.working() == ["builder"]


def test_decision_on_the_first_plan_does_not_decide_on_the_second() -> None:
    play = Play().to_approval().decide("changes", comment="x").done("planner", plan("other"))
    play.decide("approve", nth=0)
    assert play.state.status == "waiting"
    assert play.approval(1).decision is None
    assert len(play.approval(0).late) == 1


def test_changes_asked_for_too_often_end_the_run_with_a_reason() -> None:
    play = Play().to_approval()
    for _ in range(5):
        play.decide("changes", comment="again").done("planner", plan())
    play.decide("changes", comment="again")
    assert play.state.status == "rejected"
    assert "too often" in ended(play).reason


def test_edit_replaces_what_the_builder_sees_and_records_the_difference() -> None:
    edited = plan("Explain green tea", task("draft", "Write about green tea"))
    play = Play().to_approval().decide("edit", edited=edited, who=BOB)
    assert play.working() == ["builder"]
    assert play.state.latest("planner") == edited
    assert play.state.outputs["planner"] == (plan(), edited)
    (resolved,) = [e.body for e in play.events if isinstance(e.body, ApprovalResolved)]
    assert resolved.outcome == "edit"
    assert resolved.output == edited
    assert resolved.who == BOB
    assert set(resolved.changes) == {
        'goal: "Explain tea" → "Explain green tea"',
        'tasks › draft › title: "Write it" → "Write about green tea"',
    }


def test_what_runs_is_what_was_shown() -> None:
    play = Play().to_building()
    asked = play.approval().asked
    assert play.state.latest("planner") == asked.arguments
    assert play.approval().resolved is not None


def test_reject_ends_the_run_with_who_and_why() -> None:
    play = Play().to_approval().decide("reject", comment="not now", who=BOB)
    assert play.state.status == "rejected"
    assert ended(play).reason == "rejected by Bob: not now"
    assert ended(play).answer is None
    assert play.working() == []


def test_nobody_decides_and_the_run_expires() -> None:
    play = Play().to_approval()
    assert next_time(play.state) == NOW + timedelta(days=1)
    play.wait(86_399)
    assert play.state.status == "waiting"
    play.wait(1)
    assert play.state.status == "expired"
    assert ended(play).reason == "nobody decided in time"
    assert next_time(play.state) is None


def test_decision_at_the_last_moment_beats_the_expiry() -> None:
    play = Play().to_approval()
    play.now += timedelta(days=2)  # nobody was there to note that time ran out
    play.decide("approve")
    assert play.working() == ["builder"]


def test_decision_after_the_expiry_is_late() -> None:
    play = Play().to_approval().wait(90_000).decide("approve")
    assert play.state.status == "expired"
    assert play.approval().decision is None
    assert len(play.approval().late) == 1


@pytest.mark.parametrize(
    ("on_expiry", "status", "working"),
    [("expire", "expired", []), ("reject", "rejected", []), ("approve", "running", ["builder"])],
)
def test_expiry_does_what_the_node_says(on_expiry: str, status: str, working: list[str]) -> None:
    node: dict[str, Any] = {"kind": "approval", "of": "planner", "expires_after": 60, "on_expiry": on_expiry}
    workflow = flow({"planner": "agent", "ok": node, "builder": "agent"}, "planner > ok", "ok > builder")
    play = Play(workflow).done("planner", plan()).wait(60)
    assert play.state.status == status
    assert play.working() == working
    if on_expiry == "reject":
        assert ended(play).reason == "nobody decided in time"


def test_rejected_edge_leads_on_instead_of_ending() -> None:
    nodes = {"planner": "agent", "ok": "approval of planner", "sorry": "agent"}
    workflow = flow(nodes, "planner > ok", edge("ok > sorry", on="rejected"))
    play = Play(workflow).done("planner", plan()).decide("reject")
    assert play.working() == ["sorry"]
    assert play.done("sorry", {"body": "Sorry."}).state.status == "completed"
    assert (ended(play).answer or {})["body"] == "Sorry."


def test_automatic_approvals_ask_nobody_and_say_so() -> None:
    play = Play(settings=RunSettings(approvals="auto")).to_approval()
    assert play.working() == ["builder"]
    resolved = play.approval().resolved
    assert resolved is not None
    assert resolved.who is not None
    assert resolved.who.key == "policy:auto"
    kinds = [e.body.type for e in play.events]
    asked = kinds.index("approval_requested")
    assert kinds[asked : asked + 3] == ["approval_requested", "approval_resolved", "step_started"]
    assert "decision_given" not in kinds


def test_approval_of_something_that_has_no_output_fails_with_a_reason() -> None:
    workflow = flow({"ok": "approval of a", "a": "agent"}, "ok > a")
    play = Play(workflow)
    problem = ended(play).problem
    assert play.state.status == "failed"
    assert problem is not None
    assert "asks about 'a', which has no output yet" in problem.message


# ── stop and pause ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("point", ["queued", "working", "asking", "paused", "retrying"])
def test_stop_ends_the_run_at_once_wherever_it_is(point: str) -> None:
    retrying = {"kind": "agent", "agent": "a", "retry": {"max_retries": 3}}
    if point == "queued":
        play = Play(started=False)
    elif point == "retrying":
        play = Play(flow({"a": retrying})).fail("a", retryable=True)
    else:
        play = Play() if point == "working" else Play().to_approval()
    if point == "paused":
        play.say(PauseRequested(who=ADA))
    play.stop(BOB, reason="enough")
    assert play.state.status == "stopped"
    assert ended(play).reason == "stopped by Bob: enough"
    assert next_time(play.state) is None
    assert play.working() == []
    before = play.state
    play.wait(100_000).say(ResumeRequested(who=ADA))
    assert play.state.ended is before.ended


def test_pause_lets_the_step_end_and_starts_no_other() -> None:
    play = Play().say(PauseRequested(who=ADA))
    assert play.working() == ["researcher"]
    assert play.state.status == "paused"
    play.done("researcher", brief())
    assert play.working() == []
    assert next_time(play.state) is None
    play.say(ResumeRequested(who=BOB))
    assert play.working() == ["planner"]
    assert play.state.status == "running"


def test_decision_while_paused_is_kept_and_acted_on_later() -> None:
    play = Play().to_approval().say(PauseRequested(who=ADA)).decide("approve")
    assert play.approval().resolved is not None
    assert play.working() == []
    assert play.state.status == "paused"
    play.say(ResumeRequested(who=ADA))
    assert play.working() == ["builder"]


def test_pause_of_a_queued_run_holds_it_when_its_turn_comes() -> None:
    play = Play(started=False).say(PauseRequested(who=ADA)).say(RunStarted())
    assert play.working() == []
    assert play.say(ResumeRequested(who=ADA)).working() == ["researcher"]


# ── failures ─────────────────────────────────────────────────────────────────────────────────


def test_retry_waits_with_backoff_and_then_gives_up() -> None:
    node: dict[str, Any] = {
        "kind": "agent",
        "agent": "a",
        "retry": {"max_retries": 2, "initial_delay": 10, "backoff": 3},
    }
    play = Play(flow({"a": node}))
    play.fail("a", retryable=True)
    assert next_time(play.state) == NOW + timedelta(seconds=10)
    assert play.wait(9.9).working() == []
    assert play.wait(0.1).working() == ["a"]
    assert play.state.nodes["a"].attempt == 2
    play.fail("a", retryable=True)
    assert next_time(play.state) == play.now + timedelta(seconds=30)
    play.wait(30).fail("a", "still broken", retryable=True)
    assert play.state.status == "failed"
    problem = ended(play).problem
    assert problem is not None
    assert problem.message == "still broken"
    assert [(s.node, s.visit, s.attempt, s.status) for s in play.state.steps] == [
        ("a", 1, 1, "failed"),
        ("a", 1, 2, "failed"),
        ("a", 1, 3, "failed"),
    ]


def test_failure_that_no_retry_helps_ends_the_run() -> None:
    play = Play().fail("researcher", "wrong key: set OPENAI_API_KEY")
    problem = ended(play).problem
    assert problem is not None
    assert problem.message == "wrong key: set OPENAI_API_KEY"


def test_error_edge_leads_to_the_error_handler() -> None:
    nodes = {"a": "agent", "b": "agent", "mend": {"kind": "error_handler"}}
    workflow = flow(nodes, "a > b", edge("a > mend", on="error"), "mend > b")
    play = Play(workflow).fail("a")
    assert play.working() == ["mend"]
    play.done("mend", {"handled": {}}).done("b", {"body": "made the best of it"})
    assert play.state.status == "completed"


def test_error_edge_with_a_limit_tries_again_and_then_fails() -> None:
    workflow = flow({"a": "agent"}, edge("a > a", on="error", max_visits=2))
    play = Play(workflow).fail("a").fail("a")
    assert play.working() == ["a"]
    assert play.state.nodes["a"].visit == 3
    assert play.fail("a").state.status == "failed"


@pytest.mark.parametrize("kind", ["agent", "decision"])
def test_condition_that_cannot_be_worked_out_fails_the_run_with_its_text(kind: str) -> None:
    workflow = flow({"a": "agent", "d": kind, "b": "agent"}, "a > d", edge("d > b", when="a.score > 1"))
    play = Play(workflow).done("a", {"body": "no score"})
    if kind == "agent":
        play.done("d", {})
    problem = ended(play).problem
    assert problem is not None
    assert "a.score > 1" in problem.message
    assert "'d'" in problem.message


# ── limits ───────────────────────────────────────────────────────────────────────────────────


def chain(steps: int, **policies: Any) -> Play:
    nodes = {f"n{i}": "agent" for i in range(steps)}
    arrows = [f"n{i} > n{i + 1}" for i in range(steps - 1)]
    return Play(flow(nodes, *arrows, policies=policies))


def test_run_of_exactly_max_steps_completes() -> None:
    play = chain(3, max_steps=3).done("n0", {}).done("n1", {}).done("n2", {})
    assert play.state.status == "completed"


def test_one_step_more_than_max_steps_fails_before_it_begins() -> None:
    play = chain(4, max_steps=3).done("n0", {}).done("n1", {})
    assert play.working() == ["n2"]
    play.done("n2", {})
    assert play.state.status == "failed"
    assert len(play.state.steps) == 3
    problem = ended(play).problem
    assert problem is not None
    assert "policies.max_steps" in problem.message


def test_fact_from_outside_does_not_end_the_last_allowed_step() -> None:
    play = chain(1, max_steps=1).steer("hurry")
    assert play.working() == ["n0"]
    assert play.done("n0", {}).state.status == "completed"


def test_retries_count_as_steps() -> None:
    node: dict[str, Any] = {"kind": "agent", "agent": "a", "retry": {"max_retries": 9, "initial_delay": 0}}
    play = Play(flow({"a": node}, policies={"max_steps": 2})).fail("a", retryable=True)
    assert play.working() == ["a"]
    assert play.fail("a", retryable=True).state.status == "failed"


def test_run_of_exactly_max_model_calls_completes() -> None:
    play = chain(2, max_model_calls=2).called("n0").done("n0", {}).called("n1").done("n1", {})
    assert play.state.status == "completed"


def test_no_step_begins_when_the_model_calls_are_used_up() -> None:
    play = chain(3, max_model_calls=2).called("n0").called("n0").done("n0", {})
    assert play.state.status == "failed"
    problem = ended(play).problem
    assert problem is not None
    assert "policies.max_model_calls" in problem.message


def test_decision_that_leads_to_itself_keeps_the_limit_of_its_edge() -> None:
    workflow = flow({"a": "agent", "d": "decision"}, "a > d", edge("d > d", max_visits=2))
    play = Play(workflow).done("a", {})
    assert play.state.edges["d>d"] == 2
    assert play.state.status == "completed"


# ── small things ─────────────────────────────────────────────────────────────────────────────


def test_conditions_see_outputs_visits_policies_and_inputs() -> None:
    play = Play(text="Explain tea", context={"tone": "short"}).to_building()
    names = variables(play.workflow, play.state)
    assert names["planner"] == plan()
    assert names["visits"] == {
        "researcher": 1,
        "planner": 1,
        "plan_approval": 1,
        "builder": 1,
        "reviewer": 0,
        "quality": 0,
        "finish": 0,
    }
    assert names["policies"]["min_score"] == 7
    assert names["inputs"] == {"tone": "short", "text": "Explain tea"}
    assert "builder" not in names


def test_a_persons_context_cannot_shadow_the_text() -> None:
    play = Play(text="real", context={"text": "forged"})
    assert variables(play.workflow, play.state)["inputs"]["text"] == "real"


def test_start_names_the_first_node() -> None:
    play = Play(flow({"a": "agent", "b": "agent"}, "b > a", start="b"))
    assert play.working() == ["b"]


def test_a_decision_takes_the_first_edge_that_fits() -> None:
    nodes = {"a": "agent", "d": "decision", "b": "agent", "c": "agent"}
    ways = [edge("d > b", when="a.x > 5"), edge("d > c", when="a.x > 1"), edge("d > b")]
    workflow = flow(nodes, "a > d", *ways)
    assert Play(workflow).done("a", {"x": 9}).working() == ["b"]
    assert Play(workflow).done("a", {"x": 3}).working() == ["c"]
    assert Play(workflow).done("a", {"x": 0}).working() == ["b"]


def test_any_other_node_takes_every_edge_that_fits() -> None:
    nodes = {"a": "agent", "b": "agent", "c": "agent"}
    workflow = flow(nodes, edge("a > b", when="a.x > 5"), edge("a > c", when="a.x > 1"))
    assert Play(workflow).done("a", {"x": 9}).working() == ["b", "c"]
    assert Play(workflow).done("a", {"x": 3}).working() == ["c"]
    assert Play(workflow).done("a", {"x": 0}).state.status == "completed"


def test_expired_question_is_resolved_before_anything_else() -> None:
    play = Play().to_approval()
    play.now += timedelta(days=1)
    (move,) = moves(play.workflow, play.state, play.now)
    assert isinstance(move, Resolve)
    assert move.expired


def test_finished_run_makes_no_moves() -> None:
    play = Play().to_end()
    assert moves(play.workflow, play.state, play.now + timedelta(days=9)) == []
    assert not any(isinstance(m, Finish) for m in moves(quartet(), Play().state, NOW))
