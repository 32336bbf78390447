"""The one door for everything that Slack sends: Bolt checks it, it is kept, then it is acknowledged.

A middleware before Bolt's own authorization answers every payload, so nothing is left without an
answer and no call of Slack's API stands between a payload and its acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from slack_bolt.adapter.starlette.async_handler import to_async_bolt_request, to_starlette_response
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.slack.manifest import EVENTS_PATH, INSTALL_PATH, REDIRECT_PATH

MOST_BYTES = 2_000_000  # of one payload; Slack's own stay far below
TAKE_S = 20.0  # for the body to come in

log = structlog.get_logger(__name__)
_QUIET = logging.getLogger("adapters.slack.bolt")
_QUIET.setLevel(logging.CRITICAL)  # Bolt's messages hold whole payloads

# Takes a parsed payload; the answer goes with the acknowledgement, None: a plain one.
Take = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]


class _Keep(AsyncMiddleware):
    """Hands every payload to `take` and answers it.

    A class, since for a function Bolt first looks for arguments in the payload, and fails on odd ones.
    """

    def __init__(self, take: Take) -> None:
        self._take = take

    async def async_process(
        self, *, req: AsyncBoltRequest, resp: BoltResponse, next: Callable[[], Awaitable[BoltResponse]]
    ) -> BoltResponse | None:
        if req.body.get("type") == "url_verification":
            return await next()
        try:
            answer = await self._take(req.body)
        except Exception as error:
            log.warning(
                "Something from Slack could not be kept; Slack delivers it again.",
                action="slack.not_kept",
                error=type(error).__name__,
            )
            return BoltResponse(status=500, body="")
        if answer is None:
            return BoltResponse(status=200, body="")
        headers: dict[str, str | Sequence[str]] = {"Content-Type": "application/json;charset=utf-8"}
        return BoltResponse(status=200, body=json.dumps(answer), headers=headers)


def bolt_app(
    take: Take, *, signing_secret: str, base_url: str, flow: AsyncOAuthFlow | None = None
) -> AsyncApp:
    """Bolt's app: it verifies signatures, answers `url_verification`, and hands all else to `take`.

    Args:
        take: returns when it is kept; what it raises is answered 500, so that Slack delivers again.
        signing_secret: for what comes by HTTP.
        base_url: Slack's Web API.
        flow: installs the app in further workspaces.
    """

    async def never(**_: Any) -> AuthorizeResult:
        raise AssertionError("everything is answered before Bolt's authorization")

    client = AsyncWebClient(base_url=base_url)
    common: dict[str, Any] = {
        "name": "quartet",
        "logger": _QUIET,
        "client": client,
        "signing_secret": signing_secret,
        "before_authorize": _Keep(take),
        "ignoring_self_events_enabled": False,  # which messages are our own is decided in inbound.py
        "attaching_conversation_kwargs_enabled": False,
    }
    if flow is not None:
        return AsyncApp(**common, oauth_flow=flow)
    return AsyncApp(**common, authorize=never)


class Entrance:
    """The HTTP routes.

    Args:
        events: whether payloads come by HTTP; without a signing secret they must not.
        flow: for the pages that install the app; None: not started yet.
        installs: whether there are such pages.
    """

    def __init__(self, *, events: bool, flow: Callable[[], AsyncOAuthFlow | None], installs: bool) -> None:
        self.app: AsyncApp | None = None
        self._events = events
        self._flow = flow
        self._installs = installs

    def routes(self) -> list[BaseRoute]:
        """`POST /slack/events`; with OAuth `GET /slack/install` and `GET /slack/oauth_redirect`."""
        routes: list[BaseRoute] = []
        if self._events:
            routes.append(Route(EVENTS_PATH, self._take, methods=["POST"]))
        if self._installs:
            routes.append(Route(INSTALL_PATH, self._install, methods=["GET"]))
            routes.append(Route(REDIRECT_PATH, self._redirect, methods=["GET"]))
        return routes

    async def _take(self, request: Request) -> Response:
        app = self.app
        if app is None:
            return _plain(503, "Quartet is starting; try again in a moment.", {"Retry-After": "1"})
        refusal = _unsigned(request)
        if refusal:
            return _plain(401, refusal)
        try:
            async with asyncio.timeout(TAKE_S):
                body = await _body(request)
        except (TimeoutError, ClientDisconnect):
            return _plain(408, "The body did not come.")
        if body is None:
            return _plain(413, f"Too large: at most {MOST_BYTES:,} bytes.")
        try:
            given = to_async_bolt_request(request, body)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return _plain(400, "This is not a payload of Slack's: neither its JSON nor its form.")
        # "[]" is JSON as well; Bolt itself stumbles over an event that is none.
        if not isinstance(given.body, dict) or not isinstance(given.body.get("event", {}), dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            return _plain(400, "This is not a payload of Slack's: neither its JSON nor its form.")
        return _answer(await app.async_dispatch(given))

    async def _install(self, request: Request) -> Response:
        return await self._page(request, lambda flow: flow.handle_installation)

    async def _redirect(self, request: Request) -> Response:
        return await self._page(request, lambda flow: flow.handle_callback)

    async def _page(
        self,
        request: Request,
        which: Callable[[AsyncOAuthFlow], Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]],
    ) -> Response:
        flow = self._flow()
        if flow is None or self.app is None:
            return _plain(503, "Quartet is starting; try again in a moment.", {"Retry-After": "1"})
        try:
            given = to_async_bolt_request(request, b"")
        except (ValueError, TypeError, AttributeError):
            return _plain(400, "The address is not one of Slack's; begin at /slack/install.")
        return _page_of(await which(flow)(given))


def _unsigned(request: Request) -> str:
    """Why this cannot be Slack's, before its body is read; Bolt checks the signature itself."""
    at, signature = request.headers.get("x-slack-request-timestamp"), request.headers.get("x-slack-signature")
    if not at or not signature:
        return "Only Slack may post here: the request is not signed."
    if not (at.isascii() and at.isdigit() and len(at) <= 12 and signature.isascii()):
        return "Only Slack may post here: the signature is not one of Slack's."
    return ""


async def _body(request: Request) -> bytes | None:
    """The body; None: it is too large."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MOST_BYTES:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _answer(given: BoltResponse) -> Response:
    if given.status == 401:
        return _plain(401, "The signature does not fit: check SLACK_SIGNING_SECRET and this machine's clock.")
    return to_starlette_response(given)


def _page_of(given: BoltResponse) -> Response:
    """A page of the flow. Its cookies stay as the flow made them: Bolt would mark each as Secure."""
    page = Response(given.body, given.status, headers=given.first_headers_without_set_cookie())
    for cookie in given.headers.get("set-cookie", ()):
        page.headers.append("Set-Cookie", cookie)
    return page


def _plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(text, status_code=status, headers=dict(headers or {}))
