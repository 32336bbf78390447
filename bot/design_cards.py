"""The agents that come with the program and have no file: no model plays them, they know the library."""

from __future__ import annotations

from typing import Final

from orchestrator.agents.player import AgentCard

DESIGN: Final = "design"  # the workflow behind the word

READER: Final = AgentCard(
    name="draft_reader",
    title="Reader of drafts",
    capabilities=("workflow_reading",),
    timeout_s=60,
    origin="built_in",
)
LIBRARIAN: Final = AgentCard(
    name="librarian",
    title="Librarian",
    capabilities=("workflow_saving",),
    timeout_s=60,
    origin="built_in",
)
BUILT_IN: Final = (READER, LIBRARIAN)
