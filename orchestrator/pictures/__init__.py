"""Pictures of workflows: `graph_of` a definition, `svg` or `png` of the graph, `describe` it in words."""

from orchestrator.pictures.as_png import png
from orchestrator.pictures.as_svg import svg
from orchestrator.pictures.graph import EdgeKind, Graph, GraphEdge, GraphNode, Shape, Status
from orchestrator.pictures.words import describe
from orchestrator.pictures.workflow_graph import graph_of

__all__ = [
    "EdgeKind",
    "Graph",
    "GraphEdge",
    "GraphNode",
    "Shape",
    "Status",
    "describe",
    "graph_of",
    "png",
    "svg",
]
