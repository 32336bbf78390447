"""Sessions over a real server: a team at work, people who watch, answer and stop, cuts and restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from adapters.contract import Person
from bot.api.access import Access
from orchestrator.errors import ModelRefused
from orchestrator.events import Json
from orchestrator.workflow import Workflow
from tests.house import Gate
from tests.integration.api_harness import WORKFLOWS, Api, api
from tests.integration.whole_server import Whole

pytestmark = [pytest.mark.timeout(120)]
WITHIN_S = 60.0


def member(name: str, agent: str) -> Json:
    return {"name": name, "agent": agent, "role": f"is {name}", "instructions": "Work.", "tools": []}


TEAM: Json = {
    "goal": "Explain tea",
    "members": [member("Ann", "qa"), member("Ben", "builder")],
    "speaking": "as_needed",
    "rounds": 6,
    "done_when": "it is explained",
}


def gives(name: str = "", task: str = "", *, done: bool = False) -> Json:
    return {"member": name, "task": task, "done": done, "reason": "all is there" if done else ""}


def report(body: str) -> Json:
    return {"body": body, "outcome": "done", "issues": [], "items": [], "files": []}


def plays(a: Api, *, asks: bool = False, gate: Gate | None = None) -> None:
    """A team of two that explains tea; the coordinator asks first, if it is to."""
    a.agents.say("team_builder", TEAM)
    if asks:
        a.agents.say("coordinator", gives("user", "Green or black?"))
    a.agents.say("coordinator", gives("Ann", "Find leaves."), gives(done=True))
    a.agents.say("qa", gate or report("Leaves found."))
    a.agents.say("summary", report("Tea is leaves."))
    a.agents.say("builder")  # Ben's agent is there, and not asked


@pytest_asyncio.fixture
async def a(tmp_path: Path) -> AsyncGenerator[Api]:
    async with api(tmp_path) as running:
        yield running


async def begins(a: Api, task: str = "Explain tea", **more: Any) -> str:
    started = await a.client.post("/api/start-task", json={"task": task, **more})
    assert started.status_code == 200, started.text
    return started.json()["session_id"]


async def logs(a: Api, name: str) -> list[Json]:
    got = await a.client.get(f"/api/sessions/{name}/logs")
    assert got.status_code == 200
    return got.json()


async def until(a: Api | Whole, name: str, *statuses: str) -> Json:
    """The session as soon as it has one of the statuses."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = (await a.client.get(f"/api/sessions/{name}")).json()
            if found["status"] in statuses:
                return found
            await asyncio.sleep(0.01)


def address(a: Api, name: str, after: int | None = None) -> str:
    place = urlsplit(str(a.client.base_url)).netloc
    return f"ws://{place}/ws/{name}" + (f"?after={after}" if after is not None else "")


@asynccontextmanager
async def socket(a: Api, name: str, after: int | None = None) -> AsyncGenerator[ClientConnection]:
    async with connect(address(a, name, after), compression=None) as opened:
        yield opened


async def rest(opened: ClientConnection) -> list[Json]:
    """Every message until the server closes."""
    found: list[Json] = []
    async with asyncio.timeout(WITHIN_S):
        with contextlib.suppress(ConnectionClosedError):
            async for message in opened:
                found.append(json.loads(message))
    return found


async def heard(opened: ClientConnection, count: int) -> list[Json]:
    async with asyncio.timeout(WITHIN_S):
        return [json.loads(await opened.recv()) for _ in range(count)]


def shown(log: list[Json]) -> list[tuple[int, str, str]]:
    """A log as a socket sends it."""
    return [(e["id"], e["type"], e["content"]) for e in log if not e["content"].startswith("User: ")]


def sent(messages: list[Json]) -> list[tuple[int, str, str]]:
    return [(m["id"], m["type"], m["content"]) for m in messages]


