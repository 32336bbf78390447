"""JSON from outside that is kept as it is: only what every database and every reader can hold.

Lone surrogates cannot be stored as UTF-8, NUL not in PostgreSQL, NaN not in JSON; and what is
nested deeper than any reader recurses would break whoever reads it later. Nor are there more values in it
than can be looked at while everybody else waits: Python holds all threads while it parses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sized
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator

MAX_DEPTH: Final = 32
MAX_INTEGER: Final = 2**63 - 1
MAX_VALUES: Final = 20_000  # of one body or message, each list, object, text, number counted
TOO_MANY: Final = f"holds more than {MAX_VALUES:,} values"
_SIGNS: Final = (b",", b"[", b"{")  # before each value stands one of these, or a key


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
    seen = 1
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
            seen = _more(seen, members)
            for key in members:
                clean_text(key)
            todo += [(member, depth + 1) for member in members.values()]
        elif isinstance(item, list):
            seen = _more(seen, cast("list[Any]", item))
            todo += [(member, depth + 1) for member in cast("list[Any]", item)]
    return value


def _more(seen: int, members: Sized) -> int:
    seen += len(members)
    if seen > MAX_VALUES:
        raise ValueError(TOO_MANY)
    return seen


def read_json(text: str) -> Any:
    """What a text says, as `clean_json` lets it pass.

    Raises:
        ValueError: it is no JSON, or something in it cannot be kept; says what.
        RecursionError: it is nested too deeply.
    """
    raw = text.encode("utf-8", "surrogatepass")
    if signs(raw) >= MAX_VALUES and has_too_many(raw):
        raise ValueError(TOO_MANY)
    return clean_json(json.loads(text, parse_constant=_no_constant))


def signs(raw: bytes) -> int:
    """At most so many values are in a JSON text besides the first. It takes milliseconds."""
    return sum(raw.count(sign) for sign in _SIGNS)


def has_too_many(raw: bytes) -> bool:
    """Whether a JSON text holds more than `MAX_VALUES`, without parsing it; texts may be full of commas."""
    if not json.detect_encoding(raw).startswith("utf-8"):
        return signs(raw) >= MAX_VALUES  # nobody sends UTF-16; what is a text in it is not looked for
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # what is a quote now begins or ends a text
    if bare.count(b'"') > 4 * MAX_VALUES:
        return True  # two for each text, and each text is a value or the key of one
    bare = b'"'.join(bare.split(b'"')[::2]).translate(None, b" \t\r\n")  # of each text one quote is left
    return 1 + signs(bare) - bare.count(b"[]") - bare.count(b"{}") > MAX_VALUES


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


Text = Annotated[str, AfterValidator(clean_text)]
JsonObject = Annotated[dict[str, Any], AfterValidator(clean_json)]
