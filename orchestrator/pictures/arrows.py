"""Lines with round corners and heads. What arrows share is drawn once, so that dashes stay dashes."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from orchestrator.pictures.boxes import number
from orchestrator.pictures.layout import Point
from orchestrator.pictures.styles import Stroke

ROUND = 7.0  # radius of corners
HEAD = 9.0  # length of a head
SAME = 0.3  # pixels: lines nearer than this are one


class Pen:
    """Remembers what it has drawn of each kind of line."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[Stroke, str, int], list[tuple[float, float]]] = defaultdict(list)
        self._heads: set[tuple[Stroke, int, int]] = set()

    def line(self, way: list[Point], stroke: Stroke) -> str:
        """An arrow along `way` with a head at its end, without what is there already."""
        corners = _corners(way)
        if len(corners) < 2:
            return ""
        tip = corners[-1]
        head = ""
        if (key := (stroke, round(tip[0] * 2), round(tip[1] * 2))) not in self._heads:
            self._heads.add(key)
            head = _head(corners[-2], tip, stroke)
        # The line ends inside the head, so that its blunt end does not show at the tip.
        corners[-1] = _toward(tip, corners[-2], HEAD - 2)
        path = "".join(_rounded(part) for part in self._fresh(corners, stroke))
        if not path:
            return head
        dashes = f' stroke-dasharray="{stroke.dashes}"' if stroke.dashes else ""
        return (
            f'<path class="line" d="{path}" fill="none" stroke="{stroke.colour}"'
            f' stroke-width="{number(stroke.thick)}"{dashes}/>{head}'
        )

    def _fresh(self, corners: list[Point], stroke: Stroke) -> list[list[Point]]:
        """The parts that are not drawn yet; each keeps a bend's length of a line that it leaves or joins."""
        pieces = [piece for a, b in pairwise(corners) for piece in self._split(a, b, stroke)]
        parts: list[list[Point]] = []
        now: list[Point] = []
        for k, (start, end, there) in enumerate(pieces):
            if there:
                if now:  # it joins a line that is there
                    now.append(_toward(start, end, 2 * ROUND))
                    parts.append(now)
                now = []
            elif now:
                now.append(end)
            else:  # it leaves a line that is there
                before = [_toward(start, pieces[k - 1][0], 2 * ROUND)] if k else []
                now = [*before, start, end]
        if now:
            parts.append(now)
        return [part for part in map(_corners, parts) if len(part) > 1]

    def _split(self, a: Point, b: Point, stroke: Stroke) -> list[tuple[Point, Point, bool]]:
        """From `a` to `b`: parts that are there already and parts that are not, which are noted."""
        flat = abs(a[1] - b[1]) < abs(a[0] - b[0])
        along, across = (0, 1) if flat else (1, 0)
        spans = self._drawn[stroke, "flat" if flat else "up", round(a[across] / SAME)]
        low, high = sorted((a[along], b[along]))
        cuts = {low, high}
        for first, last in spans:
            cuts |= {x for x in (first, last) if low < x < high}
        found: list[tuple[Point, Point, bool]] = []
        for first, last in pairwise(sorted(cuts)):
            middle = (first + last) / 2
            there = any(s < middle < e for s, e in spans)
            start: Point = (first, a[1]) if flat else (a[0], first)
            end: Point = (last, a[1]) if flat else (a[0], last)
            found.append((start, end, there))
        spans.append((low, high))
        if a[along] > b[along]:
            found = [(end, start, there) for start, end, there in reversed(found)]
        if found:  # exactly the corners that were asked for
            found[0] = (a, *found[0][1:])
            found[-1] = (found[-1][0], b, found[-1][2])
        return found


def _corners(way: list[Point]) -> list[Point]:
    """Without points that lie on a straight line between their neighbours."""
    kept: list[Point] = []
    for point in way:
        if kept and abs(kept[-1][0] - point[0]) < 0.05 and abs(kept[-1][1] - point[1]) < 0.05:
            continue
        if len(kept) > 1 and _straight(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _straight(a: Point, b: Point, c: Point) -> bool:
    return any(abs(a[k] - b[k]) < 0.05 and abs(b[k] - c[k]) < 0.05 for k in (0, 1))


def _toward(point: Point, other: Point, far: float) -> Point:
    length = max(_length(point, other), 0.001)
    part = min(1.0, far / length)
    return (point[0] + (other[0] - point[0]) * part, point[1] + (other[1] - point[1]) * part)


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _rounded(corners: list[Point]) -> str:
    path = f"M{number(corners[0][0])} {number(corners[0][1])}"
    for before, here, after in zip(corners, corners[1:], corners[2:], strict=False):
        room = min(_length(before, here), _length(here, after)) / 2
        enter, leave = (_toward(here, near, min(ROUND, room)) for near in (before, after))
        path += (
            f"L{number(enter[0])} {number(enter[1])}"
            f"Q{number(here[0])} {number(here[1])} {number(leave[0])} {number(leave[1])}"
        )
    return path + f"L{number(corners[-1][0])} {number(corners[-1][1])}"


def _head(before: Point, tip: Point, stroke: Stroke) -> str:
    """Square to the line, which runs up, down or sideways."""
    x, y = tip
    if abs(before[0] - x) < abs(before[1] - y):
        back = y + (HEAD if before[1] > y else -HEAD)
        corners = [(x, y), (x - 4.5, back), (x + 4.5, back)]
    else:
        back = x + (HEAD if before[0] > x else -HEAD)
        corners = [(x, y), (back, y - 4.5), (back, y + 4.5)]
    points = " ".join(f"{number(a)},{number(b)}" for a, b in corners)
    return f'<polygon class="head" points="{points}" fill="{stroke.colour}"/>'
