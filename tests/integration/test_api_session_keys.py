"""Keys that a session brings: they alone reach the provider, show nowhere, and are gone at its end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.providers import BUILT_IN
from orchestrator.events import Json
from tests.integration.test_api_sessions import TEAM, gives, member, report, until
from tests.integration.whole_server import Whole, whole
from tests.journey.bot_process import Bot, eventually
from tests.twins.openai_server import ModelServer

pytestmark = [pytest.mark.timeout(180)]
OWN, BOTS = "sk-session-0123456789", "sk-bot-0123456789"
OWN_TAVILY, BOTS_TAVILY = "tvly-session-0123", "tvly-bot-0123"
WITHIN_S = 60.0


def out(*outputs: Json) -> list[Json]:
    return [{"output": output} for output in outputs]


ASKS = out(gives("user", "Green?"), gives("Ann", "Go."), gives(done=True))


def script(**changes: Any) -> Json:
    """A team that explains tea, at a provider that takes the session's key alone."""
    answers = {
        "team_builder": out(TEAM),
        "coordinator": out(gives("Ann", "Find leaves."), gives(done=True)),
        "qa": out(report("Leaves found.")),
        "technical_writer": out(report("Tea is leaves.")),
    }
    return {"key": OWN, "tavily": {"key": OWN_TAVILY, "results": []}, "answers": answers | changes}


@pytest.fixture
def provider() -> Generator[ModelServer]:
    with ModelServer(script()) as server:
        yield server


def bot(provider: ModelServer) -> dict[str, str]:
    """A bot with keys of its own, which this provider does not take."""
    return {
        "OPENAI_API_KEY": BOTS,
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "TAVILY_API_KEY": BOTS_TAVILY,
        "TAVILY_BASE_URL": f"{provider.url}/tavily",
    }


async def begins(served: Whole, **body: Any) -> str:
    got = await served.client.post("/api/start-task", json={"task": "Explain tea", **body})
    assert got.status_code == 200, got.text
    return got.json()["session_id"]


async def contents(served: Whole, name: str) -> list[str]:
    return [entry["content"] for entry in (await served.client.get(f"/api/sessions/{name}/logs")).json()]


async def answers(served: Whole, name: str) -> str:
    """Everything that the API says of a session."""
    run = (await served.client.get("/v1/runs")).json()["items"][0]["id"]
    paths = (f"/api/sessions/{name}", f"/api/sessions/{name}/logs", "/v1/runs", f"/v1/runs/{run}")
    texts = [(await served.client.get(path)).text for path in (*paths, f"/v1/runs/{run}/events")]
    return "\n".join(texts)


def kept(folder: Path) -> list[bytes]:
    """Sealed keys in the database."""
    database = sqlite3.connect(folder / "home" / "quartet.db")
    try:
        return [row[0] for row in database.execute("SELECT sealed FROM run_keys")]
    finally:
        database.close()


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in (folder / "home").rglob("*") if file.is_file())


async def test_the_key_that_arrives_is_the_sessions_and_it_shows_nowhere(
    tmp_path: Path, provider: ModelServer
) -> None:
    provider.twin.load(script(coordinator=ASKS))
    async with whole(tmp_path, env=bot(provider)) as served:
        name = await begins(
            served, api_key=OWN, model="gpt-6", provider="openai", system_message="Write like a pirate."
        )
        waiting = await until(served, name, "WAITING_FOR_INPUT", "ERROR")
        assert waiting["status"] == "WAITING_FOR_INPUT", await contents(served, name)
        assert waiting["model"] == "openai:gpt-6"
        [sealed] = kept(tmp_path)
        assert OWN.encode() not in bytes(sealed)
        await served.client.post("/api/reply", json={"session_id": name, "message": "Green."})
        ended = await until(served, name, "COMPLETED", "ERROR")
        assert ended["status"] == "COMPLETED", await contents(served, name)
        assert kept(tmp_path) == []
        assert OWN not in await answers(served, name)
    journal = provider.journal()
    assert {request["status"] for request in journal["requests"]} == {200}  # no call came with the bot's key
    assert {request["model"] for request in journal["requests"]} == {"gpt-6"}
    for request in journal["requests"]:
        assert OWN not in request["prompt"]
        assert "Write like a pirate." in request["prompt"]
        assert "An instruction of the caller" in request["prompt"]
    assert OWN.encode() not in bytes_of(tmp_path)


async def test_a_wrong_key_is_told_plainly_and_never_shown(tmp_path: Path, provider: ModelServer) -> None:
    provider.twin.load(script() | {"answers": {}})
    wrong = "sk-wrong-9876543210"
    async with whole(tmp_path, env=bot(provider)) as served:
        name = await begins(served, api_key=wrong)
        assert (await until(served, name, "COMPLETED", "ERROR"))["status"] == "ERROR"
        assert (await contents(served, name))[-2:] == [
            "OpenAI refused the key (401): check the api_key that was sent.",
            "ERROR",
        ]
        assert wrong not in await answers(served, name)
        assert kept(tmp_path) == []
    assert wrong.encode() not in bytes_of(tmp_path)


