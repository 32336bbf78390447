"""What a run does next. Pure: the same workflow, state and time give the same moves.

`moves` looks at what has ended and what people said, and names at most a few moves; the loop
turns each into events. Nothing here performs anything. Where branches lead is in `ways.py`, nodes that
work through others in `groups.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from orchestrator.engine import groups, ways
from orchestrator.engine.kinds import BEGINNING, Fail, Finish, Move, Resolve, SetPaused, Skip, Start, failed
from orchestrator.engine.scopes import Scope, busy_scopes
from orchestrator.engine.state import Finished, RunState
from orchestrator.workflow import Workflow, scope_of

_CLOSING = (Skip, Fail)


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
    deadline = state.created.deadline
    if deadline is not None and deadline <= now:
        return [Finish("expired", reason=f"it was to be done by {deadline:%Y-%m-%d %H:%M} UTC")]
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
    return _onward(workflow, state, now)


def next_time(state: RunState) -> datetime | None:
    """When something is due although nobody does anything: an expiry, a retry, the deadline."""
    if state.ended is not None:
        return None
    times = [a.asked.expires_at for a in state.open_approvals()] if state.approvals else []
    if state.created.deadline is not None:
        times.append(state.created.deadline)
    if not state.paused:
        unended = [state.nodes[name] for name in state.unended]
        times += [n.retry_at for n in unended if n.status == "retrying" and n.retry_at]
    return min(times, default=None)


def _onward(workflow: Workflow, state: RunState, now: datetime) -> list[Move]:
    found: list[Move] = []
    ended = _by_scope(state)
    busy = busy_scopes(state) if state.open_groups else frozenset[str]()
    for scope in _scopes(workflow, state):
        begun = ways.onward(scope, state, ended.get(scope.prefix[:-1], ()), busy)
        if not begun and scope.prefix and scope.prefix[:-1] not in busy:
            begun = groups.ended_workflow(scope, state)
        found += begun
    for name in state.open_groups:
        found += groups.onward(workflow, state, name)
    for name in state.unended:
        node = state.nodes[name]
        if node.status == "retrying" and node.retry_at is not None and node.retry_at <= now:
            found.append(ways.again(workflow, state, name, node))
    if found:
        if len(found) > 1:
            found = _without_closed(found)
        end = next((move for move in found if type(move) is Finish), None) or _limit(workflow, state, found)
        return found if end is None else [end]
    return [] if state.unended else [ways.end(workflow, state)]


def _by_scope(state: RunState) -> Mapping[str, Sequence[Finished]]:
    """The ends of branches by what they are inside of."""
    if not state.open_groups:
        return {"": state.frontier}
    found: dict[str, list[Finished]] = {}
    for ended in state.frontier:
        found.setdefault(scope_of(ended.node), []).append(ended)
    return found


def _without_closed(found: list[Move]) -> list[Move]:
    """Nothing begins in or instead of a node that is given up, or fails, in the same moment."""
    closed = {move.node for move in found if isinstance(move, _CLOSING)}
    if not closed:
        return found
    inside = tuple(f"{name}{mark}" for name in closed for mark in "/[")
    kept: list[Move] = []
    for move in found:
        node = "" if isinstance(move, Resolve | SetPaused | Finish) else move.node
        if node.startswith(inside) or (node in closed and not isinstance(move, _CLOSING)):
            continue
        kept.append(move)
    return kept


def _scopes(workflow: Workflow, state: RunState) -> Iterator[Scope]:
    """The run's own workflow, and those that run inside of it."""
    yield Scope("", workflow, workflow)
    for name in state.open_groups:
        if state.groups[name].kind == "workflow":
            yield Scope(f"{name}/", workflow.inside(name), workflow)


def _limit(workflow: Workflow, state: RunState, found: list[Move]) -> Finish | None:
    """The end of a run that would begin more than its workflow allows. What works may end."""
    policies = workflow.policies
    if len(state.steps) + len(found) > policies.max_steps:
        starting = sum([isinstance(m, BEGINNING) for m in found])
    else:
        starting = 0  # enough for all
    if starting and len(state.steps) + starting > policies.max_steps:
        return failed(f"more than {policies.max_steps} steps: raise policies.max_steps in the workflow")
    if state.model_calls >= policies.max_model_calls and any(isinstance(m, Start) for m in found):
        return failed(
            f"all {policies.max_model_calls} model calls are used up: "
            "raise policies.max_model_calls in the workflow"
        )
    return None


def _stopped_by(state: RunState) -> str:
    assert state.stop is not None
    reason = f": {state.stop.reason}" if state.stop.reason else ""
    return f"stopped by {state.stop.who.name}{reason}"
