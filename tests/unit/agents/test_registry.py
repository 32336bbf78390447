"""Agents that come and go, work and fail, and what the registry makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.agents.health import FIRST_REST_S, IN_A_ROW
from orchestrator.agents.player import AgentCard
from orchestrator.agents.registry import EXPECTED_S, AgentRegistry
from orchestrator.agents.spec import AgentSpec
from orchestrator.errors import (
    AgentFailed,
    Fenced,
    ModelUnavailable,
    NoAgent,
    NotFound,
    OutputInvalid,
    Refused,
)
from orchestrator.events import Json, RunSettings
from orchestrator.ports import AgentInfo, AgentOutcome, Room, StepInput, StepSink
from orchestrator.tools.registry import Tools
from tests.unit.agents.steps import MemorySink, specs, step

Work = Callable[[StepInput], Awaitable[Json]]
SETTINGS = RunSettings()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Own:
    """An agent of one's own. Its steps end as `ends` says, in turn; then well."""

    def __init__(self, name: str = "own", *ends: Exception | asyncio.Event, **card: Any) -> None:
        given: dict[str, Any] = {"name": name, "title": name.title(), "origin": "python"}
        self.card = AgentCard.model_validate(given | card)
        self.ends = list(ends)

    def reference(self, chosen: str | None = None) -> str:
        return chosen or ""

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, Exception):
            raise end
        if end is not None:
            await end.wait()
        return {"body": f"by {self.card.name}"}


def registry(*players: Own, **more: Any) -> tuple[AgentRegistry, Clock]:
    clock = Clock()
    agents = AgentRegistry((), tools=Tools(), random=Random(1), clock=clock, **more)
    for player in players:
        agents.register(player)
    return agents, clock


def info(agents: AgentRegistry, name: str = "own") -> AgentInfo:
    return next(i for i in agents.infos() if i.name == name)


async def run(agents: AgentRegistry, name: str = "own") -> Json:
    return await agents.run(step(name, "x"), MemorySink())


async def fail(agents: AgentRegistry, times: int, name: str = "own") -> None:
    for _ in range(times):
        with pytest.raises((AgentFailed, ModelUnavailable, OutputInvalid)):
            await run(agents, name)


def down() -> ModelUnavailable:
    return ModelUnavailable("no answer", retryable=True)


# ── coming and going ─────────────────────────────────────────────────────────────────────────


async def test_agent_that_registers_while_running_is_chosen_and_works() -> None:
    agents, _ = registry()
    with pytest.raises(NoAgent, match="there are no agents"):
        agents.choose(["writing"])
    agents.register(Own(capabilities=("writing",)))
    assert agents.choose(["writing"]).agent == "own"
    assert await run(agents) == {"body": "by own"}
    assert agents.names() == ("own",)


async def test_second_agent_of_a_name_is_refused() -> None:
    agents, _ = registry(Own())
    with pytest.raises(Refused, match="there is an agent 'own' already; unregister it first"):
        agents.register(Own())
    assert len(agents.infos()) == 1


async def test_unregistered_agent_ends_what_it_works_on_and_is_gone() -> None:
    go = asyncio.Event()
    agents, _ = registry(Own("own", go, capabilities=("writing",)))
    working = asyncio.create_task(run(agents))
    await asyncio.sleep(0)
    agents.unregister("own")
    assert agents.names() == ()
    with pytest.raises(NoAgent):
        agents.choose(["writing"])
    with pytest.raises(NoAgent, match="is gone") as gone:
        await run(agents)
    assert gone.value.retryable
    go.set()
    assert await working == {"body": "by own"}
    agents.register(Own())
    assert (info(agents).steps, info(agents).load) == (1, 0)  # its record goes on


async def test_names_that_are_unknown_are_refused_with_the_nearest() -> None:
    agents, _ = registry(Own("builder"))
    with pytest.raises(NoAgent, match=r"no agent 'bilder' \(did you mean 'builder'\?\); agents are builder"):
        await run(agents, "bilder")
    for method in (agents.unregister, agents.beat):
        with pytest.raises(NotFound, match="did you mean 'builder'"):
            method("bilder")
    assert agents.room("bilder", SETTINGS) == Room("", None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Not A Name"},
        {"name": "x" * 41},
        {"title": ""},
        {"capabilities": ("Writing",)},
        {"capabilities": ("a", "a")},
        {"capabilities": tuple(f"c{n}" for n in range(51))},
        {"max_concurrent": 0},
        {"priority": "urgent"},
        {"heartbeat_s": 0},
        {"heartbeat_s": float("nan")},
        {"origin": "mars"},
        {"colour": "red"},
    ],
)
def test_wrong_cards_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Own(**wrong)


# ── status and load ──────────────────────────────────────────────────────────────────────────


