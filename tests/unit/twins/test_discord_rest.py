"""The twin's REST API is as strict as Discord's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simcord.enums import ChannelType, InteractionType

from tests.twins.discord.strict import LARGEST_FILE
from tests.unit.twins.discord_calls import V2, Caller, button, caller, card, row, text


@pytest.fixture
async def discord() -> AsyncIterator[Caller]:
    async with caller(limits=False) as made:
        yield made


def asked(
    discord: Caller, kind: int = InteractionType.APPLICATION_COMMAND, *, on: str = ""
) -> tuple[str, str]:
    """Somebody's interaction in #general: the path of its answer, and that of its webhook."""
    twin = discord.twin
    user = twin.world.add_user("ada").id
    record = twin.backend.new_interaction(kind, int(twin.general), user, int(twin.guild_id))
    record.source_message_id = int(on) if on else None
    return (
        f"/interactions/{record.id}/{record.token}/callback",
        f"/webhooks/{twin.application_id}/{record.token}",
    )


# ── who calls ────────────────────────────────────────────────────────────────────────────────


async def test_wrong_and_revoked_tokens_are_unauthorized(discord: Caller) -> None:
    wrong = {"Authorization": "Bot wrong", "User-Agent": "DiscordBot (x, 1)"}
    async with discord.session.get(f"{discord.twin.api_url}/users/@me", headers=wrong) as response:
        assert (response.status, (await response.json())["code"]) == (401, 0)
    assert (await discord.call("GET", "/users/@me")).body["id"] == discord.twin.bot_id
    discord.twin.revokes_token()
    refused = await discord.call("GET", "/users/@me")
    assert (refused.status, refused.code) == (401, 0)
    assert discord.twin.rates.invalid == 2


async def test_an_unknown_route_is_404_and_noted(discord: Caller) -> None:
    refused = await discord.call("GET", "/llamas")
    assert (refused.status, refused.code) == (404, 0)
    assert "no such route" in discord.twin.violations[0]


async def test_a_wrong_user_agent_is_noted(discord: Caller) -> None:
    headers = {"Authorization": f"Bot {discord.twin.token}"}
    async with discord.session.get(f"{discord.twin.api_url}/users/@me", headers=headers) as response:
        assert response.status == 200
    assert "User-Agent" in discord.twin.violations[0]


async def test_the_gateway_is_told(discord: Caller) -> None:
    told = (await discord.call("GET", "/gateway/bot")).body
    assert told["url"] == discord.twin.gateway_url
    assert told["url"].startswith("ws://127.0.0.1:")
    assert told["session_start_limit"]["total"] == 1000
    flags = (await discord.call("GET", "/applications/@me")).body["flags"]
    assert flags & (1 << 19)  # GATEWAY_MESSAGE_CONTENT_LIMITED


# ── nonces ───────────────────────────────────────────────────────────────────────────────────


async def test_the_same_nonce_again_gives_the_first_message_and_makes_none(discord: Caller) -> None:
    sent = {"content": "once", "nonce": "run-1.1", "enforce_nonce": True}
    first = await discord.post(discord.twin.general, sent)
    again = await discord.post(discord.twin.general, {**sent, "content": "twice"})
    assert again.status == 200
    assert (again.body["id"], again.body["content"]) == (first.body["id"], "once")
    assert again.body["nonce"] == "run-1.1"
    assert len(discord.twin.backend.messages[int(discord.twin.general)]) == 1
    assert discord.twin.violations == []


async def test_a_nonce_is_remembered_for_minutes_only_and_for_its_channel(discord: Caller) -> None:
    sent = {"content": "once", "nonce": "n", "enforce_nonce": True}
    first = await discord.post(discord.twin.general, sent)
    elsewhere = await discord.post(discord.twin.channel("other"), sent)
    discord.twin.advance(600)
    later = await discord.post(discord.twin.general, sent)
    assert len({each.body["id"] for each in (first, elsewhere, later)}) == 3


