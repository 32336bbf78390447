"""The ways to Quartet on Slack: commands, shortcuts, direct messages, App Home; and the ways to stop it."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.journey.slack_desk import Mode, desk
from tests.journey.slack_scripts import HANG

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("mode", ["socket", "http"])
async def test_quartet_ask_status_settings_and_a_word_that_is_none(
    tmp_path: Path, mode: Mode, snapshot: SnapshotAssertion
) -> None:
    async with desk(tmp_path, mode=mode) as one:
        one.ada.slash(one.general, "/quartet", "status")
        await one.says("Nothing works or waits here.", None)
        one.ada.slash(one.general, "/quartet", "ask What is coffee made of?")
        root = await one.says("What is coffee made of?", None)
        await one.waits(root.ts)
        for words, answer in (
            ("status", "Waiting for people"),
            ("settings", "Settings of this channel"),
            ("settings busy=steer", "Only admins"),
            ("sttus", "Did you mean"),
        ):
            one.ada.slash(one.general, "/quartet", words)
            await one.says(answer, None)
        one.root.slash(one.general, "/quartet", "settings busy=steer")
        await one.says("Set for this channel: busy = steer.", None, by=one.root)
        assert one.transcript.channel(one.ada, one.general) == snapshot
        assert [seen.ephemeral for seen in one.bob.sees(one.general)] == [False]


async def test_stop_by_word_by_button_and_by_the_mark_of_who_asked(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    async with desk(tmp_path, script={"answers": {"researcher": [HANG, HANG, HANG]}}) as one:
        texts = ("What is tea?", "What is coffee?", "What is milk?")
        by_word, by_button, by_mark = (one.ada.mentions(one.general, text) for text in texts)
        await one.until(lambda: len(one.prompts("researcher")) == 3)
        card = await one.status(by_mark)
        one.bob.reacts(by_mark, "x")
        one.root.reacts(card.ts, "x")  # an admin may stop it, but whose mark means that is who asked
        await one.settled()
        one.ada.mentions(one.general, "stop", by_word)
        await one.presses(one.ada, by_button, "Stop")
        for thread in (by_word, by_button):
            await one.says("Stopped by ada. Write again to start a new turn.", thread)
            await one.quiet(thread)
        assert "Stop" in (await one.status(by_mark)).buttons
        one.ada.reacts(card.ts, "x")
        await one.says("Stopped by ada. Write again to start a new turn.", by_mark)
        await one.quiet(by_mark)
        assert one.read(by_mark, by=one.bob) == snapshot(name="as bob sees it, whose mark was not asked for")
        assert one.read(by_button) == snapshot(name="by button")
        assert "Stopping “What is tea?”" in one.read(by_word)
        models = one.models
        await one.until(lambda: all(asked["disconnected"] for asked in models.journal()["requests"]))
        assert [run["status"] for run in await one.runs()] == ["stopped"] * 3


async def test_both_shortcuts_ask_in_a_modal_and_answer_in_a_thread(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    async with desk(tmp_path, config={"chat": {"approvals": "auto"}}) as one:
        about = one.bob.posts(one.general, "Tea is a warm drink made of leaves.")
        one.ada.message_shortcut(one.general, about, "quartet:ask_about")
        view = await one.modal(one.ada, "Ask Quartet")
        assert one.transcript.modal(one.ada) == snapshot(name="ask about this")
        asked = {"field:text": {"value": "Which leaves make tea?"}}
        assert (await one.ada.submits(view, asked)).outcome == "closed"
        await one.done(about)
        one.ada.global_shortcut("quartet:ask_new")
        view = await one.modal(one.ada, "Ask Quartet")
        assert one.transcript.modal(one.ada) == snapshot(name="ask anywhere")
        asked = {
            "field:text": {"value": "What is coffee made of?"},
            "field:channel": {"value": one.general},
        }
        assert (await one.ada.submits(view, asked)).outcome == "closed"
        root = await one.says("What is coffee made of?", None)
        await one.done(root.ts)
        assert one.transcript.channel(one.bob, one.general) == snapshot(name="what came of both")


async def test_direct_messages_at_the_top_and_in_a_thread_and_slacks_own_stop(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    async with desk(tmp_path) as one:
        dm = one.ada.dm
        one.ada.opens_home("messages")
        await one.until(lambda: one.transcript.pane(dm))
        assert one.transcript.pane(dm) == snapshot(name="suggested prompts")
        one.ada.direct_message("What is coffee made of?")
        await one.presses(one.ada, None, "Approve", channel=dm)
        await one.message(None, "Good answer", channel=dm)
        await one.quiet(None, channel=dm)
        root = one.ada.direct_message("help")
        await one.says("help [WORD]", None, channel=dm)
        one.ada.direct_message("Which leaves make tea?", thread=root)
        await one.waits(root, channel=dm)
        one.ada.stops_session(dm, root)
        await one.says("Stopped by ada", root, channel=dm)
        await one.quiet(root, channel=dm)
        assert one.slack.world.status_of(dm, root) == ""
        assert one.transcript.pane(dm, root).splitlines()[:2] == [
            "title: Which leaves make tea?",
            "status: is starting to work …",
        ]
        assert one.transcript.channel(one.ada, dm) == snapshot(name="the conversation")
        assert [run["status"] for run in await one.runs()] == ["stopped", "completed"]


@pytest.mark.parametrize("mode", ["socket", "http"])
async def test_app_home_has_approvals_runs_usage_and_an_admins_settings(
    tmp_path: Path, mode: Mode, snapshot: SnapshotAssertion
) -> None:
    async with desk(tmp_path, mode=mode) as one:
        thread = one.ada.mentions(one.general, "What is coffee made of?")
        await one.waits(thread)
        for person in (one.ada, one.bob):
            person.opens_home()
        await one.until(lambda: one.ada.home and one.bob.home)
        assert one.transcript.home(one.ada) == snapshot(name="ada has a question")
        assert one.transcript.home(one.bob) == snapshot(name="bob has none")
        one.ada.clicks_home("Approve")
        await one.done(thread)
        assert "✅ approved by ada" in one.read(thread)
        one.ada.opens_home()
        await one.until(lambda: "completed" in one.transcript.home(one.ada))
        assert one.transcript.home(one.ada) == snapshot(name="ada has decided")

        one.root.opens_home()
        await one.until(lambda: one.root.home)
        one.root.clicks_home("Settings")
        view = await one.modal(one.root, "Settings")
        assert one.transcript.modal(one.root) == snapshot(name="settings")
        wrong = await one.root.submits(view, {"field:expires_after": {"value": "soon"}})
        assert wrong.errors == {
            "field:expires_after": "expires_after is a time such as 90s, 30m, 24h or 2d, not 'soon'"
        }
        filled = {
            "field:expires_after": {"value": "30m"},
            "field:approvers": {"value": f"slack:{one.bob.id}"},
        }
        assert (await one.root.submits(view, filled)).outcome == "closed"
        await one.until(lambda: "approvers: @bob" in one.transcript.home(one.root))
        assert one.transcript.home(one.root) == snapshot(name="root looks after the channel")


async def test_a_user_group_approves_and_who_is_not_in_it_is_told_alone(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    async with desk(tmp_path) as one:
        group = one.slack.world.add_group(one.slack.team.id, "leads", [one.bob.id])
        one.root.slash(one.general, "/quartet", "settings approvers=@leads")
        await one.says("is only a name", None, by=one.root)
        one.root.slash(one.general, "/quartet", f"settings approvers=<!subteam^{group.id}|@leads>")
        await one.says("Set for this channel: approvers = @leads.", None, by=one.root)
        thread = one.ada.mentions(one.general, "What is coffee made of?")
        await one.waits(thread)
        assert "May decide: @leads" in one.read(thread)
        await one.presses(one.cem, thread, "Approve")
        await one.says("Only @leads may decide here.", thread, by=one.cem)
        await one.presses(one.bob, thread, "Approve")
        await one.done(thread)
        assert one.read(thread, by=one.cem) == snapshot
        assert "Only @leads" not in one.read(thread, by=one.bob)
