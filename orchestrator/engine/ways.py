"""Where branches lead: edges, joins, failures without a handler. Pure.

A finished node stays in the frontier until it is used up. A decision takes the first edge that fits,
any other node all of them. Where several edges meet, the node waits for every branch that can still
come (`join: all`), or begins with the first or the first few; what can then lead only there is given up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from orchestrator import expressions
from orchestrator.engine import groups
from orchestrator.engine.kinds import (
    Ask,
    Branch,
    Drop,
    Fail,
    Finish,
    Move,
    Skip,
    Start,
    Take,
    failed,
)
from orchestrator.engine.scopes import Scope, local, next_visit, node_of, variables
from orchestrator.engine.scopes import scope as scope_around
from orchestrator.engine.state import Finished, NodeState, RunState
from orchestrator.events import Problem
from orchestrator.values import Value
from orchestrator.workflow import (
    ApprovalNode,
    DecisionNode,
    Edge,
    ErrorHandlerNode,
    InputNode,
    MapNode,
    Workflow,
    WorkflowNode,
    scope_of,
)

LONG = 16  # ends of branches that are looked at again and again; more are taken note of
_SPECIAL = (DecisionNode, ApprovalNode, InputNode, MapNode, WorkflowNode, ErrorHandlerNode)


class _Arrival(Value, frozen=True):
    """A branch on its way into a node."""

    source: str  # instance
    target: str  # instance
    said: bool  # the log says so
    dead: bool


def onward(scope: Scope, state: RunState, mine: Sequence[Finished], busy: Collection[str]) -> list[Move]:
    """What follows in a workflow at work: moves, the last of them a Finish where the run is to end.

    Args:
        mine: the ends of its branches.
        busy: nodes inside of which something is at work.
    """
    prefix = scope.prefix
    new = not state.groups[prefix[:-1]].begun if prefix else not state.nodes and not state.frontier
    if new:
        return [_enter(scope, state, name, ()) for name in scope.workflow.entries]
    found: list[Move] = []
    arrivals: dict[str, list[_Arrival]] = {}
    for ended in mine:
        if ended.to is not None:
            if ended.to:
                target = prefix + ended.to
                arrivals.setdefault(target, []).append(_Arrival(ended.node, target, True, ended.dead))
            continue
        end = _led(scope, state, ended, arrivals, found, sweep=len(mine) > LONG)
        if end is not None:
            return [*found, end]
    if arrivals:
        at_work = prefix[:-1] in busy if prefix else bool(state.unended)
        _meet(scope, state, arrivals, found, at_work=at_work)
    return found


def _led(
    scope: Scope,
    state: RunState,
    ended: Finished,
    arrivals: dict[str, list[_Arrival]],
    found: list[Move],
    *,
    sweep: bool,
) -> Move | None:
    """Follow a finished node's edges; what is returned ends the scope."""
    name = local(ended.node)
    if ended.outcome == "expired":
        return Finish("expired", reason="nobody decided in time")
    if ended.outcome == "skipped":
        return _dead_end(scope, ended, found)
    try:
        edges = _fitting(scope, state, name, ended.outcome)
    except expressions.ExpressionError as error:
        return _broken(scope, state, failed(f"node {ended.node!r}: {error}"))
    if len(edges) == 1:
        target = scope.prefix + edges[0].target
        arrivals.setdefault(target, []).append(_Arrival(ended.node, target, False, False))
        return None
    if edges:
        found.append(Take(ended.node, tuple(dict.fromkeys(edge.target for edge in edges))))
        return None
    if ended.outcome == "error":
        if scope.workflow.policies.on_failure == "continue":
            return _dead_end(scope, ended, found)
        node = state.nodes.get(ended.node)
        problem = (node.problem if node else None) or Problem(kind="engine", message=f"{name} failed")
        return _broken(scope, state, Finish("failed", problem=problem))
    if ended.outcome == "rejected":
        return Finish("rejected", reason=_rejected_by(state, ended.node))
    if ended.outcome == "changes":
        return Finish("rejected", reason="changes were asked for too often, or the workflow has no way back")
    if sweep:
        found.append(Take(ended.node, ()))
    return None


def _dead_end(scope: Scope, ended: Finished, found: list[Move]) -> None:
    """What waits for a node that failed, or was skipped, is skipped as well."""
    name, ahead = local(ended.node), scope.workflow.ahead
    edges = scope.workflow.outgoing.get(name, ())
    # Not back in a loop: what was skipped there would be skipped again, for ever.
    targets = tuple(dict.fromkeys(e.target for e in edges if e.on == "success" and name in ahead[e.target]))
    found.append(Take(ended.node, targets, dead=bool(targets)))


