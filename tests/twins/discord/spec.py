"""Every request held against Discord's own OpenAPI description (`tests/fixtures/discord-openapi.json`).

    spec = Spec.load()
    operation = spec.match("POST", "/channels/1/messages")     # None: no such route
    operation.check(path=…, query=…, body=…)                   # what is wrong, in one line each

The description lets unknown fields pass, as Discord does; here they count as wrong, because a field that is
silently ignored is a mistake. Where a union's members carry their `type` as a constant (components,
callbacks), only the member meant is looked at: that is fast, and says what is wrong with *it*.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend  # pyright: ignore[reportUnknownVariableType]
from referencing import Resource
from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY, SchemaRegistry

Json = Mapping[str, Any]
DESCRIPTION = Path(__file__).parents[2] / "fixtures" / "discord-openapi.json"
_HOME = "urn:discord"
_METHODS = ("get", "post", "put", "patch", "delete")
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}
# Documented and sent by every library, yet missing here: of commands, and of answers to interactions.
_UNLISTED = frozenset({"nsfw", "tts"})
_SHOWN = 160  # characters of a message; the value itself may be long


@dataclass(frozen=True)
class Operation:
    """One method of one route of the description."""

    method: str
    template: str
    spec: Spec
    parameters: tuple[tuple[str, str, bool, Json], ...]  # name, path or query, required, schema
    body: Json | None  # schema of the JSON body

    def check(self, path: Mapping[str, str], query: Mapping[str, str], body: object = None) -> list[str]:
        """What is wrong with a request of this operation; empty: nothing.

        Args:
            path: the template's parameters.
            query: as sent, all text.
            body: parsed JSON, or `payload_json` of a form; None: there was none.
        """
        wrong: list[str] = []
        known: set[str] = set()
        for name, where, required, schema in self.parameters:
            given = path if where == "path" else query
            if where == "query":
                known.add(name)
            if name in given:
                value = _from_text(given[name], self.spec.resolved(schema))
                wrong += [f"{where} {name}: {each}" for each in self.spec.errors(schema, value)]
            elif required:
                wrong.append(f"{where} {name}: is missing")
        wrong += [f"query {name}: there is no such parameter" for name in query if name not in known]
        if self.body is None:
            if body is not None and body != {}:
                wrong.append("body: this route takes none")
        elif body is not None:
            wrong += [f"body{each}" for each in self.spec.errors(self.body, body)]
        return wrong


class Spec:
    """The description, its routes and validators; made as they are needed, and kept."""

    def __init__(self, document: Json) -> None:
        self._document = document
        resource: Resource[Any] = Resource(contents=document, specification=DRAFT202012)
        self._registry: SchemaRegistry = EMPTY_REGISTRY.with_resource(_HOME, resource)
        self._resolver = self._registry.resolver(_HOME)
        self._validators: dict[int, Any] = {}
        self._kept: list[Json] = []  # a schema's id() is its key: it must not go away
        self._resolved: dict[str, Json] = {}
        self._branches: dict[int, tuple[tuple[type, ...], tuple[object, ...] | None]] = {}
        self._operations: dict[tuple[str, str], Operation] = {}
        self._routes: dict[int, list[tuple[tuple[str, ...], str]]] = {}
        for template in document["paths"]:
            parts = tuple(template.strip("/").split("/"))
            self._routes.setdefault(len(parts), []).append((parts, template))
        for routes in self._routes.values():  # the one with most words of its own is tried first
            routes.sort(key=lambda route: [part.startswith("{") for part in route[0]])
        own = {
            "$ref": self._ref,
            "oneOf": self._one_of,
            "anyOf": self._any_of,
            "properties": self._properties,
        }
        self._validator: Any = extend(Draft202012Validator, own)

    @staticmethod
    @cache
    def load() -> Spec:
        """The description of the fixtures; read once."""
        return Spec(cast("Json", json.loads(DESCRIPTION.read_text("utf-8"), object_hook=_plain_enum)))

    def match(self, method: str, path: str) -> tuple[Operation | None, str, dict[str, str]]:
        """The operation of a path, its template and the parameters; None and "": the description has none."""
        segments = path.strip("/").split("/")
        for parts, template in self._routes.get(len(segments), ()):
            found: dict[str, str] = {}
            for part, segment in zip(parts, segments, strict=True):
                if part.startswith("{"):
                    found[part[1:-1]] = segment
                elif part != segment:
                    break
            else:
                operation = self._operation(method.lower(), template)
                if operation is not None:
                    return operation, template, found
        return None, "", {}

    def resolved(self, schema: Json) -> Json:
        """What a schema's `$ref` points at, or the schema."""
        reference = schema.get("$ref")
        if reference is None:
            return schema
        if reference not in self._resolved:
            self._resolved[reference] = cast("Json", self._resolver.lookup(_HOME + reference).contents)
        return self._resolved[reference]

    def errors(self, schema: Json, value: object) -> list[str]:
        """What a value has against a schema: `/where: what`."""
        return [_told(error) for error in self._of(schema).iter_errors(value)]

    def _operation(self, method: str, template: str) -> Operation | None:
        key = (method, template)
        if key not in self._operations:
            described = self._document["paths"][template]
            if method not in _METHODS or method not in described:
                return None
            one = described[method]
            listed = [*described.get("parameters", ()), *one.get("parameters", ())]
            parameters = tuple(
                (p["name"], p["in"], bool(p.get("required")), cast("Json", p["schema"])) for p in listed
            )
            kinds = one.get("requestBody", {}).get("content", {})
            body = kinds.get("application/json", {}).get("schema")
            if body is None and kinds:  # uploads alone: the form's fields
                body = next(iter(kinds.values())).get("schema")
            self._operations[key] = Operation(method.upper(), template, self, parameters, body)
        return self._operations[key]

    def _of(self, schema: Json) -> Any:
        if id(schema) not in self._validators:
            self._kept.append(schema)
            rooted = self._validator(
                schema, registry=self._registry, _resolver=self._resolver, format_checker=_FORMATS
            )
            self._validators[id(schema)] = rooted
        return self._validators[id(schema)]

    @staticmethod
    def _into(
        validator: Any, value: object, schema: Json, path: str | None = None
    ) -> Iterator[ValidationError]:
        # The one document has one resolver, so none is made for each step.
        return validator.descend(value, schema, path=path, resolver=validator._resolver)

    # ── keywords of our own ──────────────────────────────────────────────────────────────────

    def _meant(self, branches: list[Json], value: object) -> list[tuple[int, Json]]:
        return [(n, each) for n, each in enumerate(branches) if self._may_be(each, value)]

    def _may_be(self, branch: Json, value: object) -> bool:
        known = self._branches.get(id(branch))
        if known is None:
            full = self.resolved(branch)
            named = full.get("type", list(_JSON_TYPES) if "const" not in full else ())
            names = cast("list[str]", [named] if isinstance(named, str) else named)
            types = tuple(kind for name in names for kind in _JSON_TYPES[name])
            kind = self.resolved(full.get("properties", {}).get("type", {}))
            constants = tuple(kind["enum"]) if "enum" in kind else None
            known = self._branches[id(branch)] = (types, constants)
        types, constants = known
        if types and not isinstance(value, types):
            return False
        if isinstance(value, bool) and types and bool not in types:
            return False
        if constants is None or not isinstance(value, dict):
            return True
        given = cast("dict[str, object]", value)
        return "type" not in given or given["type"] in constants

    def _ref(self, validator: Any, reference: Any, value: object, schema: Json) -> Iterator[ValidationError]:
        yield from self._into(validator, value, self.resolved({"$ref": reference}))

    def _one_of(
        self, validator: Any, branches: Any, value: object, schema: Json
    ) -> Iterator[ValidationError]:
        meant = self._meant(branches, value)
        if len(meant) == 1:
            yield from self._into(validator, value, meant[0][1])
            return
        fits = sum(1 for _, each in meant if validator.evolve(schema=each).is_valid(value))
        if fits != 1:
            yield ValidationError(_union_trouble(value, fits))

    def _any_of(
        self, validator: Any, branches: Any, value: object, schema: Json
    ) -> Iterator[ValidationError]:
        meant = self._meant(branches, value)
        if len(meant) == 1:
            yield from self._into(validator, value, meant[0][1])
        elif not any(validator.evolve(schema=each).is_valid(value) for _, each in meant):
            yield ValidationError(_union_trouble(value, 0))

    def _properties(
        self, validator: Any, properties: Any, value: object, schema: Json
    ) -> Iterator[ValidationError]:
        if not isinstance(value, dict):
            return
        given = cast("dict[str, Any]", value)
        for name, field in given.items():
            if name in properties:
                yield from self._into(validator, field, properties[name], name)
            elif not schema.get("additionalProperties") and name not in _UNLISTED:
                yield ValidationError(f"there is no field {name!r}")


