"""Tokens of workspaces: kept encrypted, found for the right workspace, refreshed in time, forgotten."""

from __future__ import annotations

import asyncio
import html
import logging
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.oauth.installation_store import Installation

from adapters.database import Database
from adapters.errors import NotAllowed, PlatformDown
from adapters.sealed import CannotOpen, Seal
from adapters.slack.install import PURPOSE, SCHEMA, Installations
from adapters.slack.oauth import States, oauth_flow
from adapters.slack.scopes import bot_scopes
from adapters.slack.tokens import Fixed, OneWorkspace
from tests.unit.adapters.slack.answers import Answers, answering

KEY, OTHER, THIRD = "k" * 16, "another key of good length", "a third key of good length"
TOKEN = "xoxb-1-secret-token"
HOUR = 3600


@pytest.fixture
async def slack() -> AsyncIterator[Answers]:
    async with answering() as answers:
        yield answers


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    file = Database(tmp_path / "slack.db", SCHEMA)
    await file.open()
    yield file
    await file.close()


def installed(team: str = "T1", **given: Any) -> Installation:
    values: dict[str, Any] = {
        "app_id": "A1", "team_id": team, "team_name": "Bridge", "bot_token": TOKEN, "bot_id": "B1",
        "bot_user_id": "U9", "bot_scopes": "chat:write,commands", "user_id": "U1", **given,
    }  # fmt: skip
    return Installation(**values)


def stored(database: Database) -> bytes:
    with sqlite3.connect(database.path) as db:
        rows = db.execute("SELECT * FROM installations").fetchall()
    db.close()
    return b"".join(
        str(value).encode() if not isinstance(value, bytes) else value for r in rows for value in r
    )


# ── kept and found ───────────────────────────────────────────────────────────────────────────


async def test_an_installation_is_found_after_a_restart_and_says_who_the_bot_is(database: Database) -> None:
    await Installations(database, [KEY]).async_save(installed())
    bot = await Installations(database, [KEY]).bot("T1")
    assert (bot.token, bot.team, bot.bot_user, bot.bot_id, bot.app_id) == (TOKEN, "T1", "U9", "B1", "A1")
    assert bot.scopes == {"chat:write", "commands"}


async def test_no_token_stands_readable_in_the_file_nor_in_any_text_of_ours(database: Database) -> None:
    store = Installations(database, [KEY])
    await store.async_save(installed(user_token="xoxp-of-a-person", bot_refresh_token="xoxe-1-refresh"))
    raw = stored(database)
    assert b"Bridge" not in raw
    assert not re.search(rb"xox[a-z]", raw)
    assert TOKEN not in repr(await store.bot("T1"))
    found = await store.async_find_installation(enterprise_id=None, team_id="T1")
    assert found is not None
    assert found.user_token is None  # of people nothing is kept


async def test_a_workspace_that_never_installed_gets_a_sentence_with_the_way_to_do_it(
    database: Database,
) -> None:
    store = Installations(database, [KEY], install_url="https://bot.example.com/slack/install")
    with pytest.raises(NotAllowed, match=r"T1; install: https://bot\.example\.com/slack/install"):
        await store.bot("T1")
    assert await store.async_find_bot(enterprise_id=None, team_id="T1") is None


async def test_installing_again_replaces_the_token(database: Database) -> None:
    store = Installations(database, [KEY])
    await store.async_save(installed())
    assert (await store.bot("T1")).token == TOKEN
    await store.async_save(installed(bot_token="xoxb-new", enterprise_id="E1"))  # it joined an organisation
    assert (await store.bot("T1")).token == "xoxb-new"
    assert (await store.bot("T1", "E1")).token == "xoxb-new"
    assert [name for name, _ in await store.installed()] == ["Bridge"]


async def test_an_organisation_serves_its_workspaces_also_where_later_calls_name_the_workspace_alone(
    database: Database,
) -> None:
    store = Installations(database, [KEY])
    await store.async_save(installed("", team_name=None, enterprise_id="E1", is_enterprise_install=True))
    with pytest.raises(NotAllowed):
        await store.bot("T7")  # nobody knows yet that it belongs to E1
    bot = await store.bot("T7", "E1")
    assert (bot.team, bot.enterprise) == ("", "E1")
    again = Installations(database, [KEY])
    assert (await again.bot("T7")).enterprise == "E1"
    with pytest.raises(NotAllowed):
        await again.bot("T8", "E2")
    found = await again.async_find_bot(enterprise_id="E1", team_id="T7", is_enterprise_install=True)
    assert found is not None
    assert found.bot_token == TOKEN