async def test_without_enforce_nonce_the_message_is_there_twice(discord: Caller) -> None:
    for _ in range(2):
        await discord.post(discord.twin.general, {"content": "x", "nonce": "n"})
    assert len(discord.twin.backend.messages[int(discord.twin.general)]) == 2


async def test_the_nonce_is_in_the_event_of_its_message_alone(discord: Caller) -> None:
    seen: list[Any] = []
    discord.twin.backend.subscribers.append(
        lambda event, payload: seen.append(payload["nonce"]) if event == "MESSAGE_CREATE" else None
    )
    await discord.post(discord.twin.general, {"content": "x", "nonce": "n"})
    await discord.post(discord.twin.general)
    assert seen == ["n", None]


# ── messages ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"content": "x" * 2001}, 50035),
        ({"content": "   "}, 50006),
        ({"content": "x", "nonce": "n" * 26}, 50035),
        (card(text("x" * 4001)), 50035),
        (card(text("x" * 2001), text("x" * 2000)), 50035),
        (card(*[text()] * 40), 50035),  # and the container
        (card(text(), content="both"), 50035),
        (card(row(button("a"), button("a"))), 50035),
        ({"flags": V2, "components": [{**text(), "id": 7}, {**text(), "id": 7}]}, 50035),
        ({"components": [text()]}, 50035),
        (card(row(button("q" * 101))), 50035),
        ({"flags": V2, "components": [{**text(), "id": 1 << 31}]}, 50035),
    ],
)
async def test_a_message_beyond_the_limits_is_refused(discord: Caller, body: Any, code: int) -> None:
    refused = await discord.post(discord.twin.general, body)
    assert (refused.status, refused.code) == (400, code)
    assert discord.twin.backend.messages[int(discord.twin.general)] == {}


async def test_the_largest_card_is_taken(discord: Caller) -> None:
    taken = await discord.post(
        discord.twin.general, card(text("x" * 4000), *[row(button(str(n))) for n in range(19)])
    )
    assert taken.status == 200
    assert discord.twin.violations == []


async def test_a_v2_message_stays_one(discord: Caller) -> None:
    made = (await discord.post(discord.twin.general, card(text()))).body
    path = f"/channels/{discord.twin.general}/messages/{made['id']}"
    assert (await discord.call("PATCH", path, {"flags": 0, "content": "x", "components": []})).code == 50035
    assert (await discord.call("PATCH", path, card(text("new")))).status == 200


async def test_files_come_with_their_message_and_are_on_the_cdn(discord: Caller) -> None:
    shown = card(text(), {"type": 13, "file": {"url": "attachment://a.txt"}}, attachments=[{"id": 0}])
    made = (await discord.post(discord.twin.general, shown, files=[("a.txt", b"llamas")])).body
    (kept,) = made["attachments"]
    async with discord.session.get(kept["url"]) as response:
        assert await response.read() == b"llamas"
    async with discord.session.get(kept["url"].partition("?")[0]) as response:
        assert response.status == 404
    assert discord.twin.violations == []


async def test_a_file_no_component_shows_is_noted(discord: Caller) -> None:
    await discord.post(discord.twin.general, card(text()), files=[("a.txt", b"llamas")])
    assert "no component shows the file 'a.txt'" in discord.twin.violations[0]


async def test_a_file_beyond_10_mib_is_refused(discord: Caller) -> None:
    refused = await discord.post(
        discord.twin.general, {"content": "x"}, files=[("a", bytes(LARGEST_FILE + 1))]
    )
    assert (refused.status, refused.code) == (413, 40005)


async def test_a_reply_to_nothing_is_refused(discord: Caller) -> None:
    nothing: dict[str, Any] = {"content": "x", "message_reference": {"message_id": "1"}}
    assert (await discord.post(discord.twin.general, nothing)).code == 50035
    nothing["message_reference"] = {"message_id": "1", "fail_if_not_exists": False}
    assert (await discord.post(discord.twin.general, nothing)).status == 200


