"""The setting `MAX_ROUNDS` in workflows that go round: it bounds their input `max_rounds`. Pure."""

from __future__ import annotations

from typing import Any, cast

from orchestrator.workflow import Workflow

INPUT = "max_rounds"


def bounded(workflow: Workflow, most: int) -> Workflow:
    """The workflow with `most` rounds as the default and the maximum of its input `max_rounds`.

    A smaller maximum of the file stays, and is the default then; workflows without such an input stay as
    they are, and those inside of it are bounded too.

    Args:
        most: the setting `MAX_ROUNDS`, at least 1.
    """
    inner = {name: bounded(one, most) for name, one in workflow.workflows.items()}
    properties = cast("dict[str, Any]", workflow.inputs.get("properties") or {})
    rounds = properties.get(INPUT)
    is_number = isinstance(rounds, dict) and cast("dict[str, Any]", rounds).get("type") == "integer"
    if not is_number and inner == workflow.workflows:
        return workflow
    inputs = workflow.inputs
    if is_number:
        given = cast("dict[str, Any]", rounds)
        highest = min(most, int(given.get("maximum", most)))
        changed = given | {"maximum": highest, "default": highest}
        inputs = inputs | {"properties": properties | {INPUT: changed}}
    # Not `model_copy`: it would keep what was worked out for the old one, such as its digest.
    document = workflow.model_dump(mode="json", by_alias=True)
    document["inputs"] = inputs
    document["workflows"] = {name: one.model_dump(mode="json", by_alias=True) for name, one in inner.items()}
    return Workflow.model_validate(document)
