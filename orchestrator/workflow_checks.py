"""What is wrong with a workflow, found before anything runs. Pure.

Each flaw has the path into the document, so that whoever read the file can say line and column. This
file asks who works and what nodes name; ways are in `workflow_graph_checks`, expressions in
`workflow_text_checks`, the inputs' schema in `input_schema`.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from orchestrator import graph, input_schema
from orchestrator.flaws import Flaw, Path, listed, unknown
from orchestrator.workflow import (
    VARIABLES,
    ApprovalNode,
    Assigned,
    DecisionNode,
    ErrorHandlerNode,
    InputNode,
    MapNode,
    Node,
    Retry,
    Workflow,
    WorkflowNode,
)
from orchestrator.workflow_graph_checks import graph_problems, ways_of
from orchestrator.workflow_text_checks import makes_output, text_problems

MAX_FLAWS = 50  # of one workflow; more help nobody
MAX_RETRY_WAIT_S = 86_400.0  # between two attempts
MAX_NESTED = 8  # workflows inside of each other in one document
_RESERVED = VARIABLES | {"true", "false", "null", "none"}


class _Known(NamedTuple):
    """What there is beside the document itself; None: not checked."""

    agents: frozenset[str] | None
    capabilities: frozenset[str] | None
    workflows: frozenset[str] | None


def problems(
    workflow: Workflow,
    *,
    agents: frozenset[str] | None = None,
    capabilities: frozenset[str] | None = None,
    workflows: frozenset[str] | None = None,
) -> Iterator[Flaw]:
    """What is wrong with a workflow and those that are defined inside of it.

    Args:
        workflow: the definition.
        agents: names of the agents that there are; None: not checked.
        capabilities: what these agents can; None: not checked.
        workflows: names of the workflows that there are beside those in the document; None: not checked.
    """
    known = _Known(agents, capabilities, workflows)
    return islice(_problems(workflow, known, workflow.workflows, ()), MAX_FLAWS)


def _problems(
    workflow: Workflow, known: _Known, shared: Mapping[str, Workflow], path: Path
) -> Iterator[Flaw]:
    scope = {**shared, **workflow.workflows}
    for flaw in _own_problems(workflow, known, scope):
        yield Flaw((*path, *flaw.path), flaw.message)
    for name, inner in workflow.workflows.items():
        here = (*path, "workflows", name)
        if inner.name != name:
            yield Flaw((*here, "name"), f"the workflow {name!r} calls itself {inner.name!r}; write one name")
        if len(here) > 2 * MAX_NESTED:
            yield Flaw(here, f"workflows are nested deeper than {MAX_NESTED}; define them side by side")
            return
        yield from _problems(inner, known, shared, here)


def _own_problems(workflow: Workflow, known: _Known, scope: Mapping[str, Workflow]) -> Iterator[Flaw]:
    for name, node in workflow.nodes.items():
        if name in _RESERVED or keyword.iskeyword(name):
            yield Flaw(("nodes", name), f"{name!r} is a word of conditions; choose another name for the node")
        for flaw in _node_problems(workflow, name, node, known, scope):
            yield Flaw(("nodes", name, *flaw.path), flaw.message)
    yield from graph_problems(workflow)
    yield from _order_problems(workflow)
    yield from text_problems(workflow)
    yield from _recursion_problems(workflow, scope)
    yield from _answer_problems(workflow)
    for flaw in input_schema.schema_flaws(workflow.inputs):
        yield Flaw(("inputs", *flaw.path), flaw.message)


# ── nodes ────────────────────────────────────────────────────────────────────────────────────


def _node_problems(
    workflow: Workflow, name: str, node: Node, known: _Known, scope: Mapping[str, Workflow]
) -> Iterator[Flaw]:
    if isinstance(node, Assigned):
        yield from _who_works(name, node, workflow, known)
    if isinstance(node, ApprovalNode):
        yield from _shown(workflow, name, node)
    called: str | None = getattr(node, "workflow", None)
    if called is not None:
        if called not in scope and known.workflows is not None and called not in known.workflows:
            yield Flaw(("workflow",), unknown("workflow", called, {*known.workflows, *scope}))
        elif called in scope and isinstance(node, MapNode | WorkflowNode):
            yield from _passed(node, scope[called])
    if isinstance(node, DecisionNode | ApprovalNode | InputNode):
        yield from _without_work(name, node)
    elif node.retry.max_retries and node.retry.delay(node.retry.max_retries) > MAX_RETRY_WAIT_S:
        yield Flaw(
            ("retry",),
            f"the last of {node.retry.max_retries} retries would wait for more than a day; "
            "lower max_retries, initial_delay or backoff",
        )


def _who_works(name: str, node: Assigned, workflow: Workflow, known: _Known) -> Iterator[Flaw]:
    called: str | None = getattr(node, "workflow", None)
    ways = [key for key in ("agent", "requires", "agent_from") if getattr(node, key)]
    ways += ["workflow"] if called is not None else []
    one_of = "one of `agent: name`, `requires: [capability]`, `agent_from: expression`"
    one_of += ", `workflow: name`" if isinstance(node, MapNode) else ""
    if not ways and not isinstance(node, ErrorHandlerNode):
        yield Flaw((), f"nobody works in {name!r}; write {one_of}")
    elif len(ways) > 1:
        yield Flaw((ways[1],), f"{name!r} has `{ways[0]}` and `{ways[1]}`; write {one_of}")
    if node.agent is not None and known.agents is not None and node.agent not in known.agents:
        yield Flaw(("agent",), unknown("agent", node.agent, known.agents))
    if known.capabilities is not None:
        for i, capability in enumerate(node.requires):
            if capability not in known.capabilities:
                message = f"no agent has the capability {capability!r}"
                near = listed(known.capabilities, near=capability)
                yield Flaw(("requires", i), f"{message}; capabilities are {near or 'none'}")
    if node.prefers and not node.requires:
        yield Flaw(("prefers",), "`prefers` chooses among those who fit; add `requires: [capability]`")
    if node.team is not None:
        if node.agent_from is None:
            yield Flaw(("team",), "`team` needs the name of a member; add `agent_from: expression`")
        if node.team not in workflow.nodes:
            yield Flaw(("team",), unknown("node", node.team, workflow.nodes))
        elif not makes_output(workflow, node.team):
            yield Flaw(("team",), f"{node.team!r} makes no team; name a node whose agent makes a TeamPlan")
    for i, outcome in enumerate(node.outcomes):
        if outcome in node.outcomes[:i]:
            yield Flaw(("outcomes", i), f"the outcome {outcome!r} stands here twice; remove one")
    if isinstance(node, MapNode):
        if node.inputs and called is None:
            yield Flaw(("inputs",), "only a workflow takes inputs; describe the work in `task:`")
        for key in ("task", "outcomes") if called is not None else ():
            if getattr(node, key):
                yield Flaw((key,), f"`{key}` is for agents, and a workflow works here; use its `inputs:`")


def _shown(workflow: Workflow, name: str, node: ApprovalNode) -> Iterator[Flaw]:
    if node.of not in workflow.nodes:
        yield Flaw(("of",), unknown("node", node.of, workflow.nodes))
    elif not makes_output(workflow, node.of):
        kind = workflow.nodes[node.of].kind
        yield Flaw(
            ("of",), f"{name!r} asks about {node.of!r}, which makes nothing ({kind}); name a node that does"
        )


def _without_work(name: str, node: DecisionNode | ApprovalNode | InputNode) -> Iterator[Flaw]:
    if node.retry != Retry():
        yield Flaw(
            ("retry",), f"{name!r} is of kind {node.kind!r} and has nothing to try again; remove `retry`"
        )
    if node.timeout is not None:
        remedy = "remove `timeout`" if node.kind == "decision" else "write `expires_after: seconds`"
        yield Flaw(("timeout",), f"{name!r} is of kind {node.kind!r} and does no work; {remedy}")


def _passed(node: MapNode | WorkflowNode, called: Workflow) -> Iterator[Flaw]:
    """Inputs of a workflow that the document holds: those that it has, and all that it needs."""
    inner = input_schema.properties(called.inputs)
    if called.inputs.get("additionalProperties", False) is False:
        for key in node.inputs:
            if key not in inner and key != "text":
                have = f"inputs are {listed(inner, near=key)}" if inner else "it takes none"
                yield Flaw(("inputs", key), f"{called.name} has no input {key!r}; {have}")
    required = called.inputs.get("required")
    for key in required if isinstance(required, list) else ():  # pyright: ignore[reportUnknownVariableType]
        if key not in node.inputs and key != "text" and "default" not in inner.get(str(key), {}):  # pyright: ignore[reportUnknownArgumentType]
            yield Flaw(("workflow",), f"{called.name} needs the input {key!r}; add it to `inputs:`")


# ── the whole ────────────────────────────────────────────────────────────────────────────────


def _order_problems(workflow: Workflow) -> Iterator[Flaw]:
    """Nodes that show or use what another one made: it has to come before them."""
    before = graph.Before(ways_of(workflow))
    for name, node in workflow.nodes.items():
        if name in workflow.apart:
            continue
        for key in ("of", "team"):
            other: str | None = getattr(node, key, None)
            if other in workflow.nodes and other not in workflow.apart and not before.comes(str(other), name):
                yield Flaw(
                    ("nodes", name, key),
                    f"{name!r} needs what {other!r} makes, which need not have ended by then; "
                    f"let an edge lead from {other!r} to {name!r}",
                )


def _recursion_problems(workflow: Workflow, scope: Mapping[str, Workflow]) -> Iterator[Flaw]:
    for name, node in workflow.nodes.items():
        begin: str | None = getattr(node, "workflow", None)
        if begin is None:
            continue
        seen: dict[str, None] = {begin: None}
        todo = [begin]
        while todo and workflow.name not in seen:
            inner = scope.get(todo.pop())
            calls = [getattr(n, "workflow", None) for n in inner.nodes.values()] if inner else []
            for called in calls:
                if called is not None and called not in seen:
                    seen[called] = None
                    todo.append(called)
        if workflow.name in seen:
            through = "" if begin == workflow.name else f" through {begin!r}"
            message = f"{workflow.name!r} runs inside of itself{through} without an end"
            yield Flaw(
                ("nodes", name, "workflow"), f"{message}; name another workflow, or close a loop by an edge"
            )


def _answer_problems(workflow: Workflow) -> Iterator[Flaw]:
    parts = workflow.answer
    if parts is None:
        return
    if parts.draft is None and not parts.sections:
        yield Flaw(
            ("answer",), "the answer has nothing in it; name a node: `draft: name` or `sections: [names]`"
        )
    named: list[tuple[Path, str]] = [
        (("answer", part), str(getattr(parts, part)))
        for part in ("draft", "review", "brief", "plan")
        if getattr(parts, part) is not None
    ]
    named += [(("answer", "sections", i), name) for i, name in enumerate(parts.sections)]
    for path, name in named:
        if name not in workflow.nodes:
            yield Flaw(path, unknown("node", name, workflow.nodes))
        elif not makes_output(workflow, name):
            kind = workflow.nodes[name].kind
            yield Flaw(path, f"{name!r} is of kind {kind!r} and makes nothing; name a node that does")
    for i, name in enumerate(parts.sections):
        if name in parts.sections[:i]:
            yield Flaw(("answer", "sections", i), f"{name!r} is a section twice; remove one")


__all__ = ["Flaw", "problems"]
