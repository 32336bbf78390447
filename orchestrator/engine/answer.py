"""The answer of a run, made of what its nodes put out. Pure."""

from __future__ import annotations

import json

from pydantic import ValidationError

from orchestrator.artifacts import Answer, Draft, ResearchBrief, Review
from orchestrator.engine.state import RunState
from orchestrator.merge import merge
from orchestrator.workflow import Workflow


def answer_of(workflow: Workflow, state: RunState) -> Answer:
    """The draft with the reviewer's edits merged; without an `answer` section, the last output as it is."""
    parts = workflow.answer
    draft = state.latest(parts.draft) if parts else None
    if parts is None or draft is None:
        return Answer(body=_last_output(state))
    review = state.latest(parts.review) if parts.review else None
    brief = state.latest(parts.brief) if parts.brief else None
    try:
        return merge(
            Draft.model_validate(draft),
            Review.model_validate({k: v for k, v in review.items() if k != "repeated"}) if review else None,
            ResearchBrief.model_validate(brief) if brief else None,
        )
    except ValidationError:
        # A workflow of one's own may name nodes that put out something else; show what there is.
        return Answer(body=_last_output(state))


def _last_output(state: RunState) -> str:
    for step in reversed(state.steps):
        output = state.latest(step.node)
        if output is not None:
            body = output.get("body") or output.get("summary")
            return (
                body
                if isinstance(body, str)
                else f"```json\n{json.dumps(output, indent=2, ensure_ascii=False)}\n```"
            )
    return "The workflow ended without output."