async def test_a_chat_without_people_lets_its_team_ask_nobody(a: Api) -> None:
    a.agents.say("team_builder", TEAM)
    a.agents.say("coordinator", gives("user", "Green or black?"), gives(done=True))
    a.agents.say("summary", report("Tea is leaves."))
    a.agents.say("builder")
    a.agents.say("qa")
    body = {
        "messages": [{"role": "user", "content": "Explain tea"}],
        "context": {"workflow": "team", "timeout_s": 30},
    }
    answer = await a.client.post("/v1/chat", json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    steps = (await a.client.get(f"/v1/runs/{answer.json()['run_id']}")).json()["steps"]
    assert "ask" in [step["node"] for step in steps], steps


# ── the whole way ────────────────────────────────────────────────────────────────────────────


async def test_a_team_works_asks_is_answered_and_ends(a: Api) -> None:
    plays(a, asks=True)
    name = await begins(a, system_message="Write like a pirate.")
    waiting = await until(a, name, "WAITING_FOR_INPUT")
    assert waiting["task"] == "Explain tea"
    assert (await a.client.get("/api/sessions")).json() == [waiting]
    replied = await a.client.post("/api/reply", json={"session_id": name, "message": "Green."})
    assert (replied.status_code, replied.json()) == (200, {"status": "sent"})
    ended = await until(a, name, "COMPLETED")
    assert abs(ended["created_at"] - waiting["created_at"]) == 0
    assert [e["content"] for e in await logs(a, name)] == [
        "team_builder (to user): Explain tea: Ann (is Ann), Ben (is Ben)",
        "EXECUTING_TASK",
        "coordinator (to user): Green or black?",
        "WAITING_FOR_INPUT",
        "User: Green.",
        "EXECUTING_TASK",
        "coordinator (to Ann): Find leaves.",
        "Ann (to coordinator): Leaves found.",
        "coordinator (to user): all is there",
        "summary (to user): Tea is leaves.",
        "COMPLETED",
    ]
    asked = a.agents.called("coordinator")[1]
    assert [(s.member, s.output) for s in asked.talk] == [
        ("user", {"question": "Green or black?", "answer": "Green."})
    ]
    assert asked.can_ask
    assert asked.turn.instruction == "Write like a pirate."
    assert asked.turn.context == {}
    runs = (await a.client.get("/v1/runs")).json()["items"]
    assert [(run["workflow"], run["status"]) for run in runs] == [("team", "completed")]
    late = await a.client.post("/api/reply", json={"session_id": name, "message": "Black."})
    assert late.status_code == 409
    assert (await a.client.post(f"/api/stop-task/{name}")).status_code == 409


async def test_a_reply_while_the_team_works_reaches_it(a: Api) -> None:
    gate = Gate(report("Leaves found."))
    plays(a, gate=gate)
    name = await begins(a)
    await gate.entered.wait()
    assert (await a.client.get(f"/api/sessions/{name}")).json()["status"] == "EXECUTING_TASK"
    await a.client.post("/api/reply", json={"session_id": name, "message": "Be brief."})
    gate.let_go.set()
    await until(a, name, "COMPLETED")
    assert a.agents.called("coordinator")[-1].steering == ("Be brief.",)
    assert "User: Be brief." in [e["content"] for e in await logs(a, name)]


async def test_the_same_task_with_the_same_key_is_one_session(a: Api) -> None:
    plays(a)
    headers = {"Idempotency-Key": "tea"}
    first = await a.client.post("/api/start-task", json={"task": "Explain tea"}, headers=headers)
    again = await a.client.post("/api/start-task", json={"task": "Explain tea"}, headers=headers)
    other = await a.client.post("/api/start-task", json={"task": "Coffee"}, headers=headers)
    assert first.json() == again.json()
    assert other.status_code == 422
    assert other.json()["errors"].keys() == {"Idempotency-Key"}
    await until(a, first.json()["session_id"], "COMPLETED")


# ── replies that race ────────────────────────────────────────────────────────────────────────


async def test_of_two_replies_to_one_question_one_answers_and_the_other_is_said_to_the_team(a: Api) -> None:
    gate = Gate(report("Leaves found."))
    plays(a, asks=True, gate=gate)
    name = await begins(a)
    await until(a, name, "WAITING_FOR_INPUT")
    replies = await asyncio.gather(
        *(a.client.post("/api/reply", json={"session_id": name, "message": f"Answer {n}"}) for n in (1, 2))
    )
    assert [r.status_code for r in replies] == [200, 200]
    await gate.entered.wait()
    gate.let_go.set()
    await until(a, name, "COMPLETED")
    said = [e["content"] for e in await logs(a, name) if e["content"].startswith("User: ")]
    assert sorted(said) == ["User: Answer 1", "User: Answer 2"]
    [(_, first)] = [(s.member, s.output) for s in a.agents.called("coordinator")[1].talk]
    assert f"User: {first['answer']}" == said[0]
    assert [f"User: {text}" for text in a.agents.called("coordinator")[-1].steering] == said[1:]


async def test_the_same_reply_sent_again_is_one_reply(a: Api) -> None:
    gate = Gate(report("Leaves found."))
    plays(a, asks=True, gate=gate)
    name = await begins(a)
    await until(a, name, "WAITING_FOR_INPUT")
    body = {"session_id": name, "message": "Green."}
    for _ in range(3):
        reply = await a.client.post("/api/reply", json=body, headers={"Idempotency-Key": "r1"})
        assert reply.status_code == 200
    await gate.entered.wait()
    gate.let_go.set()
    await until(a, name, "COMPLETED")
    assert [e["content"] for e in await logs(a, name) if "User:" in e["content"]] == ["User: Green."]


# ── whose it is ──────────────────────────────────────────────────────────────────────────────


def signed_in(person_id: str) -> Callable[[Any], Awaitable[Person]]:
    async def person(connection: Any) -> Person:
        return Person(platform="web", id=person_id, name=person_id)

    return person


async def test_only_who_started_a_session_may_reply_and_stop(a: Api) -> None:
    gate = Gate(report("Leaves found."))
    plays(a, gate=gate)
    a.core.cookie_person = signed_in("ada")
    name = await begins(a)
    await gate.entered.wait()
    a.core.cookie_person = signed_in("bob")
    reply = await a.client.post("/api/reply", json={"session_id": name, "message": "Mine now."})
    stop = await a.client.post(f"/api/stop-task/{name}")
    assert (reply.status_code, stop.status_code) == (403, 403)
    assert (await a.client.get(f"/api/sessions/{name}")).status_code == 200
    a.core.cookie_person = signed_in("ada")
    gate.let_go.set()
    await until(a, name, "COMPLETED")
    assert not any("User:" in e["content"] for e in await logs(a, name))


async def test_a_key_that_only_reads_starts_answers_and_stops_nothing(tmp_path: Path) -> None:
    async with api(tmp_path, Access(api_key="holder")) as a:
        holder = {"X-API-Key": "holder"}
        made = await a.client.post("/v1/keys", json={"name": "eye", "scopes": ["read"]}, headers=holder)
        assert made.status_code in (200, 201), made.text
        eye = {"X-API-Key": made.json()["token"]}
        body = {"session_id": "x", "message": "hi"}
        calls = [
            await a.client.post("/api/start-task", json={"task": "x"}, headers=eye),
            await a.client.post("/api/reply", json=body, headers=eye),
            await a.client.post("/api/stop-task/x", headers=eye),
        ]
        assert [call.status_code for call in calls] == [403, 403, 403]
        assert (await a.client.get("/api/sessions", headers=eye)).json() == []
        assert (await a.client.get("/api/sessions")).status_code == 401
        with pytest.raises(InvalidStatus) as refused:
            async with socket(a, "x"):
                pass
        assert refused.value.response.status_code in (401, 403)


SIGNED: Json = {
    "name": "team",
    "version": "1",
    "inputs": {"type": "object", "additionalProperties": True},
    "nodes": {
        "sum_up": {"kind": "agent", "agent": "summary", "task": "Sum up."},
        "sign": {"kind": "approval", "of": "sum_up", "approvers": ["api:ada", "api:runner", "api:key"]},
    },
    "edges": [{"from": "sum_up", "to": "sign"}],
    "answer": {"draft": "sum_up"},
}


async def test_a_reply_that_decides_takes_a_named_key_that_may_approve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORKFLOWS, "team", Workflow.model_validate(SIGNED))
    async with api(tmp_path, Access(api_key="holder")) as a:
        holder = {"X-API-Key": "holder"}
        keys = {"holder": holder}
        for name, scopes in (("ada", ["admin"]), ("runner", ["run", "read"])):
            made = await a.client.post("/v1/keys", json={"name": name, "scopes": scopes}, headers=holder)
            keys[name] = {"X-API-Key": made.json()["token"]}
        a.agents.say("summary", report("Tea is leaves."))
        begun = await a.client.post("/api/start-task", json={"task": "x"}, headers=keys["runner"])
        assert begun.status_code == 200, begun.text
        session = begun.json()["session_id"]
        async with asyncio.timeout(WITHIN_S):
            while True:
                waiting = (await a.client.get("/v1/approvals", headers=keys["ada"])).json()["items"]
                if waiting:
                    break
                await asyncio.sleep(0.01)
        [asked] = waiting
        reply = {"session_id": session, "message": "approve"}
        for name, words in (("holder", "a key with a name"), ("runner", "the scope 'approve'")):
            there = await a.client.post(
                f"/v1/approvals/{asked['id']}", json={"decision": "approve"}, headers=keys[name]
            )
            here = await a.client.post("/api/reply", json=reply, headers=keys[name])
            assert (here.status_code, here.json()["detail"]) == (403, there.json()["detail"])
            assert words in here.json()["detail"]
        assert (await a.client.get("/v1/approvals", headers=keys["ada"])).json()["items"] == [asked]
        decided = await a.client.post("/api/reply", json=reply, headers=keys["ada"])
        assert (decided.status_code, decided.json()) == (200, {"status": "sent"})
        a.client.headers.update(keys["ada"])
        await until(a, session, "COMPLETED")
        [run] = (await a.client.get("/v1/runs")).json()["items"]
        assert run["status"] == "completed"


