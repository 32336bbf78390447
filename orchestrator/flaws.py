"""What is wrong in a definition, and where. Pure; made by the checks of workflows and of their inputs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

Path = tuple[str | int, ...]
MAX_LISTED = 40  # names in one message


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong in a definition."""

    path: Path  # into the document: ("edges", 3, "to")
    message: str  # "what is wrong; how to mend it", one line


def listed(names: Iterable[str], *, near: str = "") -> str:
    """Names for a message, sorted; of very many only those that are most like `near`."""
    found = sorted(set(names))
    if len(found) > MAX_LISTED:
        likely = difflib.get_close_matches(near, found, n=MAX_LISTED // 4, cutoff=0.0) if near else found
        return f"{', '.join(sorted(likely[: MAX_LISTED // 4]))}, …"
    return ", ".join(found)


def unknown(what: str, name: str, names: Iterable[str], *, plural: str = "") -> str:
    """`there is no node 'bilder'; nodes are builder, planner`."""
    names = list(names)
    known = (
        f"{plural or what + 's'} are {listed(names, near=name)}" if names else f"there is no {what} at all"
    )
    return f"there is no {what} {name!r}; {known}"


def one_part(text: str) -> str:
    """A quoted text without what divides a message into what is wrong and what to do."""
    return text.replace("; ", ";")
