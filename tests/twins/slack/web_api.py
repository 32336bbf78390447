"""The HTTP face of the Web API: `/api/{method}`, uploads, private files. Mounted by the server.

    api = WebApi(world); api.add_routes(application)    # aiohttp.web.Application; set world.base_url
    api.rates, api.faults                               # limits and ordered faults, see there
    api.register("apps.connections.open", function, auth=False)     # function(Ask) -> dict, or awaitable

A call goes: journal, outage, ordered fault, arguments, token, scope, rate limit, then the method. What Slack
documents and a careless client trips over: `chat.update` takes 4,000 characters of text, not 40,000.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import web

from . import api_agents, api_chat, api_conversations, api_people, api_streams, api_views, files
from .calls import METHODS, Ask, CallFunction, Method
from .faults import Call, Fault, Faults
from .rates import Rates
from .workspace import Json, Refused, Token, World

# Importing them registers their methods.
_PARTS = (api_agents, api_chat, api_conversations, api_people, api_streams, api_views, files)
_LARGEST_BODY = 64_000_000


class WebApi:
    """One Slack's Web API."""

    def __init__(self, world: World, *, rates: Rates | None = None, faults: Faults | None = None) -> None:
        self.world = world
        self.rates = rates or Rates()
        self.faults = faults or Faults()
        self._methods = dict(METHODS)

    def register(
        self, name: str, call: CallFunction, *, scopes: tuple[str, ...] = (), auth: bool = True
    ) -> None:
        """Add a method. With `auth` False it looks at `Ask.bearer` and `Ask.request` by itself."""
        self._methods[name] = Method(name, call, scopes, auth)

    @property
    def methods(self) -> Mapping[str, Method]:
        """Every method there is."""
        return self._methods

    def add_routes(self, application: web.Application) -> None:
        """Mount the routes. The application needs `client_max_size` for uploads: `application_for`."""
        application.router.add_route("POST", "/api/{method}", self.answer)
        application.router.add_route("GET", "/api/{method}", self.answer)
        files.add_routes(application, self.world, self._guarded)

    def _guarded(self, name: str, answering: files.Answering) -> files.Answering:
        """The same route, with faults and outages; it is no call, so the journal does not hold it."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            call = Call(name, "", "", 0.0, {})
            if self.faults.is_out or self.faults.watch(call, "arrives"):
                return break_connection(request)
            fault = self.faults.take(name, exact=True)
            if fault is None:
                response = await answering(request)
                return break_connection(request) if self.faults.watch(call, "done") else response
            await asyncio.sleep(fault.latency_s)
            if fault.only_late:
                return await answering(request)
            if fault.after_effect:
                await answering(request)
            return self._fail(request, call, fault)

        return guarded

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        name = request.match_info["method"]
        try:
            arguments, bearer = await _arguments(request)
            trouble = ""
        except Refused as refused:
            arguments, bearer, trouble = {}, "", refused.error
        call = self.faults.note(name, arguments)
        if self.faults.is_out or self.faults.watch(call, "arrives"):
            return break_connection(request)
        fault = self.faults.take(name)
        if fault is not None and fault.latency_s and not fault.after_effect:
            await asyncio.sleep(fault.latency_s)
        if fault is not None and not fault.after_effect and not fault.only_late:
            return self._fail(request, call, fault)
        ask = Ask(self.world, name, arguments, request, bearer)
        if trouble:
            response = self._respond(call, ask, {"ok": False, "error": trouble})
        else:
            response = await self._perform(call, ask)
        if self.faults.watch(call, "done"):
            return break_connection(request)
        if fault is not None and fault.after_effect:
            await asyncio.sleep(fault.latency_s)
            return self._fail(request, call, fault)
        return response

    async def _perform(self, call: Call, ask: Ask) -> web.Response:
        known = self._methods.get(ask.name)
        if known is None:
            return self._respond(call, ask, {"ok": False, "error": "unknown_method", "req_method": ask.name})
        try:
            if known.auth:
                authenticate(ask)
                call.team, call.app = ask.team, ask.install.app
                ask.need_scope(*known.scopes)
            else:
                call.team = ""
            wait = self.rates.take(call.app, call.team, ask.name, call.channel)
            if wait:
                return self._respond(call, ask, {"ok": False, "error": "ratelimited"}, retry_after=wait)
            made = known.call(ask)
            answer = await made if inspect.isawaitable(made) else made
        except Refused as refused:
            answer = {"ok": False, "error": refused.error, **refused.extra}
        return self._respond(call, ask, {"ok": True, **answer})

    def _respond(self, call: Call, ask: Ask, answer: Json, *, retry_after: int = 0) -> web.Response:
        call.status, call.error = (429 if retry_after else 200), str(answer.get("error", ""))
        headers = {"X-Slack-Req-Id": self.world.new_id("R")}
        if retry_after:
            headers["Retry-After"] = str(retry_after)
        if ask.token is not None:
            headers["X-OAuth-Scopes"] = ",".join(sorted(ask.token.scopes))
            known = self._methods.get(ask.name)
            if known is not None:
                headers["X-Accepted-OAuth-Scopes"] = ",".join(known.scopes)
        return web.json_response(answer, status=call.status, headers=headers)

    def _fail(self, request: web.Request, call: Call, fault: Fault) -> web.StreamResponse:
        call.error = fault.error
        if fault.retry_after:
            call.status, call.error = 429, "ratelimited"
            token = self.world.tokens.get(_bearer(request))
            if token is not None:
                team = _team_of(self.world, token, call.arguments)
                self.rates.close(token.install.app, team, call.method, call.channel, fault.retry_after)
            body = {"ok": False, "error": "ratelimited"}
            return web.json_response(body, status=429, headers={"Retry-After": str(fault.retry_after)})
        if fault.status:
            call.status = fault.status
            return web.Response(status=fault.status, text="Something went wrong", content_type="text/html")
        if fault.error:
            call.status = 200
            return web.json_response({"ok": False, "error": fault.error})
        call.status = 0
        return break_connection(request)


def authenticate(ask: Ask) -> None:
    """Find the token and the workspace of a call.

    Raises:
        Refused: not_authed, invalid_auth, not_allowed_token_type, account_inactive, token_revoked,
            token_expired.
    """
    if not ask.bearer:
        raise Refused("not_authed")
    token = ask.world.tokens.get(ask.bearer)
    if token is None:
        is_app_token = any(ask.bearer in app.app_tokens for app in ask.world.apps.values())
        raise Refused("not_allowed_token_type" if is_app_token else "invalid_auth")
    if not token.install.active or ask.world.users[token.install.bot_user].deleted:
        raise Refused("account_inactive")
    if token.revoked:
        raise Refused("token_revoked")
    if token.expires_at is not None and ask.world.now() >= token.expires_at:
        raise Refused("token_expired")
    ask.token = token
    ask.team = _team_of(ask.world, token, ask.arguments)


def _team_of(world: World, token: Token, arguments: Mapping[str, Any]) -> str:
    if token.install.team:
        return token.install.team
    named = str(arguments.get("team_id") or "")
    if named in world.teams and world.teams[named].enterprise == token.install.enterprise:
        return named
    channel = world.channels.get(str(arguments.get("channel") or arguments.get("channel_id") or ""))
    if channel is not None:
        ours = (t for t in channel.teams if world.teams[t].enterprise == token.install.enterprise)
        return next(ours, world.users[token.install.bot_user].team)
    return world.users[token.install.bot_user].team


def break_connection(request: web.Request) -> web.StreamResponse:
    """Reset the connection: the client gets no answer."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)  # goes nowhere


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _arguments(request: web.Request) -> tuple[dict[str, Any], str]:
    """What was sent (query, then form or JSON) and the token."""
    arguments: dict[str, Any] = dict(request.query)
    if request.method == "POST":
        kind = request.content_type
        if kind == "application/json":
            try:
                given = cast("object", json.loads(await request.text() or "{}"))
            except ValueError:
                raise Refused("invalid_json") from None
            if not isinstance(given, dict):
                raise Refused("json_not_object")
            arguments.update(cast("dict[str, Any]", given))
        elif kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
            arguments.update(await request.post())
    token = str(arguments.pop("token", "") or "")
    return arguments, _bearer(request) or token


def application_for(api: WebApi) -> web.Application:
    """An application with these routes alone."""
    application = web.Application(client_max_size=_LARGEST_BODY)
    api.add_routes(application)
    return application
