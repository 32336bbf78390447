"""Every error as problem details (RFC 9457): `{type, title, status, detail, errors?}`.

`detail` is always a string that says what to do; wrong fields are named in `errors`. What
broke inside is logged and never shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.errors import Conflict, NotFound, OrchestratorError, Refused, StoreFailed

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
NOTHING_HERE = "There is nothing at this address; /docs lists what there is."


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(default="about:blank", description="always about:blank: the status says the kind")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="what happened and what to do")
    errors: dict[str, str] | None = Field(default=None, description="field → what is wrong with it")


class ProblemError(Exception):
    """An error with its HTTP status.

    Args:
        status: HTTP status.
        detail: one line for people.
        errors: field → what is wrong with it.
        headers: further headers.
        extra: further members of the problem.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.extra = extra

    def response(self) -> Response:
        """The answer to send."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **({"errors": dict(self.errors)} if self.errors else {}),
            **(self.extra or {}),
        }
        # ASCII only: what a client sent may hold characters that UTF-8 cannot carry.
        return Response(
            json.dumps(body), self.status, headers=dict(self.headers or {}), media_type=MEDIA_TYPE
        )


def wrong(field: str, message: str) -> ProblemError:
    """A 422 about one field."""
    return ProblemError(422, f"{field}: {message}", errors={field: message})


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these, and those that any route may answer with."""
    every = (400, 401, 403, 413, 421, 422, 429, 500, 503)
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase}
        for status in sorted({*every, *statuses})
    }


def install(app: FastAPI) -> None:
    """Answer every error of an app in this form."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OrchestratorError, _core)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response()


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = field_errors(error.errors(), sent=error.body)
    media_type = request.headers.get("content-type", "")
    if "json" not in media_type and list(fields) == ["body"]:
        return ProblemError(415, "Send JSON with the header Content-Type: application/json.").response()
    return invalid(fields).response()


def invalid(fields: Mapping[str, str]) -> ProblemError:
    """A 422 about several fields; the first is named in `detail`."""
    name, message = next(iter(fields.items()))
    more = f" (and {len(fields) - 1} more, see errors)" if len(fields) > 1 else ""
    return ProblemError(422, f"{name}: {message}{more}", errors=fields)


def field_errors(errors: Sequence[Any], prefix: str = "", *, sent: Any = None) -> dict[str, str]:
    """Pydantic's errors as field → message; fields are dotted, and named without "body".

    Args:
        errors: of a ValidationError.
        prefix: before every field.
        sent: the body, so that only what was sent is named, without names of our own kinds.
    """
    found: dict[str, str] = {}
    for error in errors[:50]:
        place = [str(part)[:100] for part in error["loc"]]
        if error["type"] == "json_invalid":
            reason = error.get("ctx", {}).get("error", "")
            found["body"] = f"not JSON at character {place[-1]}: {reason}"
            continue
        if len(place) > 1 and place[0] in ("body", "query", "path", "header"):
            place = _sent(place[1:], sent) if place[0] == "body" else place[1:]
        found[".".join([prefix, *place] if prefix else place)] = _message(error)
    return found or {"body": "not valid"}


def _message(error: Any) -> str:
    """What is wrong, without pydantic's words for things of our own: texts are not items."""
    limits = error.get("ctx", {})
    if isinstance(error.get("input"), str) and error["type"] == "too_short":
        least = limits["min_length"]
        return f"text of at least {least} character{'s' if least > 1 else ''} is due"
    if isinstance(error.get("input"), str) and error["type"] == "too_long":
        return f"text of at most {limits['max_length']:,} characters is due"
    return str(error["msg"]).removeprefix("Value error, ")


def _sent(place: Sequence[str], sent: Any) -> list[str]:
    """A place without the kinds that pydantic puts between: `goal.parts.title` is `goal.title`."""
    found: list[str] = []
    at = sent
    for number, part in enumerate(place):
        if isinstance(at, Mapping):
            fields = cast("Mapping[str, Any]", at)
            if part not in fields and number < len(place) - 1:
                continue
            at = fields.get(part)
        elif isinstance(at, list):
            items = cast("list[Any]", at)
            at = items[int(part)] if part.isdigit() and int(part) < len(items) else None
        elif isinstance(at, str):
            continue
        found.append(part)
    return found


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404:
        detail = NOTHING_HERE
    elif error.status_code == 405:
        # Each method may be a route of its own; the error names those of the first alone.
        allowed = ", ".join(sorted(_methods(request.scope, request.app.routes))) or (error.headers or {}).get(
            "Allow", ""
        )
        detail = f"{request.method} is not possible here; possible: {allowed}."
        return ProblemError(405, detail, headers={**(error.headers or {}), "Allow": allowed}).response()
    elif error.status_code == 400:
        detail = "The body cannot be read: it is not JSON, or nested too deeply."
    return ProblemError(error.status_code, detail, headers=error.headers).response()


def _methods(scope: Scope, routes: Iterable[BaseRoute]) -> set[str]:
    """All that is possible at the address of a call."""
    found: set[str] = set()
    for route in routes:
        family = getattr(route, "original_router", None)  # FastAPI keeps what was included as it was
        if family is not None:
            found |= _methods(scope, family.routes)
        elif route.matches(scope)[0] is not Match.NONE:
            found |= set(getattr(route, "methods", None) or ())
    return found


async def _core(request: Request, error: Exception) -> Response:
    match error:
        case NotFound():
            status = 404
        case Refused() | Conflict():
            status = 409
        case StoreFailed():
            log.error("the database failed", action="api_store_failed", error=str(error))
            detail = "The database fails; the log of the bot says why. Nothing was lost; try again later."
            return ProblemError(503, detail, headers={"Retry-After": "5"}).response()
        case _:  # a run that this version cannot read, and what should not come up here
            log.error("the core refused", action="api_core_error", error=str(error), path=request.url.path)
            status = 500
    return ProblemError(status, str(error)).response()


async def refuse(error: ProblemError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer; a socket too, before it is accepted, so that the client sees the status and the reason."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        # The server knows no answer with a body: it makes a bare 403 of this.
        code = 4000 + error.status
        await send({"type": "websocket.close", "code": code, "reason": error.detail[:100]})
        return
    await error.response()(scope, receive, send)


class LastResort:
    """ASGI middleware: what nobody caught becomes a 500 without details, and a line in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call what comes after; answer for it if it breaks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception:
            log.exception("a call broke", action="api_broke", path=scope["path"])
            if begun:
                raise  # the server closes the connection: a half answer must not look whole
            answer = ProblemError(500, "Something broke inside; the log of the bot has the details.")
            await answer.response()(scope, receive, send)
