"""A team as people see it: its card, its form, its members' lines, who said what to whom."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import AgentRow, FactsPart, NotesPart
from bot.team_cards import edited_team, member_rows, talk_lines, team_fields, team_parts
from config.documents import read_model
from orchestrator.artifacts import TeamPlan
from orchestrator.events import AgentAssigned, Json, RunStarted
from orchestrator.inputs import checked
from orchestrator.workflow import Workflow
from tests.builders import ROOT, Play, created, flow, plan, quartet

LINE = re.compile(r"([A-Za-z0-9_-]+) \(to ([A-Za-z0-9_-]+)\): (.+)", re.DOTALL)


def member(name: str, agent: str = "builder", **more: Any) -> Json:
    made: Json = {"role": f"is {name}", "instructions": f"Be {name}.", "tools": []}
    return {"name": name, "agent": agent, **made, **more}


def team(*members: Json, **more: Any) -> Json:
    made = {"goal": "Explain tea", "members": list(members) or [member("Ann"), member("Ben")]}
    return TeamPlan.model_validate(made | more).model_dump(mode="json")


def shipped(name: str) -> Workflow:
    return read_model(ROOT / "config" / "workflows" / f"{name}.yaml", Workflow)


def turn(play: Play, node: str, output: Json, *, agent: str, name: str = "") -> Play:
    """A step of a node whose agent the run itself names."""
    now = play.state.nodes[node]
    play.say(AgentAssigned(node=node, visit=now.visit, attempt=now.attempt, agent=agent, member=name))
    return play.done(node, output)


def report(body: str) -> Json:
    return {"body": body, "outcome": "done", "issues": [], "items": [], "files": []}


def chosen(name: str = "", task: str = "", *, done: bool = False) -> Json:
    return {"member": name, "task": task, "done": done, "reason": "all is there" if done else ""}


def begun(workflow: Workflow) -> Play:
    """A run with the inputs that the workflow gives by itself."""
    play = Play(workflow, started=False)
    play.events.clear()
    play.states.clear()
    play.add(created(workflow).model_copy(update={"inputs": checked(workflow, {})}))
    return play.say(RunStarted())


def lines(play: Play) -> tuple[AgentRow, ...]:
    rows = member_rows(play.workflow, play.state)
    assert rows is not None
    return rows


def in_team(the_team: Json) -> Play:
    return begun(shipped("team")).done("assemble", the_team).decide("approve")


# ── the card ─────────────────────────────────────────────────────────────────────────────────


def test_the_card_shows_goal_rules_and_each_member_with_instructions_and_tools() -> None:
    parts = team_parts(
        team(
            member("Ann", "researcher", tools=["web_search", "page_fetch"]),
            member("Ben", instructions="Write.\nThen read it again."),
            speaking="in_turn",
            rounds=4,
            done_when="it is written",
        )
    )
    assert parts is not None
    facts, ann, ben = parts
    assert isinstance(facts, FactsPart)
    assert dict(facts.facts) == {
        "Goal": "Explain tea",
        "Members": "2",
        "They speak": "in turn, in this order",
        "Turns at most": "4",
        "Done when": "it is written",
    }
    assert isinstance(ann, NotesPart)
    assert ann.title == "Ann (researcher): is Ann"
    assert ann.notes == ("Be Ann.", "Tools: web_search, page_fetch")
    assert isinstance(ben, NotesPart)
    assert ben.notes == ("Write.\nThen read it again.", "Tools: all that builder has")


@pytest.mark.parametrize("other", [{}, plan(), {"members": "me"}, {"members": [], "goal": "x"}])
def test_what_is_no_team_is_not_drawn_as_one(other: Json) -> None:
    assert team_parts(other) is None
    assert team_fields(other) is None
    assert edited_team(other, {})[0] is None


# ── the form ─────────────────────────────────────────────────────────────────────────────────


def sent(the_team: Json, **changes: str) -> dict[str, str]:
    return {f.name: f.value for f in team_fields(the_team) or ()} | changes


def test_new_instructions_are_what_the_member_gets() -> None:
    before = team()
    after, errors = edited_team(before, sent(before, goal="Explain green tea", member_2="Be brief."))
    assert errors == {}
    assert after is not None
    assert after["goal"] == "Explain green tea"
    assert [m["instructions"] for m in after["members"]] == ["Be Ann.", "Be brief."]


def test_a_member_without_instructions_leaves_the_team() -> None:
    before = team()
    after, _ = edited_team(before, sent(before, member_1=" "))
    assert after is not None
    assert [m["name"] for m in after["members"]] == ["Ben"]


def test_a_team_of_nobody_without_goal_is_sent_back_by_field() -> None:
    before = team()
    after, errors = edited_team(before, sent(before, goal=" ", member_1="", member_2="x" * 10_000))
    assert after is None
    assert set(errors) == {"goal", "member_2"}
    assert "4,000" in errors["member_2"]
    assert set(edited_team(before, sent(before, member_1="", member_2=""))[1]) == {"member_1"}


@given(st.text(min_size=1, max_size=80), st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=8))
def test_sending_the_form_back_as_it_is_changes_nothing(goal: str, texts: list[str]) -> None:
    before = team(*(member(f"M{n}", instructions=text) for n, text in enumerate(texts)), goal=goal)
    if not goal.strip():
        assert "goal" in edited_team(before, sent(before))[1]
        return
    as_sent = {name: value.replace("\n", "\r\n") for name, value in sent(before).items()}
    assert edited_team(before, as_sent) == (before, {})


# ── the members' lines ───────────────────────────────────────────────────────────────────────


def test_every_member_has_a_line_from_the_moment_the_team_is_there() -> None:
    play = in_team(team())
    rows = member_rows(play.workflow, play.state)
    assert rows is not None
    assert [(r.name, r.state, r.doing) for r in rows] == [
        ("Ann", "waiting", "is Ann"),
        ("Ben", "waiting", "is Ben"),
    ]


def test_the_lines_say_who_works_who_is_done_and_how_often() -> None:
    play = in_team(team())
    play.done("next", chosen("Ben", "begin"))
    turn(play, "member", report("first"), agent="builder", name="Ben")
    play.done("next", chosen("Ben", "go on"))
    now = play.state.nodes["member"]
    play.say(AgentAssigned(node="member", visit=now.visit, attempt=1, agent="builder", member="Ben"))
    play.called("member", tokens=10)
    ann, ben = lines(play)
    assert (ann.name, ann.state) == ("Ann", "waiting")
    assert (ben.state, ben.doing, ben.tokens) == ("working", "is Ben, turn 2", 20)
    assert ben.since is not None
    play.done("member", report("second")).done("next", chosen(done=True)).done("wrap_up", report("tea"))
    ann, ben = lines(play)
    assert (ann.state, ben.state, ben.doing) == ("skipped", "done", "is Ben, 2 turns")


def test_a_member_that_fails_says_why() -> None:
    play = in_team(team()).done("next", chosen("Ann", "begin"))
    play.say(AgentAssigned(node="member", visit=1, attempt=1, agent="builder", member="Ann"))
    play.fail("member", "the model said no")
    ann, _ = lines(play)
    assert ann.state == "failed"
    assert "the model said no" in ann.doing


def test_without_a_plan_those_who_worked_have_lines_by_their_agents_names() -> None:
    play = begun(shipped("supervised"))
    assert member_rows(play.workflow, play.state) is None
    play.done("coordinator", chosen("qa", "test it"))
    turn(play, "worker", report("tested"), agent="qa")
    assert [(r.name, r.state) for r in member_rows(play.workflow, play.state) or ()] == [("qa", "done")]


def test_a_run_without_a_team_has_no_such_lines() -> None:
    play = Play(quartet()).to_end()
    assert member_rows(play.workflow, play.state) is None
    assert talk_lines(play.workflow, play.state) == ()


# ── the talk ─────────────────────────────────────────────────────────────────────────────────


def test_the_talk_says_who_said_what_to_whom() -> None:
    play = in_team(team()).done("next", chosen("Ann", "Find leaves."))
    turn(play, "member", report("Leaves found."), agent="researcher", name="Ann")
    play.done("next", chosen(done=True)).done("wrap_up", report("Tea is leaves."))
    assert talk_lines(play.workflow, play.state) == (
        "team_builder (to user): Explain tea: Ann (is Ann), Ben (is Ben)",
        "coordinator (to Ann): Find leaves.",
        "Ann (to coordinator): Leaves found.",
        "coordinator (to user): all is there",
        "wrap_up (to user): Tea is leaves.",
    )


def test_in_turn_members_speak_to_the_team() -> None:
    play = in_team(team(speaking="in_turn", rounds=2))
    turn(play, "in_turn", report("one"), agent="builder", name="Ann")
    turn(play, "in_turn", report("two"), agent="builder", name="Ben")
    play.done("wrap_up", report("tea"))
    assert talk_lines(play.workflow, play.state)[1:3] == ("Ann (to team): one", "Ben (to team): two")


def test_the_talk_shows_the_team_as_people_left_it() -> None:
    play = begun(shipped("team")).done("assemble", team())
    play.decide("edit", edited=team(member("Zoe")))
    assert talk_lines(play.workflow, play.state)[0] == "team_builder (to user): Explain tea: Zoe (is Zoe)"


@given(st.text(min_size=1, max_size=40), st.text(max_size=100))
def test_whatever_names_and_texts_are_the_lines_can_be_read(name: str, text: str) -> None:
    nodes = {
        "boss": {"kind": "agent", "agent": "coordinator"},
        "worker": {"kind": "agent", "agent_from": "boss.member"},
    }
    play = Play(flow(nodes, "boss > worker")).done("boss", chosen(name, text))
    turn(play, "worker", report(text), agent=name)
    talk = talk_lines(play.workflow, play.state)
    assert len(talk) == 2
    for line in talk:
        assert LINE.fullmatch(line) is not None, line
