"""An ASGI application on a port of this machine, served by uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

LIMIT_S = 60.0
QUIETLY: dict[str, Any] = {
    "interface": "asgi3",
    "log_config": None,
    "access_log": False,
    "lifespan": "off",
    "ws": "none",
    "timeout_graceful_shutdown": 1,  # open streams are cut
}


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the tests."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def on_loopback(
    app: ASGIApp, port: int = 0, *, closing: asyncio.Event | None = None, **config: Any
) -> AsyncGenerator[str]:
    """Serve `app` while the block runs; gives its address, without a slash at the end.

    Args:
        app: what is served.
        port: 0 takes a free one.
        closing: set when the block is left, so that open streams end.
        config: settings of uvicorn besides QUIETLY.
    """
    # With the protocol named: only then asyncio switches off Nagle's delay of 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        server = _Server(uvicorn.Config(app, **QUIETLY | config))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(LIMIT_S):
                while not server.started:
                    if serving.done():
                        await serving
                    await asyncio.sleep(0.005)  # uvicorn tells nobody
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            if closing is not None:
                closing.set()
            server.should_exit = True
            async with asyncio.timeout(LIMIT_S):
                await serving
