"""The budget of calls: never over Slack's limits, never before Retry-After, the most urgent first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import RateLimited
from adapters.slack.pace import KEPT_CHANNELS, LIMITS, Gate, Limit, Pace, Rate, limit_of
from adapters.urgency import Urgency

POST = LIMITS["chat.postMessage"]
UPDATE = LIMITS["chat.update"]
CHANNELS = ("C1", "C2", "C3")
# When, how urgent, where, and the seconds until Slack counts it and until its answer comes after that.
Called = tuple[float, Urgency, str, tuple[float, float]]


@dataclass
class SlackBucket:
    """How Slack counts: full at first, filling evenly, nothing given when it is empty."""

    per_s: float
    burst: int
    level: float = 0.0
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.burst

    def take(self, now: float) -> bool:
        self.level = min(self.burst, self.level + (now - self.at) * self.per_s)
        self.at = now
        if self.level < 1 - 1e-6:
            return False
        self.level -= 1
        return True


@dataclass
class Simulation:
    """A gate, the calls that come to it, and when they went out; each is answered `takes_s` later."""

    limit: Limit
    takes_s: Callable[[int], float] = lambda _: 0.0
    gate: Gate = field(init=False)
    now: float = 0.0
    out: list[tuple[float, Urgency, str, int]] = field(default_factory=list[tuple[float, Urgency, str, int]])
    away: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])  # a heap: answered when

    def __post_init__(self) -> None:
        self.gate = Gate(self.limit, 0.0)

    def call(self, urgency: Urgency, channel: str, number: int) -> None:
        def go() -> None:
            self.out.append((self.now, urgency, channel, number))
            takes_s = self.takes_s(number)
            if takes_s > 0:
                heapq.heappush(self.away, (self.now + takes_s, channel))
            else:
                self.gate.answered(channel, self.now)

        if urgency is not Urgency.PROGRESS:
            self.gate.enter(urgency, channel, go)
            self.gate.serve(self.now)
        elif self.gate.progress(channel, self.now) == 0:
            go()

    def run(self, until: float = float("inf")) -> None:
        for _ in range(100_000):
            times = [self.away[0][0]] if self.away else []
            if (at := self.gate.next_at(self.now)) is not None:
                times.append(at)
            if not times or min(times) > until:
                self.now = max(self.now, until) if until < float("inf") else self.now
                return
            self.now = max(min(times), self.now)
            while self.away and self.away[0][0] <= self.now:
                self.gate.answered(heapq.heappop(self.away)[1], self.now)
            self.gate.serve(self.now)
        raise AssertionError("the gate wakes us again and again and lets nothing out")


calls = st.lists(
    st.tuples(
        st.floats(0, 90),
        st.sampled_from(list(Urgency)),
        st.sampled_from(CHANNELS),
        st.tuples(st.floats(0, 0.15) | st.floats(0, 30), st.floats(0, 5)),  # on the way there, and back
    ),
    max_size=150,
)


def played(limit: Limit, given_calls: list[Called]) -> Simulation:
    takes = [sum(each[3]) for each in sorted(given_calls)]
    simulation = Simulation(limit, takes.__getitem__)
    for number, (at, urgency, channel, _) in enumerate(sorted(given_calls)):
        simulation.run(until=at)
        simulation.now = at
        simulation.call(urgency, channel, number)
    simulation.run()
    return simulation


@pytest.mark.parametrize(
    "method", ["chat.postMessage", "chat.update", "chat.startStream", "chat.appendStream"]
)
@given(given_calls=calls)
@settings(max_examples=60, deadline=None)
def test_calls_that_are_late_by_any_chance_still_fit_into_slacks_buckets(
    method: str, given_calls: list[Called]
) -> None:
    limit = limit_of(method)
    simulation = played(limit, given_calls)
    late = [each[3][0] for each in sorted(given_calls)]
    arrivals: list[tuple[float, str]] = []
    for at, _, channel, number in simulation.out:
        heapq.heappush(arrivals, (at + late[number], channel))
    shared = SlackBucket(limit.shared.per_s, limit.shared.burst)
    rate = limit.channel
    channels = {c: SlackBucket(rate.per_s, rate.burst) for c in CHANNELS} if rate is not None else {}
    while arrivals:
        at, channel = heapq.heappop(arrivals)
        assert shared.take(at)
        assert channel not in channels or channels[channel].take(at)


@pytest.mark.parametrize("late_s", [0.15, 3.0])  # connections are made; the machine has no time
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update", "chat.startStream"])
def test_a_burst_that_arrives_late_leaves_room_for_the_next_call(method: str, late_s: float) -> None:
    limit = limit_of(method)
    rate = limit.channel or limit.shared
    simulation = Simulation(limit, lambda number: late_s if number < rate.burst else 0.0)
    for number in range(rate.burst + 3):
        simulation.call(Urgency.ANSWER, "C1", number)
    simulation.run()
    bucket = SlackBucket(rate.per_s, rate.burst)
    for at, _, _, number in simulation.out:
        assert bucket.take(at + (late_s if number < rate.burst else 0.0))


def test_calls_on_their_way_do_not_slow_down_what_waits() -> None:
    simulation = Simulation(POST, lambda _: 0.8)
    for number in range(34):
        simulation.call(Urgency.ANSWER, "C1", number)
    simulation.run()
    assert (
        simulation.now <= 0.8 + 30 / 0.97 + 0.8 + 0.5
    )  # once before the first answer, once after the last call


@given(given_calls=calls)
@settings(max_examples=60, deadline=None)
def test_every_call_that_waits_goes_out_once(given_calls: list[Called]) -> None:
    simulation = played(POST, given_calls)
    waited = [number for number, each in enumerate(sorted(given_calls)) if each[1] is not Urgency.PROGRESS]
    assert sorted(n for _, urgency, _, n in simulation.out if urgency is not Urgency.PROGRESS) == waited
    assert simulation.gate.waiting == 0


@given(
    retry_after=st.integers(1, 60),
    when=st.floats(0, 30),
    more=st.lists(st.tuples(st.floats(0, 90), st.sampled_from(list(Urgency))), max_size=60),
)
@settings(max_examples=80, deadline=None)
def test_nothing_goes_out_before_retry_after(
    retry_after: int, when: float, more: list[tuple[float, Urgency]]
) -> None:
    simulation = Simulation(UPDATE)
    frozen = False
    for number, (at, urgency) in enumerate(sorted(more)):
        if at >= when and not frozen:
            simulation.run(until=when)
            simulation.now = when
            simulation.gate.freeze("C1", when, retry_after)
            frozen = True
        simulation.run(until=at)
        simulation.now = at
        simulation.call(urgency, "C1", number)
    simulation.run()
    if frozen:
        assert not [each for each in simulation.out if when < each[0] < when + retry_after]


@pytest.mark.parametrize("method", sorted(LIMITS))
def test_at_least_97_percent_of_what_slack_allows_is_used(method: str) -> None:
    limit = limit_of(method)
    simulation = Simulation(limit)
    count = limit.shared.burst + 300
    for number in range(count):
        simulation.call(Urgency.ANSWER, f"C{number % 50}", number)
    simulation.run()
    slowest = limit.shared
    best = (count - slowest.burst) / slowest.per_s
    assert best * 0.99 <= simulation.now <= best / 0.97 + 0.5


def test_one_channel_gets_a_message_a_second_after_its_burst() -> None:
    simulation = Simulation(POST)
    for number in range(34):
        simulation.call(Urgency.ANSWER, "C1", number)
    simulation.run()
    assert 30 <= simulation.now <= 30 / 0.97 + 0.5


def test_most_urgent_call_goes_first_whoever_came_first() -> None:
    simulation = Simulation(Limit(Rate(1, 1)))
    for number, urgency in enumerate([Urgency.REPLY, Urgency.REPLY, Urgency.ANSWER, Urgency.PERSON]):
        simulation.call(urgency, "C1", number)
    simulation.run()
    assert [number for *_, number in simulation.out] == [0, 3, 2, 1]


def test_channels_take_turns_when_one_of_them_floods() -> None:
    simulation = Simulation(Limit(Rate(1, 1)))
    for number in range(10):
        simulation.call(Urgency.ANSWER, "flood", number)
    simulation.call(Urgency.ANSWER, "quiet", 99)
    simulation.run()
    assert [channel for _, _, channel, _ in simulation.out].index("quiet") <= 2


def test_a_full_channel_does_not_hold_up_another() -> None:
    simulation = Simulation(POST)
    for number in range(20):
        simulation.call(Urgency.ANSWER, "C1", number)
    simulation.call(Urgency.REPLY, "C2", 99)
    assert simulation.out[-1][2] == "C2"
    assert simulation.now == 0


def test_progress_is_sent_away_at_once_and_told_when_to_come_back() -> None:
    gate = Gate(UPDATE, 0.0)
    room = UPDATE.shared.burst - UPDATE.shared.reserve
    given_room = [gate.progress("C1", 0.0) for _ in range(room)]
    assert given_room.count(0.0) >= room - 1  # one less for calls that overtake each other
    first, second = gate.progress("C1", 0.0), gate.progress("C1", 0.0)
    assert 0 < first < second <= 60
    assert gate.progress("C1", second + 0.5) == 0


def test_progress_leaves_room_for_an_answer() -> None:
    simulation = Simulation(UPDATE)
    for number in range(200):
        simulation.call(Urgency.PROGRESS, "C1", number)
    for number in range(5):
        simulation.call(Urgency.ANSWER, "C1", 1000 + number)
    assert [number for *_, number in simulation.out][-5:] == [1000, 1001, 1002, 1003, 1004]


def test_storm_of_approvals_after_much_progress_takes_at_most_1_2_times_the_best() -> None:
    simulation = Simulation(POST)
    channels = [f"C{number}" for number in range(20)]
    for _ in range(50):
        for channel in channels:
            simulation.call(Urgency.PROGRESS, channel, 0)
        simulation.now += 0.1
    begun = simulation.now
    for number in range(200):
        simulation.call(Urgency.ANSWER, channels[number % 20], number)
        simulation.call(Urgency.PROGRESS, channels[number % 20], number)
    simulation.run()
    assert [urgency for _, urgency, *_ in simulation.out].count(Urgency.ANSWER) == 200
    assert simulation.now - begun <= 1.2 * (200 - POST.shared.burst) / POST.shared.per_s


def test_progress_gives_way_to_answers_that_wait() -> None:
    simulation = Simulation(Limit(Rate(1, 2)))
    for number in range(6):
        simulation.call(Urgency.ANSWER, "C1", number)
    left = simulation.gate.progress("C1", 0.0)
    assert left >= 4  # four answers are before it, one a second
    simulation.run(until=2.5)
    assert simulation.gate.progress("C1", 2.5) > 0


def test_a_429_of_one_channel_leaves_the_others_open_and_of_two_closes_all() -> None:
    gate = Gate(POST, 0.0)
    gate.freeze("C1", 100.0, 30)
    assert gate.progress("C2", 101.0) == 0
    assert gate.progress("C1", 101.0) >= 29
    gate.freeze("C2", 102.0, 30)
    assert gate.progress("C3", 103.0) >= 29


def test_a_429_closes_a_method_that_has_no_burst() -> None:
    gate = Gate(Limit(Rate(1, 1)), 0.0)
    gate.freeze("C1", 100.0, 30)
    assert gate.progress("C1", 129.0) > 0
    assert gate.progress("C1", 131.5) == 0


def test_a_429_soon_after_a_start_closes_the_whole_method() -> None:
    # Another process may have spent the workspace's budget: we cannot know which limit it was.
    gate = Gate(POST, 0.0)
    gate.freeze("C1", 1.0, 10)
    assert gate.progress("C2", 2.0) >= 9


def test_a_call_given_up_before_it_went_out_gives_its_room_back() -> None:
    gate = Gate(Limit(Rate(1, 1)), 0.0)
    gone: list[int] = []
    ticket = gate.enter(Urgency.ANSWER, "C1", lambda: gone.append(1))
    waiting = gate.enter(Urgency.ANSWER, "C1", lambda: gone.append(2))
    gate.serve(0.0)
    gate.leave(waiting)
    gate.leave(ticket)
    assert (gone, gate.waiting) == ([1], 0)
    gate.enter(Urgency.ANSWER, "C1", lambda: gone.append(3))
    gate.serve(0.0)
    assert gone == [1, 3]


def test_idle_channels_are_forgotten_and_busy_ones_are_not() -> None:
    gate = Gate(POST, 0.0)
    for number in range(KEPT_CHANNELS + 500):
        gate.progress(f"C{number}", number * 10.0)
    assert len(gate._channels) <= KEPT_CHANNELS + 1  # pyright: ignore[reportPrivateUsage]
    spent = Gate(POST, 0.0)
    while spent.progress("C", 0.0) == 0:
        pass
    for number in range(KEPT_CHANNELS + 500):
        spent.progress(f"C{number}", 0.1)
    assert spent.progress("C", 0.15) > 0


async def test_front_lets_calls_out_in_time_and_obeys_a_429() -> None:
    pace = Pace(scale=20)  # twenty seconds of Slack's in one of ours
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.gather(*(passes(pace, "T", "chat.postMessage", Urgency.ANSWER) for _ in range(14)))
    assert loop.time() - start >= 0.4  # ten beyond the burst at 20 a second
    frozen = loop.time()
    pace.freeze("T", "chat.postMessage", "C1", 0.5)
    with pytest.raises(RateLimited) as limited:
        await passes(pace, "T", "chat.postMessage", Urgency.PROGRESS)
    assert limited.value.retry_after_s >= 0.5 - (loop.time() - frozen)
    await passes(pace, "T", "chat.update", Urgency.PROGRESS)  # another method is another budget
    await passes(pace, "T2", "chat.postMessage", Urgency.PROGRESS)  # so is another workspace
    await passes(pace, "T", "chat.postMessage", Urgency.PERSON)
    assert loop.time() - frozen >= 0.5


async def test_a_waiter_that_is_cancelled_leaves_the_line() -> None:
    pace = Pace(scale=10)
    while not await refused(lambda: passes(pace, "T", "chat.update", Urgency.PROGRESS)):
        pass
    waiters = [asyncio.create_task(passes(pace, "T", "chat.update", Urgency.ANSWER)) for _ in range(60)]
    await asyncio.sleep(0)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    async with asyncio.timeout(60):
        await passes(pace, "T", "chat.update", Urgency.ANSWER)


async def refused(call: Callable[[], Awaitable[None]]) -> bool:
    try:
        await call()
    except RateLimited:
        return True
    return False


async def passes(pace: Pace, team: str, method: str, urgency: Urgency) -> None:
    """One call that is answered at once."""
    async with pace.room(team, method, "C1", urgency):
        pass