# ── stopping ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("when", ["BUILDING_TEAM", "EXECUTING_TASK", "WAITING_FOR_INPUT"])
async def test_a_stop_ends_it_within_two_seconds_whatever_it_does(a: Api, when: str) -> None:
    gate = Gate(TEAM if when == "BUILDING_TEAM" else report("Late."))
    if when == "BUILDING_TEAM":
        a.agents.say("team_builder", gate)
    else:
        a.agents.say("team_builder", TEAM)
        a.agents.say("qa")
        a.agents.say("builder")
        asks = when == "WAITING_FOR_INPUT"
        a.agents.say("coordinator", gives("user", "Well?") if asks else gives("Ann", "Go."))
        if when == "EXECUTING_TASK":
            a.agents.say("qa", gate)
    name = await begins(a)
    await until(a, name, when)
    if when != "WAITING_FOR_INPUT":
        await gate.entered.wait()
    async with asyncio.timeout(2):
        stopped = await a.client.post(f"/api/stop-task/{name}")
        assert stopped.json() == {"status": "stop_signal_sent"}
        await until(a, name, "COMPLETED")
    assert [e["content"] for e in await logs(a, name)][-2:] == ["Stopped: stopped by local API", "COMPLETED"]


async def test_a_failure_is_told_as_an_error(a: Api) -> None:
    a.agents.say("team_builder", ModelRefused("no credit is left"))
    name = await begins(a)
    async with socket(a, name) as opened:
        messages = await rest(opened)
    assert [m["content"] for m in messages][-2:] == ["no credit is left", "ERROR"]
    assert messages[-2]["type"] == "error"
    assert (await a.client.get(f"/api/sessions/{name}")).json()["status"] == "ERROR"


