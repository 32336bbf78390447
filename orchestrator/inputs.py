"""What a run is given: checked by its workflow's JSON Schema, defaults filled in, read from words of chat.

Each refusal is a line that names the input, says what is allowed, and shows one.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, NamedTuple, cast

from orchestrator import input_schema
from orchestrator.errors import Refused
from orchestrator.events import Json
from orchestrator.input_words import allowed, fold, read, said, sample, written
from orchestrator.workflow import Workflow

MAX_CHARACTERS = 200_000  # of all inputs together
MAX_VALUES = 1_000
MAX_DEPTH = 12
MAX_LINES = 10  # of refusals at once
TEXT = "text"  # the request itself; every workflow can read it


class InputsRefused(Refused):
    """A run was given what its workflow does not take. `lines`: one for each input that is wrong."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    @property
    def names(self) -> frozenset[str]:
        """The inputs that are wrong, as they were given."""
        return frozenset(re.split(r"[:.\[ ]", line, maxsplit=1)[0] for line in self.lines)


class _Schema(NamedTuple):
    plain: Json  # references written out
    properties: dict[str, Json]
    required: tuple[str, ...]
    is_open: bool  # inputs that it does not name are taken too


def checked(workflow: Workflow, given: Mapping[str, Any]) -> Json:
    """The inputs of a run, defaults filled in.

    Args:
        workflow: whose `inputs` is the schema.
        given: JSON values by name.

    Raises:
        InputsRefused: one line for each thing that is wrong.
    """
    if not given and not workflow.inputs:
        return {}
    schema = _schema(workflow)
    _bounded(given)
    values = deepcopy(dict(given))
    lines = list(_unknown(workflow, schema, values))
    _fill_in(schema.plain, values)
    known = {k: v for k, v in values.items() if k in schema.properties or schema.is_open}
    if TEXT in values and not isinstance(values[TEXT], str):
        lines.append(f"{TEXT}: is text; for example {written(TEXT, 'what is to be done')}")
    errors = sorted(input_schema.validator(schema.plain).iter_errors(known), key=_place)
    lines += _refusals(schema, errors)
    if lines:
        raise InputsRefused(tuple(dict.fromkeys(lines))[:MAX_LINES])
    return values


def from_words(workflow: Workflow, words: Mapping[str, str]) -> Json:
    """Inputs as people wrote them, made what the schema says: numbers, yes and no, lists by comma.

    What cannot be made is left as text, and a name that is unknown is kept: `checked` says what is wrong.
    """
    schema = _schema(workflow)
    folded = {fold(name): name for name in schema.properties}
    found: Json = {}
    for given, word in words.items():
        name = folded.get(fold(given), given)
        found[name] = read(word, schema.properties.get(name, {}))
    return found


def example(workflow: Workflow, *, wrong: Collection[str] | None = None) -> str:
    """How to start the workflow in chat: `run deployment environment=staging version=1.2 …`.

    Args:
        workflow: which.
        wrong: what was given wrongly or is missing (`InputsRefused.names`): of the inputs that may be left
            out only these are shown. None: nothing was given yet; where no input has to be given, the
            first two are shown.
    """
    schema = _schema(workflow)
    if takes_text_alone(workflow):
        return f"run {workflow.name} what is to be done"
    names = [name for name in schema.properties if name in schema.required and name != TEXT]
    optional = [name for name in schema.properties if name not in schema.required and name != TEXT]
    if wrong is None:
        shown = names or optional[:2]
    else:
        meant = {*wrong, *(near for w in wrong for near in difflib.get_close_matches(w, optional, n=1))}
        shown = [*names, *(name for name in optional if name in meant)]
    more = ["…"] if len(shown) < len(names) + len(optional) else []
    if TEXT in schema.properties:
        more = ["what is to be done"] if TEXT in schema.required else more
    return " ".join(
        ["run", workflow.name, *(written(n, sample(n, schema.properties[n])) for n in shown), *more]
    )


def example_pairs(workflow: Workflow) -> tuple[str, ...]:
    """The inputs that have to be given, each as `name=value` unquoted, with a value that fits."""
    schema = _schema(workflow)
    names = [name for name in schema.properties if name in schema.required and name != TEXT]
    return tuple(f"{name}={said(sample(name, schema.properties[name]))}" for name in names)


def takes_text_alone(workflow: Workflow) -> bool:
    """Whether everything that a person writes is the request, because there are no other inputs."""
    return not set(_schema(workflow).properties) - {TEXT}


def described(workflow: Workflow) -> tuple[tuple[str, str], ...]:
    """Each input with what it may be: ("environment", "production or staging, required: where to")."""
    schema = _schema(workflow)
    rows: list[tuple[str, str]] = []
    for name, part in schema.properties.items():
        words = allowed(part)
        if name in schema.required and "default" not in part:
            words += ", required"
        elif "default" in part:
            words += f", {said(part['default']) or 'empty'} by default"
        about = " ".join(str(part.get("description", "")).split())
        rows.append((name, f"{words}: {about}" if about else words))
    return tuple(rows)


# ── the schema ───────────────────────────────────────────────────────────────────────────────


def _schema(workflow: Workflow) -> _Schema:
    return _prepared(json.dumps(workflow.inputs, default=str))


