"""A real Chromium for tests, and a real server for it to look at."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Browser, async_playwright
from starlette.types import ASGIApp

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Where a Chromium is: Debian's place first, then PATH. `CHROMIUM` names another."""
    named = os.environ.get("CHROMIUM", "")
    usual = Path("/usr/bin/chromium")
    if named or usual.is_file():
        return named or str(usual)
    return next((path for name in NAMES if (path := shutil.which(name))), None)


needs_chromium = pytest.mark.skipif(
    find_chromium() is None,
    reason="no Chromium: install Debian's chromium, or set CHROMIUM to the path of one",
)


@asynccontextmanager
async def open_browser() -> AsyncGenerator[Browser]:
    """A headless Chromium, closed afterwards."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def serve(app: ASGIApp, *, port: int = 0) -> AsyncGenerator[str]:
    """Serve an application on loopback; gives its address. Open streams are cut at the end.

    Args:
        port: 0 takes a free one.
    """
    # With the protocol named: only then asyncio switches off Nagle's delay of 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()
    port = listening.getsockname()[1]
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(60):
            await task
        listening.close()
