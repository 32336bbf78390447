"""What `/status` answers, made of a run. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, cast

from pydantic import BaseModel, Field

from bot.api.graph_request import WorkflowType
from bot.api.starting import name_in
from orchestrator.engine.state import NodeState, RunState
from orchestrator.events import ApiCall, Json
from orchestrator.ports import RunRow

Status = Literal["pending", "running", "completed", "failed", "partial"]
TaskStatus = Literal["pending", "running", "completed", "failed"]
_WORKS: Final = frozenset({"working", "asking", "retrying", "open"})


class GraphTaskOut(BaseModel):
    """A task of a graph."""

    task_id: str = Field(description="the step's `node` in `GET /v1/runs/{id}`")
    agent_id: str
    agent_role: str = Field(description="as it was sent")
    status: TaskStatus
    started_at: datetime | None
    completed_at: datetime | None = Field(description="null: it has not ended, or never began")
    result: dict[str, Any] | None = Field(
        description="`output`: the result as text (Markdown); besides it what the agent made, by kind"
    )
    error: str | None = Field(description="why it failed or was skipped")


class GraphOut(BaseModel):
    """A graph, and how far it is."""

    workflow_id: str
    workflow_type: WorkflowType
    status: Status = Field(description="partial: some tasks completed, others failed or the run was ended")
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    tasks: list[GraphTaskOut]
    metadata: dict[str, Any] = Field(description="as it was sent")


class GraphDeleted(BaseModel):
    """A graph is gone."""

    message: str


def about(
    kind: WorkflowType, roles: Mapping[str, str], needs: Mapping[str, Sequence[str]], metadata: Json
) -> Json:
    """What is kept with the turn for these answers.

    Args:
        roles: by node, as they were sent.
        needs: by node, the nodes that lead to it.
    """
    after = {node: list(before) for node, before in needs.items() if before}
    return {"workflow_type": kind, "roles": dict(roles), "needs": after, "metadata": metadata}


def graph_view(state: RunState) -> GraphOut:
    """The answer for a run of this family."""
    created = state.created
    kept = _about(state)
    roles: Mapping[str, str] = kept.get("roles", {})
    tasks = [_task(state, node, roles.get(node, "")) for node in created.turn.parts]
    return GraphOut(
        workflow_id=name_in("graph", created.conversation_id),
        workflow_type=kept.get("workflow_type", "graph"),
        status=_status(state, [task.status for task in tasks]),
        created_at=state.created_at,
        started_at=state.started_at,
        completed_at=state.ended_at,
        tasks=tasks,
        metadata=kept.get("metadata", {}),
    )


def _about(state: RunState) -> Json:
    return (state.created.turn.call or ApiCall()).about


def unreadable(row: RunRow) -> GraphOut:
    """A graph whose log this version cannot read."""
    return GraphOut(
        workflow_id=name_in("graph", row.conversation_id),
        workflow_type="graph",
        status="failed",
        created_at=row.created_at,
        started_at=None,
        completed_at=row.ended_at,
        tasks=[],
        metadata={},
    )


def _status(state: RunState, tasks: Iterable[TaskStatus]) -> Status:
    if state.ended is None:
        return "pending" if state.status == "queued" else "running"
    seen = set(tasks)
    if "completed" not in seen:
        return "failed"
    # A run that was cut off failed, also where it had come through all of its tasks.
    return "completed" if len(seen) == 1 and state.status == "completed" else "partial"


def _task(state: RunState, node: str, role: str) -> GraphTaskOut:
    now = state.nodes.get(node)
    made = state.latest(node)
    status: TaskStatus
    if now is not None and now.status == "done" and made is not None:
        status, error = "completed", None
    elif now is not None and now.status in ("failed", "skipped"):
        status, error = "failed", _error(state, node, now)
    elif state.ended is not None:
        status, error = "failed", _cut_off(state, begun=now is not None)
    else:
        status, error = ("running" if now is not None and now.status in _WORKS else "pending"), None
    return GraphTaskOut(
        task_id=node,
        agent_id=state.created.turn.parts[node].name,
        agent_role=role,
        status=status,
        started_at=_started(state, node, now),
        completed_at=_completed(state, now) if status in ("completed", "failed") else None,
        result={"output": said(made), **_further(made)}
        if status == "completed" and made is not None
        else None,
        error=error,
    )


def _further(made: Json) -> Json:
    return {key: value for key, value in made.items() if key != "output"}


def _started(state: RunState, node: str, now: NodeState | None) -> datetime | None:
    """When its first attempt began; what was skipped before that never did."""
    if now is None or now.step < 0:
        return None
    return next((step.started_at for step in state.steps if step.node == node), now.started_at)


def _completed(state: RunState, now: NodeState | None) -> datetime | None:
    if now is None or now.step < 0:
        return None
    return now.ended_at or state.ended_at


def _error(state: RunState, node: str, now: NodeState) -> str:
    if now.status == "failed" and now.problem is not None:
        return now.problem.message
    if now.step >= 0:  # the end of the run met it, or it was given up
        return _cut_off(state, begun=True)
    lost = _lost_before(state, node)
    return f"Skipped: it comes after {lost}, which failed." if lost else "Skipped: a task before it failed."


def _lost_before(state: RunState, node: str) -> str:
    """The failed task that a skipped one comes after, by its agent_id."""
    parts = state.created.turn.parts
    needs: Mapping[str, Sequence[str]] = _about(state).get("needs", {})
    seen: set[str] = set()
    todo = [node]
    while todo:
        name = todo.pop()
        for before in needs.get(name, ()):
            at = state.nodes.get(before)
            if at is not None and at.status == "failed" and before in parts:
                return repr(parts[before].name)
            if before not in seen:
                seen.add(before)
                todo.append(before)
    return ""


def _cut_off(state: RunState, *, begun: bool) -> str:
    """What happened to a task that the end of its run met."""
    ended = state.ended
    if ended is None:
        return "It was given up."
    reason = ended.reason or (ended.problem.message if ended.problem else "") or f"the run was {ended.status}"
    return f"Cut off: {reason}." if begun else f"Never began: {reason}."


# ── results as text ──────────────────────────────────────────────────────────────────────────


def said(output: Json) -> str:
    """What an agent made, as people read it."""
    for key in ("body", "text", "output"):
        if isinstance(output.get(key), str) and output[key].strip():
            return "\n\n".join(filter(None, (output[key], _issues(output))))
    if "verdict" in output and "score" in output:
        return _review(output)
    if isinstance(output.get("summary"), str):
        return _brief(output)
    if isinstance(output.get("goal"), str):
        return _plan(output)
    if "done" in output and "reason" in output:
        return _delegation(output)
    return json.dumps(output, ensure_ascii=False, indent=1)


def _issues(output: Json) -> str:
    """Findings of a report; they stand there alone, not in its body."""
    lines: list[str] = []
    for one in _objects(output, "issues"):
        where = f", {one['where']}" if one.get("where") else ""
        remedy = f" Remedy: {one['remedy']}" if one.get("remedy") else ""
        lines.append(f"- {one.get('severity', 'info')}{where}: {one.get('problem', '')}{remedy}")
    return "\n".join(lines)


def _brief(output: Json) -> str:
    found = [
        f"- {' '.join(str(one.get('claim', '')).split())}{_marks(one)}"
        for one in _objects(output, "findings")
    ]
    sources = [
        f"[{one.get('id')}] {one.get('title')} ({one.get('url')})" for one in _objects(output, "sources")
    ]
    gaps = [f"- Open: {gap}" for gap in _list(output, "gaps")]
    return "\n\n".join(
        filter(None, (output["summary"], "\n".join(found), "\n".join(gaps), "\n".join(sources)))
    )


def _marks(finding: Json) -> str:
    ids = _list(finding, "source_ids")
    return " " + " ".join(f"[{one}]" for one in ids) if ids else ""


def _plan(output: Json) -> str:
    """A plan of tasks, or of a team."""
    tasks = [
        f"{n}. {one.get('title', '')}" + (f" ({one['acceptance']})" if one.get("acceptance") else "")
        for n, one in enumerate(_objects(output, "tasks"), start=1)
    ]
    members = [f"- {one.get('name')}: {one.get('role')}" for one in _objects(output, "members")]
    risks = [f"- Risk: {risk}" for risk in _list(output, "risks")]
    return "\n\n".join(filter(None, (output["goal"], "\n".join([*tasks, *members]), "\n".join(risks))))


def _review(output: Json) -> str:
    found = [
        f"- {one.get('severity')}, {one.get('where')}: {one.get('problem')}"
        for one in _objects(output, "findings")
    ]
    return "\n\n".join(filter(None, (f"{output['verdict']}, {output['score']} of 10", "\n".join(found))))


def _delegation(output: Json) -> str:
    parts = (output.get("member"), output.get("task"), output.get("reason"))
    return "\n\n".join(str(part) for part in parts if part) or "Done."


def _objects(output: Json, key: str) -> list[Json]:
    return [cast("Json", one) for one in _list(output, key) if isinstance(one, dict)]


def _list(output: Json, key: str) -> list[Any]:
    value = output.get(key)
    return cast("list[Any]", value) if isinstance(value, list) else []