async def test_history_after_an_id_begins_with_the_next_ones(discord: Caller) -> None:
    made = [(await discord.post(discord.twin.general, {"content": str(n)})).body["id"] for n in range(5)]
    read = await discord.call("GET", f"/channels/{discord.twin.general}/messages", after=made[0], limit="2")
    assert [m["content"] for m in read.body] == ["2", "1"]


async def test_old_messages_take_few_edits(discord: Caller) -> None:
    made = (await discord.post(discord.twin.general)).body["id"]
    assert [(await discord.edit(discord.twin.general, made)).status for _ in range(5)] == [200] * 5
    discord.twin.advance(3601)
    answers = [await discord.edit(discord.twin.general, made) for _ in range(4)]
    assert [(a.status, a.code) for a in answers] == [(200, 0)] * 3 + [(429, 30046)]
    assert answers[-1].body["retry_after"] > 0
    discord.twin.advance(60)
    assert (await discord.edit(discord.twin.general, made)).status == 200


async def test_what_a_person_deleted_is_gone(discord: Caller) -> None:
    made = (await discord.post(discord.twin.general)).body["id"]
    discord.twin.deletes_message(discord.twin.general, made)
    assert (await discord.edit(discord.twin.general, made)).code == 10008
    discord.twin.deletes_channel(discord.twin.general)
    assert (await discord.post(discord.twin.general)).code == 10003


async def test_missing_permissions_and_access_are_told_apart(discord: Caller) -> None:
    discord.twin.takes_permissions("send_messages")
    assert (await discord.post(discord.twin.general)).code == 50013
    discord.twin.gives_permissions("send_messages")
    assert (await discord.post(discord.twin.general)).status == 200
    discord.twin.takes_permissions("attach_files")
    assert (await discord.post(discord.twin.general, {"content": "x"}, files=[("a", b"b")])).code == 50013
    discord.twin.hides_channel(discord.twin.general)
    assert (await discord.post(discord.twin.general)).code == 50001
    other = discord.twin.guild("Other")
    place = str(discord.twin.backend.guilds[int(other)].channel_ids[0])
    discord.twin.removes_bot(other)
    assert (await discord.post(place)).code == 50001


async def test_direct_messages_can_be_closed_and_need_a_guild_in_common(discord: Caller) -> None:
    ada = discord.twin.world.add_user("ada")
    opened = await discord.call("POST", "/users/@me/channels", {"recipient_id": str(ada.id)})
    assert (await discord.post(opened.body["id"])).status == 200
    discord.twin.closes_dms(str(ada.id))
    refused = await discord.post(opened.body["id"])
    assert (refused.status, refused.code) == (403, 50007)
    discord.twin.backend.closed_dms.clear()
    discord.twin.backend.remove_member(int(discord.twin.guild_id), ada.id)
    assert (await discord.post(opened.body["id"])).code == 50278


# ── threads ──────────────────────────────────────────────────────────────────────────────────


async def test_a_thread_has_its_messages_id_and_there_is_one(discord: Caller) -> None:
    message = (await discord.post(discord.twin.general)).body["id"]
    thread = await discord.thread(message)
    assert (thread.status, thread.body["id"]) == (200, message)
    assert (await discord.thread(message)).code == 160004
    place = f"/channels/{discord.twin.general}/messages/{message}"
    assert (await discord.call("GET", place)).body["flags"] & (1 << 5)
    (starter,) = (await discord.call("GET", f"/channels/{message}/messages")).body
    assert (starter["type"], starter["referenced_message"]["id"]) == (21, message)
    assert len(discord.twin.backend.messages[int(discord.twin.general)]) == 1  # no notice beside it


async def test_threads_begin_in_text_channels_alone(discord: Caller) -> None:
    voice = discord.twin.channel("voice", kind=ChannelType.VOICE)
    message = (await discord.post(voice)).body["id"]
    assert (await discord.thread(message, voice)).code == 50024
    discord.twin.takes_permissions("create_public_threads")
    message = (await discord.post(discord.twin.general)).body["id"]
    assert (await discord.thread(message)).code == 50013


