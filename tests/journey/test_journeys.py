"""Whole conversations, the same on every platform: the real bot, the real adapter, people at their clients.

Each journey is written once, against `Desk` and `Talk` (`desks`). What comes of it on each platform is a row
of the table in `docs/platforms.md`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests import parity
from tests.house import REVIEW
from tests.journey.bot_process import Bot
from tests.journey.desks import ONE_OF_EACH, Desk
from tests.journey.desks.discord import DiscordDesk
from tests.journey.desks.slack import SlackDesk
from tests.journey.desks.terminal import TerminalDesk
from tests.journey.desks.web import WebDesk
from tests.journey.slack_scripts import HANG, drafts, script

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

DESKS: list[type[Desk]] = [SlackDesk, DiscordDesk, WebDesk, TerminalDesk]
QUESTION = "What is tea?"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=DESKS, ids=lambda desk: desk.column)
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Desk]:
    """One platform with one bot for all of its journeys."""
    kind: type[Desk] = request.param
    async with kind(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture
def desk(running: Desk, request: pytest.FixtureRequest) -> Generator[Desk]:
    """The platform, if it can make this journey. Leaves no run behind, and asked its models nothing wrong."""
    parity.tell(request, running.column)
    journey = request.function.__name__.removeprefix("test_")
    if journey in running.cannot:
        pytest.skip(running.cannot[journey])
    running.models.twin.load(script())
    unfinished = "SELECT id, status FROM runs WHERE ended_at IS NULL"
    before = running.rows(unfinished)
    yield running
    assert running.models.journal()["problems"] == []
    assert running.rows(unfinished) == before


def reviews(*problems: str) -> list[dict[str, Any]]:
    """A reviewer who accepts, with remarks."""
    accepted = {name: value for name, value in REVIEW.items() if name != "repeated"}
    remarks = [{"severity": "minor", "where": "body", "problem": problem} for problem in problems]
    return [{"output": {**accepted, "findings": remarks}}]


def twice(agent: str) -> list[dict[str, Any]]:
    """What an agent says in two runs."""
    return script()["answers"][agent] * 2


# ── from a question to its answer ────────────────────────────────────────────────────────────


async def test_a_question_is_planned_approved_and_answered(desk: Desk) -> None:
    """A question is planned, approved and answered, with sources, review notes, tokens, cost and time"""
    desk.models.twin.load(script(reviewer=reviews("it could say how warm")))
    talk = await desk.begins(QUESTION)
    await talk.sees("Researcher")
    await talk.waits()
    await talk.sees("Explain tea", "Write about tea", "waiting for your decision")
    await talk.presses("Approve")
    await talk.ended("completed")
    await talk.sees("approved by", "Tea is warm [1].", "tea.md#what-tea-is")
    await talk.sees("Tea is a warm drink made of leaves.", "Review notes", "it could say how warm")
    await talk.sees("9 of 10", "600 (500 in, 100 out)", "$0.0016", "Time")
    assert await talk.cards() == ONE_OF_EACH


async def test_a_plan_that_is_rejected_is_not_built(desk: Desk) -> None:
    """A plan that is rejected is not built"""
    talk = await desk.begins(QUESTION)
    await talk.presses("Reject")
    await talk.ended("rejected")
    await talk.sees("rejected by", "Write again to start a new turn.")
    assert await talk.cards() == ONE_OF_EACH
    assert desk.prompts("builder") == []


async def test_asked_for_changes_it_plans_again(desk: Desk) -> None:
    """Asked for changes, it plans again and asks again"""
    desk.models.twin.load(script(planner=twice("planner")))
    talk = await desk.begins(QUESTION)
    await talk.presses("Ask for changes")
    await talk.fills({"comment": "Say something about milk."})
    await talk.waits(asked=2)
    await talk.sees("changes asked for by", "Say something about milk.")
    await talk.presses("Approve")
    await talk.ended("completed")
    assert await talk.cards() == {**ONE_OF_EACH, "approval": 2}
    assert "Say something about milk." in desk.prompts("planner")[-1]


async def test_a_plan_edited_in_a_form_is_what_is_built(desk: Desk) -> None:
    """A plan is edited in a form, which says what is wrong with it; what was sent is what is built"""
    talk = await desk.begins(QUESTION)
    await talk.presses("Edit")
    await talk.fills({"tasks": "t1. Write about tea [after t9]"})
    await talk.sees("task 't1' comes after 't9', which is not a task; tasks are t1")
    await talk.fills({"tasks": "t1. Write about green tea :: says warm\nt2. Add milk"})
    await talk.ended("completed")
    await talk.sees("approved with edits by", "Write about green tea")
    [prompt] = desk.prompts("builder")
    assert "Write about green tea" in prompt
    assert "Add milk" in prompt
    assert await talk.cards() == ONE_OF_EACH


async def test_stopped_while_it_works_the_model_call_ends(desk: Desk) -> None:
    """Stopped while an agent works, the model's call is broken off within two seconds"""
    desk.models.twin.load({"answers": {"researcher": [HANG]}})
    talk = await desk.begins(QUESTION)
    await desk.asked("researcher")
    await talk.presses("Stop")

    async def broken_off() -> bool:
        return desk.models.journal()["requests"][0]["disconnected"]

    await talk.until(broken_off, "the model's call is broken off", within_s=2)
    await talk.ended("stopped")
    await talk.sees("Write again to start a new turn.")


