"""SIGKILL in the middle of a graph: branches, a map, another workflow, a join, questions, and the way back.

One bot lives through all of them; each kill is followed by a start, and the run ends as if nothing had been.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.journey.crash_graph import (
    ASKED,
    BEGUN,
    CARDS,
    ENDED,
    HANG,
    TEXT,
    UNDONE,
    CrashDesk,
    asked,
    cards_on,
    grown_to,
    of_nodes,
    people_answer,
)
from tests.journey.desks import Talk
from tests.journey.shipped import said

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

NOTHING = Counter[str]()
KILLED_AT_FIRST = (3, 19, 34)  # facts in the log
KILLED_LATER = (59, 68)
PEOPLE = Counter(["question", "consent"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[CrashDesk]:
    """A bot that is killed and started again, with models that answer from a script."""
    async with CrashDesk(tmp_path_factory.mktemp("crash")) as desk:
        yield desk


async def ended_as_it_means(desk: CrashDesk, talk: Talk) -> None:
    """Each node stands in the log as often as the semantics say, and people see each card once."""
    await talk.ended("completed")
    assert of_nodes(talk, "step_started") + of_nodes(talk, "group_started") == BEGUN
    assert of_nodes(talk, "step_ended") == ENDED
    assert of_nodes(talk, "step_failed") == Counter(["deploy"])
    assert of_nodes(talk, "step_skipped") == Counter(["slow"])
    assert of_nodes(talk, "model_answered") == ENDED - Counter(["parts", "check"])
    assert of_nodes(talk, "approval_requested") == of_nodes(talk, "approval_resolved") == PEOPLE
    assert set(of_nodes(talk, "edges_taken").values()) == {1}
    groups = {fact["node"]: fact for fact in talk.facts("group_started")}
    assert [item["node"] for item in groups["recovery"]["items"]] == UNDONE
    assert len(talk.facts("run_ended")) == 1
    assert desk.models.journal()["problems"] == []
    assert desk.at_once("developer") <= 2
    assert f"Told: {TEXT}. MENDED" in desk.prompts("technical_writer")[-1]
    await talk.sees("REPORT")
    assert await cards_on(desk, talk) == CARDS


async def came_through(desk: CrashDesk, talk: Talk, again: Counter[str], slow: int | None = None) -> None:
    """The run ended as it means, and models were asked again only what was in flight at the kill.

    Args:
        again: the calls that were.
        slow: how often `slow` had asked at the kill, if it had been given up by then.
    """
    await ended_as_it_means(desk, talk)
    journal = desk.models.journal()
    count = Counter[str](journal["count"])
    assert count.pop("performance", 0) == slow or slow is None
    assert count == ASKED + again
    assert Counter[str](journal["answered"]) == ASKED - Counter(["operator"])
    assert set(journal["left"]) <= {"performance"}


async def test_killed_while_two_branches_work_both_go_on(desk: CrashDesk) -> None:
    talk = await desk.runs_relay(frontend=[HANG], backend=[HANG])
    await asked(desk, talk, frontend=1, backend=1)
    await desk.killed()
    await people_answer(talk)
    await came_through(desk, talk, Counter(["frontend", "backend"]))


async def test_killed_after_one_of_two_branches_the_join_still_knows_it(desk: CrashDesk) -> None:
    talk = await desk.runs_relay(backend=[HANG])

    async def one_ended() -> bool:
        return of_nodes(talk, "step_ended")["left"] == 1

    await asked(desk, talk, backend=1)
    await talk.until(one_ended, "the end of the left branch")
    await desk.killed()
    await people_answer(talk)
    await came_through(desk, talk, Counter(["backend"]))


async def test_killed_in_the_middle_of_a_map_only_the_items_in_flight_are_made_again(desk: CrashDesk) -> None:
    talk = await desk.runs_relay(developer=[said("PART"), HANG, HANG])
    await asked(desk, talk, developer=3)
    assert of_nodes(talk, "step_started")["parts[2]"] == 1
    assert of_nodes(talk, "step_started")["parts[3]"] == 0
    await desk.killed()
    await people_answer(talk)
    await came_through(desk, talk, Counter(developer=2))


async def test_killed_inside_another_workflow_its_ended_nodes_stay_ended(desk: CrashDesk) -> None:
    talk = await desk.runs_relay(code_reviewer=[HANG])
    await asked(desk, talk, code_reviewer=1)
    await desk.killed()
    await people_answer(talk)
    await came_through(desk, talk, Counter(["code_reviewer"]))


async def test_killed_before_the_first_of_a_join_arrives_the_other_is_still_given_up(desk: CrashDesk) -> None:
    talk = await desk.runs_relay(security=[HANG])
    await asked(desk, talk, security=1, performance=1)
    await desk.killed()
    await people_answer(talk)
    await came_through(desk, talk, Counter(["security"]))


async def test_killed_while_people_are_asked_buttons_and_open_forms_still_work(desk: CrashDesk) -> None:
    talk = await desk.runs_relay()
    await talk.waits(asked=2)
    await talk.presses("Answer")
    slow = await desk.killed()
    await talk.fills({"text": TEXT})  # the form that was open all the time
    await desk.killed()
    await talk.presses("Approve")
    await came_through(desk, talk, NOTHING, slow)


async def test_killed_between_decisions_and_their_effect_they_take_effect(desk: CrashDesk) -> None:
    talk = await desk.runs_relay()
    await talk.waits(asked=2)
    await desk.kill()
    slow = desk.asked_of("performance")
    await desk.decided_while_dead(talk)
    await desk.start()
    await came_through(desk, talk, NOTHING, slow)
    await talk.sees("approved by Bob")


async def test_killed_while_steps_are_taken_back_none_is_taken_back_twice(desk: CrashDesk) -> None:
    talk = await desk.runs_relay(architect=[said("TAKEN BACK"), HANG])
    await people_answer(talk)
    await asked(desk, talk, architect=2)
    slow = await desk.killed()
    await came_through(desk, talk, Counter(["architect"]), slow)


async def test_killed_when_all_is_taken_back_the_handler_itself_goes_on(desk: CrashDesk) -> None:
    talk = await desk.runs_relay(debugger=[HANG])
    await people_answer(talk)
    await asked(desk, talk, debugger=1)
    slow = await desk.killed()
    await came_through(desk, talk, Counter(["debugger"]), slow)


async def test_killed_again_and_again_wherever_the_run_is_it_ends_as_it_means(desk: CrashDesk) -> None:
    talk = await desk.runs_relay_with_answers_to_spare()
    for length in KILLED_AT_FIRST:
        await grown_to(talk, length)
        await desk.killed()
    await people_answer(talk)
    for length in KILLED_LATER:
        await grown_to(talk, length)
        await desk.killed()
    await ended_as_it_means(desk, talk)
    asked_again = Counter[str](desk.models.journal()["count"]) - ASKED
    del asked_again["performance"]
    # At most two steps that are asked for are in flight at any moment.
    assert asked_again.total() <= 2 * len(KILLED_AT_FIRST + KILLED_LATER)
