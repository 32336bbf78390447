"""Places to work: limits hold, nobody waits for whom there is room, the first in order begin first."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from orchestrator.engine.places import RANKS, Place, Places
from orchestrator.events import Priority

RUN_LIMITS = {"r1": 1, "r2": 2, "r3": None}
AGENT_LIMITS = {"a1": 1, "a2": 3, "a3": None}
PROVIDER_LIMITS = {"p1": 2, "": None}
TOTAL = 4
PICK = st.integers(min_value=0, max_value=1000)


class Queueing(RuleBasedStateMachine):
    """Beside each step stands a plain model: a list of those at work and a list of those who wait."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.places = Places(TOTAL)
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.at_work: dict[int, Place] = {}
        self.waiting: dict[int, Place] = {}
        self.number = 0

    def teardown(self) -> None:
        for number in list(self.waiting):
            self._cancel(number)
        for number in list(self.at_work):
            self._give(number)
        assert (self.places.taken, self.places.waiting) == (0, 0)
        assert not self.places._queues  # pyright: ignore[reportPrivateUsage]
        assert not self.places._runs  # pyright: ignore[reportPrivateUsage]
        assert not self.places._loose  # pyright: ignore[reportPrivateUsage]
        self.runner.close()

    # ── the model ────────────────────────────────────────────────────────────────────────────

    def _room(self, place: Place) -> bool:
        used = Counter[str]()
        for other in self.at_work.values():
            used.update((f"run {other.run_id}", f"agent {other.agent}", f"provider {other.provider}"))
        limits = {
            f"run {place.run_id}": place.run_limit,
            f"agent {place.agent}": place.agent_limit,
            f"provider {place.provider}": place.provider_limit,
        }
        return len(self.at_work) < TOTAL and all(m is None or used[n] < m for n, m in limits.items())

    def _begin_who_can(self) -> None:
        for number in sorted(self.waiting, key=lambda n: (RANKS[self.waiting[n].priority], n)):
            if self._room(self.waiting[number]):
                self.at_work[number] = self.waiting.pop(number)

    def _turn(self) -> None:
        async def some() -> None:
            for _ in range(4):
                await asyncio.sleep(0)

        self.runner.run(some())

    def _give(self, number: int) -> None:
        self.places.give(self.at_work.pop(number))
        self._begin_who_can()

    def _cancel(self, number: int) -> None:
        self.tasks[number].cancel()
        del self.waiting[number]
        self._turn()
        assert self.tasks[number].cancelled()

    # ── what happens ─────────────────────────────────────────────────────────────────────────

    @rule(
        run=st.sampled_from(list(RUN_LIMITS)),
        agent=st.sampled_from(list(AGENT_LIMITS)),
        provider=st.sampled_from(list(PROVIDER_LIMITS)),
        priority=st.sampled_from(get_args(Priority)),
        another_limit=st.booleans(),
    )
    def take(self, run: str, agent: str, provider: str, priority: Priority, another_limit: bool) -> None:
        agent_limit = 2 if another_limit else AGENT_LIMITS[agent]  # it came again with another one
        place = Place(run, RUN_LIMITS[run], agent, agent_limit, provider, PROVIDER_LIMITS[provider], priority)
        self.number += 1
        self.waiting[self.number] = place
        self._begin_who_can()
        self.tasks[self.number] = self.runner.get_loop().create_task(self.places.take(place))
        self._turn()

    @precondition(lambda self: self.at_work)
    @rule(pick=PICK)
    def give(self, pick: int) -> None:
        self._give(_one_of(pick, self.at_work))
        self._turn()

    @precondition(lambda self: self.waiting)
    @rule(pick=PICK)
    def give_up(self, pick: int) -> None:
        self._cancel(_one_of(pick, self.waiting))

    @precondition(lambda self: self.at_work and self.waiting)
    @rule(pick=PICK)
    def give_and_give_up_in_the_same_moment(self, pick: int) -> None:
        given, gone = _one_of(pick, self.at_work), _one_of(pick, self.waiting)
        self.tasks[gone].cancel()  # has not been told yet when the place is handed on
        del self.waiting[gone]
        self._give(given)
        self._turn()
        assert self.tasks[gone].cancelled()

    @precondition(lambda self: self.at_work and self.waiting)
    @rule(pick=PICK)
    def handed_over_and_given_up_in_the_same_moment(self, pick: int) -> None:
        before = set(self.waiting)
        self._give(_one_of(pick, self.at_work))
        begun = sorted(before - set(self.waiting))[:1]
        for number in begun:
            self.tasks[number].cancel()  # has its place already, and does not know
        self._turn()
        for number in begun:
            assert self.tasks[number].cancelled()
            self.at_work.pop(number)
            self._begin_who_can()

    @invariant()
    def those_at_work_are_those_who_should_be(self) -> None:
        done = {n for n, task in self.tasks.items() if task.done() and not task.cancelled()}
        gone = done - set(self.at_work)
        assert set(self.at_work) <= done
        assert all(self.tasks[number].done() for number in gone)
        assert not done & set(self.waiting)
        assert self.places.taken == len(self.at_work)
        assert self.places.waiting == len(self.waiting)


