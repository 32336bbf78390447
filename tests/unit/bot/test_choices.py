"""What is offered to somebody who types a command, over a real core."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Choice, ConversationRef
from bot import choices
from orchestrator.events import RunId, Usage
from orchestrator.ports import AgentInfo, RunRow
from orchestrator.workflow import Workflow
from tests.unit.bot.test_commands import ADA, ELSEWHERE, HERE, OUTSIDE, Desk, desk

__all__ = ["desk"]


def workflow(name: str, description: str = "") -> Workflow:
    return Workflow.model_validate(
        {
            "name": name,
            "description": description,
            "nodes": {"one": {"kind": "agent", "agent": "researcher"}},
            "edges": [],
        }
    )


def run(number: int, text: str = "Tea?") -> RunRow:
    return RunRow(
        id=RunId(f"r{number:012}"),
        conversation_id=HERE.key,
        position=number,
        workflow="small",
        status="waiting",
        created_at=datetime.now(UTC),
        ended_at=None,
        seq=1,
        text=text,
        who=ADA.key,
        usage=Usage(),
    )


def values(offered: Sequence[Choice]) -> list[str]:
    return [choice.value for choice in offered]


# ── what fits what is typed ──────────────────────────────────────────────────────────────────


def test_workflows_come_by_name_with_what_they_are_for() -> None:
    offered = choices.of_workflows([workflow("slow", "Everything twice"), workflow("fast")], "")
    assert [(c.value, c.label) for c in offered] == [
        ("fast", "fast: no description"),
        ("slow", "slow: Everything twice"),
    ]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", ["deep_tea", "mail", "tea"]),
        ("te", ["tea", "deep_tea", "mail"]),  # what begins with it comes first
        ("TEA", ["tea", "deep_tea"]),
        (" write a ", ["mail"]),  # its words in any order, anywhere
        ("letter write", ["mail"]),
        ("coffee", []),
    ],
)
def test_what_is_typed_narrows_the_choice(typed: str, found: list[str]) -> None:
    all_of_them = [workflow("mail", "Write a letter"), workflow("deep_tea"), workflow("tea", "Hot")]
    assert values(choices.of_workflows(all_of_them, typed)) == found


def test_runs_keep_their_order_and_never_lose_state_and_id() -> None:
    rows = [run(3, "Write " * 40), run(2, "a\nb"), run(1, "")]
    offered = choices.of_runs(rows, "")
    assert values(offered) == [row.id for row in rows]
    assert offered[0].label.endswith("… · waiting · r000000000003")
    assert [c.label for c in offered[1:]] == [
        "a b · waiting · r000000000002",
        "no text · waiting · r000000000001",
    ]
    assert values(choices.of_runs(rows, "r000000000001")) == ["r000000000001"]


def test_agents_are_found_by_title_and_by_what_they_can() -> None:
    agents = [
        AgentInfo("builder", "Builder", ("writes",), "rules", ()),
        AgentInfo("odd", "", (), "rules", ()),
    ]
    assert [c.label for c in choices.of_agents(agents, "")] == ["Builder: writes", "odd"]
    assert values(choices.of_agents(agents, "writes")) == ["builder"]


@given(st.lists(st.text(max_size=300), max_size=40), st.text(max_size=40))
def test_whatever_people_wrote_a_platform_can_take_the_list(texts: list[str], typed: str) -> None:
    offered = choices.of_runs([run(n, text) for n, text in enumerate(texts)], typed)
    assert len(offered) <= 25
    assert all(1 <= len(c.label) <= 100 and 1 <= len(c.value) <= 100 for c in offered)
    assert len(choices.of_runs([run(n, text) for n, text in enumerate(texts)], "")) == min(25, len(texts))


# ── through the commands ─────────────────────────────────────────────────────────────────────


async def test_only_runs_that_runs_would_show_are_offered(desk: Desk) -> None:
    first = await desk.waiting_run("k1", text="Green tea")
    second = await desk.waiting_run("k2", HERE.model_copy(update={"thread": "c2"}), text="Black tea")
    offered = await desk.commands.choices("run", OUTSIDE, "")
    assert values(offered) == [second, first]  # the newest first
    assert values(await desk.commands.choices("run", OUTSIDE, "green")) == [first]
    assert values(await desk.commands.choices("run", ELSEWHERE, "")) == []
    other = ConversationRef(platform="discord", workspace="local", channel="general", thread="c1")
    assert values(await desk.commands.choices("run", other, "")) == []


async def test_a_verb_is_offered_only_runs_that_it_can_be_done_to(desk: Desk) -> None:
    ended = await desk.waiting_run("k1", text="Ended")
    assert (await desk.say(f"stop {ended}")).accepted
    await desk.house.ended(ended)
    paused = await desk.waiting_run("k2", HERE.model_copy(update={"thread": "c2"}), text="Paused")
    assert (await desk.say(f"pause {paused}")).accepted
    waiting = await desk.waiting_run("k3", HERE.model_copy(update={"thread": "c3"}), text="Waiting")
    await desk.house.until(paused, lambda state: state.status == "paused")
    assert values(await desk.commands.choices("run", OUTSIDE, "")) == [waiting, paused, ended]
    assert values(await desk.commands.choices("stop", OUTSIDE, "")) == [waiting, paused]
    assert values(await desk.commands.choices("pause", OUTSIDE, "")) == [waiting]
    assert values(await desk.commands.choices("resume", OUTSIDE, "")) == [paused]
    assert values(await desk.commands.choices("stop", ELSEWHERE, "")) == []


async def test_workflows_and_agents_are_those_of_the_core(desk: Desk) -> None:
    assert values(await desk.commands.choices("workflow", HERE, "sma")) == ["small"]
    assert "researcher" in values(await desk.commands.choices("agent", HERE, "resea"))


async def test_one_agent_can_be_asked_for_by_name(desk: Desk) -> None:
    text = await desk.text("agents Researcher")
    assert "researcher" in text
    assert "planner" not in text.lower()
    refused = await desk.say("agents nobody")
    assert not refused.accepted
    assert "researcher" in refused.text
    assert desk.commands.is_command("agents researcher")
    assert not desk.commands.is_command("agents of change")