def _broken(scope: Scope, state: RunState, end: Finish) -> Move:
    """A workflow inside of another fails its node there; the run's own ends the run."""
    if not scope.prefix:
        return end
    name = scope.prefix[:-1]
    group = state.groups[name]
    assert end.problem is not None
    return Fail(name, group.visit, group.attempt, end.problem)


# ── joins ────────────────────────────────────────────────────────────────────────────────────


def _meet(
    scope: Scope,
    state: RunState,
    arrivals: dict[str, list[_Arrival]],
    found: list[Move],
    *,
    at_work: bool,
) -> None:
    """Begin the nodes that have all they wait for; the others' branches wait, and the log says so."""
    workflow = scope.workflow
    about = _taken(found)
    coming: set[str] | None = None  # nodes of this workflow that are at work or about to be
    waiting: list[list[_Arrival]] = []
    lost: frozenset[str] = frozenset()  # what a join went on without
    # Joins that do not need all come first: what they give up need not begin.
    for target, came in sorted(
        arrivals.items(), key=lambda each: workflow.nodes[local(each[0])].join == "all"
    ):
        name = local(target)
        node = workflow.nodes[name]
        if name in about:
            continue  # more arrives in the same moment
        if target in state.unended:  # one visit at a time
            waiting.append(came)
            continue
        if name in lost:
            found.append(Drop(target, tuple(a.source for a in came)))
            continue
        if len(workflow.ahead[name]) > 1:
            if coming is None:
                coming = _coming(scope, state, arrivals, found)
            more = not workflow.feeders(name).isdisjoint(coming - {name})
            if node.join != "all":
                if _counted(scope, state, target, came, more, found, waiting):
                    lost |= workflow.captives(name)
                    coming -= lost
                continue
            if more:
                waiting.append(came)
                continue
        found.append(_begin(scope, state, target, came))
    if waiting and not found and not at_work:
        # Each waits for another: the first goes on with what it has.
        came = waiting.pop(0)
        found.append(_begin(scope, state, came[0].target, came))
    found.extend(Take(a.source, (local(a.target),)) for came in waiting for a in came if not a.said)


def _coming(scope: Scope, state: RunState, arrivals: Collection[str], found: Collection[Move]) -> set[str]:
    """Nodes of a scope that have begun, or will in this moment."""
    begun = {local(name) for name in _unended(scope, state)}
    return begun | _taken(found) | {local(target) for target in arrivals}


def _taken(found: Collection[Move]) -> set[str]:
    """Where finished nodes lead in this moment, by name."""
    return {name for move in found if isinstance(move, Take) for name in move.to}


def _unended(scope: Scope, state: RunState) -> list[str]:
    """A scope's own nodes that have not ended: not items of maps, nor what is inside of them."""
    around = scope.prefix[:-1]
    return [name for name in state.unended if not name.endswith("]") and scope_of(name) == around]


def _counted(
    scope: Scope,
    state: RunState,
    target: str,
    came: list[_Arrival],
    more: bool,
    found: list[Move],
    waiting: list[list[_Arrival]],
) -> bool:
    """A node that does not need all of its branches. Whether it begins now."""
    name = local(target)
    node = scope.workflow.nodes[name]
    group = state.groups.get(scope.prefix[:-1]) if scope.prefix else None
    before = group.before.get(target, 0) if group is not None else 0
    was = state.nodes.get(target)
    if was is not None and was.visit > before:  # it has gone on
        found.append(Drop(target, tuple(a.source for a in came)))
        return False
    need = 1 if node.join == "any" else int(node.join)
    alive = [a for a in came if not a.dead]
    if len({a.source for a in alive}) >= need:
        found.append(_enter(scope, state, name, tuple(a.source for a in came)))
        found.extend(_given_up(scope, state, name))
        return True
    if more:
        waiting.append(came)
    elif scope.workflow.policies.on_failure == "continue":
        found.append(_skipped(scope, state, target, came, f"{len(alive)} of {need} branches arrived"))
    else:
        message = f"{target} needs {need} of its branches, and only {len(alive)} could arrive"
        found.append(_broken(scope, state, failed(message)))
    return False


def _given_up(scope: Scope, state: RunState, join: str) -> list[Move]:
    """What could only lead to a join that has gone on."""
    captives = scope.workflow.captives(join)
    why = f"{join} went on without it"
    return [
        Skip(name, state.nodes[name].visit, (), why)
        for name in _unended(scope, state)
        if local(name) in captives
    ]