async def test_a_workspaces_own_installation_goes_before_its_organisations(database: Database) -> None:
    store = Installations(database, [KEY])
    await store.async_save(
        installed("", enterprise_id="E1", is_enterprise_install=True, bot_token="xoxb-org")
    )
    await store.async_save(installed("T1", enterprise_id="E1", bot_token="xoxb-own"))
    assert (await store.bot("T1", "E1")).token == "xoxb-own"
    assert (await store.bot("T2", "E1")).token == "xoxb-org"


async def test_uninstalling_forgets_that_workspace_alone(database: Database) -> None:
    store = Installations(database, [KEY])
    await store.async_save(installed("T1"))
    await store.async_save(installed("T2"))
    await store.async_save(installed("", enterprise_id="E1", is_enterprise_install=True))
    await store.bot("T3", "E1")
    await store.bot("T1")
    await store.async_delete_all(enterprise_id=None, team_id="T1")
    with pytest.raises(NotAllowed):
        await store.bot("T1")
    assert (await store.bot("T2")).team == "T2"
    await store.async_delete_all(enterprise_id="E1", team_id=None)
    with pytest.raises(NotAllowed):
        await store.bot("T3")


async def test_a_revoked_token_of_a_person_changes_nothing(database: Database) -> None:
    store = Installations(database, [KEY])
    await store.async_save(installed())
    await store.async_delete_installation(enterprise_id=None, team_id="T1", user_id="U1")
    assert (await store.bot("T1")).token == TOKEN


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_first_key_encrypts_everything_again(database: Database) -> None:
    await Installations(database, [KEY]).async_save(installed("T1"))
    before = stored(database)
    both = Installations(database, [OTHER, KEY])
    assert (await both.bot("T1")).token == TOKEN  # readable before it is encrypted again
    assert await both.rotate() == ()
    assert stored(database) != before
    assert (await Installations(database, [OTHER]).bot("T1")).token == TOKEN
    after = stored(database)
    assert await both.rotate() == ()
    assert stored(database) == after  # nothing left to do


async def test_a_lost_key_stops_that_workspace_only_and_the_sentence_names_the_setting(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await Installations(database, [KEY]).async_save(installed("T1"))
    await Installations(database, [OTHER]).async_save(installed("T2"))
    store = Installations(database, [THIRD, OTHER])
    with caplog.at_level(logging.ERROR):
        assert await store.rotate() == ("T1",)
    assert "T1" in caplog.text
    with pytest.raises(NotAllowed, match="QUARTET_SECRET_KEY"):
        await store.bot("T1")
    assert (await store.bot("T2")).token == TOKEN
    assert await store.async_find_installation(enterprise_id=None, team_id="T1") is None
    assert [bot is None for _, bot in await store.installed()] == [True, False]
    await Installations(database, [THIRD, KEY]).rotate()
    assert (await store.bot("T1")).token == TOKEN  # the key was put back: nothing was lost


@pytest.mark.parametrize("keys", [[], ["short"], [KEY, "fifteen letters"]])
def test_weak_keys_are_refused(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="QUARTET_SECRET_KEY") as refused:
        Seal(keys, PURPOSE)
    assert "fifteen" not in str(refused.value)


@settings(max_examples=30, deadline=None)
@given(
    value=st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=4),
    keys=st.lists(st.text(min_size=16, max_size=60), min_size=1, max_size=3, unique=True),
    stranger=st.text(min_size=16, max_size=60),
)
def test_what_is_sealed_is_opened_by_any_of_the_keys_and_by_no_other(
    value: dict[str, Any], keys: list[str], stranger: str
) -> None:
    sealed = Seal(keys[-1:], PURPOSE).shut(value)
    assert Seal(keys, PURPOSE).open(sealed) == value
    if stranger not in keys:
        with pytest.raises(CannotOpen):
            Seal([stranger], PURPOSE).open(sealed)
    with pytest.raises(CannotOpen):
        Seal(keys, PURPOSE).open(sealed[:-6] + b"AAAAA=")


