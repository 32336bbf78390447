"""Rows for boxes: loops turned round, each box below those that lead to it, lanes for long arrows.

The layered layout of Sugiyama and others. A *cell* is what stands in a row: a box, a label, or
the lane of an arrow that only passes. Pure and deterministic; boxes are numbers, in the order
of the definition.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

LANE = 14.0  # pixels that the lane of an arrow takes in a row
FULL = 8  # more boxes in a row are spread over several rows


@dataclass(frozen=True, slots=True)
class Size:
    """Of a box or a label, in pixels."""

    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another. Arrows of a kind share their ports and lanes unless they have labels."""

    source: int
    target: int
    kind: str = ""
    label: Size | None = None


@dataclass(slots=True)
class Cell:
    """Something in a row: a box (`box`), a label (`arrow`), or a lane."""

    row: int
    left: float  # pixels from its middle to where the next cell may begin
    right: float
    height: float = 0.0
    box: int | None = None
    arrow: int | None = None  # whose label it is
    loop: bool = False  # the lane of a loop: right of what goes down between the same boxes
    place: int = 0  # in its row, from the left
    x: float = 0.0  # of its middle
    ups: list[int] = field(default_factory=list[int])  # cells of the row above that it is tied to
    downs: list[int] = field(default_factory=list[int])


@dataclass(slots=True)
class Rows:
    """Cells by row, and the way of each arrow through them."""

    cells: list[Cell]
    rows: list[list[int]]
    ways: list[list[int]]  # cells from source to target; a loop's begins and ends beside its boxes
    back: set[int]  # arrows that go up: loops
    selves: set[int]  # arrows from a box to itself
    sides: dict[tuple[int, int], int] = field(
        default_factory=dict[tuple[int, int], int]
    )  # (loop, box) → -1, 1
    stacked: dict[int, int] = field(default_factory=dict[int, int])  # box → the one above it of a spread row
    ends: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])  # → lane beside it


def loops(count: int, arrows: list[Arrow]) -> set[int]:
    """Arrows that close a loop, seen from the first box on. Without them there is no loop."""
    outgoing: dict[int, list[int]] = defaultdict(list)
    entered: set[int] = set()
    for i, arrow in enumerate(arrows):
        if arrow.source != arrow.target:
            outgoing[arrow.source].append(i)
            entered.add(arrow.target)
    found: set[int] = set()
    seen: dict[int, bool] = {}  # box → still on the way from the root
    roots = [0, *(b for b in range(count) if b not in entered), *range(count)] if count else []
    for root in roots:
        if root in seen:
            continue
        seen[root] = True
        stack = [(root, iter(outgoing[root]))]
        while stack:
            box, left = stack[-1]
            for i in left:
                target = arrows[i].target
                if seen.get(target):
                    found.add(i)
                elif target not in seen:
                    seen[target] = True
                    stack.append((target, iter(outgoing[target])))
                    break
            else:
                seen[box] = False
                stack.pop()
    return found