# ── sockets ──────────────────────────────────────────────────────────────────────────────────


async def test_a_socket_says_the_status_then_the_log_then_what_happens(a: Api) -> None:
    gate = Gate(report("Leaves found."))
    plays(a, gate=gate)
    name = await begins(a)
    await gate.entered.wait()
    async with socket(a, name) as opened:
        [status, *before] = await heard(opened, 4)
        assert status == {"type": "status", "content": "EXECUTING_TASK", "id": 0}
        gate.let_go.set()
        after = await rest(opened)
        assert opened.close_code == 1000
    assert sent(before + after) == shown(await logs(a, name))


async def test_two_sockets_at_once_both_get_everything(a: Api) -> None:
    gate = Gate(report("Leaves found."))
    plays(a, asks=True, gate=gate)
    name = await begins(a)
    await until(a, name, "WAITING_FOR_INPUT")
    async with socket(a, name) as one:
        first = await heard(one, 5)
        async with socket(a, name) as two:
            await a.client.post("/api/reply", json={"session_id": name, "message": "Green."})
            await gate.entered.wait()
            gate.let_go.set()
            both = await asyncio.gather(rest(one), rest(two))
    log = shown(await logs(a, name))
    assert sent(first[1:] + both[0]) == log
    assert sent(both[1][1:]) == log
    assert "User: Green." not in [m["content"] for m in both[0]]


