"""One REST call as it is looked at and carried out: route, parameters, body, uploads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, cast

from aiohttp import BodyPartReader, web

from .state import TwinBackend

_FILE_FIELD = re.compile(r"^files\[(\d+)\]$")


class Unreadable(Exception):
    """The body is no JSON, or no form."""


@dataclass
class Upload:
    """A file of a form, as SimCord takes it."""

    filename: str
    fp: BytesIO
    description: str | None = None

    @property
    def size(self) -> int:
        return self.fp.getbuffer().nbytes


@dataclass
class Ask:
    """A call that is being answered."""

    backend: TwinBackend
    method: str
    path: str  # without prefix and query, percent-encoding kept
    template: str  # "" when Discord's description has no such route
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    files: list[Upload] = field(default_factory=list[Upload])

    @property
    def name(self) -> str:
        """`METHOD /template`."""
        return f"{self.method} {self.template}"

    @property
    def json_object(self) -> Mapping[str, Any]:
        """The body when it is an object, else an empty one."""
        return cast("Mapping[str, Any]", self.body) if isinstance(self.body, dict) else {}

    def number(self, name: str) -> int:
        """An id of the route."""
        return int(self.parameters[name])


async def read_body(request: web.Request) -> tuple[Any, list[Upload]]:
    """The JSON of a call, or a form's `payload_json` and files; None without a body.

    Raises:
        Unreadable: neither.
    """
    if not request.body_exists:
        return None, []
    if request.content_type == "multipart/form-data":
        return await _form(request)
    raw = await request.read()
    if not raw:
        return None, []
    if request.content_type != "application/json":
        raise Unreadable(f"Content-Type {request.content_type!r} is not JSON")
    return _json(raw), []


async def _form(request: web.Request) -> tuple[Any, list[Upload]]:
    body: Any = None
    files: dict[int, Upload] = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise Unreadable("a form in a form")
        name, content = part.name or "", bytes(await part.read(decode=True))
        numbered = _FILE_FIELD.match(name)
        if name == "payload_json":
            body = _json(content)
        elif numbered:
            files[int(numbered[1])] = Upload(part.filename or "unknown", BytesIO(content))
        else:
            raise Unreadable(f"field {name!r} of the form")
    return _numbered(body, files)


def _numbered(body: Any, files: Mapping[int, Upload]) -> tuple[Any, list[Upload]]:
    """The files in order; `attachments` that speak of `files[n]` speak of its place in that order."""
    order = {str(number): str(place) for place, number in enumerate(sorted(files))}
    for about in _listed(body):
        if str(about.get("id")) in order:
            upload = files[int(about["id"])]
            upload.filename = about.get("filename") or upload.filename
            upload.description = about.get("description")
            about["id"] = order[str(about["id"])]
    return body, [files[number] for number in sorted(files)]


def _listed(body: Any) -> list[dict[str, Any]]:
    outer = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    inner = outer.get("data", outer)  # of an interaction's answer
    listed = cast("dict[str, Any]", inner).get("attachments") if isinstance(inner, dict) else None
    given = cast("list[Any]", listed) if isinstance(listed, list) else []
    return [cast("dict[str, Any]", each) for each in given if isinstance(each, dict)]


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise Unreadable("the body is no JSON") from None
