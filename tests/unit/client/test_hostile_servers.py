"""Servers that hang, cut off, answer strange things: the client says what is wrong, and never hangs."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from quartet_client import (
    BadAnswer,
    Forbidden,
    GraphRun,
    Invalid,
    QuartetError,
    ServerError,
    TimedOut,
    TooMany,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from tests.unit.client.either import Kind, both, either
from tests.unit.client.raw_server import Writer, answer, hangs, raw, says, stream

KEY = "k-very-secret-0123"
RUN = {"id": "r1", "status": "completed", "created_at": "2026-11-21T12:00:00Z"}
FAST: dict[str, Any] = {"timeout": 1.0, "retries": 0}


def event(seq: int, type: str = "step_started", **body: Any) -> bytes:
    told = {"run_id": "r1", "seq": seq, "at": "2026-11-21T12:00:00Z", "type": type, "body": body}
    return f"id: {seq}\nevent: {type}\ndata: {json.dumps(told)}\n\n".encode()


END = b'event: end\ndata: {"status": "completed"}\n\n'
LOG = event(1, text="naïve") + b": ping\n\n" + event(2) + event(3, "run_ended") + END

STRANGE: dict[str, tuple[bytes, type[QuartetError]]] = {
    "html page": (answer("200 OK", b"<html><h1>Welcome</h1></html>", "text/html"), BadAnswer),
    "html error of a proxy": (answer("502 Bad Gateway", b"<html>nginx</html>", "text/html"), Unavailable),
    "redirect": (answer("302 Found", location="https://elsewhere.example/v1/runs/r1"), BadAnswer),
    "broken JSON": (answer("200 OK", b'{"id": "r1", '), BadAnswer),
    "other JSON": (answer("200 OK", b"[1, 2, 3]"), BadAnswer),
    "JSON without what is due": (answer("200 OK", b'{"id": "r1"}'), BadAnswer),
    "deep JSON": (answer("200 OK", b"[" * 200_000), BadAnswer),
    "not UTF-8": (answer("200 OK", b'{"id": "\xff\xfe"}'), BadAnswer),
    "empty": (answer("200 OK"), BadAnswer),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", Unreachable),
    "nothing at all": (b"", Unreachable),
    "shorter than promised": (answer("200 OK", b'{"id": "r1"}').replace(b": 12\r", b": 900\r"), Unreachable),
    "no key": (answer("401 Unauthorized", b'{"detail": "A key."}', "application/problem+json"), Unauthorized),
    "wrong host": (answer("421 Misdirected Request", b'{"detail": "Not here."}'), Forbidden),
    "problem with odd members": (answer("422 X", b'{"detail": 7, "errors": [1]}'), Invalid),
    "status nobody knows": (answer("599 Odd", b"null"), ServerError),
}  # fmt: skip


@both
@pytest.mark.parametrize("name", STRANGE)
async def test_strange_answers_become_errors_that_say_what_came(kind: Kind, name: str) -> None:
    content, error = STRANGE[name]
    async with raw(says(content)) as server, either(kind, server.url, KEY, **FAST) as client:
        with pytest.raises(error) as caught:
            await client.call("run", "r1")
    assert type(caught.value) is error
    assert str(caught.value)
    assert KEY not in repr(caught.value)


@both
async def test_a_redirect_is_not_followed_so_the_key_goes_nowhere_else(kind: Kind) -> None:
    async with raw(says(answer("200 OK", json.dumps(RUN).encode()))) as other:
        page = says(answer("307 Temporary Redirect", location=other.url))
        socket = says(answer("307 Temporary Redirect", location=other.url.replace("http", "ws")))
        async with raw(page, page, socket) as server, either(kind, server.url, KEY, **FAST) as client:
            with pytest.raises(BadAnswer, match="elsewhere"):
                await client.call("run", "r1")
            with pytest.raises(BadAnswer, match="elsewhere"):
                await client.all("chat_stream", "a secret question")
            with pytest.raises(QuartetError):
                await client.all("chat_stream", "a secret question")
    assert not any(KEY.encode() in asked or b"secret question" in asked for asked in other.asked)


@both
async def test_ten_megabytes_are_read_and_far_too_much_is_not(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = json.dumps({**RUN, "text": "x" * 10_000_000}).encode()
    async with raw(says(answer("200 OK", big))) as server, either(kind, server.url, **FAST) as client:
        assert len((await client.call("run", "r1")).text) == 10_000_000
        monkeypatch.setattr(f"quartet_client.{kind}_wire.MAX_ANSWER", 1_000_000)
        with pytest.raises(BadAnswer, match="larger"):
            await client.call("run", "r1")


@both
async def test_a_server_that_says_nothing_is_left_after_the_time(kind: Kind) -> None:
    async with raw(hangs) as server, either(kind, server.url, timeout=0.2, retries=3) as client:
        with pytest.raises(TimedOut):
            await client.call("run", "r1")
        assert server.connections == 1  # who waited once does not wait four times


@both
async def test_a_server_that_trickles_is_left_after_the_time(kind: Kind) -> None:
    async def trickle(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw(trickle) as server, either(kind, server.url, timeout=0.3, retries=0) as client:
        with pytest.raises(TimedOut):
            await client.call("run", "r1")


@both
async def test_nobody_there(kind: Kind) -> None:
    async with raw(hangs) as server:
        url = server.url
    async with either(kind, url, KEY, retries=1) as client:
        for call in ("run", "stop"):
            with pytest.raises(Unreachable, match="is it running") as caught:
                await client.call(call, "r1")
            assert not caught.value.sent
        with pytest.raises(Unreachable, match="is it running"):
            await client.all("events", "r1")
        with pytest.raises(Unreachable, match="is it running"):
            await client.all("chat_stream", "Tea?")


# ── streams ──────────────────────────────────────────────────────────────────────────────────


@both
async def test_a_log_cut_at_any_byte_comes_whole_and_nothing_twice(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server sends what is behind Last-Event-ID, and cuts the first connection."""
    monkeypatch.setattr("quartet_client.patience.FIRST_PAUSE_S", 0.0)
    frames = {1: event(1, text="naïve"), 2: event(2), 3: event(3, "run_ended")}

    def last_id(asked: bytes) -> int:
        return int(asked.lower().split(b"last-event-id: ")[1].split(b"\r\n")[0])

    whole = stream(LOG)
    for cut in range(0, len(whole), 3 if kind == "async" else 17):

        async def behind(writer: Writer) -> None:
            seen = last_id(server.asked[-1])
            writer.write(stream(b"".join(f for seq, f in frames.items() if seq > seen) + END))

        async with raw(says(whole[:cut]), behind) as server, either(kind, server.url, timeout=5) as client:
            events = await client.all("events", "r1")
        assert [e.seq for e in events] == [1, 2, 3], cut
        assert events[0].body == {"text": "naïve"}