async def test_the_next_message_knows_the_last_answer(desk: Desk) -> None:
    """The next message in a conversation knows the question and the answer before it"""
    agents = ("researcher", "planner", "builder", "reviewer")
    desk.models.twin.load(script(**{agent: twice(agent) for agent in agents}))
    talk = await desk.begins(QUESTION)
    await talk.presses("Approve")
    await talk.ended("completed")
    await talk.says("And how warm is it?")
    await talk.waits(asked=2)
    asked = desk.prompts("researcher")[-1]
    assert QUESTION in asked
    assert "Tea is warm [1]." in asked
    assert "And how warm is it?" in asked
    await talk.presses("Approve")
    await talk.ended("completed", "completed")
    assert await talk.cards() == dict.fromkeys(ONE_OF_EACH, 2)


async def test_a_file_that_comes_along_is_read(desk: Desk) -> None:
    """A file that comes with the message is read"""
    note = "# Milk\n\nOat milk is made of oats and water.\n"
    talk = await desk.begins("What is oat milk made of?", files=[("milk.md", "text/markdown", note.encode())])
    await talk.waits()
    assert "Oat milk is made of oats and water." in desk.prompts("researcher")[0]
    assert "milk.md" in desk.prompts("researcher")[0]
    await talk.presses("Approve")
    await talk.ended("completed")


async def test_an_answer_of_40000_characters_arrives_whole(desk: Desk) -> None:
    """An answer of 40,000 characters arrives whole"""
    paragraphs = [f"Paragraph {n} says: " + f"tea is <warm> & made of leaves {n}. " * 8 for n in range(160)]
    body = "\n\n".join(paragraph.strip() for paragraph in paragraphs)
    assert len(body) > 40_000
    desk.models.twin.load(script(builder=drafts(body)))
    talk = await desk.begins("Tell me everything about tea")
    await talk.presses("Approve")
    await talk.ended("completed")
    await talk.sees(*(f"tea is <warm> & made of leaves {n}." for n in range(160)))


# ── many people, many clicks ─────────────────────────────────────────────────────────────────


async def test_who_may_not_decide_is_told_alone_and_nothing_changes(desk: Desk) -> None:
    """Who may not decide is told so alone, and nothing changes"""
    talk = await desk.begins(QUESTION)
    await talk.presses("Approve", by=["cem"])
    await talk.sees("may decide here", by="cem")
    assert "may decide here" not in await talk.screen()
    assert talk.statuses() == ["waiting"]
    await talk.presses("Approve", by=["bob"])
    await talk.ended("completed")
    await talk.sees("approved by bob")


