"""Read a YAML file into a pydantic model; every refusal says file, line, column and remedy.

Knows no model of its own: agents, workflows and settings all come through here. What only the
whole document can tell (a graph's loops, an agent's name) is asked by `extra_check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.errors import ConfigError, ConfigProblem, nearest, short_path, suggest
from config.yaml_text import Document, YamlPath, decode, dotted, read_bytes, read_text

MAX_PROBLEMS = 50  # of one document; more help nobody

M = TypeVar("M", bound=BaseModel)
Check = Callable[[M], Iterable[tuple[YamlPath, str]]]


def read_model(path: Path, model: type[M], *, extra_check: Check[M] | None = None) -> M:
    """Read a YAML file into `model`.

    Args:
        path: the file.
        model: a pydantic model that refuses unknown keys.
        extra_check: what only the whole can tell: (path into the document, message) for each flaw.

    Raises:
        ConfigError: with every problem found.
    """
    name = short_path(path)
    return read_text_model(decode(read_bytes(path, name), name), name, model, extra_check=extra_check)


def read_text_model(text: str, name: str, model: type[M], *, extra_check: Check[M] | None = None) -> M:
    """Like `read_model`, for a text.

    Args:
        text: YAML.
        name: how messages call the text.
        model: as in `read_model`.
        extra_check: as in `read_model`.

    Raises:
        ConfigError: with every problem found.
    """
    value, document = read_given(text, name, model)
    if extra_check is not None:
        refuse_flawed(document, extra_check(value))
    return value


def read_given(text: str, name: str, model: type[M]) -> tuple[M, Document]:
    """Like `read_text_model`, with the document: its lines are asked for later (`refuse_flawed`)."""
    document = read_text(text, name)
    try:
        return model.model_validate(document.values), document
    except ValidationError as error:
        raise ConfigError(problems_of(error, document, model)) from None


def refuse_flawed(document: Document, flaws: Iterable[tuple[YamlPath, str]]) -> None:
    """Refuse a document with flaws: (path into it, message) for each.

    Raises:
        ConfigError: there are any.
    """
    found = [document.problem(path, *_message_and_remedy(message)) for path, message in flaws]
    if found:
        raise ConfigError(found)


def problems_of(
    error: ValidationError, document: Document, model: type[BaseModel]
) -> Iterator[ConfigProblem]:
    """The problems in a model's refusal of a document, each at its line."""
    for detail in error.errors(include_url=False)[:MAX_PROBLEMS]:
        path, message, remedy = explain(detail, document.values, model)
        yield document.problem(path, message, remedy)


def explain(
    detail: ErrorDetails, values: Mapping[str, Any], model: type[BaseModel]
) -> tuple[YamlPath, str, str]:
    """Where a model's refusal points to in `values`, what is wrong and what to do.

    Args:
        detail: one of `ValidationError.errors()`.
        values: what was validated.
        model: what refused it.

    Returns:
        Path into `values`, message, remedy. None of them repeats the value.
    """
    path = _path(detail, values)
    kind, context = detail["type"], detail.get("ctx", {})
    last = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        return (
            path,
            f"the key {last!r} is unknown",
            suggest(last, _keys(model, detail["loc"][:-1])),
        )
    if kind == "missing":
        wanted = str(detail["loc"][-1])
        return path, f"the key {wanted!r} is missing", f"add `{wanted}:`"
    if kind in ("union_tag_invalid", "literal_error", "enum"):
        wanted = re.findall(r"'([^']*)'", str(context.get("expected_tags") or context.get("expected")))
        if kind == "union_tag_invalid":
            path = (*path, str(context["discriminator"]).strip("'"))
        if context.get("tag", detail["input"]) is None:
            return path, "has no value", f"write one of {', '.join(wanted)}, or remove the line"
        given = str(context.get("tag", detail["input"]))[:60]
        return path, f"{given!r} is not one of {', '.join(wanted)}", suggest(given, wanted)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return path, "is no section", _REMEDIES[kind]
    if kind == "union_tag_not_found":
        tag = str(context["discriminator"]).strip("'")
        return path, f"the key {tag!r} is missing", f"add `{tag}:`"
    message, remedy = _message_and_remedy(detail["msg"].removeprefix("Value error, "))
    return (
        path,
        message[:1].lower() + message[1:],
        remedy or _REMEDIES.get(kind, _plain_remedy(kind, context)),
    )


