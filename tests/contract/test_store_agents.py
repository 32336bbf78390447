"""How agents did comes out of the log alone, after a restart too."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.agents.registry import AgentRegistry
from orchestrator.events import AgentAssigned, Body, Problem, RunId, StepEnded, StepFailed, StepSkipped
from orchestrator.ports import AgentOutcome
from orchestrator.tools.registry import Tools
from tests.contract.store_harness import Opener, OpenStore, begun, created, done, ended, opener, store
from tests.unit.agents.steps import specs

__all__ = ["opener", "store"]  # fixtures

INNER: dict[str, Any] = {
    "name": "inner",
    "nodes": {"write": {"kind": "agent", "agent": "builder"}, "ask": {"kind": "approval", "of": "write"}},
}
DEFINITION: dict[str, Any] = {
    "name": "quartet",
    "nodes": {
        "research": {"kind": "agent", "agent": "researcher"},
        "any": {"kind": "agent", "requires": ["writing"]},
        "each": {"kind": "map", "over": "[1]", "agent": "planner"},
        "part": {"kind": "workflow", "workflow": "inner"},
        "parts": {"kind": "map", "over": "[1]", "workflow": "inner"},
        "handler": {"kind": "error_handler", "agent": "reviewer", "compensate": True},
    },
    "workflows": {"inner": INNER},
}


async def logged(store: OpenStore, name: str, *bodies: Body) -> RunId:
    run_id = RunId(name)
    await store.save_definition("d" * 64, DEFINITION)
    await store.accept(run_id, created(f"key-{name}", f"web:local:general:{name}"))
    await store.append(run_id, bodies, epoch=None, status="running")
    return run_id


def well(node: str, seconds: float = 1.0, attempt: int = 1) -> StepEnded:
    return StepEnded(node=node, visit=1, attempt=attempt, output={"body": "x"}, seconds=seconds)


def badly(node: str, kind: str, attempt: int = 1) -> StepFailed:
    return StepFailed(node=node, visit=1, attempt=attempt, problem=Problem(kind=kind, message="m"))


def assigned(node: str, agent: str, attempt: int = 1) -> AgentAssigned:
    return AgentAssigned(node=node, visit=1, attempt=attempt, agent=agent)


async def test_outcomes_name_the_agent_of_every_kind_of_step(store: OpenStore) -> None:
    await logged(
        store,
        "r1",
        badly("research", "output_invalid"),
        well("research", 2.0, attempt=2),
        assigned("any", "builder"),
        badly("any", "agent_failed"),
        assigned("any", "reviewer", attempt=2),
        well("any", 3.0, attempt=2),
        well("each[0]", 4.0),
        well("each", 5.0),  # the map itself: nobody's work
        well("part/write", 6.0),
        well("parts[1]/write", 7.0),
        well("part/ask"),
        well("handler[0]"),  # undoes what another agent did
        well("handler", 8.0),
        well("gone", 9.0),
    )
    assert await store.agent_outcomes() == [
        AgentOutcome("researcher", "output_invalid", 0.0),
        AgentOutcome("researcher", "", 2.0),
        AgentOutcome("builder", "agent_failed", 0.0),
        AgentOutcome("reviewer", "", 3.0),
        AgentOutcome("planner", "", 4.0),
        AgentOutcome("builder", "", 6.0),
        AgentOutcome("builder", "", 7.0),
        AgentOutcome("reviewer", "", 8.0),
    ]


async def test_only_the_newest_outcomes_are_read_the_oldest_of_them_first(store: OpenStore) -> None:
    for n in range(5):
        await logged(store, f"r{n}", well("research", float(n)))
    assert [o.seconds for o in await store.agent_outcomes(limit=2)] == [3.0, 4.0]
    assert await store.agent_outcomes(limit=0) == []


async def test_run_whose_definition_is_missing_is_left_out(store: OpenStore) -> None:
    run_id = RunId("r1")
    await store.accept(run_id, created("key"))
    await store.append(run_id, [well("research"), done("x", output={"body": "b" * 40_000})], epoch=None)
    assert await store.agent_outcomes() == []
    assert await store.agents_at_work() == {}


async def test_agents_at_work_are_those_whose_steps_have_not_ended(store: OpenStore) -> None:
    await logged(store, "r1", begun("research"), begun("any"), assigned("any", "builder"), begun("each[0]"))
    await logged(store, "r2", begun("research"), begun("part/write"), well("research"))
    await logged(store, "r3", begun("research"), StepSkipped(node="research", visit=1, why="enough"))
    over = await logged(store, "r4", begun("research"))
    await store.append(over, [ended()], epoch=None)
    assert await store.agents_at_work() == {"researcher": 1, "builder": 2, "planner": 1}


async def test_record_survives_a_restart(opener: Opener) -> None:
    first = await opener()
    await logged(
        first,
        "r1",
        badly("research", "tool_failed"),
        badly("research", "timeout", attempt=2),  # of the workflow, not of the agent
        well("research", 4.0, attempt=3),
        well("research", 6.0, attempt=4),
    )
    await first.close()
    agents = AgentRegistry(specs(), tools=Tools())
    agents.learn(await (await opener()).agent_outcomes())
    info = next(info for info in agents.infos() if info.name == "researcher")
    assert info.steps == 3
    assert info.success_rate == pytest.approx(2 / 3, abs=0.03)
    assert info.mean_s is not None
    assert 4.0 < info.mean_s < 6.0
