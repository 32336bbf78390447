"""What `/api/execute` answers, made of a run, and the events of its stream. Pure.

Every event of the log makes at most three events of the stream, always the same ones: so a stream
can be taken up behind any of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

from pydantic import ValidationError

from bot.api.execute_models import Execution, GoalIn, Outcome, PlanOut, PlanStep, Status, TaskOut
from bot.api.execute_strategy import Strategy
from bot.api.starting import name_in
from bot.api.views import answer_of, moment
from orchestrator.artifacts import MadeFile, Plan
from orchestrator.engine.scopes import item_of, node_of
from orchestrator.engine.state import NodeState, RunState
from orchestrator.events import (
    ApiCall,
    GroupStarted,
    Json,
    RunCreated,
    RunEnded,
    RunEvent,
    RunStarted,
    StepEnded,
    StepFailed,
    StepStarted,
    ToolReturned,
)
from orchestrator.item_order import in_order
from orchestrator.workflow import AgentNode, Assigned, MapNode, Workflow

WORKFLOW: Final = "goal"
PLAN, WORK = "plan", "work"  # nodes of that workflow
TITLE_CHARS: Final = 120
_STATUS: Final[Mapping[str, Status]] = {"done": "completed", "failed": "failed", "skipped": "failed"}


class Sent(NamedTuple):
    """One event of the stream."""

    seq: int  # of the log's event that it is made of
    part: int  # 0 progress, 1 update, 2 done
    event: str
    content: Json


def about(goal: str | GoalIn, strategy: Strategy, parallelism: int) -> Json:
    """What is kept with the turn."""
    parts = goal.model_dump(mode="json") if isinstance(goal, GoalIn) else None
    return {"goal": parts, "strategy": strategy, "parallelism": parallelism}


def execution(state: RunState, workflow: Workflow, at: datetime) -> Execution:
    """A run as an execution.

    Args:
        state: of the run.
        workflow: the definition that it began with.
        at: now, aware.
    """
    created, ended = state.created, state.ended
    until = state.ended_at or at
    took = (until - state.started_at).total_seconds() if state.started_at else 0.0
    kept = _kept(state)
    goal = GoalIn.model_validate(kept["goal"]) if kept.get("goal") else created.turn.text
    return Execution(
        id=name_in("execute", created.conversation_id),
        runId=state.run_id,
        status=_of_run(state),
        executionTime=max(0, round(took * 1000)),
        tokensUsed=state.usage.input_tokens + state.usage.output_tokens,
        goal=goal,
        plan=_plan(state, kept),
        tasks=list(_tasks(state, workflow)),
        engine=created.engine,
        cost=state.usage.cost_usd,
        error=_error(state) if ended is not None and ended.status != "completed" else None,
        createdAt=state.created_at,
        startedAt=state.started_at,
        completedAt=state.ended_at,
    )


def outcome(state: RunState, workflow: Workflow, at: datetime) -> Outcome:
    """The same with the answer, where there is one."""
    shown = execution(state, workflow, at)
    answer = answer_of(state)
    if answer is None:
        return Outcome(execution=shown, result=None)
    files = {file.name: file for file in (*_made(state), *answer.files)}
    return Outcome(execution=shown, result=answer.body, files=list(files.values()), sources=answer.sources)


def sent(before: RunState | None, state: RunState, event: RunEvent, workflow: Workflow) -> Iterator[Sent]:
    """The events of the stream that one event of the log makes.

    Args:
        before: the state before it; None: it is the first.
        state: the state after it.
        event: what happened.
        workflow: the definition that the run began with.
    """
    if before is not None and before.ended is not None:
        return  # what people think of it afterwards
    progress = _progress(state, event, workflow)
    if progress is not None:
        yield Sent(event.seq, 0, "progress", progress)
    now = execution(state, workflow, event.at)
    if before is None or not _alike(execution(before, workflow, event.at), now):
        yield Sent(event.seq, 1, "update", {"execution": now.model_dump(mode="json")})
    if isinstance(event.body, RunEnded):
        yield Sent(event.seq, 2, "done", outcome(state, workflow, event.at).model_dump(mode="json"))


def _alike(before: Execution, now: Execution) -> bool:
    return before.model_copy(update={"executionTime": now.executionTime}) == now


# ── parts ────────────────────────────────────────────────────────────────────────────────────


def _kept(state: RunState) -> Json:
    return (state.created.turn.call or ApiCall()).about


def _of_run(state: RunState) -> Status:
    if state.ended is not None:
        return "completed" if state.ended.status == "completed" else "failed"
    return "pending" if state.started_at is None else "running"


def _of_node(state: RunState, node: NodeState | None) -> Status:
    if node is None:
        return "pending"
    at_work: Status = "running" if state.ended is None else "failed"  # cut off by the run's end
    ended = _STATUS.get(node.status)
    return ended if ended is not None else at_work


def _error(state: RunState) -> str:
    ended = state.ended
    assert ended is not None
    if ended.problem is not None:
        return ended.problem.message
    return f"The run was {ended.status}{f': {ended.reason}' if ended.reason else ''}."


def _plan(state: RunState, kept: Json) -> PlanOut:
    first = state.created.turn.text.strip().split("\n", 1)[0]
    title = first if len(first) <= TITLE_CHARS else f"{first[: TITLE_CHARS - 1]}…"
    planned = _planned(state)
    steps = list(_steps(state, planned)) if planned else []
    summary = ""
    if planned:
        done = sum(step.status == "completed" for step in steps)
        lost = sum(step.status == "failed" for step in steps)
        summary = f"{done} of {len(steps)} tasks done{f', {lost} failed' if lost else ''}."
        if planned.outline:
            summary += f" The answer: {'; '.join(planned.outline)}."
        if planned.risks:
            summary += f" Risks: {'; '.join(planned.risks)}"
    return PlanOut(
        strategy=kept.get("strategy", "simple"),
        parallelism=kept.get("parallelism", 1),
        title=planned.goal if planned else title,
        summary=summary,
        steps=steps,
    )


def _planned(state: RunState) -> Plan | None:
    output = state.latest(PLAN)
    try:
        return Plan.model_validate(output) if output is not None else None
    except ValidationError:  # an agent of one's own stands in for the planner
        return None


def _steps(state: RunState, planned: Plan) -> Iterator[PlanStep]:
    """The tasks as the map goes over them: in the order in which they can be worked on."""
    group = state.groups.get(WORK)
    tasks = in_order([task.model_dump(mode="json") for task in planned.tasks])
    for index, task in enumerate(tasks):
        begun = group is not None and index < group.begun
        said = [str(task["acceptance"])] if task["acceptance"] else []
        said += [f"After: {', '.join(task['depends_on'])}."] if task["depends_on"] else []
        yield PlanStep(
            id=task["id"],
            title=task["title"],
            description=" ".join(said),
            status=_of_node(state, state.nodes.get(f"{WORK}[{index}]") if begun else None),
        )


def _tasks(state: RunState, workflow: Workflow) -> Iterator[TaskOut]:
    found: dict[tuple[str, int], TaskOut] = {}
    latest = {name: node.visit for name, node in state.nodes.items()}
    for step in state.steps:
        agent = _agent(state, workflow, step.node, step.agent)
        if agent is None:
            continue
        if latest.get(step.node) == step.visit:
            status = _of_node(state, state.nodes[step.node])
        else:
            status = "completed" if step.status == "done" else "failed"
        found[step.node, step.visit] = TaskOut(
            id=f"{step.node}:{step.visit}",
            name=_title(state, workflow, step.node),
            tool=agent,
            status=status,
            priority=node_of(workflow, state, step.node).priority or state.created.priority,
        )
    yield from found.values()


def _agent(state: RunState, workflow: Workflow, name: str, said: str) -> str | None:
    """Who works on a step, "" where nobody is chosen yet; None: it is nobody's work."""
    node = node_of(workflow, state, name)
    is_work = isinstance(node, AgentNode) or (isinstance(node, MapNode) and item_of(name) is not None)
    if not is_work and not (isinstance(node, Assigned) and node.agent is not None):
        return None
    return said or (node.agent if isinstance(node, Assigned) else "") or ""


