"""What the twin tells an app of, and what not: membership, subscriptions, scopes, organisations."""

from __future__ import annotations

import pytest
from slack_sdk.errors import SlackApiError

from tests.twins.slack import SlackTwin

from .slack_bots import web_client


def told(slack: SlackTwin) -> list[str]:
    return [parcel.event["type"] for parcel in slack.delivery.parcels]


async def test_an_app_is_not_told_of_channels_where_its_bot_is_not() -> None:
    async with SlackTwin(time_scale=0) as slack:
        elsewhere = slack.channel("elsewhere", "ada", with_bot=False)
        ts = slack.person("ada").mentions(elsewhere, "can you hear me?")
        slack.person("ada").reacts(ts, "x")
        assert told(slack) == []
        slack.person("ada").invites(elsewhere, slack.bot.bot_user)
        slack.person("ada").posts(elsewhere, "now?")
        assert slack.delivery.parcels[-1].event["text"] == "now?"


async def test_an_app_is_told_only_what_it_subscribed_to_and_has_scopes_for() -> None:
    async with SlackTwin(time_scale=0, events={"app_mention", "message.channels"}) as slack:
        slack.person("ada").direct_message("not subscribed")
        slack.person("ada").reacts(slack.person("bob").posts(slack.general, "subscribed"), "x")
        assert told(slack) == ["message"]
    async with SlackTwin(time_scale=0, scopes={"app_mentions:read", "im:history"}) as slack:
        slack.person("ada").mentions(slack.general, "hello")
        slack.person("ada").direct_message("hello")
        assert told(slack) == ["app_mention", "message"]
        assert slack.delivery.parcels[-1].event["channel_type"] == "im"


async def test_other_bots_joins_and_unfurls_come_in_slacks_shapes() -> None:
    async with SlackTwin(time_scale=0) as slack:
        ts = slack.person("ada").posts(slack.general, "see https://example.com/page")
        slack.unfurls(slack.general, ts)
        slack.other_bot("deploybot").posts(slack.general, "deployed")
        events = [parcel.event for parcel in slack.delivery.parcels]
        changed = next(e for e in events if e.get("subtype") == "message_changed")
        assert "edited" not in changed["message"]
        assert changed["message"]["text"] == changed["previous_message"]["text"]
        assert changed["message"]["attachments"][0]["from_url"] == "https://example.com/page"
        said = next(e for e in events if e.get("subtype") == "bot_message")
        assert said["bot_id"].startswith("B")
        assert said["app_id"] not in ("", slack.app.id)


async def test_organisations_have_enterprise_ids_in_every_envelope() -> None:
    async with SlackTwin(time_scale=0, enterprise="E0ACME", installed=False) as slack:
        slack.world.install(slack.app.id, "", {"im:history"}, enterprise="E0ACME")
        slack.person("ada").direct_message("hello")
        body = slack.delivery.parcels[0].payload
        assert body["enterprise_id"] == "E0ACME"
        assert body["authorizations"][0]["is_enterprise_install"] is True
        assert body["authorizations"][0]["team_id"] is None


async def test_uninstalling_tells_the_app_and_kills_its_token() -> None:
    async with SlackTwin(time_scale=0) as slack:
        client = web_client(slack)
        await client.auth_test()
        slack.uninstalls()
        assert sorted(told(slack)) == ["app_uninstalled", "tokens_revoked"]
        with pytest.raises(SlackApiError, match="account_inactive"):
            await client.auth_test()
        slack.person("ada").posts(slack.general, "nobody listens")
        assert len(slack.delivery.parcels) == 2
