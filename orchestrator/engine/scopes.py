"""Where a node stands: in the run's own workflow, or in one that runs inside of it. Pure.

Inside of a scope, conditions and agents see its nodes by their own names, and its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.engine.state import NodeState, RunState
from orchestrator.events import Json
from orchestrator.item_order import needs
from orchestrator.values import Value
from orchestrator.workflow import ErrorHandlerNode, MapNode, Node, Workflow, scope_of


class Scope(Value, frozen=True):
    """A workflow at work."""

    prefix: str  # of its nodes' instances: "" or "review/"
    workflow: Workflow
    root: Workflow  # the run's own


class Latest(Mapping[str, Json]):
    """Each node's latest output in a scope, looked up for who asks: to copy all for each step is dear."""

    __slots__ = ("_outputs", "_prefix")

    def __init__(self, outputs: Mapping[str, tuple[Json, ...]], prefix: str = "") -> None:
        self._outputs = outputs
        self._prefix = prefix

    def __getitem__(self, node: str) -> Json:
        return self._outputs[self._prefix + node][-1]

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        for name in self._outputs:
            # Items of maps are part of the map's own output, nodes of inner workflows of theirs.
            if name.startswith(self._prefix) and "/" not in name[start:] and not name.endswith("]"):
                yield name[start:]

    def __len__(self) -> int:
        return sum(1 for _ in self)


def scope(workflow: Workflow, instance: str) -> Scope:
    """The scope that an instance is part of."""
    if instance in workflow.nodes:
        return Scope("", workflow, workflow)
    around = scope_of(instance)
    return Scope(f"{around}/" if around else "", workflow.inside(around), workflow)


def busy_scopes(state: RunState) -> frozenset[str]:
    """All nodes inside of which something is at work, asks or waits for its next attempt."""
    found: set[str] = set()
    for name in state.unended:
        around = scope_of(name)
        while around and around not in found:
            found.add(around)
            around = scope_of(around)
    return frozenset(found)


def local(instance: str) -> str:
    """A node's name in its workflow: `build[2]/test` is `test`, `build[2]` is `build`."""
    name = instance[instance.rfind("/") + 1 :]
    return name[: name.index("[")] if name.endswith("]") else name


def led_here(workflow: Workflow, state: RunState, node: str) -> list[str]:
    """The nodes that lead to one and have an output; in place of one without, those that led to that.

    Of the run's own workflow, without ways back in a loop, in the order of the file.
    """
    found: set[str] = set()
    seen: set[str] = set()
    todo = list(workflow.ahead[node])
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in state.outputs:
            found.add(name)
        else:
            todo += workflow.ahead[name]
    return [name for name in workflow.nodes if name in found]


def item_of(instance: str) -> tuple[str, int] | None:
    """The group and index of an item's own instance (`build[2]`); None for any other."""
    if not instance.endswith("]"):
        return None
    owner, _, index = instance[:-1].rpartition("[")
    return owner, int(index)


def next_visit(state: RunState, instance: str) -> int:
    """The number of the visit that would begin now: 1 at the first."""
    before: NodeState | None = state.nodes.get(instance)
    return before.visit + 1 if before else 1


def node_of(workflow: Workflow, state: RunState, instance: str) -> Node:
    """The definition of what an instance works on; of an undoing item the node that undoes."""
    plain = workflow.nodes.get(instance)
    if plain is not None:
        return plain
    within = scope(workflow, instance).workflow
    node = within.nodes[local(instance)]
    item = item_of(instance)
    if item is not None and isinstance(node, ErrorHandlerNode):
        return within.nodes[str(state.groups[item[0]].items[item[1]]["by"])]
    return node


def variables(workflow: Workflow, state: RunState, instance: str = "") -> dict[str, Any]:
    """What conditions and templates can read at an instance (any node of a scope; "": the run's own).

    Each node's latest output, `visits`, `policies`, `inputs`; in a map `item` and `index`; after an
    error `problem`.
    """
    around = scope_of(instance)
    prefix, within = (f"{around}/", workflow.inside(around)) if around else ("", workflow)
    names: dict[str, Any] = dict(Latest(state.outputs, prefix))
    group = state.groups.get(around) if around else None
    before: Mapping[str, int] = group.before if group is not None else {}
    visits: dict[str, int] = {}
    for name in within.nodes:
        node: NodeState | None = state.nodes.get(prefix + name)
        visits[name] = node.visit - before.get(prefix + name, 0) if node else 0
    names["visits"] = visits
    names["policies"] = within.policies.model_dump()
    turn = state.created.turn
    if group is not None:
        names["inputs"] = {"text": turn.text, **group.inputs}
    else:
        names["inputs"] = {**turn.context, "text": turn.text, **state.created.inputs}
    names |= _item(state, instance)
    problem = problem_before(state, prefix)
    if problem:
        names["problem"] = problem
    return names


def needed(workflow: Workflow, state: RunState, instance: str) -> dict[str, Json]:
    """What the items put out that an item of an ordered map builds on, as `build[parser]` by their ids."""
    item = item_of(instance)
    group = state.groups.get(item[0]) if item is not None else None
    if item is None or group is None or group.kind != "map":
        return {}
    node = node_of(workflow, state, instance)
    if not isinstance(node, MapNode) or not node.ordered:
        return {}
    owner, index = item
    found: dict[str, Json] = {}
    for other in needs(group.items, index):
        output = state.latest(f"{owner}[{other}]") if other not in group.failed else None
        if output is not None:
            found[f"{local(owner)}[{group.items[other]['id']}]"] = output
    return found


def _item(state: RunState, instance: str) -> dict[str, Any]:
    """What the nearest map around an instance goes over."""
    while instance:
        item = item_of(instance)
        if item is not None:
            group = state.groups.get(item[0])
            if group is not None and group.kind == "map" and item[1] < len(group.items):
                return {"item": group.items[item[1]], "index": item[1]}
        instance = scope_of(instance)
    return {}


def problem_before(state: RunState, prefix: str = "", besides: str = "") -> Json:
    """The latest failure in a scope: {"node", "problem"}; empty where there was none."""
    for step in reversed(state.steps):
        if step.problem is not None and step.node != besides and step.node.startswith(prefix):
            return {"node": step.node[len(prefix) :], "problem": step.problem.model_dump(mode="json")}
    return {}
