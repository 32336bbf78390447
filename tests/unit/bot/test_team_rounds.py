"""MAX_ROUNDS bounds the input `max_rounds` of workflows that have it, and changes nothing else."""

from __future__ import annotations

import pytest

from bot.team_rounds import bounded
from config.documents import read_model
from orchestrator.inputs import InputsRefused, checked
from orchestrator.workflow import Workflow
from tests.builders import ROOT, quartet


def shipped(name: str) -> Workflow:
    return read_model(ROOT / "config" / "workflows" / f"{name}.yaml", Workflow)


@pytest.mark.parametrize("name", ["team", "supervised"])
def test_the_setting_is_default_and_maximum(name: str) -> None:
    few = bounded(shipped(name), 3)
    assert checked(few, {})["max_rounds"] == 3
    assert checked(few, {"max_rounds": 2})["max_rounds"] == 2
    with pytest.raises(InputsRefused, match="4 is too large"):
        checked(few, {"max_rounds": 4})
    assert few.digest != shipped(name).digest  # a run keeps the bound it started with


def test_a_larger_setting_allows_more_up_to_what_the_file_allows() -> None:
    assert checked(bounded(shipped("team"), 40), {})["max_rounds"] == 40
    assert checked(bounded(shipped("team"), 1000), {})["max_rounds"] == 100


def test_what_has_no_rounds_stays_the_very_same() -> None:
    assert bounded(quartet(), 3) is quartet()


def test_workflows_inside_of_others_are_bounded_too() -> None:
    inner = shipped("team")
    outer = Workflow.model_validate(
        {
            "name": "outer",
            "nodes": {"inside": {"kind": "workflow", "workflow": "team"}},
            "workflows": {"team": inner.model_dump(mode="json", by_alias=True)},
        }
    )
    assert checked(bounded(outer, 3).workflows["team"], {})["max_rounds"] == 3
