"""Tokens that are wrong or revoked, and workspaces that come and go."""

from __future__ import annotations

import asyncio
import html
import re
from pathlib import Path

import aiohttp
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.journey.slack_desk import ANSWER, Desk, desk
from tests.journey.slack_scripts import script
from tests.twins.slack import Person, SlackTwin

pytestmark = pytest.mark.timeout(300)

AUTO = {"chat": {"approvals": "auto"}}
WRONG = "xoxb-111111111111-222222222222-notatokenatallnotatokena"


async def degraded(one: Desk) -> str:
    """What /health says is wrong with Slack, once it says so."""
    async with asyncio.timeout(60):
        while (found := await one.health())["status"] != "degraded":  # noqa: ASYNC110 - nothing to wait on
            await asyncio.sleep(0.1)
    return str(found["detail"])


async def asks_on_the_page(one: Desk) -> None:
    """The page answers."""
    path = await asyncio.to_thread(one.bot.post_turn, "What is coffee made of?")
    await asyncio.to_thread(one.bot.until_card, path, "answer")
    assert "Coffee is made of beans." in await asyncio.to_thread(one.bot.page, path)


async def test_a_wrong_token_at_start_is_told_with_its_remedy_and_the_page_works(tmp_path: Path) -> None:
    env = {"SLACK_BOT_TOKEN": WRONG}
    async with desk(tmp_path, env=env, config=AUTO, connected=False) as one:
        detail = await degraded(one)
        await asks_on_the_page(one)
        remedy = (
            "Slack refuses SLACK_BOT_TOKEN (invalid_auth); copy the Bot User OAuth Token again from OAuth & "
            "Permissions at api.slack.com/apps"
        )
        assert detail == remedy
        assert f"Slack is not connected: {remedy} (tried again by itself)" in one.log().splitlines()
        kept = [
            path for path in one.bot.home.rglob("*") if path.is_file() and WRONG.encode() in path.read_bytes()
        ]
        assert kept == []
        assert WRONG not in one.log()
        assert one.slack.connections == 0


async def test_a_token_is_revoked_during_a_run_and_the_answer_comes_with_the_next(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    slow = script(builder=[{**script()["answers"]["builder"][0], "delay_s": 4}])
    async with desk(tmp_path, config=AUTO, script=slow) as one:
        thread = one.ada.mentions(one.general, "What is tea?")
        await one.until(lambda: one.prompts("builder"))
        one.slack.revokes_token()
        assert await degraded(one) == (
            f"Quartet's token for the Slack workspace {one.slack.team.id} was revoked; install the app there "
            "again, and copy the Bot User OAuth Token again from OAuth & Permissions at api.slack.com/apps "
            "into SLACK_BOT_TOKEN, and start again"
        )
        [run] = await one.runs()
        await asyncio.to_thread(one.bot.until_status, run["id"], "completed")
        assert not any(ANSWER in seen.buttons for seen in one.ada.sees(one.general, thread))
        await asyncio.to_thread(one.bot.stop)
        one.bot.env["SLACK_BOT_TOKEN"] = one.slack.world.issue(one.slack.bot).token
        await asyncio.to_thread(one.bot.start)
        await one.done(thread)
        assert one.read(thread) == snapshot
        assert (await one.health())["status"] == "healthy"
        assert [ANSWER in seen.buttons for seen in one.ada.sees(one.general, thread)].count(True) == 1


async def installs(one: Desk, person: Person) -> None:
    """Somebody opens /slack/install, presses the button, and allows it."""
    one.slack.oauth.consents(person.id)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(f"{one.bot.url}/slack/install") as page:
            button = re.search(r'href="([^"]+oauth/v2/authorize[^"]+)"', await page.text())
            assert button is not None
        async with browser.get(html.unescape(button[1])) as page:
            assert page.status == 200, await page.text()
            assert "Quartet is installed in" in await page.text()


async def test_two_workspaces_install_and_one_that_leaves_leaves_the_other(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    slack = SlackTwin(mode="http", installed=False, time_scale=0.01)
    globex = slack.world.add_team("Globex")
    eve = slack.person("eve", team=globex.id)
    async with desk(tmp_path, slack=slack, config=AUTO, oauth=True) as one:
        await installs(one, one.root)
        await installs(one, eve)
        one.root.invites(one.general, slack.bot.bot_user)
        theirs = slack.world.add_channel(
            globex.id, "lobby", members=[eve.id, slack.bot_of(globex.id).bot_user]
        ).id
        ours = one.ada.mentions(one.general, "What is coffee made of?")
        thread = eve.mentions(theirs, "Which leaves make tea?")
        await one.done(ours)
        await one.done(thread, by=eve, channel=theirs)
        assert one.read(thread, by=eve, channel=theirs) == snapshot
        slack.uninstalls(globex.id)
        await one.settled()
        again = one.ada.mentions(one.general, "What is coffee made of?")
        await one.done(again)
        assert (await one.health())["status"] == "healthy"
        assert one.slack.connections == 0
        tokens = [token.encode() for token in slack.world.tokens]
        files = [path.read_bytes() for path in one.bot.home.rglob("*") if path.is_file()]
        assert not any(token in content for token in tokens for content in files)
