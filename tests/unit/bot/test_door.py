"""While the bot is loaded its port answers as an API does that is not ready, and needs little for it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import httpx2
import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from bot.api.access import Access
from bot.api.app import create_api
from bot.api.connections import server_settings
from bot.api.core import Core
from bot.door import Door
from tests.loopback import on_loopback

ALIKE = ("content-type", "retry-after", "cache-control")


async def test_it_answers_as_the_api_does_that_is_not_ready() -> None:
    told: list[list[object]] = []
    for app in (Door(), create_api(Core(), Access(per_minute=None))):
        async with on_loopback(app) as url, httpx2.AsyncClient(base_url=url) as client:
            health = await client.get("/health")
            chat = await client.post("/v1/chat", json={"text": "hello"})
            stamped = health.json()
            assert datetime.fromisoformat(stamped.pop("timestamp")).tzinfo is not None
            told.append(
                [
                    [health.status_code, stamped, *(health.headers.get(name) for name in ALIKE)],
                    [chat.status_code, chat.json(), *(chat.headers.get(name) for name in ALIKE)],
                ]
            )
    assert told[0] == told[1]
    assert told[0][0] == [
        503,
        {
            "status": "degraded",
            "active_workflows": 0,
            "components": {
                "store": {"status": "starting", "detail": "the bot is starting; ask again in a second"}
            },
        },
        "application/json",
        "1",
        "no-store",
    ]


async def test_a_socket_is_asked_to_come_again() -> None:
    for app in (Door(), create_api(Core(), Access(per_minute=None))):
        async with on_loopback(app, **server_settings()) as url:
            address = url.replace("http", "ws", 1) + "/ws/workflows/w1"
            with pytest.raises(InvalidStatus) as refused:
                async with connect(address) as peer:
                    await peer.recv()
        answer = refused.value.response
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert json.loads(answer.body or b"")["status"] == 503


async def test_its_answers_are_named() -> None:
    async with on_loopback(Door()) as url, httpx2.AsyncClient(base_url=url) as client:
        answer = await client.get("/health", headers={"X-Request-Id": "mine"})
        assert answer.headers["X-Request-Id"] == "mine"


async def test_what_stands_behind_it_answers_once_it_is_open() -> None:
    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    door = Door()
    async with on_loopback(door) as url, httpx2.AsyncClient(base_url=url) as client:
        assert (await client.get("/health")).status_code == 503
        door.open(behind)
        assert (await client.get("/health")).status_code == 204


def test_to_listen_needs_neither_the_web_framework_nor_the_bot() -> None:
    code = "import sys, bot.cli_up, bot.cli_settings, bot.logs, bot.front; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "uvicorn" in loaded
    assert (
        not {"fastapi", "jinja2", "bot.app", "bot.serving", "orchestrator.service", "adapters.web"} & loaded
    )
