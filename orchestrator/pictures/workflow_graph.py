"""The graph of a workflow's definition, with the statuses of a run where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from orchestrator.pictures.graph import Graph, GraphEdge, GraphNode, Status
from orchestrator.workflow import (
    ApprovalNode,
    Assigned,
    Edge,
    InputNode,
    MapNode,
    Node,
    Workflow,
    WorkflowNode,
)

LABELS = {"error": "error", "changes": "changes wanted", "rejected": "rejected"}
NONE: Mapping[str, Status] = {}


def graph_of(workflow: Workflow, statuses: Mapping[str, Status | Literal["open"]] = NONE) -> Graph:
    """The workflow as boxes and arrows.

    Args:
        statuses: node name → status in a run (`open`: a group at work); with any at all, nodes that
            are not named are waiting.
    """
    undone = {getattr(node, "compensation", None) for node in workflow.nodes.values()}
    nodes = tuple(
        GraphNode(
            key=name,
            title=node.title or name.replace("_", " ").capitalize(),
            shape="agent" if _ends(workflow, name) else node.kind,
            subtitle=_who(node),
            status=_status(statuses.get(name, "waiting")) if statuses else None,
            word=_word(node, len(workflow.incoming[name]), name in undone),
        )
        for name, node in workflow.nodes.items()
    )
    edges = [_edge(workflow, edge) for edge in workflow.links]
    for name, node in workflow.nodes.items():
        undo: str | None = getattr(node, "compensation", None)
        if undo is not None:
            edges.append(GraphEdge(name, undo, "", "compensate"))
    return Graph(workflow.name, nodes, tuple(edges), workflow.entries)


def _status(status: Status | Literal["open"]) -> Status:
    return "working" if status == "open" else status


def _ends(workflow: Workflow, name: str) -> bool:
    """A decision without a choice only marks where the way ends: no diamond."""
    return workflow.nodes[name].kind == "decision" and not workflow.outgoing[name]


def _who(node: Node) -> str:
    """Who or what works at the node."""
    if isinstance(node, WorkflowNode):
        return node.workflow
    if isinstance(node, MapNode) and node.workflow is not None:
        return f"workflow {node.workflow}"
    if isinstance(node, Assigned):
        if node.agent is not None:
            return node.agent
        if node.agent_from is not None:
            return f"whom {node.team} chooses" if node.team else "whom the run names"
        return "needs " + ", ".join(node.requires) if node.requires else ""
    if isinstance(node, ApprovalNode | InputNode) and node.approvers:
        return "by " + ", ".join(node.approvers)
    return ""


def _word(node: Node, branches: int, undoes: bool) -> str:
    """What kind of step it is, how branches join before it, and whether it undoes another."""
    words: list[str] = []
    if isinstance(node, MapNode):
        words.append(f"for each of {node.over}")
    elif node.kind in ("approval", "input", "workflow"):
        words.append(node.kind)
    elif node.kind == "error_handler":
        words.append("on error")
    if undoes:
        words.append("undoes")
    if branches > 1 and node.join != "all":
        words.append(
            "after any branch" if node.join == "any" else f"after {node.join} of {branches} branches"
        )
    return " · ".join(words)


def _edge(workflow: Workflow, edge: Edge) -> GraphEdge:
    words: list[str] = []
    target = workflow.nodes[edge.target]
    if edge.on != "success" and not (edge.on == "error" and target.kind == "error_handler"):
        words.append(LABELS[edge.on])  # an error handler's own words tell why an arrow leads there
    if edge.max_visits:  # first: the end of a long label is cut
        words.append(f"at most {edge.max_visits}×")
    if edge.when:
        words.append("when " + " ".join(edge.when.split()))
    elif edge.on == "success" and workflow.nodes[edge.source].kind == "decision":
        ways = workflow.outgoing[edge.source]
        if any(way.when for way in ways[: ways.index(edge)]):
            words.append("otherwise")
    return GraphEdge(edge.source, edge.target, ", ".join(words), edge.on)
