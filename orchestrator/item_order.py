"""Items that wait for each other: those that say in `depends_on` which `id`s they build on. Pure.

Lists come from agents, so nothing in them is an error: an id that nobody has is no reason to wait, and a
circle is opened at the item that stands first in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast


def in_order(items: Sequence[Any]) -> tuple[Any, ...]:
    """The items in rows: first those that wait for nobody, then those that wait for these only, and so on.

    Within a row they stay as they stood.
    """
    left = list(range(len(items)))
    waits = _waits(items)
    ordered: list[int] = []
    there: set[int] = set()
    while left:
        row = [i for i in left if waits[i] <= there] or left[:1]  # nobody can: a circle
        ordered += row
        there.update(row)
        left = [i for i in left if i not in there]
    return tuple(items[i] for i in ordered)


def needs(items: Sequence[Any], index: int) -> list[int]:
    """Indexes of the items that have to end before one begins, of a list that is `in_order`."""
    wanted = _wanted(items[index])
    return [i for i in range(index) if _id(items[i]) in wanted]


def _waits(items: Sequence[Any]) -> list[set[int]]:
    by_id: dict[str, set[int]] = {}
    for i, item in enumerate(items):
        by_id.setdefault(_id(item), set()).add(i)
    by_id.pop("", None)
    return [
        {other for name in _wanted(item) for other in by_id.get(name, ()) if other != i}
        for i, item in enumerate(items)
    ]


def _id(item: Any) -> str:
    found = cast("dict[str, Any]", item).get("id") if isinstance(item, dict) else None
    return found if isinstance(found, str) else ""


def _wanted(item: Any) -> set[str]:
    found = cast("dict[str, Any]", item).get("depends_on") if isinstance(item, dict) else None
    if not isinstance(found, list | tuple):
        return set()
    return {one for one in cast("Sequence[Any]", found) if isinstance(one, str) and one}
