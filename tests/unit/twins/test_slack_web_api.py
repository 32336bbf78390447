"""The twin's Web API through slack_sdk's own client: who may call, posts, threads, people."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import MarkdownBlock, SectionBlock

from tests.twins.slack.calls import METHODS
from tests.unit.twins.slack_office import SCOPES, Office, office, refused


@pytest.fixture
async def slack() -> AsyncIterator[Office]:
    async with office() as made:
        yield made


# ── who may ──────────────────────────────────────────────────────────────────────────────────


async def test_auth_test_says_who_the_bot_is_and_lists_its_scopes(slack: Office) -> None:
    answer = await slack.client.auth_test()
    assert (answer["user_id"], answer["bot_id"]) == (slack.bot.bot_user, slack.bot.bot_id)
    assert answer["team_id"] == slack.team.id
    headers = answer.headers
    given = {k.lower(): v for k, v in headers.items()}["x-oauth-scopes"]
    assert set(given.split(",")) == SCOPES


async def test_every_bad_token_has_its_own_word(slack: Office) -> None:
    assert await refused(slack.client_with(None).auth_test()) == "not_authed"
    assert await refused(slack.client_with("xoxb-nobody").auth_test()) == "invalid_auth"
    app_token = next(iter(slack.app.app_tokens))
    assert await refused(slack.client_with(app_token).auth_test()) == "not_allowed_token_type"
    await slack.client.auth_revoke()
    assert await refused(slack.client.auth_test()) == "token_revoked"
    assert slack.events("tokens_revoked")[0]["tokens"] == {"oauth": [], "bot": [slack.bot.bot_user]}
    slack.world.install(slack.app.id, slack.team.id, SCOPES)
    again = slack.client_with(slack.world.token_of(slack.bot))
    assert await refused(again.auth_test()) == ""
    assert await refused(again.apps_uninstall(client_id=slack.app.client_id, client_secret="x")) != ""
    slack.api.rates.reset()
    await again.apps_uninstall(client_id=slack.app.client_id, client_secret=slack.app.client_secret)
    assert await refused(again.auth_test()) == "account_inactive"
    assert slack.events("app_uninstalled")
    assert slack.bot.bot_user not in slack.general.members


async def test_a_rotated_token_expires_by_the_worlds_clock(slack: Office) -> None:
    app = slack.world.add_app("Other", rotation=True)
    install = slack.world.install(app.id, slack.team.id, {"chat:write"})
    client = slack.client_with(slack.world.token_of(install))
    assert (await client.auth_test())["expires_in"] > 40_000
    slack.world.clock.jump(12 * 3600 + 1)
    assert await refused(client.auth_test()) == "token_expired"


async def test_missing_scope_says_what_is_needed_and_what_is_there(slack: Office) -> None:
    app = slack.world.add_app("Poor")
    install = slack.world.install(app.id, slack.team.id, {"channels:read"})
    client = slack.client_with(slack.world.token_of(install))
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=slack.general.id, text="hi")
    response = cast("dict[str, Any]", caught.value.response)
    assert response["error"] == "missing_scope"
    assert (response["needed"], response["provided"]) == ("chat:write", "channels:read")
    secret = slack.world.add_channel(slack.team.id, "secret", private=True, members=[install.bot_user])
    assert await refused(client.conversations_info(channel=secret.id)) == "missing_scope"


async def test_unknown_methods_and_broken_bodies_are_named(slack: Office) -> None:
    assert await refused(slack.client.api_call("chat.shout")) == "unknown_method"
    headers = {"Authorization": f"Bearer {slack.client.token}", "Content-Type": "application/json"}
    url = f"{slack.world.base_url}/api/chat.postMessage"
    async with aiohttp.ClientSession() as session:
        for body, word in (("{", "invalid_json"), ("[1]", "json_not_object"), ("{}", "channel_not_found")):
            async with session.post(url, data=body, headers=headers) as answer:
                assert (await answer.json())["error"] == word


async def test_forms_with_json_inside_are_read_like_json(slack: Office) -> None:
    blocks = json.dumps([{"type": "section", "text": {"type": "mrkdwn", "text": "hi"}}])
    fields = {"channel": slack.general.id, "text": "hi", "blocks": blocks, "token": str(slack.client.token)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{slack.world.base_url}/api/chat.postMessage", data=fields) as answer,
    ):
        body = await answer.json()
    assert body["ok"]
    assert body["message"]["blocks"][0]["type"] == "section"


# ── messages ─────────────────────────────────────────────────────────────────────────────────


async def test_a_mention_comes_as_message_and_as_app_mention_with_one_ts(slack: Office) -> None:
    said = slack.world.post(slack.general.id, user=slack.ada.id, text=f"<@{slack.bot.bot_user}> hello")
    message, mention = slack.events("message")[0], slack.events("app_mention")[0]
    assert message["ts"] == mention["ts"] == said.ts
    assert message["channel_type"] == "channel"
    assert "client_msg_id" in message
    await slack.client.chat_postMessage(channel=slack.general.id, text="hi", thread_ts=said.ts)
    own = slack.events("message")[1]
    assert (own["bot_id"], own["thread_ts"]) == (slack.bot.bot_id, said.ts)
    assert own["parent_user_id"] == slack.ada.id
    assert len(slack.events("app_mention")) == 1


async def test_an_edited_mention_mentions_again_with_the_same_ts(slack: Office) -> None:
    world = slack.world
    said = world.post(slack.general.id, user=slack.ada.id, text=f"<@{slack.bot.bot_user}> helo")
    world.edit(slack.general.id, said.ts, by=slack.ada.id, text=f"<@{slack.bot.bot_user}> hello")
    first, second = slack.events("app_mention")
    assert first["ts"] == second["ts"]
    assert "edited" not in first
    assert second["edited"]["user"] == slack.ada.id
    world.unfurl(slack.general.id, said.ts, [{"from_url": "https://x.example"}])
    assert len(slack.events("app_mention")) == 2
    changed = slack.events("message_changed")[1]
    assert changed["message"]["text"] == changed["previous_message"]["text"]


async def test_metadata_comes_back_only_when_it_is_asked_for(slack: Office) -> None:
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="root")
    metadata = {"event_type": "quartet_card", "event_payload": {"card": "r1:status", "part": 0}}
    posted = await slack.client.chat_postMessage(
        channel=slack.general.id, thread_ts=root.ts, text="card", metadata=metadata
    )
    plain = await slack.client.conversations_replies(channel=slack.general.id, ts=root.ts)
    assert "metadata" not in plain["messages"][1]
    assert (await slack.replies(root.ts))[1]["metadata"] == metadata
    broken = slack.client.chat_postMessage(
        channel=slack.general.id, text="x", metadata={"event_type": "x", "event_payload": "no"}
    )
    assert await refused(broken) == "invalid_metadata_format"
    await slack.client.chat_update(channel=slack.general.id, ts=str(posted["ts"]), text="newer")
    newer = (await slack.replies(root.ts))[1]
    assert (newer["text"], newer["metadata"]) == ("newer", metadata)
    assert newer["edited"]["user"] == slack.bot.bot_user
    changed = slack.events("message_changed")[0]
    assert (changed["message"]["text"], changed["previous_message"]["text"]) == ("newer", "card")


async def test_post_cuts_at_40000_characters_and_update_refuses_4001(slack: Office) -> None:
    posted = await slack.client.chat_postMessage(channel=slack.general.id, text="x" * 40_001)
    assert posted["warning"] == "message_truncated"
    message = slack.world.message(slack.general.id, str(posted["ts"]))
    assert (len(message.text), message.truncated) == (40_000, True)
    update = slack.client.chat_update
    assert await refused(update(channel=slack.general.id, ts=message.ts, text="y" * 4_000)) == ""
    assert await refused(update(channel=slack.general.id, ts=message.ts, text="y" * 4_001)) == "msg_too_long"


@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")
async def test_a_message_without_anything_to_say_is_refused(slack: Office) -> None:
    assert await refused(slack.client.chat_postMessage(channel=slack.general.id, text="")) == "no_text"
    both = slack.client.chat_postMessage(channel=slack.general.id, text="a", markdown_text="b")
    assert await refused(both) == "markdown_text_conflict"
    fine = slack.client.chat_postMessage(
        channel=slack.general.id, blocks=[SectionBlock(text="only blocks"), MarkdownBlock(text="# x")]
    )
    assert await refused(fine) == ""


async def test_foreign_messages_are_neither_changed_nor_deleted(slack: Office) -> None:
    said = slack.world.post(slack.general.id, user=slack.ada.id, text="mine")
    client, channel = slack.client, slack.general.id
    assert await refused(client.chat_update(channel=channel, ts=said.ts, text="no")) == "cant_update_message"
    assert await refused(client.chat_delete(channel=channel, ts=said.ts)) == "cant_delete_message"
    assert await refused(client.chat_update(channel=channel, ts="1.000000", text="no")) == "message_not_found"
    own = await client.chat_postMessage(channel=channel, text="own")
    await client.chat_delete(channel=channel, ts=str(own["ts"]))
    assert slack.events("message_deleted")[0]["deleted_ts"] == own["ts"]


async def test_where_the_bot_may_write(slack: Office) -> None:
    world, client = slack.world, slack.client
    other = world.add_channel(slack.team.id, "other", members=[slack.ada.id])
    secret = world.add_channel(slack.team.id, "secret", members=[slack.ada.id], private=True)
    assert await refused(client.chat_postMessage(channel="C404", text="x")) == "channel_not_found"
    assert await refused(client.chat_postMessage(channel=secret.id, text="x")) == "channel_not_found"
    assert await refused(client.chat_postMessage(channel=other.id, text="x")) == "not_in_channel"
    world.install(slack.app.id, slack.team.id, {"chat:write.public"})
    assert await refused(client.chat_postMessage(channel=other.id, text="x")) == ""
    other.is_archived = True
    assert await refused(client.chat_postMessage(channel=other.id, text="x")) == "is_archived"
    gone = client.chat_postMessage(channel=slack.general.id, text="x", thread_ts="1.000000")
    assert await refused(gone) == "thread_not_found"


async def test_ephemeral_messages_are_not_shown_in_threads_without_replies(slack: Office) -> None:
    channel, world = slack.general.id, slack.world
    root = world.post(channel, user=slack.bob.id, text="hello").ts
    note = {"channel": channel, "user": slack.bob.id, "thread_ts": root}
    await slack.client.chat_postEphemeral(**note, text="unseen")
    assert world.ephemerals == []
    world.post(channel, user=slack.bob.id, text="anybody?", thread_ts=root)
    await slack.client.chat_postEphemeral(**note, text="seen")
    assert [each.text for each in world.ephemerals] == ["seen"]


async def test_ephemeral_messages_reach_members_alone(slack: Office) -> None:
    client, channel = slack.client, slack.general.id
    await client.chat_postEphemeral(channel=channel, user=slack.bob.id, text="only you")
    assert [(e.user, e.text) for e in slack.world.ephemerals] == [(slack.bob.id, "only you")]
    eve = slack.world.add_user(slack.team.id, "eve")
    word = await refused(client.chat_postEphemeral(channel=channel, user=eve.id, text="x"))
    assert word == "user_not_in_channel"


async def test_mentions_in_text_and_blocks_are_recorded_as_pings_unless_escaped(slack: Office) -> None:
    world, channel = slack.world, slack.general.id
    quiet: list[dict[str, Any]] = [
        {"type": "markdown", "text": "`<!here>` &lt;!channel&gt; <https://x.example>"}
    ]
    text = "&lt;!channel&gt; &lt;@U123&gt; a < b"
    await slack.client.chat_postMessage(channel=channel, text=text, blocks=quiet)
    assert world.pings == []
    loud: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": "<!subteam^S123> look"}},
        {"type": "section", "text": {"type": "plain_text", "text": "<!here> is plain"}},
    ]
    await slack.client.chat_postMessage(channel=channel, text=f"<!channel> <@{slack.ada.id}>", blocks=loud)
    assert [(p.what, p.where) for p in world.pings] == [
        ("<!channel>", "text"),
        (f"<@{slack.ada.id}>", "text"),
        ("<!subteam^S123>", "blocks/0/text"),
    ]


# ── reading ──────────────────────────────────────────────────────────────────────────────────


async def test_replies_come_in_pages_and_between_times(slack: Office) -> None:
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="root")
    said = [
        slack.world.post(slack.general.id, user=slack.bob.id, text=str(n), thread_ts=root.ts)
        for n in range(5)
    ]
    texts: list[str] = []
    cursor = ""
    for _ in range(3):
        page = await slack.client.conversations_replies(
            channel=slack.general.id, ts=root.ts, limit=2, cursor=cursor
        )
        texts += [m["text"] for m in page["messages"]]
        cursor = str(page.get("response_metadata", {}).get("next_cursor", ""))
    assert texts == ["root", "0", "1", "2", "3", "4"]
    assert cursor == ""
    later = await slack.client.conversations_replies(
        channel=slack.general.id, ts=root.ts, oldest=said[2].ts, latest=said[4].ts
    )
    assert [m["text"] for m in later["messages"]] == ["root", "3"]
    missing = slack.client.conversations_replies(channel=slack.general.id, ts="1.000000")
    assert await refused(missing) == "thread_not_found"
    bad = slack.client.conversations_replies(channel=slack.general.id, ts=root.ts, cursor="bad")
    assert await refused(bad) == "invalid_cursor"


async def test_history_is_newest_first_and_without_replies(slack: Office) -> None:
    first = slack.world.post(slack.general.id, user=slack.ada.id, text="first")
    slack.world.post(slack.general.id, user=slack.ada.id, text="reply", thread_ts=first.ts)
    slack.world.post(slack.general.id, user=slack.ada.id, text="shown", thread_ts=first.ts, broadcast=True)
    slack.world.post(slack.general.id, user=slack.ada.id, text="last")
    listed = await slack.client.conversations_history(channel=slack.general.id)
    messages = listed["messages"]
    assert [m["text"] for m in messages] == ["last", "shown", "first"]
    assert messages[1]["subtype"] == "thread_broadcast"
    assert messages[2]["reply_count"] == 2


async def test_a_deleted_root_with_replies_stays_as_a_tombstone(slack: Office) -> None:
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="root")
    await slack.client.chat_postMessage(channel=slack.general.id, thread_ts=root.ts, text="reply")
    slack.world.delete(slack.general.id, root.ts)
    event = slack.events("message_changed")[0]
    assert (event["message"]["subtype"], event["previous_message"]["text"]) == ("tombstone", "root")
    assert [m.get("subtype") for m in await slack.replies(root.ts)] == ["tombstone", None]


async def test_people_groups_and_channels_can_be_looked_up(slack: Office) -> None:
    client = slack.client
    ada = await client.users_info(user=slack.ada.id)
    person = ada["user"]
    assert person["is_admin"]
    assert "email" not in person["profile"]
    assert await refused(client.users_info(user="U404")) == "user_not_found"
    group = slack.world.add_group(slack.team.id, "leads", [slack.ada.id])
    assert (await client.usergroups_users_list(usergroup=group.id))["users"] == [slack.ada.id]
    assert await refused(client.usergroups_users_list(usergroup="S404")) == "no_such_subteam"
    groups = (await client.usergroups_list(include_users=True))["usergroups"]
    assert groups[0]["users"] == [slack.ada.id]
    bots = await client.bots_info(bot=slack.bot.bot_id)
    assert bots["bot"]["app_id"] == slack.app.id
    opened = await client.conversations_open(users=[slack.ada.id])
    direct = opened["channel"]["id"]
    assert direct.startswith("D")
    assert (await client.conversations_open(users=[slack.ada.id]))["already_open"]
    info = (await client.conversations_info(channel=direct))["channel"]
    assert (info["is_im"], info["user"]) == (True, slack.ada.id)
    listed = (await client.conversations_list())["channels"]
    assert [c["id"] for c in listed] == [slack.general.id]
    members = await client.conversations_members(channel=slack.general.id)
    assert set(members["members"]) == {slack.ada.id, slack.bob.id, slack.bot.bot_user}
    other = slack.world.add_channel(slack.team.id, "other")
    await client.conversations_join(channel=other.id)
    assert slack.events("member_joined_channel")[0]["user"] == slack.bot.bot_user
    assert slack.events("channel_join")


async def test_reactions_are_added_once_and_taken_back_once(slack: Office) -> None:
    said = slack.world.post(slack.general.id, user=slack.ada.id, text="x")
    place: dict[str, Any] = {"channel": slack.general.id, "timestamp": said.ts}
    await slack.client.reactions_add(name="eyes", **place)
    assert await refused(slack.client.reactions_add(name="eyes", **place)) == "already_reacted"
    got = (await slack.client.reactions_get(**place))["message"]
    assert got["reactions"] == [{"name": "eyes", "users": [slack.bot.bot_user], "count": 1}]
    await slack.client.reactions_remove(name="eyes", **place)
    assert await refused(slack.client.reactions_remove(name="eyes", **place)) == "no_reaction"
    assert slack.events("reaction_added")[0]["item_user"] == slack.ada.id


async def test_permalinks_point_at_messages_that_are_there(slack: Office) -> None:
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="x")
    link = await slack.client.chat_getPermalink(channel=slack.general.id, message_ts=root.ts)
    assert str(link["permalink"]).endswith(f"/archives/{slack.general.id}/p{root.ts.replace('.', '')}")
    gone = slack.client.chat_getPermalink(channel=slack.general.id, message_ts="1.0")
    assert await refused(gone) == "message_not_found"


async def test_a_token_of_another_team_sees_nothing_of_this_one(slack: Office) -> None:
    there = slack.world.add_team("Elsewhere")
    install = slack.world.install(slack.app.id, there.id, SCOPES)
    client = slack.client_with(slack.world.token_of(install))
    assert await refused(client.chat_postMessage(channel=slack.general.id, text="x")) == "channel_not_found"
    assert await refused(client.users_info(user=slack.ada.id)) == "user_not_found"


async def test_an_organisations_token_works_in_each_of_its_teams(slack: Office) -> None:
    one = slack.world.add_team("One", enterprise="E1")
    two = slack.world.add_team("Two", enterprise="E1")
    install = slack.world.install(slack.app.id, "", SCOPES, enterprise="E1")
    client = slack.client_with(slack.world.token_of(install))
    for team in (one, two):
        channel = slack.world.add_channel(team.id, "here", members=[install.bot_user])
        assert await refused(client.chat_postMessage(channel=channel.id, text="x")) == ""
        who = await client.auth_test(team_id=team.id)
        assert (who["team_id"], who["is_enterprise_install"]) == (team.id, True)
    assert await refused(client.chat_postMessage(channel=slack.general.id, text="x")) == "channel_not_found"


# ── hostile input ────────────────────────────────────────────────────────────────────────────

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "channel",
        "channel_id",
        "ts",
        "thread_ts",
        "text",
        "blocks",
        "view",
        "chunks",
        "metadata",
        "files",
        "limit",
        "cursor",
        "user",
        "users",
        "prompts",
        "status",
        "trigger_id",
        "attachments",
        "length",
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(sorted(METHODS)), junk=st.dictionaries(NAMES, JUNK, max_size=6))
async def test_junk_is_answered_in_slacks_way(slack: Office, method: str, junk: dict[str, Any]) -> None:
    slack.api.rates.on = False
    body = {"channel": slack.general.id, "channel_id": slack.general.id, **junk}
    token = slack.world.issue(slack.bot).token if slack.bot.active else ""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{slack.world.base_url}/api/{method}", json=body, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["ok"] in (True, False)
