"""Branches side by side: where they begin, where they meet, what a failure means for the others."""

from __future__ import annotations

import pytest

from orchestrator.events import EdgesTaken, Json, StepSkipped
from tests.builders import Play, edge, flow

DIAMOND = {"a": "agent", "b": "agent", "c": "agent", "d": "agent"}
WAYS = ("a > b", "a > c", "b > d", "c > d")


def skipped(play: Play) -> list[str]:
    return [e.body.node for e in play.events if isinstance(e.body, StepSkipped)]


def began(play: Play, node: str) -> int:
    return sum(1 for s in play.state.steps if s.node == node)


def test_a_join_waits_for_all_of_its_branches_and_begins_once() -> None:
    play = Play(flow(DIAMOND, *WAYS)).done("a", {})
    assert play.working() == ["b", "c"]
    assert play.done("b", {}).working() == ["c"]
    assert play.done("c", {}).working() == ["d"]
    assert play.done("d", {"body": "x"}).state.status == "completed"
    assert began(play, "d") == 1


def test_a_branch_that_went_elsewhere_is_not_waited_for() -> None:
    nodes = {**DIAMOND, "e": "agent"}
    ways = ("a > b", "a > c", edge("b > d", when="b.ok"), edge("b > e", when="not b.ok"), "c > d")
    play = Play(flow(nodes, *ways)).done("a", {}).done("c", {})
    assert play.working() == ["b"]
    play.done("b", {"ok": False})
    assert sorted(play.working()) == ["d", "e"]


def test_branches_may_have_any_length_and_meet_in_steps() -> None:
    nodes = dict.fromkeys(["a", "b", "c", "d", "e", "f", "g"], "agent")
    ways = ("a > b", "a > c", "a > d", "b > e", "c > e", "e > f", "f > g", "d > g")
    play = Play(flow(nodes, *ways)).done("a", {}).done("d", {})
    for name in ("b", "c", "e", "f"):
        assert "g" not in play.working()
        play.done(name, {})
    assert play.working() == ["g"]


def test_an_if_without_an_else_meets_what_went_beside_it() -> None:
    nodes = {"a": "agent", "ask": "decision", "b": "agent", "c": "agent"}
    ways = ("a > ask", edge("ask > b", when="a.long"), "ask > c", "b > c")
    assert Play(flow(nodes, *ways)).done("a", {"long": False}).working() == ["c"]
    play = Play(flow(nodes, *ways)).done("a", {"long": True})
    assert play.working() == ["b"]
    assert play.done("b", {}).working() == ["c"]


def test_a_loop_back_into_a_join_begins_it_again_with_one_branch() -> None:
    nodes = {**DIAMOND, "check": "decision"}
    ways = (*WAYS, "d > check", edge("check > b", when="not d.ok", max_visits=2))
    play = Play(flow(nodes, *ways)).done("a", {}).done("b", {}).done("c", {}).done("d", {"ok": False})
    assert play.working() == ["b"]
    play.done("b", {})
    assert play.working() == ["d"]
    assert play.done("d", {"ok": True}).state.status == "completed"
    assert (began(play, "b"), began(play, "c"), began(play, "d")) == (2, 1, 2)


def test_branches_that_lead_to_each_other_come_to_an_end() -> None:
    nodes = dict.fromkeys(["a", "b", "c", "x", "y"], "agent")
    ways = ("a > b", "a > c", "b > x", "c > y", edge("x > y", max_visits=1), edge("y > x", max_visits=1))
    play = Play(flow(nodes, *ways)).done("a", {}).done("b", {}).done("c", {})
    assert play.working() == ["x"]  # y waits for it
    assert play.done("x", {}).working() == ["y"]
    assert play.done("y", {}).working() == ["x"]
    assert play.done("x", {}).state.status == "completed"
    assert (began(play, "x"), began(play, "y")) == (2, 1)


def test_several_nodes_may_begin_a_run() -> None:
    play = Play(flow({"a": "agent", "b": "agent", "c": "agent"}, "a > c", "b > c", start=["a", "b"]))
    assert play.working() == ["a", "b"]
    assert play.done("b", {}).done("a", {}).working() == ["c"]


@pytest.mark.parametrize("order", ["bc", "cb"])
def test_the_first_of_any_goes_on_and_what_leads_only_there_is_given_up(order: str) -> None:
    nodes: dict[str, str | Json] = {**DIAMOND, "d": {"kind": "agent", "agent": "d", "join": "any"}}
    play = Play(flow(nodes, *WAYS)).done("a", {}).done(order[0], {"who": order[0]})
    assert play.working() == ["d"]
    assert skipped(play) == [order[1]]
    assert play.state.nodes[order[1]].status == "skipped"
    assert play.done("d", {}).state.status == "completed"
    assert began(play, "d") == 1


def test_what_any_gives_up_takes_whatever_waits_behind_it_along() -> None:
    nodes: dict[str, str | Json] = {
        **dict.fromkeys(["a", "b", "c", "e", "f"], "agent"),
        "m": "agent",
        "d": {"kind": "agent", "agent": "d", "join": "any"},
    }
    ways = ("a > b", "a > c", "a > e", "b > d", "c > m", "e > m", "m > d")
    play = Play(flow({k: v for k, v in nodes.items() if k != "f"}, *ways)).done("a", {}).done("c", {})
    play.done("b", {})
    assert play.working() == ["d"]
    assert play.done("d", {}).state.status == "completed"
    assert began(play, "m") == 0