async def test_status_and_load_follow_the_work() -> None:
    go = asyncio.Event()
    agents, clock = registry(Own("own", go, go, max_concurrent=2))
    assert (info(agents).status, info(agents).load) == ("idle", 0)
    working = [asyncio.create_task(run(agents)) for _ in range(2)]
    await asyncio.sleep(0)
    assert (info(agents).status, info(agents).load, info(agents).max_concurrent) == ("busy", 2, 2)
    clock.now += 4
    go.set()
    await asyncio.gather(*working)
    assert (info(agents).status, info(agents).load, info(agents).steps) == ("idle", 0, 2)
    assert (info(agents).success_rate, info(agents).mean_s) == (1.0, 4.0)


async def test_stopped_step_is_not_held_against_the_agent() -> None:
    agents, _ = registry(Own("own", asyncio.Event()))
    working = asyncio.create_task(run(agents))
    await asyncio.sleep(0)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert (info(agents).status, info(agents).load, info(agents).steps) == ("idle", 0, 0)


async def test_run_taken_over_by_another_process_is_not_held_against_the_agent() -> None:
    agents, _ = registry(Own("own", Fenced("gone")))
    with pytest.raises(Fenced):
        await run(agents)
    assert (info(agents).steps, info(agents).load) == (0, 0)


async def test_agents_own_bug_is_its_failure_and_its_text_stays_in_the_log() -> None:
    agents, _ = registry(Own("own", ZeroDivisionError("secret sk-123")))
    with pytest.raises(AgentFailed, match=r"Own broke \(ZeroDivisionError\); the log") as failed:
        await run(agents)
    assert "sk-123" not in str(failed.value)
    assert info(agents).success_rate == 0


async def test_many_choices_at_once_are_spread_before_any_step_begins() -> None:
    agents, clock = registry(*(Own(f"a{n}", capabilities=("writing",)) for n in range(5)))
    chosen = [agents.choose(["writing"]).agent for _ in range(20)]
    assert {chosen.count(f"a{n}") for n in range(5)} == {4}
    assert all(i.status == "idle" for i in agents.infos())
    await run(agents, "a3")  # one of the four has begun, and ended
    assert agents.choose(["writing"]).agent == "a3"
    clock.now += EXPECTED_S  # the others never began
    assert {agents.choose(["writing"]).agent for _ in range(5)} == {f"a{n}" for n in range(5)}


async def test_who_fits_but_is_full_is_chosen_only_where_all_are() -> None:
    go = asyncio.Event()
    agents, _ = registry(
        Own("a", go, capabilities=("writing", "fast"), max_concurrent=1), Own("b", capabilities=("writing",))
    )
    working = asyncio.create_task(run(agents, "a"))
    await asyncio.sleep(0)
    assert agents.choose(["writing"], ["fast"]).agent == "b"
    assert "busy up to its limit of 1" in agents.choose(["fast"]).why
    go.set()
    await working


# ── signs of life ────────────────────────────────────────────────────────────────────────────


async def test_agent_whose_heartbeats_stop_is_offline_and_comes_back_with_the_next_one() -> None:
    agents, clock = registry(Own(heartbeat_s=10, capabilities=("writing",)))
    clock.now += 29
    assert (info(agents).status, agents.choose(["writing"]).agent) == ("idle", "own")
    clock.now += 1
    assert info(agents).status == "offline"
    assert "3 heartbeats, one every 10 s" in info(agents).trouble
    with pytest.raises(NoAgent, match="nobody who has writing is there now: own") as away:
        agents.choose(["writing"])
    assert away.value.retryable
    with pytest.raises(NoAgent, match="Own cannot be reached") as away:
        await run(agents)
    assert away.value.retryable
    agents.beat("own")
    assert (info(agents).status, agents.choose(["writing"]).agent) == ("idle", "own")
    for _ in range(20):
        clock.now += 10
        agents.beat("own")
        assert agents.choose(["writing"]).agent == "own"
    clock.now += 30
    with pytest.raises(NoAgent):
        agents.choose(["writing"])


async def test_agent_without_heartbeats_is_never_offline() -> None:
    agents, clock = registry(Own(capabilities=("writing",)))
    clock.now += 1e6
    assert agents.choose(["writing"]).agent == "own"


# ── failures in a row ────────────────────────────────────────────────────────────────────────


async def test_agent_that_keeps_failing_rests_and_one_step_tries_it_again() -> None:
    agents, clock = registry(
        Own("own", *[OutputInvalid("bad") for _ in range(IN_A_ROW)], capabilities=("writing", "fast")),
        Own("other", capabilities=("writing", "fast")),
    )
    await fail(agents, IN_A_ROW)
    assert info(agents).status == "error"
    assert info(agents).trouble == "3 failures in a row, the last: bad"
    assert {agents.choose(["writing"]).agent for _ in range(10)} == {"other"}
    agents.unregister("other")
    with pytest.raises(NoAgent, match="3 failures in a row") as away:
        agents.choose(["writing"])
    assert away.value.retryable
    clock.now += FIRST_REST_S
    assert agents.choose(["writing"]).agent == "own"
    with pytest.raises(NoAgent, match="tried again now"):
        agents.choose(["writing"])  # one step alone tries it
    await run(agents)
    assert (info(agents).status, info(agents).trouble) == ("idle", "")
    assert [agents.choose(["writing"]).agent for _ in range(3)] == ["own"] * 3


