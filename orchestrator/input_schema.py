"""The JSON Schema of a workflow's inputs: how much of JSON Schema there is, what is wrong with one. Pure.

A schema comes from whoever wrote the workflow, so it is bounded: no address is ever fetched, references
lead to `$defs` of the same schema and never round, its size has a limit after they are written out, and
patterns are matched by an engine that takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from functools import cache, lru_cache, partial
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

from orchestrator.events import Json
from orchestrator.flaws import Flaw, Path, listed, one_part

MAX_PARTS = 500  # schemas inside of a schema, references written out
MAX_DEPTH = 12
MAX_PATTERN = 500  # characters
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}", re.ASCII)
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_ONE = frozenset({"items", "additionalProperties", "not", "if", "then", "else"})
_SEVERAL = frozenset({"anyOf", "oneOf", "allOf"})
_NAMED = frozenset({"properties", "$defs"})
_PLAIN = frozenset({
    "type", "title", "description", "default", "examples", "enum", "const", "required", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format",
    "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "$ref", "$schema", "$comment",
})  # fmt: skip
KEYWORDS = _ONE | _SEVERAL | _NAMED | _PLAIN


def properties(schema: Mapping[str, Any]) -> dict[str, Json]:
    """The inputs that a schema names, each with its own schema."""
    found = schema.get("properties")
    if not isinstance(found, Mapping):
        return {}
    return {
        str(name): dict(cast("Mapping[str, Any]", part))
        for name, part in cast("Mapping[Any, object]", found).items()
        if isinstance(part, Mapping)
    }


def schema_flaws(schema: Mapping[str, Any]) -> Iterator[Flaw]:
    """What is wrong with the schema of a workflow's inputs; the paths begin inside of it."""
    if not schema:
        return
    if schema.get("type", "object") != "object":
        yield Flaw(
            ("type",), "inputs are an object with a name for each; write `type: object` and `properties:`"
        )
        return
    found = list(_flaws(schema, (), schema, 0))
    yield from found
    if found:
        return
    for name in properties(schema):
        if not NAME.fullmatch(name):
            yield Flaw(
                ("properties", name),
                f"{one_part(repr(name[:60]))} cannot be the name of an input; use letters, digits and _, "
                "beginning with a letter",
            )
    try:
        written_out(schema)
    except ValueError as error:
        yield Flaw((), str(error))
        return
    yield from _library_flaws(schema)


def _flaws(schema: object, path: Path, root: Mapping[str, Any], depth: int) -> Iterator[Flaw]:
    if depth > MAX_DEPTH:
        yield Flaw(path, f"is nested deeper than {MAX_DEPTH} schemas; write it flatter")
        return
    if not isinstance(schema, Mapping):
        yield Flaw(path, "is no schema; write for example {type: string}")
        return
    given = cast("Mapping[str, Any]", schema)
    for key, part in given.items():
        here = (*path, key)
        if key not in KEYWORDS:
            yield Flaw(here, _unknown_keyword(key, part, at_top=not path))
        elif key in _ONE:
            if not (key == "additionalProperties" and isinstance(part, bool)):
                yield from _flaws(part, here, root, depth + 1)
        elif key in _SEVERAL and isinstance(part, list):
            for i, inner in enumerate(cast("list[object]", part)):
                yield from _flaws(inner, (*here, i), root, depth + 1)
        elif key in _NAMED and isinstance(part, Mapping):
            for name, inner in cast("Mapping[str, object]", part).items():
                yield from _flaws(inner, (*here, name), root, depth + 1)
        else:
            message = _word_problem(key, part, given, root)
            if message:
                yield Flaw(here, message)


def _unknown_keyword(key: object, part: object, *, at_top: bool) -> str:
    shown = one_part(repr(str(key)[:60]))
    if at_top and isinstance(part, Mapping):
        return f"{shown} stands beside the keywords of the schema; put the inputs below `properties:`"
    return f"there is no keyword {shown} of JSON Schema here; keywords are {listed(KEYWORDS, near=str(key))}"


