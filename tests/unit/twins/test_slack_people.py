"""People at the twin, a real Bolt app behind it: commands, shortcuts, the home tab, files, what is seen."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import aiohttp
import pytest

from tests.twins.slack import NotPossible, SlackTwin
from tests.twins.slack.delivery import Json

from .slack_bots import CARD, bolt_app, post_card, running, web_client

Mode = Literal["socket", "http"]
both_modes = pytest.mark.parametrize("mode", ["socket", "http"])


@both_modes
async def test_a_command_is_answered_to_its_person_alone(mode: Mode) -> None:
    async with SlackTwin(mode) as slack:
        app = bolt_app(slack)
        got: list[Json] = []

        @app.command("/quartet")
        async def command(ack: Any, body: Json, respond: Any) -> None:
            got.append(body)
            await ack(text="one moment") if body["text"] == "help" else await ack()
            await respond(text="for all", response_type="in_channel")

        async with running(app, slack):
            ada, bob = slack.person("ada"), slack.person("bob")
            ada.slash(slack.general, "/quartet", "help")
            await slack.until(lambda: len(ada.sees(slack.general)) == 2)
            assert {(m.text, m.ephemeral) for m in ada.sees(slack.general)} == {
                ("one moment", True),
                ("for all", False),
            }
            assert [m.text for m in bob.sees(slack.general)] == ["for all"]
            with pytest.raises(NotPossible, match="not supported in threads"):
                ada.slash(slack.general, "/quartet", "help", thread="1.0")
            with pytest.raises(NotPossible, match="not a valid command"):
                ada.slash(slack.general, "/quartett")
        assert got[0]["channel_name"] == "general"
        assert got[0]["user_id"] == ada.id
        assert got[0]["is_enterprise_install"] == "false"


async def test_a_command_without_answer_tells_its_person_so() -> None:
    async with SlackTwin(ack_limit_s=0.1) as slack:
        ada = slack.person("ada")
        ada.slash(slack.general, "/quartet", "help")
        await slack.until(lambda: ada.warnings)
        assert "operation_timeout" in ada.warnings[0]


@both_modes
async def test_shortcuts_carry_their_message_and_a_trigger(mode: Mode) -> None:
    async with SlackTwin(mode) as slack:
        app = bolt_app(slack)
        got: list[Json] = []

        async def take(ack: Any, body: Json) -> None:
            await ack()
            got.append(body)

        app.message_shortcut("quartet:ask_about")(take)
        app.global_shortcut("quartet:ask_new")(take)
        async with running(app, slack):
            ada = slack.person("ada")
            ts = slack.person("bob").posts(slack.general, "what about this?")
            ada.message_shortcut(slack.general, ts, "quartet:ask_about")
            ada.global_shortcut("quartet:ask_new")
            await slack.until(lambda: len(got) == 2)
        about = next(body for body in got if body["type"] == "message_action")
        assert about["message"]["text"] == "what about this?"
        assert about["channel"] == {"id": slack.general, "name": "general"}
        assert all(body["trigger_id"] in slack.world.triggers for body in got)


async def test_a_response_url_answers_five_times_in_thirty_minutes() -> None:
    async with SlackTwin(ack_limit_s=0.1) as slack, aiohttp.ClientSession() as session:
        ada, ts = slack.person("ada"), await post_card(slack)
        url = ada.clicks(slack.general, ts, "Yes").payload["response_url"]
        other = ada.clicks(slack.general, ts, "Yes").payload["response_url"]

        async def answer(address: str, body: Any) -> tuple[int, str]:
            async with session.post(address, json=body) as response:
                return response.status, (await response.json()).get("error", "")

        assert await answer(url, {"text": "only you"}) == (200, "")
        assert await answer(url, {"text": "decided", "replace_original": True}) == (200, "")
        assert await answer(url, []) == (400, "invalid_payload")
        assert await answer(url, {}) == (400, "no_text")
        assert await answer(url, {"text": "x", "blocks": [{"type": "nonsense"}]}) == (400, "invalid_blocks")
        assert [m.text for m in ada.sees(slack.general)] == ["decided", "only you"]
        assert [m.text for m in slack.person("bob").sees(slack.general)] == ["decided"]
        assert await answer(url, {"delete_original": True}) == (200, "")
        assert slack.person("bob").sees(slack.general) == []
        for _ in range(2):
            assert await answer(url, {"text": "again"}) == (200, "")
        assert await answer(url, {"text": "a sixth time"}) == (404, "used_url")
        assert await answer(url + "x", {"text": "?"}) == (404, "no_such_url")
        slack.world.clock.jump(1801)
        assert await answer(other, {"text": "late"}) == (404, "expired_url")


async def test_ephemeral_buttons_are_for_one_person_and_send_no_message_along() -> None:
    async with SlackTwin(ack_limit_s=0.1) as slack:
        ada, bob = slack.person("ada"), slack.person("bob")
        posted = await web_client(slack).chat_postEphemeral(
            channel=slack.general, user=ada.id, text="psst", blocks=CARD
        )
        ts = str(posted["message_ts"])
        click = ada.clicks(slack.general, ts, "Yes")
        assert click.payload["container"]["is_ephemeral"] is True
        assert "message" not in click.payload
        with pytest.raises(NotPossible, match="no such message"):
            bob.clicks(slack.general, ts, "Yes")


# ── home, agent pane, files ──────────────────────────────────────────────────────────────────


@both_modes
async def test_the_home_tab_is_published_and_clicked(mode: Mode) -> None:
    async with SlackTwin(mode) as slack:
        app = bolt_app(slack)
        clicks: list[Json] = []

        @app.event("app_home_opened")
        async def opened(event: Json, client: Any) -> None:
            if event["tab"] == "home":
                await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": CARD})

        @app.action("say:no")
        async def clicked(ack: Any, body: Json) -> None:
            await ack()
            clicks.append(body)

        async with running(app, slack):
            ada = slack.person("ada")
            with pytest.raises(NotPossible, match="no home tab"):
                ada.clicks_home("No")
            ada.opens_home()
            await slack.until(lambda: ada.home)
            ada.clicks_home("No")
            await slack.until(lambda: clicks)
        assert clicks[0]["container"]["type"] == "view"
        assert clicks[0]["view"]["type"] == "home"
        assert "channel" not in clicks[0]


async def test_the_agent_pane_tells_of_its_context_and_of_stop() -> None:
    async with SlackTwin(time_scale=0) as slack:
        ada = slack.person("ada")
        ada.opens_home("messages")
        ada.changes_context(slack.general)
        ts = ada.mentions(slack.general, "work")
        await web_client(slack).chat_postMessage(channel=slack.general, thread_ts=ts, text="working")
        ada.stops_session(slack.general, ts)
        events = {parcel.event["type"]: parcel.event for parcel in slack.delivery.parcels}
        assert events["app_home_opened"]["channel"] == ada.dm
        assert events["app_context_changed"]["context"]["entities"][0]["value"] == slack.general
        stopped = events["agent_session_stopped"]
        assert (stopped["channel"], stopped["thread_ts"], stopped["user"]) == (slack.general, ts, ada.id)
        assert stopped["streaming_message_ts"] == []


async def test_a_file_of_a_person_is_fetched_with_the_bots_token() -> None:
    async with SlackTwin(time_scale=0) as slack, aiohttp.ClientSession() as session:
        ada = slack.person("ada")
        ada.mentions(slack.general, "read this", files=[("notes.txt", "text/plain", b"llamas eat hay")])
        event = next(p.event for p in slack.delivery.parcels if p.event["type"] == "app_mention")
        headers = {"Authorization": f"Bearer {slack.bot_token}"}
        async with session.get(event["files"][0]["url_private_download"], headers=headers) as response:
            assert await response.read() == b"llamas eat hay"
        assert ada.sees(slack.general)[-1].files[0].text == "llamas eat hay"


async def test_edits_deletions_and_reactions_are_told_as_they_happen() -> None:
    async with SlackTwin(time_scale=0) as slack:
        ada = slack.person("ada")
        ts = ada.posts(slack.general, "one")
        ada.edits(ts, "two")
        ada.reacts(ts, "x")
        assert ada.sees(slack.general)[-1].reactions == ("x",)
        ada.unreacts(ts, "x")
        ada.deletes(ts)
        told = [(p.event["type"], p.event.get("subtype", "")) for p in slack.delivery.parcels]
        assert told == [
            ("message", ""),
            ("message", "message_changed"),
            ("reaction_added", ""),
            ("message", "message_deleted"),
        ]
        assert ada.sees(slack.general) == []


async def test_a_hundred_clicks_at_once_are_each_acknowledged() -> None:
    async with SlackTwin() as slack:
        app = bolt_app(slack)
        users: list[str] = []

        @app.action("say:yes")
        async def clicked(ack: Any, body: Json) -> None:
            await ack()
            users.append(body["user"]["id"])

        async with running(app, slack):
            ts = await post_card(slack)
            people = [slack.person(f"person{number}") for number in range(10)]
            clicks = [person.clicks(slack.general, ts, "Yes") for person in people for _ in range(10)]
            async with asyncio.timeout(60):
                await asyncio.gather(*(click.settled.wait() for click in clicks))
        assert all(click.acked for click in clicks)
        assert sorted(users) == sorted(person.id for person in people for _ in range(10))
