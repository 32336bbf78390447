"""An ASGI application on a free port of this machine, for platforms that post to us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

LIMIT_S = 60.0


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the tests."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def on_loopback(app: ASGIApp, port: int = 0) -> AsyncGenerator[str]:
    """Serve `app` while the block runs; gives its address, without a slash at the end.

    Args:
        port: 0 takes a free one.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", port))
        config = uvicorn.Config(
            app,
            interface="asgi3",
            log_config=None,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(LIMIT_S):
                while not server.started:
                    if serving.done():
                        await serving
                    await asyncio.sleep(0.005)  # uvicorn tells nobody
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
