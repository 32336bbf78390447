"""Nothing twice, nothing lost: events that come three times, and SIGKILL at every persisted step."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from tests.journey.slack_desk import ANSWER, APPROVAL, Desk, Mode, desk
from tests.journey.slack_kills import (
    ANSWERS,
    ONE_OF_EACH,
    Conversation,
    Kill,
    Phase,
    Point,
    at_rest,
    environment,
    ready,
    rows,
    shown_in,
)
from tests.twins.slack import SlackTwin
from tests.twins.slack.faults import Moment

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

INBOX, EVENTS = r"INTO inbox .*'%s'", r"INTO events .*'%s'"
DELIVERY = r"INTO deliveries .*:%s\b.*'%s'"


When = Literal["before", "after"]


def stored(phase: Phase, kind: str, when: When) -> Point:
    return Point(phase, database="slack.db", wrote=INBOX % kind, when=when)


def logged(phase: Phase, event: str, when: When = "after") -> Point:
    return Point(phase, database="quartet.db", wrote=EVENTS % event, when=when)


def delivered(phase: Phase, card: str, state: str, when: When = "after") -> Point:
    return Point(phase, database="quartet.db", wrote=DELIVERY % (card, state), when=when)


def posted(phase: Phase, card: str, *moments: Moment) -> list[Point]:
    return [Point(phase, f"post {card}", moment, looked_for=True) for moment in moments]


# What differs between a status card that streams and one that is edited: killed in both.
OF_STATUS_CARDS = [
    delivered("mention", "status", "intent"),
    *posted("mention", "status", "arrives", "done"),
    Point("mention", database="slack.db", wrote="INTO posted .*:status"),
    logged("mention", "approval_requested"),
    logged("click", "run_ended"),
    Point("click", "edit status", "done"),
]
OTHERS = [
    stored("mention", "mention", "before"),
    stored("click", "click", "before"),
    stored("mention", "mention", "after"),
    stored("click", "click", "after"),
    logged("mention", "run_created", "before"),
    logged("click", "decision_given", "before"),
    logged("mention", "run_created"),
    logged("click", "decision_given"),
    Point("mention", database="slack.db", wrote="UPDATE inbox SET state = 'done'", when="before"),
    logged("click", "approval_resolved"),
    logged("mention", "tool_returned"),
    logged("click", "model_answered"),
    logged("mention", "step_ended"),
    Point("click", "edit approval", "done"),
    delivered("mention", "approval", "intent"),
    delivered("click", "answer", "intent"),
    *posted("mention", "approval", "arrives"),
    *posted("click", "answer", "arrives"),
    *posted("mention", "approval", "done"),
    *posted("click", "answer", "done"),
    delivered("mention", "approval", "shown", "before"),
    *posted("click", "answer 1", "arrives"),
    Point("click", "files.upload", "done"),
    *posted("click", "answer 1", "done"),
    Point("click", "files.completeUploadExternal", "arrives", looked_for=True),
    Point("click", "files.completeUploadExternal", "done", looked_for=True),
    logged("click", "run_ended", "before"),
    delivered("click", "answer", "shown", "before"),
]
# One for the bot that streams and one for the bot that edits, at the same time.
PAIRS = [*((point, point) for point in OF_STATUS_CARDS), *zip(OTHERS[::2], OTHERS[1::2], strict=True)]


@pytest_asyncio.fixture(loop_scope="module")
async def desks(houses: list[Desk]) -> list[Desk]:
    """The same bots for each test, alive."""
    for one in houses:
        await ready(one)
    return houses


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def houses(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[list[Desk]]:
    """Two bots: one whose status cards stream, one that edits messages."""
    async with AsyncExitStack() as stack:

        async def opened(progress: str) -> Desk:
            folder = tmp_path_factory.mktemp(progress)
            # Slow enough for a bot that starts to get what was not acknowledged.
            twin = SlackTwin(ack_limit_s=0.5, time_scale=0.05)
            made = desk(
                folder,
                slack=twin,
                env=environment(folder),
                config={"slack": {"progress": progress}},
                script=ANSWERS,
            )
            return await stack.enter_async_context(made)

        there = [await opened(progress) for progress in ("stream", "blocks")]
        yield there
        for one in there:
            one.models.twin.load({})


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}+{pair[1]}")
async def test_killed_and_started_again_all_is_there_once(
    desks: list[Desk], pair: tuple[Point, Point]
) -> None:
    async def survives(one: Desk, point: Point) -> None:
        number = len(one.slack.world.channels)
        conversation = Conversation(one, point, one.slack.channel(f"tea-{number}", "ada"))
        await conversation.through()
        conversation.check()
        await conversation.feedback()

    await asyncio.gather(*(survives(one, point) for one, point in zip(desks, pair, strict=True)))


@pytest.mark.parametrize(
    "point",
    [
        Point("click", "views.open", "done"),
        stored("click", "submission", "after"),
        Point("click", database="quartet.db", wrote=EVENTS % "decision_given"),
    ],
    ids=str,
)
async def test_killed_around_a_form_the_plan_is_changed_once(desks: list[Desk], point: Point) -> None:
    one = desks[0]
    channel = one.slack.channel(f"form-{len(one.slack.world.channels)}", "ada")
    kill = Kill(one, point)
    one.models.twin.load(ANSWERS)
    thread = one.ada.mentions(channel, "What is tea?")
    card = await one.message(thread, "Edit", channel=channel)
    await one.until(lambda: at_rest(one))
    kill.arm()
    opening = one.ada.clicks(channel, card.ts, "Edit")
    if point.call:
        await kill.struck()
    view = await one.modal(one.ada, "Edit the plan")
    assert opening.acked  # it was stored; the form stands, though the bot that opened it does not
    tasks = {"field:tasks": {"value": "t1. Write about green tea :: says warm"}}
    submitting = asyncio.create_task(one.ada.submits(view, tasks))
    if not point.call:
        await kill.struck()
    submitted = await submitting
    assert submitted.outcome == ("closed" if point.call else "failed"), submitted
    await one.done(thread, channel=channel)
    if not point.call:  # Slack told her of trouble, so she tries again
        again = await one.ada.submits(view, tasks)
        assert again.outcome in ("closed", "updated", "errors"), again
        one.ada.warnings.clear()
    await one.until(lambda: at_rest(one))
    assert shown_in(one, channel) == ONE_OF_EACH
    decided = "SELECT type FROM events JOIN runs ON runs.n = events.run WHERE conversation_id LIKE ?"
    types = Counter(kind for (kind,) in rows(one, "quartet.db", decided, f"slack:%:{channel}:%"))
    assert (types["decision_given"], types["approval_resolved"], types["run_ended"]) == (1, 1, 1)
    assert "green tea" in one.prompts("builder")[-1]


@pytest.mark.parametrize("moment", ["arrives", "done"])
async def test_killed_while_a_question_is_said_aloud_it_is_said_once(
    desks: list[Desk], moment: Moment
) -> None:
    one = desks[1]
    channel = one.slack.channel(f"ask-{len(one.slack.world.channels)}", "ada")
    kill = Kill(one, Point("mention", "chat.postMessage", moment))
    one.models.twin.load(ANSWERS)
    kill.arm()
    one.ada.slash(channel, "/quartet", "ask What is tea?")
    await kill.struck()
    [root] = await one.until(lambda: [m for m in one.ada.sees(channel) if "What is tea?" in m.shows])
    await one.presses(one.ada, root.ts, APPROVAL, channel=channel)
    await one.done(root.ts, channel=channel)
    await one.until(lambda: at_rest(one))
    asked = {name: count for name, count in shown_in(one, channel).items() if name not in ONE_OF_EACH}
    assert list(asked.values()) == [1]
    assert shown_in(one, channel) == {**ONE_OF_EACH, **asked}


@pytest.mark.parametrize("mode", ["socket", "http"])
@pytest.mark.parametrize("mention_first", [True, False], ids=["mention-first", "message-first"])
async def test_what_comes_three_times_and_twofold_is_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode, mention_first: bool
) -> None:
    # Slack sends a mention as two events, in any order; the twin throws a coin for it.
    def coin(_: int) -> int:
        return int(mention_first)

    monkeypatch.setattr("tests.twins.slack.messages.secrets.randbelow", coin)
    async with desk(tmp_path, mode=mode) as one:
        one.slack.delivery.duplicate(3)
        channels = [one.slack.channel(f"tea-{number}", "ada", "bob") for number in range(3)]
        threads = [one.ada.mentions(channel, "What is tea?") for channel in channels]
        one.bob.direct_message("What is coffee?")
        for channel, thread in zip(channels, threads, strict=True):
            await one.presses(one.bob, thread, APPROVAL, channel=channel)
        await one.presses(one.bob, None, APPROVAL, channel=one.bob.dm)
        for channel, thread in zip(channels, threads, strict=True):
            await one.done(thread, channel=channel)
            one.bob.posts(channel, "And what is coffee?", thread)  # a reply needs no mention
            await one.message(thread, APPROVAL, channel=channel)
            await one.presses(one.ada, thread, APPROVAL, channel=channel)
            await one.done(thread, channel=channel, count=2)
        await one.message(None, ANSWER, by=one.bob, channel=one.bob.dm)
        await one.settled()
        await one.until(lambda: at_rest(one))
        delivered = Counter(parcel.event_id for parcel in one.slack.delivery.parcels if parcel.event_id)
        assert set(delivered.values()) == {1}
        assert min(len(parcel.attempts) for parcel in one.slack.delivery.parcels if parcel.event_id) >= 3
        each = {"status 0": 2, "approval 0": 2, "answer 0": 2}
        assert [shown_in(one, channel) for channel in channels] == [each] * 3
        assert shown_in(one, one.bob.dm) == dict.fromkeys(each, 1)
        assert len(await one.runs()) == 7
