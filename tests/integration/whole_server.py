"""The whole core with the rules engine behind the HTTP routes, for clients that are programs of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import uvicorn
from fastapi import FastAPI

from bot.api.access import Access
from bot.api.app import create_api
from bot.api.core import Core
from bot.api.sockets import server_settings
from bot.app import channel_defaults, open_core
from config.load import load_settings
from tests.integration.api_harness import Quiet


class Whole(NamedTuple):
    """A running server."""

    url: str
    app: FastAPI
    core: Core
    client: httpx2.AsyncClient  # with the key


@asynccontextmanager
async def whole(
    folder: Path, *, key: str = "", expires_after_s: float = 86_400, env: Mapping[str, str] | None = None
) -> AsyncGenerator[Whole]:
    """A server over everything that `quartet up` has, but chat platforms.

    Args:
        folder: for its files.
        key: API_KEY; "": none is needed.
        expires_after_s: how long an approval of a chat turn waits.
        env: further settings.
    """
    settings = load_settings(env={"QUARTET_HOME": str(folder / "home"), **(env or {})}, env_file=None)
    async with open_core(settings) as built:
        policy = channel_defaults(settings).model_copy(update={"expires_after_s": expires_after_s})
        core = Core(service=built.service, policy=policy, own_keys=built.own_keys, webhooks=built.webhooks)
        app = create_api(core, Access(api_key=key, per_minute=None))
        server = Quiet(
            uvicorn.Config(
                app,
                host="127.0.0.1",
                port=0,
                log_level="error",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
                **server_settings(Access().max_body),
            )
        )
        serving = asyncio.create_task(server.serve())
        try:
            async with asyncio.timeout(60):
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.005)
            url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            transport = httpx2.AsyncHTTPTransport(verify=False)  # a TLS context takes long to make
            headers = {"X-API-Key": key} if key else {}
            async with httpx2.AsyncClient(
                base_url=url, timeout=60, transport=transport, headers=headers
            ) as client:
                yield Whole(url, app, core, client)
        finally:
            core.closing.set()
            server.should_exit = True
            await serving
