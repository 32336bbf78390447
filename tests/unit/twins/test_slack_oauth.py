"""OAuth on the twin, with slack_sdk's client: codes, redirects, organisations, rotation, reinstalling."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from tests.twins.slack import SlackTwin

from .slack_bots import web_client

# slack_sdk's `oauth_v2_access` builds the header with what aiohttp is about to remove.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")

BACK = "https://bot.example.com/slack/oauth_redirect"


async def consent(slack: SlackTwin, **more: str) -> dict[str, str]:
    """What the browser brings back from the consent page."""
    query = {
        "client_id": slack.app.client_id,
        "scope": "chat:write,im:history",
        "state": "s1",
        "redirect_uri": BACK,
    }
    async with (
        aiohttp.ClientSession() as session,
        session.get(slack.authorize_url, params=query | more, allow_redirects=False) as response,
    ):
        if response.status != 302:
            raise AssertionError(await response.text())
        location = response.headers["Location"]
    assert location.startswith(BACK)
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def exchange(slack: SlackTwin, **more: Any) -> Any:
    given = {"client_id": slack.app.client_id, "client_secret": slack.app.client_secret, **more}
    answer = await web_client(slack, "none").oauth_v2_access(**given)
    return answer.data


async def test_a_code_gives_a_working_token_once() -> None:
    async with SlackTwin(installed=False) as slack:
        brought = await consent(slack)
        assert brought["state"] == "s1"
        granted = await exchange(slack, code=brought["code"], redirect_uri=BACK)
        assert granted["team"] == {"id": slack.team.id, "name": "Acme"}
        assert granted["enterprise"] is None
        assert granted["is_enterprise_install"] is False
        assert granted["scope"] == "chat:write,im:history"
        assert granted["authed_user"] == {"id": slack.person("root").id}
        assert granted["token_type"] == "bot"
        assert "refresh_token" not in granted
        who = await web_client(slack, granted["access_token"]).auth_test()
        assert who["user_id"] == granted["bot_user_id"]
        with pytest.raises(SlackApiError, match="code_already_used"):
            await exchange(slack, code=brought["code"], redirect_uri=BACK)


async def test_what_does_not_match_is_refused_with_slacks_word() -> None:
    async with SlackTwin(installed=False, redirect_uris=(BACK,)) as slack:
        code = (await consent(slack))["code"]
        for word, given in {
            "invalid_code": {"code": "1.2.3", "redirect_uri": BACK},
            "bad_redirect_uri": {"code": code, "redirect_uri": "https://bot.example.com/other"},
            "bad_client_secret": {"code": code, "redirect_uri": BACK, "client_secret": "wrong"},
            "invalid_client_id": {"code": code, "redirect_uri": BACK, "client_id": "1.1"},
            "token_rotation_not_enabled": {"grant_type": "refresh_token", "refresh_token": "xoxe-1-x"},
        }.items():
            with pytest.raises(SlackApiError, match=word):
                await exchange(slack, **given)
        slack.world.clock.jump(601)
        with pytest.raises(SlackApiError, match="code_expired"):
            await exchange(slack, code=code, redirect_uri=BACK)
        for word, query in {
            "invalid_client_id": {"client_id": "1.1"},
            "bad_redirect_uri": {"redirect_uri": "https://evil.example.com/"},
            "invalid_scope": {"scope": ""},
        }.items():
            with pytest.raises(AssertionError, match=word):
                await consent(slack, **query)


async def test_who_presses_cancel_sends_back_an_error() -> None:
    async with SlackTwin(installed=False) as slack:
        slack.oauth.consents(slack.person("root").id, allow=False)
        assert await consent(slack) == {"error": "access_denied", "state": "s1"}


async def test_an_organisation_gets_one_token_without_team() -> None:
    async with SlackTwin(installed=False, enterprise="E0ACME") as slack:
        slack.oauth.consents(slack.person("root").id, organisation=True)
        granted = await exchange(slack, code=(await consent(slack))["code"], redirect_uri=BACK)
        assert granted["team"] is None
        assert granted["enterprise"]["id"] == "E0ACME"
        assert granted["is_enterprise_install"] is True


async def test_installing_again_gives_another_token_and_after_an_uninstall_the_old_one_is_dead() -> None:
    async with SlackTwin(installed=False, time_scale=0) as slack:
        tokens: list[str] = []
        for again in (False, True, True):
            granted = await exchange(slack, code=(await consent(slack))["code"], redirect_uri=BACK)
            tokens.append(granted["access_token"])
            if again:
                slack.uninstalls()
        assert len(set(tokens)) == 3
        for token in tokens:
            with pytest.raises(SlackApiError, match=r"account_inactive|token_revoked"):
                await web_client(slack, token).auth_test()


async def test_rotated_tokens_expire_and_a_refresh_token_works_once() -> None:
    async with SlackTwin(installed=False, rotation=True) as slack:
        granted = await exchange(slack, code=(await consent(slack))["code"], redirect_uri=BACK)
        assert 43_000 < granted["expires_in"] <= 43_200
        client = web_client(slack, granted["access_token"])
        await client.auth_test()
        slack.world.clock.jump(43_201)
        with pytest.raises(SlackApiError, match="token_expired"):
            await client.auth_test()
        again = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
        renewed = await exchange(slack, **again)
        assert renewed["access_token"] != granted["access_token"]
        await web_client(slack, renewed["access_token"]).auth_test()
        with pytest.raises(SlackApiError, match="invalid_refresh_token"):
            await exchange(slack, **again)
