"""Nothing twice, nothing lost: SIGKILL at every persisted step of a conversation on Discord."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any, Literal

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
    dead,
    environment,
    ready,
    rows,
    shown_in,
)
from tests.twins.discord.faults import Moment

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

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


# A mention, its thread, the status card, the approval.
ASKING = [
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
]
# A click, the decision, the answer in two messages with a file.
ANSWERING = [
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


@pytest_asyncio.fixture(loop_scope="module")
async def one(house: Desk) -> Desk:
    """The same bot for each test, alive."""
    await ready(house)
    return house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Desk]:
    """A bot that can be killed at its commits."""
    folder = tmp_path_factory.mktemp("crash")
    async with desk(folder, env=environment(folder), script=ANSWERS) as there:
        yield there
        there.models.twin.load({})


def fresh_channel(one: Desk) -> str:
    return one.discord.channel(f"tea-{len(one.discord.backend.channels)}")


@pytest.mark.parametrize(
    ("asking", "answering"), list(zip(ASKING, ANSWERING, strict=True)), ids=lambda point: str(point)
)
async def test_killed_twice_and_started_again_all_is_there_once(
    one: Desk, asking: Point, answering: Point
) -> None:
    conversation = Conversation(one, asking, answering, fresh_channel(one))
    await conversation.through()
    conversation.check()
    await conversation.feedback()


@pytest.mark.parametrize(
    "point",
    [
        Point("click", "callback", "done"),
        stored("click", "form", "after"),
        logged("click", "decision_given"),
    ],
    ids=str,
)
async def test_killed_around_a_form_the_plan_is_changed_once(one: Desk, point: Point) -> None:
    channel = fresh_channel(one)
    kill = Kill(one, point)
    one.models.twin.load(ANSWERS)
    thread = one.ada.mentions(channel, "What is tea?")
    card = await one.message(thread, "Edit")
    await one.until(lambda: at_rest(one))
    kill.arm()
    one.ada.clicks(card.id, label="Edit")
    if point.call:
        await kill.struck()
    form = await one.modal(one.ada, "Edit the plan")  # it stands, though the bot that opened it may not
    changed = {"f:tasks": "t1. Write about green tea :: says warm"}
    with dead(one):
        submitted = one.ada.submits(form, changed)
    one.forgiven.append(submitted)
    if not point.call:
        await kill.struck()
    await submitted.wait()
    await one.done(thread)
    if submitted.failed:  # Discord says so to her and shows the form again, so she tries again
        assert not point.call
        again = await one.ada.submits(one.ada.modal, changed).wait()
        assert not again.failed
    await one.until(lambda: at_rest(one))
    assert shown_in(one, thread) == ONE_LONG
    decided = "SELECT type FROM events JOIN runs ON runs.n = events.run WHERE conversation_id LIKE ?"
    types = Counter(kind for (kind,) in rows(one, "quartet.db", decided, f"discord:%:{channel}:%"))
    assert (types["decision_given"], types["approval_resolved"], types["run_ended"]) == (1, 1, 1)
    assert "green tea" in one.prompts("builder")[-1]


@pytest.mark.parametrize(
    "point",
    [
        stored("mention", "command", "after"),
        *called("mention", "post message", "arrives", "done"),
        *called("mention", "thread", "arrives", "done"),
    ],
    ids=str,
)
async def test_killed_while_a_question_is_said_aloud_it_is_said_once(one: Desk, point: Point) -> None:
    channel = fresh_channel(one)
    kill = Kill(one, point)
    one.models.twin.load(ANSWERS)
    kill.arm()
    with dead(one):
        one.forgiven.append(one.ada.types_command("quartet ask", channel, text="What is tea?"))
    await kill.struck()
    [root] = await one.until(lambda: [m for m in one.ours(channel) if "What is tea?" in m.text])
    await one.presses(one.ada, root.id, APPROVAL)
    await one.done(root.id)
    await one.until(lambda: at_rest(one))
    assert list(one.ada.sees_threads(channel)) == [root.id]
    assert shown_in(one, root.id) == ONE_LONG
    assert [each.id for each in one.ours(channel) if not each.ephemeral] == [root.id]


@pytest.mark.parametrize("again", [False, True], ids=["read-back", "killed-while-reading-back"])
async def test_what_people_write_while_the_bot_is_dead_is_taken_up_once(one: Desk, again: bool) -> None:
    # Seven runs; a step that is under way when the bot is killed asks its model once more.
    one.models.twin.load(_answers(7 + 5 * again))
    known, new = fresh_channel(one), fresh_channel(one)
    thread = one.ada.mentions(known, "What is tea?")
    direct = one.bob.dm
    one.bob.dms("What is tea?")
    await one.answered(one.ada, thread)
    before = len([each for each in one.ours(direct) if ANSWER in each.labels]) + 1
    await one.message(direct, APPROVAL, by=one.bob)
    await one.answered(one.bob, direct, count=before)
    await one.until(lambda: at_rest(one))
    await one.kill()
    if again:
        Kill(one, stored("mention", "mention", "after")).arm()
    asked = [one.ada.mentions(channel, "What is tea?") for channel in (known, new, new)]
    one.bob.posts(thread, "And what is green tea?")  # a reply needs no mention
    one.bob.dms("And what is green tea?")
    one.bob.posts(known, "Nobody is asked here.")
    await one.start()
    if again:
        await one.until(one.bot.died)
        await one.start()
    for each in asked:
        await one.answered(one.ada, each)
    await one.answered(one.bob, thread, count=2)
    await one.answered(one.bob, direct, count=before + 1)
    await one.until(lambda: at_rest(one))
    assert [shown_in(one, each) for each in asked] == [ONE_LONG] * 3
    assert shown_in(one, thread) == dict.fromkeys(ONE_LONG, 2)
    conversation = f"discord:%:{known}:%"
    runs = rows(one, "quartet.db", "SELECT 1 FROM runs WHERE conversation_id LIKE ?", conversation)
    assert len(runs) == 3


def _answers(times: int) -> dict[str, Any]:
    """The agents say the same so many times."""
    return {"answers": {name: said * times for name, said in _once().items()}}


def _once() -> dict[str, list[Any]]:
    researcher = ANSWERS["answers"]["researcher"][:2]
    return {
        name: researcher if name == "researcher" else said[:1] for name, said in ANSWERS["answers"].items()
    }
