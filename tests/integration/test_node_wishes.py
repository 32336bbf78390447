"""What a workflow's node wishes of the model reaches the provider: which one, and its temperature."""

from __future__ import annotations

from typing import Any

from orchestrator.agents.registry import AgentRegistry
from orchestrator.events import Json, RunSettings
from orchestrator.infra.providers import Provider, Providers
from orchestrator.ports import Room
from orchestrator.tools.registry import Tools
from tests.twins.openai_server import KEY, ModelServer
from tests.unit.agents.steps import MemorySink, specs, step

DRAFT: Json = {"output": {"body": "Cats sleep.", "task_results": []}}


async def test_the_models_and_temperatures_of_nodes_count_before_those_of_their_agents() -> None:
    with ModelServer({"answers": {"builder": [DRAFT] * 3}}) as server:
        providers = Providers(
            {
                "openai": Provider("openai", f"{server.url}/v1", KEY, "gpt-5"),
                "own": Provider("own", f"{server.url}/v1", KEY, "small"),
            }
        )
        agents = AgentRegistry(
            specs(temperature=0.7),
            tools=Tools(),
            models=providers,
            default_model="openai:gpt-4o",
            provider_limits={"own": 2, "openai": 9},
        )
        chosen = RunSettings(models={"builder": "openai:gpt-4o-mini"})
        try:
            own = {"model": "own:small", "temperature": 1.5, "settings": chosen}
            wishes: list[dict[str, Any]] = [{}, {"temperature": 0.0}, own]
            for wish in wishes:
                await agents.run(step("builder", "Write of cats", **wish), MemorySink())
            assert agents.room("builder", chosen) == Room("openai", None, 9)
            assert agents.room("builder", chosen, "own:small") == Room("own", None, 2)
        finally:
            await providers.close()
        asked = server.journal()["requests"]
    assert [(one["model"], one["temperature"]) for one in asked] == [
        ("gpt-4o", 0.7),
        ("gpt-4o", 0.0),
        ("small", 1.5),
    ]