async def test_without_keys_of_its_own_a_session_uses_the_bots(tmp_path: Path, provider: ModelServer) -> None:
    provider.twin.load(script() | {"key": BOTS})
    async with whole(tmp_path, env=bot(provider)) as served:
        name = await begins(served, model="gpt-6")
        assert (await until(served, name, "COMPLETED", "ERROR"))["model"] == "openai:gpt-6"
        assert "COMPLETED" in await contents(served, name)
        assert kept(tmp_path) == []


async def test_a_bot_without_models_works_with_the_sessions(
    tmp_path: Path, provider: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = replace(BUILT_IN["groq"], base_url=f"{provider.url}/v1")
    monkeypatch.setitem(BUILT_IN, "groq", there)
    async with whole(tmp_path) as served:
        refused = await served.client.post("/api/start-task", json={"task": "x", "model": "gpt-6"})
        assert refused.status_code == 422
        assert "api_key" in refused.json()["errors"]["model"]
        name = await begins(served, api_key=OWN, provider="groq")
        assert (await until(served, name, "COMPLETED", "ERROR"))["status"] == "COMPLETED"
        run = (await served.client.get("/v1/runs")).json()["items"][0]
        assert run["engine"] == "models"
    assert provider.journal()["answered"]["qa"] == 1


async def test_the_search_asks_with_the_sessions_key(tmp_path: Path, provider: ModelServer) -> None:
    search = {"tool_calls": [{"name": "web_search", "arguments": {"query": "oolong"}}]}
    brief: Json = {"summary": "Oolong.", "findings": [], "sources": [], "gaps": []}
    team = {**TEAM, "members": [member("Ann", "researcher")]}
    provider.twin.load(
        {
            "key": BOTS,
            "tavily": {"key": OWN_TAVILY, "results": []},
            "answers": {
                "team_builder": out(team),
                "coordinator": out(gives("Ann", "Search."), gives(done=True)),
                "researcher": [search, {"output": brief}],
                "technical_writer": out(report("Tea is leaves.")),
            },
        }
    )
    async with whole(tmp_path, env=bot(provider)) as served:
        name = await begins(served, tavily_key=OWN_TAVILY)
        assert (await until(served, name, "COMPLETED", "ERROR"))["status"] == "COMPLETED"
        assert OWN_TAVILY not in await answers(served, name)
    assert provider.journal()["searches"] == ["oolong"]
    assert kept(tmp_path) == []


async def test_a_stop_deletes_the_keys(tmp_path: Path, provider: ModelServer) -> None:
    provider.twin.load(script() | {"answers": {"team_builder": [{"hang": True}]}})
    async with whole(tmp_path, env=bot(provider)) as served:
        name = await begins(served, api_key=OWN, tavily_key=OWN_TAVILY)
        async with asyncio.timeout(WITHIN_S):
            while not provider.journal()["count"]:  # noqa: ASYNC110 - it is in another thread
                await asyncio.sleep(0.02)
        assert len(kept(tmp_path)) == 1
        async with asyncio.timeout(2):
            await served.client.post(f"/api/stop-task/{name}")
            await until(served, name, "COMPLETED")
        assert kept(tmp_path) == []


async def test_a_call_that_comes_twice_keeps_its_keys_once_and_never_again(
    tmp_path: Path, provider: ModelServer
) -> None:
    async with whole(tmp_path, env=bot(provider)) as served:
        headers = {"Idempotency-Key": "tea"}
        body = {"task": "Explain tea", "api_key": OWN}
        first = await served.client.post("/api/start-task", json=body, headers=headers)
        await until(served, first.json()["session_id"], "COMPLETED")
        again = await served.client.post("/api/start-task", json=body, headers=headers)
        assert again.json() == first.json()
        other = await served.client.post("/api/start-task", json={**body, "task": "Coffee"}, headers=headers)
        assert other.status_code == 422
        assert kept(tmp_path) == []


def test_a_killed_bot_goes_on_with_the_sessions_key_and_leaves_none_behind(
    tmp_path: Path, provider: ModelServer
) -> None:
    provider.twin.load(script(coordinator=ASKS))

    def is_now(name: str, status: str) -> bool:
        return served.client.get(f"/api/sessions/{name}").json()["status"] == status

    with Bot(tmp_path, bot(provider)) as served:
        started = served.client.post("/api/start-task", json={"task": "Explain tea", "api_key": OWN})
        name = started.json()["session_id"]
        eventually(lambda: is_now(name, "WAITING_FOR_INPUT"), "a question")
        served.kill()
        assert len(kept(tmp_path)) == 1
        orphan = sqlite3.connect(tmp_path / "home" / "quartet.db")
        orphan.execute("INSERT INTO run_keys (id, sealed, at) VALUES ('api:session:gone', x'00', 0)")
        orphan.commit()
        orphan.close()
        served.start()
        assert is_now(name, "WAITING_FOR_INPUT")
        eventually(lambda: len(kept(tmp_path)) == 1, "keys that nobody uses swept")
        served.client.post("/api/reply", json={"session_id": name, "message": "Green."})
        eventually(lambda: is_now(name, "COMPLETED"), "the end")
        assert kept(tmp_path) == []
        served.stop()
    assert OWN not in served.log.read_text()
    assert OWN.encode() not in bytes_of(tmp_path)
    assert {request["status"] for request in provider.journal()["requests"]} == {200}
