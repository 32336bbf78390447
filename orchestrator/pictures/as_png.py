"""A graph as PNG, the same on every machine: drawn by resvg with Roboto alone, never with the system's fonts.

Takes from tens of milliseconds to a second of one core, by size: call it in a thread.
"""

from __future__ import annotations

from dataclasses import replace

import resvg_py

from orchestrator.pictures.as_svg import draw, render
from orchestrator.pictures.graph import Graph
from orchestrator.pictures.lettering import clean, drawable, font_file

SIDE = 4000  # pixels at most
PIXELS = 8_000_000  # at most: what takes most of the time is packing them
BYTES = 2_000_000  # at most
SHRINK = 0.7  # by so much while it is too large


def png(graph: Graph, scale: float = 2.0) -> bytes:
    """The picture, `scale` pixels for each of the SVG's, fewer where it would be too large to post.

    Letters that the font lacks are left out; where that leaves nothing of a title, the node's key
    stands for it.
    """
    drawn = draw(_written(graph))
    area = drawn.width * drawn.height
    zoom = min(max(scale, 0.05), SIDE / drawn.width, SIDE / drawn.height, (PIXELS / area) ** 0.5)
    picture = render(drawn)
    fonts = [str(font_file("Regular")), str(font_file("Medium"))]
    while True:
        made = resvg_py.svg_to_bytes(
            svg_string=picture,
            skip_system_fonts=True,
            font_files=fonts,
            font_family="Roboto",
            sans_serif_family="Roboto",
            width=max(1, int(drawn.width * zoom)),
        )
        if len(made) <= BYTES or zoom < 0.05:
            return made
        zoom *= SHRINK


def _written(graph: Graph) -> Graph:
    """With nothing but letters that the font has."""
    nodes = tuple(
        replace(
            node,
            title=drawable(clean(node.label)) or drawable(clean(node.key)) or "step",
            subtitle=drawable(clean(node.subtitle)),
            word=drawable(clean(node.word)),
        )
        for node in graph.nodes
    )
    edges = tuple(replace(edge, label=drawable(clean(edge.label))) for edge in graph.edges)
    return replace(graph, nodes=nodes, edges=edges)
