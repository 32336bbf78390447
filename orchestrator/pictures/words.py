"""A graph in words: what a screen reader says, and the text behind a picture in chat."""

from __future__ import annotations

from collections import defaultdict

from orchestrator.pictures.graph import Graph, GraphEdge, GraphNode
from orchestrator.pictures.lettering import clean

LONGEST = 1000  # characters: fits every platform's description of a picture
WHEN: dict[str, str] = {
    "success": "",
    "error": "on error",
    "changes": "when changes are asked for",
    "rejected": "when rejected",
    "compensate": "undone by",
}


def describe(graph: Graph, longest: int = LONGEST) -> str:
    """The graph in sentences: how large it is, where it begins, each step and where it leads.

    Args:
        longest: characters; what does not fit is summed up at the end.
    """
    name = _short(graph.name) or "workflow"
    steps, ways = len(graph.nodes), len(graph.edges)
    said = f"Workflow {name}: {_count(steps, 'step')}, {_count(ways, 'connection')}."
    if not graph.nodes:
        return said[:longest]
    titles = {node.key: _short(node.label) or "step" for node in graph.nodes}
    counts: dict[str, int] = defaultdict(int)
    for node in graph.nodes:
        if node.status:
            counts[node.status] += 1
    if counts:
        said += " " + ", ".join(f"{n} {status}" for status, n in counts.items()).capitalize() + "."
    entries = [titles[key] for key in graph.entries if key in titles] or [titles[graph.nodes[0].key]]
    said += f" Begins at {_listed(entries)}."
    outgoing: dict[str, list[GraphEdge]] = defaultdict(list)
    for edge in graph.edges:
        if edge.target in titles:
            outgoing[edge.source].append(edge)
    for i, node in enumerate(graph.nodes):
        sentence = " " + _sentence(node, outgoing[node.key], titles)
        left = f" And {_count(steps - i, 'more step')}."
        if len(said) + len(sentence) + (len(left) if i + 1 < steps else 0) > longest:
            return (said + left)[:longest]
        said += sentence
    return said


def _sentence(node: GraphNode, edges: list[GraphEdge], titles: dict[str, str]) -> str:
    what = ", ".join(part for part in (_short(node.word), _short(node.subtitle), node.status or "") if part)
    begin = titles[node.key] + (f" ({what})" if what else "")
    if not edges:
        return f"{begin} ends here."
    return f"{begin} leads to {', '.join(_way(edge, titles[edge.target]) for edge in edges)}."


def _way(edge: GraphEdge, target: str) -> str:
    why = "; ".join(part for part in (WHEN[edge.kind], _short(edge.label)) if part)
    return f"{target} ({why})" if why else target


def _short(text: str) -> str:
    text = clean(text).rstrip(".")
    return text if len(text) <= 60 else text[:59].rstrip() + "…"


def _listed(titles: list[str]) -> str:
    return ", ".join(titles[:5]) + (f" and {len(titles) - 5:,} more" if len(titles) > 5 else "")


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
