"""The HTTP server on loopback over a whole core. Every answer is held against the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
from fastapi import FastAPI
from starlette.routing import BaseRoute

from bot.api.access import Access
from bot.api.app import create_api
from bot.api.connections import server_settings
from bot.api.core import Core
from config.documents import read_model
from config.paths import WORKFLOWS_DIR
from orchestrator.workflow import Workflow
from tests.event_lines import EventLines
from tests.house import House, ScriptedAgents, house
from tests.loopback import on_loopback

WORKFLOWS = {name: read_model(WORKFLOWS_DIR / f"{name}.yaml", Workflow) for name in ("quartet", "team")}
ASK = {"approvals": "ask"}


def turn(text: str = "What is tea?", **context: Any) -> dict[str, Any]:
    """The body of a chat call."""
    return {"messages": [{"role": "user", "content": text}], "context": context}


class Api:
    """A running server, its core and a client."""

    def __init__(self, app: FastAPI, core: Core, built: House, client: httpx2.AsyncClient) -> None:
        self.app = app
        self.core = core
        self.house = built
        self.client = client
        self.seen: list[tuple[str, str, int, Any]] = []

    @property
    def agents(self) -> ScriptedAgents:
        return self.house.agents

    async def note(self, response: httpx2.Response) -> None:
        body: Any = None
        if "json" in response.headers.get("content-type", ""):
            await response.aread()
            body = response.json()
        request = response.request
        self.seen.append((request.method, request.url.path, response.status_code, body))

    def check(self) -> None:
        """Every status was declared, and every JSON body fits its schema."""
        document = _document(self.app)
        for method, path, status, body in self.seen:
            operation = _operation(document, method, path)
            if operation is None:
                continue  # no such route, or not with this method: there is nothing to declare it on
            declared = operation["responses"]
            assert str(status) in declared, f"{method} {path} answered {status}, declared are {[*declared]}"
            for media in declared[str(status)].get("content", {}).values():
                if media.get("schema") and body is not None:
                    schema = {**media["schema"], "components": document["components"]}
                    jsonschema.Draft202012Validator(schema).validate(body)  # pyright: ignore[reportUnknownMemberType]

    async def events(self, run_id: str, headers: Mapping[str, str] | None = None) -> list[dict[str, str]]:
        """All events of a run's stream until it ends."""
        found: list[dict[str, str]] = []
        async with self.client.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as stream:
            assert stream.status_code == 200
            async for event in sse(stream):
                found.append(event)
        return found


async def sse(stream: httpx2.Response) -> AsyncGenerator[dict[str, str]]:
    """The events of a stream, as an EventSource reads them; comments are events with a "comment"."""
    lines = EventLines()
    async for line in stream.aiter_lines():
        if event := lines.take(line):
            yield event


@asynccontextmanager
async def api(
    folder: Path,
    access: Access | None = None,
    *,
    adapter_routes: Iterable[BaseRoute] = (),
    heartbeat_s: float = 15,
    starting: bool = False,
    agents: ScriptedAgents | None = None,
) -> AsyncGenerator[Api]:
    """A server over a running core; `starting`: the core is not there yet.

    `agents` come with their script where a run goes on at once, after a restart.
    """
    async with house(folder, WORKFLOWS, agents) as built:
        core, access = Core(service=None if starting else built.service), access or Access()
        app = create_api(core, access, adapter_routes=adapter_routes, heartbeat_s=heartbeat_s)
        told: dict[str, Any] = {**server_settings(), "timeout_graceful_shutdown": None}
        async with on_loopback(app, closing=core.closing, **told) as address:
            transport = httpx2.AsyncHTTPTransport(verify=False)  # a TLS context takes long to make
            async with httpx2.AsyncClient(base_url=address, timeout=60, transport=transport) as client:
                running = Api(app, core, built, client)
                client.event_hooks["response"].append(running.note)
                yield running
            running.check()
            built.agents.check()


_DOCUMENTS: list[dict[str, Any]] = []


def _document(app: FastAPI) -> dict[str, Any]:
    """The same for every app, and slow to make."""
    if not _DOCUMENTS:
        _DOCUMENTS.append(app.openapi())
    return _DOCUMENTS[0]


def _operation(document: Mapping[str, Any], method: str, path: str) -> Mapping[str, Any] | None:
    for template, methods in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return methods.get(method.lower())
    return None