def _one_of(pick: int, among: dict[int, Place]) -> int:
    return sorted(among)[pick % len(among)]


TestQueueing = Queueing.TestCase
TestQueueing.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


async def settled() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_waiting_critical_step_begins_before_a_waiting_low_one() -> None:
    places, order = Places(1), list[str]()
    busy = Place("r0")
    await places.take(busy)

    async def work(name: str, priority: Priority) -> None:
        place = Place(name, priority=priority)
        await places.take(place)
        order.append(name)
        places.give(place)

    async with asyncio.TaskGroup() as group:
        for name, priority in (("l", "low"), ("m1", "medium"), ("h", "high"), ("m2", "medium")):
            group.create_task(work(name, priority))  # pyright: ignore[reportArgumentType]
        group.create_task(work("c", "critical"))
        await settled()
        places.give(busy)
    assert order == ["c", "h", "m1", "m2", "l"]


async def test_critical_step_whose_agent_is_full_holds_back_nobody() -> None:
    places = Places(3)
    held = Place("r1", agent="builder", agent_limit=1)
    await places.take(held)
    critical = asyncio.create_task(places.take(replace(held, priority="critical")))
    await settled()
    await asyncio.wait_for(places.take(Place("r2", agent="planner", priority="low")), 1)
    assert not critical.done()
    places.give(held)
    await asyncio.wait_for(critical, 1)


async def test_thousand_waiting_steps_all_begin_and_leave_nothing() -> None:
    places, most = Places(8), 0

    async def work(number: int) -> None:
        nonlocal most
        place = Place(f"r{number % 40}", 2, f"a{number % 5}", 3, "openai", 6)
        await places.take(place)
        most = max(most, places.taken)
        await asyncio.sleep(0)
        places.give(place)

    async with asyncio.TaskGroup() as group:
        for number in range(1000):
            group.create_task(work(number))
    assert most == 6  # the provider's limit
    assert (places.taken, places.waiting) == (0, 0)


async def test_cancelled_storm_of_waiters_leaves_nothing() -> None:
    places, busy = Places(1), Place("r0")
    await places.take(busy)
    tasks = [asyncio.create_task(places.take(Place(f"r{n}", 1))) for n in range(200)]
    await settled()
    assert places.waiting == 200
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert places.waiting == 0
    assert len(places._all.gates) == 0  # pyright: ignore[reportPrivateUsage]
    places.give(busy)
    assert places.taken == 0


def test_giving_back_what_was_not_taken_is_an_error() -> None:
    with pytest.raises(KeyError):
        Places(1).give(Place("r1"))


def test_no_places_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Places(0)