async def begun(discord: Caller) -> tuple[str, str]:
    """A thread and a message of ours in it."""
    thread = (await discord.thread((await discord.post(discord.twin.general)).body["id"])).body["id"]
    return thread, (await discord.post(thread)).body["id"]


async def test_an_archived_thread_takes_no_edits_but_opens_for_a_message(discord: Caller) -> None:
    thread, message = await begun(discord)
    discord.twin.closes_thread(thread)
    assert (await discord.edit(thread, message)).code == 50083
    reaction = f"/channels/{thread}/messages/{message}/reactions/%E2%9C%85/@me"
    assert (await discord.call("PUT", reaction)).code == 50083
    assert (await discord.call("PATCH", f"/channels/{thread}", {"name": "x"})).code == 50083
    assert (await discord.post(thread)).status == 200
    assert (await discord.edit(thread, message)).status == 200
    discord.twin.closes_thread(thread)
    opened = await discord.call("PATCH", f"/channels/{thread}", {"archived": False})
    assert opened.body["thread_metadata"]["archived"] is False
    assert (await discord.call("PUT", reaction)).status == 204


async def test_a_locked_thread_is_for_those_who_manage_threads(discord: Caller) -> None:
    thread, message = await begun(discord)
    discord.twin.locks_thread(thread)
    assert (await discord.post(thread)).code == 50013
    assert (await discord.edit(thread, message)).code == 50013
    discord.twin.closes_thread(thread, locked=True)
    assert (await discord.post(thread)).code == 50083
    assert (await discord.call("PATCH", f"/channels/{thread}", {"archived": False})).code == 50013
    discord.twin.gives_permissions("manage_threads")
    assert (await discord.post(thread)).status == 200


async def test_a_quiet_thread_is_archived_after_its_time(discord: Caller) -> None:
    thread, _ = await begun(discord)
    discord.twin.advance(1440 * 60 - 60)
    assert (await discord.call("GET", f"/channels/{thread}")).body["thread_metadata"]["archived"] is False
    discord.twin.advance(120)
    assert (await discord.call("GET", f"/channels/{thread}")).body["thread_metadata"]["archived"] is True


# ── interactions ─────────────────────────────────────────────────────────────────────────────


async def test_an_interaction_is_answered_once_and_within_3_s(discord: Caller) -> None:
    answer, webhook = asked(discord)
    body = {"type": 4, "data": {"content": "hello", "flags": 64}}
    assert (await discord.call("POST", webhook, {"content": "too early"})).code == 10015
    assert (await discord.call("POST", answer, body)).status == 204
    assert (await discord.call("POST", answer, body)).code == 40060
    assert (await discord.call("POST", webhook, {"content": "more", "flags": 64})).status == 200
    late, _ = asked(discord)
    discord.twin.advance(3.1)
    assert (await discord.call("POST", late, body)).code == 10062


async def test_an_interactions_token_lives_15_minutes(discord: Caller) -> None:
    answer, webhook = asked(discord)
    told = await discord.call("POST", answer, {"type": 5}, with_response="true")
    assert told.body["interaction"]["response_message_loading"] is True
    discord.twin.advance(899)
    original = f"{webhook}/messages/@original"
    assert (await discord.call("PATCH", original, {"content": "done"})).status == 200
    discord.twin.advance(2)
    refused = await discord.call("PATCH", original, {"content": "late"})
    assert (refused.status, refused.code) == (401, 50027)
    assert (await discord.call("POST", "/webhooks/1/unknown", {"content": "x"})).code == 50027


async def test_an_interaction_needs_no_token_of_the_bot(discord: Caller) -> None:
    answer, _ = asked(discord)
    agent = {"User-Agent": "DiscordBot (x, 1)"}
    url = discord.twin.api_url + answer
    async with discord.session.post(url, json={"type": 5}, headers=agent) as response:
        assert response.status == 204