def ranks(count: int, arrows: list[Arrow], back: set[int]) -> tuple[list[int], dict[int, int]]:
    """The row of each box: below all that lead to it, and never too many in one row.

    Also which box stands below which other, where a row was spread over several.
    """
    spread = {a.source for i, a in enumerate(arrows) if a.label and i not in back}
    ups: list[list[tuple[int, int]]] = [[] for _ in range(count)]  # (box above, rows between)
    downs: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for i, arrow in enumerate(arrows):
        if arrow.source == arrow.target:
            continue
        top, low = (arrow.target, arrow.source) if i in back else (arrow.source, arrow.target)
        far = 2 if (arrow.label if i in back else top in spread) else 1
        ups[low].append((top, far))
        downs[top].append((low, far))
    order = _topological(ups, downs)
    level = [0] * count
    for box in order:
        level[box] = max((level[top] + far for top, far in ups[box]), default=0)
    for box in reversed(order):  # what nothing leads to goes near what it leads to
        if box and not ups[box] and downs[box]:
            level[box] = max(0, min(level[low] - far for low, far in downs[box]))
    groups: dict[int, int] = defaultdict(int)
    for box in order:
        groups[level[box]] += 1
    room = {row: -(-n // -(-n // FULL)) for row, n in groups.items()}  # filled evenly
    rank = [0] * count
    taken: dict[int, int] = defaultdict(int)
    columns: dict[int, list[int]] = defaultdict(list)
    stacked: dict[int, int] = {}
    for box in sorted(order, key=lambda b: (level[b], b)):
        row = max([rank[top] + far for top, far in ups[box]], default=level[box])
        while taken[row] >= room[level[box]]:
            row += 1
        rank[box] = row
        taken[row] += 1
        column = columns[level[box]]
        if row != level[box] and len(column) >= room[level[box]]:
            stacked[box] = column[-room[level[box]]]
        column.append(box)
    return rank, stacked


def _topological(ups: list[list[tuple[int, int]]], downs: list[list[tuple[int, int]]]) -> list[int]:
    waiting = [len(u) for u in ups]
    ready = [b for b, n in enumerate(waiting) if n == 0]
    order: list[int] = []
    for box in ready:
        order.append(box)
        for low, _ in downs[box]:
            waiting[low] -= 1
            if waiting[low] == 0:
                ready.append(low)
    return order


def rows_of(boxes: list[Size], arrows: list[Arrow], gap: float) -> Rows:
    """Boxes, labels and lanes in rows, in the order in which they were met.

    Args:
        gap: pixels between two boxes of a row.
    """
    back = loops(len(boxes), arrows)
    selves = {i for i, a in enumerate(arrows) if a.source == a.target}
    rank, stacked = ranks(len(boxes), arrows, back)
    cells = [
        Cell(rank[b], s.width / 2 + gap / 2, s.width / 2 + gap / 2, s.height, box=b)
        for b, s in enumerate(boxes)
    ]
    for i in sorted(selves):
        label = arrows[i].label
        cell = cells[arrows[i].source]
        cell.right += LANE * 2 + (label.width if label else 0)
        cell.height = max(cell.height, label.height + 8 if label else 0)
    shared = _shared(arrows, rank, back)
    lanes: dict[tuple[str, int, str, int], int] = {}
    ways: list[list[int]] = []
    for i, arrow in enumerate(arrows):
        if i in selves:
            ways.append([arrow.source, arrow.target])
            continue
        top, low = (arrow.target, arrow.source) if i in back else (arrow.source, arrow.target)
        labelled = (
            -1
            if arrow.label is None
            else (rank[top] + rank[low]) // 2 if i in back else rank[top] + 1
        )  # fmt: skip
        way = [top]
        for row in range(rank[top] + 1, rank[low]):
            share = shared.get(i)
            lane = lanes.get((*share, row)) if share else None
            if lane is None:
                lane = len(cells)
                cell = Cell(row, LANE / 2, LANE / 2, loop=i in back)
                if row == labelled and arrow.label:
                    half = arrow.label.width / 2 + gap / 4
                    cell = Cell(row, half, half, arrow.label.height, arrow=i, loop=i in back)
                cells.append(cell)
                if share:
                    lanes[(*share, row)] = lane
            way.append(lane)
        way.append(low)
        for above, below in pairwise(way):
            if below not in cells[above].downs:
                cells[above].downs.append(below)
                cells[below].ups.append(above)
        ways.append(way)
    rows: list[list[int]] = [[] for _ in range(max((c.row for c in cells), default=-1) + 1)]
    for index in _met(cells, len(boxes)):
        rows[cells[index].row].append(index)
    return Rows(cells, rows, ways, back, selves, stacked=stacked)


def _shared(arrows: list[Arrow], rank: list[int], back: set[int]) -> dict[int, tuple[str, int, str]]:
    """Which long arrows go together: those that leave the same box, or those that lead to the same one."""
    long = [
        (i, a)
        for i, a in enumerate(arrows)
        if i not in back and a.label is None and rank[a.target] - rank[a.source] > 1
    ]
    count: dict[tuple[str, int, str], int] = defaultdict(int)
    for _, arrow in long:
        count["from", arrow.source, arrow.kind] += 1
        count["to", arrow.target, arrow.kind] += 1
    return {
        i: max(("to", a.target, a.kind), ("from", a.source, a.kind), key=lambda share: count[share])
        for i, a in long
    }


def _met(cells: list[Cell], boxes: int) -> list[int]:
    """Cells in the order of a walk down from the first box."""
    seen: dict[int, None] = {}
    for root in range(boxes):
        if cells[root].ups and root:
            continue
        stack = [root]
        while stack:
            index = stack.pop()
            if index not in seen:
                seen[index] = None
                last = [d for d in cells[index].downs if cells[d].loop]
                stack += last[::-1] + [d for d in reversed(cells[index].downs) if not cells[d].loop]
    for index in range(len(cells)):
        seen.setdefault(index)
    return list(seen)