async def test_cut_after_every_message_and_resumed_nothing_is_missing_and_nothing_twice(a: Api) -> None:
    plays(a, asks=True)
    name = await begins(a)
    got: list[Json] = []
    while not got or got[-1]["content"] != "COMPLETED":
        last = got[-1]["id"] if got else 0
        async with socket(a, name, last) as opened:
            status, message = await heard(opened, 2)
            opened.transport.abort()  # no goodbye, and whatever else was sent is lost
        assert (status["type"], status["id"]) == ("status", last)
        got.append(message)
        if message["content"] == "WAITING_FOR_INPUT":
            await a.client.post("/api/reply", json={"session_id": name, "message": "Green."})
    assert sent(got) == shown(await logs(a, name))


async def test_without_a_number_a_socket_goes_on_where_the_last_one_closed(a: Api) -> None:
    gate = Gate(report("Leaves found."))
    plays(a, gate=gate)
    name = await begins(a)
    await gate.entered.wait()
    async with socket(a, name) as opened:
        first = await heard(opened, 4)
    gate.let_go.set()
    await until(a, name, "COMPLETED")
    async with socket(a, name) as opened:
        then = await rest(opened)
    log = shown(await logs(a, name))
    assert then[0] == {"type": "status", "content": "COMPLETED", "id": first[-1]["id"]}
    assert sent(first[1:] + then[1:]) == log
    async with socket(a, name) as opened:
        assert sent(await rest(opened)) == [(log[-1][0], "status", "COMPLETED")]
    async with socket(a, name, 0) as opened:
        assert sent((await rest(opened))[1:]) == log


async def test_a_client_that_chatters_is_not_let_go(a: Api) -> None:
    gate = Gate(report("Leaves found."))
    plays(a, gate=gate)
    name = await begins(a)
    await gate.entered.wait()
    async with socket(a, name) as opened:
        await heard(opened, 4)
        for _ in range(100):
            await opened.send("ping")
            await asyncio.sleep(0)
        gate.let_go.set()
        assert (await rest(opened))[-1]["content"] == "COMPLETED"


@pytest.mark.parametrize(
    ("name", "after", "code"),
    [("nobody", None, 4404), ("", "99", 4422), ("", "-1", 4422), ("", "x", 4422), ("", "1e3", 4422)],
)
async def test_a_socket_that_cannot_be_is_told_why_and_closed(
    a: Api, name: str, after: str | None, code: int
) -> None:
    plays(a)
    known = await begins(a)
    await until(a, known, "COMPLETED")
    where = address(a, name or known) + (f"?after={after}" if after else "")
    async with connect(where) as opened:
        [message] = await rest(opened)
        assert message["type"] == "error"
        assert message["content"]
        assert opened.close_code == code


