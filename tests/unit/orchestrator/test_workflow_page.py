"""The pages about workflows: each example is a whole workflow without a flaw, and no key is left out."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest

from config.documents import read_text_model
from config.paths import agent_files, workflow_files
from config.yaml_text import read_text
from orchestrator.expressions import FUNCTIONS
from orchestrator.input_schema import FORMATS
from orchestrator.workflow import Edge, Policies, Workflow
from orchestrator.workflow_checks import problems

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "docs" / "workflows.md", ROOT / "knowledge" / "workflows.md")
KINDS = ("agent", "decision", "approval", "input", "map", "workflow", "error_handler")


def examples() -> list[tuple[str, str]]:
    return [
        (f"{page.parent.name}:{i + 1}", block)
        for page in PAGES
        for i, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.S | re.M))
    ]


@pytest.mark.parametrize(("name", "text"), examples(), ids=[name for name, _ in examples()])
def test_every_example_is_a_workflow_without_a_flaw(name: str, text: str) -> None:
    files = [read_text(file.read_text(), file.name).values for file in agent_files()]
    agents = frozenset(str(values["name"]) for values in files)
    capabilities = frozenset(chain.from_iterable(values.get("capabilities", ()) for values in files))
    shipped = frozenset(file.stem for file in workflow_files())
    read_text_model(
        text,
        name,
        Workflow,
        extra_check=lambda w: (
            (flaw.path, flaw.message)
            for flaw in problems(w, agents=agents, capabilities=capabilities, workflows=shipped)
        ),
    )


def test_there_are_examples_of_every_kind_of_node() -> None:
    text = "\n".join(block for _, block in examples())
    assert len(examples()) >= 8
    assert all(f"kind: {kind}" in text for kind in KINDS)


def test_the_page_tells_of_every_key() -> None:
    page = PAGES[0].read_text().split("## The shipped workflows in pictures")[0]
    told = set(re.findall(r"`([a-z_-]+)[:`]", page)) | set(re.findall(r"^ *([a-z_]+):", page, re.M))
    assert set(Workflow.model_fields) <= told
    assert set(Policies.model_fields) <= told
    assert {field.alias or name for name, field in Edge.model_fields.items()} <= told
    assert set(FUNCTIONS) | set(FORMATS) <= told
    section = page.split("## Policies")[1]
    for name, field in Policies.model_fields.items():
        default = field.default if isinstance(field.default, str) else f"{field.default:g}"
        assert re.search(rf"^\| `{name}` \| `?{default}`? \|", section, re.M), name
