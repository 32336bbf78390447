"""Streams over real sockets: cut at any byte, never read, left alone; and forks, and idempotency keys."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Person
from bot.api import feed, sse
from orchestrator.events import RunId, RunSettings, TurnRecord
from tests.house import ADA, BRIEF, DRAFT, GOOD, PLAN, REVIEW
from tests.integration.api_harness import ASK, Api, api, turn
from tests.integration.test_api import gated, until_status

WITHIN_S = 60.0


def port_of(a: Api) -> int:
    assert a.client.base_url.port is not None
    return a.client.base_url.port


async def raw(a: Api, run_id: str, after: int, *, cut: int | None = None) -> bytes:
    """What a stream sends after its headers, chunks put together; only so many bytes of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(a))
    writer.write(
        f"GET /v1/runs/{run_id}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Last-Event-ID: {after}\r\n\r\n".encode()
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            got = b""
            while b"0\r\n\r\n" not in got[-7:]:
                piece = await reader.read(65_536 if cut is None else max(1, cut - len(got)))
                got += piece
                if not piece or (cut is not None and len(got) >= cut):
                    break
    finally:
        writer.close()
    _, _, body = got.partition(b"\r\n\r\n")
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        if not re.fullmatch(rb"[0-9a-f]+", size):
            break
        found += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return found


def numbers(stream: bytes) -> list[int]:
    """The numbers of the events that came whole."""
    whole = stream[: stream.rfind(b"\n\n") + 2] if b"\n\n" in stream else b""
    return [int(seq) for seq in re.findall(rb"(?m)^id: (\d+)$", whole)]


async def completed(a: Api, **body: Any) -> dict[str, Any]:
    a.agents.say_all_good()
    return (await a.client.post("/v1/chat", json={**turn(), **body})).json()


async def test_a_stream_cut_at_any_byte_goes_on_without_gaps_or_doubles(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        run_id = (await completed(a))["run_id"]
        seq = (await a.house.service.state(RunId(run_id))).seq
        whole = await raw(a, run_id, 0)
        assert numbers(whole) == [*range(1, seq + 1)]
        for cut in range(1, len(whole) + 400, 397):
            before = numbers(await raw(a, run_id, 0, cut=cut))
            rest = numbers(await raw(a, run_id, before[-1] if before else 0))
            assert before + rest == [*range(1, seq + 1)], cut


async def test_a_stream_says_to_proxies_that_it_must_not_be_kept_back(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        run_id = (await completed(a))["run_id"]
        answer = await a.client.get(f"/v1/runs/{run_id}/events")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-length" not in answer.headers
    assert answer.content.isascii()


async def test_who_never_reads_holds_up_nobody_and_is_let_go(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sse, "UNREAD_S", 0.3)
    async with api(tmp_path, heartbeat_s=0.1) as a:
        gate = gated(a)
        body = {**turn("x" * 200_000, timeout_s=0), "conversation_id": "big"}
        run_id = (await a.client.post("/v1/chat", json=body)).json()["run_id"]
        await gate.entered.wait()
        head = f"GET /v1/runs/{run_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
        deaf: list[socket.socket] = []
        for _ in range(5):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.setblocking(False)
            await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port_of(a)))
            await asyncio.get_running_loop().sock_sendall(one, head.encode())
            deaf.append(one)
        reading = asyncio.create_task(a.events(run_id))
        gate.let_go.set()
        async with asyncio.timeout(WITHIN_S):
            events = [e for e in await reading if "id" in e]
        assert [int(e["id"]) for e in events] == [*range(1, len(events) + 1)]
        for one in deaf:
            one.close()
        async with asyncio.timeout(WITHIN_S):
            while a.core.feeds.followed:  # noqa: ASYNC110 - the feeds have no event for it
                await asyncio.sleep(0.01)


async def test_who_hangs_up_is_noticed_in_silence(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("researcher", BRIEF)
        a.agents.say("planner", PLAN)
        run_id = (await a.client.post("/v1/chat", json=turn(**ASK))).json()["run_id"]
        clients = [await asyncio.open_connection("127.0.0.1", port_of(a)) for _ in range(20)]
        for _, writer in clients:
            writer.write(f"GET /v1/runs/{run_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(WITHIN_S):
            for reader, _ in clients:
                await reader.readuntil(b"id: 1\n")
            assert a.core.feeds.followers == 20
            for _, writer in clients:
                writer.transport.abort()
            while a.core.feeds.followers:  # noqa: ASYNC110 - the feeds have no event for it
                await asyncio.sleep(0.005)
        assert a.core.feeds.followed == 0


async def test_many_streams_woken_by_parts_all_get_all_and_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SLICE", 2)  # so that news come while others are still being woken
    monkeypatch.setattr(feed, "REST_S", 0.0)
    monkeypatch.setattr(feed, "BLOCK", 8)
    async with api(tmp_path) as a:
        gate = gated(a)
        run_id = RunId((await a.client.post("/v1/chat", json=turn(timeout_s=0))).json()["run_id"])
        await gate.entered.wait()
        reading = [asyncio.create_task(raw(a, run_id, 0)) for _ in range(60)]
        async with asyncio.timeout(WITHIN_S):
            while a.core.feeds.followers < 60:  # noqa: ASYNC110 - the feeds have no event for it
                await asyncio.sleep(0.01)
            for number in range(20):
                await a.house.service.steer(run_id, key=f"s{number}", text="go on", who=ADA)
            gate.let_go.set()
            found = await asyncio.gather(*reading)
        seq = (await a.house.service.state(run_id)).seq
    for stream in found:
        assert numbers(stream) == [*range(1, seq + 1)]
        assert stream.endswith(b'event: end\ndata: {"status": "completed"}\n\n')


# ── forks ────────────────────────────────────────────────────────────────────────────────────


async def test_a_fork_shares_the_past_and_works_on_from_the_step(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        run_id = (await completed(a))["run_id"]
        a.agents.say("builder", {**DRAFT, "body": "Tea is hot [1]."})
        a.agents.say("reviewer", REVIEW)
        answer = await a.client.post(f"/v1/runs/{run_id}/fork", json={"from_step": "builder"})
        assert answer.status_code == 201
        forked = answer.json()["id"]
        assert answer.headers["location"] == f"/v1/runs/{forked}"
        view = await until_status(a, forked, "completed")
        first = (await a.client.get(f"/v1/runs/{run_id}")).json()
    assert len(a.agents.called("researcher")) == 1
    assert view["response"]["message"]["content"] == "Tea is hot [1]."
    assert first["response"]["message"]["content"] == "Tea is warm [1]."


async def test_the_same_key_forks_once_and_another_body_is_refused(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        run_id = (await completed(a))["run_id"]
        a.agents.say("builder", GOOD["builder"])
        a.agents.say("reviewer", GOOD["reviewer"])
        path, key = f"/v1/runs/{run_id}/fork", {"Idempotency-Key": "f1"}
        answers = await asyncio.gather(
            *(a.client.post(path, json={"from_step": "builder"}, headers=key) for _ in range(3))
        )
        other = await a.client.post(path, json={"from_step": "reviewer"}, headers=key)
        await until_status(a, answers[0].json()["id"], "completed")
    assert sorted(x.status_code for x in answers) == [200, 200, 201]
    assert len({x.json()["id"] for x in answers}) == 1
    assert (other.status_code, [*other.json()["errors"]]) == (422, ["Idempotency-Key"])


async def test_who_may_not_stop_a_run_may_not_fork_it(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        run_id = (await completed(a))["run_id"]

        async def bob(connection: Any) -> Person:
            return Person(platform="web", id="bob", name="Bob")

        a.core.cookie_person = bob
        stop = await a.client.post(f"/v1/runs/{run_id}/stop")
        fork = await a.client.post(f"/v1/runs/{run_id}/fork", json={"from_step": "builder"})
        runs = (await a.client.get("/v1/runs")).json()["items"]
    assert (fork.status_code, fork.json()) == (403, stop.json())
    assert [run["id"] for run in runs] == [run_id]


async def test_a_run_that_brought_keys_of_its_own_is_not_forked(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        asked = TurnRecord(key="k", text="Tea?", who=ADA, at=datetime.now(UTC))
        own = RunSettings(approvals="auto", own_keys="api:session:x")
        run_id = (
            await a.core.ready().start(conversation_id="api:session:x:", turn=asked, settings=own)
        ).run_id
        await until_status(a, run_id, "completed")
        fork = await a.client.post(f"/v1/runs/{run_id}/fork", json={"from_step": "builder"})
        runs = (await a.client.get("/v1/runs")).json()["items"]
    assert (fork.status_code, "its keys are gone" in fork.json()["detail"]) == (409, True)
    assert [run["id"] for run in runs] == [run_id]


async def test_a_fork_from_nowhere_is_refused_with_the_steps_there_are(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        run_id = (await completed(a))["run_id"]
        path = f"/v1/runs/{run_id}/fork"
        wrong: list[tuple[Any, str]] = [
            ({"from_step": "nobody"}, "from_step"),
            ({"from_step": ""}, "from_step"),
            ({"from_step": "a\0b"}, "from_step"),
            ({}, "from_step"),
            ({"from_step": "builder", "inputs": 7}, "inputs"),
            ({"from_step": "builder", "inputs": {"nobody_asked": 1}}, "inputs"),
        ]
        for body, field in wrong:
            answer = await a.client.post(path, json=body)
            assert (answer.status_code, [*answer.json()["errors"]]) == (422, [field]), body
        unknown = await a.client.post("/v1/runs/nope/fork", json={"from_step": "builder"})
        runs = (await a.client.get("/v1/runs")).json()["items"]
    assert unknown.status_code == 404
    assert len(runs) == 1


async def test_the_same_key_with_another_body_is_refused_even_with_the_same_text(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        key = {"Idempotency-Key": "k-1"}
        first = await a.client.post("/v1/chat", json=turn(tone="friendly"), headers=key)
        again = await a.client.post("/v1/chat", json=turn(tone="friendly", timeout_s=5), headers=key)
        others = [
            await a.client.post("/v1/chat", json=body, headers=key)
            for body in (turn(tone="stern"), {**turn(tone="friendly"), "conversation_id": "c"})
        ]
    assert again.json()["run_id"] == first.json()["run_id"]
    assert [x.status_code for x in others] == [422, 422]
    assert json.loads(others[0].text)["errors"]["Idempotency-Key"].startswith("was used with another body")
