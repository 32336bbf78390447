"""JSON from outside that is kept as it is: only what every database and every reader can hold.

Lone surrogates cannot be stored as UTF-8, NUL not in PostgreSQL, NaN not in JSON; and what is
nested deeper than any reader recurses would break whoever reads it later.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator

MAX_DEPTH: Final = 32
MAX_INTEGER: Final = 2**63 - 1


def clean_text(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: it holds NUL or half a character.
    """
    if "\0" in text:
        raise ValueError("holds a NUL character; leave it out")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"holds half a character (a lone surrogate) at {error.start}; leave it out"
        ) from error
    return text


def clean_json(value: Any) -> Any:
    """The value itself.

    Raises:
        ValueError: something in it cannot be kept; says what.
    """
    todo: list[tuple[Any, int]] = [(value, 1)]
    while todo:  # not recursive: depth is what is being checked
        item, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, str):
            clean_text(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("holds a number that is not finite")
        elif isinstance(item, int) and abs(item) > MAX_INTEGER:
            raise ValueError("holds an integer of more than 64 bits")
        elif isinstance(item, dict):
            members = cast("dict[str, Any]", item)
            for key in members:
                clean_text(key)
            todo += [(member, depth + 1) for member in members.values()]
        elif isinstance(item, list):
            todo += [(member, depth + 1) for member in cast("list[Any]", item)]
    return value


Text = Annotated[str, AfterValidator(clean_text)]
JsonObject = Annotated[dict[str, Any], AfterValidator(clean_json)]
