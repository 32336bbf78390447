"""A server on loopback that answers with exactly the bytes it was given, one script for each connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Writer = asyncio.StreamWriter
Script = Callable[[Writer], Awaitable[None]]


@dataclass
class Raw:
    """What the server was asked."""

    url: str = ""
    asked: list[bytes] = field(default_factory=list[bytes])  # one for each connection: head and body
    connections: int = 0


def answer(status: str, body: bytes = b"", content_type: str = "application/json", **headers: str) -> bytes:
    """An HTTP answer."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def stream(body: bytes) -> bytes:
    """The begin of a stream of events, which ends when the connection does."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + body


def says(content: bytes) -> Script:
    """Send this, and close."""

    async def script(writer: Writer) -> None:
        writer.write(content)
        await writer.drain()

    return script


async def hangs(writer: Writer) -> None:
    """Say nothing, for ever."""
    await asyncio.Event().wait()


@asynccontextmanager
async def raw(*scripts: Script) -> AsyncGenerator[Raw]:
    """A server; the last script is played again for every further connection."""
    seen = Raw()
    playing: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.add(task)
        script = scripts[min(seen.connections, len(scripts) - 1)]
        seen.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ),
                0,
            )
            seen.asked.append(head + await reader.readexactly(size))
            await script(writer)
        with suppress(ConnectionError):
            writer.close()
        playing.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield seen
    finally:
        server.close()
        for task in list(playing):
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