# ── tokens that end ──────────────────────────────────────────────────────────────────────────


def ending(in_s: float) -> Installation:
    return installed(bot_refresh_token="xoxe-1-old", bot_token_expires_at=int(time.time() + in_s))


def refreshing(slack: Answers) -> None:
    slack.by_method["oauth.v2.access"] = {
        "ok": True, "token_type": "bot", "access_token": "xoxe.xoxb-new", "refresh_token": "xoxe-1-new",
        "expires_in": 12 * HOUR,
    }  # fmt: skip


def store_with_client(database: Database, slack: Answers) -> Installations:
    return Installations(database, [KEY], client_id="1.2", client_secret="client-secret", api_url=slack.url)


async def test_a_token_is_refreshed_before_it_ends_by_one_call_however_many_ask(
    database: Database, slack: Answers
) -> None:
    refreshing(slack)
    store = store_with_client(database, slack)
    await store.async_save(ending(HOUR))
    bots = await asyncio.gather(*(store.bot("T1") for _ in range(20)))
    assert {bot.token for bot in bots} == {"xoxe.xoxb-new"}
    assert slack.times("oauth.v2.access") == 1
    assert slack.asked[0][2]["refresh_token"] == "xoxe-1-old"
    again = store_with_client(database, slack)  # after a restart the new one is there
    assert (await again.bot("T1")).token == "xoxe.xoxb-new"
    assert slack.times("oauth.v2.access") == 1
    kept = await again.async_find_installation(enterprise_id=None, team_id="T1")
    assert kept is not None
    assert kept.bot_refresh_token == "xoxe-1-new"


async def test_a_token_with_time_left_is_not_refreshed(database: Database, slack: Answers) -> None:
    store = store_with_client(database, slack)
    await store.async_save(ending(11 * HOUR))
    assert (await store.bot("T1")).token == TOKEN
    assert slack.asked == []


async def test_a_refresh_goes_on_when_who_asked_is_gone(database: Database, slack: Answers) -> None:
    refreshing(slack)
    store = store_with_client(database, slack)
    await store.async_save(ending(HOUR))
    impatient = asyncio.create_task(store.bot("T1"))
    async with asyncio.timeout(60):
        await slack.first.wait()
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    await store.close()
    assert (await store_with_client(database, slack).bot("T1")).token == "xoxe.xoxb-new"
    assert slack.times("oauth.v2.access") == 1


