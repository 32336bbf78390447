"""A receiver of notices on loopback that can misbehave, an own reading of the specification, a dispatcher."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.webhooks.book import WebhookBook
from bot.webhooks.dispatcher import Dispatcher
from bot.webhooks.sending import Sender
from orchestrator.bus import Bus
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.webhooks import Webhook

OK = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def status(code: int, *headers: str) -> bytes:
    """An answer without a body."""
    lines = [f"HTTP/1.1 {code} X", "Content-Length: 0", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class Post:
    """What came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        return self.said["type"]


Script = Callable[[Post, asyncio.StreamWriter], Awaitable[bytes]]


async def accept(post: Post, writer: asyncio.StreamWriter) -> bytes:
    """A receiver that is well."""
    return OK


def always(answer: bytes) -> Script:
    """A receiver that always says the same."""

    async def same(post: Post, writer: asyncio.StreamWriter) -> bytes:
        return answer

    return same


async def hang(post: Post, writer: asyncio.StreamWriter) -> bytes:
    """A receiver that never answers."""
    await asyncio.Event().wait()
    return b""


@dataclass
class Receiver:
    """Keeps what comes in and answers as `script` says."""

    script: Script = accept
    posts: list[Post] = field(default_factory=list[Post])
    port: int = 0
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/hook?token=in-the-address"

    @property
    def ids(self) -> list[str]:
        return [post.id for post in self.posts]

    @property
    def types(self) -> list[str]:
        return [post.type for post in self.posts]

    async def until(self, count: int) -> None:
        """Wait until so many came."""
        async with asyncio.timeout(60), self.came:
            await self.came.wait_for(lambda: len(self.posts) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:-2])
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            post = Post(head[0].split(" ")[1], headers, body)
            async with self.came:
                self.posts.append(post)
                self.came.notify_all()
            writer.write(await self.script(post, writer))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender hung up
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def receiver(
    script: Script = accept, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Receiver]:
    """A receiver, as long as the block runs. Its connections end with it."""
    made = Receiver(script)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", port, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def verified(secret: str, post: Post, *, now: datetime, tolerance_s: float = 300) -> dict[str, Any]:
    """What a receiver does by the text of Standard Webhooks, without anything of ours."""
    timestamp = post.headers["webhook-timestamp"]
    assert abs(now.timestamp() - int(timestamp)) <= tolerance_s
    prefix, _, encoded = secret.partition("_")
    assert prefix == "whsec"
    content = b".".join([post.headers["webhook-id"].encode(), timestamp.encode(), post.body])
    expected = base64.b64encode(hmac.digest(base64.b64decode(encoded), content, hashlib.sha256)).decode()
    versions = [each.split(",", 1) for each in post.headers["webhook-signature"].split(" ")]
    assert ["v1", expected] in versions, "the signature is wrong"
    return json.loads(post.body)


class SetClock:
    """A clock that stands still until it is set; ahead of the database's, by which notices become due."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC) + timedelta(hours=1)

    def now(self) -> datetime:
        return self.time

    def on(self, **more: float) -> None:
        self.time += timedelta(**more)


@dataclass
class Desk:
    """A dispatcher over a real store, with a clock of its own."""

    store: SqliteStore
    clock: SetClock
    book: WebhookBook
    dispatcher: Dispatcher
    sender: Sender

    async def add(self, url: str, *kinds: str) -> tuple[str, str]:
        """A webhook's id and secret."""
        made = await self.book.add(url, kinds, made_by="api:ada")
        return made.webhook.id, made.secret

    async def round(self) -> None:
        """Make what is to be made and send what is due, once."""
        await self.dispatcher.make()
        for row in await self.store.webhooks():
            await self.dispatcher.send(row.id)

    async def row(self, webhook_id: str) -> Webhook:
        found = await self.store.webhook(webhook_id)
        assert found is not None
        return found


def desk_over(
    store: SqliteStore,
    *allowed: str,
    bus: Bus | None = None,
    keys: tuple[str, ...] = ("k" * 32,),
    **sending: Any,
) -> Desk:
    """A desk; `sending` goes to the sender."""
    clock = SetClock()
    sender = Sender(allowed, **sending)
    book = WebhookBook(store, sender, clock, lambda: keys)
    made = Dispatcher(store, book, bus or Bus(), clock, sender, "https://bot.example", spread=lambda: 1.0)
    return Desk(store, clock, book, made, sender)


@asynccontextmanager
async def desk(folder: Path, *allowed: str, **sending: Any) -> AsyncGenerator[Desk]:
    """A desk over a new store."""
    store = await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")
    made = desk_over(store, *allowed, **sending)
    try:
        yield made
    finally:
        await made.sender.close()
        await store.close()
