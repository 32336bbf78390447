"""A schema in words, and words as values: what an input may be, one that fits, what a person wrote. Pure."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from typing import Any, cast

from orchestrator.input_schema import properties

YES = frozenset({"true", "yes", "y", "on", "1"})
NO = frozenset({"false", "no", "n", "off", "0"})
_BY_FORMAT = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "email": "ada@example.com",
    "ip": "192.0.2.1",
    "uri": "https://example.com",
    "uuid": "0b0e7a4e-4a6d-4a43-9d0a-2f1b6c7d8e9f",
}


def allowed(schema: Mapping[str, Any]) -> str:
    """What a schema takes, in a few words: `one of production, staging`, `a whole number from 1 to 5`."""
    if "const" in schema:
        return said(schema["const"])
    if "enum" in schema:
        row = [said(v) for v in cast("list[Any]", schema["enum"])]
        return f"one of {', '.join(row[:20])}{', …' if len(row) > 20 else ''}"
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            return " or ".join(dict.fromkeys(allowed(one) for one in schema[word][:6]))
    return " or ".join(_kind(kind, schema) for kind in _types(schema)) or "anything"


def sample(name: str, schema: Mapping[str, Any]) -> Any:
    """A value for an example: one that the schema itself shows, or one of its type."""
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("const", "default"):
        if key in schema and schema[key] not in ("", None, []):
            return schema[key]
    for word in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(word, ())[:1]:
            return sample(name, one)
    kind = next(iter(_types(schema)), "")
    if kind == "array":
        return [sample(name, schema.get("items") or {})]
    if kind == "object":
        inner = properties(schema)
        return {k: sample(k, p) for k, p in inner.items() if k in schema.get("required", ())}
    number = _some_number(schema)
    shown: dict[Any, Any] = {"integer": math.ceil(number), "number": number, "boolean": True, "null": None}
    return shown.get(kind, _BY_FORMAT.get(str(schema.get("format")), name.upper()))


def _some_number(schema: Mapping[str, Any]) -> float:
    for key in ("minimum", "maximum"):
        if key in schema:
            return schema[key]
    over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if over is not None and under is not None:
        return (over + under) / 2
    return over + 1 if over is not None else under - 1 if under is not None else 1


def _kind(kind: str, schema: Mapping[str, Any]) -> str:
    low, high = _bounds(schema)
    limits = f" from {low} to {high}" if low is not None and high is not None else ""
    if not limits:
        limits = (
            f" of at least {low}" if low is not None else f" of at most {high}" if high is not None else ""
        )
    if kind in ("integer", "number"):
        return f"a {'whole ' if kind == 'integer' else ''}number{limits}"
    if kind == "array":
        items = allowed(schema.get("items") or {})
        least, most = schema.get("minItems"), schema.get("maxItems")
        count = f", at least {least}" if least else ""
        count += f", at most {most}" if most is not None else ""
        return f"a list, divided by commas, of {items}{count}"
    if kind == "string":
        form = str(schema.get("format", ""))
        words = f"{'an' if form in ('email', 'ip') else 'a'} {form}" if form else "text"
        words += f" that matches {schema['pattern']}" if "pattern" in schema else ""
        least, most = schema.get("minLength"), schema.get("maxLength")
        words += f" of at least {least} characters" if least and least > 1 else ""
        return words + (f" of at most {most} characters" if most is not None else "")
    return {"boolean": "yes or no", "object": "a JSON object", "null": "nothing"}.get(kind, kind)


def _bounds(schema: Mapping[str, Any]) -> tuple[Any, Any]:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    return low, schema.get("maximum", schema.get("exclusiveMaximum"))


def fold(name: str) -> str:
    """A name of an input as it is compared: `Commit-SHA` is `commit_sha`."""
    return name.casefold().replace("-", "_")


def read(word: str, schema: Mapping[str, Any]) -> Any:
    """What a person wrote as the schema has it; text where it cannot be that."""
    text = word.strip()
    for choice in (
        *cast("list[Any]", schema.get("enum") or ()),
        *([schema["const"]] if "const" in schema else ()),
    ):
        if said(choice).casefold() == text.casefold():
            return choice
    kinds = _kinds(schema)
    if "null" in kinds and text.casefold() in ("", "none", "null"):
        return None
    if (
        "boolean" in kinds
        and text.casefold() in YES | NO
        and not ({"integer", "number"} & kinds and text in "01")
    ):
        return text.casefold() in YES
    if "integer" in kinds or "number" in kinds:
        number = _number(text, whole="number" not in kinds)
        if number is not None:
            return number
    if kinds & {"array", "object"} and text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return word
    if "array" in kinds:
        items: Mapping[str, Any] = schema.get("items") or {}
        return [read(part, items) for part in text.split(",") if part.strip()]
    return word if "string" not in kinds else text


def _types(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type")
    if isinstance(kind, list):
        return [str(one) for one in cast("list[Any]", kind)]
    return [str(kind)] if kind else []


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    found = set(_types(schema))
    for word in ("anyOf", "oneOf", "allOf"):
        for one in cast("list[Mapping[str, Any]]", schema.get(word) or ()):
            found |= _kinds(one)
    return found


def _number(text: str, *, whole: bool) -> float | int | None:
    if not text.isascii() or len(text) > 30 or "_" in text:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if not whole and math.isfinite(number) else None


def said(value: Any) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, list) and not any(isinstance(v, list | dict) for v in cast("list[Any]", value)):
        return ",".join(said(v) for v in cast("list[Any]", value))
    return json.dumps(value, ensure_ascii=False)


def written(name: str, value: Any) -> str:
    """`name=value`, in quotes where it has to be."""
    return f"{name}={shlex.quote(said(value)) if ' ' in said(value) else said(value)}"
