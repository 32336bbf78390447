"""The HTTP app: our routes, what every call passes, and the adapters' routes behind them.

`create_api` imports nothing heavy, so the server can listen while the rest of the bot is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.api import errors
from bot.api.access import Access, Guard
from bot.api.approvals import Approvals
from bot.api.chat import Chat
from bot.api.core import Core
from bot.api.execute import Execute
from bot.api.graphs import Graphs
from bot.api.health import HealthRoute
from bot.api.keys import Keys
from bot.api.letting_go import SERVERS_SEND, QuietSockets
from bot.api.metrics import Measuring, Meters, Metrics
from bot.api.request_ids import HEADER, RequestIds
from bot.api.runs import Runs
from bot.api.security_schemes import add_security
from bot.api.sessions import Sessions
from bot.api.sse import HEARTBEAT_S
from bot.api.tickets import TicketRoute, Tickets
from bot.api.webhooks import WebhookRoutes
from bot.key_ring import KeyRing

DESCRIPTION = (
    "Agents work on turns of a conversation, graphs of tasks, goals and sessions of a team: each is a run, "
    "with a log to follow, and people decide where they are asked. Webhooks tell of it. "
    "Errors are problem details (RFC 9457); wrong fields are named in `errors`."
)
PAGE_HEADERS = {
    # The page is ours alone: no script runs and nothing is loaded from anywhere.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Api(FastAPI):
    """FastAPI whose OpenAPI document says that errors are problem details."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        scope[SERVERS_SEND] = send
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The document; made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for path in document["paths"].values():
                for operation in path.values():
                    for status, response in operation["responses"].items():
                        content = response.get("content", {})
                        schema = content.get("application/json", {}).get("schema", {})
                        if status >= "400" and schema.get("$ref", "").endswith("/Problem"):
                            response["content"] = {errors.MEDIA_TYPE: content["application/json"]}
            add_security(document)
            self.openapi_schema = document
        return self.openapi_schema


def create_api(
    core: Core,
    access: Access,
    *,
    adapter_routes: Iterable[BaseRoute] = (),
    version: str = "0.1.0",
    heartbeat_s: float = HEARTBEAT_S,
    ring: KeyRing | None = None,
) -> FastAPI:
    """The app.

    Args:
        core: the bot; may be filled later.
        access: keys, origins, sizes.
        adapter_routes: see `mount`.
        version: of the distribution.
        heartbeat_s: seconds between signs of life in a silent stream.
        ring: the named keys, if others look at them as well; None: those of the core's store.
    """
    ring = ring or KeyRing(lambda: core.ready().store)
    tickets, meters = Tickets(), Meters()
    mounted: list[BaseRoute] = []
    app = Api(
        title="Quartet",
        version=version,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
        middleware=[
            Middleware(Measuring, meters=meters, core=core),
            Middleware(RequestIds),
            Middleware(
                CORSMiddleware,
                allow_origins=list(access.cors_origins),
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=[
                    "Authorization",
                    "Content-Type",
                    "Idempotency-Key",
                    "Last-Event-ID",
                    "X-API-Key",
                    HEADER,
                ],
                expose_headers=["Location", "Retry-After", HEADER],
            ),
            Middleware(errors.LastResort),
            Middleware(QuietSockets),
            Middleware(Guard, core=core, access=access, ring=ring, tickets=tickets, adapter_routes=mounted),
        ],
    )
    app.state.adapter_routes = mounted
    app.router.default = _nowhere(app.router.default)
    errors.install(app)
    for family in (
        HealthRoute(core),
        Chat(core),
        Runs(core, heartbeat_s=heartbeat_s),
        Approvals(core),
        Graphs(core),
        Execute(core, heartbeat_s=heartbeat_s),
        Sessions(core),
        TicketRoute(tickets),
        Keys(core, ring),
        WebhookRoutes(core),
        Metrics(core, meters),
    ):
        app.include_router(family.router())

    page: list[str] = []

    def reference() -> Response:
        if not page:
            from bot.api.reference import render  # Jinja2 is not needed before somebody looks

            page.append(render(app.openapi()))
        return HTMLResponse(page[0], headers=PAGE_HEADERS)

    for path in ("/docs", "/redoc"):
        app.add_api_route(path, reference, methods=["GET"], include_in_schema=False)
    mount(app, adapter_routes)
    return app


def _nowhere(usual: ASGIApp) -> ASGIApp:
    """What answers at addresses without a route; sockets get a 404 with its reason too, not a bare 403."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await errors.refuse(errors.ProblemError(404, errors.NOTHING_HERE), scope, receive, send)
        else:
            await usual(scope, receive, send)

    return answer


def mount(app: FastAPI, routes: Iterable[BaseRoute]) -> None:
    """Add an adapter's routes. They see to their own signing in; host, origin and size are checked.

    May be called while the server already answers.
    """
    mounted = cast("list[BaseRoute]", app.state.adapter_routes)
    for route in routes:
        mounted.append(route)
        app.router.routes.append(route)