def form(**more: Any) -> dict[str, Any]:
    field = {"type": 4, "custom_id": "f:a", "style": 1}
    data = {
        "custom_id": "q:form:1",
        "title": "Edit",
        "components": [{"type": 18, "label": "A", "component": field}],
    }
    return {"type": 9, "data": {**data, **more}}


@pytest.mark.parametrize(
    "more",
    [
        {"title": "x" * 46},
        {"components": [form()["data"]["components"][0]] * 6},
        {
            "components": [
                {"type": 18, "label": "x" * 46, "component": {"type": 4, "custom_id": "a", "style": 1}}
            ]
        },
        {"components": []},
        {"custom_id": "x" * 101},
    ],
)
async def test_a_form_beyond_the_limits_is_refused_and_can_be_sent_again(discord: Caller, more: Any) -> None:
    answer, _ = asked(discord)
    assert (await discord.call("POST", answer, form(**more))).code == 50035
    assert (await discord.call("POST", answer, form())).status == 204


async def test_answers_fit_their_interaction(discord: Caller) -> None:
    submitted, _ = asked(discord, InteractionType.MODAL_SUBMIT)
    assert (await discord.call("POST", submitted, form())).code == 50035
    command, _ = asked(discord)
    assert (await discord.call("POST", command, {"type": 6})).code == 50035
    typed, _ = asked(discord, InteractionType.APPLICATION_COMMAND_AUTOCOMPLETE)
    assert (await discord.call("POST", typed, {"type": 5})).code == 50035
    choices = {"type": 8, "data": {"choices": [{"name": "daily", "value": "daily"}]}}
    assert (await discord.call("POST", typed, choices)).status == 204
    message = (await discord.post(discord.twin.general, card(row(button("a"))))).body["id"]
    pressed, _ = asked(discord, InteractionType.MESSAGE_COMPONENT, on=message)
    assert (await discord.call("POST", pressed, {"type": 6})).status == 204


async def test_reactions_are_emoji(discord: Caller) -> None:
    message = (await discord.post(discord.twin.general)).body["id"]
    path = f"/channels/{discord.twin.general}/messages/{message}/reactions"
    assert (await discord.call("PUT", f"{path}/llama/@me")).code == 10014
    assert (await discord.call("PUT", f"{path}/%F0%9F%91%80/@me")).status == 204
    assert (await discord.call("DELETE", f"{path}/%F0%9F%91%80/@me")).status == 204


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "flags", "components", "type", "data", "nonce", "id", "embeds", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=_values.filter(lambda value: value is not None))
async def test_any_body_gets_an_answer(discord: Caller, body: Any) -> None:
    assert (await discord.call("POST", f"/channels/{discord.twin.general}/messages", body)).status in (
        200,
        400,
    )
    answer, _ = asked(discord)
    assert (await discord.call("POST", answer, body)).status in (204, 400)


@pytest.mark.parametrize(
    "path", ["/channels/abc/messages", "/channels/%20/messages", f"/channels/{'9' * 40}/messages"]
)
async def test_an_id_that_is_none_is_refused(discord: Caller, path: str) -> None:
    assert (await discord.call("POST", path, {"content": "x"})).status == 400


async def test_a_broken_body_is_refused(discord: Caller) -> None:
    url = f"{discord.twin.api_url}/channels/{discord.twin.general}/messages"
    headers = {"Authorization": f"Bot {discord.twin.token}", "User-Agent": "DiscordBot (x, 1)"}
    for sent in (b"{", b"\xff"):
        kind = {"Content-Type": "application/json"}
        async with discord.session.post(url, data=sent, headers=headers | kind) as response:
            assert (response.status, (await response.json())["code"]) == (400, 50035)
    form = aiohttp.FormData({"content": "in a form"}, default_to_multipart=True)
    async with discord.session.post(url, data=form, headers=headers) as response:
        assert response.status == 400
    assert len(discord.twin.violations) == 3
