"""Both Python clients against the real server with the rules engine: every family, and cut connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from quartet_client import (
    Conflict,
    Forbidden,
    GraphBuilder,
    GraphRun,
    Invalid,
    NotFound,
    Session,
    Unauthorized,
    create_agent,
    full_stack,
    parallel_code_review,
    supervised,
)
from quartet_client.graphs import Graph
from tests.integration.test_api_session_keys import ASKS, OWN, bot, script
from tests.integration.whole_server import Whole, whole
from tests.twins.openai_server import ModelServer
from tests.unit.client.either import Either, Kind, both, either

KEY = "k-0123456789-secret"
ASK = {"approvals": "ask"}
pytestmark = pytest.mark.timeout(150)


@asynccontextmanager
async def meeting(folder: Path, kind: Kind) -> AsyncGenerator[tuple[Whole, Either]]:
    """A server and a client with its key."""
    async with whole(folder, key=KEY) as server, either(kind, server.url, KEY) as client:
        yield server, client


@both
async def test_a_turn_its_run_and_its_log(tmp_path: Path, kind: Kind) -> None:
    async with meeting(tmp_path, kind) as (server, client):
        assert (await client.call("health")).status == "healthy"
        answer = await client.call("chat", "What is Quartet?", conversation_id="c1", idempotency_key="k1")
        again = await client.call("chat", "What is Quartet?", conversation_id="c1", idempotency_key="k1")
        run = await client.call("run", answer.run_id)
        events = await client.all("events", answer.run_id)
        rest = await client.all("events", answer.run_id, after=events[-3].seq)
        listed = await client.call("runs", status="completed", limit=5)
        with pytest.raises(Conflict):
            await client.call("stop", answer.run_id)
        with pytest.raises(NotFound):
            await client.call("run", "r-nothing")
        with pytest.raises(NotFound):
            await client.all("events", "../../health")
        with pytest.raises(Invalid, match="messages"):
            await client.call("chat", "")
        async with either(kind, server.url, "wrong") as stranger:
            assert (await stranger.call("health")).status == "healthy"
            with pytest.raises(Unauthorized):
                await stranger.call("runs")
    assert (answer.ended, answer.status, again.run_id) == (True, "completed", answer.run_id)
    assert answer.metadata.sources
    assert (run.ended, run.conversation_id, run.response.text) == (True, "c1", answer.text)
    assert [e.seq for e in events] == list(range(1, events[-1].seq + 1))
    assert events[-1].type == "run_ended"
    assert rest == events[-2:]
    assert [r.id for r in listed.items] == [answer.run_id]


@both
async def test_a_turn_agent_by_agent(tmp_path: Path, kind: Kind) -> None:
    async with meeting(tmp_path, kind) as (_, client):
        events = await client.all("chat_stream", [{"role": "user", "content": "What is Quartet?"}])
        run = await client.call("run", events[-1].answer.run_id)
        with pytest.raises(Invalid) as caught:
            await client.all("chat_stream", [])
    assert events[0].type == "accepted"
    assert {"start", "result"} < {e.type for e in events}
    assert [e.type for e in events].count("complete") == 1
    assert events[-1].answer == run.response
    assert "messages" in caught.value.errors


@both
async def test_people_are_asked_and_decide_once(tmp_path: Path, kind: Kind) -> None:
    async with meeting(tmp_path, kind) as (server, nameless):
        with pytest.raises(Forbidden, match="name"):
            await nameless.call("decide", "a-1", "approve")
        made = await server.client.post(
            "/v1/keys", json={"name": "ada", "scopes": ["read", "run", "approve"]}
        )
        async with either(kind, server.url, made.json()["token"]) as client:
            await _decided_once(client)


async def _decided_once(client: Either) -> None:
    answer = await client.call("chat", "What is Quartet?", context=ASK)
    (question,) = (await client.call("approvals")).items
    paused = await client.call("pause", answer.run_id)
    resumed = await client.call("resume", answer.run_id)
    decided = await client.call("decide", question.id, "approve", digest=question.digest)
    with pytest.raises(Conflict) as late:
        await client.call("decide", question.id, "reject")
    last = (await client.all("events", answer.run_id))[-1]
    other = await client.call("chat", "What is an approval?", context=ASK)
    stopped = await client.call("stop", other.run_id)
    assert not answer.ended
    assert [q.id for q in answer.metadata.approvals] == [question.id]
    assert (paused.id, resumed.id) == (answer.run_id, answer.run_id)
    assert decided.outcome == "approve"
    assert late.value.problem["outcome"] == "approve"
    assert last.type == "run_ended"
    assert stopped.status in ("stopped", "waiting")  # it may be at work on stopping


@both
async def test_a_run_goes_again_from_a_step(tmp_path: Path, kind: Kind) -> None:
    async with meeting(tmp_path, kind) as (_, client):
        answer = await client.call("chat", "What is Quartet?")
        forks = [await client.call("fork", answer.run_id, "builder", idempotency_key="f1") for _ in range(2)]
        events = await client.all("events", forks[0].id)
        again = await client.call("run", forks[0].id)
        with pytest.raises(Invalid, match="magic"):
            await client.call("fork", answer.run_id, "magic")
        with pytest.raises(NotFound):
            await client.call("fork", "r-nothing", "builder")
    assert forks[0].id == forks[1].id != answer.run_id
    assert events[-1].type == "run_ended"
    assert (again.status, again.response.text) == ("completed", answer.text)


@both
async def test_a_turn_that_takes_longer_than_a_round_is_waited_for_in_rounds(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quartet_client.chat_calls.ROUND_S", 0.05)
    monkeypatch.setattr("quartet_client.execute_calls.ROUND_S", 0.05)
    async with meeting(tmp_path, kind) as (_, client):
        answer = await client.call("chat", "What is Quartet?")
        executed = await client.call("execute", "What is Quartet?")
        short = await client.call("execute", "What is an approval?", timeout=0)
        runs = await client.call("runs")
    assert answer.status == "completed"
    assert executed.execution.status == "completed"
    assert not short.execution.ended
    assert len(runs.items) == 3


@both
async def test_goals_whole_and_as_they_come(tmp_path: Path, kind: Kind) -> None:
    goal = {"title": "Explain what Quartet is", "constraints": ["short"]}
    async with meeting(tmp_path, kind) as (_, client):
        done = await client.call("execute", goal, "parallel_optimize")
        events = await client.all("execute_stream", goal, idempotency_key="g1")
        again = await client.all("execute_stream", goal, idempotency_key="g1")
        with pytest.raises(Invalid, match="strategy"):
            await client.call("execute", goal, "fastest")
    assert done.execution.plan.strategy == "parallel_optimize"
    assert done.result
    assert {e.type for e in events} == {"progress", "update", "done"}
    assert events[-1].execution.status == "completed"
    assert again[-1].execution.id == events[-1].execution.id


GRAPHS: dict[str, Graph] = {
    "full_stack": full_stack("A guest book"),
    "parallel_code_review": parallel_code_review("def f(): return 1 / 0"),
    "supervised": supervised(
        "A guest book", [create_agent("backend", "one"), create_agent("frontend", "two", temperature=0.3)]
    ),
    "sequential": GraphBuilder("seq-1", {"project": "demo"})
    .task(create_agent("researcher", "facts"), "What is Quartet?")
    .task(create_agent("builder", "text"), {"task": "Write it down", "tone": "dry"})
    .sequential(),
    "parallel": GraphBuilder()
    .task(create_agent("researcher", "a"), "What is Quartet?")
    .task(create_agent("researcher", "b"), "What is a run?")
    .parallel(),
}


@both
async def test_graphs_of_every_pattern_run_and_are_told_about(tmp_path: Path, kind: Kind) -> None:
    async with meeting(tmp_path, kind) as (_, client):
        for name, graph in GRAPHS.items():
            told: list[GraphRun] = []
            done = await client.call("run_graph", graph, on_progress=told.append)
            assert done.status == "completed", (name, done)
            assert [t.agent_id for t in done.tasks] == [t.agent.agent_id for t in graph.tasks]
            assert all(t.result and "output" in t.result for t in done.tasks)
            assert told[-1] == done
            assert done.metadata == graph.metadata
        listed = await client.call("workflows", status="completed")
        assert len(listed) == len(GRAPHS)
        with pytest.raises(Conflict):
            await client.call("submit", GRAPHS["sequential"])
        once, twice = [
            await client.call("submit", GRAPHS["parallel"], idempotency_key="p1") for _ in range(2)
        ]
        assert once.workflow_id == twice.workflow_id
        await client.call("delete", "seq-1")
        with pytest.raises(NotFound):
            await client.call("status", "seq-1")
        with pytest.raises(Invalid, match="no agent"):
            await client.call("submit", GraphBuilder().task(create_agent("wizard", "w"), "Magic").parallel())


async def test_an_async_listener_is_awaited(tmp_path: Path) -> None:
    heard: list[str] = []

    async def listener(seen: GraphRun) -> None:
        await asyncio.sleep(0)
        heard.append(seen.status)

    async with meeting(tmp_path, "async") as (_, client):
        await client.call("run_graph", GRAPHS["parallel"], on_progress=listener)
    assert heard[-1] == "completed"


@both
async def test_a_session_is_watched_and_stopped(tmp_path: Path, kind: Kind) -> None:
    async with meeting(tmp_path, kind) as (_, client):
        session_id = await client.call("start_task", "Write about Quartet")
        lines = await client.all("session_stream", session_id)
        session = await client.call("session", session_id)
        logs = await client.call("session_logs", session_id)
        rest = await client.all("session_stream", session_id, after=lines[-2].id)
        assert [s.id for s in await client.call("sessions")] == [session_id]
        with pytest.raises(Conflict):
            await client.call("reply", session_id, "more")
        with pytest.raises(NotFound):
            await client.all("session_stream", "nothing")
        with pytest.raises(NotFound):
            await client.call("stop_task", "nothing")
    assert session.status == "COMPLETED"
    assert (lines[0].type, lines[-1].content) == ("status", "COMPLETED")
    ids = [line.id for line in lines[1:]]
    assert ids == sorted(set(ids))
    assert {line.content for line in lines} <= {line.content for line in logs} | {"BUILDING_TEAM"}
    assert rest[-1].content == "COMPLETED"


@both
async def test_a_session_that_asks_goes_on_after_the_reply_and_one_at_work_is_stopped(
    tmp_path: Path, kind: Kind
) -> None:
    with ModelServer(script(coordinator=ASKS)) as provider:
        async with whole(tmp_path, env=bot(provider)) as server, either(kind, server.url) as client:
            brings = {"api_key": OWN, "model": "gpt-6", "provider": "openai"}
            answered = await client.call("start_task", "Explain tea", **brings)
            waiting = await _waits(client, answered)
            for _ in range(2):  # the same key counts once: the second one does not reach the team
                await client.call("reply", answered, "Green, please", idempotency_key="r1")
            lines = await client.all("session_stream", answered)
            heard = [line.content for line in await client.call("session_logs", answered)]
            provider.twin.load(script(coordinator=ASKS[:1], qa=[], technical_writer=[]))
            stopped = await client.call("start_task", "Explain coffee", **brings)
            await _waits(client, stopped)
            await client.call("stop_task", stopped)
            last = (await client.all("session_stream", stopped))[-1]
            with pytest.raises(Conflict):
                await client.call("stop_task", stopped)
    assert not waiting.ended
    assert lines[-1].content == "COMPLETED"
    assert [line for line in heard if "Green, please" in line] == ["User: Green, please"]
    assert (last.type, last.content) == ("status", "COMPLETED")


async def _waits(client: Either, session_id: str) -> Session:
    """The session, when it asks."""
    async for line in client.items("session_stream", session_id):
        if line.content == "WAITING_FOR_INPUT":
            break
    return await client.call("session", session_id)


# ── cut connections ──────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def cutting(url: str, *after: int) -> AsyncGenerator[str]:
    """A way to a server that is cut after so many bytes of its answers, one number for each connection."""
    parts = urlsplit(url)
    limits = iter(after)
    carrying: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: float) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            while left > 0 and (content := await reader.read(65536)):
                writer.write(content[: int(min(left, 65536))])
                await writer.drain()
                left -= len(content)
        with suppress(ConnectionError):
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection(parts.hostname, parts.port)
        both_ways = [
            asyncio.create_task(carry(reader, here, float("inf"))),
            asyncio.create_task(carry(there, writer, next(limits, float("inf")))),
        ]
        carrying.update(both_ways)
        await asyncio.wait(both_ways, return_when=asyncio.FIRST_COMPLETED)
        for task in both_ways:
            task.cancel()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


CUTS = (0, 120, 700, 900, 1500, 2500, 3100, 4000, 5000, 300)


@both
async def test_streams_cut_ten_times_miss_nothing_and_repeat_nothing(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quartet_client.patience.FIRST_PAUSE_S", 0.001)
    async with meeting(tmp_path, kind) as (server, client):
        answer = await client.call("chat", "What is Quartet?")
        whole_log = await client.all("events", answer.run_id)
        whole_chat = await client.all("chat_stream", "What is Quartet?", idempotency_key="s1")
        whole_work = await client.all("execute_stream", "What is Quartet?", idempotency_key="e1")
        session_id = await client.call("start_task", "Write about Quartet")
        whole_lines = await client.all("session_stream", session_id)

        async def over_cuts(name: str, *args: object, **kwargs: object) -> list[object]:
            async with cutting(server.url, *CUTS) as url, either(kind, url, KEY, retries=20) as far:
                return await far.all(name, *args, **kwargs)

        assert await over_cuts("events", answer.run_id) == whole_log
        told = await over_cuts("chat_stream", "What is Quartet?", idempotency_key="s1")
        assert told == [e for e in whole_chat if "seq" in e.fields]
        assert await over_cuts("execute_stream", "What is Quartet?", idempotency_key="e1") == whole_work
        assert (await over_cuts("session_stream", session_id))[1:] == whole_lines[1:]
