"""The agents without a language model: the same agents, tools and events, played by rules. Pure.

Each role is a function of the step and of what its tools returned. It extracts, arranges and checks;
it invents nothing. Everything it makes is labelled `rules`. `rules_player.py` has it play a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import ValidationError

from orchestrator.agents import (
    flaws,
    rules_alone,
    rules_plan,
    rules_report,
    rules_research,
    rules_review,
    rules_team,
    rules_write,
)
from orchestrator.agents.finishing import finished
from orchestrator.agents.journal import material
from orchestrator.agents.spec import AgentSpec
from orchestrator.artifacts import ARTIFACTS, Artifact, Draft, Plan, ResearchBrief
from orchestrator.events import Json
from orchestrator.ports import AgentInfo, StepInput

SEARCH = "knowledge_search"
ArtifactT = TypeVar("ArtifactT", bound=Artifact)
FOUND = 10  # passages asked for in each search


class Worked(NamedTuple):
    """What came of a step."""

    made: Json  # the output as the agent gave it
    output: Json  # as the run keeps it
    flaw: str | None  # why it cannot count


def searches(spec: AgentSpec, step: StepInput) -> list[Json]:
    """Arguments of the searches that the step begins with; only research looks for something."""
    if spec.output != "ResearchBrief":
        return []
    return [{"query": query, "limit": FOUND} for query in rules_research.queries(step)]


def worked(
    spec: AgentSpec,
    step: StepInput,
    results: Sequence[Any],
    agents: Sequence[AgentInfo] = (),
    made: Json | None = None,
) -> Worked:
    """Play a step.

    Args:
        spec: the agent.
        step: what it knows.
        results: what its searches returned, failures left out.
        agents: those there are, for agents that choose among them.
        made: what it gave before a crash; None: nothing.
    """
    output = _kept(spec.output, made)
    if output is None:
        passages = [cast("Json", p) for found in results for p in _list(found) if isinstance(p, dict)]
        output = _made(spec, step, passages, agents)
    return Worked(
        output.model_dump(mode="json"),
        finished(output, step, material(step, results)).model_dump(mode="json"),
        flaws.flaw(output, step, agents),
    )


def _kept(output: str, made: Json | None) -> Artifact | None:
    with suppress(ValidationError):  # another version of the program gave it
        return None if made is None else ARTIFACTS[output].model_validate(made)
    return None


def _list(given: Any) -> list[Any]:
    return cast("list[Any]", given) if isinstance(given, list) else []


def _made(
    spec: AgentSpec, step: StepInput, passages: Sequence[Json], agents: Sequence[AgentInfo]
) -> Artifact:
    output = spec.output
    if output == "Report":
        return rules_report.report(step, spec.capabilities)
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
