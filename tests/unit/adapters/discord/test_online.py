"""`quartet check --online` says of Discord what works, and what to do where not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from adapters.discord.manifest import invite
from adapters.discord.online import Finding, application, check_bot
from adapters.discord.scopes import BITS, bits
from adapters.errors import NotAllowed, PlatformDown

TOKEN = "MTEyMjMzNDQ1NTY2Nzc4ODk5.Gx1y2z.s3cr3t-s3cr3t-s3cr3t-s3cr3t"
APP, ACME, OTHER = "112233445566778899", "998877665544332211", "998877665544332212"
DEAD = {"message": "401: Unauthorized", "code": 0}


@dataclass
class Answers:
    """A server that says what it was told to."""

    url: str = ""
    status: int = 200
    body: Any = None  # instead of all the others
    app: dict[str, Any] = field(default_factory=dict[str, Any])
    guilds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    limit: dict[str, int] = field(default_factory=dict[str, int])
    shards: int = 1
    asked: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    def answer(self, path: str) -> Any:
        if self.body is not None:
            return self.body
        me = {"id": APP, "username": "Quartet", "bot": True}
        return {
            "users/@me": me,
            "applications/@me": {"id": APP, "flags": 1 << 19, "bot_public": False, **self.app},
            "users/@me/guilds": self.guilds,
            "gateway/bot": {
                "url": "wss://gateway.example.com",
                "shards": self.shards,
                "session_start_limit": {
                    "total": 1000, "remaining": 990, "reset_after": 7_200_000, "max_concurrency": 1,
                    **self.limit,
                },
            },
        }[path]  # fmt: skip


def guild(number: str = ACME, name: str = "Acme", permissions: int | None = None) -> dict[str, Any]:
    return {"id": number, "name": name, "permissions": str(bits() if permissions is None else permissions)}


@asynccontextmanager
async def serving(app: web.Application) -> AsyncGenerator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/v10"
    finally:
        await runner.cleanup()


@pytest.fixture
async def discord() -> AsyncGenerator[Answers]:
    answers = Answers(guilds=[guild()])

    async def answer(request: web.Request) -> web.StreamResponse:
        headers = request.headers
        path = request.match_info["path"]
        answers.asked.append((path, headers.get("Authorization", ""), headers.get("User-Agent", "")))
        if answers.status == 302:
            raise web.HTTPFound(f"{answers.url}/users/@me")
        if isinstance(answers.body, str):
            return web.Response(status=answers.status, text=answers.body, content_type="text/html")
        return web.json_response(answers.answer(path), status=answers.status)

    app = web.Application()
    app.router.add_get("/api/v10/{path:.+}", answer)
    async with serving(app) as answers.url:
        yield answers


async def check(answers: Answers, *guilds: str, shards: int | None = None) -> dict[str, Finding]:
    found = await check_bot(TOKEN, guilds=guilds, shards=shards, api_url=answers.url, timeout_s=5)
    assert all("s3cr3t" not in f.note for f in found)
    assert len({f.name for f in found}) == len(found)
    return {f.name: f for f in found}


async def test_a_bot_that_is_all_right_is_said_to_be(discord: Answers) -> None:
    found = await check(discord, ACME)
    assert {name: f.state for name, f in found.items()} == {
        "DISCORD_BOT_TOKEN": "ok",
        "Message Content Intent": "ok",
        "gateway": "ok",
    }
    assert found["DISCORD_BOT_TOKEN"].note == f"Quartet, application {APP}, in 1 server"
    assert found["gateway"].note == "990 of 1,000 connections left today, 1 shard"
    assert {who for _, who, _ in discord.asked} == {f"Bot {TOKEN}"}
    assert all(agent.startswith("DiscordBot (") for _, _, agent in discord.asked)


@pytest.mark.parametrize(
    "flags", [{"flags": 1 << 18}, {"flags": 1 << 19}, {"flags": 0, "flags_new": str(1 << 18)}]
)
async def test_message_content_is_told_by_either_flag(discord: Answers, flags: dict[str, Any]) -> None:
    discord.app = flags
    assert (await check(discord))["Message Content Intent"].state == "ok"


async def test_switches_that_are_wrong_are_named_with_their_page(discord: Answers) -> None:
    discord.app = {
        "flags": 0,
        "bot_public": True,
        "bot_require_code_grant": True,
        "interactions_endpoint_url": "https://old.example.com/",
    }
    found = await check(discord)
    assert {n: f.state for n, f in found.items() if f.state != "ok"} == {
        "Message Content Intent": "wrong",
        "Requires OAuth2 Code Grant": "wrong",
        "Interactions Endpoint URL": "wrong",
        "Public Bot": "note",
    }
    for name in ("Message Content Intent", "Requires OAuth2 Code Grant", "Public Bot"):
        assert f"https://discord.com/developers/applications/{APP}/bot" in found[name].note
    assert "Install Link: None" in found["Public Bot"].note


async def test_servers_it_is_not_in_and_permissions_it_lacks_come_with_a_link(discord: Answers) -> None:
    lacking = bits() - BITS["attach_files"] - BITS["create_public_threads"]
    discord.guilds = [guild(permissions=lacking)]
    found = await check(discord, ACME, OTHER)
    assert found[f"server {OTHER}"].state == "wrong"
    assert invite(APP, guild=OTHER) in found[f"server {OTHER}"].note
    first, *lost = found["server Acme"].note.splitlines()
    assert first.startswith("the bot lacks 2 permissions; ")
    assert invite(APP, guild=ACME) in first
    assert [line.split(":")[0].strip() for line in lost] == ["Create Public Threads", "Attach Files"]


async def test_a_bot_in_no_server_is_to_be_invited(discord: Answers) -> None:
    discord.guilds = []
    found = (await check(discord))["DISCORD_BOT_TOKEN"]
    assert (found.state, invite(APP) in found.note) == ("wrong", True)


async def test_administrator_is_more_than_is_needed(discord: Answers) -> None:
    discord.guilds = [guild(permissions=8, name="Ac\nme\x1b[31m")]
    found = await check(discord)
    assert found["server Ac me [31m"].state == "note"


@pytest.mark.parametrize(
    ("limit", "shards", "state", "words"),
    [
        ({"remaining": 0}, None, "wrong", "0 of 1,000 connections left today; wait 2.0 h"),
        ({"remaining": 3}, 4, "wrong", "find out what connects so often"),
        ({"remaining": 7}, None, "note", "new ones in 2.0 h"),
        ({}, 1, "note", "Discord advises 2 shards, and `discord.shards` is 1"),
        ({}, 3, "ok", "3 shards"),
        ({}, None, "ok", "2 shards"),
    ],
)
async def test_connections_that_are_left_are_told(
    discord: Answers, limit: dict[str, int], shards: int | None, state: str, words: str
) -> None:
    discord.shards, discord.limit = 2, limit
    found = (await check(discord, shards=shards))["gateway"]
    assert (found.state, words in found.note) == (state, True), found.note


async def test_a_dead_token_is_said_with_where_to_make_a_new_one(discord: Answers) -> None:
    discord.status, discord.body = 401, DEAD
    (found,) = (await check(discord)).values()
    assert (found.name, found.state) == ("DISCORD_BOT_TOKEN", "wrong")
    assert "Discord does not know this token (any more); make a new one at https://discord.com/" in found.note
    with pytest.raises(NotAllowed, match="does not know this token"):
        await application(TOKEN, api_url=discord.url)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, {"message": "no", "code": 40001}, "(403): no"),
        (429, {"message": "You are being rate limited.", "retry_after": 60}, "wait a minute"),
        (500, {"message": "oh"}, "status 500"),
        (502, "<html>Bad gateway</html>", "check DISCORD_API_URL"),
        (200, "<html>Welcome</html>", "check DISCORD_API_URL"),
        (404, "nothing", "check DISCORD_API_URL"),
        (302, None, "status 302"),
    ],
)
async def test_other_answers_are_told_as_what_they_are(
    discord: Answers, status: int, body: Any, words: str
) -> None:
    discord.status, discord.body = status, body
    (found,) = (await check(discord)).values()
    assert (found.state, words in found.note) == ("wrong", True), found.note


@pytest.mark.parametrize("body", [[], {}, 1, "", {"flags": "x", "session_start_limit": 7, "id": None}])
async def test_nonsense_raises_nothing(discord: Answers, body: Any) -> None:
    discord.body = body
    assert await check(discord, ACME)


async def test_the_application_is_asked_for(discord: Answers) -> None:
    assert await application(TOKEN, api_url=discord.url) == APP
    discord.body = {}
    with pytest.raises(PlatformDown, match="DISCORD_API_URL"):
        await application(TOKEN, api_url=discord.url)


async def test_nobody_there_and_nobody_answering_end_within_the_time_limit() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    (found,) = await check_bot(TOKEN, api_url=gone, timeout_s=5)
    assert (found.state, "cannot be reached" in found.note) == ("wrong", True)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with asyncio.timeout(60):
            (found,) = await check_bot(TOKEN, api_url=url, timeout_s=0.2)
        assert (found.state, "did not answer" in found.note) == ("wrong", True)
