"""What the steps before have made, as the reports by rules read it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from orchestrator.agents.checks import SEVERITIES
from orchestrator.artifacts import Issue
from orchestrator.events import Json
from orchestrator.ports import StepInput


def reports(step: StepInput) -> list[Json]:
    """Reports among the outputs, those inside of maps too; not what the node itself made before."""
    found: list[Json] = []
    for node, output in step.outputs.items():
        if node == own(step):
            continue
        inner = cast("list[Any]", output.get("items") or [])
        if "outcome" in output:
            found.append(output)
        elif isinstance(output.get("failed"), list):
            found += [cast("Json", one) for one in inner if isinstance(one, dict) and "outcome" in one]
    return found


def own(step: StepInput) -> str:
    """The node's name in its workflow: `deployment/health[2]` is `health`."""
    return step.node.rsplit("/", 1)[-1].split("[", 1)[0]


def first_items(step: StepInput) -> list[str]:
    """Items of the first report that has some, else the tasks of a plan."""
    for one in reports(step):
        if one.get("items"):
            return [str(item) for item in one["items"]]
    plans = [output for output in step.outputs.values() if output.get("tasks")]
    return [str(task.get("title", "")) for task in plans[-1]["tasks"]] if plans else []


def earlier_issues(step: StepInput) -> list[Issue]:
    """Findings of all of them."""
    found = [cast("list[Json]", one.get("issues") or []) for one in reports(step)]
    return [Issue.model_validate(issue) for issues in found for issue in issues]


def worst_first(found: Sequence[Issue]) -> list[Issue]:
    """By severity; equals stay in order."""
    return sorted(found, key=lambda issue: SEVERITIES.index(issue.severity))


def answers(step: StepInput) -> list[str]:
    """What people answered to questions of the workflow."""
    return [str(o["text"]) for o in step.outputs.values() if set(o) == {"text"}]


def text_of(output: Json) -> str:
    """An output as text; of a map, those of its items."""
    if isinstance(output.get("failed"), list):  # of a map
        inner = cast("list[Any]", output.get("items") or [])
        return "\n\n".join(text_of(cast("Json", one)) for one in inner if isinstance(one, dict))
    return str(output.get("body") or output.get("summary") or output.get("text") or output.get("goal") or "")


def failed(problem: Json) -> str:
    """One line: which node failed, and why."""
    told = problem.get("problem")
    message = str(cast("Json", told).get("message", "")) if isinstance(told, dict) else ""
    return f"{problem.get('node', 'a step')} failed: {message}".rstrip(": ")


def said(value: Any) -> str:
    """A JSON value as a person would say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(said, cast("Sequence[Any]", value))))
    if isinstance(value, dict):
        one = cast("Json", value)
        named = str(one.get("title") or one.get("name") or one.get("body") or "")
        rows = (f"{key.replace('_', ' ')}: {part}" for key, inner in one.items() if (part := said(inner)))
        return named or "; ".join(rows)
    return str(value)