async def test_while_slack_refuses_to_refresh_the_old_token_serves_until_its_end(
    database: Database, slack: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    slack.by_method["oauth.v2.access"] = {"ok": False, "error": "internal_error"}
    store = store_with_client(database, slack)
    await store.async_save(ending(HOUR))
    assert (await store.bot("T1")).token == TOKEN
    assert "internal_error" in caplog.text
    await store.async_save(ending(-1))
    with pytest.raises(PlatformDown, match=r"T1 has ended .*internal_error.*/slack/install"):
        await store.bot("T1")
    slack.status = 502
    with pytest.raises(PlatformDown, match="has ended"):
        await store.bot("T1")
    assert "xoxe" not in caplog.text
    slack.status = 200
    refreshing(slack)
    assert (await store.bot("T1")).token == "xoxe.xoxb-new"


# ── one token for one workspace ──────────────────────────────────────────────────────────────


def known(slack: Answers, **more: Any) -> None:
    slack.by_method["auth.test"] = {
        "ok": True, "team": "Bridge", "team_id": "T1", "user_id": "U9", "bot_id": "B1", **more,
    }  # fmt: skip
    slack.headers["x-oauth-scopes"] = "chat:write, commands"


async def test_the_token_of_the_settings_is_asked_about_once(slack: Answers) -> None:
    known(slack)
    one = OneWorkspace(TOKEN, slack.url)
    bots = await asyncio.gather(*(one.bot("T1") for _ in range(10)))
    assert {(bot.team, bot.bot_user, bot.bot_id) for bot in bots} == {("T1", "U9", "B1")}
    assert bots[0].scopes == {"chat:write", "commands"}
    assert (await one.bot("")).team == "T1"
    assert slack.times("auth.test") == 1
    assert slack.asked[0][1] == f"Bearer {TOKEN}"
    with pytest.raises(NotAllowed, match="belongs to workspace T1, not to T2"):
        await one.bot("T2")


async def test_a_dead_token_of_the_settings_is_said_and_tried_again_later(
    slack: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    slack.by_method["auth.test"] = {"ok": False, "error": "invalid_auth"}
    one = OneWorkspace(TOKEN, slack.url)
    refused = await asyncio.gather(*(one.bot("T1") for _ in range(10)), return_exceptions=True)
    assert {str(error) for error in refused} == {str(refused[0])}
    assert "Slack refuses SLACK_BOT_TOKEN (invalid_auth); copy" in str(refused[0])
    assert isinstance(refused[0], PlatformDown)
    assert slack.times("auth.test") == 1  # a storm of turns asks once
    known(slack)
    monkeypatch.setattr("adapters.slack.tokens.time.monotonic", lambda: 10.0**9)
    assert (await one.bot("T1")).team == "T1"


async def test_the_token_of_the_settings_and_installations_work_side_by_side(
    database: Database, slack: Answers
) -> None:
    known(slack)
    store = Installations(database, [KEY])
    await store.async_save(installed("T2", bot_token="xoxb-two"))
    both = Fixed(OneWorkspace(TOKEN, slack.url), store)
    assert [(await both.bot(team)).token for team in ("T1", "T2")] == [TOKEN, "xoxb-two"]
    with pytest.raises(NotAllowed, match="not installed in workspace T3"):
        await both.bot("T3")
    slack.status = 503
    broken = Fixed(OneWorkspace(TOKEN, slack.url), store)
    assert (await broken.bot("T2")).token == "xoxb-two"  # the others go on
    with pytest.raises(PlatformDown):
        await broken.bot("T1")


# ── the flow ─────────────────────────────────────────────────────────────────────────────────

BASE = "https://bot.example.com"


class Browser:
    """Opens the two pages, with the cookies it was given."""

    def __init__(self, database: Database, slack: Answers, base: str = BASE) -> None:
        self.store = Installations(database, [KEY])
        self.flow = oauth_flow(
            self.store, database=database, client_id="1.2", client_secret="client-secret",
            base_url=base, api_url=slack.url,
        )  # fmt: skip
        self.cookie = ""
        self.page = ""

    async def begin(self, **query: str) -> str:
        """The address at Slack."""
        response = await self.flow.handle_installation(AsyncBoltRequest(body="", query=dict(query)))
        self.cookie = response.headers["set-cookie"][0].split(";")[0]
        self.page = response.body
        return html.unescape(re.findall(r'href="([^"]+)"', response.body)[0])

    async def back(self, **query: str) -> tuple[int, str]:
        request = AsyncBoltRequest(body="", query=dict(query), headers={"cookie": self.cookie})
        response = await self.flow.handle_callback(request)
        assert response.headers["cache-control"] == ["no-store"]
        assert "default-src 'none'" in response.headers["content-security-policy"][0]
        assert "Max-Age=0" in response.headers["set-cookie"][0]
        return response.status, response.body


def granting(slack: Answers, **more: Any) -> None:
    slack.by_method["oauth.v2.access"] = {
        "ok": True, "app_id": "A1", "access_token": TOKEN, "token_type": "bot", "bot_user_id": "U9",
        "scope": ",".join(bot_scopes()), "team": {"id": "T1", "name": "Bridge <b>&</b>"},
        "authed_user": {"id": "U1"}, **more,
    }  # fmt: skip
    known(slack, url="https://org.example.com/")


async def test_from_the_install_page_to_a_token_that_works(database: Database, slack: Answers) -> None:
    granting(slack)
    browser = Browser(database, slack)
    asked = urlsplit(await browser.begin())
    query = parse_qs(asked.query)
    assert f"{asked.scheme}://{asked.netloc}{asked.path}" == slack.url.replace("/api/", "/oauth/v2/authorize")
    assert query["redirect_uri"] == [f"{BASE}/slack/oauth_redirect"]
    assert query["scope"] == [",".join(bot_scopes())]
    status, page = await browser.back(code="c0de", state=query["state"][0])
    assert status == 200
    assert "installed in Bridge &lt;b&gt;&amp;&lt;/b&gt;" in page
    assert TOKEN not in page
    assert slack.asked[0][2]["redirect_uri"] == f"{BASE}/slack/oauth_redirect"
    assert (await browser.store.bot("T1")).bot_id == "B1"


async def test_an_organisation_can_install_at_once(database: Database, slack: Answers) -> None:
    granting(slack, team=None, enterprise={"id": "E1", "name": "Org"}, is_enterprise_install=True)
    browser = Browser(database, slack)
    state = parse_qs(urlsplit(await browser.begin()).query)["state"][0]
    status, page = await browser.back(code="c", state=state)
    assert (status, "installed in Org" in page) == (200, True)
    assert (await browser.store.bot("T5", "E1")).enterprise == "E1"


async def test_a_state_is_good_once_and_in_the_same_browser_only(database: Database, slack: Answers) -> None:
    granting(slack)
    browser = Browser(database, slack)
    state = parse_qs(urlsplit(await browser.begin()).query)["state"][0]
    browser.cookie, own = "quartet-slack-install=other", browser.cookie
    status, page = await browser.back(code="c", state=state)
    assert status == 400 or status == 401
    assert "same browser" in page
    browser.cookie = own
    assert (await browser.back(code="c", state=state))[0] == 200
    status, page = await browser.back(code="c", state=state)
    assert status == 401
    assert "opened twice" in page
    assert slack.times("oauth.v2.access") == 1


async def test_a_state_ends_after_its_time(database: Database) -> None:
    states = States(database, seconds=-1)
    state = await states.async_issue()
    assert not await states.async_consume(state)
    fresh = States(database)
    kept = await fresh.async_issue()
    assert await database.read(lambda db: db.execute("SELECT count(*) FROM oauth_states").fetchone()[0]) == 1
    assert await fresh.async_consume(kept)
    assert not await fresh.async_consume(kept)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"error": "access_denied"}, "cancelled in Slack"),
        ({"error": "<script>alert(1)</script>"}, "Slack said: unknown"),
        ({"error": "org_login_required"}, "Slack said: org_login_required"),
        ({"code": "c"}, "same browser"),
        ({"code": "c", "state": "' OR 1=1 --"}, "same browser"),
        ({}, "same browser"),
    ],
)
async def test_a_failed_installation_gets_a_page_that_says_why(
    database: Database, slack: Answers, query: dict[str, str], says: str
) -> None:
    browser = Browser(database, slack)
    _, page = await browser.back(**query)
    assert says in page
    assert "<script" not in page
    assert "Begin again" in page
    assert slack.asked == []


