"""Executions and the events of their stream, made of a run's log."""

from __future__ import annotations

from datetime import timedelta

from bot.api.execute_models import GoalIn
from bot.api.execute_views import about, execution, outcome, sent
from config.documents import read_model
from config.paths import WORKFLOWS_DIR
from orchestrator.events import ApiCall, RunCreated, RunEvent
from orchestrator.workflow import Workflow
from tests.builders import Play, brief, draft, plan, review, task
from tests.unit.bot.executions import FINISHED, played

WORKFLOW = read_model(WORKFLOWS_DIR / "goal.yaml", Workflow)


def test_before_there_is_a_plan_the_goal_names_it() -> None:
    shown = execution(played(FINISHED[:1]).state, WORKFLOW, played(()).now)
    assert shown.status == "running"
    assert shown.plan.title == "Explain tea"
    assert shown.plan.steps == []


def test_time_is_counted_in_milliseconds_until_now_or_the_end() -> None:
    play = played(FINISHED[:2])
    assert execution(play.state, WORKFLOW, play.now + timedelta(seconds=1.5)).executionTime == 1500
    play = played(FINISHED)
    ended = execution(play.state, WORKFLOW, play.now + timedelta(hours=1))
    assert ended.executionTime == 0
    assert ended.status == "completed"


def test_steps_of_the_plan_have_the_status_of_their_item() -> None:
    play = played(FINISHED[:3])
    steps = execution(play.state, WORKFLOW, play.now).plan.steps
    assert [(s.id, s.status) for s in steps] == [("a", "completed"), ("b", "running")]
    assert steps[1].description == "After: a."


def test_what_a_stop_cuts_off_is_failed_and_what_never_began_is_pending() -> None:
    play = played(FINISHED[:2]).stop()
    shown = execution(play.state, WORKFLOW, play.now)
    assert [s.status for s in shown.plan.steps] == ["failed", "pending"]
    assert shown.status == "failed"
    assert shown.error is not None
    assert "stopped" in shown.error
    assert "running" not in {t.status for t in shown.tasks}


def test_a_step_that_is_tried_again_stays_one_task() -> None:
    play = Play(WORKFLOW).fail("research", retryable=True)
    play.wait(5)
    [only] = execution(play.state, WORKFLOW, play.now).tasks
    assert (only.id, only.tool, only.status) == ("research:1", "researcher", "running")


def test_an_answer_that_is_written_again_is_a_second_task() -> None:
    play = played([*FINISHED[:5], ("review", review(3.0))])
    ids = [t.id for t in execution(play.state, WORKFLOW, play.now).tasks]
    assert ids[-3:] == ["answer:1", "review:1", "answer:2"]


def test_files_of_tasks_are_kept_and_the_answer_has_the_last_word() -> None:
    made = {"name": "x.txt", "media_type": "text/plain", "text": "old"}
    steps = list(FINISHED)
    steps[2] = ("work[0]", draft(files=[made, {**made, "name": "y.txt"}, {"no": "file"}]))
    steps[4] = ("answer", draft(files=[{**made, "text": "new"}]))
    found = outcome(played(steps).state, WORKFLOW, played(()).now)
    assert {f.name: f.text for f in found.files} == {"x.txt": "new", "y.txt": "old"}
    assert found.result is not None


def test_the_goal_is_given_back_as_it_was_sent() -> None:
    goal = GoalIn.model_validate({"title": "T", "description": None, "constraints": "one", "more": 1})
    play = played(())
    first = play.events[0].body
    assert isinstance(first, RunCreated)
    call = ApiCall(about=about(goal, "simple", 1))
    body = first.model_copy(update={"turn": first.turn.model_copy(update={"call": call})})
    again = Play(WORKFLOW)
    again.events.clear()
    again.states.clear()
    again.add(body)
    assert execution(again.state, WORKFLOW, again.now).goal == goal


def _stream(play: Play) -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    before = None
    for state, event in zip(play.states, play.events, strict=True):
        found += [(one.seq, one.part, one.event) for one in sent(before, state, event, WORKFLOW)]
        before = state
    return found


def test_events_of_the_stream_are_in_order_and_done_is_the_last() -> None:
    found = _stream(played(FINISHED))
    positions = [(seq, part) for seq, part, _ in found]
    assert positions == sorted(set(positions))
    assert [event for _, _, event in found].count("done") == 1
    assert found[-1][2] == "done"


def test_what_changes_nothing_that_is_shown_is_no_update() -> None:
    play = played(FINISHED)
    updates = {seq for seq, _, event in _stream(play) if event == "update"}
    assert 1 in updates
    assert len(updates) < len(play.events)


def test_words_after_the_end_make_no_events() -> None:
    play = played(FINISHED)
    late = RunEvent(play.run_id, len(play.events) + 1, play.now, play.events[1].body)
    assert list(sent(play.state, play.state, late, WORKFLOW)) == []


def test_a_plan_of_another_shape_is_no_plan_and_breaks_nothing() -> None:
    play = Play(WORKFLOW).done("research", brief()).done("plan", {"tasks": [task("a")], "own": True})
    assert execution(play.state, WORKFLOW, play.now).plan.steps == []
    assert plan()["goal"]
