"""`GET /metrics`: numbers for Prometheus. Names begin with `quartet_`.

Counters are of this process: what happened since it began, read from the log behind the last scrape.
Gauges are of now, also right after a restart. Labels come from bounded sets: agents and models beyond
`MANY` are counted as `other`, addresses by their route.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import structlog
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.api.auth import needs
from bot.api.core import Core
from bot.api.errors import problems
from orchestrator.measures import Measured, StepDone

log = structlog.get_logger(__name__)

MANY: Final = 100  # agents, or models, that have labels of their own
OTHER: Final = "other"
LAG_S: Final = 0.5  # how often the loop's lag is looked at
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNFINISHED: Final = ("queued", "running", "waiting", "paused")
OVER: Final = ("completed", "failed", "rejected", "stopped", "expired")
STEP_S: Final = (0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
CALL_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 120)


class Meters:
    """All numbers of one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        add: dict[str, Any] = {"namespace": "quartet", "registry": registry}
        self.runs = Gauge("runs", "Runs that have not ended", ["status"], **add)
        self.runs_started = Counter("runs_started", "Turns that became runs", **add)
        self.runs_ended = Counter("runs_ended", "Runs that ended", ["status"], **add)
        self.approvals = Gauge("approvals_waiting", "Questions that wait for people", **add)
        self.steps = Counter("steps", "Attempts of agents that ended", ["agent", "outcome"], **add)
        self.step_s = Histogram("step_seconds", "How long they took", ["agent"], buckets=STEP_S, **add)
        self.tokens = Counter("tokens", "Tokens of model calls", ["model", "kind"], **add)
        self.calls = Counter("model_calls", "Model calls that were answered", ["model"], **add)
        self.cost = Counter("cost_usd", "US dollars, of models with a known price", ["model"], **add)
        self.model_errors = Counter("model_errors", "Model calls that failed", ["reason"], **add)
        self.requests = Counter("http_requests", "Calls answered", ["method", "route", "status"], **add)
        self.request_s = Histogram(
            "http_request_seconds", "How long they took, streams left out", ["route"], buckets=CALL_S, **add
        )
        self.streams = Gauge("open_streams", "Streams of events that clients read", **add)
        self.sockets = Gauge("open_sockets", "WebSockets that are open", **add)
        self.followed = Gauge("followed_runs", "Runs whose log is followed", **add)
        self.deliveries = Gauge("deliveries_waiting", "Runs whose cards are to be looked at", **add)
        self.lag = Gauge("event_loop_lag_seconds", "The longest of the last scrape interval", **add)
        self.scrape_fails = Counter("scrape_failures", "Scrapes in which the database failed", **add)
        ProcessCollector(namespace="quartet", registry=registry)
        for status in OVER:
            self.runs_ended.labels(status)  # there from the first scrape on, with 0
        self._agents: set[str] = set()
        self._models: set[str] = set()
        self._longest = 0.0
        self._is_watched = False

    # ── the loop ─────────────────────────────────────────────────────────────────────────────

    def watch_loop(self, closing: asyncio.Event) -> None:
        """Look at the loop's lag from now on, until the server closes. A timer, no task."""
        if self._is_watched:
            return
        self._is_watched = True
        loop = asyncio.get_running_loop()

        def tick(due: float) -> None:
            now = loop.time()
            self._longest = max(self._longest, now - due)
            if not closing.is_set():
                loop.call_at(now + LAG_S, tick, now + LAG_S)

        loop.call_at(loop.time() + LAG_S, tick, loop.time() + LAG_S)

    # ── the log ──────────────────────────────────────────────────────────────────────────────

    def take(self, measured: Measured) -> None:
        """Count what happened, and note what is now."""
        self.runs_started.inc(measured.created)
        for status, count in measured.ended.items():
            self.runs_ended.labels(status if status in OVER else OTHER).inc(count)
        for step in measured.steps:
            self._step(step)
        for reason, count in measured.retried.items():
            self.model_errors.labels(reason or "no_answer").inc(count)
        for name, usage in measured.usage.items():
            model = _bounded(self._models, name)
            self.tokens.labels(model, "input").inc(usage.input_tokens)
            self.tokens.labels(model, "output").inc(usage.output_tokens)
            self.tokens.labels(model, "cached").inc(usage.cached_tokens)
            self.calls.labels(model).inc(usage.calls)
            self.cost.labels(model).inc(usage.cost_usd or 0.0)
        for status in UNFINISHED:
            self.runs.labels(status).set(measured.unfinished.get(status, 0))
        self.approvals.set(measured.waiting)
        self.deliveries.set(measured.unshown)

    def _step(self, step: StepDone) -> None:
        agent = _bounded(self._agents, step.agent)
        self.steps.labels(agent, step.kind or "done").inc()
        self.step_s.labels(agent).observe(step.seconds)
        if step.kind in ("model_refused", "model_unavailable", "output_invalid"):
            self.model_errors.labels(step.kind).inc()

    def page(self) -> bytes:
        """What Prometheus reads."""
        self.lag.set(self._longest)
        self._longest = 0.0
        return generate_latest(self.registry)


