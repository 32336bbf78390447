"""An agent's output as the run keeps it: quotes checked against the material, citations marked. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from orchestrator.agents import checks
from orchestrator.artifacts import Artifact, Draft, Report, ResearchBrief, Review
from orchestrator.events import Json
from orchestrator.ports import StepInput


def finished(output: Artifact, step: StepInput, material: Sequence[str]) -> Artifact:
    """The output, tidied.

    Args:
        material: every text the agent could quote.
    """
    if isinstance(output, ResearchBrief):
        return checks.tidy_brief(output, list(material))
    if isinstance(output, Draft):
        return checks.mark_citations(output, source_ids(step))
    if isinstance(output, Review):
        return checks.reviewed(output, step.previous_reviews)
    if isinstance(output, Report):
        return checks.tidy_report(output)
    return output


def source_ids(step: StepInput) -> list[int]:
    """Numbers of the sources that the run has; what others' outputs hold in their place is passed over."""
    ids: list[int] = []
    for output in step.outputs.values():
        sources: Any = output.get("sources")
        for source in cast("list[Any]", sources) if isinstance(sources, list) else []:
            number: Any = cast("Json", source).get("id") if isinstance(source, dict) else None
            if isinstance(number, int):
                ids.append(number)
    return ids