@both
async def test_a_server_that_sends_from_the_start_again_gives_no_doubles(kind: Kind) -> None:
    async with (
        raw(says(stream(event(1) + event(2))), says(stream(LOG))) as server,
        either(kind, server.url) as client,
    ):
        assert [e.seq for e in await client.all("events", "r1")] == [1, 2, 3]


@both
async def test_a_stream_that_never_works_again_ends_with_the_reason(kind: Kind) -> None:
    async with (
        raw(says(stream(event(1))), says(b"")) as server,
        either(kind, server.url, reconnect=0.3) as client,
    ):
        got: list[int] = []

        async def collect() -> None:
            async for one in client.items("events", "r1"):
                got.append(one.seq)

        with pytest.raises(Unreachable):
            await collect()
    assert got == [1]


@both
@pytest.mark.parametrize(
    "content",
    [
        answer("200 OK", b"{}"),
        stream(b"id: 1\ndata: {broken\n\n"),
        stream(b"id: 1\ndata: [1]\n\n"),
        stream(b'id: 1\ndata: {"seq": "x"}\n\n'),
        stream(b"data: " + b"x" * 17_000_000),
    ],
    ids=["no stream", "broken JSON", "no object", "another object", "endless line"],
)
async def test_strange_streams_become_errors(kind: Kind, content: bytes) -> None:
    async with raw(says(content)) as server, either(kind, server.url, **FAST) as client:
        with pytest.raises(BadAnswer):
            await client.all("events", "r1")


@both
async def test_a_stream_that_is_over_answers_204_and_ends(kind: Kind) -> None:
    async with raw(says(b"HTTP/1.1 204 No Content\r\n\r\n")) as server, either(kind, server.url) as client:
        assert await client.all("events", "r1", after=3) == []
    assert b"last-event-id: 3" in server.asked[0].lower()


