"""`quartet up`: one server for the page, the API and every chat platform that has a token.

The port answers first: what is heavy (models, platforms) is loaded after the server listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
import uvicorn
from filelock import FileLock, Timeout

from adapters.web.adapter import WebAdapter
from bot.api.app import create_api
from bot.app import Core, open_core
from config.errors import ConfigError, ConfigProblem
from config.settings import Settings

log = structlog.get_logger(__name__)

DRAIN_S = 3  # open streams get this long when the server stops


async def serve(settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
    """Run the bot until SIGINT or SIGTERM.

    Raises:
        ConfigError: the address is taken or not allowed, or another bot uses the same home.
        StoreFailed: the database cannot be used.
    """
    settings = settings.with_address(host, port)
    await asyncio.to_thread(settings.home.mkdir, parents=True, exist_ok=True)
    with _alone(settings.home), _listen(settings) as sock:
        web = WebAdapter(
            settings.home,
            base_url=settings.base_url,
            bound_host=settings.host,
            allowed_origins=settings.cors_origins,
            api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        )
        async with open_core(settings, adapters=[web]) as core:
            api = create_api(core, web=web)
            config = uvicorn.Config(
                api,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=DRAIN_S,
                ws="none",
                server_header=False,
            )
            await _run(uvicorn.Server(config), sock, core)


async def _run(server: uvicorn.Server, sock: socket.socket, core: Core) -> None:
    loop = asyncio.get_running_loop()

    def leave() -> None:
        server.should_exit = True

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, leave)
    with _quiet_signals(server):
        serving = asyncio.create_task(server.serve(sockets=[sock]), name="server")
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if server.started:
            print(_greeting(core.settings), flush=True)  # noqa: T201 - the address is what `quartet up` prints
            warming = asyncio.create_task(core.agents.warm_up(), name="warm-up")
            await serving
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
        else:
            await serving


@contextlib.contextmanager
def _quiet_signals(server: uvicorn.Server) -> Iterator[None]:
    """Ours are installed on the loop; uvicorn's own would raise the signal again after the end."""
    capture: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    server.capture_signals = capture
    yield


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One bot for one home: two would send every card twice."""
    lock = FileLock(home / "up.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        problem = ConfigProblem(
            "environment",
            None,
            None,
            "QUARTET_HOME",
            f"another `quartet up` works in {home}",
            "stop it, or set QUARTET_HOME to another folder",
        )
        raise ConfigError([problem]) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((settings.host, settings.port))
            sock.listen(2048)
        except OSError as error:
            problem = ConfigProblem(
                "command line",
                None,
                None,
                "--port",
                f"{settings.host}:{settings.port} cannot be used ({error.strerror})",
                f"choose another port: quartet up --port {settings.port % 65535 + 1}",
            )
            raise ConfigError([problem]) from None
        sock.setblocking(False)
        yield sock
    finally:
        sock.close()


def _greeting(settings: Settings) -> str:
    lines = [f"Quartet listens on {settings.base_url}"]
    if settings.engine == "rules":
        lines.append("No model is configured: the rules engine plays the four agents (see `quartet check`).")
    if sys.stdout.isatty():
        lines.append("Stop with Ctrl-C.")
    return "\n".join(lines)