async def test_two_clicks_on_the_same_approval_have_one_outcome(desk: Desk) -> None:
    """Two clicks on the same approval have one outcome"""
    talk = await desk.begins(QUESTION)
    await talk.presses("Approve", by=["ada", "bob"])
    await talk.ended("completed")
    await talk.sees("approved by")
    assert await talk.cards() == ONE_OF_EACH
    assert len(desk.prompts("builder")) == 1
    assert [fact["outcome"] for fact in talk.facts("approval_resolved")] == ["approve"]


async def test_commands_are_answered_while_a_run_waits(desk: Desk) -> None:
    """The commands help, status, runs and workflows are answered while a run waits"""
    talk = await desk.begins(QUESTION)
    await talk.waits()
    await asyncio.gather(*(talk.commands(word) for word in ("help", "status", "runs", "workflows")))
    await talk.sees("help [WORD]", "Waiting for people", "waiting · quartet", "(version 1")
    assert (await talk.cards())["approval"] == 1
    await talk.presses("Approve")
    await talk.ended("completed")


async def test_a_message_that_waits_is_withdrawn_by_deleting_it(desk: Desk) -> None:
    """A message that waits in the queue is withdrawn by deleting it"""
    talk = await desk.begins(QUESTION)
    await talk.waits()
    await talk.says("and then this")
    await talk.sees("queued behind an earlier turn")
    await talk.takes_back()
    await talk.sees("withdrawn: the message was deleted")
    await talk.presses("Approve")
    await talk.ended("completed", "stopped", answers=1)
    assert await talk.cards() == {**ONE_OF_EACH, "status": 2}


async def test_what_people_think_of_an_answer_is_kept(desk: Desk) -> None:
    """What people think of an answer (good, bad) is kept with its run"""
    talk = await desk.begins(QUESTION)
    await talk.presses("Approve")
    await talk.ended("completed")
    await talk.rates(good=False)
    await talk.sees("Thank you for telling us.")
    assert [fact["good"] for fact in talk.facts("feedback_given")] == [False]


# ── killed ───────────────────────────────────────────────────────────────────────────────────


async def test_killed_while_it_waits_there_is_one_of_each_card_and_the_buttons_live(desk: Desk) -> None:
    """Killed while it waits for people and started again: one of each card, and the buttons live"""
    talk = await desk.begins(QUESTION)
    await talk.waits()
    await desk.kill()
    await desk.start()
    await talk.presses("Approve")
    await talk.ended("completed")
    assert await talk.cards() == ONE_OF_EACH
    # A researcher who searches is asked twice.
    assert desk.models.journal()["answered"] == {"researcher": 2, "planner": 1, "builder": 1, "reviewer": 1}


async def test_killed_while_it_works_there_is_one_of_each_card_and_one_answer(desk: Desk) -> None:
    """Killed while an agent works and started again: it goes on, with one of each card and one answer"""
    [draft] = script()["answers"]["builder"]
    desk.models.twin.load(script(builder=[HANG, draft]))
    talk = await desk.begins(QUESTION)
    await talk.presses("Approve")
    await desk.asked("builder")
    await desk.kill()
    await desk.start()
    await talk.ended("completed")
    assert await talk.cards() == ONE_OF_EACH
    assert len(desk.prompts("builder")) == 2


async def test_the_run_of_a_command_that_was_killed_is_gone_on_with_by_the_server(tmp_path: Path) -> None:
    """What the terminal's reason in the table says."""
    async with TerminalDesk(tmp_path) as desk:
        desk.models.twin.load(script(builder=[HANG, *script()["answers"]["builder"]]))
        talk = await desk.begins(QUESTION)
        await talk.presses("Approve")
        await desk.asked("builder")
        await desk.kill()
        with Bot(tmp_path, desk.env) as bot:
            await asyncio.to_thread(bot.until_status, bot.runs()[0]["id"], "completed")
        assert talk.statuses() == ["completed"]
