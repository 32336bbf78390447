"""Read event bodies of every age: old shapes are lifted step by step to today's.

A type or version that is not known blocks its run with a clear error. Nothing is skipped: a
log with a hole in it would fold into a state that never was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from orchestrator.errors import UnknownEvent
from orchestrator.events import Body, Fact, Json

Upcaster = Callable[[Json], Json]


def _bodies() -> dict[str, type[Fact]]:
    union, _ = get_args(Body)
    return {_first(model, "type"): model for model in get_args(union)}


def _first(model: type[BaseModel], field: str) -> Any:
    return model.model_fields[field].default


BODIES: Mapping[str, type[Fact]] = _bodies()
"""Event type → today's body."""
VERSIONS: Mapping[str, int] = {name: _first(model, "v") for name, model in BODIES.items()}
"""Event type → today's version."""


def _same_in_2(fact: Json) -> Json:
    """Version 2 only adds fields, and what they are by default is what version 1 meant."""
    return {**fact, "v": 2}


UPCASTERS: dict[tuple[str, int], Upcaster] = {
    ("run_created", 1): _same_in_2,  # 2: inputs, priority, deadline, forked
    ("approval_requested", 1): _same_in_2,  # 2: wants
    ("decision_given", 1): _same_in_2,  # 2: key
}
"""(type, v) → what turns the dict of that version into the one of version v + 1, or of another type."""


def read_body(type_: str, v: int, text: str | bytes, *, where: str = "") -> Body:
    """An event's body from its stored JSON.

    Args:
        type_: the stored type.
        v: the stored version.
        text: the stored JSON object, `type` and `v` included.
        where: named in errors: "run r1, event 3".

    Raises:
        UnknownEvent: this program cannot read it.
    """
    model = BODIES.get(type_)
    try:
        if model is not None and v == VERSIONS[type_]:
            return model.model_validate_json(text)  # pyright: ignore[reportReturnType]
        return _lifted(json.loads(text), where)
    except (ValidationError, ValueError) as error:
        raise _unreadable(type_, v, where, error) from error


def _lifted(raw: Any, where: str) -> Body:
    if not isinstance(raw, dict):
        raise UnknownEvent(
            f"{_at(where)}the stored event is not an object; restore the database from a backup"
        )
    fact: Json = raw  # pyright: ignore[reportUnknownVariableType]
    while True:
        type_, v = str(fact.get("type")), fact.get("v")
        model = BODIES.get(type_)
        if model is not None and v == VERSIONS[type_]:
            return model.model_validate_json(json.dumps(fact))  # pyright: ignore[reportReturnType]
        upcaster = UPCASTERS.get((type_, v)) if isinstance(v, int) else None
        if upcaster is None:
            raise UnknownEvent(
                f"{_at(where)}this program does not know the event {type_!r} in version {v!r}; "
                "a newer Quartet wrote it: update Quartet, the run then goes on"
            )
        fact = upcaster(fact)


def _unreadable(type_: str, v: int, where: str, error: Exception) -> UnknownEvent:
    detail = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        detail = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return UnknownEvent(
        f"{_at(where)}the event {type_!r} in version {v} does not have the shape this program knows "
        f"({detail}); "
        "a newer Quartet may have written it: update Quartet, the run then goes on"
    )


def _at(where: str) -> str:
    return f"{where}: " if where else ""
