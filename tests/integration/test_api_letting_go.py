"""Clients that chatter, send too much, read nothing, go while they come, or whose key ends."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
from collections.abc import AsyncGenerator, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot.api import sockets, sse
from bot.api.access import Access
from bot.api.connections import MAX_MESSAGE
from bot.api.letting_go import SERVERS_SEND
from orchestrator.api_keys import KeyScope, new_key
from orchestrator.events import RunId
from tests.integration.api_harness import Api, api, turn
from tests.integration.test_api import gated
from tests.loopback import on_loopback

pytestmark = pytest.mark.timeout(120)
WITHIN_S = 60.0


def address(a: Api, path: str = "/v1/chat/stream") -> str:
    return str(a.client.base_url).replace("http", "ws").rstrip("/") + path


async def key_of(a: Api, scopes: Collection[KeyScope]) -> tuple[str, dict[str, str]]:
    """A key's id, and the header that it is shown in."""
    token, new = new_key("ci", scopes, made_by="web:ada", expires_at=None, per_minute=None)
    await a.house.store.add_api_key(new)
    return new.id, {"X-API-Key": token}


# ── who says more than anybody listens to ────────────────────────────────────────────────────


async def test_signs_of_life_on_a_chat_socket_are_no_messages(tmp_path: Path) -> None:
    async with api(tmp_path) as a, asyncio.timeout(WITHIN_S), connect(address(a)) as peer:
        gate = gated(a)
        await peer.send(json.dumps(turn()))
        await gate.entered.wait()
        for _ in range(sockets.UNHEARD * 3):
            await peer.send('{"type": "ping"}')
        await (await peer.ping())
        gate.let_go.set()
        messages = [json.loads(text) async for text in peer]
        assert peer.close_code == 1000
    assert messages[-1]["type"] == "complete"


async def test_what_nobody_listens_to_is_not_kept(tmp_path: Path) -> None:
    async with api(tmp_path) as a, asyncio.timeout(WITHIN_S), connect(address(a)) as peer:
        gate = gated(a)
        await peer.send(json.dumps(turn()))
        await gate.entered.wait()
        before = len(gc.get_objects())
        for _ in range(4):
            await peer.send("[" + "[]," * 300_000 + "[]]")
        await (await peer.ping())  # answered behind them
        assert len(gc.get_objects()) - before < 300_000
        gate.let_go.set()
        assert json.loads([text async for text in peer][-1])["type"] == "complete"


async def test_a_message_of_more_than_a_mebibyte_is_not_read(tmp_path: Path) -> None:
    async with api(tmp_path) as a, asyncio.timeout(WITHIN_S), connect(address(a)) as peer:
        with suppress(ConnectionClosed):
            await peer.send("x" * (MAX_MESSAGE + 1))
            await peer.recv()
        assert peer.close_code == 1009


async def test_a_message_of_too_many_values_is_refused(tmp_path: Path) -> None:
    async with api(tmp_path) as a, asyncio.timeout(WITHIN_S), connect(address(a)) as peer:
        await peer.send(json.dumps({**turn(), "more": [[]] * 20_000}))
        message = json.loads(await peer.recv())
        assert (message["status"], "20,000 values" in message["detail"]) == (422, True)


# ── who reads nothing ────────────────────────────────────────────────────────────────────────


