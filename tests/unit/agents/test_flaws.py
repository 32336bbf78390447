"""Outputs that are sent back, and with which words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.agents import checks, flaws
from orchestrator.artifacts import (
    Artifact,
    Delegation,
    Draft,
    Issue,
    MadeFile,
    Member,
    Plan,
    PlanTask,
    Report,
    TeamPlan,
    WorkflowDraft,
)
from orchestrator.ports import AgentInfo
from tests.unit.agents.steps import step

AGENTS = (
    AgentInfo("builder", "Builder", ("writing",), "rules", ()),
    AgentInfo("qa", "QA", ("testing",), "rules", ("knowledge_search",)),
)


def member(name: str, agent: str = "qa", **more: Any) -> Member:
    return Member(name=name, agent=agent, role="looks", instructions="Look.", **more)


def team(*members: Member, **more: Any) -> TeamPlan:
    return TeamPlan(goal="g", members=list(members), **more)


def flaw(output: Artifact, agents: tuple[AgentInfo, ...] = AGENTS, **more: Any) -> str:
    return flaws.flaw(output, step("x", "Build it", **more), agents) or ""


def test_a_report_names_one_of_the_outcomes_that_were_offered() -> None:
    offered = ("passed", "failed")
    assert flaw(Report(body="b", outcome="passed"), outcomes=offered) == ""
    told = flaw(Report(body="b"), outcomes=offered)
    assert told == "The outcome 'done' was not offered: it must be one of passed, failed."
    assert flaw(Report(body="b", outcome="anything")) == ""


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (Report(body=" \n"), "The body is empty"),
        (Report(body="b", outcome="x" * 100), "one word"),
        (Report(body="b", items=["i"] * 101), "101 items are too many"),
        (Report(body="b", items=["i" * 2_001]), "shorter than 2000"),
        (Draft(body=""), "The body is empty"),
        (Plan(goal="g", tasks=[PlanTask(id="a", title="t", depends_on=["z"])]), "unknown tasks: z"),
        (Delegation(done=False, member="qa"), "The task is empty"),
        (Delegation(done=False, task="t"), "no '' to give the task to; agents are builder, qa"),
        (Delegation(done=False, task="t", member="root"), "no 'root'"),
        (WorkflowDraft(yaml=" ", explanation="e"), "The YAML is empty"),
        (WorkflowDraft(yaml="y" * 100_001, explanation="e"), "longer than"),
        (WorkflowDraft(yaml="y", explanation=""), "The explanation is empty"),
    ],
)
def test_what_cannot_count_is_sent_back_with_the_reason(report: Artifact, said: str) -> None:
    assert said in flaw(report)


def test_a_team_is_made_of_agents_that_there_are() -> None:
    assert flaw(team(member("Ann"), member("Bob", "builder"))) == ""
    assert "'root', which is no agent; agents are builder, qa" in flaw(team(member("Ann", "root")))
    assert "more than once: ann" in flaw(team(member("Ann"), member("ann")))
    assert "does not have the tools shell; it has knowledge_search" in flaw(
        team(member("Ann", tools=["shell"]))
    )
    assert "1 rounds are too few for 2" in flaw(team(member("A"), member("B"), speaking="in_turn", rounds=1))
    assert flaw(team(member("Ann", "anybody")), agents=()) == ""


def test_work_is_given_to_members_of_the_team_where_there_is_one() -> None:
    plan = team(member("Ann"), member("Bob")).model_dump(mode="json")
    given = Delegation(done=False, task="t", member="Ann")
    steps: list[dict[str, Any]] = [{"team": plan}, {"outputs": {"assemble": plan}}]
    for more in steps:
        assert flaw(given, **more) == ""
        told = flaw(given.model_copy(update={"member": "qa"}), **more)
        assert told == "There is no 'qa' to give the task to; members of the team are Ann, Bob."
    assert flaw(Delegation(done=True)) == ""


def test_a_drafted_workflow_is_read_by_whoever_can() -> None:
    draft = WorkflowDraft(yaml="nodes: {}", explanation="Nothing.")
    one = step("x", "Draft it")
    assert flaws.flaw(draft, one, AGENTS, lambda text: f"no nodes in {text!r}") == "no nodes in 'nodes: {}'"
    assert flaws.flaw(draft, one, AGENTS, lambda _: "") is None


def test_a_report_keeps_issues_once_and_the_worst_first() -> None:
    report = Report(
        body="b",
        issues=[
            Issue(severity="minor", where="a:1", problem="Bad name"),
            Issue(severity="critical", where="a:2", problem="Bad name"),
            Issue(severity="major", where="a:1", problem="bad NAME!"),
        ],
        items=[" one\n thing ", "", "one thing", "two"],
        files=[MadeFile(name="a", text="1"), MadeFile(name=" ", text="?"), MadeFile(name="a", text="2")],
    )
    tidy = checks.tidy_report(report)
    assert [(i.severity, i.where) for i in tidy.issues] == [("critical", "a:2"), ("major", "a:1")]
    assert tidy.items == ["one thing", "two"]
    assert [(f.name, f.text) for f in tidy.files] == [("a", "2")]
    assert checks.tidy_report(tidy) == tidy


def test_a_coordinator_may_ask_the_person_only_where_the_workflow_can() -> None:
    given = Delegation(done=False, task="Which one?", member="user")
    where = step("coordinator", "x", can_ask=True)
    assert flaws.flaw(given, where) is None
    nowhere = replace(where, can_ask=False, team={"members": [{"name": "Ann"}]})
    assert "no 'user'" in (flaws.flaw(given, nowhere) or "")
    assert "task is empty" in (flaws.flaw(given.model_copy(update={"task": " "}), where) or "")


def test_no_member_takes_the_name_of_the_person_who_asked() -> None:
    made = Member(name="User", agent="qa", role="r", instructions="i")
    team = TeamPlan(goal="g", members=[made], speaking="as_needed", rounds=2)
    assert "another name" in (flaws.flaw(team, step("team_builder", "x")) or "")
