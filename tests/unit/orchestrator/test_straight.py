"""The short way from one step to the next: taken where nothing hinders, and never another than the long one.

That it leads to the same is checked by `Play.say` whenever it is there, in all tests that play runs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from orchestrator.engine.straight import begun, onward
from orchestrator.events import (
    ENDED,
    DecisionGiven,
    ModelRetried,
    PauseRequested,
    ResumeRequested,
    RunPaused,
    RunStarted,
    Steered,
    StepEnded,
    StepStarted,
    StopRequested,
)
from orchestrator.workflow import Workflow
from tests.builders import ADA, NOW, Play, brief, draft, edge, flow, plan, quartet, review


def line(**more: object) -> Workflow:
    return flow({"a": "agent", "b": "agent", "c": "agent"}, "a > b", "b > c", **more)


def ended(play: Play, node: str) -> StepEnded:
    now = play.state.nodes[node]
    return StepEnded(node=node, visit=now.visit, attempt=now.attempt, output={}, seconds=2.0)


def test_steps_in_a_row_take_the_short_way_from_beginning_to_end() -> None:
    play = Play(line())
    for node in ("a", "b", "c"):
        play.called(node).done(node, draft())
    assert play.short == 4
    assert play.state.ended is not None
    assert play.state.ended.status == "completed"


def test_the_shipped_workflow_takes_it_between_its_agents() -> None:
    play = Play(quartet())
    play.done("researcher", brief()).done("planner", plan())
    [approval] = play.state.open_approvals()
    play.say(DecisionGiven(approval_id=approval.asked.approval_id, decision="approve", who=ADA))
    play.done("builder", draft()).done("reviewer", review(9))
    assert play.short == 3  # the beginning, to the planner, to the reviewer: settled approvals hinder nobody


def test_a_loop_takes_it_and_carries_on_what_earlier_visits_took() -> None:
    again = edge("c > a", when="visits.c < 3")
    play = Play(flow({"a": "agent", "b": "agent", "c": "agent"}, "a > b", "b > c", again))
    for visit in (1, 2, 3):
        for node in ("a", "b", "c"):
            play.say(ModelRetried(node=node, visit=visit, attempt=1, tries=1, status=429, delay_s=1))
            play.called(node).done(node, draft())
    assert play.short == 7
    node = play.state.nodes["b"]
    assert (node.visit, node.seconds, node.usage.calls, node.http_retries) == (3, 3.0, 3, 3)


def test_a_second_attempt_takes_it() -> None:
    play = Play(
        flow({"a": {"kind": "agent", "agent": "a", "retry": {"max_retries": 1}}, "b": "agent"}, "a > b")
    )
    play.fail("a", retryable=True).wait(600)
    play.done("a", draft())
    assert play.short == 2


def test_what_was_said_while_the_step_worked_was_heard_by_the_next() -> None:
    play = Play(line())
    play.say(Steered(key="k", text="shorter", who=ADA)).done("a", draft())
    assert play.short == 2
    assert play.state.heard == 1


HINDRANCES: dict[str, Callable[[Play], object]] = {
    "stopped": lambda play: play.add(StopRequested(who=ADA)),
    "pause asked for": lambda play: play.add(PauseRequested(who=ADA)),
    "paused": lambda play: play.add(PauseRequested(who=ADA), RunPaused()),
    "resume asked for": lambda play: play.add(PauseRequested(who=ADA), RunPaused(), ResumeRequested(who=ADA)),
    "deadline over": lambda play: setattr(play, "now", NOW + timedelta(hours=2)),
}


@pytest.mark.parametrize("hinder", HINDRANCES.values(), ids=HINDRANCES)
def test_where_somebody_hinders_the_long_way_is_gone(hinder: Callable[[Play], object]) -> None:
    play = Play(line(), deadline=NOW + timedelta(hours=1))
    assert onward(play.workflow, play.state, ended(play, "a"), play.now) is not None
    hinder(play)
    assert onward(play.workflow, play.state, ended(play, "a"), play.now) is None


BECAME = {
    "stopped": "stopped",
    "pause asked for": "paused",
    "paused": "paused",
    "resume asked for": "completed",
    "deadline over": "expired",
}


@pytest.mark.parametrize(
    ("hinder", "became"), [(HINDRANCES[h], BECAME[h]) for h in HINDRANCES], ids=HINDRANCES
)
def test_where_somebody_hinders_no_run_begins_or_comes_to_its_end(
    hinder: Callable[[Play], object], became: str
) -> None:
    fresh = Play(line(), started=False, deadline=NOW + timedelta(hours=1)).add(RunStarted())
    assert begun(fresh.workflow, fresh.state, fresh.now) is not None
    hinder(fresh)
    assert begun(fresh.workflow, fresh.state, fresh.now) is None
    play = Play(line(), deadline=NOW + timedelta(hours=1)).done("a", draft()).done("b", draft())
    assert onward(play.workflow, play.state, ended(play, "c"), play.now) is not None
    hinder(play)
    assert onward(play.workflow, play.state, ended(play, "c"), play.now) is None
    play.done("c", draft())
    assert play.state.status == became


@pytest.mark.parametrize(("wanted", "status", "short"), [("c", "completed", 2), ("b", "failed", 1)])
def test_a_run_that_lost_what_was_wanted_does_not_end_the_short_way(
    wanted: str, status: str, short: int
) -> None:
    nodes = {"a": "agent", "b": "agent", "c": "agent"}
    going_on = {"on_failure": "continue"}
    play = Play(flow(nodes, "a > b", "a > c", policies=going_on, answer={"draft": wanted}))
    play.done("a", draft()).fail("b").done("c", draft())
    assert play.state.ended is not None
    assert (play.state.ended.status, play.short) == (status, short)


def test_a_run_whose_first_step_is_not_an_agents_begins_the_long_way() -> None:
    for start in ("a", ["a", "b"]):
        play = Play(flow({"a": "decision", "b": "agent"}, "a > b", start=start))
        assert play.short == 0
        assert play.working() == ["b"]


@pytest.mark.parametrize(("policy", "called"), [({"max_steps": 1}, 0), ({"max_model_calls": 2}, 2)])
def test_at_the_limits_of_a_workflow_the_long_way_is_gone(policy: dict[str, int], called: int) -> None:
    play = Play(line(policies=policy))
    for _ in range(called):
        play.called("a")
    assert onward(play.workflow, play.state, ended(play, "a"), play.now) is None
    play.done("a", draft())
    assert play.state.ended is not None
    assert play.state.ended.status == "failed"


def test_a_fork_in_the_queue_does_not_go_on() -> None:
    play = Play(line(), started=False)
    play.add(StepStarted(node="a", visit=1, attempt=1))  # shared with the run that it comes from
    assert onward(play.workflow, play.state, ended(play, "a"), play.now) is None
    play.done("a", draft())
    assert play.working() == []
    play.say(RunStarted())
    assert play.working() == ["b"]


def test_an_end_that_is_not_of_the_attempt_under_way_leads_nowhere() -> None:
    play = Play(line())
    late = ended(play, "a").model_copy(update={"attempt": 2})
    assert onward(play.workflow, play.state, late, play.now) is None


@pytest.mark.parametrize(
    "workflow",
    [
        flow({"a": "agent", "b": "agent", "c": "agent"}, "a > b", "a > c"),
        flow({"a": "agent", "b": "agent", "c": "agent"}, edge("a > b", when="visits.a < 5"), "b > c"),
        flow({"a": "agent", "b": "approval of a"}, "a > b"),
        flow({"a": "agent", "b": "decision", "c": "agent"}, "a > b", "b > c"),
    ],
    ids=["two ways", "a condition", "people", "a decision"],
)
def test_where_more_than_one_thing_can_follow_the_long_way_is_gone(workflow: Workflow) -> None:
    play = Play(workflow)
    assert onward(workflow, play.state, ended(play, "a"), play.now) is None


def test_beside_other_branches_the_long_way_is_gone() -> None:
    nodes = {"s": "agent", "a": "agent", "b": "agent", "c": "agent", "d": "agent"}
    play = Play(flow(nodes, "s > a", "s > b", "a > c", "b > d"))
    play.done("s", draft())
    assert set(play.working()) == {"a", "b"}
    assert onward(play.workflow, play.state, ended(play, "a"), play.now) is None
    assert play.state.status not in ENDED
