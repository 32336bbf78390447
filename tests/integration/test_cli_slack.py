"""Setting Slack up from the command line: the real process, against a Slack on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from slack_bolt.request.async_request import AsyncBoltRequest

from adapters.database import Database
from adapters.errors import NotAllowed
from adapters.slack.install import SCHEMA, Installations
from adapters.slack.oauth import oauth_flow
from adapters.slack.scopes import bot_scopes
from bot.secret_keys import secret_keys
from config import load_settings
from tests.twins.slack import SlackTwin

ROOT = Path(__file__).parents[2]
LIMIT_S = 120
BASE = "https://bot.example.com"


async def quartet(folder: Path, env: dict[str, str], *words: str) -> tuple[int, str]:
    """Exit code and all that was printed."""
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *words,
        cwd=folder, env={**keep, "QUARTET_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), **env},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()


def line(printed: str, name: str) -> str:
    (found,) = [row for row in printed.splitlines() if f" {name}" in row and "online" in row]
    return found


async def test_check_online_says_that_both_tokens_work(tmp_path: Path) -> None:
    async with SlackTwin() as slack:
        code, printed = await quartet(tmp_path, slack.environment(), "check", "--online")
        assert code == 0, printed
        assert f"workspace Acme, all {len(bot_scopes())} scopes" in line(printed, "SLACK_BOT_TOKEN")
        assert "Socket Mode can be opened" in line(printed, "SLACK_APP_TOKEN")
        assert slack.bot_token not in printed
        assert slack.app_token not in printed
        assert not (tmp_path / "home").exists()  # looking changes nothing


async def test_check_online_names_missing_scopes_and_a_revoked_token(tmp_path: Path) -> None:
    lacking = {"reactions:read", "files:write"}
    async with SlackTwin(scopes=set(bot_scopes()) - lacking) as slack:
        env = slack.environment()
        code, printed = await quartet(tmp_path, env, "check", "--online")
        assert code == 1
        assert "lacks 2 scopes" in line(printed, "SLACK_BOT_TOKEN")
        assert lacking == {scope for scope in bot_scopes() if f"\n    {scope}: " in printed}
        slack.revokes_token()
        code, printed = await quartet(tmp_path, env, "check", "--online")
        assert code == 1
        assert re.search(r"SLACK_BOT_TOKEN .*(token_revoked|invalid_auth|account_inactive); copy", printed)
        assert "Socket Mode can be opened" in line(printed, "SLACK_APP_TOKEN")
        assert "Traceback" not in printed


async def test_check_online_ends_when_slack_is_not_there(tmp_path: Path) -> None:
    async with SlackTwin() as slack:
        env = slack.environment()
    code, printed = await quartet(tmp_path, env, "check", "--online")
    assert code == 1
    assert "cannot be reached" in line(printed, "SLACK_BOT_TOKEN")
    assert (await quartet(tmp_path, env, "check"))[0] == 0  # nobody is asked without --online


# ── installing ───────────────────────────────────────────────────────────────────────────────


class Workspaces:
    """slack.db and the flow, as the adapter builds them."""

    def __init__(self, slack: SlackTwin, home: Path) -> None:
        self.env = {**slack.environment(oauth=True), "QUARTET_HOME": str(home), "ORCHESTRATOR_BASE_URL": BASE}
        settings = load_settings(env=self.env, env_file=None)
        secret = settings.slack_client_secret
        assert settings.slack_client_id is not None
        assert secret is not None
        self.database = Database(home / "slack.db", SCHEMA)
        self.store = Installations(
            self.database, secret_keys(settings), client_id=settings.slack_client_id,
            client_secret=secret.get_secret_value(), api_url=settings.slack_api_url,
        )  # fmt: skip
        self.flow = oauth_flow(
            self.store, database=self.database, client_id=settings.slack_client_id,
            client_secret=secret.get_secret_value(), base_url=BASE, api_url=settings.slack_api_url,
        )  # fmt: skip

    async def __aenter__(self) -> Workspaces:
        await self.database.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()
        await self.database.close()

    async def install(self) -> tuple[int, str]:
        """What a browser does: our page, Slack's page, and back; status and page."""
        page = await self.flow.handle_installation(AsyncBoltRequest(body=""))
        (address,) = re.findall(r'href="([^"]+)"', page.body)
        cookie = SimpleCookie(page.headers["set-cookie"][0])
        async with aiohttp.ClientSession() as browser:
            got = await browser.get(address.replace("&amp;", "&"), allow_redirects=False)
            assert got.status == 302, await got.text()
            back = urlsplit(got.headers["Location"])
        assert f"{back.scheme}://{back.netloc}{back.path}" == f"{BASE}/slack/oauth_redirect"
        query = {name: values[0] for name, values in parse_qs(back.query).items()}
        sent = "; ".join(f"{name}={morsel.value}" for name, morsel in cookie.items())
        request = AsyncBoltRequest(body="", query=query, headers={"cookie": sent})
        done = await self.flow.handle_callback(request)
        return done.status, done.body


