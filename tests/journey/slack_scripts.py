"""What the models say in conversations on Slack: four agents who speak of tea."""

from __future__ import annotations

from typing import Any

from tests.house import DRAFT, PLAN, REVIEW

BRIEF: dict[str, Any] = {
    "summary": "Tea is a warm drink.",
    "findings": [{"claim": "Tea is a warm drink made of leaves.", "source_ids": [1]}],
    "sources": [
        {
            "id": 1,
            "title": "Tea",
            "url": "tea.md#what-tea-is",
            "quoted": "Tea is a warm drink made of leaves.",
        }
    ],
    "gaps": [],
}
SEARCH: dict[str, Any] = {"tool_calls": [{"name": "knowledge_search", "arguments": {"query": "what is tea"}}]}
HANG: dict[str, Any] = {"hang": True}


def script(**entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Four agents who do their work once; `entries` replaces what one of them says."""
    accepted = {name: value for name, value in REVIEW.items() if name != "repeated"}
    answers: dict[str, list[dict[str, Any]]] = {
        "researcher": [SEARCH, {"output": BRIEF}],
        "planner": [{"output": PLAN}],
        "builder": [{"output": DRAFT}],
        "reviewer": [{"output": accepted}],
    }
    return {"answers": answers | entries}


def drafts(body: str, **files: str) -> list[dict[str, Any]]:
    """A builder who writes this, with these files (`notes_md` is called notes.md)."""
    made = [{"name": name.replace("_", "."), "text": text} for name, text in files.items()]
    return [{"output": {**DRAFT, "body": body, "files": made}}]
