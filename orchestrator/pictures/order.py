"""Who stands where in a row: sweeps up and down until arrows cross as little as we can find."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import pairwise
from statistics import fmean

from orchestrator.pictures.layers import LANE, Cell, Rows

EFFORT = 20_000  # cells looked at in all sweeps: bounds the time for huge graphs
SWEEPS = 16


def arrange(found: Rows) -> None:
    """Put each row in its best order, then the ends of loops beside their boxes."""
    cells, rows = found.cells, found.rows
    _number(cells, rows)
    best, fewest = [row[:] for row in rows], crossings(cells, rows)
    sweeps = max(2, min(SWEEPS, EFFORT // max(1, len(cells))))
    for sweep in range(sweeps):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        for index in range(len(rows)) if down else range(len(rows) - 1, -1, -1):
            _sort(cells, rows[index], down)
        now = crossings(cells, rows)
        if now < fewest:
            best, fewest = [row[:] for row in rows], now
    rows[:] = best
    _number(cells, rows)
    if len(cells) < 1500:
        _swap(cells, rows)
    _loop_ends(found)


def _number(cells: list[Cell], rows: list[list[int]]) -> None:
    for row in rows:
        for place, index in enumerate(row):
            cells[index].place = place


def _sort(cells: list[Cell], row: list[int], down: bool) -> None:
    """By the mean place of the neighbours in the row before; cells without any keep their place."""
    wish: dict[int, float] = {}
    for index in row:
        near = cells[index].ups if down else cells[index].downs
        if near:
            # A loop stands to the right of its brothers: it goes around them.
            mean = sum([cells[n].place for n in near]) / len(near)
            wish[index] = mean + (0.3 if cells[index].loop else 0.0)
    moved = iter(sorted(wish, key=lambda i: (wish[i], cells[i].place)))
    row[:] = [next(moved) if index in wish else index for index in row]
    for place, index in enumerate(row):
        cells[index].place = place


def crossings(cells: list[Cell], rows: list[list[int]]) -> int:
    """How often ties between neighbouring rows cross."""
    total = 0
    for row in rows:
        ends: list[int] = []  # sorted places in the row below
        for index in row:
            places = sorted(cells[d].place for d in cells[index].downs)
            for place in places:
                total += len(ends) - bisect_left(ends, place + 1)
            for place in places:
                insort(ends, place)
    return total


def _swap(cells: list[Cell], rows: list[list[int]]) -> None:
    """Exchange neighbours while that takes away crossings."""
    for _ in range(4):
        better = False
        for row in rows:
            for i in range(len(row) - 1):
                a, b = cells[row[i]], cells[row[i + 1]]
                kept = _between(cells, a.ups, b.ups) + _between(cells, a.downs, b.downs)
                if kept and _between(cells, b.ups, a.ups) + _between(cells, b.downs, a.downs) < kept:
                    row[i], row[i + 1] = row[i + 1], row[i]
                    a.place, b.place = i + 1, i
                    better = True
        if not better:
            return


def _between(cells: list[Cell], left: list[int], right: list[int]) -> int:
    return sum(cells[a].place > cells[b].place for a in left for b in right)


def _loop_ends(found: Rows) -> None:
    """A loop leaves and enters its boxes at the side, so give it a lane right beside each.

    The side is the one on which its way up stands; where there is none, the right.
    """
    cells, rows = found.cells, found.rows
    for i in sorted(found.back, key=lambda i: (len(found.ways[i]), i)):
        way = found.ways[i]
        ends: list[int] = []
        for box, inner, above in ((way[0], way[1], False), (way[-1], way[-2], True)):
            side = _side(found, box, inner, above)
            lane = len(cells)
            cells.append(Cell(cells[box].row, LANE / 2, LANE / 2, loop=True))
            row = rows[cells[box].row]
            at = row.index(box) + (1 if side > 0 else 0)
            # Longer loops stand farther out: step over the lanes of the shorter ones.
            near = {e for (_, b), e in found.ends.items() if b == box}
            while 0 <= (look := at if side > 0 else at - 1) < len(row) and row[look] in near:
                at += side
            row.insert(at, lane)
            found.sides[i, box] = side
            found.ends[i, box] = lane
            ends.append(lane)
        top, low = way[0], way[-1]
        lanes = way[1:-1]
        chain = [ends[0], *lanes, ends[1]]
        for above, below in pairwise(chain):
            cells[above].downs.append(below)
            cells[below].ups.append(above)
        if lanes:
            cells[lanes[0]].ups.remove(top)
            cells[lanes[-1]].downs.remove(low)
            cells[top].downs.remove(lanes[0])
            cells[low].ups.remove(lanes[-1])
        else:
            _untie(found, top, low)
        found.ways[i] = chain[::-1]
    _number(cells, rows)


def _untie(found: Rows, top: int, low: int) -> None:
    """Two neighbours that only a loop ties stay untied, unless an arrow goes down between them as well."""
    down = any(
        way[k : k + 2] == [top, low]
        for i, way in enumerate(found.ways)
        if i not in found.back and i not in found.selves
        for k in range(len(way) - 1)
    )
    if not down and low in found.cells[top].downs:
        found.cells[top].downs.remove(low)
        found.cells[low].ups.remove(top)


def _side(found: Rows, box: int, lane: int, above: bool) -> int:
    """-1: the loop's way stands on the left of what else leads to or from the box; 1: on the right.

    Args:
        found: everything.
        box: where the loop ends.
        lane: its next cell.
        above: whether that is in the row above.
    """
    if any(found.ways[i][0] == box for i in found.selves):
        return -1  # the right is taken by a loop from the box to itself
    near = found.cells[box].ups if above else found.cells[box].downs
    others = [found.cells[other].place for other in near if not found.cells[other].loop]
    if not others or found.cells[lane].box is not None:
        return 1
    return 1 if found.cells[lane].place >= fmean(others) else -1
