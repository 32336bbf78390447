"""A graph as SVG: deterministic, safe to put inline into a page with a strict Content-Security-Policy.

Presentation attributes only: no styles, scripts, ids or references. Classes are there for a
page that wants other colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from orchestrator.pictures.arrows import Pen
from orchestrator.pictures.boxes import SMALL, Box, number, text
from orchestrator.pictures.graph import Graph, within
from orchestrator.pictures.layers import Arrow, Size
from orchestrator.pictures.layout import Layout, Point, lay_out
from orchestrator.pictures.lettering import Line, clean, wrap
from orchestrator.pictures.styles import FONT, INK, LOOP, PAPER, QUIET, STROKES
from orchestrator.pictures.words import describe

MOST_NODES = 300  # more become one box that says how many they are
MARGIN = 20.0  # pixels
LABEL = 150.0  # pixels of a label's line
START = Size(14.0, 14.0)  # the dot above the first box


@dataclass(frozen=True)
class Drawn:
    """A graph whose boxes and arrows have their places. Box 0 is the dot above the first node."""

    graph: Graph
    boxes: list[Box]
    labels: list[list[Line]]
    arrows: list[Arrow]
    layout: Layout

    @property
    def width(self) -> float:
        """Of the whole picture, in pixels."""
        return round(self.layout.width + 2 * MARGIN)

    @property
    def height(self) -> float:
        """Of the whole picture, in pixels."""
        return round(self.layout.height + 2 * MARGIN)


def draw(graph: Graph) -> Drawn:
    """Measure and place everything; `graph` may be of any size."""
    graph = within(graph, MOST_NODES)
    boxes = [Box(node) for node in graph.nodes]
    number_of = {node.key: i + 1 for i, node in enumerate(graph.nodes)}
    labels = [wrap(clean(edge.label), SMALL, LABEL, 4) for edge in graph.edges]
    arrows = [
        Arrow(number_of[e.source], number_of[e.target], e.kind, _label_size(lines))
        for e, lines in zip(graph.edges, labels, strict=True)
    ]
    arrows += [Arrow(0, number_of[key], "success") for key in graph.entries]

    def reach(box: int, side: str, off: float) -> float:
        return boxes[box - 1].reach(side, off) if box else START.height / 2

    sizes = [START, *(box.size for box in boxes)] if boxes else []
    return Drawn(graph, boxes, labels, arrows, lay_out(sizes, arrows, reach))


def svg(graph: Graph) -> str:
    """The picture: the same graph gives the same text."""
    return render(draw(graph))


def render(drawn: Drawn) -> str:
    """The SVG of a graph that has its places."""
    layout = drawn.layout
    name = escape(clean(drawn.graph.name) or "workflow", quote=False)
    size = f"{number(drawn.width)} {number(drawn.height)}"
    width, height = size.split()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="workflow-picture" role="img" viewBox="0 0 {size}"'
        f' width="{width}" height="{height}" font-family="{FONT}">',
        f"<title>{name}</title>",
        f"<desc>{escape(describe(drawn.graph), quote=False)}</desc>",
        f'<rect class="paper" width="{width}" height="{height}" fill="{PAPER}"/>',
    ]
    pen = Pen()
    parts += [_arrow(drawn, i, pen) for i in range(len(drawn.graph.edges))]
    if drawn.boxes:
        parts.append(_start(drawn, pen))
    for i, lines in enumerate(drawn.labels):
        at = layout.labels[i]
        if at is not None:
            parts.append(_label(lines, _moved(at)))
    parts += [
        box.svg(*_moved(at))
        for box, at in zip(drawn.boxes, layout.boxes[1:] if drawn.boxes else [], strict=True)
    ]
    return "\n".join(parts) + "\n</svg>\n"


def _moved(point: Point) -> Point:
    return (point[0] + MARGIN, point[1] + MARGIN)


def _start(drawn: Drawn, pen: Pen) -> str:
    layout = drawn.layout
    x, y = _moved(layout.boxes[0])
    dot = f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(START.width / 2)}" fill="{INK}"/>'
    ways = layout.ways[len(drawn.graph.edges) :]
    lines = "".join(pen.line([_moved(p) for p in way], STROKES["success"]) for way in ways)
    return f'<g class="start"><title>Start</title>{lines}{dot}</g>'


def _arrow(drawn: Drawn, index: int, pen: Pen) -> str:
    edge, arrow, boxes = drawn.graph.edges[index], drawn.arrows[index], drawn.layout.boxes
    up = boxes[arrow.target][1] <= boxes[arrow.source][1]
    stroke = LOOP if up and edge.kind == "success" else STROKES[edge.kind]
    label = clean(edge.label)
    tip = escape(f"{edge.kind}: {label}" if label else edge.kind, quote=False)
    line = pen.line([_moved(p) for p in drawn.layout.ways[index]], stroke)
    return f'<g class="edge {edge.kind}{" loop" if up else ""}"><title>{tip}</title>{line}</g>'


def _label_size(lines: list[Line]) -> Size | None:
    if not lines:
        return None
    return Size(max(line.width for line in lines) + 10, len(lines) * SMALL * 1.25 + 4)


def _label(lines: list[Line], middle: Point) -> str:
    size = _label_size(lines) or Size(0, 0)
    x, y = middle
    left, above = number(x - size.width / 2), number(y - size.height / 2)
    parts = [
        f'<g class="label"><rect class="paper" x="{left}" y="{above}"'
        f' width="{number(size.width)}" height="{number(size.height)}" rx="4" fill="{PAPER}"/>'
    ]
    top = y - len(lines) * SMALL * 1.25 / 2
    for line in lines:
        parts.append(text(line, x - line.width / 2, top + SMALL * 0.625, SMALL, QUIET))
        top += SMALL * 1.25
    return "".join(parts) + "</g>"