@lru_cache(maxsize=256)
def _prepared(text: str) -> _Schema:
    schema: Json = json.loads(text)
    flaw = next(input_schema.schema_flaws(schema), None)
    if flaw is not None:
        where = ".".join(str(part) for part in ("inputs", *flaw.path))
        raise InputsRefused((f"{where} of this workflow: {flaw.message}",))
    plain = input_schema.written_out(schema)
    required = tuple(str(name) for name in plain.get("required", ()))
    more = plain.get("additionalProperties", False)
    if not plain:
        plain = {"type": "object"}
    return _Schema(plain, input_schema.properties(plain), required, more is not False)


def _bounded(given: Mapping[str, Any]) -> None:
    characters = values = 0
    todo: list[tuple[Any, int]] = [(given, 0)]
    while todo:
        value, depth = todo.pop()
        values += 1
        if values > MAX_VALUES or depth > MAX_DEPTH:
            limit = (
                f"more than {MAX_VALUES:,} values"
                if values > MAX_VALUES
                else f"deeper than {MAX_DEPTH} levels"
            )
            raise InputsRefused((f"the inputs hold {limit}; give less, or a link to it",))
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, Mapping):
            for key, part in cast("Mapping[Any, Any]", value).items():
                if not isinstance(key, str):
                    raise InputsRefused((f"{str(key)[:60]!r} is no name of an input; names are text",))
                characters += len(key)
                todo.append((part, depth + 1))
        elif isinstance(value, list | tuple):
            todo += [(part, depth + 1) for part in cast("list[Any]", value)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise InputsRefused(("a number among the inputs is not finite; give a finite one",))
        elif value is not None and not isinstance(value, bool | int | float):
            raise InputsRefused((f"an input is of type {type(value).__name__}; give text, numbers, lists",))
        elif isinstance(value, int) and abs(value) >= 10**30:
            raise InputsRefused(("a number among the inputs has more than 30 digits; give it as text",))
        if characters > MAX_CHARACTERS:
            raise InputsRefused(
                (f"the inputs are longer than {MAX_CHARACTERS:,} characters; attach a file instead",)
            )


def _fill_in(schema: Mapping[str, Any], values: dict[str, Any]) -> None:
    for name, part in input_schema.properties(schema).items():
        if name not in values and "default" in part:
            values[name] = deepcopy(part["default"])
        inner = values.get(name)
        if isinstance(inner, dict):
            _fill_in(part, cast("dict[str, Any]", inner))


# ── refusals ─────────────────────────────────────────────────────────────────────────────────


def _unknown(workflow: Workflow, schema: _Schema, values: Mapping[str, Any]) -> Iterator[str]:
    if schema.is_open:
        return
    known = [name for name in schema.properties if name != TEXT]
    for name in values:
        if name in schema.properties or name == TEXT:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        shown = name[:60]
        if near:
            yield f"{shown}: there is no such input; did you mean {near[0]!r}?"
        elif known:
            yield f"{shown}: there is no such input; inputs are {', '.join(known[:20])}"
        else:
            yield f"{shown}: {workflow.name} takes no inputs but the request; write: {example(workflow)}"


def _place(error: Any) -> str:
    return "/".join(str(part) for part in error.absolute_path)


def _refusals(schema: _Schema, errors: list[Any]) -> Iterator[str]:
    for error in errors:
        path: list[str | int] = list(error.absolute_path)
        if error.validator == "required":
            # One error for each that is missing; jsonschema names it in its message alone.
            for name in cast("list[str]", error.validator_value):
                if name not in error.instance:
                    inner = input_schema.properties(error.schema).get(name, {})
                    full = [*path, name]
                    yield _line(full, "is missing", _part(schema, full), inner)
        elif error.validator == "additionalProperties":
            known = input_schema.properties(error.schema)
            for name in [n for n in error.instance if n not in known]:
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}"
                yield f"{_dotted([*path, str(name)[:60]])}: there is no such key; {hint}"
        elif not path:
            yield f"the inputs {_words(error)}; write them as described"
        else:
            yield _line(path, _words(error), _part(schema, path), error.schema)


def _line(
    path: list[str | int], wrong: str, part: Mapping[str, Any], inner: Mapping[str, Any] | None = None
) -> str:
    takes = allowed(inner if inner is not None else part)
    first = str(path[0])
    shown = written(first, sample(first, part)) if len(path) == 1 or part else ""
    example_of = f", for example {shown}" if shown else ""
    return f"{_dotted(path)}: {wrong}; it takes {takes}{example_of}"


def _part(schema: _Schema, path: list[str | int]) -> Mapping[str, Any]:
    return schema.properties.get(str(path[0]), {})


def _words(error: Any) -> str:
    shown = _clip(said(error.instance))
    match error.validator:
        case "minLength" | "minItems" | "minProperties":
            return "is too short" if error.instance else "is empty"
        case "maxLength" | "maxItems" | "maxProperties":
            return f"is too long, {len(error.instance)} of at most {error.validator_value}"
        case "minimum" | "exclusiveMinimum":
            return f"{shown} is too small"
        case "maximum" | "exclusiveMaximum":
            return f"{shown} is too large"
        case "uniqueItems":
            return "has something twice"
        case "multipleOf":
            return f"{shown} is no multiple of {error.validator_value}"
        case _:
            return f"{shown!r} is not allowed" if shown else "is empty"


def _dotted(path: list[str | int]) -> str:
    text = str(path[0])
    for part in path[1:]:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text


def _clip(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
