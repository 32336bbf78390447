"""Every scheduler: soon or at a time, at least once, never two at a time for one run, none lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import UnknownEvent
from orchestrator.events import RunId
from orchestrator.infra.local_scheduler import LocalScheduler, Restless
from orchestrator.ports import Advance, Due, Scheduler
from tests.contract.store_harness import (
    Opener,
    OpenStore,
    asked,
    claim,
    decided,
    opener,
    soon,
    started,
    store,
)

__all__ = ["opener", "store"]  # fixtures
SOON_S = 0.05


class Quiet:
    """A store in which nothing ever happens, or what a test puts there."""

    def __init__(self) -> None:
        self.restless: list[RunId] = []
        self.timers: list[Due] = []
        self.asked = 0
        self.broken = False

    async def to_wake(self) -> list[RunId]:
        self.asked += 1
        if self.broken:
            raise OSError("the disk is gone")
        return list(self.restless)

    async def due(self, *, until: datetime) -> list[Due]:
        return [due for due in self.timers if due.at <= until]


Make = Callable[..., Scheduler]


@pytest.fixture(params=["local"])
def make() -> Make:
    """Makes a scheduler over a store; looks come fast, so that tests need not wait."""

    def local(
        store: Restless, *, concurrency: int = 10, poll_s: float = SOON_S, sweep_s: float = SOON_S
    ) -> Scheduler:
        return LocalScheduler(store, concurrency=concurrency, poll_s=poll_s, sweep_s=sweep_s)

    return local


@asynccontextmanager
async def working(scheduler: Scheduler, advance: Advance) -> AsyncGenerator[asyncio.Task[None]]:
    """The scheduler at work until the block ends."""
    task = asyncio.create_task(scheduler.run(advance))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Watched:
    """Counts advances and refuses two at a time for one run."""

    def __init__(self, during: Callable[[RunId], Awaitable[None]] | None = None) -> None:
        self.count: Counter[RunId] = Counter()
        self.at_once = 0
        self.most = 0
        self.doubles: list[RunId] = []
        self._inside: set[RunId] = set()
        self._during = during

    async def __call__(self, run_id: RunId) -> None:
        if run_id in self._inside:
            self.doubles.append(run_id)
        self._inside.add(run_id)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self._during is not None:
                await self._during(run_id)
        finally:
            self.count[run_id] += 1
            self.at_once -= 1
            self._inside.discard(run_id)


R = RunId("r1")


class TestWaking:
    async def test_wake_before_and_after_the_start(self, make: Make) -> None:
        advance, scheduler = Watched(), make(Quiet())
        await scheduler.wake(R)
        async with working(scheduler, advance):
            await soon(lambda: advance.count[R] == 1)
            await scheduler.wake(R)
            await soon(lambda: advance.count[R] == 2)

    async def test_wakes_during_an_advance_lead_to_one_more_after_it(self, make: Make) -> None:
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def during(run_id: RunId) -> None:
            entered.set()
            await go_on.wait()

        advance, scheduler = Watched(during), make(Quiet())
        async with working(scheduler, advance):
            await scheduler.wake(R)
            await entered.wait()
            for _ in range(10):
                await scheduler.wake(R)
            go_on.set()
            await soon(lambda: advance.count[R] == 2)
            await asyncio.sleep(4 * SOON_S)  # nothing more comes
        assert advance.count[R] == 2
        assert advance.doubles == []

    async def test_advance_that_wakes_itself_goes_on_and_lets_others_work(self, make: Make) -> None:
        scheduler = make(Quiet(), concurrency=1)

        async def during(run_id: RunId) -> None:
            if run_id == R:
                await scheduler.wake(R)

        advance = Watched(during)
        async with working(scheduler, advance):
            await scheduler.wake(R)
            await scheduler.wake(RunId("other"))
            await soon(lambda: advance.count[RunId("other")] == 1 and advance.count[R] > 3)

    async def test_no_more_at_once_than_allowed_and_all_get_their_turn(self, make: Make) -> None:
        async def during(run_id: RunId) -> None:
            await asyncio.sleep(0.001)

        advance, scheduler = Watched(during), make(Quiet(), concurrency=3)
        async with working(scheduler, advance):
            for i in range(50):
                await scheduler.wake(RunId(f"r{i}"))
            await soon(lambda: len(advance.count) == 50)
        assert advance.most == 3
        assert set(advance.count.values()) == {1}

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 2**32), runs=st.integers(1, 4), concurrency=st.integers(1, 4))
    async def test_after_every_wake_comes_an_advance_that_began_later(
        self, seed: int, runs: int, concurrency: int
    ) -> None:
        rng = random.Random(seed)
        clock = 0
        woken: dict[RunId, int] = {}
        begun: defaultdict[RunId, int] = defaultdict(int)

        async def during(run_id: RunId) -> None:
            begun[run_id] = clock
            for _ in range(rng.randint(0, 4)):
                await asyncio.sleep(0)
            if rng.random() < 0.1:
                raise RuntimeError("broke")

        advance = Watched(during)
        scheduler = LocalScheduler(Quiet(), concurrency=concurrency)
        async with working(scheduler, advance):
            for _ in range(40):
                clock += 1
                run_id = RunId(f"r{rng.randrange(runs)}")
                woken[run_id] = clock
                await scheduler.wake(run_id)
                for _ in range(rng.randint(0, 5)):
                    await asyncio.sleep(0)
            await soon(lambda: all(begun[run_id] >= at for run_id, at in woken.items()))
        assert advance.doubles == []
        assert advance.most <= concurrency


class TestTimes:
    async def test_wake_at_a_time_comes_then_and_not_before(self, make: Make) -> None:
        advance, scheduler = Watched(), make(Quiet())
        async with working(scheduler, advance):
            at = datetime.now(UTC) + timedelta(seconds=0.2)
            early: list[datetime] = []
            await scheduler.wake(R, at)
            await scheduler.wake(RunId("later"), at + timedelta(hours=1))
            await scheduler.wake(RunId("past"), at - timedelta(hours=1))
            await soon(lambda: advance.count[RunId("past")] == 1)
            assert advance.count[R] == 0
            await soon(lambda: bool(advance.count[R]) and not early.append(datetime.now(UTC)))
            assert early[0] >= at
        assert advance.count[RunId("later")] == 0

    async def test_earlier_time_set_later_comes_first(self, make: Make) -> None:
        order: list[RunId] = []

        async def advance(run_id: RunId) -> None:
            order.append(run_id)

        scheduler = make(Quiet(), sweep_s=60.0, poll_s=60.0)
        async with working(scheduler, advance):
            now = datetime.now(UTC)
            await scheduler.wake(RunId("second"), now + timedelta(seconds=0.3))
            await asyncio.sleep(0)
            await scheduler.wake(RunId("first"), now + timedelta(seconds=0.1))
            await soon(lambda: len(order) == 2)
        assert order == ["first", "second"]

    async def test_thousand_distant_times_cost_no_tasks(self, make: Make) -> None:
        scheduler = make(Quiet())
        async with working(scheduler, Watched()):
            await asyncio.sleep(0)
            before = len(asyncio.all_tasks())
            at = datetime.now(UTC) + timedelta(days=1)
            for i in range(1000):
                await scheduler.wake(RunId(f"r{i}"), at)
            await asyncio.sleep(2 * SOON_S)
            assert len(asyncio.all_tasks()) <= before

    async def test_times_are_taken_from_the_store_after_a_restart(self, opener: Opener, make: Make) -> None:
        first = await opener()
        run_id = await started(first, "r1")
        epoch = await claim(first, run_id)
        assert epoch is not None
        at = datetime.now(UTC) + timedelta(seconds=0.4)
        await first.append(run_id, [asked(run_id, at)], epoch=epoch, expected_seq=2, status="waiting")
        await first.release(run_id, epoch, seen=3)
        await first.close()
        second = await opener()
        advance = Watched()
        async with working(make(second), advance):
            await soon(lambda: advance.count[run_id] > 0)
            assert datetime.now(UTC) >= at


class TestFindingWork:
    async def test_unfinished_runs_are_taken_up_at_the_start(self, store: OpenStore, make: Make) -> None:
        run_id = await started(store, "r1")
        advance = Watched()
        async with working(make(store), advance):
            await soon(lambda: advance.count[run_id] > 0)

    async def test_decision_appended_by_another_process_is_noticed(self, opener: Opener, make: Make) -> None:
        mine, other = await opener(), await opener()
        run_id = await started(mine, "r1")
        parked = asyncio.Event()

        async def during(run_id: RunId) -> None:
            epoch = await claim(mine, run_id)
            assert epoch is not None
            seq = (await mine.heads([run_id]))[run_id]
            if seq == 2:
                await mine.append(run_id, [asked(run_id)], epoch=epoch, expected_seq=2, status="waiting")
                seq = 3
            await mine.release(run_id, epoch, seen=seq)
            parked.set()

        advance = Watched(during)
        async with working(make(mine), advance):
            await parked.wait()
            await soon(lambda: advance.at_once == 0)
            calls = advance.count[run_id]
            await asyncio.sleep(4 * SOON_S)
            assert advance.count[run_id] == calls  # a run at rest is left alone
            await other.append(run_id, [decided(run_id)], epoch=None)
            await soon(lambda: advance.count[run_id] > calls)
            calls = advance.count[run_id]
            await asyncio.sleep(4 * SOON_S)
            assert advance.count[run_id] <= calls + 1

    async def test_run_being_advanced_is_not_woken_by_looks(self, make: Make) -> None:
        quiet, go_on = Quiet(), asyncio.Event()
        quiet.restless = [R]

        async def during(run_id: RunId) -> None:
            await go_on.wait()
            quiet.restless = []

        advance = Watched(during)
        async with working(make(quiet), advance):
            await soon(lambda: advance.at_once == 1)
            looks = quiet.asked
            await soon(lambda: quiet.asked > looks + 2)
            go_on.set()
            await soon(lambda: advance.count[R] == 1)
            await asyncio.sleep(2 * SOON_S)
        assert advance.count[R] == 1

    async def test_store_that_fails_for_a_while_stops_nothing(
        self, make: Make, capsys: pytest.CaptureFixture[str]
    ) -> None:
        quiet, advance = Quiet(), Watched()
        quiet.broken = True
        scheduler = make(quiet)
        async with working(scheduler, advance):
            await soon(lambda: quiet.asked > 1)
            await scheduler.wake(RunId("woken"))
            await soon(lambda: advance.count[RunId("woken")] == 1)
            quiet.broken, quiet.restless = False, [R]
            await soon(lambda: advance.count[R] > 0)
        assert "sweep_failed" in capsys.readouterr().out


class TestFailures:
    async def test_broken_advance_is_tried_again_later_and_hurts_nobody(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        failures = 2

        async def during(run_id: RunId) -> None:
            nonlocal failures
            if run_id == R and failures:
                failures -= 1
                raise UnknownEvent("run r1, event 3: update Quartet")

        clock = Steps()
        advance, quiet = Watched(during), Quiet()
        quiet.restless = [R]
        scheduler = LocalScheduler(quiet, clock=clock, concurrency=1, poll_s=0.01, sweep_s=0.01)
        async with working(scheduler, advance):
            await soon(lambda: advance.count[R] == 1)
            await scheduler.wake(RunId("other"))
            await soon(lambda: advance.count[RunId("other")] == 1)
            looks = quiet.asked
            await soon(lambda: quiet.asked > looks + 3)
            assert advance.count[R] == 1  # looks at the store do not get round the delay
            clock.forward(0.9)
            await soon(lambda: quiet.asked > looks + 6)
            assert advance.count[R] == 1
            clock.forward(0.2)
            await soon(lambda: advance.count[R] == 2)
            clock.forward(1.5)
            looks = quiet.asked
            await soon(lambda: quiet.asked > looks + 3)
            assert advance.count[R] == 2  # the second delay is twice the first
            clock.forward(1.0)
            await soon(lambda: advance.count[R] >= 3)
        out = capsys.readouterr().out
        assert "advance_failed" in out
        assert "r1" in out
        assert "update Quartet" in out

    async def test_wake_from_outside_does_not_wait_for_the_delay(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def during(run_id: RunId) -> None:
            if advance.count[R] == 0:
                raise RuntimeError("broke")

        advance = Watched(during)
        scheduler = LocalScheduler(Quiet(), clock=Steps(), concurrency=1)
        async with working(scheduler, advance):
            await scheduler.wake(R)
            await soon(lambda: advance.count[R] == 1)
            await scheduler.wake(R)
            await soon(lambda: advance.count[R] == 2)
        assert "broke" in capsys.readouterr().out

    async def test_cancelling_ends_advances_and_waits_for_them(self, make: Make) -> None:
        entered, cleaned = asyncio.Event(), asyncio.Event()

        async def advance(run_id: RunId) -> None:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.02)
                cleaned.set()

        scheduler = make(Quiet())
        task = asyncio.create_task(scheduler.run(advance))
        await scheduler.wake(R)
        await scheduler.wake(R)
        await entered.wait()
        before = asyncio.all_tasks()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cleaned.is_set()
        assert all(t.done() for t in before if t is not asyncio.current_task())


class Steps:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def forward(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
