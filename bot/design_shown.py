"""The drafted workflows that a run's questions are about, to be shown as pictures."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from bot.artifact_parts import artifact_of
from config.documents import read_text_model
from config.errors import ConfigError
from orchestrator.artifacts import WorkflowDraft
from orchestrator.engine.state import RunState
from orchestrator.workflow import Workflow


class DraftShown(NamedTuple):
    """A question and its workflow."""

    approval_id: str
    workflow: Workflow


def drafts_of(state: RunState) -> list[DraftShown]:
    """Drafts that people are asked about, or were."""
    found: list[DraftShown] = []
    for approval in state.approvals.values():
        # By its keys first: this is asked each time that a run is shown.
        arguments = approval.asked.arguments
        draft = artifact_of(arguments) if "yaml" in arguments else None
        workflow = _read(draft.yaml) if isinstance(draft, WorkflowDraft) else None
        if workflow is not None:
            found.append(DraftShown(approval.asked.approval_id, workflow))
    return found


@lru_cache(maxsize=32)
def _read(yaml: str) -> Workflow | None:
    try:
        return read_text_model(yaml, "draft", Workflow)
    except ConfigError:  # a workflow of somebody's own may ask about any text
        return None