_REMEDIES = {
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "string_type": "write text, in quotes if it looks like a number, a list or true",
    "dict_type": "write `key: value` lines below it",
    "model_type": "write `key: value` lines below it",
    "model_attributes_type": "write `key: value` lines below it",
    "tuple_type": "write a list: [first, second]",
    "list_type": "write a list: [first, second]",
    "string_too_short": "write something",
    "too_short": "write at least one",
    "finite_number": "write a finite number",
}


def _plain_remedy(kind: str, context: Mapping[str, Any]) -> str:
    for bound, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if bound in context:
            return f"write a number of {words} {context[bound]}"
    if kind == "string_pattern_mismatch" and context["pattern"].startswith("^[a-z]"):
        return "use small letters, digits and _, beginning with a letter"
    return "correct the value"


def _message_and_remedy(message: str) -> tuple[str, str]:
    """Our own models write `what is wrong; what to do`, or `… no node 'x'; nodes are a, b`."""
    wrong, _, remedy = message.partition("; ")
    quoted, listed = re.findall(r"'([^']+)'", wrong), re.fullmatch(r"(?:known|\w+s) are (.+)", remedy)
    near = nearest(quoted[-1], listed[1].split(", ")) if quoted and listed else None
    return wrong, f"did you mean {near!r}? ({remedy})" if near else remedy


def _path(detail: ErrorDetails, values: Mapping[str, Any]) -> YamlPath:
    """The refusal's place in what was validated.

    A `loc` of pydantic also holds the tags of unions, which no document has; so take out as few
    parts as leave a path to the very value that was refused.
    """
    loc = tuple(part for part in detail["loc"] if part != "[key]")
    if detail["type"] == "missing":
        loc = loc[:-1]
    for kept in range(len(loc), -1, -1):
        for chosen in combinations(range(len(loc)), kept):
            path = tuple(loc[i] for i in chosen)
            found, value = _walk(values, path)
            if found and (value is detail["input"] or (path and path[-1] == detail["input"])):
                return path
    # A validator made another value of it first: the longest path that exists.
    for kept in range(len(loc), -1, -1):
        for chosen in combinations(range(len(loc)), kept):
            path = tuple(loc[i] for i in chosen)
            if _walk(values, path)[0]:
                return path
    return ()


def _walk(values: object, path: YamlPath) -> tuple[bool, object]:
    value = values
    for part in path:
        if isinstance(value, dict) and part in value:
            value = cast("dict[str | int, object]", value)[part]
        elif (
            isinstance(value, list | tuple)
            and isinstance(part, int)
            and 0 <= part < len(cast("list[object]", value))
        ):
            value = cast("list[object]", value)[part]
        else:
            return False, None
    return True, value


def _keys(model: type[BaseModel], loc: YamlPath) -> set[str]:
    """The keys that are valid at `loc` (which has the tags of unions too), by the model's JSON Schema."""
    schema = _schema(model)
    places = [schema]
    for part in loc:
        places = list(_below(schema, places, part)) or places
    return {str(key) for place in _resolved(schema, places) for key in place.get("properties", {})}


@lru_cache(maxsize=16)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _below(schema: dict[str, Any], places: list[dict[str, Any]], part: str | int) -> Iterator[dict[str, Any]]:
    for place in _resolved(schema, places):
        mapping = place.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            yield {"$ref": mapping[part]}
        elif isinstance(part, int):
            if "items" in place:
                yield place["items"]
        elif part in place.get("properties", {}):
            yield place["properties"][part]
        elif place.get("patternProperties"):
            yield from place["patternProperties"].values()
        elif isinstance(place.get("additionalProperties"), dict):
            yield place["additionalProperties"]


def _resolved(schema: dict[str, Any], places: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The places themselves, behind their references and alternatives."""
    for place in places:
        while "$ref" in place:
            place = schema["$defs"][str(place["$ref"]).rsplit("/", 1)[-1]]
        yield place
        if "discriminator" not in place:
            for word in ("anyOf", "oneOf", "allOf"):
                yield from _resolved(schema, place.get(word, ()))


__all__ = ["Document", "dotted", "explain", "problems_of", "read_model", "read_text_model"]
