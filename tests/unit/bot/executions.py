"""A run of the workflow `goal`, played in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from config.documents import read_model
from config.paths import WORKFLOWS_DIR
from orchestrator.events import Json
from orchestrator.workflow import Workflow
from tests.builders import Play, brief, draft, plan, review, task

FINISHED: Final[Sequence[tuple[str, Json]]] = (
    ("research", brief()),
    ("plan", plan("Explain tea", task("b", "Second", "a"), task("a", "First", acceptance="it is warm"))),
    ("work[0]", draft("first")),
    ("work[1]", draft("second")),
    ("answer", draft()),
    ("review", review()),
)


def played(steps: Sequence[tuple[str, Json]]) -> Play:
    """The run after these steps have ended."""
    play = Play(read_model(WORKFLOWS_DIR / "goal.yaml", Workflow))
    for node, output in steps:
        play.done(node, output)
    return play
