"""The team builder and the coordinator by rules: roles by the words of a task, one turn each, then done."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.documents import read_model
from orchestrator.agents.rules_team import (
    ARRANGING,
    BY_RULES,
    LARGEST,
    MOST,
    ROLES,
    Role,
    delegation,
    team_plan,
)
from orchestrator.agents.spec import AgentSpec
from orchestrator.artifacts import TeamPlan
from orchestrator.events import Json
from orchestrator.ports import AgentInfo, AgentStatus, Said
from tests.unit.agents.steps import step


def info(name: str, *capabilities: str, status: AgentStatus = "idle") -> AgentInfo:
    return AgentInfo(name, name.title(), capabilities, model="rules", tools=(), status=status)


def shipped() -> list[AgentInfo]:
    folder = Path(__file__).parents[3] / "config" / "agents"
    specs = [read_model(path, AgentSpec) for path in sorted(folder.glob("*.yaml"))]
    return [info(spec.name, *spec.capabilities) for spec in specs]


def names(text: str, *comments: str) -> list[str]:
    return [m.name for m in team_plan(step("team_builder", text, comments=comments), shipped()).members]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Build a website with a login form and an API", {"Backend", "Frontend", "Security"}),
        ("Fix the bug that crashes the import", {"Debugger", "Developer", "Tester"}),
        ("Compare three databases and write a report", {"Researcher", "Builder"}),
        ("Deploy version 2 to the server", {"Operator", "Backend"}),
    ],
)
def test_the_words_of_a_task_call_for_roles(text: str, wanted: set[str]) -> None:
    assert wanted <= set(names(text))


def test_a_task_that_calls_for_nobody_gets_the_usual_three() -> None:
    assert names("Tea?") == ["Researcher", "Builder", "Reviewer"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_role_is_played_by_an_agent_that_ships(role: Role) -> None:
    plan = team_plan(step("team_builder", "Tea?", comments=(f"add {role.name}",)), shipped())
    [member] = [m for m in plan.members if m.name == role.name]
    assert member.agent in {a.name for a in shipped()} - ARRANGING


def test_a_team_is_never_larger_than_a_team_may_be() -> None:
    wanted = "add " + ", ".join(role.name for role in ROLES)
    assert len(names("Tea?", wanted)) == LARGEST


def test_who_asks_for_changes_gets_them() -> None:
    before = names("Write an article about tea")
    assert "Security" not in before
    assert "Reviewer" in before
    after = names("Write an article about tea", "without the reviewer, but add security")
    assert "Security" in after
    assert "Reviewer" not in after
    assert names("Write an article", "no reviewer", "add a reviewer")[-1] == "Reviewer"


def test_nobody_is_chosen_who_is_offline_or_not_there() -> None:
    there = [info("builder", "writing"), info("researcher", "research", status="offline")]
    plan = team_plan(step("team_builder", "Research tea and write about it"), there)
    assert [m.agent for m in plan.members] == ["builder"]


def test_where_no_role_finds_its_agent_anybody_does_it() -> None:
    plan = team_plan(step("team_builder", "Tea"), [info("coordinator", "coordination"), info("poet")])
    assert [m.agent for m in plan.members] == ["poet"]
    assert team_plan(step("team_builder", "Tea"), []).members


@given(st.text(max_size=300), st.lists(st.text(max_size=60), max_size=4))
def test_any_text_makes_a_small_team_of_agents_that_there_are(text: str, comments: list[str]) -> None:
    plan = team_plan(step("team_builder", text, comments=tuple(comments)), shipped())
    assert TeamPlan.model_validate(plan.model_dump()) == plan
    assert len({m.name for m in plan.members}) == len(plan.members)
    assert comments or len(plan.members) <= MOST
    assert plan.done_when == BY_RULES


def played(outputs: dict[str, Json], *, with_talk: bool, team: Json | None) -> list[str]:
    """Members in the order in which they are chosen, until it is done."""
    chosen: list[str] = []
    talk: list[Said] = []
    for visit in range(1, 30):
        made = delegation(
            step(
                "coordinator",
                "Fix the bug in the API",
                visit=visit,
                outputs=outputs,
                team=team,
                talk=tuple(talk) if with_talk else (),
            ),
            shipped(),
        )
        if made.done:
            assert made.member == ""
            return chosen
        assert "Fix the bug in the API" in made.task
        chosen.append(made.member)
        talk.append(Said(made.member, {"body": "done"}))
    raise AssertionError(f"never done: {chosen}")


def a_team() -> Json:
    return team_plan(step("team_builder", "Fix the bug in the API"), shipped()).model_dump(mode="json")


@pytest.mark.parametrize("with_talk", [True, False])
@pytest.mark.parametrize("given_as", ["team", "output"])
def test_every_member_works_once_in_order_and_then_it_is_done(with_talk: bool, given_as: str) -> None:
    team = a_team()
    outputs: dict[str, Json] = {"assemble": team} if given_as == "output" else {}
    chosen = played(outputs, with_talk=with_talk, team=team if given_as == "team" else None)
    assert chosen == [m["name"] for m in team["members"]]
    assert len(chosen) > 2


def test_without_a_team_the_agents_themselves_are_chosen() -> None:
    chosen = played({}, with_talk=True, team=None)
    assert chosen == [m["agent"] for m in a_team()["members"]]


def test_it_ends_even_if_the_log_knows_its_members_by_other_names() -> None:
    team = a_team()
    talk = (Said("somebody", {}),)
    visit = len(team["members"]) + 1
    assert delegation(step("coordinator", "x", visit=visit, team=team, talk=talk), shipped()).done
