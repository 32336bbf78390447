"""What a run does next. Pure: the same workflow, state and time give the same moves.

`moves` looks at what has ended and what people said, and names at most a few moves; the loop
turns each into events. Nothing here performs anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from orchestrator import expressions
from orchestrator.engine.state import Approval, Finished, NodeState, RunState
from orchestrator.events import Problem
from orchestrator.workflow import ApprovalNode, DecisionNode, Edge, Workflow


class Start(NamedTuple):
    """Begin a node's work, or its next attempt."""

    node: str
    visit: int
    attempt: int
    after: tuple[str, ...]


class Ask(NamedTuple):
    """Put a question to people (or answer it by policy)."""

    node: str
    visit: int
    after: tuple[str, ...]


class Branch(NamedTuple):
    """Let a decision node choose."""

    node: str
    visit: int
    after: tuple[str, ...]
    to: str
    why: str


class Resolve(NamedTuple):
    """Take note of a decision, or that time ran out."""

    approval: Approval
    expired: bool


class SetPaused(NamedTuple):
    """Start no new steps, or start them again."""

    paused: bool


class Finish(NamedTuple):
    """End the run."""

    status: Literal["completed", "failed", "rejected", "stopped", "expired"]
    reason: str = ""
    problem: Problem | None = None


Move = Start | Ask | Branch | Resolve | SetPaused | Finish
_BEGINNING = (Start, Ask)


def moves(workflow: Workflow, state: RunState, now: datetime) -> list[Move]:
    """What to do now; empty when the run works, waits or has ended.

    Args:
        workflow: the definition that the run began with.
        state: the fold of the run's log.
        now: aware, UTC.
    """
    if state.ended is not None:
        return []
    if state.stop is not None:  # reaches queued runs too
        return [Finish("stopped", reason=_stopped_by(state))]
    if state.started_at is None:
        return []
    if state.pause_wanted != state.paused:
        return [SetPaused(state.pause_wanted)]
    if state.approvals:
        settled: list[Move] = [
            Resolve(a, expired=a.decision is None)
            for a in state.approvals.values()
            if a.resolved is None and (a.decision is not None or a.asked.expires_at <= now)
        ]
        if settled:
            return settled
    if state.paused:
        return []
    if not state.nodes and not state.frontier:
        return [_enter(workflow, state, workflow.first, ())]
    return _onward(workflow, state, now)


def next_time(state: RunState) -> datetime | None:
    """When something is due although nobody does anything: an expiry, a retry."""
    if state.ended is not None:
        return None
    times = [a.asked.expires_at for a in state.open_approvals()] if state.approvals else []
    if not state.paused:
        unended = [state.nodes[name] for name in state.unended]
        times += [n.retry_at for n in unended if n.status == "retrying" and n.retry_at]
    return min(times, default=None)


def variables(workflow: Workflow, state: RunState) -> dict[str, Any]:
    """What conditions can read: each node's latest output, `visits`, `policies`, `inputs`."""
    names: dict[str, Any] = {node: outputs[-1] for node, outputs in state.outputs.items() if outputs}
    visits: Mapping[str, int] = {name: node.visit for name, node in state.nodes.items()}
    names["visits"] = {name: visits.get(name, 0) for name in workflow.nodes}
    names["policies"] = workflow.policies.model_dump()
    names["inputs"] = {**state.created.turn.context, "text": state.created.turn.text}
    return names


def _onward(workflow: Workflow, state: RunState, now: datetime) -> list[Move]:
    found: list[Move] = []
    for ended in state.frontier:
        move = _after(workflow, state, ended)
        if isinstance(move, Finish):
            return [move]
        if move is not None:
            found.append(move)
    for name in state.unended:
        node = state.nodes[name]
        if node.status == "retrying" and node.retry_at is not None and node.retry_at <= now:
            found.append(Start(name, node.visit, node.attempt + 1, ()))
    if found:
        limit = _limit(workflow, state, found)
        return found if limit is None else [limit]
    return [] if state.unended else [Finish("completed")]


