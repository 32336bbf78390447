"""`/v1/chat/stream` with a real client: agents one by one, resumed anywhere; and peers that behave badly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from bot.api import sockets
from bot.api.access import Access
from orchestrator.errors import ModelRefused
from orchestrator.events import RunId
from orchestrator.ports import News
from tests.house import BRIEF, PLAN
from tests.integration.api_harness import ASK, Api, api, turn
from tests.integration.test_api import gated

WITHIN_S = 60.0
Message = dict[str, Any]


def address(a: Api, path: str = "/v1/chat/stream") -> str:
    return str(a.client.base_url).replace("http", "ws").rstrip("/") + path


@asynccontextmanager
async def opened(a: Api, first: Any = None, **options: Any) -> AsyncGenerator[ClientConnection]:
    async with asyncio.timeout(WITHIN_S), connect(address(a), **options) as peer:
        if first is not None:
            await peer.send(first if isinstance(first, (str, bytes)) else json.dumps(first))
        yield peer


async def told(peer: ClientConnection, until: Callable[[Message], bool] | None = None) -> list[Message]:
    """The messages up to one that is wanted, or up to the close."""
    found: list[Message] = []
    try:
        while True:
            found.append(json.loads(await peer.recv()))
            if until is not None and until(found[-1]):
                return found
    except ConnectionClosed:
        return found


def numbered(messages: list[Message]) -> list[tuple[int, str]]:
    return [(m["seq"], m["type"]) for m in messages if "seq" in m]


async def refused(a: Api, first: Any) -> tuple[Message, int]:
    """The one error that a first message gets, and the close code."""
    async with opened(a, first) as peer:
        [message] = await told(peer)
        assert peer.close_code is not None
        return message, peer.close_code


async def test_each_agents_start_and_result_are_told_and_the_answer_is_last(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        async with opened(a, {**turn(), "conversation_id": "c1"}) as peer:
            messages = await told(peer)
            assert (peer.close_code, peer.close_reason) == (1000, "")
        whole = (await a.client.get(f"/v1/runs/{messages[0]['run_id']}")).json()["response"]
    assert messages[0]["type"] == "accepted"
    assert messages[0]["conversation_id"] == "c1"
    agents = ["researcher", "planner", "builder", "reviewer"]
    assert [m["agent"] for m in messages if m["type"] == "start"] == agents
    results = [m for m in messages if m["type"] == "result"]
    assert [(m["agent"], m["status"]) for m in results] == [(agent, "done") for agent in agents]
    assert results[2]["output"]["body"] == "Tea is warm [1]."
    last = messages[-1]
    assert last["type"] == "complete"
    assert {k: last[k] for k in whole} == whole
    seqs = [seq for seq, _ in numbered(messages)]
    assert seqs == sorted(set(seqs))


async def test_a_socket_comes_back_anywhere_without_gaps_or_doubles(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        first = {**turn(), "idempotency_key": "once"}
        async with opened(a, first) as peer:
            whole = numbered(await told(peer))
        for place, (after, _) in enumerate(whole[:-1]):
            async with opened(a, {**first, "after": after}) as peer:
                assert numbered(await told(peer)) == whole[place + 1 :]
        assert len((await a.client.get("/v1/runs")).json()["items"]) == 1


async def test_a_socket_cut_while_agents_work_misses_nothing(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        first = {**turn(), "idempotency_key": "cut"}
        before: list[Message] = []
        for _ in range(10):
            after = before[-1]["seq"] if before else 0
            async with opened(a, {**first, "after": after}) as peer:
                if not before:
                    before += await told(peer, lambda m: m["type"] == "start")
                peer.transport.abort()  # as a cable that is pulled
        await gate.entered.wait()
        gate.let_go.set()
        run_id = before[0]["run_id"]
        async with opened(a, {"run_id": run_id, "after": before[-1]["seq"]}) as peer:
            rest = await told(peer)
        async with opened(a, {"run_id": run_id}) as peer:
            whole = await told(peer)
    assert numbered(before) + numbered(rest) == numbered(whole)
    assert rest[-1]["type"] == "complete"


async def test_progress_is_told_without_a_number(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        async with opened(a, turn()) as peer:
            before = await told(peer, lambda m: m["type"] == "start")
            run_id = RunId(before[0]["run_id"])
            a.house.bus.publish(News(run_id, 1, {"researcher": "reads about tea"}))
            a.house.bus.publish(News(run_id, 1, {"nobody": "does nothing"}))
            [progress] = await told(peer, lambda m: True)
            gate.let_go.set()
            rest = await told(peer)
    assert progress == {
        "type": "progress",
        "node": "researcher",
        "agent": "researcher",
        "text": "reads about tea",
    }
    assert rest[-1]["type"] == "complete"


async def test_an_approval_is_asked_on_the_socket_and_decided_over_http(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        async with opened(a, turn(**ASK)) as peer:
            asked = await told(peer, lambda m: m["type"] == "approval")
            question = asked[-1]["approval"]
            assert question["arguments"] == PLAN
            path = f"/v1/approvals/{question['id']}"
            decided = await a.client.post(path, json={"decision": "approve", "digest": question["digest"]})
            assert decided.status_code == 200
            rest = await told(peer)
    [decision] = [m for m in rest if m["type"] == "decision"]
    assert decision["approval"]["outcome"] == "approve"
    assert (rest[-1]["type"], rest[-1]["status"]) == ("complete", "completed")


async def test_a_failed_agent_is_a_result_and_the_run_is_told_to_the_end(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("researcher", ModelRefused("the key is wrong: set OPENAI_API_KEY"))
        async with opened(a, turn()) as peer:
            messages = await told(peer)
    [result] = [m for m in messages if m["type"] == "result"]
    assert (result["status"], result["problem"]["kind"]) == ("failed", "model_refused")
    assert (messages[-1]["type"], messages[-1]["status"]) == ("complete", "failed")


# ── peers that behave badly ──────────────────────────────────────────────────────────────────

GARBAGE: list[tuple[Any, int, str]] = [
    ("{", 4422, "body"),
    ("", 4422, "body"),
    ("7", 4422, "body"),
    ("[]", 4422, "body"),
    ("NaN", 4422, "body"),
    ("[" * 100_000, 4422, "body"),
    (b"\x00\xff", 4422, "body"),
    ({}, 4422, "messages"),
    ({"messages": []}, 4422, "messages"),
    ({"messages": [{"role": "user", "content": " "}]}, 4422, "messages"),
    ({"messages": [{"role": "user", "content": "\0"}]}, 4422, "body"),
    ({**turn(), "after": -1}, 4422, "after"),
    ({**turn(), "after": 10**30}, 4422, "body"),
    ({**turn(), "after": "x"}, 4422, "after"),
    ({**turn(), "idempotency_key": " "}, 4422, "Idempotency-Key"),
    ({**turn(workflow="nope")}, 4422, "context.workflow"),
    ({"run_id": "nope"}, 4404, ""),
    ({"run_id": 7}, 4422, "run_id"),
]


async def test_a_wrong_first_message_gets_one_error_and_a_reason(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        for first, code, field in GARBAGE:
            message, closed = await refused(a, first)
            assert closed == code, (first, message)
            assert message["type"] == "error"
            assert message["detail"]
            assert [*message.get("errors", {})] == ([field] if field else []), first
        assert (await a.client.get("/v1/runs")).json()["items"] == []


async def test_a_place_beyond_the_log_is_refused(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        run_id = (await a.client.post("/v1/chat", json=turn())).json()["run_id"]
        message, closed = await refused(a, {"run_id": run_id, "after": 10_000})
    assert (closed, [*message["errors"]]) == (4422, ["after"])


async def test_five_megabytes_are_not_read(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        async with opened(a) as peer:
            with contextlib.suppress(ConnectionClosed):
                await peer.send("x" * 5_000_000)
            assert await told(peer) == []
            assert peer.close_code == 1009
        assert (await a.client.get("/health")).status_code == 200


async def test_who_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "FIRST_S", 0.1)
    async with api(tmp_path) as a, opened(a) as peer:
        [message] = await told(peer)
    assert "Nothing came" in message["detail"]
    assert peer.close_code == 4408


async def flood(peer: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        for _ in range(10_000):
            await peer.send("{}")


async def test_who_floods_is_let_go(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        async with opened(a, turn()) as peer:
            await told(peer, lambda m: m["type"] == "start")
            flooding = asyncio.create_task(flood(peer))
            [message] = await told(peer)
            await flooding
        assert message["status"] == 429
        assert peer.close_code == 4429
        gate.let_go.set()
        [run] = (await a.client.get("/v1/runs")).json()["items"]
        assert (await a.house.ended(RunId(run["id"]))).status == "completed"


async def test_pages_of_strangers_cannot_open_a_socket(tmp_path: Path) -> None:
    async with api(tmp_path, Access(cors_origins=("http://localhost:3000",))) as a:
        for origin in ("https://evil.example", "null", "http://localhost:3001"):
            with pytest.raises(InvalidStatus) as caught:
                await connect(address(a), origin=Origin(origin))
            assert caught.value.response.status_code == 403, origin
        a.agents.say_all_good()
        async with opened(a, turn(), origin=Origin("http://localhost:3000")) as peer:
            assert (await told(peer))[-1]["type"] == "complete"


async def test_without_the_key_no_socket_opens(tmp_path: Path) -> None:
    async with api(tmp_path, Access(api_key="k")) as a:
        with pytest.raises(InvalidStatus) as caught:
            await connect(address(a))
        assert caught.value.response.status_code in (401, 403)
        a.agents.say_all_good()
        async with opened(a, turn(), additional_headers={"X-API-Key": "k"}) as peer:
            assert (await told(peer))[-1]["type"] == "complete"


async def test_a_half_open_peer_and_one_that_goes_leave_nothing_behind(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("researcher", BRIEF)
        a.agents.say("planner", PLAN)
        before = len(asyncio.all_tasks())
        port = a.client.base_url.port
        half = [socket.create_connection(("127.0.0.1", port or 0)) for _ in range(10)]
        for one in half:
            one.sendall(b"GET /v1/chat/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: webs")
        async with opened(a, {**turn(**ASK), "idempotency_key": "k"}) as first:
            await told(first, lambda m: m["type"] == "approval")
            others = [await connect(address(a)) for _ in range(10)]
            for peer in others:
                await peer.send(json.dumps({**turn(**ASK), "idempotency_key": "k"}))
                await told(peer, lambda m: m["type"] == "approval")
            assert a.core.feeds.followers == 11
            for peer in others:
                peer.transport.abort()
            async with asyncio.timeout(WITHIN_S):
                while a.core.feeds.followers > 1:  # noqa: ASYNC110 - the feeds have no event for it
                    await asyncio.sleep(0.005)
        for one in half:
            one.close()
        async with asyncio.timeout(WITHIN_S):
            while len(asyncio.all_tasks()) > before or a.core.feeds.followed:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)


async def test_sockets_close_with_restart_when_the_server_stops(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        async with opened(a, turn()) as peer, opened(a) as silent:
            messages = await told(peer, lambda m: m["type"] == "start")
            a.core.closing.set()
            messages += await told(peer)
            await told(silent)
        gate.let_go.set()
        await a.house.ended(RunId(messages[0]["run_id"]))
    assert (peer.close_code, silent.close_code) == (1012, 1012)
    assert messages[-1]["type"] != "complete"


async def test_a_socket_that_does_not_read_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "UNREAD_S", 0.2)
    monkeypatch.setattr(sockets, "CLOSE_S", 0.2)
    async with api(tmp_path) as a:
        big = {**BRIEF, "summary": "x" * 3_000_000}
        gate = gated(a)
        gate.output = big
        first = {**turn(), "idempotency_key": "k"}
        async with opened(a, first, max_size=None) as reading, connect(address(a), max_queue=1) as deaf:
            await deaf.send(json.dumps(first))
            await told(reading, lambda m: m["type"] == "start")
            deaf.transport.pause_reading()
            gate.let_go.set()
            rest = await told(reading)
            deaf.transport.abort()
    assert rest[-1]["type"] == "complete"


async def test_many_sockets_of_one_turn_are_one_run(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        first = {**turn(), "idempotency_key": "same"}

        async def one() -> list[tuple[int, str]]:
            async with opened(a, first) as peer:
                return numbered(await told(peer))

        found = await asyncio.gather(*(one() for _ in range(25)))
        assert len((await a.client.get("/v1/runs")).json()["items"]) == 1
    assert all(messages == found[0] for messages in found)
