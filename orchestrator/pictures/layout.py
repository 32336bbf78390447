"""Where everything stands: boxes, labels and the ways of arrows, in pixels from the top left.

Rows come from `layers`, their order from `order`, places from `places`. Here arrows get their ways:
straight down where they can; else along a track of their own between two rows. Loops leave
and enter their boxes at the side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.pictures.layers import LANE, Arrow, Rows, Size, rows_of
from orchestrator.pictures.order import arrange
from orchestrator.pictures.places import Ports, place
from orchestrator.pictures.tracks import Piece, tracks

GAP = 36.0  # pixels between two boxes of a row
TRACK = 9.0  # between two tracks
ABOVE, BELOW = 13.0, 19.0  # free height before the first and after the last track; below are the arrowheads
PLAIN = 34.0  # height between rows without tracks
Point = tuple[float, float]
# (box, side, pixels below its middle) → pixels from its middle to its border.
# Sides: "x" to the left or right, "y" up or down (then pixels right of the middle).
Reach = Callable[[int, str, float], float]


@dataclass(frozen=True, slots=True)
class Layout:
    """Middles of boxes and labels, and the corners of each arrow from its source to its target."""

    boxes: list[Point]
    ways: list[list[Point]]
    labels: list[Point | None]
    width: float
    height: float


def lay_out(boxes: list[Size], arrows: list[Arrow], reach: Reach) -> Layout:
    """Put boxes in rows from top to bottom; the first box is on top where loops leave a choice."""
    found = rows_of(boxes, arrows, GAP)
    arrange(found)
    ports = Ports(found, arrows)
    place(found, arrows, ports)
    return _Drawing(found, arrows, ports, boxes, reach).layout()


class _Drawing:
    def __init__(
        self, found: Rows, arrows: list[Arrow], ports: Ports, boxes: list[Size], reach: Reach
    ) -> None:
        self.found, self.arrows, self.ports, self.boxes, self.reach = found, arrows, ports, boxes, reach
        self.track_of: dict[tuple[int, int, str], int] = {}
        self.middles: list[float] = []  # of rows
        self.bottoms: list[float] = []
        self.height = 0.0
        self._rows_down()
        self.side_ports = self._side_ports()

    def _rows_down(self) -> None:
        """Give each row its height, and each gap between rows as much as its tracks take."""
        gaps: dict[int, dict[tuple[int, int, str], Piece]] = defaultdict(dict)
        for i, way in enumerate(self.found.ways):
            for above, below, kind in self._ties(i, way):
                piece = Piece(self._x_out(above, kind), self._x_in(below, kind), above, below)
                gaps[self.found.cells[above].row][above, below, kind] = piece
        y = 0.0
        for index, row in enumerate(self.found.rows):
            tall = max((self.found.cells[c].height for c in row), default=0.0)
            self.middles.append(y + tall / 2)
            y += tall
            self.bottoms.append(y)
            count, placed = tracks(gaps[index])
            self.track_of.update(placed)
            y += max(PLAIN, ABOVE + count * TRACK + BELOW) if index + 1 < len(self.found.rows) else 0.0
        self.height = y

    def _ties(self, arrow: int, way: list[int]) -> list[tuple[int, int, str]]:
        if arrow in self.found.selves:
            return []
        loop = arrow in self.found.back
        # A loop's pieces are nobody else's, so they never go along with an arrow of its kind.
        kind = f"loop {arrow}" if loop else self.arrows[arrow].kind
        return [(a, b, kind) for a, b in pairwise(way[::-1] if loop else way)]

    def _x_out(self, cell: int, kind: str) -> float:
        found = self.found.cells[cell]
        return found.x + (self.ports.out(cell, kind) if found.box is not None else 0.0)

    def _x_in(self, cell: int, kind: str) -> float:
        found = self.found.cells[cell]
        return found.x + (self.ports.into(cell, kind) if found.box is not None else 0.0)

    def _side_ports(self) -> dict[tuple[int, int, str], float]:
        """(arrow, box, "out" or "in") → pixels below the box's middle. Loops at one side do not cross."""
        sides: dict[tuple[int, int], list[tuple[int, float, int, str]]] = defaultdict(list)
        cells = self.found.cells
        for i in self.found.back:
            for box, end in ((self.arrows[i].source, "out"), (self.arrows[i].target, "in")):
                far = abs(cells[self.found.ends[i, box]].x - cells[box].x)
                # From top to bottom: out (near, then far), loops to the box itself, in (far, then near).
                place, then = (0, far) if end == "out" else (2, -far)
                sides[box, self.found.sides[i, box]].append((place, then, i, end))
        for i in self.found.selves:
            sides[self.arrows[i].source, 1] += [(1, float(-i), i, "out"), (1, float(i + 1), i, "in")]
        placed: dict[tuple[int, int, str], float] = {}
        for (box, _), ends in sides.items():
            step = min(16.0, self.boxes[box].height * 0.62 / max(1, len(ends) - 1))
            for k, (_, _, i, end) in enumerate(sorted(ends)):
                placed[i, box, end] = (k - (len(ends) - 1) / 2) * step
        return placed

    def layout(self) -> Layout:
        cells = self.found.cells
        boxes = [(cells[b].x, self.middles[cells[b].row]) for b in range(len(self.boxes))]
        labels: list[Point | None] = [None] * len(self.arrows)
        for cell in cells:
            if cell.arrow is not None:
                labels[cell.arrow] = (cell.x, self.middles[cell.row])
        ways: list[list[Point]] = []
        out: dict[int, float] = defaultdict(float)  # how far the loops of a box to itself reach so far
        for i, way in enumerate(self.found.ways):
            if i in self.found.selves:
                points, labels[i] = self._self_loop(i, out)
            elif i in self.found.back:
                points = self._loop(i, way)
            else:
                points = self._down(i, way)
            ways.append(points)
        width = max((c.x + c.right for c in cells), default=0.0)
        return Layout(boxes, ways, labels, width, self.height)

    def _bend(self, tie: tuple[int, int, str]) -> list[Point]:
        """The corners between two rows, from top to bottom; none where it goes straight down."""
        above, below, kind = tie
        start, end = self._x_out(above, kind), self._x_in(below, kind)
        track = self.track_of.get(tie)
        if track is None:
            return []
        y = self.bottoms[self.found.cells[above].row] + ABOVE + (track + 0.5) * TRACK
        return [(start, y), (end, y)]

    def _down(self, arrow: int, way: list[int]) -> list[Point]:
        kind = self.arrows[arrow].kind
        source, target = way[0], way[-1]
        start = self.ports.out(source, kind)
        end = self.ports.into(target, kind)
        cells = self.found.cells
        points: list[Point] = [
            (cells[source].x + start, self.middles[cells[source].row] + self.reach(source, "y", start))
        ]
        for tie in self._ties(arrow, way):
            points += self._bend(tie)
        points.append((cells[target].x + end, self.middles[cells[target].row] - self.reach(target, "y", end)))
        return points

    def _loop(self, arrow: int, way: list[int]) -> list[Point]:
        source, target = self.arrows[arrow].source, self.arrows[arrow].target
        points = self._beside(arrow, source, "out")
        for below, above in pairwise(way):
            points += self._bend((above, below, f"loop {arrow}"))[::-1]
        return points + self._beside(arrow, target, "in")[::-1]

    def _beside(self, arrow: int, box: int, end: str) -> list[Point]:
        """From the box's side to its lane."""
        cell = self.found.cells[box]
        dy = self.side_ports[arrow, box, end]
        y = self.middles[cell.row] + dy
        x = cell.x + self.found.sides[arrow, box] * self.reach(box, "x", dy)
        return [(x, y), (self.found.cells[self.found.ends[arrow, box]].x, y)]

    def _self_loop(self, arrow: int, out: dict[int, float]) -> tuple[list[Point], Point | None]:
        box = self.arrows[arrow].source
        label = self.arrows[arrow].label
        x, y = self.found.cells[box].x, self.middles[self.found.cells[box].row]
        start, end = self.side_ports[arrow, box, "out"], self.side_ports[arrow, box, "in"]
        lane = x + self.boxes[box].width / 2 + out[box] + LANE * 1.5
        out[box] += LANE * 2 + (label.width if label else 0)
        points = [
            (x + self.reach(box, "x", start), y + start),
            (lane, y + start),
            (lane, y + end),
            (x + self.reach(box, "x", end), y + end),
        ]
        return points, (lane + LANE / 2 + label.width / 2, y) if label else None
