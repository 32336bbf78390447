"""The lines of any workflow's run: maps, workflows inside, failures, and sixty steps on one card."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.contract import AgentRow, Card, FactsPart, RowsPart
from bot.presenter import present
from bot.rows import MOST_BUSY, MOST_ROWS, doing_line, rows
from orchestrator.events import AgentAssigned, ApprovalResolved, Forked, RunId
from orchestrator.workflow import Workflow
from tests.builders import NOW, Play, created, flow
from tests.unit.bot.test_presenter import HOSTILE

TITLES = {"builder": "Builder", "reviewer": "Reviewer", "security": "Security agent"}


def lines(play: Play, **doing: str) -> dict[str, AgentRow]:
    found = rows(play.workflow, play.state, titles=TITLES, doing=doing)
    assert len({row.name for row in found}) == len(found)
    return {row.name: row for row in found}


def states(play: Play) -> dict[str, str]:
    return {name: row.state for name, row in lines(play).items()}


def mapped(**more: Any) -> Workflow:
    node = {"kind": "map", "over": "split.items", "agent": "builder", "title": "Modules"} | more
    return flow({"split": "agent", "each": node}, "split > each")


def test_step_bears_its_agents_name_only_where_it_is_named_after_it() -> None:
    workflow = flow(
        {"builder": "agent", "fix_it": {"kind": "agent", "agent": "builder"},
         "last": {"kind": "agent", "agent": "builder", "title": "Once more"}},
        "builder > fix_it", "fix_it > last",
    )  # fmt: skip
    assert list(lines(Play(workflow))) == ["Builder", "Fix it", "Once more"]


def test_decisions_have_no_line_and_questions_do() -> None:
    ask = {"kind": "input", "question": "Which?", "title": "Version"}
    workflow = flow({"ask": ask, "way": "decision", "builder": "agent"}, "ask > way", "way > builder")
    assert states(Play(workflow)) == {"Version": "asking", "Builder": "waiting"}


@pytest.mark.parametrize(
    ("outcome", "told"), [("reject", "rejected"), ("expired", "not answered in time"), ("edit", "")]
)
def test_a_question_without_an_answer_is_not_done(outcome: Any, told: str) -> None:
    ask = {"kind": "input", "question": "Which?", "title": "Version"}
    play = Play(flow({"ask": ask, "builder": "agent"}, "ask > builder"))
    [approval] = play.state.approvals.values()
    play.add(
        ApprovalResolved(
            node="ask", visit=1, approval_id=approval.asked.approval_id, outcome=outcome, output={"text": "1"}
        )
    )
    row = lines(play)["Version"]
    assert (row.state, row.doing) == ("skipped" if told else "done", told)


def test_whoever_was_assigned_is_named() -> None:
    workflow = flow({"check": {"kind": "agent", "requires": ["security"], "title": "Check"}})
    play = Play(workflow)
    play.add(AgentAssigned(node="check", visit=1, attempt=1, agent="security"))
    assert lines(play, check="reading")["Check"].doing == "reading, by Security agent"


def test_map_is_one_line_that_counts() -> None:
    play = Play(mapped(on_item_error="continue"))
    assert states(play) == {"Split": "working", "Modules": "waiting"}
    play.done("split", {"items": ["a", "b", "c", "d", "e"]})
    row = lines(play, **{"each[1]": "writing b"})["Modules"]
    assert row.state == "working"
    assert row.doing == "0 of 5 done, item 1; item 2: writing b; item 3; and 1 more at work"
    play.done("each[0]", {"body": "A"}).fail("each[1]", "broke")
    assert lines(play)["Modules"].doing.startswith("1 of 5 done, 1 failed, item 3")
    for n in (2, 3, 4):
        play.called(f"each[{n}]", tokens=10, cost=0.5).done(f"each[{n}]", {"body": "x"})
    done = lines(play)["Modules"]
    assert (done.state, done.tokens, done.cost_usd) == ("done", 60, 1.5)
    assert done.doing.startswith("4 of 5 done, 1 failed")


def inside() -> Workflow:
    inner = flow({"security": "agent", "style": "agent"}, strategy="parallel", name="review")
    outer = flow(
        {"builder": "agent", "review": {"kind": "workflow", "workflow": "review"}}, "builder > review"
    )
    return outer.model_copy(update={"workflows": {"review": inner}})


def test_workflow_inside_is_one_line_before_it_begins_and_its_steps_afterwards() -> None:
    play = Play(inside())
    assert states(play) == {"Builder": "working", "Review": "waiting"}
    play.done("builder", {"body": "x"})
    assert states(play) == {
        "Builder": "done",
        "Review › Security agent": "working",
        "Review › Style": "working",
    }
    play.done("review/security", {"body": "fine"})
    assert states(play)["Review › Security agent"] == "done"
    doing = {"review/style": "reading"}
    assert doing_line(play.workflow, play.state, titles=TITLES, doing=doing) == "Review › Style: reading"


def test_error_handlers_are_shown_once_something_failed() -> None:
    workflow = flow(
        {"builder": "agent", "rescue": {"kind": "error_handler", "agent": "reviewer"}},
        {"from": "builder", "to": "rescue", "on": "error"},
    )
    play = Play(workflow)
    assert states(play) == {"Builder": "working"}
    play.fail("builder", "broke")
    assert states(play) == {"Builder": "failed", "Rescue": "working"}


def test_long_failure_does_not_fill_the_card() -> None:
    workflow = flow(
        {"builder": "agent", "rescue": {"kind": "error_handler", "agent": "reviewer"}},
        {"from": "builder", "to": "rescue", "on": "error"},
    )
    play = Play(workflow).fail("builder", "x" * 10_000)
    assert len(lines(play)["Builder"].doing) <= 400


# ── many steps ───────────────────────────────────────────────────────────────────────────────


def long_row(count: int, **more: Any) -> Workflow:
    nodes: dict[str, Any] = {
        f"s{n:03d}": {"kind": "agent", "agent": "a", "title": f"Step {n}"} for n in range(count)
    }
    return flow(nodes, strategy=more.pop("strategy", "sequential"), **more)


@pytest.mark.parametrize("count", [60, 500])
def test_card_of_many_steps_stays_short_and_counts_all(count: int) -> None:
    play = Play(long_row(count, policies={"max_steps": 1000}))
    for n in range(12):
        play.done(f"s{n:03d}", {"body": "x"})
    found = rows(play.workflow, play.state, titles={}, doing={})
    assert len(found) <= MOST_ROWS
    assert sum(row.stands_for for row in found) == count
    assert (found[0].name, found[0].state, found[0].stands_for) == ("12 steps", "done", 12)
    assert (found[1].name, found[1].state) == ("Step 12", "working")
    assert (found[2].name, found[2].state) == ("Step 13", "waiting")
    assert found[-1].state == "waiting"
    assert found[-1].name.endswith("more steps")


def test_what_failed_and_what_works_keeps_its_line() -> None:
    play = Play(long_row(60, strategy="parallel", policies={"on_failure": "continue", "max_concurrent": 60}))
    for n in range(40):
        play.done(f"s{n:03d}", {"body": "x"})
    play.fail("s055", "no disk")
    found = {row.name: row for row in rows(play.workflow, play.state, titles={}, doing={})}
    assert found["Step 55"].doing == "no disk"
    assert sum(row.state == "working" and row.stands_for == 1 for row in found.values()) == MOST_BUSY - 1
    assert sum(row.stands_for for row in found.values()) == 60
    assert len(found) <= MOST_ROWS


def test_hostile_titles_are_words_like_others() -> None:
    play = Play(flow({"a": {"kind": "agent", "agent": "a", "title": HOSTILE}}))
    assert list(lines(play)) == [HOSTILE]


# ── facts ────────────────────────────────────────────────────────────────────────────────────


def status_facts(**more: Any) -> dict[str, str]:
    workflow = flow({"a": "agent"})
    play = Play(workflow)
    begun = created(workflow).model_copy(update=more)
    play = Play.__new__(Play)
    play.run_id, play.workflow, play.now, play.events, play.states = RunId("r"), workflow, NOW, [], []
    play.add(begun)
    cards: list[Card] = present(workflow, play.state, titles={}, doing={})
    (part,) = [p for p in cards[0].parts if isinstance(p, FactsPart)]
    assert any(isinstance(p, RowsPart) for p in cards[0].parts)
    return dict(part.facts)


def test_what_was_asked_for_is_said() -> None:
    plain = status_facts()
    assert not plain.keys() & {"Priority", "Deadline", "Forked from", "Inputs"}
    told = status_facts(
        priority="critical",
        deadline=NOW,
        forked=Forked(run_id=RunId("rold"), node="builder", visit=1),
        inputs={"environment": "production", "dry": True, "tags": ["a", "b"], "long": "x" * 1_000},
    )
    assert told["Priority"] == "critical"
    assert told["Deadline"] == "2026-01-02 03:04 UTC"
    assert told["Forked from"] == "rold at builder"
    assert told["Inputs"].startswith('environment production, dry yes, tags ["a", "b"], long xxx')
    assert len(told["Inputs"]) < 300
