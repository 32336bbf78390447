"""The agents without a language model: the same agents, tools and events, played by rules.

Each role is a pure function of the step and of what its tools returned. It extracts, arranges and
checks; it invents nothing. Everything it makes is labelled `rules`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo as CallInfo
from pydantic_ai.models.function import FunctionModel

from orchestrator.agents import (
    rules_alone,
    rules_plan,
    rules_report,
    rules_research,
    rules_review,
    rules_team,
    rules_write,
)
from orchestrator.agents.spec import RULES, AgentSpec
from orchestrator.artifacts import Artifact, Draft, Plan, ResearchBrief
from orchestrator.events import Json
from orchestrator.ports import AgentInfo, StepInput

SEARCH = "knowledge_search"
ArtifactT = TypeVar("ArtifactT", bound=Artifact)
FOUND = 10  # passages asked for in each search


def rules_model(spec: AgentSpec, step: StepInput, agents: Sequence[AgentInfo] = ()) -> FunctionModel:
    """A model that answers this step by rules.

    Args:
        agents: those there are, for agents that choose among them.
    """

    async def answer(messages: list[ModelMessage], info: CallInfo) -> ModelResponse:
        returned = _returned(messages)
        searching = spec.output == "ResearchBrief" and any(t.name == SEARCH for t in info.function_tools)
        if searching and returned is None:
            calls: list[ModelResponsePart] = [
                ToolCallPart(SEARCH, {"query": query, "limit": FOUND}, tool_call_id=f"search-{n}")
                for n, query in enumerate(rules_research.queries(step), start=1)
            ]
            if calls:
                return ModelResponse(parts=calls)
        if spec.output == "Report":  # may look at thousands of lines
            made: Artifact = await asyncio.to_thread(rules_report.report, step, spec.capabilities)
        else:
            made = _made(spec.output, step, returned or [], agents)
        tool = info.output_tools[0].name
        return ModelResponse(parts=[ToolCallPart(tool, made.model_dump(mode="json"), tool_call_id="output")])

    return FunctionModel(answer, model_name=RULES)


def _made(output: str, step: StepInput, passages: Sequence[Json], agents: Sequence[AgentInfo]) -> Artifact:
    if output == "ResearchBrief":
        return rules_research.brief(step, passages)
    if output == "TeamPlan":
        return rules_team.team_plan(step, agents)
    if output == "Delegation":
        return rules_team.delegation(step, agents)
    if output == "WorkflowDraft":
        design = import_module("orchestrator.agents.rules_design")
        return cast("Artifact", design.workflow_draft(step, agents))
    if rules_alone.is_alone(step, output):
        return _alone(output, step)
    brief = latest(step, ResearchBrief, "findings") or ResearchBrief(summary="")
    if output == "Plan":
        return rules_plan.plan(step, brief)
    known = latest(step, Plan, "tasks")
    plan = known or rules_plan.plan(step, brief)
    if output == "Draft":
        return rules_write.draft(step, brief, _own_task(step, plan))
    draft = latest(step, Draft, "body") or Draft(body="")
    return rules_review.review(step, brief, known if step.turn.parts else plan, draft)


def _own_task(step: StepInput, plan: Plan) -> Plan:
    """The plan with the one task that a step of a map works on; the whole plan for all others."""
    wanted = cast("Json", step.item).get("id") if isinstance(step.item, dict) else None
    own = [task for task in plan.tasks if task.id == wanted]
    return plan.model_copy(update={"tasks": own, "outline": [t.title for t in own]}) if own else plan


def _alone(output: str, step: StepInput) -> Artifact:
    if output == "Plan":
        return rules_alone.plan(step)
    return rules_alone.draft(step) if output == "Draft" else rules_alone.review(step)


def latest(step: StepInput, kind: type[ArtifactT], mark: str) -> ArtifactT | None:
    """The newest output of a kind, by a field that only this kind has."""
    for output in reversed(list(step.outputs.values())):
        if mark in output and (mark != "findings" or "sources" in output):
            with suppress(ValidationError):  # another kind may have a field of this name too
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
