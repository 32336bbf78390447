"""What has to be free before an attempt begins, asked for each one anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from orchestrator.engine.attempt import Attempts
from orchestrator.engine.places import Place, Places
from orchestrator.engine.state import RunState
from orchestrator.events import AgentAssigned, Body, RunSettings, StepEnded
from orchestrator.infra.local_scheduler import SystemClock
from orchestrator.ports import Room
from orchestrator.workflow import Workflow
from tests.builders import Play, draft, edge, flow
from tests.house import ScriptedAgents


class Agents(ScriptedAgents):
    """Agents whose limit changes while runs work: their files are read again when they change."""

    limit: int | None = None

    def room(self, agent: str, settings: RunSettings, model: str = "") -> Room:
        return Room("", self.limit, None)


class Run:
    """A run of which nothing is recorded but who works."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.assigned: list[AgentAssigned] = []

    async def record(self, bodies: Sequence[Body]) -> None:
        for body in bodies:
            assert isinstance(body, AgentAssigned)
            self.assigned.append(body)

    def doing(self, node: str, text: str) -> None:
        raise AssertionError(text)


def attempts_of(run: Run, workflow: Workflow, agents: Agents, places: Places) -> Attempts:
    return Attempts(
        run,
        workflow,
        1,
        agents=agents,
        views=cast("Any", None),  # nothing was said before
        clock=SystemClock(),
        places=places,
        exchanges=0,
    )


async def test_an_agent_is_told_the_same_whether_it_is_named_or_found() -> None:
    agents = Agents()
    for chosen in ({"agent": "a"}, {"requires": ["a"]}):
        node = {"kind": "agent", **chosen}
        play = Play(flow({"z": "agent", "a": node}, "z > a"), context={"tone": "short"}).done("z", draft())
        agents.say("a", draft())
        run = Run(play.state)
        assert isinstance(await attempts_of(run, play.workflow, agents, Places(5)).make("a"), StepEnded)
        assert len(run.assigned) == ("requires" in chosen)
    named, found = agents.calls
    assert named == found


async def test_a_limit_that_changed_holds_for_the_next_step_of_a_run_under_way() -> None:
    play = Play(flow({"a": "agent"}, edge("a > a", when="visits.a < 3")))
    agents, places = Agents(), Places(5)
    agents.say("a", draft(), draft())
    attempts = attempts_of(Run(play.state), play.workflow, agents, places)
    elsewhere = Place("another run", agent="a")
    assert places.enter(elsewhere)
    assert isinstance(await attempts.make("a"), StepEnded)
    agents.limit = 1
    second = asyncio.create_task(attempts.make("a"))
    while not places.waiting:
        assert not second.done()
        await asyncio.sleep(0)
    places.give(elsewhere)
    assert isinstance(await second, StepEnded)
    assert places.taken == 0
    agents.check()