@both
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (answer("200 OK", b"<html>", "text/html"), BadAnswer),
        (answer("403 Forbidden", b'{"detail": "This needs the scope run."}'), Forbidden),
        (answer("404 Not Found", b"<html>nginx</html>", "text/html"), QuartetError),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", BadAnswer),
        (b"\x00\x01\x02", QuartetError),
    ],
    ids=["a page", "forbidden", "no such place", "half a handshake", "bytes"],
)
async def test_strange_handshakes_become_errors(
    kind: Kind, content: bytes, error: type[QuartetError]
) -> None:
    async with raw(says(content)) as server, either(kind, server.url, KEY, **FAST) as client:
        with pytest.raises(error) as caught:
            await client.all("session_stream", "s1")
    assert KEY not in repr(caught.value)


# ── trying again ─────────────────────────────────────────────────────────────────────────────


@both
async def test_too_many_waits_as_long_as_the_server_says_and_tries_again(kind: Kind) -> None:
    busy = answer("429 Too Many Requests", b'{"detail": "Slowly."}', Retry_After="0")
    async with (
        raw(says(busy), says(answer("200 OK", json.dumps(RUN).encode()))) as server,
        either(kind, server.url) as client,
    ):
        assert (await client.call("run", "r1")).id == "r1"
    assert server.connections == 2


@both
@pytest.mark.parametrize("wait", ["3600", "Fri, 31 Dec 2999 23:59:59 GMT"])
async def test_nobody_waits_an_hour(kind: Kind, wait: str) -> None:
    busy = answer("429 Too Many Requests", b'{"detail": "Slowly."}', Retry_After=wait)
    async with raw(says(busy)) as server, either(kind, server.url) as client:
        with pytest.raises(TooMany, match="Slowly") as caught:
            await client.call("run", "r1")
    assert caught.value.retry_after
    assert caught.value.retry_after >= 3600
    assert server.connections == 1


@both
async def test_what_starts_something_is_sent_again_under_the_same_key(kind: Kind) -> None:
    taken = answer("200 OK", b'{"session_id": "s1"}')
    async with raw(says(b""), says(taken)) as server, either(kind, server.url) as client:
        assert await client.call("start_task", "Write") == "s1"
    first, second = (asked.lower().split(b"idempotency-key: ")[1].split(b"\r\n")[0] for asked in server.asked)
    assert first == second


@both
async def test_what_may_have_been_done_is_not_done_again(kind: Kind) -> None:
    async with raw(says(b"")) as server, either(kind, server.url) as client:
        with pytest.raises(Unreachable) as caught:
            await client.call("decide", "a1", "approve")
    assert caught.value.sent
    assert server.connections == 1


@both
async def test_retries_end(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quartet_client.patience.FIRST_PAUSE_S", 0.0)
    starting = answer("503 Service Unavailable", b'{"detail": "It is starting."}')
    async with raw(says(starting)) as server, either(kind, server.url, retries=3) as client:
        with pytest.raises(Unavailable, match="starting"):
            await client.call("run", "r1")
    assert server.connections == 4


@both
async def test_waiting_for_a_graph_goes_on_over_a_restart_and_ends_in_time(kind: Kind) -> None:
    def at(status: str) -> bytes:
        return answer("200 OK", json.dumps({"workflow_id": "g", "status": status}).encode())

    async with (
        raw(says(at("running")), says(b""), says(at("running")), says(at("partial"))) as server,
        either(kind, server.url, retries=0) as client,
    ):
        told: list[str] = []

        def note(seen: GraphRun) -> None:
            told.append(seen.status)

        done = await client.call("wait", "g", on_progress=note)
    assert (done.status, told) == ("partial", ["running", "partial"])
    async with raw(says(at("running"))) as server, either(kind, server.url) as client:
        with pytest.raises(TimedOut) as caught:
            await client.call("wait", "g", timeout=0.3)
    assert caught.value.last.status == "running"


@both
async def test_the_key_is_in_no_log(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with raw(says(answer("403 Forbidden", b"{}"))) as server, either(kind, server.url, KEY) as client:
        for stream_name in ("session_stream", "events"):
            with pytest.raises(Forbidden):
                await client.all(stream_name, "s1")
        with pytest.raises(Forbidden):
            await client.call("run", "r1")
        assert KEY not in repr(client.client)
    assert any(KEY.encode() in asked for asked in server.asked)
    assert KEY not in caplog.text
