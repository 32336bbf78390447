"""Nodes that work through others: a map over a list, another workflow, the undoing of steps. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from orchestrator import expressions, templates
from orchestrator import inputs as inputs_of
from orchestrator.engine.answer import output_of
from orchestrator.engine.kinds import End, Fail, Move, Open, Start, failed
from orchestrator.engine.scopes import Scope, local, next_visit, variables
from orchestrator.engine.scopes import scope as scope_around
from orchestrator.engine.state import Group, RunState
from orchestrator.errors import Refused
from orchestrator.events import Json, Problem
from orchestrator.item_order import in_order, needs
from orchestrator.workflow import ErrorHandlerNode, MapNode, Node, Workflow, WorkflowNode

MAX_ITEMS = 1_000  # of a map


def begin(
    scope: Scope, state: RunState, instance: str, visit: int, attempt: int, after: tuple[str, ...]
) -> Move:
    """Begin a node that works through others, or a handler that has nothing to undo."""
    node = scope.workflow.nodes[local(instance)]
    try:
        if isinstance(node, MapNode):
            return _map(scope, state, node, instance, visit, attempt, after)
        if isinstance(node, WorkflowNode):
            return Open(
                instance,
                visit,
                attempt,
                after,
                "workflow",
                inputs=_inputs(scope, state, node.inputs, instance),
            )
    except (expressions.ExpressionError, Refused) as error:
        return failed(f"node {instance!r}: {error}")
    assert isinstance(node, ErrorHandlerNode)
    if node.compensate:
        items = tuple(_to_undo(scope, state))
        if items:
            return Open(instance, visit, attempt, after, "undo", items=items)
    return Start(instance, visit, attempt, after)


def _map(
    scope: Scope,
    state: RunState,
    node: MapNode,
    instance: str,
    visit: int,
    attempt: int,
    after: tuple[str, ...],
) -> Move:
    over = expressions.value(node.over, variables(scope.root, state, instance))
    if not isinstance(over, list | tuple):
        return failed(f"node {instance!r}: {node.over!r} is no list; a map goes over a list")
    items = tuple(cast("list[Any]", over))
    if len(items) > MAX_ITEMS:
        return failed(f"node {instance!r}: {node.over!r} has {len(items)} items of at most {MAX_ITEMS}")
    if len(state.steps) + len(items) > scope.root.policies.max_steps:
        return failed(
            f"node {instance!r}: policies.max_steps leaves no room for {len(items)} items; raise it"
        )
    if node.ordered:
        items = in_order(items)
    return Open(instance, visit, attempt, after, "map", items=items)


def _to_undo(scope: Scope, state: RunState) -> Iterator[Json]:
    """The steps of a scope that ended well and have somebody who undoes them, newest first, each once."""
    seen: set[str] = set()
    for step in reversed(state.steps):
        if not step.node.startswith(scope.prefix) or step.node in seen or step.status != "done":
            continue
        name = step.node[len(scope.prefix) :]
        node = scope.workflow.nodes.get(name)
        undo = getattr(node, "compensation", None)
        if undo is not None and state.undone.get(step.node, 0) < step.visit:
            seen.add(step.node)
            yield {"node": name, "by": undo, "visit": step.visit}


def onward(workflow: Workflow, state: RunState, name: str) -> list[Move]:
    """The next items of an open group, or its end."""
    group = state.groups[name]
    if group.kind == "workflow":
        return []  # `ways` leads through it, `ended_workflow` ends it
    scope = scope_around(workflow, name)
    node = scope.workflow.nodes[local(name)]
    at_once = 1
    if isinstance(node, MapNode):
        at_once = min(node.max_concurrent, state.created.settings.at_once or node.max_concurrent)
        if group.failed and node.on_item_error == "fail":
            return [] if group.at_work else [_lost(state, name, group)]
    moves: list[Move] = []
    for index in range(group.begun, min(len(group.items), group.begun + at_once - group.at_work)):
        if _waits(state, node, name, index):
            break  # so do those behind it: what has begun stays the beginning of the list
        instance = f"{name}[{index}]"
        moves.append(item(scope, state, node, instance, next_visit(state, instance), 1))
    if not moves and group.done + len(group.failed) == len(group.items):
        moves.append(_done(state, name, group))
    return moves


def _waits(state: RunState, node: Node, name: str, index: int) -> bool:
    """Whether an item of a map depends on one that has not ended."""
    if not isinstance(node, MapNode) or not node.ordered:
        return False
    group = state.groups[name]
    for other in needs(group.items, index):
        if other >= group.begun:
            return True  # begins in the same moves as this one would
        if other not in group.failed and state.nodes[f"{name}[{other}]"].status != "done":
            return True
    return False


def item(scope: Scope, state: RunState, node: Node, instance: str, visit: int, attempt: int) -> Move:
    """Begin an item of a group, or its next attempt."""
    if not isinstance(node, MapNode) or node.workflow is None:
        return Start(instance, visit, attempt, ())
    try:
        inputs = _inputs(scope, state, node.inputs, instance)
    except (expressions.ExpressionError, Refused) as error:
        return failed(f"node {instance!r}: {error}")
    return Open(instance, visit, attempt, (), "workflow", inputs=inputs)


def _inputs(scope: Scope, state: RunState, given: Json, instance: str) -> Json:
    """What an inner workflow begins with, by its own schema: defaults filled in.

    Raises:
        ExpressionError, Refused: a template cannot be worked out, or what comes of it is not what it takes.
    """
    filled = templates.fill_all(given, variables(scope.root, state, instance))
    return inputs_of.checked(
        scope.root.inside(instance), {name: value for name, value in filled.items() if value is not None}
    )


def _lost(state: RunState, name: str, group: Group) -> Fail:
    first = f"{name}[{group.failed[0]}]"
    problem = state.nodes[first].problem
    message = problem.message if problem else "it failed"
    kind = problem.kind if problem else "engine"
    text = f"item {group.failed[0] + 1} of {len(group.items)}: {message}"
    return Fail(name, group.visit, group.attempt, Problem(kind=kind, message=text))


def _done(state: RunState, name: str, group: Group) -> Move:
    if group.kind == "undo":
        # What undoes has ended, well or not: the handler itself goes to work.
        return Start(name, group.visit, group.attempt, ())
    lost = set(group.failed)
    items: list[Json | None] = []
    failures: list[Json] = []
    for index in range(len(group.items)):
        instance = f"{name}[{index}]"
        if index in lost:
            problem = state.nodes[instance].problem
            failures.append({"index": index, "problem": problem.message if problem else "given up"})
            items.append(None)
        else:
            items.append(state.latest(instance))
    return End(name, group.visit, group.attempt, {"items": items, "failed": failures})


def ended_workflow(scope: Scope, state: RunState) -> list[Move]:
    """The end of a workflow inside of another, in which nothing works or is about to."""
    name = scope.prefix[:-1]
    group = state.groups[name]
    if not group.begun:
        return []
    return [End(name, group.visit, group.attempt, output_of(scope.workflow, state, scope.prefix))]
