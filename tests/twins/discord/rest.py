"""The HTTP face: `/api/v10/…` and `/cdn/…`. Mounted by the server.

A call goes: journal, outage, ordered fault, ban, token, description, rate limits, strictness, the work. What
breaks the description is kept in `twin.violations`, with the call, and refused (50035); Discord itself would
let a field pass that it does not know.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import socket
import struct
import time
from typing import Any, Protocol

from aiohttp import web
from simcord.backend import errors
from simcord.backend.errors import BackendError
from simcord.http import routes as _simcord_routes  # importing them registers them
from simcord.http.router import RouteNotImplemented, UnsupportedField

from . import refusals, routes, strict
from .asks import Ask, Unreadable, read_body
from .faults import Call, Fault, Faults
from .rates import Rates, Verdict
from .spec import Spec
from .world import World

PREFIX = "/api/v10"
_TOKENS = {"interaction_token", "webhook_token"}  # such routes need no Authorization
_REGISTERED = _simcord_routes


class Twin(routes.Discord, Protocol):
    """What the HTTP face needs of the twin."""

    world: World
    token: str
    token_valid: bool
    faults: Faults
    rates: Rates
    violations: list[str]


class Rest:
    """The REST API of one twin."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self._spec = Spec.load()

    def add_routes(self, application: web.Application) -> None:
        """Mount the routes."""
        application.router.add_route("*", f"{PREFIX}/{{path:.*}}", self.answer)
        application.router.add_get("/cdn/{path:.*}", self.download)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """An attachment's bytes; 404 where the signature is missing or wrong, as Discord's CDN has it."""
        path = request.match_info["path"]
        content = self._twin.world.cdn.read(path, request.query.get("hm", ""))
        if content is None:
            return web.Response(status=404, text="This content is no longer available.")
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return web.Response(body=content, content_type=kind)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        twin, faults = self._twin, self._twin.faults
        path = request.raw_path.partition("?")[0].removeprefix(PREFIX)
        _, template, parameters = self._spec.match(request.method, path)
        call = Call(request.method, path, template, time.monotonic(), query=dict(request.query))
        faults.calls.append(call)
        unreadable = ""
        ask = Ask(twin.backend, request.method, path, template, parameters, call.query)
        try:
            ask.body, ask.files = await read_body(request)
        except Unreadable as trouble:
            unreadable = str(trouble)
        call.body, call.files = ask.body, tuple(file.filename for file in ask.files)
        if faults.is_out or faults.watch(call, "arrives"):
            return break_connection(request)
        fault = faults.take(call)
        if fault is not None and fault.latency_s and not fault.after_effect:
            await asyncio.sleep(fault.latency_s)
        if fault is not None and not fault.after_effect and not fault.only_late:
            return self._fail(request, call, ask, fault)
        response = self._perform(request, call, ask, unreadable)
        if faults.watch(call, "done"):
            call.status = 0
            return break_connection(request)
        if fault is not None and fault.after_effect:
            await asyncio.sleep(fault.latency_s)
            return self._fail(request, call, ask, fault)
        return response

    # ── one call ─────────────────────────────────────────────────────────────────────────────

    def _perform(self, request: web.Request, call: Call, ask: Ask, unreadable: str) -> web.Response:
        ask.backend.forget_log()
        if self._twin.rates.banned:
            return self._banned(call)
        if not self._known(request, ask):
            return self._refuse(call, refusals.unauthorized())
        if not ask.template:
            self._violation(call, "no such route in Discord's description")
            return self._refuse(call, refusals.no_such_route())
        wrong = self._against_description(request, call, ask, unreadable)
        verdict = self._twin.rates.take(ask.name, ask.path, ask.parameters, renames=_renames(ask))
        call.bucket = verdict.bucket
        if verdict.retry_after:
            return self._limited(call, verdict)
        if wrong:
            inner = {"code": "BASE_TYPE_INVALID", "message": "; ".join(wrong)}
            refused = errors.invalid_form_body(errors={"_errors": [inner]})
            return self._refuse(call, refused, verdict)
        try:
            answer = self._work(call, ask)
        except (RouteNotImplemented, UnsupportedField) as gap:
            self._violation(call, f"the twin cannot do this: {gap}")
            return self._refuse(call, gap, verdict)
        except BackendError as refused:
            return self._refuse(call, _as_discord(refused), verdict)
        except Exception as error:  # aiohttp answers 500
            self._violation(call, f"the twin broke: {error!r}")
            raise
        return self._respond(call, 204 if answer is None else 200, answer, verdict)

    def _work(self, call: Call, ask: Ask) -> Any:
        backend = ask.backend
        strict.check(ask)
        for name in strict.unseen_uploads(ask):
            self._violation(call, f"no component shows the file {name!r}")
        if ask.name != strict.SEND:
            return routes.carry_out(self._twin, ask)
        nonce, channel, me = strict.nonce_of(ask), ask.number("channel_id"), backend.bot_user.id
        enforced = nonce is not None and bool(ask.json_object.get("enforce_nonce"))
        first = backend.message_of_nonce(channel, me, nonce) if nonce is not None and enforced else None
        if first is not None:
            return {**routes.message(self._twin, ask, first), "nonce": ask.json_object["nonce"]}
        backend.nonce = ask.json_object.get("nonce")
        try:
            made = routes.carry_out(self._twin, ask)
        finally:
            backend.nonce = None
        if nonce is not None:
            backend.remember_nonce(channel, me, nonce, int(made["id"]))
            made["nonce"] = ask.json_object["nonce"]
        return made

    def _known(self, request: web.Request, ask: Ask) -> bool:
        if ask.path == "/gateway" or not _TOKENS.isdisjoint(ask.parameters):
            return True
        given = request.headers.get("Authorization", "")
        return self._twin.token_valid and given == f"Bot {self._twin.token}"

    def _against_description(self, request: web.Request, call: Call, ask: Ask, unreadable: str) -> list[str]:
        """What must be refused; what is merely bad manners is kept as a violation alone."""
        if unreadable:
            self._violation(call, unreadable)
            return [unreadable]
        agent = request.headers.get("User-Agent", "")
        # discord.py names itself but where an interaction's token does.
        if not agent.startswith("DiscordBot (") and _TOKENS.isdisjoint(ask.parameters):
            self._violation(call, "User-Agent must be `DiscordBot (url, version)`")
        operation, _, parameters = self._spec.match(ask.method, ask.path)
        if operation is None:
            return []
        found = operation.check(parameters, ask.query, ask.body)
        for each in found:
            self._violation(call, each)
        return found

    # ── answers ──────────────────────────────────────────────────────────────────────────────

    def _respond(self, call: Call, status: int, answer: Any, verdict: Verdict | None = None) -> web.Response:
        call.status, call.answer, call.done_at = status, answer, time.monotonic()
        self._twin.rates.answered(status, shared=verdict is not None and verdict.scope == "shared")
        headers = {"Via": "1.1 google", **(verdict.headers if verdict is not None else {})}
        if status == 204:
            return web.Response(status=204, headers=headers)
        # Exactly `application/json`, without a charset: discord.py reads nothing else as JSON.
        content = json.dumps(answer).encode()
        return web.Response(body=content, status=status, headers=headers, content_type="application/json")

    def _refuse(self, call: Call, refused: BackendError, verdict: Verdict | None = None) -> web.Response:
        call.code = refused.code
        answer = refused.to_json()
        if refused.code == 30046:
            answer |= {"retry_after": self._twin.backend.old_edits_in_s, "global": False}
        return self._respond(call, refused.status, answer, verdict)

    def _limited(self, call: Call, verdict: Verdict) -> web.Response:
        body = {
            "message": "You are being rate limited.",
            "retry_after": round(verdict.retry_after, 3),
            "global": verdict.scope == "global",
        }
        return self._respond(call, 429, body, verdict)

    def _banned(self, call: Call) -> web.Response:
        call.status, call.done_at = 429, time.monotonic()
        text = "<html><body>error code: 1015</body></html>"  # Cloudflare's: no Via, no JSON
        headers = {"Retry-After": str(int(self._twin.rates.banned) + 1)}
        return web.Response(status=429, text=text, content_type="text/html", headers=headers)

    def _fail(self, request: web.Request, call: Call, ask: Ask, fault: Fault) -> web.StreamResponse:
        call.code = fault.code
        if fault.retry_after:
            closed = self._twin.rates.close(ask.name, ask.parameters, fault.retry_after, fault.scope)
            return self._limited(call, closed)
        if fault.malformed:
            call.status = fault.status or 200
            broken = b'{"id": "1", '
            return web.Response(status=call.status, body=broken, content_type="application/json")
        if fault.status and (fault.code or fault.status < 500):
            return self._refuse(call, BackendError(fault.status, fault.code, f"Ordered: {fault.status}"))
        if fault.status:
            call.status = fault.status
            text = "<html><body>upstream connect error</body></html>"
            return web.Response(status=fault.status, text=text, content_type="text/html")
        call.status = 0
        return break_connection(request)

    def _violation(self, call: Call, what: str) -> None:
        call.violations = (*call.violations, what)
        self._twin.violations.append(f"{call.name}: {what}")


def break_connection(request: web.Request) -> web.StreamResponse:
    """Reset the connection: the client gets no answer."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)  # goes nowhere


def _renames(ask: Ask) -> bool:
    if ask.name != "PATCH /channels/{channel_id}":
        return False
    channel = ask.backend.channels.get(ask.number("channel_id"))
    wanted = ask.json_object
    return channel is not None and any(
        name in wanted and wanted[name] != getattr(channel, name) for name in ("name", "topic")
    )


def _as_discord(refused: BackendError) -> BackendError:
    return refusals.empty_message() if "Cannot send an empty message" in refused.message else refused