def test_a_late_branch_that_also_leads_elsewhere_goes_on_there() -> None:
    nodes: dict[str, str | Json] = {
        **DIAMOND,
        "e": "agent",
        "d": {"kind": "agent", "agent": "d", "join": "any"},
    }
    play = Play(flow(nodes, *WAYS, "c > e")).done("a", {}).done("b", {})
    assert sorted(play.working()) == ["c", "d"]
    play.done("d", {}).done("c", {})
    assert play.working() == ["e"]
    assert play.done("e", {}).state.status == "completed"
    assert began(play, "d") == 1


def test_two_of_three_are_enough() -> None:
    nodes: dict[str, str | Json] = {
        **dict.fromkeys(["a", "b", "c", "d"], "agent"),
        "e": {"kind": "agent", "agent": "e", "join": 2},
    }
    ways = ("a > b", "a > c", "a > d", "b > e", "c > e", "d > e")
    play = Play(flow(nodes, *ways)).done("a", {}).done("c", {})
    assert sorted(play.working()) == ["b", "d"]
    play.done("d", {})
    assert play.working() == ["e"]
    assert skipped(play) == ["b"]


def test_a_run_says_why_when_too_few_branches_can_arrive() -> None:
    nodes: dict[str, str | Json] = {
        **dict.fromkeys(["a", "b", "c", "x"], "agent"),
        "e": {"kind": "agent", "agent": "e", "join": 2},
    }
    ways = ("a > b", "a > c", "b > e", edge("c > e", when="c.ok"), edge("c > x", when="not c.ok"))
    play = Play(flow(nodes, *ways)).done("a", {}).done("b", {}).done("c", {"ok": False})
    ended = play.state.ended
    assert ended is not None
    assert ended.problem is not None
    assert "e needs 2 of its branches, and only 1 could arrive" in ended.problem.message


def test_a_failure_ends_the_run_and_what_works_beside_it() -> None:
    play = Play(flow(DIAMOND, *WAYS)).done("a", {}).fail("b", "no luck")
    assert play.state.status == "failed"
    assert play.state.nodes["c"].status == "failed"  # broken off with the run
    assert play.working() == []


def test_after_a_failure_the_others_go_on_where_the_workflow_says_so() -> None:
    nodes = {**DIAMOND, "e": "agent"}
    ways = ("a > b", "a > c", "b > d", "c > d", "c > e")
    play = Play(flow(nodes, *ways, policies={"on_failure": "continue"})).done("a", {}).fail("b", "no luck")
    assert play.working() == ["c"]
    play.done("c", {})
    assert play.working() == ["e"]
    assert skipped(play) == ["d"]
    play.done("e", {"body": "half of it"})
    assert play.state.status == "completed"
    ended = play.state.ended
    assert ended is not None
    assert ended.answer is not None
    assert ended.answer["notes"] == ["b failed: no luck"]


def test_a_run_of_which_nothing_worked_has_failed_whatever_it_says() -> None:
    workflow = flow({"a": "agent", "b": "agent"}, "a > b", policies={"on_failure": "continue"})
    play = Play(workflow).fail("a", "no luck")
    assert play.state.status == "failed"
    assert play.state.ended is not None
    assert play.state.ended.problem is not None
    assert play.state.ended.problem.message == "no luck"


def test_any_takes_the_branch_that_is_left_after_the_other_failed() -> None:
    nodes: dict[str, str | Json] = {**DIAMOND, "d": {"kind": "agent", "agent": "d", "join": "any"}}
    play = Play(flow(nodes, *WAYS, policies={"on_failure": "continue"})).done("a", {}).fail("b")
    assert play.working() == ["c"]
    assert play.done("c", {}).working() == ["d"]


def test_a_handler_takes_over_one_branch_while_the_other_goes_on() -> None:
    nodes = {**DIAMOND, "h": "error_handler"}
    play = Play(flow(nodes, *WAYS, edge("b > h", on="error"), "h > d")).done("a", {}).fail("b", "no luck")
    assert sorted(play.working()) == ["c", "h"]
    play.done("h", {"handled": {}}).done("c", {})
    assert play.working() == ["d"]


def test_a_paused_run_begins_no_branch() -> None:
    from orchestrator.events import PauseRequested, ResumeRequested
    from tests.builders import BOB

    play = Play(flow(DIAMOND, *WAYS)).say(PauseRequested(who=BOB)).done("a", {})
    assert play.working() == []
    assert play.say(ResumeRequested(who=BOB)).working() == ["b", "c"]


def test_many_ends_of_branches_are_taken_note_of() -> None:
    nodes = {"a": "agent", **{f"n{i}": "agent" for i in range(40)}}
    play = Play(flow(nodes, *(f"a > n{i}" for i in range(40)))).done("a", {})
    for i in range(40):
        play.done(f"n{i}", {})
    assert play.state.status == "completed"
    assert any(isinstance(e.body, EdgesTaken) and e.body.to == () for e in play.events)


def test_skipping_does_not_go_round_in_a_loop() -> None:
    nodes = {"a": "agent", "b": "agent", "q": "decision"}
    ways = ("a > b", "b > q", edge("q > a", when="b.again", max_visits=2))
    play = (
        Play(flow(nodes, *ways, policies={"on_failure": "continue", "max_steps": 20})).done("a", {}).fail("b")
    )
    assert play.state.status == "completed"
    assert (play.state.nodes["a"].visit, len(play.events) < 20) == (1, True)
