"""The order of calls: never over Discord's limits, never before a 429's pause, the most urgent first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.discord.buckets import (
    GLOBAL_CALLS,
    GLOBAL_RESERVE,
    INVALID_PROGRESS,
    INVALID_S,
    INVALID_SLOW,
    LATE_S,
    Bucket,
    Global,
    Invalid,
    Said,
    read_headers,
)
from adapters.discord.pace import KEPT, LOOKED_AT, Pace, Schedule, Ticket
from adapters.discord.routes import Route, route_of
from adapters.errors import PlatformDown, RateLimited
from adapters.urgency import Urgency
from tests.calm import Watch

SEND = route_of("POST", "/channels/1/messages")
EDIT = route_of("PATCH", "/channels/1/messages/2")
FREE = route_of("GET", "/users/@me")
CALLBACK = route_of("POST", "/interactions/1/token/callback")
LIMITS = {SEND.name: ("send", 5, 5.0), EDIT.name: ("edit", 5, 5.0)}


@dataclass
class Window:
    """How Discord counts: a window opens with its first call."""

    limit: int
    length: float
    ends: float = 0.0
    used: int = 0

    def take(self, now: float) -> bool:
        if now >= self.ends:
            self.ends, self.used = now + self.length, 0
        self.used += 1
        return self.used <= self.limit


@dataclass
class Simulation:
    """A schedule, a Discord on the other side of a slow line, and when each call went out and arrived."""

    schedule: Schedule = field(default_factory=Schedule)
    now: float = 0.0
    ways: tuple[float, ...] = (0.01,)  # seconds to Discord and back, in turn
    out: list[tuple[float, Urgency, Route, int]] = field(
        default_factory=list[tuple[float, Urgency, Route, int]]
    )
    refused: list[tuple[float, Route, str]] = field(default_factory=list[tuple[float, Route, str]])
    arrived: list[float] = field(default_factory=list[float])  # of counted routes
    sent_away: int = 0

    def __post_init__(self) -> None:
        self._way = itertools.cycle(self.ways)
        self._events: list[tuple[float, int, str, Ticket, Mapping[str, str]]] = []
        self._number = itertools.count()
        self._windows: dict[tuple[str, str], Window] = {}
        self._lately: deque[float] = deque()

    def call(self, urgency: Urgency, route: Route, number: int) -> None:
        if urgency is Urgency.PROGRESS:
            found = self.schedule.progress(route, self.now)
            if isinstance(found, Ticket):
                self._send(found, number)
            else:
                assert found > 0
                self.sent_away += 1
            return
        tickets: list[Ticket] = []
        gone: list[bool] = []

        def go() -> None:
            gone.append(True)
            if tickets:
                self._send(tickets[0], number)

        tickets.append(self.schedule.enter(route, urgency, go))
        self.schedule.serve(self.now)

    def run(self, until: float = float("inf")) -> None:
        for _ in range(200_000):
            at = self.schedule.next_at(self.now)
            event = self._events[0][0] if self._events else None
            soonest = min((each for each in (at, event) if each is not None), default=None)
            if soonest is None or soonest > until:
                self.now = max(self.now, until) if until < float("inf") else self.now
                return
            self.now = max(self.now, soonest)
            if event is not None and event <= self.now:
                self._happen()
            self.schedule.serve(self.now)
        raise AssertionError("the schedule wakes us again and again and lets nothing out")

    def _send(self, ticket: Ticket, number: int) -> None:
        self.out.append((self.now, ticket.urgency, ticket.route, number))
        nothing: dict[str, str] = {}
        event = (self.now + next(self._way), next(self._number), "arrives", ticket, nothing)
        heapq.heappush(self._events, event)

    def _happen(self) -> None:
        _, _, what, ticket, headers = heapq.heappop(self._events)
        if what == "answered":
            self.schedule.answered(ticket, self.now, 200, headers)
            return
        headers = self._at_discord(ticket)
        event = (self.now + next(self._way), next(self._number), "answered", ticket, headers)
        heapq.heappush(self._events, event)

    def _at_discord(self, ticket: Ticket) -> Mapping[str, str]:
        route = ticket.route
        if route.is_counted:
            self.arrived.append(self.now)
            self._lately.append(self.now)
            while self._lately[0] <= self.now - 1.0:
                self._lately.popleft()
            if len(self._lately) > 50:
                self.refused.append((self.now, route, "global"))
        if route.name not in LIMITS:
            return {}
        name, limit, length = LIMITS[route.name]
        window = self._windows.setdefault((name, route.major), Window(limit, length))
        if not window.take(self.now):
            self.refused.append((self.now, route, "bucket"))
        return headers_of(name, limit, max(0, limit - window.used), window.ends - self.now)


def headers_of(bucket: str, limit: int, remaining: int, reset_after: float) -> dict[str, str]:
    return {
        "X-RateLimit-Bucket": bucket,
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset-After": f"{reset_after:.3f}",
    }


def in_channel(route: Route, channel: int) -> Route:
    return Route(route.name, str(channel))


def learned(*channels: int) -> Simulation:
    """A simulation whose schedule knows the buckets, and where nothing was sent for a while."""
    made = Simulation()
    for channel in channels or (1,):
        made.call(Urgency.ANSWER, in_channel(SEND, channel), -1)
        made.call(Urgency.ANSWER, in_channel(EDIT, channel), -1)
        made.run()
    made.run(until=made.now + 10)
    made.out.clear()
    made.arrived.clear()
    return made


calls = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.sampled_from(list(Urgency)),
        st.sampled_from([SEND, EDIT, FREE, CALLBACK]),
        st.integers(1, 3),
    ),
    max_size=200,
)
ways = st.lists(st.floats(0.001, 0.2), min_size=1, max_size=7).map(tuple)


def played(given_calls: list[tuple[float, Urgency, Route, int]], line: tuple[float, ...]) -> Simulation:
    simulation = Simulation(ways=line)
    for number, (at, urgency, route, channel) in enumerate(sorted(given_calls, key=lambda each: each[0])):
        simulation.run(until=at)
        simulation.now = at
        simulation.call(urgency, in_channel(route, channel) if route.major else route, number)
    simulation.run()
    return simulation


@given(given_calls=calls, line=ways)
@settings(max_examples=150, deadline=None)
def test_whatever_comes_and_however_late_it_arrives_discord_refuses_nothing(
    given_calls: list[tuple[float, Urgency, Route, int]], line: tuple[float, ...]
) -> None:
    assert played(given_calls, line).refused == []


@given(given_calls=calls, line=ways)
@settings(max_examples=80, deadline=None)
def test_every_call_that_waits_goes_out_once(
    given_calls: list[tuple[float, Urgency, Route, int]], line: tuple[float, ...]
) -> None:
    simulation = played(given_calls, line)
    ordered = sorted(given_calls, key=lambda each: each[0])
    waited = [number for number, each in enumerate(ordered) if each[1] is not Urgency.PROGRESS]
    assert sorted(n for _, urgency, _, n in simulation.out if urgency is not Urgency.PROGRESS) == waited
    assert simulation.schedule.waiting == 0


@given(line=st.lists(st.floats(0.001, 0.12), min_size=1, max_size=5).map(tuple))
@settings(max_examples=10, deadline=None)
def test_a_storm_never_counts_more_than_fifty_in_a_second_and_uses_most_of_them(
    line: tuple[float, ...],
) -> None:
    simulation = Simulation(ways=line)
    for number in range(300):
        simulation.call(Urgency.ANSWER, in_channel(FREE, number), number)
    simulation.run()
    times = sorted(simulation.arrived)
    assert all(later - first > 1.0 - 1e-9 for first, later in zip(times, times[50:], strict=False))
    best = 300 / 50 - 1
    assert times[-1] - times[0] <= (best + 1) * (1 + 2 * max(line)) + 1


def test_a_storm_of_approvals_takes_at_most_1_2_times_what_the_limits_allow() -> None:
    simulation = learned(*range(1, 101))
    start = simulation.now
    for number in range(4):
        for channel in range(1, 101):
            simulation.call(Urgency.ANSWER, in_channel(SEND, channel), number)
    simulation.run()
    best = 400 / 50 - 1  # the first fifty at once
    assert simulation.out[-1][0] - start <= best * 1.2
    assert simulation.refused == []


def test_fifth_message_is_out_at_once_and_the_sixth_as_soon_as_the_window_has_passed() -> None:
    simulation = learned()
    start = simulation.now
    for number in range(6):
        simulation.call(Urgency.ANSWER, SEND, number)
    simulation.run()
    times = [at - start for at, *_ in simulation.out]
    assert times[:5] == [0.0] * 5
    assert 5.0 <= times[5] <= 5.1


def test_unknown_route_is_called_one_at_a_time_until_its_limit_is_known() -> None:
    simulation = Simulation()
    for number in range(4):
        simulation.call(Urgency.ANSWER, SEND, number)
    simulation.call(Urgency.ANSWER, in_channel(SEND, 9), 99)  # another channel is another bucket
    assert [number for *_, number in simulation.out] == [0, 99]
    simulation.run()
    assert simulation.now < 0.1
    assert len(simulation.out) == 5


def test_calls_that_waited_for_an_unknown_limit_keep_to_it_once_it_is_known() -> None:
    simulation = Simulation()
    for number in range(12):
        simulation.call(Urgency.ANSWER, SEND, number)
    simulation.run()
    assert simulation.refused == []
    assert 10 <= simulation.now <= 11


def test_what_is_on_its_way_when_a_window_ends_counts_in_the_next_one() -> None:
    bucket = Bucket(5, 5.0)
    for _ in range(2):
        bucket.take(0.0)
    bucket.in_flight -= 1
    bucket.heard(Said("b", 5, 4, 5.0), 0.1)
    assert bucket.room(5.2) == 4  # the other one may arrive only now


def test_window_that_began_earlier_than_we_thought_leaves_room_for_what_is_on_its_way() -> None:
    bucket = Bucket(5, 5.0)
    for _ in range(3):
        bucket.take(0.0)
    bucket.in_flight -= 1
    bucket.heard(Said("b", 5, 4, 0.4), 0.0)
    bucket.in_flight -= 1
    bucket.heard(Said("b", 5, 4, 5.0), 0.3)  # the first of a new window; the third call may be its second
    assert bucket.room(0.3) == 3


def test_answer_that_was_overtaken_does_not_open_the_window_again() -> None:
    bucket = Bucket(5, 5.0)
    for _ in range(5):
        bucket.take(0.0)
    for remaining in (3, 2, 1, 0):
        bucket.in_flight -= 1
        bucket.heard(Said("b", 5, remaining, 4.9), 0.1)
    bucket.in_flight -= 1
    bucket.heard(Said("b", 5, 4, 0.2), 0.2)  # of the window before
    assert bucket.room(0.5) == 0
    assert bucket.ready_at(0.5) == pytest.approx(5.0)  # pyright: ignore[reportUnknownMemberType]


def test_most_urgent_call_goes_first_whoever_came_first() -> None:
    simulation = learned()
    for number in range(5):
        simulation.call(Urgency.ANSWER, SEND, number)
    for number, urgency in enumerate([Urgency.REPLY, Urgency.REPLY, Urgency.ANSWER, Urgency.PERSON]):
        simulation.call(urgency, SEND, 10 + number)
    simulation.run()
    assert [number for *_, number in simulation.out][5:] == [13, 12, 10, 11]


def test_most_urgent_call_goes_first_across_channels_when_the_global_limit_is_reached() -> None:
    simulation = Simulation()
    for number in range(GLOBAL_CALLS + 20):
        simulation.call(Urgency.REPLY, in_channel(FREE, number), number)
    simulation.call(Urgency.ANSWER, in_channel(FREE, 1_000), 1_000)
    simulation.call(Urgency.PERSON, in_channel(FREE, 2_000), 2_000)
    simulation.run()
    assert [number for *_, number in simulation.out][GLOBAL_CALLS : GLOBAL_CALLS + 2] == [2_000, 1_000]


def test_interactions_do_not_wait_for_the_global_limit() -> None:
    simulation = Simulation()
    for number in range(GLOBAL_CALLS + 20):
        simulation.call(Urgency.ANSWER, in_channel(FREE, number), number)
    for number in range(30):
        simulation.call(Urgency.PERSON, Route(CALLBACK.name, f"{number}/t"), 1_000 + number)
    assert [number for *_, number in simulation.out][-30:] == list(range(1_000, 1_030))
    assert simulation.now == 0


def test_progress_leaves_places_of_a_bucket_and_of_the_second_to_answers() -> None:
    simulation = learned()
    for number in range(20):
        simulation.call(Urgency.PROGRESS, EDIT, number)
    assert len(simulation.out) == 3
    for number in range(2):
        simulation.call(Urgency.ANSWER, EDIT, 100 + number)
    assert [number for *_, number in simulation.out][-2:] == [100, 101]
    busy = Simulation()
    for number in range(100):
        busy.call(Urgency.PROGRESS, in_channel(FREE, number), number)
    assert len(busy.out) == GLOBAL_CALLS - GLOBAL_RESERVE
    for number in range(GLOBAL_RESERVE):
        busy.call(Urgency.ANSWER, in_channel(FREE, 1_000 + number), 1_000 + number)
    assert len(busy.out) == GLOBAL_CALLS


def test_progress_goes_behind_those_who_wait_and_is_told_when_to_come_back() -> None:
    simulation = learned()
    for number in range(7):
        simulation.call(Urgency.ANSWER, SEND, number)
    simulation.run(until=simulation.now + 1)
    found = simulation.schedule.progress(SEND, simulation.now)
    assert isinstance(found, float)
    assert 3.5 <= found <= 4.1
    waits = [simulation.schedule.progress(in_channel(FREE, n), simulation.now) for n in range(200)]
    away = [wait for wait in waits if isinstance(wait, float)]
    assert len(set(away)) > len(away) * 0.9  # they do not all come back at once


@given(
    retry_after=st.floats(0.1, 50),
    scope=st.sampled_from(["user", "shared", "global", "address"]),
    more=st.lists(st.tuples(st.floats(0, 60), st.sampled_from(list(Urgency))), max_size=60),
)
@settings(max_examples=80, deadline=None)
def test_nothing_goes_out_before_the_pause_of_a_429_has_passed(
    retry_after: float, scope: str, more: list[tuple[float, Urgency]]
) -> None:
    simulation = learned()
    found = simulation.schedule.progress(SEND, simulation.now)
    assert isinstance(found, Ticket)
    start = simulation.now
    simulation.schedule.answered(found, start, 429, {})
    simulation.schedule.limited(found, start, retry_after, scope)  # pyright: ignore[reportArgumentType]
    other = {"user": EDIT, "shared": EDIT, "global": CALLBACK, "address": None}[scope]
    if other is not None:  # what it does not mean goes on
        simulation.call(Urgency.ANSWER, other, 999)
        assert simulation.out.pop()[3] == 999
    for number, (at, urgency) in enumerate(sorted(more)):
        simulation.run(until=start + at)
        simulation.now = start + at
        simulation.call(urgency, SEND, number)
    simulation.run()
    assert not [each for each in simulation.out if each[0] < start + retry_after]


def test_route_without_limits_that_meets_a_429_has_one_from_then_on() -> None:
    simulation = Simulation()
    simulation.call(Urgency.ANSWER, FREE, 0)
    simulation.run()
    found = simulation.schedule.progress(FREE, simulation.now)
    assert isinstance(found, Ticket)
    simulation.schedule.answered(found, simulation.now, 429, {})
    simulation.schedule.limited(found, simulation.now, 2.0, "user")
    start = simulation.now
    simulation.call(Urgency.ANSWER, FREE, 1)
    simulation.run()
    assert simulation.out[-1][0] >= start + 2.0


def test_answers_that_say_nothing_of_the_limit_close_a_bucket_for_a_window_and_no_longer() -> None:
    """A 5xx comes without headers: a bucket that was learned before must not stay empty for ever."""
    schedule = Schedule()
    headers = {
        "X-RateLimit-Bucket": "send",
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "4",
        "X-RateLimit-Reset-After": "5.0",
    }
    now = 0.0
    for number in range(60):
        ticket = schedule.enter(SEND, Urgency.ANSWER, lambda: None)
        schedule.serve(now)
        if ticket.state != "out":
            at = schedule.next_at(now)
            assert at is not None, "nothing will ever wake it"
            now = at
            schedule.serve(now)
        assert ticket.state == "out"
        schedule.answered(ticket, now + 0.1, 200 if not number else 503, {} if number else headers)
        now += 1.0
    assert now < 120.0


def test_lost_answers_close_a_bucket_for_a_window_and_no_longer() -> None:
    simulation = learned()
    for _ in range(3):
        found = simulation.schedule.progress(SEND, simulation.now)
        assert isinstance(found, Ticket)
        simulation.schedule.lost(found, simulation.now)
    start = simulation.now
    for number in range(3):
        simulation.call(Urgency.ANSWER, SEND, number)
    simulation.run()
    assert [at - start < 0.01 for at, *_ in simulation.out] == [True, True, False]
    assert simulation.out[-1][0] <= start + 5.1


def test_call_that_was_not_made_gives_its_room_back() -> None:
    simulation = learned()
    for _ in range(50):
        found = simulation.schedule.progress(SEND, simulation.now)
        assert isinstance(found, Ticket)
        simulation.schedule.leave(found)
        simulation.schedule.leave(found)  # twice changes nothing
    waiting = [simulation.schedule.enter(SEND, Urgency.ANSWER, lambda: None) for _ in range(3)]
    simulation.schedule.leave(waiting[1])
    simulation.schedule.leave(waiting[0])
    assert simulation.schedule.waiting == 1


def test_many_refused_calls_slow_us_down_long_before_discord_bans_the_address() -> None:
    simulation = Simulation()

    def refuse(count: int, status: int = 403, headers: Mapping[str, str] | None = None) -> None:
        for _ in range(count):
            ticket = simulation.schedule.enter(CALLBACK, Urgency.ANSWER, lambda: None)
            simulation.schedule.serve(simulation.now)
            simulation.schedule.answered(ticket, simulation.now, status, headers or {})

    refuse(INVALID_PROGRESS, 429, {"X-RateLimit-Scope": "shared"})  # these do not count
    refuse(INVALID_PROGRESS - 1, 401)
    assert isinstance(simulation.schedule.progress(in_channel(FREE, 1), simulation.now), Ticket)
    refuse(1)
    wait = simulation.schedule.progress(in_channel(FREE, 2), simulation.now)
    assert wait == pytest.approx(INVALID_S)  # pyright: ignore[reportUnknownMemberType]
    refuse(INVALID_SLOW - INVALID_PROGRESS)
    for number in range(5):
        simulation.call(Urgency.ANSWER, Route(CALLBACK.name, f"x{number}/t"), number)
    simulation.run()
    times = [at for at, *_ in simulation.out]
    assert all(later - first >= 1.0 for first, later in itertools.pairwise(times))


def test_refused_calls_are_forgotten_after_ten_minutes() -> None:
    invalid = Invalid()
    for second in range(INVALID_SLOW):
        invalid.note(second / 100)
    assert invalid.count(90.0) == INVALID_SLOW
    assert invalid.progress_at(90.0) == (INVALID_SLOW - INVALID_PROGRESS) / 100 + INVALID_S
    assert invalid.count(INVALID_S + 90.0) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-RateLimit-Limit": "5"},
        headers_of("", 5, 4, 1),
        headers_of("b", 0, 4, 1),
        headers_of("b", 5, -1, 1),
        headers_of("b", 5, 4, -1),
        headers_of("b", 5, 4, 1e9),
        {**headers_of("b", 5, 4, 1), "X-RateLimit-Reset-After": "nan"},
        {**headers_of("b", 5, 4, 1), "X-RateLimit-Limit": "five"},
    ],
)
def test_headers_that_make_no_sense_say_nothing(headers: dict[str, str]) -> None:
    assert read_headers(headers) is None


def test_headers_say_the_limit() -> None:
    assert read_headers(headers_of("b", 5, 4, 1.5)) == Said("b", 5, 4, 1.5)


def test_small_buckets_keep_no_reserve_and_larger_ones_some() -> None:
    assert [Bucket(limit).reserve for limit in (0, 1, 2, 3, 5, 10, 50)] == [0, 0, 1, 1, 2, 4, 20]


@pytest.mark.parametrize(
    ("method", "path", "name", "major"),
    [
        ("PATCH", "/channels/1/messages/2", "PATCH /channels/{}/messages/{}", "1"),
        (
            "PUT",
            "/channels/1/messages/2/reactions/%F0%9F%91%8D/@me",
            "PUT /channels/{}/messages/{}/reactions/{}/@me",
            "1",
        ),
        ("GET", "/guilds/3/members/4", "GET /guilds/{}/members/{}", "3"),
        ("POST", "/webhooks/5/tok", "POST /webhooks/{}/{}", "5/tok"),
        ("PATCH", "/webhooks/5/tok/messages/@original", "PATCH /webhooks/{}/{}/messages/@original", "5/tok"),
        ("POST", "/interactions/6/tok/callback", "POST /interactions/{}/{}/callback", "6/tok"),
        ("POST", "/users/@me/channels", "POST /users/@me/channels", ""),
        ("GET", "/gateway/bot", "GET /gateway/bot", ""),
        ("GET", "/", "GET /", ""),
    ],
)
def test_routes_are_named_as_discord_counts_them(method: str, path: str, name: str, major: str) -> None:
    route = route_of(method, path)
    assert route.name == name
    assert route.major == major
    assert route.is_counted == (not path.startswith(("/webhooks", "/interactions")))


def test_buckets_of_channels_long_left_are_forgotten() -> None:
    simulation = learned()
    for channel in range(KEPT + 500):
        simulation.call(Urgency.ANSWER, in_channel(SEND, channel), channel)
        simulation.run(until=simulation.now + 0.05)
    simulation.run()
    assert len(simulation.schedule._buckets) <= KEPT + 1  # pyright: ignore[reportPrivateUsage]
    assert simulation.refused == []


def test_buckets_of_calls_that_were_lost_before_their_limit_was_known_are_forgotten() -> None:
    schedule = Schedule()
    for number in range(KEPT + 500):
        ticket = schedule.enter(in_channel(SEND, number), Urgency.ANSWER, lambda: None)
        schedule.serve(10.0 * number)
        assert ticket.state == "out"
        schedule.lost(ticket, 10.0 * number + 1)
    assert len(schedule._buckets) <= KEPT + 1  # pyright: ignore[reportPrivateUsage]


def test_many_buckets_in_use_are_not_all_looked_at_with_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, looked = Schedule(), Counter[str]()
    is_idle = Bucket.is_idle

    def counting(bucket: Bucket, now: float) -> bool:
        looked["at"] += 1
        return is_idle(bucket, now)

    monkeypatch.setattr(Bucket, "is_idle", counting)
    for number in range(KEPT + 100):  # all of them on their way
        schedule.enter(in_channel(SEND, number), Urgency.ANSWER, lambda: None)
        schedule.serve(10.0 * number)
    assert 0 < looked["at"] <= 100 * LOOKED_AT


# ── the front ────────────────────────────────────────────────────────────────────────────────


async def answered(pace: Pace, route: Route = SEND, remaining: int = 4, reset_after: float = 0.3) -> None:
    ticket = await pace.wait(route, Urgency.ANSWER)
    pace.answered(ticket, 200, headers_of("send", 5, remaining, reset_after))


async def test_front_lets_calls_out_in_time_and_obeys_a_429() -> None:
    pace = Pace()
    loop = asyncio.get_running_loop()
    await answered(pace)
    start, watch = loop.time(), Watch()
    tickets = [await pace.wait(SEND, Urgency.ANSWER) for _ in range(4)]
    assert watch.calm_s < 0.2
    with pytest.raises(RateLimited) as limited:
        await pace.wait(SEND, Urgency.PROGRESS)
    assert 0 < limited.value.retry_after_s <= 0.3
    for ticket in tickets:
        pace.answered(ticket, 200, headers_of("send", 5, 0, 0.3))
    last = await pace.wait(SEND, Urgency.ANSWER)
    assert loop.time() - start >= 0.3
    pace.answered(last, 429, {})
    pace.limited(last, 0.4, "user")
    frozen = loop.time()
    with pytest.raises(RateLimited):
        await pace.wait(SEND, Urgency.PROGRESS)
    await pace.wait(SEND, Urgency.PERSON)
    assert loop.time() - frozen >= 0.4


async def test_waiters_that_are_cancelled_leave_the_line() -> None:
    pace = Pace()
    await answered(pace, remaining=0, reset_after=0.2)
    waiters = [asyncio.create_task(pace.wait(SEND, Urgency.ANSWER)) for _ in range(60)]
    await asyncio.sleep(0)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    async with asyncio.timeout(60):
        for _ in range(5):
            await pace.wait(SEND, Urgency.ANSWER)


async def test_nobody_waits_for_an_hour_in_here() -> None:
    pace = Pace()
    await answered(pace, remaining=4)
    ticket = await pace.wait(SEND, Urgency.ANSWER)
    others = [asyncio.create_task(pace.wait(SEND, Urgency.ANSWER)) for _ in range(9)]
    await asyncio.sleep(0)
    pace.answered(ticket, 429, {})
    pace.limited(ticket, 1_800, "address")
    with pytest.raises(PlatformDown, match="closed") as down:
        await pace.wait(EDIT, Urgency.ANSWER)
    assert not down.value.outcome_unknown
    found = await asyncio.gather(*others, return_exceptions=True)
    assert sum(isinstance(each, PlatformDown) for each in found) >= 5  # three had gone out before
    with pytest.raises(RateLimited) as limited:
        await pace.wait(CALLBACK, Urgency.PROGRESS)
    assert limited.value.retry_after_s > 1_700


async def test_call_after_a_429_keeps_its_place() -> None:
    pace = Pace()
    await answered(pace, remaining=0, reset_after=0.2)
    order: list[str] = []

    async def go(name: str, place: int | None = None) -> None:
        ticket = await pace.wait(SEND, Urgency.ANSWER, place)
        order.append(name)
        pace.answered(ticket, 200, headers_of("send", 5, 4, 0.2))

    async with asyncio.timeout(60):
        await asyncio.gather(go("second"), go("first", 0))
    assert order == ["first", "second"]


def test_when_a_pause_for_all_ends_those_who_wait_go_before_progress_whoever_wakes_first() -> None:
    simulation = learned(*range(1, 101))
    pause = simulation.schedule.enter(FREE, Urgency.ANSWER, lambda: None)
    simulation.schedule.serve(simulation.now)
    simulation.schedule.answered(pause, simulation.now, 429, {})
    simulation.schedule.limited(pause, simulation.now, 5.0, "global")
    for channel in range(1, 101):
        simulation.call(Urgency.ANSWER, in_channel(SEND, channel), channel)
    assert simulation.out == []
    simulation.now += 5.0
    assert isinstance(simulation.schedule.progress(EDIT, simulation.now), float)
    assert [urgency for _, urgency, *_ in simulation.out] == [Urgency.ANSWER] * GLOBAL_CALLS


def test_a_call_that_is_long_on_its_way_keeps_its_place_until_a_second_after_its_answer() -> None:
    limit = Global()
    places = [limit.take(0.0) for _ in range(GLOBAL_CALLS)]
    assert limit.room(1.5) == 0
    for place in places:
        limit.answered(place, 1.5)
    assert (limit.room(2.4), limit.room(2.6)) == (0, GLOBAL_CALLS)


def test_calls_that_the_library_makes_by_itself_take_places_of_the_second() -> None:
    simulation = Simulation()
    for _ in range(4):
        simulation.schedule.count(simulation.now)
    for number in range(GLOBAL_CALLS):
        simulation.call(Urgency.ANSWER, in_channel(FREE, number), number)
    assert len(simulation.out) == GLOBAL_CALLS - 4
    simulation.run()
    assert len(simulation.out) == GLOBAL_CALLS


def test_calls_that_are_never_answered_do_not_keep_their_places_for_long() -> None:
    limit = Global()
    for _ in range(GLOBAL_CALLS):
        limit.take(0.0)
    assert limit.ready_at(0.0) == LATE_S + 1.0
