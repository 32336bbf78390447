"""`quartet up`: one bot for its home, and the port that answers before the bot is loaded.

Only what is needed to listen is imported here; all else comes behind the door (`serving`), in a thread, while
`/health` answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from bot.api.connections import server_settings
from bot.door import Door
from config.errors import ConfigError, ConfigProblem
from config.settings import Settings

# Python's own is 5 ms, which the thread that writes to the disk would wait for at every statement while the
# loop is busy: what came in would be acknowledged late.
SWITCH_S = 0.0005
DRAIN_S = 3  # open streams get this long when the server stops
BringUp = Callable[[Settings, uvicorn.Server, Door, "asyncio.Task[None]", asyncio.Event], Awaitable[None]]


async def serve(settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
    """Run the bot until SIGINT or SIGTERM.

    Raises:
        ConfigError: the address is taken or not allowed, or the home cannot be used or is another bot's.
        StoreFailed: the database cannot be used.
    """
    sys.setswitchinterval(SWITCH_S)
    settings = settings.with_address(host, port)
    await asyncio.to_thread(_make_home, settings.home)
    with _alone(settings.home), _listen(settings) as sock:
        door, leaving = Door(), asyncio.Event()
        server = _Server(
            uvicorn.Config(
                door,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=DRAIN_S,
                **server_settings(),
                server_header=False,
            )
        )
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, leaving.set)
        serving = asyncio.create_task(server.serve(sockets=[sock]), name="server")
        try:
            bring_up = await asyncio.to_thread(_load)
            if not leaving.is_set():
                await bring_up(settings, server, door, serving, leaving)
        finally:
            server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)


def _load() -> BringUp:
    """Import the bot: a second in which the loop has to answer, hence in a thread."""
    from bot.serving import bring_up

    return bring_up


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again after the end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _make_home(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _home_unusable(home, error) from error


def _home_unusable(home: Path, error: OSError) -> ConfigError:
    message = f"the folder {home} cannot be made or written ({error.strerror})"
    remedy = "set it to a folder that this account may write"
    return ConfigError([ConfigProblem("environment", None, None, "QUARTET_HOME", message, remedy)])


@contextlib.contextmanager
def _alone(home: Path) -> Generator[None]:
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
    except OSError as error:
        raise _home_unusable(home, error) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _listen(settings: Settings) -> Generator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named: without it asyncio leaves Nagle on, which costs 40 ms an answer.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
