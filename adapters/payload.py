"""Look into JSON that a platform sent, whatever it is. Pure; nothing raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

Payload = Mapping[str, Any]


def mapping(value: object) -> Payload:
    """The value where it is a JSON object, else an empty one."""
    return cast("Payload", value) if isinstance(value, Mapping) else cast("Payload", {})


def items(value: object) -> list[object]:
    """The value where it is a JSON list, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def text(given: Payload, name: str) -> str:
    """A text of a payload; "" where it is missing or something else."""
    value = given.get(name)
    return value if isinstance(value, str) else ""