class Metrics:
    """The route.

    Args:
        core: the bot.
        meters: of this process.
    """

    def __init__(self, core: Core, meters: Meters) -> None:
        self._core = core
        self._meters = meters
        self._reading = asyncio.Lock()

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["metrics"])
        router.add_api_route(
            "/metrics",
            self.metrics,
            methods=["GET"],
            operation_id="getMetrics",
            dependencies=[needs("read")],
            summary="Numbers for Prometheus",
            response_class=Response,
            responses={
                200: {
                    "description": "The text format of Prometheus",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                },
                **problems(),
            },
        )
        return router

    async def metrics(self) -> Response:
        """Numbers in Prometheus's text format; all names begin with `quartet_`."""
        store = self._core.ready().store
        async with self._reading:
            try:
                if self._core.measured_to is None:
                    self._core.measured_to = await store.log_end()
                measured = await store.measured(after=self._core.measured_to)
            except Exception:  # whatever the database's library raises: the other numbers are wanted now
                log.exception("the database could not be measured", action="metrics_failed")
                self._meters.scrape_fails.inc()
            else:
                self._core.measured_to = measured.place
                self._meters.take(measured)
        self._meters.followed.set(self._core.feeds.followed)
        return Response(
            self._meters.page(), media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"}
        )


class Measuring:
    """ASGI middleware around all others: counts calls by route, streams and sockets that are open."""

    def __init__(self, app: ASGIApp, meters: Meters, core: Core) -> None:
        self._app = app
        self._meters = meters
        self._core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call what comes after, and count it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        meters = self._meters
        meters.watch_loop(self._core.closing)
        begun = time.perf_counter()
        status = 0
        open_now: Gauge | None = None

        async def note(message: Message) -> None:
            nonlocal status, open_now
            kind = message["type"]
            if kind in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                if (b"content-type", b"text/event-stream; charset=utf-8") in message.get("headers", ()):
                    open_now = meters.streams
                    open_now.inc()
            elif kind == "websocket.accept":
                status, open_now = 101, meters.sockets
                open_now.inc()
            elif kind == "websocket.close" and not status:
                status = 403
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", "") or OTHER
            method = scope.get("method", "WEBSOCKET")
            if method not in METHODS and method != "WEBSOCKET":
                method = OTHER
            meters.requests.labels(method, route, str(status or 499)).inc()  # 499: it went before an answer
            if open_now is not None:
                open_now.dec()
            else:
                meters.request_s.labels(route).observe(time.perf_counter() - begun)


def _bounded(known: set[str], name: str) -> str:
    """A label: the name itself, as long as there are not too many."""
    if name in known:
        return name
    if len(known) >= MANY:
        return OTHER
    known.add(name)
    return name
