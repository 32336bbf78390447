"""Workflows drafted by rules: what words mean, and that whatever is written passes the checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.documents import read_text_model
from config.paths import agent_files
from orchestrator.agents.rules_clock import clock
from orchestrator.agents.rules_design import workflow_draft
from orchestrator.agents.spec import AgentSpec
from orchestrator.artifacts import WorkflowDraft
from orchestrator.cron import checked_cron, checked_zone
from orchestrator.ports import AgentInfo
from orchestrator.templates import holes
from orchestrator.tokens import has_tokens
from orchestrator.workflow import ApprovalNode, Workflow
from orchestrator.workflow_checks import problems
from tests.unit.agents.steps import step

FRIDAY = "every Friday collect the merged changes, write release notes, let two leads approve"


@cache
def shipped() -> tuple[AgentInfo, ...]:
    found: list[AgentInfo] = []
    for file in agent_files():
        spec = AgentSpec.model_validate(yaml.safe_load(file.read_text("utf-8")))
        found.append(AgentInfo(spec.name, spec.title, spec.capabilities, "rules", spec.tools))
    return tuple(found)


def drafted(text: str, *comments: str, agents: Sequence[AgentInfo] | None = None) -> WorkflowDraft:
    return workflow_draft(
        step("workflow_designer", text, comments=comments), shipped() if agents is None else agents
    )


def read(draft: WorkflowDraft, agents: Sequence[AgentInfo] | None = None) -> Workflow:
    """The draft as its reader has it, with nothing wrong."""
    known = shipped() if agents is None else agents
    workflow = read_text_model(draft.yaml, "draft", Workflow)
    flaws = problems(
        workflow,
        agents=frozenset(a.name for a in known) | {"builder"},
        capabilities=frozenset(c for a in known for c in a.capabilities),
        workflows=frozenset(),
    )
    assert [f"{flaw.path}: {flaw.message}" for flaw in flaws] == []
    if draft.schedule:
        assert checked_cron(draft.schedule) == draft.schedule
    if draft.time_zone:
        assert checked_zone(draft.time_zone) == draft.time_zone
    return workflow


def kinds(workflow: Workflow) -> list[str]:
    return [node.kind for node in workflow.nodes.values()]


def ways(workflow: Workflow) -> set[tuple[str, str]]:
    return {(e.source, e.target) for e in workflow.links if e.on == "success"}


def test_the_sentence_of_the_documentation_becomes_two_steps_two_approvals_and_fridays() -> None:
    draft = drafted(FRIDAY)
    workflow = read(draft)
    assert list(workflow.nodes) == [
        "collect_merged_changes",
        "write_release_notes",
        "approval_1",
        "approval_2",
    ]
    assert kinds(workflow) == ["agent", "agent", "approval", "approval"]
    assert draft.schedule == "0 9 * * 5"
    assert workflow.answer is not None
    assert workflow.answer.draft == "write_release_notes"
    assert "without a language model" in draft.explanation
    assert "“two leads” names nobody" in draft.explanation


def test_approvers_that_are_people_are_taken_as_they_are() -> None:
    workflow = read(drafted("Write release notes, let slack:U123ABC and web:ada approve"))
    (asked,) = (n for n in workflow.nodes.values() if isinstance(n, ApprovalNode))
    assert asked.approvers == ("slack:U123ABC", "web:ada")


def test_if_and_else_are_a_decision_with_both_ways() -> None:
    workflow = read(
        drafted(
            "Analyze the ticket. If it is a bug, write a fix, otherwise write an answer. Publish a summary."
        )
    )
    choice = next(n for n, node in workflow.nodes.items() if node.kind == "decision")
    first, second = workflow.outgoing[choice]
    assert first.when is not None
    assert first.when.endswith('.outcome == "yes"')
    assert second.when is None
    assert {(first.target, "publish_a_summary"), (second.target, "publish_a_summary")} <= ways(workflow)


def test_for_each_is_a_map_over_a_list_that_an_agent_makes() -> None:
    workflow = read(drafted("For each open ticket, write a short summary"))
    assert kinds(workflow) == ["agent", "map"]


def test_in_parallel_is_branches_that_meet_again() -> None:
    workflow = read(
        drafted("Collect the code. Check the security, check the style in parallel. Write a report.")
    )
    branches = {t for s, t in ways(workflow) if s == "collect_code"} or {
        t for s, t in ways(workflow) if s == "collect_the_code"
    }
    assert len(branches) == 2
    assert {(branch, "write_a_report") for branch in branches} <= ways(workflow)


def test_what_people_asked_to_leave_out_is_gone() -> None:
    before = read(drafted("Collect the changes, write release notes, translate the notes into French"))
    after = read(
        drafted(
            "Collect the changes, write release notes, translate the notes into French", "without collecting"
        )
    )
    assert len(after.nodes) == len(before.nodes) - 1


def test_words_that_look_like_expressions_and_secrets_stay_words() -> None:
    draft = drafted(
        "Write {{ inputs.__class__ }} and {{{{ visits }}}} using sk-abcdefghijklmnop, "
        "password=hunter2hunter2, let eve approve {{ policies }}"
    )
    workflow = read(draft)
    for node in workflow.nodes.values():
        assert holes(str(getattr(node, "task", ""))) == []
        assert holes(str(getattr(node, "body", ""))) == []
    assert not has_tokens(draft.yaml)
    assert "hunter2" not in draft.yaml


@pytest.mark.parametrize(
    ("words", "cron", "zone"),
    [
        ("every Friday at 4 pm write notes", "0 16 * * 5", ""),
        ("every weekday at 9:30 Europe/Berlin look", "30 9 * * 1-5", "Europe/Berlin"),
        ("on Mondays and Thursdays at noon look", "0 12 * * 1,4", ""),
        ("daily at 16:05 (UTC) look", "5 16 * * *", "UTC"),
        ("every 15 minutes look", "*/15 * * * *", ""),
        ("hourly look", "0 * * * *", ""),
        ("every month look", "0 9 1 * *", ""),
        ("on the 15th of every month at 8 look", "0 8 15 * *", ""),
        ("every evening look", "0 18 * * *", ""),
        ("look at 9", "", ""),
        ("every 75 minutes look", "", ""),
        ("every day at 45 look", "", ""),
        ("every Friday Nowhere/Land look", "0 9 * * 5", ""),
    ],
)
def test_times_in_words(words: str, cron: str, zone: str) -> None:
    found = clock(words)
    assert (found.cron, found.zone) == (cron, zone)


@pytest.mark.parametrize("words", ["", "!!! ?", "\n\n...", "🙂"])
def test_where_nothing_is_understood_it_says_so(words: str) -> None:
    assert "Nothing was understood" in drafted(words).explanation
    assert "Nothing was understood" not in drafted("write release notes").explanation


_WORDS = """
if else otherwise then and , . ; : for each every all in parallel at the same time let two three leads
approve ask Ada to approval by slack:U1 when case
write collect check it {{ }} {{inputs.x}} - # ' " | > & * ! % @ `
[ ] { } every Friday at 9 Europe/Berlin call it named true null on yes no visits inputs item import class 1 2.
problem with without drop the é 🙂 quartet
"""
WORDS = st.sampled_from([*_WORDS.split(), "\n", "\t"])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(WORDS, max_size=40).map(" ".join),
    st.lists(st.lists(WORDS, max_size=8).map(" ".join), max_size=2),
)
def test_any_words_give_a_draft_that_passes(text: str, comments: list[str]) -> None:
    read(drafted(text, *comments))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_characters_give_a_draft_that_passes(text: str) -> None:
    read(drafted(text))


@settings(max_examples=50, deadline=None)
@given(st.lists(WORDS, max_size=20).map(" ".join), st.sets(st.integers(0, 18), max_size=4))
def test_whichever_agents_there_are_the_draft_passes(text: str, chosen: set[int]) -> None:
    agents = [shipped()[i] for i in chosen]
    read(drafted(text, agents=agents), agents)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "words",
    [
        "if " * 5_000,
        "let " * 5_000,
        "a, " * 5_000,
        "for each " * 3_000,
        "every day at " * 3_000,
        "every monday and " * 2_000,
    ],
)
def test_long_texts_take_no_time(words: str) -> None:
    read(drafted(words))
