"""The agents without a language model: the same agents, tools and events, played by rules.

Each role is a pure function of the step and of what its tools returned. It extracts, arranges and
checks; it invents nothing. Everything it makes is labelled `rules`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from orchestrator.agents import rules_plan, rules_research, rules_review, rules_write
from orchestrator.agents.spec import RULES, AgentSpec
from orchestrator.artifacts import Artifact, Draft, Plan, ResearchBrief
from orchestrator.events import Json
from orchestrator.ports import StepInput

SEARCH = "knowledge_search"
ArtifactT = TypeVar("ArtifactT", bound=Artifact)
FOUND = 10  # passages asked for in each search


def rules_model(spec: AgentSpec, step: StepInput) -> FunctionModel:
    """A model that answers this step by rules."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        returned = _returned(messages)
        searching = spec.output == "ResearchBrief" and any(t.name == SEARCH for t in info.function_tools)
        if searching and returned is None:
            calls: list[ModelResponsePart] = [
                ToolCallPart(SEARCH, {"query": query, "limit": FOUND}, tool_call_id=f"search-{n}")
                for n, query in enumerate(rules_research.queries(step), start=1)
            ]
            if calls:
                return ModelResponse(parts=calls)
        made = _made(spec.output, step, returned or [])
        tool = info.output_tools[0].name
        return ModelResponse(parts=[ToolCallPart(tool, made.model_dump(mode="json"), tool_call_id="output")])

    return FunctionModel(answer, model_name=RULES)


def _made(output: str, step: StepInput, passages: Sequence[Json]) -> Artifact:
    if output == "ResearchBrief":
        return rules_research.brief(step, passages)
    brief = latest(step, ResearchBrief, "findings") or ResearchBrief(summary="")
    if output == "Plan":
        return rules_plan.plan(step, brief)
    plan = latest(step, Plan, "tasks") or rules_plan.plan(step, brief)
    if output == "Draft":
        return rules_write.draft(step, brief, plan)
    draft = latest(step, Draft, "body") or Draft(body="")
    return rules_review.review(step, brief, plan, draft)


def latest(step: StepInput, kind: type[ArtifactT], mark: str) -> ArtifactT | None:
    """The newest output of a kind, by a field that only this kind has."""
    for output in reversed(list(step.outputs.values())):
        if mark in output and (mark != "findings" or "sources" in output):
            return kind.model_validate(output)
    return None


def _returned(messages: list[ModelMessage]) -> list[Json] | None:
    """Passages of all searches so far; None: there was no search yet."""
    parts = [
        p for m in messages if isinstance(m, ModelRequest) for p in m.parts if isinstance(p, ToolReturnPart)
    ]
    searches = [p for p in parts if p.tool_name == SEARCH]
    if not searches:
        return None
    passages: list[Json] = []
    for part in searches:
        content: Any = part.content
        if part.outcome == "success" and isinstance(content, list):
            passages += [p for p in cast(list[Any], content) if isinstance(p, dict)]
    return passages
