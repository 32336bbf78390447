"""Clicks and modals at the twin, a real Bolt app behind it: triggers, errors, updates, what Slack refuses."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from slack_sdk.errors import SlackApiError

from tests.twins.slack import NotPossible, SlackTwin
from tests.twins.slack.delivery import Json

from .slack_bots import CARD, FORM, bolt_app, post_card, running, text, web_client

Mode = Literal["socket", "http"]
both_modes = pytest.mark.parametrize("mode", ["socket", "http"])


@both_modes
async def test_a_click_opens_a_modal_whose_answer_the_person_sees(mode: Mode) -> None:
    async with SlackTwin(mode) as slack:
        app = bolt_app(slack)
        got: list[Json] = []

        @app.action("say:yes")
        async def clicked(ack: Any, body: Json, client: Any) -> None:
            await ack()
            got.append(body)
            await client.views_open(trigger_id=body["trigger_id"], view=FORM)

        @app.view("form")
        async def sent(ack: Any, body: Json) -> None:
            got.append(body)
            values = body["view"]["state"]["values"]
            if values["goal"]["value"]["value"] == "bad":
                await ack(response_action="errors", errors={"goal": "not that"})
            elif values["size"]["value"]["selected_option"] is None:
                await ack(response_action="update", view={**FORM, "title": text("Once more")})
            else:
                await ack()

        async with running(app, slack):
            ada, ts = slack.person("ada"), await post_card(slack)
            click = ada.clicks(slack.general, ts, "Yes")
            view = await slack.until(lambda: ada.modal)
            refused = await ada.submits(view, {"goal": {"value": "bad"}})
            assert (refused.outcome, refused.errors) == ("errors", {"goal": "not that"})
            assert ada.modal == view
            updated = await ada.submits(view, {"goal": {"value": "alpacas"}})
            assert updated.outcome == "updated"
            assert ada.modal is not None
            assert ada.modal.payload["title"]["text"] == "Once more"
            closed = await ada.submits(view.id, {"size": {"value": "Large"}})
            assert closed.outcome == "closed"
            assert ada.modal is None
        assert click.acked
        body, _, _, last = got
        assert body["container"] == {
            "type": "message",
            "message_ts": ts,
            "channel_id": slack.general,
            "is_ephemeral": False,
        }
        assert body["actions"][0]["value"] == "1"
        assert body["actions"][0]["block_id"] == "asks"
        assert body["message"]["text"] == "Shall I?"
        assert body["user"]["id"] == ada.id
        assert last["view"]["state"]["values"]["goal"]["value"] == {
            "type": "plain_text_input",
            "value": "alpacas",
        }
        assert last["view"]["state"]["values"]["size"]["value"]["selected_option"]["value"] == "l"


async def test_slack_itself_refuses_long_and_empty_inputs_and_tells_the_bot_nothing() -> None:
    async with SlackTwin() as slack:
        ada = slack.person("ada")
        await web_client(slack).views_open(
            trigger_id=slack.interactions.shortcut(ada.user, "x")["trigger_id"], view=FORM
        )
        assert ada.modal is not None
        before = len(slack.delivery.parcels)
        long = await ada.submits(ada.modal, {"goal": {"value": "x" * 11}})
        empty = await ada.submits(ada.modal, {"goal": {"value": ""}})
        assert (long.outcome, empty.outcome) == ("not sent", "not sent")
        assert "10 characters" in long.errors["goal"]
        assert "required" in empty.errors["goal"]
        assert len(slack.delivery.parcels) == before
        with pytest.raises(NotPossible, match="'xl' is not among the options"):
            await ada.submits(ada.modal, {"size": {"value": "xl"}})
        with pytest.raises(NotPossible, match="no such input"):
            await ada.submits(ada.modal, {"nothing": {"value": "x"}})


@both_modes
async def test_a_submit_that_the_bot_does_not_acknowledge_fails_and_keeps_the_modal(mode: Mode) -> None:
    async with SlackTwin(mode, ack_limit_s=0.3) as slack:
        app = bolt_app(slack)

        @app.view("form")
        async def never() -> None:
            pass

        async with running(app, slack):
            ada = slack.person("ada")
            trigger = slack.interactions.shortcut(ada.user, "x")["trigger_id"]
            await web_client(slack).views_open(trigger_id=trigger, view=FORM)
            assert ada.modal is not None
            assert (await ada.submits(ada.modal)).outcome == "failed"
            assert ada.modal is not None


@both_modes
async def test_push_clear_and_close_move_the_stack_of_modals(mode: Mode) -> None:
    async with SlackTwin(mode) as slack:
        app = bolt_app(slack)
        answers = iter(
            [
                {"response_action": "push", "view": {**FORM, "title": text("Two")}},
                {"response_action": "errors", "errors": {"no such block": "x"}},
                {"response_action": "clear"},
            ]
        )
        closed: list[Json] = []

        @app.view("form")
        async def sent(ack: Any) -> None:
            await ack(**next(answers))

        @app.view_closed("form")
        async def gone(ack: Any, body: Json) -> None:
            await ack()
            closed.append(body)

        async with running(app, slack):
            ada = slack.person("ada")
            for _ in range(2):
                trigger = slack.interactions.shortcut(ada.user, "x")["trigger_id"]
                await web_client(slack).views_open(trigger_id=trigger, view=FORM)
            assert ada.modal is not None
            first = ada.modal
            pushed = await ada.submits(first)
            assert pushed.outcome == "pushed"
            assert ada.modal is pushed.view
            assert ada.modal.previous_id == first.id
            with pytest.raises(NotPossible, match="not the one on the screen"):
                await ada.submits(first)
            assert (await ada.submits(ada.modal)).outcome == "failed"  # errors for a block that is not there
            ada.closes(ada.modal)
            assert ada.modal is first
            assert (await ada.submits(first)).outcome == "cleared"
            assert ada.modal is None
            await slack.until(lambda: closed)
        assert closed[0]["type"] == "view_closed"
        assert closed[0]["is_cleared"] is False


async def test_a_trigger_works_once_and_for_three_seconds() -> None:
    async with SlackTwin(ack_limit_s=0.1) as slack:
        ada, ts = slack.person("ada"), await post_card(slack)
        once = ada.clicks(slack.general, ts, "say:yes").payload["trigger_id"]
        late = ada.clicks(slack.general, ts, "say:yes").payload["trigger_id"]
        await web_client(slack).views_open(trigger_id=once, view=FORM)
        with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
            await web_client(slack).views_open(trigger_id=once, view=FORM)
        slack.world.clock.jump(3.1)
        with pytest.raises(SlackApiError, match="expired_trigger_id"):
            await web_client(slack).views_open(trigger_id=late, view=FORM)


async def test_a_click_without_answer_warns_the_person_and_is_not_repeated() -> None:
    async with SlackTwin(ack_limit_s=0.1, time_scale=0) as slack:
        ada, ts = slack.person("ada"), await post_card(slack)
        click = ada.clicks(slack.general, ts, "No")
        await slack.until(lambda: ada.warnings)
        assert len(click.attempts) == 1


async def test_people_cannot_press_what_is_not_there() -> None:
    async with SlackTwin() as slack:
        ada, ts = slack.person("ada"), await post_card(slack)
        with pytest.raises(NotPossible, match=r"0 elements are 'Maybe'; there are: 'No' \(say:no\), 'Yes'"):
            ada.clicks(slack.general, ts, "Maybe")
        own = ada.posts(slack.general, "mine")
        with pytest.raises(NotPossible, match="not the app's"):
            ada.clicks(slack.general, own, "Yes")
        with pytest.raises(NotPossible, match="somebody else's"):
            ada.deletes(ts)
        secret = slack.channel("secret", "bob", private=True)
        with pytest.raises(NotPossible, match="not in the channel"):
            ada.posts(secret, "let me in")
        assert ada.sees(secret) == []


async def test_feedback_menus_and_repeated_buttons_are_found_by_what_tells_them_apart() -> None:
    feedback: Json = {
        "type": "context_actions",
        "elements": [
            {
                "type": "feedback_buttons",
                "action_id": "quartet:feedback",
                "positive_button": {"text": text("Good"), "value": "good\nrun_1"},
                "negative_button": {"text": text("Bad"), "value": "bad\nrun_1"},
            }
        ],
    }
    menu: Json = {
        "type": "section",
        "block_id": "menu",
        "text": text("Workflow"),
        "accessory": FORM["blocks"][1]["element"] | {"action_id": "choose"},
    }
    async with SlackTwin(ack_limit_s=0.1) as slack:
        posted = await web_client(slack).chat_postMessage(
            channel=slack.general,
            text="Answer",
            blocks=[feedback, menu, *CARD[1:], {**CARD[1], "block_id": "again"}],
        )
        ada, ts = slack.person("ada"), str(posted["ts"])
        assert ada.gives_feedback(slack.general, ts, "bad").payload["actions"][0]["value"] == "bad\nrun_1"
        chosen = ada.clicks(slack.general, ts, "choose", option="Large").payload["actions"][0]
        assert chosen["selected_option"]["value"] == "l"
        with pytest.raises(NotPossible, match="2 elements"):
            ada.clicks(slack.general, ts, "Yes")
        assert (
            ada.clicks(slack.general, ts, "Yes", block="again").payload["actions"][0]["block_id"] == "again"
        )
        seen = ada.sees(slack.general)[-1]
        assert seen.buttons[:2] == ("Good", "Bad")
        assert "Workflow" in seen.shows
