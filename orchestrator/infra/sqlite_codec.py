"""Events to rows and back. Large fields leave the row for the blobs, under their SHA-256.

What was moved out stands in a column of its own, never inside the body: whatever text a person
or a model sends, it cannot pass for a reference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from pydantic_core import PydanticSerializationError

from orchestrator.errors import Refused, StoreFailed
from orchestrator.events import Body, Fact, Json
from orchestrator.upcast import BODIES, VERSIONS, read_body

LARGE = 16 * 1024  # bytes of a body; beyond it fields move to the blobs
SMALL = 512  # bytes of a field that is never worth a blob
EXCERPT = 200  # characters kept in the row
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


Encoded = tuple[str, int, str, "str | None", Sequence[tuple[str, bytes]]]
"""A body as its row keeps it: type, v, JSON without the large fields, JSON of the large ones
(field → {sha256, size, excerpt}), and these as blobs: sha256, content."""


def micros(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """The aware UTC time of `micros`."""
    return _EPOCH + timedelta(microseconds=at)


def encode(body: Body) -> Encoded:
    """A body's row.

    Raises:
        Refused: it holds text that is not valid Unicode.
    """
    kind = _KINDS.get(type(body))
    type_, v, to_json = kind or (body.type, body.v, body.__pydantic_serializer__.to_json)
    try:
        text = to_json(body).decode()
    except PydanticSerializationError as error:
        raise Refused(f"{type_}: the text is not valid Unicode ({error}); send it as UTF-8") from error
    if len(text) <= LARGE:
        return type_, v, text, None, ()
    return _split(type_, v, json.loads(text))


def _part(value: Any) -> Any:
    """A part of a fact, as its fields."""
    if isinstance(value, Fact):
        return value.__dict__
    raise TypeError  # anything else is left to pydantic


_plain = msgspec.json.Encoder(enc_hook=_part).encode


def _writer(model: type[Fact]) -> Callable[[Body], bytes]:
    """`to_json` of a body in half the time. Facts have no aliases, nothing computed and nothing left out."""
    to_json = model.__pydantic_serializer__.to_json

    def write(body: Body) -> bytes:
        try:
            return _plain(body.__dict__)
        except Exception:  # what only pydantic can write, or nobody: then the error is the usual one
            return to_json(body)

    return write


# For each body its type, its version, and what writes it.
_KINDS: dict[type, tuple[str, int, Callable[[Body], bytes]]] = {
    model: (name, VERSIONS[name], _writer(model)) for name, model in BODIES.items()
}


def _split(type_: str, v: int, fact: Json) -> Encoded:
    sizes: dict[str, bytes] = {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        for name, value in fact.items()
        if name not in ("type", "v")
    }
    left = sum(len(content) for content in sizes.values())
    large: dict[str, Json] = {}
    blobs: list[tuple[str, bytes]] = []
    for name, content in sorted(sizes.items(), key=lambda item: -len(item[1])):
        if left <= LARGE or len(content) <= SMALL:
            break
        sha256 = hashlib.sha256(content).hexdigest()
        large[name] = {
            "sha256": sha256,
            "size": len(content),
            "excerpt": content[: 4 * EXCERPT].decode(errors="ignore")[:EXCERPT],
        }
        blobs.append((sha256, content))
        del fact[name]
        left -= len(content)
    body = json.dumps(fact, ensure_ascii=False, separators=(",", ":"))
    return type_, v, body, json.dumps(large, ensure_ascii=False) if large else None, blobs


def decode(
    type_: str, v: int, body: str, large: str | None, *, blob: Callable[[str], bytes | None], where: str
) -> Body:
    """A row's body.

    Raises:
        UnknownEvent: this program cannot read it.
        StoreFailed: a large field is missing.
    """
    if large is None:
        return read_body(type_, v, body, where=where)
    fact: Json = json.loads(body)
    references: dict[str, dict[str, Any]] = json.loads(large)
    for name, reference in references.items():
        content = blob(reference["sha256"])
        if content is None:
            raise StoreFailed(
                f"{where}: the field {name!r} is missing from the database "
                f"(blob {reference['sha256'][:12]}…); restore it from a backup"
            )
        fact[name] = json.loads(content)
    return read_body(type_, v, json.dumps(fact), where=where)