def _title(state: RunState, workflow: Workflow, name: str) -> str:
    item = item_of(name)
    if item is not None:
        group = state.groups.get(item[0])
        one: Any = group.items[item[1]] if group is not None and item[1] < len(group.items) else None
        if isinstance(one, dict) and cast("Json", one).get("title"):
            return str(cast("Json", one)["title"])
    return node_of(workflow, state, name).title or name


def _made(state: RunState) -> Iterator[MadeFile]:
    """Files of the tasks; the answer's own come after them."""
    items = cast("list[Json | None]", (state.latest(WORK) or {}).get("items") or [])
    for item in items:
        for file in cast("list[Any]", (item or {}).get("files") or []):
            with contextlib.suppress(ValidationError):
                yield MadeFile.model_validate(file)


# ── progress ─────────────────────────────────────────────────────────────────────────────────


def _progress(state: RunState, event: RunEvent, workflow: Workflow) -> Json | None:
    """What happened, for people who look on; None: nothing for them."""
    body = event.body
    node, message = "", ""
    match body:
        case RunCreated():
            message = "The goal was taken on."
        case RunStarted():
            message = "Work begins."
        case RunEnded():
            message = "Done." if body.status == "completed" else _error(state)
        case StepStarted():
            node, message = body.node, "begins" if body.attempt == 1 else f"is tried again ({body.attempt})"
        case GroupStarted():
            node, message = body.node, f"begins: {len(body.items)} tasks"
        case StepEnded():
            node, message = body.node, "is done"
        case StepFailed():
            again = "; it is tried again" if body.retry_at else ""
            node, message = body.node, f"failed: {body.problem.message}{again}"
        case ToolReturned():
            node, message = body.node, f"{body.tool} {'answered' if body.ok else 'failed'}"
        case _:
            return None
    told: Json = {
        "type": body.type,
        "at": moment(event.at),
        "message": message,
        "percent": _percent(state),
    }
    if node:
        title = _title(state, workflow, node)
        told |= {"step": node, "title": title, "message": f"{title}: {message}"}
    return told


def _percent(state: RunState) -> int:
    """How far it is, roughly: tasks count most."""
    if state.ended is not None:
        return 100
    share = 0.0
    for name, weight in (("research", 10), (PLAN, 10), ("answer", 15), ("review", 5)):
        node = state.nodes.get(name)
        share += weight if node is not None and node.status in _STATUS else 0
    group = state.groups.get(WORK)
    if group is not None:
        ended = group.done + len(group.failed)
        share += 60 * (ended / len(group.items) if group.items else 1)
    return min(99, round(share))