# ── restart ──────────────────────────────────────────────────────────────────────────────────


async def test_a_question_waits_through_a_restart_and_sockets_go_on(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("team_builder", TEAM)
        a.agents.say("coordinator", gives("user", "Green or black?"))
        name = await begins(a)
        async with socket(a, name) as opened:
            first = await heard(opened, 5)
            assert first[-1]["content"] == "WAITING_FOR_INPUT"
            a.core.closing.set()
            assert await rest(opened) == []
            assert opened.close_code == 1012
    async with api(tmp_path) as a:
        assert (await a.client.get(f"/api/sessions/{name}")).json()["status"] == "WAITING_FOR_INPUT"
        a.agents.say("coordinator", gives("Ann", "Find leaves."), gives(done=True))
        a.agents.say("qa", report("Leaves found."))
        a.agents.say("summary", report("Tea is leaves."))
        async with socket(a, name) as opened:
            assert (await heard(opened, 1))[0]["id"] == first[-1]["id"]
            await a.client.post("/api/reply", json={"session_id": name, "message": "Green."})
            then = await rest(opened)
        assert sent(first[1:] + then) == shown(await logs(a, name))


# ── hostile ──────────────────────────────────────────────────────────────────────────────────

HOSTILE: list[tuple[Any, str]] = [
    ({}, "task"),
    ({"task": ""}, "task"),
    ({"task": "  \n"}, "task"),
    ({"task": "a\0b"}, "task"),
    ({"task": "\ud800"}, "task"),
    ({"task": 7}, "task"),
    ({"task": "x" * 200_001}, "task"),
    ({"task": "x", "provider": "nobody"}, "provider"),
    ({"task": "x", "provider": "OPENAI "}, "provider"),
    ({"task": "x", "model": "x" * 201}, "model"),
    ({"task": "x", "model": ["gpt"]}, "model"),
    ({"task": "x", "api_key": "sk-" + "x" * 500}, "api_key"),
    ({"task": "x", "api_key": "sk-secret\r\nX-Evil: 1"}, "api_key"),
    ({"task": "x", "api_key": "sk-secret\u20ac"}, "api_key"),
    ({"task": "x", "tavily_key": "tvly secret"}, "tavily_key"),
    ({"task": "x", "system_message": "x" * 20_001}, "system_message"),
]


@pytest.mark.parametrize(("body", "field"), HOSTILE, ids=lambda v: str(v)[:30])
async def test_a_wrong_task_is_refused_with_its_field_and_never_shows_a_key(
    a: Api, body: Any, field: str
) -> None:
    got = await a.client.post(
        "/api/start-task", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert got.status_code == 422
    assert field in got.json()["errors"]
    assert "secret" not in got.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"session_id": "nobody", "message": "hi"}, 404),
        ({"session_id": "", "message": "hi"}, 422),
        ({"session_id": "x\0", "message": "hi"}, 422),
        ({"session_id": "nobody", "message": " "}, 422),
        ({"session_id": "nobody", "message": "x" * 1_000_000}, 422),
        ({"session_id": "nobody"}, 422),
        ([], 422),
    ],
    ids=lambda v: str(v)[:30],
)
async def test_a_wrong_reply_is_refused(a: Api, body: Any, status: int) -> None:
    assert (await a.client.post("/api/reply", json=body)).status_code == status


@pytest.mark.parametrize("path", ["", "/logs"])
async def test_unknown_sessions_are_not_found(a: Api, path: str) -> None:
    for name in ("nobody", "%00", "..%2f..", "x" * 3000):
        assert (await a.client.get(f"/api/sessions/{name}{path}")).status_code == 404
    assert (await a.client.post("/api/stop-task/nobody")).status_code == 404
    assert (await a.client.get("/api/sessions?limit=0")).status_code == 422


async def test_keys_are_refused_where_nobody_keeps_them(a: Api) -> None:
    got = await a.client.post("/api/start-task", json={"task": "x", "api_key": "sk-secret"})
    assert got.status_code == 422
    assert "secret" not in got.text