async def test_who_reads_nothing_is_cut_off_in_silence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "UNREAD_S", 0.2)
    closed = asyncio.Event()
    size = 40_000_000  # more than two kernels keep

    async def frames() -> AsyncGenerator[bytes, None]:
        try:
            yield sse.frame("x" * size)  # the server takes it whole; then there is nothing to say
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[SERVERS_SEND] = send
        await sse.EventStream(frames(), heartbeat_s=0.05)(scope, receive, send)

    loop = asyncio.get_running_loop()
    async with on_loopback(app) as url, asyncio.timeout(WITHIN_S):
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, ("127.0.0.1", int(url.rpartition(":")[2])))
            await loop.sock_sendall(deaf, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await closed.wait()
            read = 0
            with suppress(ConnectionResetError):
                while piece := await loop.sock_recv(deaf, 1_000_000):
                    read += len(piece)
    assert read < size  # the rest was dropped, not kept for it


# ── who is refused, or goes while it comes ───────────────────────────────────────────────────


async def test_refused_sockets_are_no_errors_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with api(tmp_path, Access(api_key="k")) as a:
        _, read_alone = await key_of(a, ["run"])
        for headers, path, status in (
            ({}, "/v1/chat/stream", 401),
            ({}, "/v1/nowhere", 401),
            (read_alone, "/v1/chat/stream", 403),
            ({"X-API-Key": "k"}, "/v1/nowhere", 404),
        ):
            with pytest.raises(InvalidStatus) as caught:
                await connect(address(a, path), additional_headers=headers)
            assert caught.value.response.status_code == status, path
            if path == "/v1/chat/stream":
                assert json.loads(caught.value.response.body or b"")["status"] == status
        assert (await a.client.get("/health")).status_code == 200
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_who_goes_while_it_comes_is_no_error_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with api(tmp_path) as a:
        came, done = asyncio.Event(), asyncio.Event()

        async def until_gone(connection: HTTPConnection) -> None:
            came.set()
            while not connection.scope[SERVERS_SEND].__self__.disconnected:  # noqa: ASYNC110 - the server's
                await asyncio.sleep(0.005)
            asyncio.get_running_loop().call_later(0.05, done.set)

        a.core.cookie_person = until_gone
        _, writer = await asyncio.open_connection("127.0.0.1", a.client.base_url.port)
        writer.write(
            b"GET /v1/chat/stream HTTP/1.1\r\nHost: localhost\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        async with asyncio.timeout(WITHIN_S):
            await came.wait()
            writer.transport.abort()
            await done.wait()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


# ── whose key ends ───────────────────────────────────────────────────────────────────────────


async def test_what_was_opened_with_a_key_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "BEAT_S", 0.05)
    async with api(tmp_path, Access(api_key="k"), heartbeat_s=0.05) as a:
        gate = gated(a)
        key_id, headers = await key_of(a, ["read", "run"])
        lasting = {"X-API-Key": "k"}
        body: dict[str, Any] = turn(timeout_s=0)
        run_id = (await a.client.post("/v1/chat", json=body, headers=headers)).json()["run_id"]
        await gate.entered.wait()
        path = f"/v1/runs/{run_id}/events"
        async with (
            asyncio.timeout(WITHIN_S),
            connect(address(a), additional_headers=headers) as ended,
            connect(address(a), additional_headers=lasting) as other,
            a.client.stream("GET", path, headers=headers) as stream,
        ):
            for peer in (ended, other):
                await peer.send(json.dumps({"run_id": run_id}))
            assert stream.status_code == 200
            await a.house.store.revoke_api_key(key_id)
            assert "event: end" not in b"".join([piece async for piece in stream.aiter_bytes()]).decode()
            messages = [json.loads(text) async for text in _all(ended)]
            assert (ended.close_code, messages[-1]["status"]) == (4401, 401)
            gate.let_go.set()
            assert [json.loads(text) async for text in _all(other)][-1]["type"] == "complete"
        await a.house.ended(RunId(run_id))


async def _all(peer: Any) -> AsyncGenerator[str]:
    with suppress(ConnectionClosed):
        while True:
            yield await peer.recv()


async def test_a_connection_is_kept_for_the_next_call(tmp_path: Path) -> None:
    """Clients keep one for 5 s and longer: closed sooner, the call that comes just then is lost."""
    async with api(tmp_path) as a:
        reader, writer = await asyncio.open_connection("127.0.0.1", a.client.base_url.port)
        async with asyncio.timeout(WITHIN_S):
            for pause_s in (0.0, 6.0):
                await asyncio.sleep(pause_s)
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                [length] = [
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                await reader.readexactly(int(length.split(b":")[1]))
        writer.close()