@pytest.mark.parametrize("rotation", [False, True])
async def test_a_workspace_installs_and_its_token_works(tmp_path: Path, rotation: bool) -> None:
    async with SlackTwin(
        installed=False, rotation=rotation, redirect_uris=(f"{BASE}/slack/oauth_redirect",)
    ) as slack:
        async with Workspaces(slack, tmp_path) as workspaces:
            with pytest.raises(NotAllowed):
                await workspaces.store.bot(slack.team.id)
            status, page = await workspaces.install()
            assert (status, "installed in Acme" in page) == (200, True)
            bot = await workspaces.store.bot(slack.team.id)
            assert bot.token == slack.bot_token
            assert bot.bot_user == slack.bot.bot_user
            assert bot.scopes == set(bot_scopes())
        code, printed = await quartet(tmp_path, workspaces.env, "check", "--online")
        assert code == 0, printed
        assert "workspace Acme, all" in line(printed, "Slack workspace Acme")
        slack.uninstalls()
        code, printed = await quartet(tmp_path, workspaces.env, "check", "--online")
        assert code == 1
        assert "install the app there again" in printed
        assert bot.token not in printed


async def test_who_cancels_in_slack_is_told_that_nothing_was_installed(tmp_path: Path) -> None:
    async with SlackTwin(installed=False) as slack, Workspaces(slack, tmp_path) as workspaces:
        slack.oauth.consents(slack.person("root").id, allow=False)
        _, page = await workspaces.install()
        assert "cancelled in Slack; nothing was installed" in page
        with pytest.raises(NotAllowed):
            await workspaces.store.bot(slack.team.id)


async def test_an_organisation_installs_for_all_its_workspaces(tmp_path: Path) -> None:
    async with (
        SlackTwin(installed=False, enterprise="E0ACME") as slack,
        Workspaces(slack, tmp_path) as places,
    ):
        slack.oauth.consents(slack.person("root").id, organisation=True)
        assert (await places.install())[0] == 200
        bot = await places.store.bot(slack.team.id, "E0ACME")
        assert (bot.team, bot.enterprise) == ("", "E0ACME")
        assert (await places.store.bot(slack.team.id)).token == bot.token


async def test_the_manifest_that_is_printed_is_what_the_twin_grants(tmp_path: Path) -> None:
    code, printed = await quartet(tmp_path, {}, "manifest", "slack")
    given = json.loads(printed)
    assert code == 0
    async with SlackTwin() as slack:
        answer = await aiohttp_post(slack.api_url + "auth.test", slack.bot_token)
    assert sorted(answer["x-oauth-scopes"].split(",")) == given["oauth_config"]["scopes"]["bot"]


async def aiohttp_post(url: str, token: str) -> dict[str, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, headers={"Authorization": f"Bearer {token}"}) as answer,
    ):
        return {name.lower(): value for name, value in answer.headers.items()}
