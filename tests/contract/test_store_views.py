"""Lists and timers follow the log in the same transaction, and can be built from it again."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.engine.fold import fold
from orchestrator.errors import Refused
from orchestrator.events import (
    WITHDRAWN,
    ApprovalId,
    Problem,
    RunEnded,
    RunEvent,
    RunId,
    RunStatus,
    Usage,
    Who,
)
from orchestrator.ports import Delivery, Due, RunRow
from tests.contract.store_harness import (
    LATER,
    OpenStore,
    answered,
    asked,
    begun,
    claim,
    created,
    done,
    ended,
    failed,
    opener,
    resolved,
    started,
    steered,
    store,
)

__all__ = ["opener", "store"]  # fixtures
EARLIER = datetime(2020, 1, 1, tzinfo=UTC)


async def all_runs(store: OpenStore, **filters: object) -> list[RunRow]:
    """Every page of a list."""
    found: list[RunRow] = []
    cursor: str | None = None
    while True:
        page = await store.runs(limit=3, cursor=cursor, **filters)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        found += page.items
        if page.next is None:
            return found
        cursor = page.next


class TestRuns:
    async def test_pages_are_newest_first_and_stable_while_runs_are_added(self, store: OpenStore) -> None:
        for i in range(7):
            await started(store, f"r{i}")
        first = await store.runs(limit=3)
        await started(store, "new")
        await store.append(RunId("r5"), [ended()], epoch=None)
        second = await store.runs(limit=3, cursor=first.next)
        third = await store.runs(limit=3, cursor=second.next)
        assert [r.id for p in (first, second, third) for r in p.items] == [f"r{i}" for i in range(6, -1, -1)]
        assert third.next is None

    async def test_filters(self, store: OpenStore) -> None:
        for i in range(4):
            await started(store, f"r{i}", "c1" if i % 2 else "c2")
        await store.append(RunId("r1"), [ended()], epoch=None)
        assert [r.id for r in await all_runs(store, status="completed")] == ["r1"]
        assert [r.id for r in await all_runs(store, conversation_id="c1")] == ["r3", "r1"]
        assert [r.id for r in await all_runs(store, conversation_id="c2", status="queued")] == ["r2"]

    async def test_runs_of_a_person(self, store: OpenStore) -> None:
        for i in range(6):
            who = Who(key="web:bob" if i % 3 else "web:ada", name="x")
            made = created(f"k{i}", f"c{i % 2}")
            turn = made.turn.model_copy(update={"who": who})
            await store.accept(RunId(f"r{i}"), made.model_copy(update={"turn": turn}))
        assert [r.id for r in await all_runs(store, who="web:bob")] == ["r5", "r4", "r2", "r1"]
        assert [r.id for r in await all_runs(store, who="web:ada", conversation_id="c1")] == ["r3"]
        assert await all_runs(store, who="web:b%") == []

    async def test_channels_of_a_workspace_are_the_latest_first_without_direct_messages(
        self, store: OpenStore
    ) -> None:
        keys = ["T1:C1:1", "T1:C2:1", "T10:C9:1", "T1:C1:2:3", "T1:D1:", "T1:D1:5", "T2:C1:1", "T1:C2:0"]
        for i, key in enumerate(keys):
            await started(store, f"r{i}", f"slack:{key}")
        await started(store, "w", "web:T1:C1:1")
        assert await store.channels("slack:T1") == ["slack:T1:C2", "slack:T1:C1"]
        assert await store.channels("slack:T1", limit=1) == ["slack:T1:C2"]
        assert await store.channels("slack:T2") == ["slack:T2:C1"]
        assert await store.channels("slack:T") == []

    @pytest.mark.parametrize("cursor", ["", "x", "-1", "1; DROP TABLE runs", "9" * 30, "१२"])
    async def test_foreign_cursor_is_refused(self, store: OpenStore, cursor: str) -> None:
        with pytest.raises(Refused, match="next"):
            await store.runs(cursor=cursor)
        with pytest.raises(Refused, match="next"):
            await store.waiting(cursor=cursor)

    @pytest.mark.parametrize("limit", [-5, 0, 10**12])
    async def test_odd_limits_are_kept_in_bounds(self, store: OpenStore, limit: int) -> None:
        await started(store, "r1")
        assert len((await store.runs(limit=limit)).items) == 1

    async def test_usage_adds_up(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        await store.append(
            run_id, [answered(cost=None), answered(cost=0.5), answered("gpt-4", None)], epoch=None
        )
        row = await store.run(run_id)
        assert row is not None
        assert row.usage == Usage(input_tokens=30, output_tokens=3, cached_tokens=6, calls=3, cost_usd=0.5)
        by_model = await store.usage_since(EARLIER)
        assert by_model["openai:gpt-5"] == Usage(
            input_tokens=20, output_tokens=2, cached_tokens=4, calls=2, cost_usd=0.5
        )
        assert by_model["openai:gpt-4"].cost_usd is None
        assert await store.usage_since(LATER) == {}

    async def test_usage_of_one_workspace_leaves_out_all_others(self, store: OpenStore) -> None:
        for run_id, workspace in (("r1", "slack:T1"), ("r2", "slack:T10")):
            await started(store, run_id, conversation=f"{workspace}:C1:1.1")
            await store.append(RunId(run_id), [answered(cost=0.5)], epoch=None)
        assert (await store.usage_since(EARLIER))["openai:gpt-5"].calls == 2
        assert (await store.usage_since(EARLIER, workspace="slack:T1"))["openai:gpt-5"].calls == 1
        assert await store.usage_since(EARLIER, workspace="slack:T") == {}


class TestApprovals:
    async def test_question_waits_until_it_is_resolved(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        await store.append(run_id, [asked(run_id)], epoch=None)
        (row,) = (await store.waiting()).items
        assert (row.run_id, row.asked, row.resolved) == (run_id, asked(run_id), None)
        assert await store.approval(row.asked.approval_id) == row
        await store.append(run_id, [resolved(run_id)], epoch=None)
        assert (await store.waiting()).items == ()
        assert await store.due(until=LATER) == []
        found = await store.approval(row.asked.approval_id)
        assert found is not None
        assert found.resolved == resolved(run_id)
        assert await store.approval(ApprovalId("nothing")) is None

    async def test_questions_of_one_workspace(self, store: OpenStore) -> None:
        for i, team in enumerate(("T1", "T10", "T1", "T2")):
            run_id = await started(store, f"r{i}", f"slack:{team}:C1:{i}")
            await store.append(run_id, [asked(run_id)], epoch=None)
        first = await store.waiting(workspace="slack:T1", limit=1)
        assert [r.run_id for r in first.items] == ["r0"]
        second = await store.waiting(workspace="slack:T1", limit=1, cursor=first.next)
        assert [r.run_id for r in second.items] == ["r2"]
        assert second.next is None
        assert len((await store.waiting()).items) == 4

    async def test_end_of_a_run_ends_its_questions_and_timers(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        await store.append(run_id, [asked(run_id), failed(LATER)], epoch=None)
        assert len(await store.due(until=LATER)) == 2
        await store.append(run_id, [RunEnded(status="stopped")], epoch=None)
        assert (await store.waiting()).items == ()
        assert await store.due(until=LATER) == []

    async def test_large_question_comes_back_whole(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        body = "long " * 10_000
        await store.append(run_id, [asked(run_id, body=body)], epoch=None)
        (row,) = (await store.waiting()).items
        assert row.asked.body == body

    async def test_ten_thousand_waiting_are_listed_at_once(self, store: OpenStore) -> None:
        async def ask(i: int) -> None:
            run_id = await started(store, f"r{i}")
            epoch = await claim(store, run_id)
            assert epoch is not None
            await store.append(run_id, [asked(run_id)], epoch=epoch, expected_seq=2, status="waiting")
            await store.release(run_id, epoch, seen=3)

        for start in range(0, 10_000, 500):
            await asyncio.gather(*(ask(i) for i in range(start, start + 500)))
        begun_at = time.perf_counter()
        page = await store.waiting(limit=100)
        for _ in range(20):
            page = await store.waiting(limit=100, cursor=page.next)
        listing = time.perf_counter() - begun_at
        begun_at = time.perf_counter()
        assert await store.to_wake() == []
        waking = time.perf_counter() - begun_at
        assert len(page.items) == 100
        # Milliseconds each; the limits leave room for a busy machine, not for a walk through all rows.
        assert listing < 3.0
        assert waking < 0.5


class TestTimers:
    async def test_retry_is_due_until_the_next_attempt_begins(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        await store.append(run_id, [begun(), failed(EARLIER)], epoch=None)
        assert await store.due(until=EARLIER) == [Due(run_id, EARLIER)]
        assert await store.due(until=EARLIER - timedelta(microseconds=1)) == []
        await store.append(run_id, [begun(attempt=2)], epoch=None)
        assert await store.due(until=LATER) == []

    async def test_run_at_rest_is_woken_when_its_time_has_come(self, store: OpenStore) -> None:
        run_id, other = await started(store, "r1"), await started(store, "r2")
        for each, at in ((run_id, EARLIER), (other, LATER)):
            epoch = await claim(store, each)
            assert epoch is not None
            await store.append(each, [asked(each, at)], epoch=epoch, expected_seq=2, status="waiting")
            await store.release(each, epoch, seen=3)
        assert await store.to_wake() == [run_id]


class TestExchanges:
    async def test_last_turns_with_their_answers_oldest_first(self, store: OpenStore) -> None:
        ends = [
            ended("answer 1"),
            RunEnded(status="failed", problem=Problem(kind="engine", message="the key is wrong")),
            RunEnded(status="stopped", reason="stopped by Ada"),
            RunEnded(status="expired"),
        ]
        for i, end in enumerate(ends, start=1):
            run_id = await started(store, f"r{i}", "c1", text=f"turn {i}")
            await store.append(run_id, [end], epoch=None)
        await started(store, "r5", "c1", text="turn 5")
        lines = await store.exchanges("c1", before=5, limit=3)
        assert [(line.role, line.text) for line in lines] == [
            ("person", "turn 2"),
            ("bot", "the key is wrong"),
            ("person", "turn 3"),
            ("bot", "stopped by Ada"),
            ("person", "turn 4"),
            ("bot", "expired"),
        ]
        assert [line.text for line in await store.exchanges("c1", before=2, limit=9)] == [
            "turn 1",
            "answer 1",
        ]
        assert await store.exchanges("c1", before=1, limit=9) == []
        assert await store.exchanges("c2", before=9, limit=9) == []
        assert [line.text for line in await store.exchanges("c1", before=6, limit=1)] == ["turn 5"]

    async def test_what_was_withdrawn_is_not_read_again(self, store: OpenStore) -> None:
        await started(store, "r1", "c1", text="first")
        await started(store, "r2", "c1", text="a secret")
        gone = RunEnded(status="stopped", reason=f"stopped by Ada: {WITHDRAWN}")
        await store.append(RunId("r2"), [gone], epoch=None)
        lines = await store.exchanges("c1", before=3, limit=9)
        assert [line.text for line in lines] == ["first"]

    async def test_long_turns_and_answers_come_whole(self, store: OpenStore) -> None:
        run_id = await started(store, "r1", "c1", text="q" * 50_000)
        await store.append(run_id, [ended("a" * 50_000)], epoch=None)
        lines = await store.exchanges("c1", before=2, limit=1)
        assert [len(line.text) for line in lines] == [50_000, 50_000]


class TestDeliveries:
    async def test_intent_then_shown_replaces_by_card(self, store: OpenStore) -> None:
        intent = Delivery("r1:status", RunId("r1"), "c1", "d1", "intent", "n1", None)
        other = Delivery(
            "r1:answer", RunId("r1"), "c1", "d2", "gone", "n2", {"message_id": "m", "parts": ["a"]}
        )
        await store.save_delivery(intent)
        await store.save_delivery(other)
        shown = Delivery("r1:status", RunId("r1"), "c1", "d3", "shown", "n3", {"message_id": "é"})
        await store.save_delivery(shown)
        assert await store.deliveries(RunId("r1")) == {"r1:status": shown, "r1:answer": other}
        assert await store.deliveries(RunId("r2")) == {}

    async def test_undelivered_until_everything_was_presented(self, store: OpenStore) -> None:
        one, two = await started(store, "r1"), await started(store, "r2")
        assert [left.run_id for left in await store.undelivered()] == [one, two]
        await store.presented(one, 2)
        await store.presented(two, 1)
        assert [left.run_id for left in await store.undelivered()] == [two]
        await store.append(one, [steered()], epoch=None)
        await store.presented(one, 1)  # late news of an earlier state
        assert [left.run_id for left in await store.undelivered()] == [one, two]
        await store.presented(one, 3)
        await store.presented(two, 2)
        assert [left.run_id for left in await store.undelivered()] == []

    async def test_settings_of_a_channel(self, store: OpenStore) -> None:
        await store.change_settings(
            "web:local:a", {"workflow": "quartet", "tools": ["x"], "n": 1, "gone": True}
        )
        await store.change_settings("web:local:a", {"gone": None, "n": 2, "never": None})
        assert await store.settings("web:local:a") == {"workflow": "quartet", "tools": ["x"], "n": 2}
        assert await store.settings("web:local:b") == {}
        await store.change_settings("web:local2:a", {"n": 3})
        await store.change_settings("web:local:c", {"n": 4})
        assert await store.settings_in("web:local") == {
            "web:local:a": {"workflow": "quartet", "tools": ["x"], "n": 2},
            "web:local:c": {"n": 4},
        }


class TestRebuilding:
    async def test_read_models_built_from_the_log_are_the_same(self, store: OpenStore) -> None:
        for i in range(6):
            await started(store, f"r{i}", f"c{i % 2}", text="t" * (300 + 20_000 * (i == 3)))
        r0, r1, r2, r3 = (RunId(f"r{i}") for i in range(4))
        epoch = await claim(store, r0)
        assert epoch is not None
        await store.append(
            r0, [begun("planner"), done("planner")], epoch=epoch, expected_seq=2, status="running"
        )
        await store.append(
            r0, [begun("approve"), answered(), asked(r0)], epoch=epoch, expected_seq=4, status="waiting"
        )
        await store.release(r0, epoch, seen=7)
        await store.append(r1, [begun(), failed(LATER), answered(cost=0.1), answered(cost=0.2)], epoch=None)
        await store.append(r1, [asked(r1), resolved(r1)], epoch=None)
        await store.append(r1, [asked(r1, visit=2), steered("s9")], epoch=None)
        await store.append(r1, [ended()], epoch=None)  # starts r3
        await store.append(r2, [RunEnded(status="stopped")], epoch=None)  # queued
        await store.append(r3, [begun(), failed(LATER)], epoch=None)
        await store.presented(r0, 3)

        def status(events: list[RunEvent]) -> RunStatus:
            state = fold(events)
            assert state is not None
            return state.status

        before = await self.everything(store)
        await store.rebuild_views(status)
        assert await self.everything(store) == before
        await store.rebuild_views()
        assert await self.everything(store) == before
        assert (await store.accept(RunId("again"), created("key-r0"))).run_id == r0

    async def everything(self, store: OpenStore) -> object:
        """All that the read models answer."""
        runs = await all_runs(store)
        return (
            runs,
            [await store.unfinished(c) for c in ("c0", "c1")],
            await store.waiting(),
            [await store.approval(ApprovalId(f"r{i}-approve-{v}")) for i in range(4) for v in (1, 2)],
            [await store.exchanges(c, before=9, limit=9) for c in ("c0", "c1")],
            await store.due(until=LATER),
            await store.to_wake(),
            await store.usage_since(EARLIER),
            await store.undelivered(),
            [await store.known(key) for key in ("key-r0", "key-r5", "s9")],
        )