def _limit(workflow: Workflow, state: RunState, found: list[Move]) -> Finish | None:
    """The end of a run that would begin more than its workflow allows. What works may end."""
    policies = workflow.policies
    if len(state.steps) + len(found) > policies.max_steps:
        starting = sum([isinstance(m, _BEGINNING) for m in found])
    else:
        starting = 0  # enough for all
    if starting and len(state.steps) + starting > policies.max_steps:
        return _failed(f"more than {policies.max_steps} steps: raise policies.max_steps in the workflow")
    if state.model_calls >= policies.max_model_calls and any(isinstance(m, Start) for m in found):
        return _failed(
            f"all {policies.max_model_calls} model calls are used up: "
            "raise policies.max_model_calls in the workflow"
        )
    return None


def _after(workflow: Workflow, state: RunState, ended: Finished) -> Move | None:
    """The move that a finished node leads to; None where its branch ends."""
    if ended.to is not None:
        return _enter(workflow, state, ended.to, (ended.node,)) if ended.to else None
    if ended.outcome == "expired":
        return Finish("expired", reason="nobody decided in time")
    try:
        edge = _edge(workflow, state, ended.node, ended.outcome)
        if edge is not None:
            return _enter(workflow, state, edge.target, (ended.node,))
    except expressions.ExpressionError as error:
        return _failed(f"node {ended.node!r}: {error}")
    node = state.nodes.get(ended.node)
    if ended.outcome == "error":
        problem = node.problem if node else None
        return Finish("failed", problem=problem or Problem(kind="engine", message=f"{ended.node} failed"))
    if ended.outcome == "rejected":
        return Finish("rejected", reason=_rejected_by(state, ended.node))
    if ended.outcome == "changes":
        return Finish("rejected", reason="changes were asked for too often, or the workflow has no way back")
    return None


def _edge(
    workflow: Workflow, state: RunState, node: str, outcome: str, taking: Collection[str] = ()
) -> Edge | None:
    """The first outgoing edge that fits; None: the branch ends here. `taking`: edges on the way right now."""
    names: dict[str, Any] | None = None
    for edge in workflow.outgoing.get(node, ()):
        if edge.on != outcome:
            continue
        if edge.max_visits is not None:
            taken = state.edges.get(edge.key, 0) + (edge.key in taking)
            if taken >= edge.max_visits:
                continue
        if edge.when is None:
            return edge
        names = names if names is not None else variables(workflow, state)
        if expressions.holds(edge.when, names):
            return edge
    return None


def _enter(workflow: Workflow, state: RunState, name: str, after: tuple[str, ...]) -> Move:
    node = workflow.nodes[name]
    before: NodeState | None = state.nodes.get(name)
    visit = before.visit + 1 if before else 1
    # Not `isinstance`: with a pydantic model that it is not, that takes longer than all else here.
    if type(node) is DecisionNode:
        try:
            # A decision that leads to itself chooses while the edge to it is still to be counted.
            edge = _edge(workflow, state, name, "success", [f"{source}>{name}" for source in after])
        except expressions.ExpressionError as error:
            return _failed(f"node {name!r}: {error}")
        return Branch(
            name, visit, after, to=edge.target if edge else "", why=(edge.when if edge else None) or ""
        )
    if type(node) is ApprovalNode:
        if state.latest(node.of) is None:
            return _failed(f"node {name!r} asks about {node.of!r}, which has no output yet")
        return Ask(name, visit, after)
    return Start(name, visit, 1, after)


def _failed(message: str) -> Finish:
    return Finish("failed", problem=Problem(kind="engine", message=message))


def _stopped_by(state: RunState) -> str:
    assert state.stop is not None
    reason = f": {state.stop.reason}" if state.stop.reason else ""
    return f"stopped by {state.stop.who.name}{reason}"


def _rejected_by(state: RunState, node: str) -> str:
    for approval in reversed(tuple(state.approvals.values())):
        if approval.asked.node == node and approval.resolved is not None:
            resolved = approval.resolved
            comment = f": {resolved.comment}" if resolved.comment else ""
            if resolved.outcome == "expired":
                return "nobody decided in time"
            return f"rejected by {resolved.who.name if resolved.who else 'policy'}{comment}"
    return "rejected"
