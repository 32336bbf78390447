"""Loops of a graph, and what comes before what in it. Pure, and linear in the number of ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Ways = Mapping[str, Sequence[str]]  # each node to where it leads; every target is a key too


def components(ways: Ways) -> list[list[str]]:
    """Nodes that reach each other, together; a component comes before those that it leads to.

    Tarjan's algorithm with a stack of its own: a chain of a thousand nodes is no recursion.
    """
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    row: list[str] = []  # visited, and not yet in a component
    waiting: set[str] = set()  # the same, to look up
    found: list[list[str]] = []
    for root in ways:
        trail = [] if root in number else [(root, iter(ways[root]))]
        while trail:
            node, onward = trail[-1]
            if node not in number:
                number[node] = lowest[node] = len(number)
                row.append(node)
                waiting.add(node)
            for target in onward:
                if target not in number:
                    trail.append((target, iter(ways[target])))
                    break
                if target in waiting:
                    lowest[node] = min(lowest[node], number[target])
            else:
                trail.pop()
                if trail:
                    above = trail[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == number[node]:
                    found.append(_taken_off(row, node))
                    waiting.difference_update(found[-1])
    found.reverse()
    return found


def _taken_off(row: list[str], down_to: str) -> list[str]:
    taken: list[str] = []
    while not taken or taken[-1] != down_to:
        taken.append(row.pop())
    return taken[::-1]


def loops(ways: Ways) -> list[list[str]]:
    """The components in which one can go round."""
    return [c for c in components(ways) if len(c) > 1 or c[0] in ways[c[0]]]


def distances(ways: Ways, begins: Iterable[str]) -> dict[str, int]:
    """How many ways from the beginning each node is; those that are not reached are missing."""
    found = {name: 0 for name in begins if name in ways}
    todo = list(found)
    for name in todo:  # grows while it is read
        for target in ways[name]:
            if target not in found:
                found[target] = found[name] + 1
                todo.append(target)
    return found


class Before:
    """What can have been visited before a node."""

    def __init__(self, ways: Ways) -> None:
        self._bit = {name: 1 << i for i, name in enumerate(ways)}
        self._mask = dict.fromkeys(ways, 0)
        for component in components(ways):
            mask = 0
            for name in component:
                mask |= self._mask[name]
            inside = set(component)
            if any(target in inside for name in component for target in ways[name]):
                for name in component:
                    mask |= self._bit[name]
            for name in component:
                self._mask[name] = mask
                for target in ways[name]:
                    if target not in inside:
                        self._mask[target] |= mask | self._bit[name]

    def comes(self, earlier: str, later: str) -> bool:
        """Whether `earlier` can have been visited when `later` begins (itself: in a loop)."""
        return bool(self._mask[later] & self._bit[earlier])
