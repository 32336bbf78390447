"""The whole core with the rules engine behind the HTTP routes, for clients that are programs of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
from fastapi import FastAPI

from bot.api.access import Access
from bot.api.app import create_api
from bot.api.connections import server_settings
from bot.api.core import Core
from bot.app import channel_defaults, open_core
from bot.serving import fill
from config.load import load_settings
from tests.loopback import on_loopback


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
    """A server over everything that `quartet up` has, but the page and chat platforms.

    Args:
        folder: for its files.
        key: API_KEY; "": none is needed.
        expires_after_s: how long an approval of a chat turn waits.
        env: further settings.
    """
    settings = load_settings(env={"QUARTET_HOME": str(folder / "home"), **(env or {})}, env_file=None)
    async with open_core(settings) as built:
        core = Core(policy=channel_defaults(settings).model_copy(update={"expires_after_s": expires_after_s}))
        await fill(core, settings, built)
        access = Access(api_key=key, per_minute=None)
        app = create_api(core, access)
        async with on_loopback(app, closing=core.closing, **server_settings()) as url:
            transport = httpx2.AsyncHTTPTransport(verify=False)  # a TLS context takes long to make
            headers = {"X-API-Key": key} if key else {}
            async with httpx2.AsyncClient(
                base_url=url, timeout=60, transport=transport, headers=headers
            ) as client:
                yield Whole(url, app, core, client)
