"""What is drawn: boxes and arrows in neutral words, whatever they were made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["waiting", "working", "asking", "retrying", "done", "failed", "skipped"]
Shape = Literal["agent", "decision", "approval", "input", "map", "error_handler", "workflow"]
EdgeKind = Literal["success", "error", "changes", "rejected", "compensate"]


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One box."""

    key: str  # unique in the graph
    title: str = ""  # what people read; empty: the key
    shape: Shape = "agent"
    subtitle: str = ""  # who or what works here: "researcher", "needs python"
    status: Status | None = None  # None: a definition, not a run
    word: str = ""  # what kind of step it is: "approval", "for each file", "2 of 3 branches"

    @property
    def label(self) -> str:
        """The title, or the key where there is none."""
        return self.title.strip() or self.key


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """One arrow."""

    source: str
    target: str
    label: str = ""
    kind: EdgeKind = "success"


@dataclass(frozen=True, slots=True)
class Graph:
    """A workflow as boxes and arrows."""

    name: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...] = ()
    entries: tuple[str, ...] = ()  # keys of the nodes where it begins; none: the first one


def within(graph: Graph, most: int) -> Graph:
    """The graph with at most `most` nodes: the others become one box that tells how many they are.

    Edges to nodes that are not there are left out, and so are repeated keys and edges. Entries are filled in.
    """
    nodes = list({n.key: n for n in reversed(graph.nodes)}.values())[::-1]
    if len(nodes) > most:
        kept, left = nodes[: most - 1], nodes[most - 1 :]
        keys = {n.key for n in kept}
        rest = "…"
        while rest in keys:
            rest += "…"
        nodes = [*kept, GraphNode(rest, f"… and {len(left):,} more steps", word="not drawn")]
        renamed = {n.key: rest for n in left}
    else:
        renamed = {}
    there = {n.key for n in nodes}
    edges: dict[GraphEdge, None] = {}
    for edge in graph.edges:
        source, target = renamed.get(edge.source, edge.source), renamed.get(edge.target, edge.target)
        if source in there and target in there and not (source == target and source in renamed.values()):
            folded = edge.source in renamed or edge.target in renamed
            edges[GraphEdge(source, target, "" if folded else edge.label, edge.kind)] = None
    wanted = [renamed.get(key, key) for key in graph.entries]
    entries = tuple(key for key in dict.fromkeys(wanted) if key in there)
    if not entries and nodes:
        entries = (nodes[0].key,)
    return Graph(graph.name, tuple(nodes), tuple(edges)[: most * 6], entries)
