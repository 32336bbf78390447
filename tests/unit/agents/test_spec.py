"""Agents' files and the registry."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.agents.registry import AgentRegistry
from orchestrator.agents.spec import AgentSpec, split_reference
from orchestrator.errors import NoAgent
from orchestrator.tools.registry import Tools
from tests.unit.agents.steps import ROOT, MemorySink, specs, step

GOOD: dict[str, Any] = {"name": "a", "title": "A", "instructions": "i", "output": "Plan"}


def test_shipped_agents_are_the_four_in_order() -> None:
    assert [(s.name, s.output) for s in specs()] == [
        ("researcher", "ResearchBrief"),
        ("planner", "Plan"),
        ("builder", "Draft"),
        ("reviewer", "Review"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "A B"},
        {"title": ""},
        {"output": "Poem"},
        {"model": "gpt-5"},
        {"model": ":x"},
        {"temperature": 3},
        {"timeout_s": 0},
        {"max_model_calls": 0},
        {"colour": "red"},
    ],
)
def test_broken_specs_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AgentSpec.model_validate(GOOD | change)


def test_references() -> None:
    assert split_reference("openai:gpt-5") == ("openai", "gpt-5")
    assert split_reference("ollama:qwen3:8b") == ("ollama", "qwen3:8b")
    assert split_reference("rules") == ("rules", "rules")


def test_registry_and_spec_import_no_model_library() -> None:
    code = (
        "import sys, orchestrator.agents.registry, orchestrator.agents.spec, orchestrator.infra.providers, "
        "orchestrator.infra.knowledge_index, orchestrator.tools.web_search, orchestrator.tools.page_fetch; "
        "heavy = {'pydantic_ai', 'openai', 'httpx2', 'genai_prices', 'ddgs', 'tavily', 'pypdf'}; "
        "heavy &= set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_unknown_agent_is_named_with_those_there_are() -> None:
    agents = AgentRegistry(specs(), tools=Tools())
    with pytest.raises(NoAgent, match="researcher, planner, builder, reviewer"):
        await agents.run(step("poet", "x"), MemorySink())


def test_infos_say_rules_where_there_are_no_providers() -> None:
    infos = AgentRegistry(specs(model="openai:gpt-5"), tools=Tools()).infos()
    assert {info.model for info in infos} == {"rules"}
    assert infos[0].tools == ()  # none of its tools is registered


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"priority": "urgent"}, "critical"),
        ({"max_concurrent": 0}, "greater than or equal to 1"),
        ({"retry": {"max_retries": 11}}, "less than or equal to 10"),
        ({"retry": {"times": 1}}, "Extra inputs"),
        ({"capabilities": ["Research"]}, "pattern"),
        ({"capabilities": ["a b"]}, "pattern"),
        ({"capabilities": ["a" * 41]}, "pattern"),
        ({"capabilities": ["a", "b", "a"]}, "'a' twice; once is enough"),
        ({"memory_mb": 64}, "played by a model; remove memory_mb"),
        ({"cpu_s": 1}, "played by a model; remove cpu_s"),
    ],
)
def test_broken_limits_are_refused_with_a_remedy(change: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        AgentSpec.model_validate(GOOD | change)


def test_agents_without_new_keys_are_as_before() -> None:
    spec = AgentSpec.model_validate(GOOD | {"capabilities": ["code.review", "qa-web_2"]})
    assert (spec.priority, spec.max_concurrent, spec.retry) == ("medium", None, None)
