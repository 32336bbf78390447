"""Nodes that work through others: maps, workflows inside of workflows, undoing; and questions for text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from orchestrator.events import GroupStarted, Json, StepEnded
from tests.builders import BOB, Play, edge, flow

PLANNED: Json = {"items": ["one", "two", "three", "four", "five"]}


def mapped(**more: Any) -> Play:
    each: Json = {"kind": "map", "over": "plan.items", "agent": "worker", "max_concurrent": 2, **more}
    return Play(flow({"plan": "agent", "each": each, "sum": "agent"}, "plan > each", "each > sum"))


def test_a_map_works_on_each_item_so_many_at_once() -> None:
    play = mapped().done("plan", PLANNED)
    assert play.working() == ["each[0]", "each[1]"]
    play.done("each[1]", {"n": 1})
    assert play.working() == ["each[0]", "each[2]"]
    for name in ("each[0]", "each[2]", "each[3]", "each[4]"):
        play.done(name, {"n": int(name[5])})
    assert play.working() == ["sum"]
    assert play.state.latest("each") == {"items": [{"n": n} for n in range(5)], "failed": []}
    assert play.done("sum", {"body": "all"}).state.status == "completed"


def test_a_map_over_nothing_is_done_at_once() -> None:
    play = mapped().done("plan", {"items": []})
    assert play.working() == ["sum"]
    assert play.state.latest("each") == {"items": [], "failed": []}


def test_a_failed_item_fails_the_map_when_the_others_at_work_have_ended() -> None:
    play = mapped().done("plan", PLANNED).fail("each[0]", "no luck")
    assert play.working() == ["each[1]"]
    play.done("each[1]", {})
    assert play.state.status == "failed"
    assert play.state.ended is not None
    assert play.state.ended.problem is not None
    assert play.state.ended.problem.message == "item 1 of 5: no luck"


def test_a_map_may_go_on_without_the_items_that_failed() -> None:
    play = mapped(on_item_error="continue", max_concurrent=5).done("plan", PLANNED)
    play.fail("each[3]", "no luck")
    for i in (0, 1, 2, 4):
        play.done(f"each[{i}]", {"n": i})
    output = play.state.latest("each")
    assert output is not None
    assert output["items"][3] is None
    assert output["failed"] == [{"index": 3, "problem": "no luck"}]
    assert play.working() == ["sum"]


def test_an_item_is_tried_again_as_its_map_says() -> None:
    play = mapped(retry={"max_retries": 1, "initial_delay": 5}).done("plan", PLANNED)
    play.fail("each[0]", retryable=True)
    assert play.state.nodes["each[0]"].status == "retrying"
    assert play.working() == ["each[1]"]
    play.wait(5)
    assert play.state.nodes["each[0]"].attempt == 2


def test_a_map_over_what_is_no_list_says_so() -> None:
    play = mapped().done("plan", {"items": "none"})
    assert play.state.ended is not None
    assert play.state.ended.problem is not None
    assert "is no list" in play.state.ended.problem.message


def test_a_map_in_a_loop_begins_anew() -> None:
    each: Json = {"kind": "map", "over": "plan.items", "agent": "worker", "max_concurrent": 9}
    ways = ("plan > each", "each > check", edge("check > plan", when="visits.plan < 2", max_visits=3))
    play = Play(flow({"plan": "agent", "each": each, "check": "decision"}, *ways))
    play.done("plan", {"items": [1, 2]}).done("each[0]", {"r": 1}).done("each[1]", {"r": 1})
    play.done("plan", {"items": [1]}).done("each[0]", {"r": 2})
    assert play.state.latest("each") == {"items": [{"r": 2}], "failed": []}
    assert play.state.status == "completed"


# ── workflows inside of workflows ────────────────────────────────────────────────────────────

REVIEW: Json = {
    "name": "review",
    "inputs": {"type": "object", "properties": {"what": {"type": "string"}, "deep": {"default": True}}},
    "nodes": {
        "look": {"kind": "agent", "agent": "a"},
        "again": {"kind": "decision"},
        "say": {"kind": "agent", "agent": "b", "task": "{{ inputs.what }}"},
    },
    "edges": [
        {"from": "look", "to": "again"},
        {"from": "again", "to": "look", "when": "not look.ok", "max_visits": 1},
        {"from": "again", "to": "say"},
    ],
    "answer": {"draft": "say"},
}


def nested(*more: str | Json, **fields: Any) -> Play:
    nodes: dict[str, str | Json] = {
        "start": "agent",
        "review": {"kind": "workflow", "workflow": "review", "inputs": {"what": "{{ start.title }}"}},
        "end": "agent",
    }
    return Play(
        flow(
            nodes | fields.pop("nodes", {}),
            "start > review",
            "review > end",
            *more,
            workflows={"review": REVIEW},
            **fields,
        )
    )


def test_a_workflow_runs_inside_of_another_with_inputs_and_names_of_its_own() -> None:
    play = nested().done("start", {"title": "Tea"})
    assert play.working() == ["review/look"]
    assert play.state.nodes["review"].status == "open"
    [begun] = [e.body for e in play.events if isinstance(e.body, GroupStarted)]
    assert begun.inputs == {"what": "Tea", "deep": True}
    play.done("review/look", {"ok": True}).done("review/say", {"body": "fine", "outcome": "good"})
    assert play.state.latest("review") == {"body": "fine", "outcome": "good"}
    assert play.working() == ["end"]
    assert play.done("end", {}).state.status == "completed"


def test_inputs_that_the_inner_workflow_does_not_take_fail_the_node() -> None:
    nodes: dict[str, str | Json] = {"in": {"kind": "workflow", "workflow": "review", "inputs": {"waht": "x"}}}
    play = Play(flow(nodes, workflows={"review": REVIEW}))
    assert play.state.ended is not None
    assert play.state.ended.problem is not None
    assert "waht" in play.state.ended.problem.message


def test_a_loop_inside_is_counted_there_and_anew_each_time() -> None:
    loop = ("review > check", edge("check > review", when="visits.review < 2", max_visits=5))
    nodes: dict[str, str | Json] = {
        "review": {"kind": "workflow", "workflow": "review", "inputs": {"what": "x"}},
        "check": "decision",
    }
    play = Play(flow(nodes, *loop, workflows={"review": REVIEW}))
    for round_ in (1, 2):
        play.done("review/look", {"ok": False})
        assert play.working() == ["review/look"], f"round {round_}"
        play.done("review/look", {"ok": False}).done("review/say", {"body": str(round_)})
    assert play.state.status == "completed"
    assert [o["body"] for o in play.state.outputs["review"]] == ["1", "2"]


def test_a_failure_inside_fails_the_node_outside_which_may_be_tried_again_or_handled() -> None:
    nodes: dict[str, str | Json] = {
        "review": {
            "kind": "workflow",
            "workflow": "review",
            "inputs": {"what": "x"},
            "retry": {"max_retries": 1, "initial_delay": 9},
        },
        "rescue": "error_handler",
    }
    workflow = flow(nodes, edge("review > rescue", on="error"), workflows={"review": REVIEW})
    play = Play(workflow).fail("review/look", "no luck")
    assert play.state.nodes["review"].status == "retrying"
    play.wait(9)
    assert play.working() == ["review/look"]
    play.fail("review/look", "no luck again")
    assert play.working() == ["rescue"]
    assert play.done("rescue", {"handled": {}}).state.status == "completed"


def test_a_question_inside_is_withdrawn_with_its_workflow() -> None:
    inner: Json = {
        "name": "inner",
        "strategy": "parallel",
        "nodes": {
            "work": {"kind": "agent", "agent": "a"},
            "ask": {"kind": "input", "question": "Which?"},
        },
    }
    outer = flow({"in": {"kind": "workflow", "workflow": "inner"}}, workflows={"inner": inner})
    play = Play(outer)
    assert play.approval().asked.node == "in/ask"
    assert "/" not in play.approval().asked.approval_id
    play.fail("in/work", "no luck")
    assert play.state.status == "failed"
    resolved = play.approval().resolved
    assert resolved is not None
    assert resolved.outcome == "withdrawn"
    assert play.state.open_approvals() == []


def test_a_map_runs_a_workflow_for_each_item() -> None:
    each: Json = {
        "kind": "map",
        "over": "inputs.names",
        "workflow": "review",
        "inputs": {"what": "{{ item }} at {{ index }}"},
    }
    play = Play(flow({"each": each}, workflows={"review": REVIEW}), run_inputs={"names": ["x", "y"]})
    assert play.working() == ["each[0]/look", "each[1]/look"]
    assert [g.inputs for n, g in play.state.groups.items() if n != "each"] == [
        {"what": "x at 0", "deep": True},
        {"what": "y at 1", "deep": True},
    ]
    for i in (0, 1):
        play.done(f"each[{i}]/look", {"ok": True}).done(f"each[{i}]/say", {"body": str(i)})
    assert play.state.status == "completed"
    assert play.state.latest("each") == {"items": [{"body": "0"}, {"body": "1"}], "failed": []}


def test_an_item_is_tried_again_alone_and_its_map_is_not() -> None:
    play = mapped(retry={"max_retries": 1, "initial_delay": 0}).done("plan", PLANNED)
    play.fail("each[0]", retryable=True)
    assert sorted(play.working()) == ["each[0]", "each[1]"]
    assert play.state.nodes["each[0]"].attempt == 2
    play.done("each[1]", {}).fail("each[0]", "no luck", retryable=True).done("each[2]", {})
    assert play.state.status == "failed"
    assert [s.node for s in play.state.steps if s.node == "each"] == ["each"]


def test_an_item_that_is_a_workflow_is_tried_again_as_one() -> None:
    each: Json = {
        "kind": "map",
        "over": "inputs.names",
        "workflow": "review",
        "inputs": {"what": "{{ item }}"},
        "retry": {"max_retries": 1, "initial_delay": 0},
    }
    workflow = flow({"each": each}, workflows={"review": REVIEW})
    play = Play(workflow, run_inputs={"names": ["x", "y"]}).fail("each[0]/look", "no luck")
    assert sorted(play.working()) == ["each[0]/look", "each[1]/look"]
    assert play.state.groups["each[0]"].inputs == {"what": "x", "deep": True}


def test_nothing_begins_inside_of_what_is_given_up_in_the_same_moment() -> None:
    each: Json = {"kind": "map", "over": "inputs.names", "agent": "a", "max_concurrent": 1}
    nodes: dict[str, str | Json] = {
        "a": "agent",
        "b": "agent",
        "m": each,
        "j": {"kind": "agent", "agent": "j", "join": "any"},
    }
    play = Play(flow(nodes, "a > b", "a > m", "b > j", "m > j"), run_inputs={"names": [1, 2, 3]})
    play.done("a", {})
    now = play.state.nodes["m[0]"]
    play.add(StepEnded(node="m[0]", visit=now.visit, attempt=now.attempt, output={}, seconds=0.1))
    play.done("b", {})
    assert play.working() == ["j"]
    assert play.state.nodes["m"].status == "skipped"


def test_what_was_undone_is_not_undone_again() -> None:
    nodes: dict[str, str | Json] = {
        "a": {"kind": "agent", "agent": "a", "compensation": "u"},
        "b": "agent",
        "c": "agent",
        "u": "agent",
        "h": {"kind": "error_handler", "compensate": True},
    }
    ways = ("a > b", edge("b > h", on="error"), edge("h > c", max_visits=1), edge("c > h", on="error"))
    play = Play(flow(nodes, *ways)).done("a", {}).fail("b").done("h[0]", {}).done("h", {}).fail("c")
    assert play.working() == ["h"]


# ── undoing ──────────────────────────────────────────────────────────────────────────────────


def deployment() -> Play:
    nodes: dict[str, str | Json] = {
        "database": {"kind": "agent", "agent": "a", "compensation": "restore"},
        "servers": {"kind": "agent", "agent": "a", "compensation": "rollback"},
        "check": "agent",
        "undo": {"kind": "error_handler", "compensate": True, "agent": "reporter"},
        "restore": "agent",
        "rollback": "agent",
    }
    ways = ("database > servers", "servers > check", edge("check > undo", on="error"))
    return Play(flow(nodes, *ways))


def test_what_was_done_is_undone_newest_first_before_the_handler_works() -> None:
    play = deployment().done("database", {"v": 1}).done("servers", {"v": 2}).fail("check", "unhealthy")
    assert play.working() == ["undo[0]"]
    assert [i["by"] for i in play.state.groups["undo"].items] == ["rollback", "restore"]
    play.done("undo[0]", {})
    assert play.working() == ["undo[1]"]
    play.done("undo[1]", {})
    assert play.working() == ["undo"]
    assert play.done("undo", {"body": "rolled back"}).state.status == "completed"
    assert sum(s.node == "undo" for s in play.state.steps) == 1


def test_only_what_was_done_is_undone_and_a_failure_to_undo_does_not_hold_up_the_rest() -> None:
    play = deployment().done("database", {}).done("servers", {}).fail("check").fail("undo[0]", "stuck")
    assert play.working() == ["undo[1]"]
    play.done("undo[1]", {})
    assert play.state.groups["undo"].failed == (0,)
    nothing = Play(
        flow(
            {"a": {"kind": "agent", "agent": "a", "compensation": "c"}, "h": "error_handler", "c": "agent"},
            edge("a > h", on="error"),
        )
    ).fail("a")
    assert nothing.working() == ["h"]


# ── questions ────────────────────────────────────────────────────────────────────────────────


def question(**more: Any) -> Play:
    ask: Json = {"kind": "input", "question": "Which {{ look.what }}?", **more}
    ways = ("look > ask", "ask > act")
    return Play(flow({"look": "agent", "ask": ask, "act": "agent"}, *ways)).done("look", {"what": "server"})


def test_a_question_for_text_is_answered_by_what_a_person_writes() -> None:
    play = question()
    asked = play.approval().asked
    assert (asked.wants, asked.body) == ("text", "Which server?")
    play.decide("approve", who=BOB)  # no text: does not count
    assert play.approval().decision is None
    play.decide("edit", who=BOB, edited={"text": "the blue one"})
    assert play.state.latest("ask") == {"text": "the blue one"}
    assert play.working() == ["act"]


def test_nobody_answers_in_time() -> None:
    assert question(expires_after=60).wait(61).state.status == "expired"
    play = question(expires_after=60, default="the first").wait(61)
    assert play.state.latest("ask") == {"text": "the first"}
    assert play.working() == ["act"]


def test_a_question_is_put_even_where_approvals_are_automatic() -> None:
    from orchestrator.events import RunSettings

    play = Play(
        flow({"ask": {"kind": "input", "question": "Which?"}}), settings=RunSettings(approvals="auto")
    )
    assert play.state.status == "waiting"


def test_approvers_come_from_an_input() -> None:
    nodes: dict[str, str | Json] = {
        "plan": "agent",
        "ok": {"kind": "approval", "of": "plan", "approvers_from": "inputs.approvers"},
    }
    workflow = flow(nodes, "plan > ok")
    play = Play(workflow, run_inputs={"approvers": "web:bob, web:eve"}).done("plan", {"goal": "x"})
    assert play.approval().asked.approvers == ("web:bob", "web:eve")


def test_whom_the_workflow_names_has_to_decide_even_where_approvals_are_automatic() -> None:
    from orchestrator.events import RunSettings

    nodes: dict[str, str | Json] = {
        "plan": "agent",
        "first": {"kind": "approval", "of": "plan"},
        "second": {"kind": "approval", "of": "plan", "approvers_from": "inputs.approvers"},
    }
    workflow = flow(nodes, "plan > first", "first > second")
    auto = RunSettings(approvals="auto", approvers=("web:eve",))
    play = Play(workflow, run_inputs={"approvers": "web:bob"}, settings=auto).done("plan", {"goal": "x"})
    assert [a.asked.node for a in play.state.open_approvals()] == ["second"]
    assert (
        Play(workflow, run_inputs={"approvers": ""}, settings=auto).done("plan", {}).state.ended is not None
    )


# ── deadlines ────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_is_not_done_by_its_deadline_expires() -> None:
    from orchestrator.engine.moves import next_time
    from tests.builders import NOW

    play = Play(flow({"a": "agent"}), deadline=NOW + timedelta(hours=1))
    assert next_time(play.state) == NOW + timedelta(hours=1)
    assert play.wait(3599).state.status == "running"
    assert play.wait(1).state.status == "expired"
    queued = Play(flow({"a": "agent"}), deadline=NOW + timedelta(hours=1), started=False)
    assert queued.wait(3600).state.status == "expired"


def test_step_ends_of_a_group_that_was_closed_change_nothing() -> None:
    play = mapped(max_concurrent=5).done("plan", PLANNED)
    for i in (1, 2, 3, 4):
        play.done(f"each[{i}]", {})
    play.fail("each[0]", "no luck")
    assert play.state.status == "failed"
    before = play.state
    late = StepEnded(node="each[0]", visit=1, attempt=1, output={"late": True}, seconds=1.0)
    play.add(late)
    assert play.state.outputs == before.outputs