async def test_a_code_that_slack_refuses_is_not_logged(
    database: Database, slack: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    slack.by_method["oauth.v2.access"] = {"ok": False, "error": "invalid_code"}
    browser = Browser(database, slack)
    for status in (200, 502):
        slack.status = status
        state = parse_qs(urlsplit(await browser.begin()).query)["state"][0]
        code, page = await browser.back(code="s3cr3t-c0de", state=state)
        assert (code, "did not take the code" in page) == (401, True)
    assert "invalid_code" in caplog.text
    assert "s3cr3t-c0de" not in caplog.text
    assert "client-secret" not in caplog.text


async def test_the_address_that_was_opened_cannot_change_what_slack_is_asked(
    database: Database, slack: Answers
) -> None:
    browser = Browser(database, slack)
    evil = await browser.begin(team="T1&redirect_uri=https://evil.example")
    assert "evil" not in evil
    assert parse_qs(urlsplit(await browser.begin(team="T0123")).query)["team"] == ["T0123"]
    assert "evil" not in browser.page


async def test_the_cookie_is_secure_where_the_bot_has_https(database: Database, slack: Answers) -> None:
    for base, secure in ((BASE, True), ("http://127.0.0.1:8080", False)):
        utils = Browser(database, slack, base).flow.settings.state_utils
        cookie = utils.build_set_cookie_for_new_state("s")
        assert ("; Secure" in cookie) is secure
        assert "HttpOnly; SameSite=Lax; Path=/slack" in cookie