def _word_problem(key: str, part: object, schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if key == "type":
        for name in cast("list[object]", part) if isinstance(part, list) else [part]:
            if name not in TYPES:
                return f"there is no type {one_part(repr(str(name)[:60]))}; types are {', '.join(TYPES)}"
    elif key == "pattern" and isinstance(part, str):
        return pattern_problem(part)
    elif key == "format" and part not in FORMATS:
        return (
            f"there is no format {one_part(repr(str(part)[:60]))}; formats are {', '.join(sorted(FORMATS))}"
        )
    elif key == "required" and isinstance(part, list) and "properties" in schema:
        known = properties(schema)
        for name in cast("list[object]", part):
            if isinstance(name, str) and name not in known:
                shown = one_part(repr(name[:60]))
                return (
                    f"{shown} is required and not described; inputs are {listed(known, near=name) or 'none'}"
                )
    elif key == "$ref":
        names = [str(name) for name in cast("Mapping[str, Any]", root.get("$defs") or {})]
        if not isinstance(part, str) or not part.startswith("#/$defs/"):
            return "leads out of this schema, and nothing is ever fetched; write '#/$defs/NAME'"
        if part.removeprefix("#/$defs/") not in names:
            shown = one_part(repr(part.removeprefix("#/$defs/")[:60]))
            return f"there is no definition {shown}; definitions are {listed(names) or 'none'}"
    return ""


def _library_flaws(schema: Mapping[str, Any]) -> Iterator[Flaw]:
    # Imported here: it takes a fifth of a second, which `--help` need not wait for.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError as WrongSchema

    try:
        Draft202012Validator.check_schema(dict(schema))
    except WrongSchema as error:
        where = tuple(error.absolute_path)
        yield Flaw(where, f"is no JSON Schema: {one_part(_clip(str(error.message)))}; correct it")
        return
    for path, part in _all(schema, ()):
        plain = written_out({**part, "$defs": schema.get("$defs", {})}) if "$ref" in str(part) else part
        samples = [("default", part["default"])] if "default" in part else []
        examples = part.get("examples", [])
        samples += [("examples", example) for example in cast("list[object]", examples)]
        for key, sample in samples:
            if not validator(plain).is_valid(sample):
                yield Flaw(
                    (*path, key),
                    f"{one_part(_clip(repr(sample)))} is not allowed by this very schema; mend one",
                )


def _all(schema: object, path: Path) -> Iterator[tuple[Path, Json]]:
    """A schema that is known to be well formed, and all in it."""
    if not isinstance(schema, Mapping):
        return
    given = cast("Json", schema)
    yield path, given
    for key, part in given.items():
        if key in _ONE:
            yield from _all(part, (*path, key))
        elif key in _SEVERAL:
            for i, inner in enumerate(part):
                yield from _all(inner, (*path, key, i))
        elif key in _NAMED:
            for name, inner in part.items():
                yield from _all(inner, (*path, key, name))


# ── references ───────────────────────────────────────────────────────────────────────────────


def written_out(schema: Mapping[str, Any]) -> Json:
    """The schema with every reference replaced by what it names.

    Raises:
        ValueError: they lead round, or it becomes too large.
    """
    left = [MAX_PARTS]
    named = cast("Mapping[str, Any]", schema.get("$defs") or {})

    def write(part: Any, following: tuple[str, ...]) -> Any:
        if not isinstance(part, Mapping):
            return part
        left[0] -= 1
        if left[0] < 0:
            raise ValueError(
                f"has more than {MAX_PARTS} schemas in it, references written out; write it smaller"
            )
        given = dict(cast("Mapping[str, Any]", part))
        ref = given.pop("$ref", None)
        if ref is not None:
            name = str(ref).removeprefix("#/$defs/")
            if name in following:
                raise ValueError(f"the definition {name!r} leads back to itself; inputs cannot be endless")
            base = write(named[name], (*following, name))
            given = {**base, **given}
        found: Json = {}
        for key, inner in given.items():
            if key == "$defs":
                continue
            if key in _ONE:
                inner = write(inner, following)
            elif key in _SEVERAL and isinstance(inner, list):
                inner = [write(one, following) for one in cast("list[Any]", inner)]
            elif key in _NAMED and isinstance(inner, Mapping):
                inner = {n: write(one, following) for n, one in cast("Mapping[str, Any]", inner).items()}
            found[key] = inner
        return found

    return write(schema, ())


# ── what is matched ──────────────────────────────────────────────────────────────────────────


def pattern_problem(pattern: str) -> str:
    """Why a pattern cannot be used; empty: it can."""
    if len(pattern) > MAX_PATTERN:
        return f"the pattern is longer than {MAX_PATTERN} characters; shorten it"
    try:
        _compiled(pattern)
    except SchemaError:
        return "is no pattern that can be used here; write a regular expression without (?=…), (?<…) and \\1"
    return ""


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator:
    # Rust's engine: linear time whatever the pattern, unlike `re`.
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern occurs in the text."""
    try:
        _compiled(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


def _parses(read: Callable[[str], object]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        try:
            return read(text) is not False
        except ValueError:
            return False

    return fits


FORMATS: dict[str, Callable[[str], bool]] = {
    "date": _parses(date.fromisoformat),
    "date-time": _parses(datetime.fromisoformat),
    "email": _parses(lambda t: len(t) < 255 and bool(re.fullmatch(r"[^@\s]+@[^@\s]+", t))),
    "ip": _parses(ip_address),
    "uri": _parses(lambda t: bool(urlsplit(t).scheme and urlsplit(t).netloc) and not re.search(r"\s", t)),
    "uuid": _parses(UUID),
}


@cache
def _dialect() -> Any:
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import ValidationError as Misfit
    from jsonschema.validators import extend  # pyright: ignore[reportUnknownVariableType]

    def pattern(_: Any, wanted: str, value: object, __: Any) -> Iterator[Exception]:
        if isinstance(value, str) and not matches(wanted, value):
            yield Misfit(f"does not match {wanted!r}")

    checker = FormatChecker(formats=())
    for name, fits in FORMATS.items():
        checker.checks(name)(_of_text(fits))
    kind: Any = extend(Draft202012Validator, {"pattern": pattern})  # pyright: ignore[reportUnknownVariableType]
    return cast("Any", partial(kind, format_checker=checker))


def _of_text(fits: Callable[[str], bool]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or fits(value)


def validator(schema: Mapping[str, Any]) -> Any:
    """A validator of jsonschema for a schema without references."""
    return _dialect()(dict(schema))


def _clip(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"