_FORMATS = FormatChecker(formats=())


def _format(name: str, holds: Callable[[Any], bool]) -> None:
    _FORMATS.checks(name)(holds)


_format("int32", lambda value: not isinstance(value, int) or -(1 << 31) <= value < 1 << 31)
_format("int64", lambda value: not isinstance(value, int) or -(1 << 63) <= value < 1 << 63)
_format(
    "snowflake", lambda value: not isinstance(value, str) or not value.isdecimal() or int(value) < 1 << 64
)


def _plain_enum(schema: dict[str, Any]) -> dict[str, Any]:
    """`oneOf` of nothing but constants, as the description writes every enumeration, is an `enum`."""
    branches = cast("list[dict[str, Any]]", schema.get("oneOf") or ())
    if branches and all("const" in each for each in branches):
        del schema["oneOf"]
        schema["enum"] = [each["const"] for each in branches]
    if "enum" in schema:  # it names members of the enumeration it refers to
        schema.pop("allOf", None)
    return schema


def _told(error: ValidationError) -> str:
    where = "".join(f"/{part}" for part in error.absolute_path)
    message = error.message
    if len(message) > _SHOWN:  # it begins with the value
        message = f"…{message[-_SHOWN:]}"
    return f"{where}: {message}"


def _union_trouble(value: object, fits: int) -> str:
    kind = cast("dict[str, object]", value).get("type") if isinstance(value, dict) else None
    named = type(cast("object", value)).__name__
    what = f"type {kind!r}" if kind is not None else f"a value of type {named}"
    return f"{what} is none of those possible here" if not fits else f"{what} is ambiguous here"


def _from_text(text: str, schema: Json) -> object:
    named = schema.get("type", "string")
    names = cast("list[str]", [named] if isinstance(named, str) else named)
    if "integer" in names or "number" in names:
        try:
            return int(text)
        except ValueError:
            return text
    if "boolean" in names:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if "array" in names:
        return [text]
    return text
