"""The tool `knowledge_search`: passages of the knowledge folder that fit some words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.tools.registry import AgentTool, ToolTrouble

MOST = 12  # passages in one answer


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document in the knowledge folder."""

    title: str  # the document and the headings above the passage: "Approvals › Who may decide"
    url: str  # path in the folder, with the heading: "approvals.md#who-may-decide"
    text: str  # verbatim
    score: float  # higher fits better; comparable within one search only


class Knowledge(Protocol):
    """A searchable knowledge folder."""

    async def search(self, query: str, *, limit: int) -> list[Passage]:
        """Best first; empty if nothing fits. Takes any text."""
        ...


def knowledge_search(knowledge: Knowledge) -> AgentTool:
    """Make the tool over a knowledge folder."""

    async def search(query: str, limit: int = 6) -> list[dict[str, Any]]:
        """Search the team's knowledge folder and get passages, best first.

        Args:
            query: a few words that the passage should contain, without filler words.
            limit: how many passages at most, 1 to 12.
        """
        if not query.strip():
            raise ToolTrouble("The query is empty: give a few words to look for.")
        passages = await knowledge.search(query, limit=max(1, min(limit, MOST)))
        return [
            {"title": p.title, "url": p.url, "text": p.text, "score": round(p.score, 3)} for p in passages
        ]

    return AgentTool(
        name="knowledge_search",
        description="Search the team's knowledge folder. Gives passages with title, url and verbatim text.",
        run=search,
        doing=lambda arguments: (
            f"searching the knowledge folder for “{str(arguments.get('query', ''))[:80]}”"
        ),
        timeout_s=30.0,
    )
