"""Nothing twice, nothing lost: SIGKILL at every persisted step of a conversation on Discord."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Literal

import pytest
import pytest_asyncio

from tests.journey.discord_desk import ANSWER, APPROVAL, Desk, desk
from tests.journey.discord_kills import (
    ANSWERS,
    ONE_LONG,
    Conversation,
    Kill,
    Phase,
    Point,
    at_rest,
    environment,
    rows,
    shown_in,
)
from tests.twins.discord.faults import Moment

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

INBOX, EVENTS = r"INTO inbox .*'%s'", r"INTO events .*'%s'"
DELIVERY = r"INTO deliveries .*:%s\b.*'%s'"
POSTED = r"INTO posted .*:%s"

When = Literal["before", "after"]


def stored(phase: Phase, kind: str, when: When) -> Point:
    return Point(phase, database="discord.db", wrote=INBOX % kind, when=when)


def noted(phase: Phase, card: str, when: When = "after") -> Point:
    return Point(phase, database="discord.db", wrote=POSTED % card, when=when)


def logged(phase: Phase, event: str, when: When = "after") -> Point:
    return Point(phase, database="quartet.db", wrote=EVENTS % event, when=when)


def delivered(phase: Phase, card: str, state: str, when: When = "after") -> Point:
    return Point(phase, database="quartet.db", wrote=DELIVERY % (card, state), when=when)


def called(phase: Phase, call: str, *moments: Moment) -> list[Point]:
    return [Point(phase, call, moment) for moment in moments]


POINTS = [
    # A mention, its thread, the status card, the approval.
    Point("mention", event="MESSAGE_CREATE"),
    stored("mention", "mention", "before"),
    stored("mention", "mention", "after"),
    *called("mention", "thread", "arrives", "done"),
    logged("mention", "run_created", "before"),
    logged("mention", "run_created"),
    Point("mention", database="discord.db", wrote="UPDATE inbox SET state = 'done'", when="before"),
    delivered("mention", "status", "intent"),
    *called("mention", "post status", "arrives", "done"),
    noted("mention", "status"),
    logged("mention", "tool_returned"),
    logged("mention", "step_ended"),
    logged("mention", "approval_requested"),
    delivered("mention", "approval", "intent"),
    *called("mention", "post approval", "arrives", "done"),
    delivered("mention", "approval", "shown", "before"),
    # A click, the decision, the answer in two messages with a file.
    Point("click", event="INTERACTION_CREATE"),
    stored("click", "click", "before"),
    stored("click", "click", "after"),
    logged("click", "decision_given", "before"),
    logged("click", "decision_given"),
    logged("click", "approval_resolved"),
    *called("click", "callback", "done"),
    *called("click", "edit approval", "done"),
    logged("click", "model_answered"),
    logged("click", "run_ended", "before"),
    logged("click", "run_ended"),
    *called("click", "edit status", "done"),
    delivered("click", "answer", "intent"),
    *called("click", "post answer", "arrives", "done"),
    noted("click", "answer", "before"),
    *called("click", "post answer 1", "arrives", "done"),
    delivered("click", "answer", "shown", "before"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Desk]:
    """A bot that can be killed at its commits."""
    folder = tmp_path_factory.mktemp("crash")
    async with desk(folder, env=environment(folder), script=ANSWERS) as there:
        yield there
        there.models.twin.load({})


def fresh_channel(one: Desk) -> str:
    return one.discord.channel(f"tea-{len(one.discord.backend.channels)}")


@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_killed_and_started_again_all_is_there_once(one: Desk, point: Point) -> None:
    conversation = Conversation(one, point, fresh_channel(one))
    await conversation.through()
    conversation.check()
    await conversation.feedback()