def _begin(scope: Scope, state: RunState, target: str, came: list[_Arrival]) -> Move:
    if any(a.dead for a in came):
        lost = ", ".join(local(a.source) for a in came if a.dead)
        return _skipped(scope, state, target, came, f"it needs {lost}")
    return _enter(scope, state, local(target), tuple(a.source for a in came))


def _skipped(scope: Scope, state: RunState, target: str, came: list[_Arrival], why: str) -> Skip:
    return Skip(target, next_visit(state, target), tuple(a.source for a in came), why)


# ── edges ────────────────────────────────────────────────────────────────────────────────────


def _fitting(scope: Scope, state: RunState, name: str, outcome: str) -> list[Edge]:
    """The outgoing edges that are taken: of a decision the first that fits, else all that fit."""
    edges = scope.workflow.outgoing.get(name, ())
    first = type(scope.workflow.nodes[name]) is DecisionNode
    names: dict[str, Any] | None = None
    fitting: list[Edge] = []
    for edge in edges:
        if edge.on != outcome:
            continue
        if edge.max_visits is not None:
            key = f"{scope.prefix}{edge.source}>{scope.prefix}{edge.target}"
            on_its_way = sum(f.to == edge.target and f.node == scope.prefix + name for f in state.frontier)
            if state.edges.get(key, 0) + on_its_way >= edge.max_visits:
                continue
        if edge.when is not None:
            if names is None:
                names = variables(scope.root, state, scope.prefix + name)
            if not expressions.holds(edge.when, names):
                continue
        fitting.append(edge)
        if first:
            break
    return fitting


def _enter(scope: Scope, state: RunState, name: str, after: tuple[str, ...]) -> Move:
    workflow, prefix = scope.workflow, scope.prefix
    node = workflow.nodes[name]
    instance = prefix + name
    visit = next_visit(state, instance)
    # Not `isinstance`: with a pydantic model that it is not, that takes longer than all else here.
    if type(node) not in _SPECIAL:
        return Start(instance, visit, 1, after)
    if type(node) is DecisionNode:
        try:
            edges = _fitting(scope, state, name, "success")
        except expressions.ExpressionError as error:
            return _broken(scope, state, failed(f"node {instance!r}: {error}"))
        edge = edges[0] if edges else None
        return Branch(
            instance, visit, after, to=edge.target if edge else "", why=(edge.when if edge else None) or ""
        )
    if type(node) is ApprovalNode:
        if state.latest(prefix + node.of) is None:
            return _broken(
                scope, state, failed(f"node {instance!r} asks about {node.of!r}, which has no output yet")
            )
        return Ask(instance, visit, after)
    if type(node) is InputNode:
        return Ask(instance, visit, after)
    move = groups.begin(scope, state, instance, visit, 1, after)
    return _broken(scope, state, move) if isinstance(move, Finish) else move


def again(workflow: Workflow, state: RunState, instance: str, node: NodeState) -> Move:
    """The next attempt of a node whose last one failed."""
    definition = node_of(workflow, state, instance)
    around = scope_around(workflow, instance)
    if type(definition) is MapNode and instance.endswith("]"):
        return groups.item(around, state, definition, instance, node.visit, node.attempt + 1)
    if type(definition) in (MapNode, WorkflowNode):
        return groups.begin(around, state, instance, node.visit, node.attempt + 1, ())
    return Start(instance, node.visit, node.attempt + 1, ())


def end(workflow: Workflow, state: RunState) -> Finish:
    """The end of a run in which nothing is left to do."""
    lost = next((s for s in state.steps if s.status == "failed" and s.problem is not None), None)
    if lost is None or workflow.policies.on_failure == "stop":
        return Finish("completed")
    parts = workflow.answer
    wanted = [n for n in ((parts.draft, *parts.sections) if parts else ()) if n] or list(state.outputs)
    if any(state.latest(name) is not None for name in wanted):
        return Finish("completed")
    return Finish("failed", problem=lost.problem)


def _rejected_by(state: RunState, node: str) -> str:
    for approval in reversed(tuple(state.approvals.values())):
        if approval.asked.node == node and approval.resolved is not None:
            resolved = approval.resolved
            comment = f": {resolved.comment}" if resolved.comment else ""
            if resolved.outcome == "expired":
                return "nobody decided in time"
            return f"rejected by {resolved.who.name if resolved.who else 'policy'}{comment}"
    return "rejected"