async def test_agent_that_fails_its_trial_rests_twice_as_long() -> None:
    agents, clock = registry(Own("own", *[down() for _ in range(IN_A_ROW + 1)], capabilities=("writing",)))
    await fail(agents, IN_A_ROW)
    clock.now += FIRST_REST_S
    agents.choose(["writing"])
    await fail(agents, 1)
    clock.now += 2 * FIRST_REST_S - 1
    with pytest.raises(NoAgent):
        agents.choose(["writing"])
    clock.now += 1
    assert agents.choose(["writing"]).agent == "own"


async def test_good_step_between_failures_keeps_the_agent_in_work() -> None:
    agents, _ = registry(Own("own", *[down() for _ in range(IN_A_ROW - 1)]))
    await fail(agents, IN_A_ROW - 1)
    await run(agents)
    assert info(agents).status == "idle"


async def test_only_agent_of_a_capability_rests_only_where_waiting_may_help() -> None:
    bad = [OutputInvalid("bad") for _ in range(10)]
    agents, _ = registry(Own("own", *bad, capabilities=("writing",)))
    await fail(agents, 10)
    assert info(agents).status == "idle"
    assert agents.choose(["writing"]).agent == "own"

    agents, _ = registry(Own("own", *[down() for _ in range(IN_A_ROW)], capabilities=("writing",)))
    await fail(agents, IN_A_ROW)
    with pytest.raises(NoAgent) as away:
        agents.choose(["writing"])
    assert away.value.retryable


async def test_agent_that_is_named_works_though_it_rests() -> None:
    agents, _ = registry(Own("own", *[down() for _ in range(IN_A_ROW)]))
    await fail(agents, IN_A_ROW)
    assert info(agents).status == "error"
    assert await run(agents) == {"body": "by own"}
    assert info(agents).status == "idle"


# ── records and limits ───────────────────────────────────────────────────────────────────────


async def test_records_of_earlier_days_count_in_the_choice() -> None:
    agents, _ = registry(Own("a", capabilities=("writing",)))
    history = [AgentOutcome("a", "", 2.0), AgentOutcome("b", "agent_failed", 1.0)] * 25
    agents.learn(history)
    agents.register(Own("b", capabilities=("writing",)))  # came after the log was read
    assert (info(agents, "a").success_rate, info(agents, "b").success_rate) == (1.0, 0.0)
    for _ in range(20):
        assert agents.choose(["writing"]).agent == "a"
        await run(agents, "a")


def test_room_names_provider_and_limits() -> None:
    agents, _ = registry(Own("own", max_concurrent=3), provider_limits={"openai": 5})
    assert agents.room("own", SETTINGS) == Room("", 3, None)
    chosen = RunSettings(models={"own": "openai:gpt-5"})
    assert agents.room("own", chosen) == Room("openai", 3, 5)
    assert agents.room("own", RunSettings(models={"own": "groq:x:y"})) == Room("groq", 3, None)
    assert agents.room("own", RunSettings(models={"own": "no model"})) == Room("", 3, None)


def test_agents_of_the_rules_engine_share_what_computes_for_them() -> None:
    agents = AgentRegistry(specs(model="openai:gpt-5"), tools=Tools(), provider_limits={"openai": 1})
    assert agents.room("builder", SETTINGS) == Room("rules", None, 2)


def test_what_a_file_says_of_an_agent_is_what_lists_and_engine_are_told() -> None:
    spec = AgentSpec.model_validate(
        {
            "name": "qa",
            "title": "QA",
            "instructions": "i",
            "output": "Plan",
            "capabilities": ["testing", "qa.web"],
            "priority": "high",
            "max_concurrent": 2,
            "retry": {"max_retries": 3, "initial_delay": 0.5},
        }
    )
    agents = AgentRegistry([spec], tools=Tools())
    found = info(agents, "qa")
    assert (found.priority, found.max_concurrent, found.capabilities, found.origin) == (
        "high",
        2,
        ("testing", "qa.web"),
        "file",
    )
    retry = agents.retry("qa")
    assert retry is not None
    assert (retry.max_retries, retry.delay(2)) == (3, 1.0)
    assert agents.retry("nobody") is None


async def test_ten_thousand_agents_register_and_one_is_chosen_at_once() -> None:
    agents, clock = registry()
    for number in range(10_000):
        agents.register(Own(f"a{number}", capabilities=("work", f"c{number % 50}"), heartbeat_s=10))
    clock.now += 31
    agents.beat("a1234")
    assert agents.choose(["work"]).agent == "a1234"
