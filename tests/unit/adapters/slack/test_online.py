"""`quartet check --online` says of each token whether it works, and what to do where not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from slack_sdk.oauth.installation_store import Installation

from adapters.database import Database
from adapters.slack.install import SCHEMA, Installations
from adapters.slack.online import check_app_token, check_bot_token, check_installations
from adapters.slack.scopes import bot_scopes
from tests.unit.adapters.slack.answers import Answers, answering

BOT, APP = "xoxb-secret-token", "xapp-secret-token"


@pytest.fixture
async def slack() -> AsyncIterator[Answers]:
    async with answering() as answers:
        answers.by_method["auth.test"] = {
            "ok": True, "team": "Bridge", "team_id": "T1", "user_id": "U9", "bot_id": "B1",
        }  # fmt: skip
        answers.by_method["apps.connections.open"] = {
            "ok": True,
            "url": "wss://socket.example.com/?ticket=s3",
        }
        answers.headers["x-oauth-scopes"] = ",".join(bot_scopes())
        yield answers


async def test_tokens_that_work_are_said_to(slack: Answers) -> None:
    bot, app = await check_bot_token(BOT, api_url=slack.url), await check_app_token(APP, api_url=slack.url)
    assert (bot.fine, app.fine) == (True, True)
    assert "workspace Bridge" in bot.note
    assert [who for _, who, _ in slack.asked] == [f"Bearer {BOT}", f"Bearer {APP}"]
    assert "ticket" not in app.note


async def test_missing_scopes_are_named_with_their_use_and_the_remedy(slack: Answers) -> None:
    slack.headers["x-oauth-scopes"] = ",".join(set(bot_scopes()) - {"files:write", "reactions:read"})
    found = await check_bot_token(BOT, api_url=slack.url)
    assert not found.fine
    first, *lost = found.note.splitlines()
    assert first.startswith("lacks 2 scopes in workspace Bridge; ")
    assert lost == [
        "    files:write: attach long answers and code as files",
        "    reactions:read: ❌ on a message stops the run",
    ]
    assert "`quartet manifest slack`" in found.note
    assert "reinstall" in found.note


@pytest.mark.parametrize("code", ["invalid_auth", "account_inactive", "token_revoked"])
async def test_a_dead_token_is_said_with_where_to_find_the_right_one(slack: Answers, code: str) -> None:
    for method in ("auth.test", "apps.connections.open"):
        slack.by_method[method] = {"ok": False, "error": code}
    bot, app = await check_bot_token(BOT, api_url=slack.url), await check_app_token(APP, api_url=slack.url)
    assert (bot.fine, app.fine) == (False, False)
    assert f"{code}; copy the Bot User OAuth Token again" in bot.note
    assert "make one with connections:write" in app.note
    assert "secret" not in bot.note + app.note


async def test_an_app_token_without_its_scope_and_socket_mode_that_is_off(slack: Answers) -> None:
    slack.by_method["apps.connections.open"] = {"ok": False, "error": "missing_scope"}
    assert "lacks the scope connections:write" in (await check_app_token(APP, api_url=slack.url)).note
    slack.by_method["apps.connections.open"] = {"ok": False, "error": "socket_mode_not_enabled"}
    assert "switch Socket Mode on" in (await check_app_token(APP, api_url=slack.url)).note


async def test_a_persons_token_is_not_taken_for_the_bots(slack: Answers) -> None:
    del slack.by_method["auth.test"]["bot_id"]
    found = await check_bot_token(BOT, api_url=slack.url)
    assert (found.fine, "token of a person" in found.note) == (False, True)


async def test_another_server_in_slacks_place_is_said(slack: Answers) -> None:
    slack.status = 502
    found = await check_bot_token(BOT, api_url=slack.url)
    assert (found.fine, "check SLACK_API_URL" in found.note) == (False, True)


async def test_nobody_there_and_nobody_answering_end_within_the_time_limit() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}/api/"
    found = await check_bot_token(BOT, api_url=gone, timeout_s=5)
    assert (found.fine, "cannot be reached" in found.note) == (False, True)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api/"
        async with asyncio.timeout(60):
            found = await check_app_token(APP, api_url=url, timeout_s=0.2)
        assert (found.fine, "did not answer" in found.note) == (False, True)


async def test_every_workspace_that_installed_is_asked_about(slack: Answers, tmp_path: Path) -> None:
    database = Database(tmp_path / "slack.db", SCHEMA)
    await database.open()
    try:
        for key, team in (("k" * 16, "T1"), ("another key 0123", "T2")):
            installation = Installation(team_id=team, team_name=f"Team {team}", bot_token=BOT, user_id="U1")
            await Installations(database, [key]).async_save(installation)
        one, two = await check_installations(database, ["k" * 16], api_url=slack.url)
    finally:
        await database.close()
    assert (one.name, one.fine) == ("Slack workspace Team T1", True)
    assert (two.name, two.fine) == ("Slack workspace T2", False)
    assert "QUARTET_SECRET_KEY" in two.note
