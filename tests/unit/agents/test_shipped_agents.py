"""The agents that come with the bot: told apart, documented, and played by rules without a model."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
import yaml

from orchestrator.agents.model_player import allowed_tools
from orchestrator.agents.registry import AgentRegistry
from orchestrator.agents.spec import AgentSpec
from orchestrator.artifacts import ARTIFACTS
from orchestrator.events import RunSettings
from orchestrator.tools.registry import Tools
from tests.unit.agents.steps import ROOT, MemorySink, step

FILES = sorted((ROOT / "config" / "agents").glob("*.yaml"))
SPECS = [AgentSpec.model_validate(yaml.safe_load(file.read_text("utf-8"))) for file in FILES]
PAGE = ROOT / "docs" / "agents.md"


def test_a_capability_stands_for_one_kind_of_output() -> None:
    outputs: defaultdict[str, set[str]] = defaultdict(set)
    for spec in SPECS:
        for capability in spec.capabilities:
            outputs[capability].add(spec.output)
    assert {c: kinds for c, kinds in outputs.items() if len(kinds) > 1} == {}


def test_the_page_lists_every_agent_with_its_capabilities() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.*) \| (\w+) \|$", PAGE.read_text("utf-8"))
    said = {name: (tuple(re.findall(r"`(\w+)`", able)), output) for name, able, output in rows}
    assert said == {spec.name: (spec.capabilities, spec.output) for spec in SPECS}


@pytest.mark.parametrize(
    "name", [spec.name for spec in SPECS if spec.output not in ("WorkflowDraft", "ResearchBrief")]
)
async def test_every_agent_works_without_a_model(name: str) -> None:
    registry = AgentRegistry(SPECS, tools=Tools())
    sink = MemorySink()
    output = await registry.run(step(name, "Build a shop that sells tea.", task="Do your part."), sink)
    [spec] = [spec for spec in SPECS if spec.name == name]
    fields = ARTIFACTS[spec.output].model_fields
    assert set(output) - {"repeated"} == set(fields)
    if spec.output == "Report":
        assert output["outcome"] == "done"
        assert "rules engine" in output["body"]
    if spec.output in ("TeamPlan", "Delegation"):
        named = [m["agent"] for m in output.get("members", [])] or [output["member"]]
        assert set(named) <= {spec.name for spec in SPECS}
        assert len(named) > 1 or spec.output == "Delegation"


def test_a_member_of_a_team_has_only_the_tools_that_it_was_given() -> None:
    member = {"name": "Ann", "role": "r", "instructions": "i", "tools": ["a", "b"]}
    channel = RunSettings(tools=("b", "c"))
    assert allowed_tools(step("qa", "t")) is None
    assert allowed_tools(step("qa", "t", member={**member, "tools": []}, settings=channel)) == ("b", "c")
    assert allowed_tools(step("qa", "t", member=member)) == ("a", "b")
    assert allowed_tools(step("qa", "t", member=member, settings=channel)) == ("b",)
