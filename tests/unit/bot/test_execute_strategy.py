"""Strategies: tasks at once by machine and places, models by price."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.execute_strategy import FEW, MOST, STEP_BYTES, Machine, Place, at_once, machine, settings_for
from orchestrator.agents.registry import AgentRegistry
from orchestrator.events import RunSettings
from orchestrator.infra.providers import Provider, Providers
from orchestrator.tools.registry import Tools
from tests.unit.agents.steps import specs

BIG = Machine(cores=64, load=0.0, free_bytes=None)
AGENT = Place(0, None)


@pytest.mark.parametrize(
    ("strategy", "expected"), [("simple", 1), ("cost_optimize", FEW), ("parallel_optimize", MOST)]
)
def test_three_strategies_do_not_look_at_the_machine(strategy: str, expected: int) -> None:
    for there in (BIG, Machine(1, 50.0, 0)):
        assert at_once(strategy, there, []) == expected  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("there", "places", "expected"),
    [
        (BIG, [AGENT], MOST),
        (Machine(2, 0.0, None), [AGENT], 8),
        (Machine(4, 3.0, None), [AGENT], 4),
        (Machine(2, 9.0, None), [AGENT], 4),
        (Machine(64, 0.0, 3 * STEP_BYTES), [AGENT], 3),
        (Machine(64, 0.0, 0), [AGENT], 1),
        (BIG, [Place(1, 3), Place(0, 1)], 3),
        (BIG, [Place(5, 3), Place(1, 1)], 1),
        (BIG, [Place(0, 1), AGENT], MOST),
    ],
)
def test_resource_aware_takes_what_there_is_room_for(
    there: Machine, places: list[Place], expected: int
) -> None:
    assert at_once("resource_aware", there, places) == expected


@given(
    st.builds(Machine, st.integers(1, 512), st.floats(0, 1e4), st.none() | st.integers(0, 2**44)),
    st.lists(st.builds(Place, st.integers(0, 99), st.none() | st.integers(1, 99))),
)
def test_there_is_always_room_for_one_and_never_for_too_many(there: Machine, places: list[Place]) -> None:
    assert 1 <= at_once("resource_aware", there, places) <= MOST


def test_this_machine_can_be_looked_at() -> None:
    found = machine()
    assert found.cores >= 1
    assert found.load >= 0


def test_only_cost_optimize_changes_models() -> None:
    before = RunSettings(models={"builder": "openai:gpt-5", "own": "openai:gpt-5"})
    cheap = settings_for("cost_optimize", before, 2, {"builder": "openai:gpt-5-nano"})
    assert cheap.models == {"builder": "openai:gpt-5-nano", "own": "openai:gpt-5"}
    assert cheap.at_once == 2
    assert settings_for("simple", before, 1, {"builder": "x:y"}).models == before.models


# ── prices ───────────────────────────────────────────────────────────────────────────────────

OPENAI = Provider("openai", "https://api.openai.com/v1", "k", "gpt-5")
ELSEWHERE = Provider("openai", "http://127.0.0.1:9/v1", "k", "gpt-5")
CLAUDE = Provider("anthropic", "https://api.anthropic.com/v1", "k", "claude-sonnet-4-5")
OLLAMA = Provider("ollama", "http://127.0.0.1:11434/v1", None, "qwen3")
CUSTOM = Provider("customgpt", "https://app.customgpt.ai/api/v1", "k")


def providers(*given_providers: Provider) -> Providers:
    return Providers({provider.name: provider for provider in given_providers})


@pytest.mark.parametrize(
    ("there", "named", "expected"),
    [
        ((OPENAI,), (), "openai:gpt-5-nano"),
        ((CLAUDE,), (), "anthropic:claude-haiku-4-5"),
        ((CLAUDE, OPENAI), (), "openai:gpt-5-nano"),
        ((OPENAI, OLLAMA), (), "ollama:qwen3"),
        ((ELSEWHERE,), (), "openai:gpt-5"),
        ((ELSEWHERE,), ("openai:gpt-5-mini",), "openai:gpt-5-mini"),
        (
            (ELSEWHERE,),
            ("anthropic:claude-haiku-4-5", "nonsense", "openai:", "openai:no-such"),
            "openai:gpt-5",
        ),
        ((CUSTOM,), ("customgpt:7",), None),
        ((), ("openai:gpt-5",), None),
    ],
)
def test_the_cheapest_is_one_that_can_be_called_and_has_a_price(
    there: tuple[Provider, ...], named: tuple[str, ...], expected: str | None
) -> None:
    assert providers(*there).cheapest(named) == expected


def test_every_agent_of_a_file_gets_the_cheapest_and_with_rules_none_does() -> None:
    by_models = AgentRegistry(
        specs(), tools=Tools([]), models=providers(ELSEWHERE), default_model="openai:gpt-5-mini"
    )
    assert by_models.thrifty() == dict.fromkeys(by_models.names(), "openai:gpt-5-mini")
    assert AgentRegistry(specs(), tools=Tools([])).thrifty() == {}
