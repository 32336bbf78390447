"""A real nginx before a server, and a line between them that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.journey.bot_process import free_port

PLACES = ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/bin/nginx", "/opt/homebrew/bin/nginx")
WITHIN_S = 30.0


def find_nginx() -> str | None:
    """Where an nginx is: on PATH, or where Debian and others put it."""
    return shutil.which("nginx") or next((place for place in PLACES if Path(place).is_file()), None)


needs_nginx = pytest.mark.skipif(find_nginx() is None, reason="no nginx: install Debian's nginx")

# As a newcomer writes it: all as it is by default (it buffers, and speaks HTTP/1.0 to the server), and for
# WebSockets the lines of nginx's own page.
CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    types {{ text/html html; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    server {{
        listen 127.0.0.1:{port};
        location /pages/ {{ root {folder}; }}
        proxy_set_header Host $http_host;
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
        location ~ ^/(ws/|v1/chat/stream$) {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }}
    }}
}}
"""


class Nginx:
    """A running nginx.

    Args:
        url: its address.
        folder: what lies in `pages/` under it is served.
    """

    def __init__(self, url: str, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.folder = folder
        self._process = process

    def workers(self) -> list[int]:
        """The processes that hold the connections."""
        pid = self._process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]

    async def cut(self) -> None:
        """Break every connection, as if the line to the clients had gone; new ones are taken at once."""
        before = self.workers()
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        async with asyncio.timeout(WITHIN_S):
            while not (now := self.workers()) or set(now) & set(before):  # noqa: ASYNC110 - nginx tells nobody
                await asyncio.sleep(0.005)


@asynccontextmanager
async def nginx(folder: Path, upstream: int) -> AsyncGenerator[Nginx]:
    """An nginx on a free port before the server on port `upstream`."""
    port = free_port()
    (folder / "pages").mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers may not write to `folder`
    config.write_text(CONFIG.format(folder=folder, port=port, upstream=upstream, user=user))
    program = find_nginx()
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await _listens(port):
                assert process.returncode is None, (folder / "error.log").read_text()
                await asyncio.sleep(0.01)
        yield Nginx(f"http://127.0.0.1:{port}", folder, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


class Line:
    """Takes TCP connections and passes them on, byte by byte, until it is cut."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self.port = 0

    async def taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection came."""
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        ends = {writer}
        self._open.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            ends.add(far_writer)
            self._open.add(far_writer)
            await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))
        except OSError:
            pass  # the server is not there, or the line was cut: the client sees its connection end
        finally:
            for end in ends:
                end.transport.abort()
            self._open -= ends
            self._passing.discard(task)

    def cut(self) -> int:
        """Break every connection; how many there were."""
        cut = len(self._passing)
        for writer in [*self._open]:
            writer.transport.abort()
        return cut

    async def end(self) -> None:
        """Cut, and wait for what passes."""
        self.cut()
        await asyncio.gather(*self._passing, return_exceptions=True)


@asynccontextmanager
async def line(to: int) -> AsyncGenerator[Line]:
    """A line on a free port to the server on port `to`."""
    made = Line(to)
    server = await asyncio.start_server(made.taken, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()
        await server.wait_closed()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
