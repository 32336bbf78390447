"""Whole conversations on Slack as people read them: the real bot, real Bolt, a Slack on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.journey.slack_desk import APPROVAL, Mode, desk
from tests.journey.slack_scripts import script
from tests.twins.slack import SlackTwin

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("mode", ["socket", "http"])
async def test_mention_plan_edited_in_a_modal_answer_with_sources(
    tmp_path: Path, mode: Mode, snapshot: SnapshotAssertion
) -> None:
    async with desk(tmp_path, mode=mode, script=script()) as one:
        thread = one.ada.mentions(one.general, "What is tea?")
        await one.waits(thread)
        assert one.read(thread) == snapshot(name="the plan is in question")
        one.bob.clicks(one.general, (await one.message(thread, APPROVAL)).ts, "Edit")
        view = await one.modal(one.bob, "Edit the plan")
        assert one.transcript.modal(one.bob) == snapshot(name="what bob edits")
        wrong = await one.bob.submits(view, {"field:tasks": {"value": "t1. Write about tea [after t9]"}})
        assert wrong.errors == {
            "field:tasks": "task 't1' comes after 't9', which is not a task; tasks are t1"
        }
        assert one.bob.modal is view
        edited = "t1. Write about green tea :: says warm\nt2. Add milk"
        assert (await one.bob.submits(view, {"field:tasks": {"value": edited}})).outcome == "closed"
        await one.done(thread)
        assert one.read(thread) == snapshot(name="the answer")
        assert "✅ approved with edits by bob" in one.read(thread)
        [prompt] = one.prompts("builder")
        assert "Write about green tea" in prompt
        assert "Add milk" in prompt
        assert "Write about tea" not in prompt
        said = one.transcript.pane(one.general, thread).splitlines()
        assert (said[0], said[-1]) == ("status: is starting to work …", "status: (none)")


async def test_a_second_turn_in_the_thread_needs_no_mention_and_knows_the_first(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    twice = {agent: [*entries, *entries] for agent, entries in script()["answers"].items()}
    config = {"chat": {"approvals": "auto"}}
    async with desk(tmp_path, config=config, script=script(**twice)) as one:
        thread = one.ada.mentions(one.general, "What is tea?")
        await one.done(thread)
        one.bob.posts(one.general, "And how warm is it?", thread)
        await one.done(thread, count=2)
        assert one.read(thread) == snapshot
        asked = one.prompts("researcher")[-1]
        assert "What is tea?" in asked
        assert "Tea is warm [1]." in asked
        assert "And how warm is it?" in asked
        assert [run["status"] for run in await one.runs()] == ["completed", "completed"]


async def test_three_people_at_once_get_three_threads_and_the_approver_alone_decides(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    slack = SlackTwin(time_scale=0.01)
    bob = slack.person("bob")
    config = {"chat": {"approvers": [f"slack:{bob.id}"]}}
    async with desk(tmp_path, slack=slack, config=config) as one:
        asked = (
            (one.ada, "What is tea?"),
            (one.bob, "What is coffee made of?"),
            (one.cem, "Which leaves make tea?"),
        )
        threads = [person.mentions(one.general, text) for person, text in asked]
        assert len(set(threads)) == 3
        for (person, _), thread in zip(asked, threads, strict=True):
            await one.waits(thread)
            await one.presses(one.cem, thread, "Approve")
            await one.says("Only @bob may decide here.", thread, by=one.cem)
            await one.presses(bob, thread, "Approve")
            await one.done(thread, by=person)
        assert one.transcript.channel(one.cem, one.general) == snapshot(name="as cem sees it")
        assert "Only @bob" not in one.transcript.channel(one.ada, one.general)
        runs = {run["conversation_id"].rpartition(":")[2]: run["text"] for run in await one.runs()}
        assert runs == {thread: text for thread, (_, text) in zip(threads, asked, strict=True)}


async def test_an_edit_starts_nothing_and_a_deleted_message_that_waits_is_withdrawn(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    async with desk(tmp_path) as one:
        thread = one.ada.mentions(one.general, "What is tea?")
        await one.waits(thread)
        one.ada.edits(thread, f"<@{one.slack.bot.bot_user}> What is coffee?")
        one.slack.unfurls(one.general, thread)
        waiting = one.ada.posts(one.general, "and then this", thread)
        await one.says("queued behind an earlier turn", thread)
        one.ada.deletes(waiting)
        await one.says("withdrawn: the message was deleted", thread)
        one.ada.posts(one.general, "What is coffee made of?", thread, broadcast=True)
        await one.says("queued behind an earlier turn", thread)
        await one.presses(one.ada, thread, "Approve")
        await one.message(thread, "Good answer")
        await one.presses(one.ada, thread, "Approve")
        await one.done(thread, count=2)
        assert one.read(thread) == snapshot
        runs = [(run["text"], run["status"]) for run in await one.runs()]
        assert sorted(runs) == [
            ("What is coffee made of?", "completed"),
            ("What is tea?", "completed"),
            ("and then this", "stopped"),
        ]


async def test_another_bot_is_ignored_unless_allowed_and_then_not_for_ever(tmp_path: Path) -> None:
    slack = SlackTwin(time_scale=0.01)
    friend, stranger = slack.other_bot("deploybot"), slack.other_bot("newsbot")
    config = {"chat": {"approvals": "auto"}, "slack": {"bots": [friend.app], "bot_turns": 2}}
    async with desk(tmp_path, slack=slack, config=config) as one:
        ignored = stranger.mentions(one.general, "What is tea?")
        thread = friend.mentions(one.general, "What is tea?")
        await one.done(thread)
        friend.mentions(one.general, "What is coffee made of?", thread)
        await one.done(thread, count=2)
        friend.mentions(one.general, "Which leaves make tea?", thread)
        await one.settled()
        one.ada.posts(one.general, "Go on: what is tea made of?", thread)
        await one.done(thread, count=3)
        assert len(one.ada.sees(one.general, ignored)) == 1
        assert [run["text"] for run in await one.runs()] == [
            "Go on: what is tea made of?",
            "What is coffee made of?",
            "What is tea?",
        ]
