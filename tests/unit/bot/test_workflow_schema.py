"""The published JSON Schema: shipped workflows fit it, what is wrong does not, and it explains itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from bot.cli_workflow_schema import schema_command
from bot.workflow_schema import ABOUT, DIALECT, workflow_schema
from config.paths import WORKFLOWS_DIR
from config.yaml_text import read_text
from orchestrator.workflow import Workflow

GOOD: dict[str, Any] = {"name": "mine", "nodes": {"a": {"kind": "agent", "agent": "ada"}}}


def fits(document: object) -> bool:
    return bool(cast("Any", Draft202012Validator(workflow_schema())).is_valid(document))


def test_it_is_a_schema_of_the_dialect_that_it_names() -> None:
    schema = workflow_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("file", sorted(WORKFLOWS_DIR.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_workflow_fits(file: Path) -> None:
    assert fits(read_text(file.read_text(), file.name).values)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "My Flow"},
        {"name": None},
        {"version": 2},
        {"nodes": {}},
        {"nodes": {"Build": GOOD["nodes"]["a"]}},
        {"nodes": {"a": {"agent": "ada"}}},
        {"nodes": {"a": {"kind": "agnet"}}},
        {"nodes": {"a": {"kind": "agent", "agent": "ada", "timout": 3}}},
        {"nodes": {"a": {"kind": "agent", "agent": "ada", "timeout": 0}}},
        {"nodes": {"a": {"kind": "agent", "agent": "ada", "join": "some"}}},
        {"nodes": {"a": {"kind": "map", "agent": "ada"}}},
        {"nodes": {"a": {"kind": "approval"}}},
        {"nodes": {"a": {"kind": "input", "question": ""}}},
        {"edges": [{"from": "a"}]},
        {"edges": [{"from": "a", "to": "a", "on": "eror"}]},
        {"edges": [{"from": "a", "to": "a", "max_visits": 0}]},
        {"strategy": "at_once"},
        {"policies": {"on_failure": "ignore"}},
        {"inputs": {"version": {"type": "string"}}},
        {"workflows": {"inner": {"name": "inner"}}},
        {"colour": "red"},
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_what_is_wrong_does_not_fit(change: dict[str, Any]) -> None:
    assert fits(GOOD)
    assert not fits(GOOD | change)


def models() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from workflow_schema()["$defs"].items()


def test_every_key_explains_itself() -> None:
    for name, model in models():
        assert model["description"], name
        for key, part in model["properties"].items():
            assert len(part["description"]) > 15, (name, key)


def test_nothing_is_explained_that_there_is_not() -> None:
    keys = {key for _, model in models() for key in model["properties"]}
    for about in ABOUT:
        model, _, key = about.rpartition(".")
        assert key in keys
        assert not model or key in dict(models())[model]["properties"]


def test_a_workflow_as_the_log_keeps_it_fits_too() -> None:
    kept = Workflow.model_validate(GOOD).model_dump(mode="json", by_alias=True)
    assert fits(kept)


def test_the_command_prints_it() -> None:
    done = CliRunner().invoke(schema_command)
    assert done.exit_code == 0
    assert json.loads(done.stdout) == workflow_schema()
