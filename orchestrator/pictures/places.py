"""How far right: boxes near what they are tied to, lanes straight, nothing on top of anything.

Each row is solved exactly for where its neighbours pull it (least squares with distances kept,
by pooling), row after row, down and up. Then what hangs together is put in one vertical line
where there is room.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from statistics import fmean

from orchestrator.pictures.layers import Arrow, Cell, Rows

PORT = 20.0  # pixels between arrows of different kinds at one box
EFFORT = 20_000  # cells placed in all sweeps
SWEEPS = 24
STIFF = 10.0
LIGHT = 0.05  # loops give way to what leads down
Tie = tuple[int, float, float]  # the other cell, where this one would stand from its x, weight


class Ports:
    """Where arrows leave and enter boxes: one port for each kind, pixels from the middle."""

    def __init__(self, found: Rows, arrows: list[Arrow]) -> None:
        self._down = _ports(found, arrows, first=True)
        self._up = _ports(found, arrows, first=False)

    def out(self, box: int, kind: str) -> float:
        """At the lower side."""
        return self._down.get((box, kind), 0.0)

    def into(self, box: int, kind: str) -> float:
        """At the upper side."""
        return self._up.get((box, kind), 0.0)


def _ports(found: Rows, arrows: list[Arrow], first: bool) -> dict[tuple[int, str], float]:
    near: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, way in enumerate(found.ways):
        if i in found.back or i in found.selves:
            continue
        box, other = (way[0], way[1]) if first else (way[-1], way[-2])
        near[box][arrows[i].kind].append(found.cells[other].place)
    offsets: dict[tuple[int, str], float] = {}
    for box, kinds in near.items():
        order = sorted(kinds, key=lambda kind: (fmean(kinds[kind]), kind))
        main = order.index("success") if "success" in kinds else 0
        for k, kind in enumerate(order):
            offsets[box, kind] = (k - main) * PORT
    return offsets


def place(found: Rows, arrows: list[Arrow], ports: Ports) -> None:
    """Set `x` of every cell; the leftmost edge is at 0."""
    cells, rows = found.cells, found.rows
    ups, downs = _ties(found, arrows, ports)
    for row in rows:
        x = 0.0
        for index in row:
            cells[index].x = x + cells[index].left
            x += cells[index].left + cells[index].right
    sweeps = max(3, min(SWEEPS, EFFORT // max(1, len(cells))))
    for sweep in range(sweeps):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            _settle(cells, row, ups if down else downs)
    lines = list(_lines(found, ups, downs))
    for _ in range(2):
        for row in rows:
            _settle(cells, row, ups, downs)
    _stiffen([line for line in lines if not cells[line[0][0]].loop], ups, downs)
    for _ in range(6):
        for row in rows:
            _settle(cells, row, ups, downs)
    for _ in range(3):
        for line in lines:
            _straighten(cells, rows, line)
    least = min((c.x - c.left for c in cells), default=0.0)
    for cell in cells:
        cell.x -= least


def _ties(found: Rows, arrows: list[Arrow], ports: Ports) -> tuple[list[list[Tie]], list[list[Tie]]]:
    """What pulls each cell from above and from below."""
    ups: list[list[Tie]] = [[] for _ in found.cells]
    downs: list[list[Tie]] = [[] for _ in found.cells]
    stacked = {*found.stacked, *found.stacked.values()}
    met: set[tuple[int, int, str]] = set()
    for i, way in enumerate(found.ways):
        if i in found.selves:
            continue
        kind = arrows[i].kind
        for above, below in pairwise(way[::-1] if i in found.back else way):
            if (above, below, kind) in met:
                continue
            met.add((above, below, kind))
            a, b = found.cells[above], found.cells[below]
            weight = 1.0 if a.box is not None and b.box is not None else 2.0
            if a.box is None and b.box is None:
                weight = 8.0
            elif (
                weight == 2.0 and (above in stacked or below in stacked) and max(len(a.downs), len(b.ups)) > 1
            ):
                continue  # boxes of a row that was spread stand in columns, whatever lane they share
            if i in found.back:
                weight *= LIGHT
            shift = 0.0 if a.box is None else ports.out(above, kind)
            shift -= 0.0 if b.box is None else ports.into(below, kind)
            ups[below].append((above, shift, weight))
            downs[above].append((below, -shift, weight))
    for low, top in found.stacked.items():
        ups[low].append((top, 0.0, 2.0))
        downs[top].append((low, 0.0, 2.0))
    for loop in found.back:  # the ends of a loop stay near their boxes
        for box in (arrows[loop].source, arrows[loop].target):
            lane = found.ends[loop, box]
            side = found.sides[loop, box]
            beside = found.cells[box].right if side > 0 else found.cells[box].left
            ups[lane].append((box, side * beside, 3 * LIGHT))
            downs[lane].append((box, side * beside, 3 * LIGHT))
    return ups, downs


def _settle(cells: list[Cell], row: list[int], *pulls: list[list[Tie]]) -> None:
    """Put the row as near as can be to where it is pulled, with all distances kept."""
    blocks: list[tuple[float, float, int]] = []  # weight, weight × wish, number of cells
    shifts: list[float] = []
    shift = 0.0
    before = None
    for index in row:
        cell = cells[index]
        if before is not None:
            shift += before.right + cell.left
        before = cell
        shifts.append(shift)
        weight = wish = 0.0
        for pull in pulls:
            for other, offset, w in pull[index]:
                weight += w
                wish += w * (cells[other].x + offset)
        if weight == 0.0:
            weight, wish = 0.01, 0.01 * cell.x
        wish -= weight * shift
        count = 1
        while blocks and blocks[-1][1] * weight >= wish * blocks[-1][0]:
            more_weight, more_wish, more = blocks.pop()
            weight, wish, count = weight + more_weight, wish + more_wish, count + more
        blocks.append((weight, wish, count))
    at = 0
    for weight, wish, count in blocks:
        base = wish / weight
        for k in range(at, at + count):
            cells[row[k]].x = base + shifts[k]
        at += count


def _lines(found: Rows, ups: list[list[Tie]], downs: list[list[Tie]]) -> Iterator[list[tuple[int, float]]]:
    """Cells that should stand in one vertical line, from the top, each with its shift from the first."""
    cells = found.cells
    next_down: dict[int, tuple[int, float]] = {}
    for index in range(len(cells)):
        chosen = _main(cells, index, downs)
        if chosen is not None:
            back = _main(cells, chosen[0], ups)
            if back is not None and back[0] == index:
                next_down[index] = chosen
    followers = {index for index, _ in next_down.values()}
    heads = [index for index in range(len(cells)) if index in next_down and index not in followers]
    for head in heads:
        line = [(head, 0.0)]
        while line[-1][0] in next_down:
            index, offset = next_down[line[-1][0]]
            line.append((index, line[-1][1] - offset))
        yield line


def _stiffen(lines: list[list[tuple[int, float]]], ups: list[list[Tie]], downs: list[list[Tie]]) -> None:
    """Make what should be in line pull harder than anything else."""
    for line in lines:
        for (above, _), (below, _) in pairwise(line):
            for pulls, cell, other in ((ups, below, above), (downs, above, below)):
                pulls[cell] = [(o, s, w * STIFF if o == other else w) for o, s, w in pulls[cell]]


def _main(cells: list[Cell], index: int, pulls: list[list[Tie]]) -> tuple[int, float] | None:
    """The one neighbour in the next row that the cell is to stand in line with."""
    near = [(o, s) for o, s, _ in pulls[index] if cells[o].row != cells[index].row]
    if cells[index].box is not None:
        near = [(o, s) for o, s in near if s == 0.0 or len(near) == 1]
    elif len(near) > 1:
        near = [(o, s) for o, s in near if cells[o].box is None]
    return near[0] if len(near) == 1 else None


def _straighten(cells: list[Cell], rows: list[list[int]], line: list[tuple[int, float]]) -> None:
    """Put as long parts of the line as there is room for at one x."""
    part: list[tuple[int, float]] = []
    low, high = float("-inf"), float("inf")
    for index, shift in line:
        cell = cells[index]
        row = rows[cell.row]
        left = cells[row[cell.place - 1]] if cell.place else None
        right = cells[row[cell.place + 1]] if cell.place + 1 < len(row) else None
        least = left.x + left.right + cell.left - shift if left else float("-inf")
        most = right.x - right.left - cell.right - shift if right else float("inf")
        if max(low, least) > min(high, most):
            _line_up(cells, part, low, high)
            part, low, high = [], float("-inf"), float("inf")
        low, high = max(low, least), min(high, most)
        part.append((index, shift))
    _line_up(cells, part, low, high)


def _line_up(cells: list[Cell], part: list[tuple[int, float]], low: float, high: float) -> None:
    if len(part) > 1:
        x = min(max(fmean(cells[i].x - s for i, s in part), low), high)
        for index, shift in part:
            cells[index].x = x + shift
