"""The log's promises, for every store: order, conflicts, epochs, one run for one turn, blobs."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import Conflict, Fenced, NotFound, OrchestratorError, Refused, UnknownEvent
from orchestrator.events import RunEnded, RunId, RunStarted, RunStatus, StepEnded
from orchestrator.ports import Accepted
from tests.contract.store_harness import (
    LATER,
    Opener,
    OpenStore,
    asked,
    begun,
    claim,
    created,
    decided,
    done,
    ended,
    opener,
    started,
    steered,
    store,
)

__all__ = ["opener", "store"]  # fixtures


class TestAccepting:
    async def test_first_turn_of_a_conversation_starts_at_once(self, store: OpenStore) -> None:
        accepted = await store.accept(RunId("r1"), created("k1"))
        assert accepted == Accepted(RunId("r1"), duplicate=False, queued_behind=0)
        events = await store.events(RunId("r1"))
        assert [(e.seq, e.body.type) for e in events] == [(1, "run_created"), (2, "run_started")]
        assert events[0].body == created("k1")
        row = await store.run(RunId("r1"))
        assert row is not None
        assert (row.status, row.position, row.seq, row.ended_at) == ("running", 1, 2, None)
        assert events[0].at == row.created_at
        assert events[0].at.tzinfo is not None

    async def test_second_turn_waits_for_the_first(self, store: OpenStore) -> None:
        await store.accept(RunId("r1"), created("k1"))
        accepted = await store.accept(RunId("r2"), created("k2"))
        assert accepted.queued_behind == 1
        row = await store.run(RunId("r2"))
        assert row is not None
        assert (row.status, row.position) == ("queued", 2)
        assert [r.id for r in await store.unfinished("web:local:general:c1")] == ["r1", "r2"]

    async def test_turns_accepted_at_once_keep_their_order_in_each_conversation(
        self, store: OpenStore
    ) -> None:
        wanted = [(f"r{i}", f"k{i % 9}", f"c{i % 3}") for i in range(12)]  # the last three keys come again
        accepted = await asyncio.gather(
            *(store.accept(RunId(run), created(key, conversation)) for run, key, conversation in wanted)
        )
        assert [(a.run_id, a.duplicate) for a in accepted] == [
            *((RunId(f"r{i}"), False) for i in range(9)),
            *((RunId(f"r{i}"), True) for i in range(3)),
        ]
        assert [a.queued_behind for a in accepted] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0]
        for conversation in range(3):
            rows = await store.unfinished(f"c{conversation}")
            assert [(r.id, r.position, r.status) for r in rows] == [
                (f"r{conversation}", 1, "running"),
                (f"r{conversation + 3}", 2, "queued"),
                (f"r{conversation + 6}", 3, "queued"),
            ]

    async def test_an_id_that_is_taken_fails_alone(self, store: OpenStore) -> None:
        results = await asyncio.gather(
            store.accept(RunId("r1"), created("k1", "c1")),
            store.accept(RunId("r1"), created("k2", "c2")),
            store.accept(RunId("r2"), created("k3", "c2")),
            return_exceptions=True,
        )
        assert isinstance(results[1], Refused)
        assert results[2] == Accepted(RunId("r2"), duplicate=False, queued_behind=0)
        assert await store.known("k2") is None

    async def test_same_key_a_hundred_times_at_once_is_one_run(
        self, store: OpenStore, opener: Opener
    ) -> None:
        other = await opener()
        accepted = await asyncio.gather(
            *((store, other)[i % 2].accept(RunId(f"r{i}"), created("the key")) for i in range(100))
        )
        assert [a.duplicate for a in accepted].count(False) == 1
        (run_id,) = {a.run_id for a in accepted}
        assert [e.body.type for e in await store.events(run_id)] == ["run_created", "run_started"]
        assert len((await store.runs()).items) == 1

    async def test_a_key_without_a_run_comes_for_the_first_time_once(
        self, store: OpenStore, opener: Opener
    ) -> None:
        other = await opener()
        first = await asyncio.gather(*((store, other)[i % 2].first_time("a command") for i in range(20)))
        assert first.count(True) == 1
        assert await store.known("a command") is None
        assert await store.first_time("another")
        await store.accept(RunId("r1"), created("k1"))
        assert not await store.first_time("k1")
        assert await store.known("k1") == "r1"
        accepted = await store.accept(RunId("r2"), created("a command", "c2"))
        assert accepted == Accepted(RunId("r2"), duplicate=False, queued_behind=0)
        assert await store.known("a command") == "r2"

    async def test_a_key_without_a_run_outlives_a_rebuild(self, store: OpenStore) -> None:
        await store.accept(RunId("r1"), created("k1"))
        assert await store.first_time("a command")
        await store.rebuild_views()
        assert not await store.first_time("a command")
        assert await store.known("k1") == "r1"

    async def test_same_run_id_for_another_turn_is_refused_and_others_of_the_group_are_not(
        self, store: OpenStore
    ) -> None:
        await store.accept(RunId("r1"), created("k1"))
        results = await asyncio.gather(
            store.accept(RunId("r1"), created("k2", "c2")),
            store.accept(RunId("r3"), created("k3", "c3")),
            return_exceptions=True,
        )
        assert isinstance(results[0], Refused)
        assert results[1] == Accepted(RunId("r3"), duplicate=False, queued_behind=0)

    async def test_text_that_is_not_unicode_is_refused(self, store: OpenStore) -> None:
        with pytest.raises(Refused, match="UTF-8"):
            await store.accept(RunId("r1"), created("k1").model_copy(update={"workflow": "\ud800"}))
        assert await store.run(RunId("r1")) is None


class TestOrderInAConversation:
    async def test_end_of_a_run_starts_the_next_one_with_it(self, store: OpenStore) -> None:
        for i in (1, 2, 3):
            await store.accept(RunId(f"r{i}"), created(f"k{i}"))
        appended = await store.append(RunId("r1"), [ended()], epoch=None, expected_seq=2, status="completed")
        assert appended.started == "r2"
        assert [e.body.type for e in await store.events(RunId("r2"))] == ["run_created", "run_started"]
        assert [(r.id, r.status) for r in await store.unfinished("web:local:general:c1")] == [
            ("r2", "running"),
            ("r3", "queued"),
        ]

    async def test_ends_in_many_conversations_at_once_start_the_next_of_each(self, store: OpenStore) -> None:
        for i in range(4):
            await started(store, f"first{i}", f"c{i}")
            await started(store, f"second{i}", f"c{i}")
        await store.append(RunId("first3"), [asked(RunId("first3"))], epoch=None)
        appended = await asyncio.gather(
            *(store.append(RunId(f"first{i}"), [ended()], epoch=None, status="completed") for i in range(4))
        )
        assert [a.started for a in appended] == [f"second{i}" for i in range(4)]
        for i in range(4):
            row = await store.run(RunId(f"first{i}"))
            assert row is not None
            assert (row.status, row.ended_at) == ("completed", appended[i].events[-1].at)
            assert [(r.id, r.status) for r in await store.unfinished(f"c{i}")] == [(f"second{i}", "running")]
            lines = await store.exchanges(f"c{i}", before=2, limit=5)
            assert [line.text for line in lines] == ["Compare A and B", "The answer"]
        assert (await store.waiting()).items == ()
        assert await store.due(until=LATER) == []

    async def test_end_of_a_queued_run_starts_nothing(self, store: OpenStore) -> None:
        for i in (1, 2, 3):
            await store.accept(RunId(f"r{i}"), created(f"k{i}"))
        stopped = RunEnded(status="stopped", reason="stopped by Ada")
        assert (await store.append(RunId("r2"), [stopped], epoch=None)).started is None
        assert (await store.append(RunId("r1"), [ended()], epoch=None)).started == "r3"

    async def test_two_ends_in_one_conversation_at_once_start_one_run(self, store: OpenStore) -> None:
        for i in (1, 2, 3, 4):
            await store.accept(RunId(f"r{i}"), created(f"k{i}"))
        results = await asyncio.gather(
            store.append(RunId("r1"), [ended()], epoch=None), store.append(RunId("r2"), [ended()], epoch=None)
        )
        assert [r.started for r in results if r.started] == ["r3"]
        assert [(r.id, r.status) for r in await store.unfinished("web:local:general:c1")] == [
            ("r3", "running"),
            ("r4", "queued"),
        ]

    async def test_after_the_last_one_a_new_turn_starts_at_once(self, store: OpenStore) -> None:
        await started(store, "r1", "c1")
        await store.append(RunId("r1"), [ended()], epoch=None)
        accepted = await store.accept(RunId("r2"), created("k2", "c1"))
        assert accepted.queued_behind == 0
        row = await store.run(RunId("r2"))
        assert row is not None
        assert (row.status, row.position) == ("running", 2)

    async def test_second_end_changes_nothing(self, store: OpenStore) -> None:
        await started(store, "r1", "c1")
        await started(store, "r2", "c1")
        await started(store, "r3", "c1")
        first = await store.append(RunId("r1"), [ended()], epoch=None)
        again = await store.append(RunId("r1"), [RunEnded(status="stopped")], epoch=None, status="stopped")
        assert (first.started, again.started) == ("r2", None)
        row = await store.run(RunId("r1"))
        assert row is not None
        assert row.status == "completed"


class TestAppending:
    async def test_events_come_back_as_they_were_in_order(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        epoch = await claim(store, run_id)
        bodies = [
            begun(),
            done(output={"body": "é🎉\x00\u2028 <b>", "n": 1.5, "list": [1, None, True]}),
            asked(run_id),
        ]
        appended = await store.append(run_id, bodies, epoch=epoch, expected_seq=2, status="waiting")
        assert [e.seq for e in appended.events] == [3, 4, 5]
        assert len({e.at for e in appended.events}) == 1
        assert tuple(await store.events(run_id, after=2)) == appended.events
        assert [e.body for e in appended.events] == bodies
        row = await store.run(run_id)
        assert row is not None
        assert (row.status, row.seq) == ("waiting", 5)

    async def test_unexpected_length_is_a_conflict_and_nothing_is_written(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        for expected in (0, 1, 3, 99):
            with pytest.raises(Conflict):
                await store.append(run_id, [begun()], epoch=None, expected_seq=expected, status="failed")
        assert await store.heads([run_id]) == {run_id: 2}
        row = await store.run(run_id)
        assert row is not None
        assert row.status == "running"

    async def test_unknown_run(self, store: OpenStore) -> None:
        with pytest.raises(NotFound):
            await store.append(RunId("nobody"), [begun()], epoch=None)
        with pytest.raises(NotFound):
            await claim(store, RunId("nobody"))
        assert await store.events(RunId("nobody")) == []
        assert await store.run(RunId("nobody")) is None
        assert await store.heads([RunId("nobody")]) == {}
        await store.release(RunId("nobody"), 1)

    async def test_bad_appends_of_a_group_do_not_touch_the_good_ones(self, store: OpenStore) -> None:
        runs = [await started(store, f"r{i}") for i in range(6)]
        huge = asked(runs[3]).model_copy(update={"approval_id": "taken"})
        await store.append(runs[2], [huge], epoch=None)
        results = await asyncio.gather(
            store.append(runs[0], [begun()], epoch=None),
            store.append(runs[1], [begun()], epoch=99),
            store.append(runs[3], [huge], epoch=None),  # an approval id that is taken
            store.append(runs[4], [begun()], epoch=None, expected_seq=7),
            store.append(runs[5], [begun(), done()], epoch=None),
            return_exceptions=True,
        )
        kinds = [type(r).__name__ for r in results]
        assert kinds == ["Appended", "Fenced", "Refused", "Conflict", "Appended"]
        assert await store.heads(runs) == dict(zip(runs, [3, 2, 3, 2, 2, 4], strict=True))

    async def test_what_another_process_appends_between_two_appends_is_seen(self, opener: Opener) -> None:
        mine, other = await opener(), await opener()
        run_id = await started(mine, "r1")
        epoch = await claim(mine, run_id)
        await mine.append(run_id, [begun()], epoch=epoch, expected_seq=2, status="running")
        await other.append(run_id, [steered("k9")], epoch=None)
        with pytest.raises(Conflict):
            await mine.append(run_id, [done()], epoch=epoch, expected_seq=3)
        appended = await mine.append(run_id, [done()], epoch=epoch, expected_seq=4, status="waiting")
        assert appended.seq == 5
        await other.append(run_id, [steered("k10")], epoch=None)
        assert [e.seq for e in await other.events(run_id)] == [1, 2, 3, 4, 5, 6]

    async def test_rows_of_a_run_stay_right_when_it_changes_otherwise_between_appends(
        self, store: OpenStore
    ) -> None:
        run_id = await started(store, "r1")
        epoch = await claim(store, run_id)
        assert epoch is not None
        await store.append(run_id, [begun()], epoch=epoch, expected_seq=2, status="running")
        await store.presented(run_id, 3)
        assert [left.run_id for left in await store.undelivered()] == []
        await store.append(run_id, [done()], epoch=epoch, expected_seq=3, status="running")
        assert [left.run_id for left in await store.undelivered()] == [run_id]
        await store.release(run_id, epoch, seen=4)
        assert await store.to_wake() == []
        await store.append(run_id, [steered("k9")], epoch=None)
        assert await store.to_wake() == [run_id]
        again = await claim(store, run_id)
        assert again == epoch + 1
        with pytest.raises(Fenced):
            await store.append(run_id, [begun()], epoch=epoch)
        await store.append(run_id, [begun()], epoch=again, expected_seq=5)
        await store.rebuild_views()
        await store.append(run_id, [done()], epoch=again, expected_seq=6)
        assert await store.heads([run_id]) == {run_id: 7}

    async def test_steps_of_which_a_run_has_seen_all_leave_nothing_to_do_behind_its_owner(
        self, opener: Opener
    ) -> None:
        mine, other = await opener(), await opener()
        run_id = await started(mine, "r1")
        epoch = await claim(mine, run_id)
        assert epoch is not None
        for seq in (2, 3, 4):  # the row says the same after each of them
            await mine.append(run_id, [begun(visit=seq)], epoch=epoch, expected_seq=seq, status="running")
        await started(other, "r2")  # what mine knew of rows is forgotten
        await mine.append(run_id, [done()], epoch=epoch)
        assert await other.to_wake() == [RunId("r2")]
        await mine.release(run_id, epoch, seen=6)
        assert await other.to_wake() == [RunId("r2")]
        await mine.rebuild_views()
        assert await other.to_wake() == [RunId("r2")]
        assert await other.heads([run_id]) == {run_id: 6}
        await other.append(run_id, [steered()], epoch=None)
        assert set(await other.to_wake()) == {run_id, RunId("r2")}

    async def test_an_owner_that_is_gone_after_many_steps_is_followed(self, opener: Opener) -> None:
        mine, other = await opener(), await opener()
        run_id = await started(mine, "r1")
        epoch = await claim(mine, run_id)
        for seq in (2, 3, 4):
            await mine.append(run_id, [begun(visit=seq)], epoch=epoch, expected_seq=seq, status="running")
        await mine.close()
        assert await other.to_wake() == [run_id]
        claimed = await other.claim(run_id)
        assert claimed is not None
        assert [event.seq for event in claimed.events] == [1, 2, 3, 4, 5]

    async def test_what_callers_write_next_goes_with_what_waits_already(self, store: OpenStore) -> None:
        runs = [await started(store, f"r{i}") for i in range(10)]

        async def steps(run_id: RunId) -> None:
            for seq in range(2, 7):
                await store.append(run_id, [begun(visit=seq)], epoch=None, expected_seq=seq, status="running")

        async with asyncio.TaskGroup() as callers:
            for run_id in runs[:5]:
                callers.create_task(steps(run_id))
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the first ones' group is on its way
            for run_id in runs[5:]:
                callers.create_task(steps(run_id))
        # One time for each commit. Going in turns the two halves would take ten.
        commits = {e.at for run_id in runs for e in await store.events(run_id, after=2)}
        assert len(commits) <= 7

    async def test_a_status_that_comes_back_is_written_again(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        statuses: tuple[RunStatus, ...] = ("running", "waiting", "running", "paused", "running")
        for status in statuses:
            await store.append(run_id, [begun()], epoch=None, status=status)
            row = await store.run(run_id)
            assert row is not None
            assert row.status == status

    async def test_number_too_large_for_the_database_is_refused_alone(self, store: OpenStore) -> None:
        from tests.contract.store_harness import answered

        one, two = await started(store, "r1"), await started(store, "r2")
        results = await asyncio.gather(
            store.append(one, [answered(tokens=10**30)], epoch=None),
            store.append(two, [answered(tokens=7)], epoch=None),
            return_exceptions=True,
        )
        assert isinstance(results[0], Refused)
        assert not isinstance(results[1], BaseException)

    async def test_caller_that_gives_up_leaves_a_whole_log(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        tasks = [asyncio.create_task(store.append(run_id, [begun(), done()], epoch=None)) for _ in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [r for r in results if not isinstance(r, BaseException)]
        assert len(kept) == 25
        events = await store.events(run_id)
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        assert {e.seq for a in kept for e in a.events} <= {e.seq for e in events}
        types = [e.body.type for e in events[2:]]
        assert types == ["step_started", "step_ended"] * (len(types) // 2)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seed=st.integers(0, 2**32), writers=st.integers(2, 6))
    async def test_any_interleaving_of_writers_leaves_no_gap_and_tells_each_the_truth(
        self, opener: Opener, seed: int, writers: int
    ) -> None:
        rng = random.Random(seed)
        stores = [await opener(), await opener()]
        run_id = await started(stores[0], f"r{seed}-{writers}-{rng.getrandbits(64)}")
        epoch = await claim(stores[0], run_id)
        truth: dict[int, str] = {}

        async def write(name: int) -> None:
            mine = stores[name % 2]
            for i in range(rng.randint(1, 5)):
                expected = None
                if rng.random() < 0.5:
                    expected = (await mine.heads([run_id]))[run_id]
                facts = [steered(f"{name}-{i}-{j}") for j in range(rng.randint(1, 3))]
                use = rng.choice([None, epoch, 77])
                try:
                    appended = await mine.append(run_id, facts, epoch=use, expected_seq=expected)
                except Conflict:
                    assert expected is not None
                    assert (await mine.heads([run_id]))[run_id] > expected
                    continue
                except Fenced:
                    assert use == 77
                    continue
                assert use != 77
                if expected is not None:
                    assert appended.events[0].seq == expected + 1
                for event, fact in zip(appended.events, facts, strict=True):
                    assert event.seq not in truth
                    truth[event.seq] = fact.key

        await asyncio.gather(*(write(name) for name in range(writers)))
        events = await stores[1].events(run_id)
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        assert {e.seq: getattr(e.body, "key", "") for e in events[2:]} == truth
        assert [e.at for e in events] == sorted(e.at for e in events)
        for each in stores:
            await each.close()


class TestLargeFields:
    async def test_large_fields_lie_in_blobs_and_come_back_whole(self, store: OpenStore) -> None:
        text = "é" * 400_000 + "\x00end"
        run_id = await started(store, "r1", text=text)
        body = done(output={"body": "y" * 100_000, "files": [{"text": "z" * 40_000}]})
        await store.append(run_id, [body], epoch=None)
        events = await store.events(run_id)
        assert events[0].body == created("key-r1", "web:local:general:r1", text)
        assert events[2].body == body
        row = await store.run(run_id)
        assert row is not None
        assert row.text == text[:200]

    async def test_what_looks_like_a_reference_is_text(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        output = {"sha256": "0" * 64, "size": 5, "excerpt": "x", "large": {"output": {"sha256": "0" * 64}}}
        fact = done(output={**output, "filler": "x" * 20_000})
        await store.append(run_id, [done(output=output), fact], epoch=None)
        assert [e.body for e in await store.events(run_id, after=2)] == [done(output=output), fact]

    async def test_bytes_are_kept_once_under_their_hash(self, store: OpenStore) -> None:
        content = bytes(range(256)) * 100
        first, second = await asyncio.gather(store.put_blob(content), store.put_blob(content))
        assert first == second
        assert await store.blob(first) == content
        assert await store.blob(await store.put_blob(b"")) == b""
        with pytest.raises(NotFound):
            await store.blob("0" * 64)

    async def test_definitions(self, store: OpenStore) -> None:
        await store.save_definition("d1", {"name": "quartet", "é": [1]})
        await store.save_definition("d1", {"name": "another"})
        assert await store.definition("d1") == {"name": "quartet", "é": [1]}
        with pytest.raises(NotFound):
            await store.definition("d2")


class TestOwnership:
    async def test_claim_raises_the_epoch_and_fences_the_one_before(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        first = await claim(store, run_id)
        second = await claim(store, run_id)
        assert first is not None
        assert second == first + 1
        with pytest.raises(Fenced):
            await store.append(run_id, [begun()], epoch=first, expected_seq=2)
        await store.append(run_id, [begun()], epoch=second, expected_seq=2)

    async def test_claim_brings_the_log_and_the_place_in_the_conversation(self, store: OpenStore) -> None:
        await started(store, "r1", "c1")
        await store.append(RunId("r1"), [ended()], epoch=None)
        run_id = await started(store, "r2", "c1", text="x" * 30_000)  # large: its text lies in the blobs
        short = await store.claim(run_id)
        assert short is not None
        assert (short.epoch, short.position) == (1, 2)
        assert list(short.events) == await store.events(run_id)
        await store.append(run_id, [begun(), done(), begun(visit=2), done(visit=2)], epoch=1, expected_seq=2)
        long = await store.claim(run_id)
        assert long is not None
        assert list(long.events) == await store.events(run_id)
        assert len(long.events) == 6

    async def test_many_claims_at_once_raise_the_epoch_each_and_the_last_one_counts(
        self, store: OpenStore
    ) -> None:
        one, two = await started(store, "r1"), await started(store, "r2")
        epochs = await asyncio.gather(claim(store, one), claim(store, one), claim(store, two))
        assert epochs == [1, 2, 1]
        with pytest.raises(Fenced):
            await store.append(one, [begun()], epoch=1)
        await store.append(one, [begun()], epoch=2)

    async def test_a_claim_of_nobody_fails_alone(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        results = await asyncio.gather(
            claim(store, RunId("nobody")), claim(store, run_id), return_exceptions=True
        )
        assert isinstance(results[0], NotFound)
        assert results[1] == 1

    async def test_living_owner_keeps_its_run_until_it_releases(self, opener: Opener) -> None:
        mine, other = await opener(), await opener()
        run_id = await started(mine, "r1")
        epoch = await claim(mine, run_id)
        assert epoch is not None
        assert await claim(other, run_id) is None
        assert await other.to_wake() == []
        await other.append(run_id, [steered()], epoch=None)  # facts from outside need no claim
        assert await other.to_wake() == []  # its owner notices
        await mine.release(run_id, epoch)
        assert await other.to_wake() == [run_id]
        assert await claim(other, run_id) == epoch + 1
        assert await claim(mine, run_id) is None

    async def test_owner_that_is_gone_is_followed_at_once(self, opener: Opener) -> None:
        mine, other = await opener(), await opener()
        run_id = await started(mine, "r1")
        epoch = await claim(mine, run_id)
        await mine.close()
        assert await other.to_wake() == [run_id]
        taken = await claim(other, run_id)
        assert taken is not None
        with pytest.raises(Fenced):
            await other.append(run_id, [begun()], epoch=epoch)

    async def test_late_release_of_an_earlier_epoch_releases_nothing(self, opener: Opener) -> None:
        mine, other = await opener(), await opener()
        run_id = await started(mine, "r1")
        first = await claim(mine, run_id)
        assert first is not None
        await claim(mine, run_id)
        await mine.release(run_id, first, seen=99)
        assert await claim(other, run_id) is None

    async def test_only_one_of_many_claims_wins(self, opener: Opener) -> None:
        stores = [await opener() for _ in range(4)]
        run_id = await started(stores[0], "r1")
        epochs = await asyncio.gather(*(claim(s, run_id) for s in stores))
        assert len([e for e in epochs if e is not None]) == 1

    async def test_a_run_that_is_claimed_with_its_turn_is_in_hand_from_the_start(
        self, opener: Opener
    ) -> None:
        mine, other = await opener(), await opener()
        accepted = await mine.accept(RunId("r1"), created("k1"), claim=True)
        assert list(accepted.begun) == await mine.events(RunId("r1"))
        assert await claim(other, RunId("r1")) is None
        assert await other.to_wake() == []
        assert await mine.to_wake() == [RunId("r1")]  # if nobody thinks of it
        await other.append(RunId("r1"), [steered()], epoch=None)
        claimed = await mine.claim(RunId("r1"))
        assert claimed is not None
        assert (claimed.epoch, claimed.position, claimed.events) == (1, 1, list(accepted.begun))
        with pytest.raises(Conflict):  # the claim is as old as the turn; the log went on
            await mine.append(RunId("r1"), [begun()], epoch=1, expected_seq=2)
        await mine.append(RunId("r1"), [begun()], epoch=1, expected_seq=3)
        again = await mine.claim(RunId("r1"))
        assert again is not None
        assert (again.epoch, len(again.events)) == (2, 4)
        with pytest.raises(Fenced):
            await mine.append(RunId("r1"), [done()], epoch=1)

    async def test_whoever_claimed_with_the_turn_and_is_gone_is_followed(self, opener: Opener) -> None:
        mine, other = await opener(), await opener()
        await mine.accept(RunId("r1"), created("k1"), claim=True)
        await mine.close()
        assert await other.to_wake() == [RunId("r1")]
        assert await claim(other, RunId("r1")) == 2

    async def test_only_a_run_that_begins_is_claimed_with_its_turn(self, opener: Opener) -> None:
        mine, other = await opener(), await opener()
        await mine.accept(RunId("r1"), created("k1"), claim=True)
        again = await mine.accept(RunId("r9"), created("k1"), claim=True)
        assert (again.run_id, again.duplicate, again.begun) == ("r1", True, ())
        await mine.accept(RunId("r2"), created("k2"), claim=True)  # behind the first
        await mine.append(RunId("r1"), [ended()], epoch=None)
        assert await claim(other, RunId("r2")) == 1
        forked = await mine.accept(RunId("r3"), created("k3", "c3"), past=[begun(), done()], claim=True)
        assert forked.begun == ()
        taken = await other.claim(RunId("r3"))
        assert taken is not None
        assert len(taken.events) == 4

    async def test_ended_run_cannot_be_claimed(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        await store.append(run_id, [ended()], epoch=None)
        assert await claim(store, run_id) is None

    async def test_queued_run_can_be_claimed_to_be_stopped(self, store: OpenStore) -> None:
        await started(store, "r1", "c1")
        queued = await started(store, "r2", "c1")
        epoch = await claim(store, queued)
        await store.append(
            queued, [RunEnded(status="stopped")], epoch=epoch, expected_seq=1, status="stopped"
        )
        assert [r.id for r in await store.unfinished("c1")] == ["r1"]


class TestWaking:
    """No fact is lost, wherever it falls between an owner's look, its parking and its death."""

    async def parked(self, store: OpenStore, name: str = "r1") -> RunId:
        run_id = await started(store, name)
        epoch = await claim(store, run_id)
        assert epoch is not None
        await store.append(run_id, [asked(run_id)], epoch=epoch, expected_seq=2, status="waiting")
        await store.release(run_id, epoch, seen=3)
        return run_id

    async def test_new_run_is_woken_until_somebody_parks_it(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        assert await store.to_wake() == [run_id]
        epoch = await claim(store, run_id)
        assert epoch is not None
        await store.append(run_id, [asked(run_id)], epoch=epoch, expected_seq=2, status="waiting")
        await store.release(run_id, epoch, seen=3)
        assert await store.to_wake() == []

    async def test_decision_by_another_process_wakes_a_waiting_run(self, opener: Opener) -> None:
        mine, other = await opener(), await opener()
        run_id = await self.parked(mine)
        await other.append(run_id, [decided(run_id)], epoch=None)
        assert await mine.to_wake() == await other.to_wake() == [run_id]
        epoch = await claim(mine, run_id)
        assert epoch is not None
        assert await mine.to_wake() == [run_id]  # the claim alone has done nothing
        await mine.append(run_id, [steered()], epoch=epoch, expected_seq=4, status="waiting")
        await mine.release(run_id, epoch, seen=5)
        assert await mine.to_wake() == []

    async def test_decision_between_the_last_look_and_the_release_is_not_lost(self, store: OpenStore) -> None:
        run_id = await started(store, "r1")
        epoch = await claim(store, run_id)
        assert epoch is not None
        await store.append(run_id, [asked(run_id)], epoch=epoch, expected_seq=2, status="waiting")
        await store.append(run_id, [decided(run_id)], epoch=None)  # the owner does not look again
        await store.release(run_id, epoch, seen=3)
        assert await store.to_wake() == [run_id]

    async def test_decision_before_the_owner_appends_without_having_read_it_is_not_lost(
        self, store: OpenStore
    ) -> None:
        run_id = await started(store, "r1")
        epoch = await claim(store, run_id)
        assert epoch is not None
        await store.append(run_id, [asked(run_id)], epoch=epoch, expected_seq=2, status="waiting")
        await store.append(run_id, [decided(run_id)], epoch=None)
        await store.append(run_id, [done()], epoch=epoch, status="waiting")  # wherever the log stands
        assert await store.to_wake() == [run_id]
        await store.release(run_id, epoch, seen=3)
        assert await store.to_wake() == [run_id]

    async def test_kill_between_a_decision_and_its_effect_is_not_the_end(self, opener: Opener) -> None:
        mine, other = await opener(), await opener()
        run_id = await self.parked(mine)
        await mine.append(run_id, [decided(run_id)], epoch=None)
        assert await claim(mine, run_id) is not None
        await mine.close()  # what the kernel does to the owner's lock at SIGKILL
        assert await other.to_wake() == [run_id]

    async def test_release_after_a_failure_wakes_again(self, store: OpenStore) -> None:
        run_id = await self.parked(store)
        await store.append(run_id, [decided(run_id)], epoch=None)
        epoch = await claim(store, run_id)
        assert epoch is not None
        await store.release(run_id, epoch)  # cancelled: nothing is known to be seen
        assert await store.to_wake() == [run_id]

    async def test_fact_without_effect_does_not_wake_for_ever(self, store: OpenStore) -> None:
        run_id = await self.parked(store)
        await store.append(run_id, [steered()], epoch=None)
        assert await store.to_wake() == [run_id]
        epoch = await claim(store, run_id)
        assert epoch is not None
        await store.release(run_id, epoch, seen=4)
        assert await store.to_wake() == []

    async def test_queued_runs_are_woken_for_news_only_and_ended_ones_never(self, store: OpenStore) -> None:
        first = await started(store, "r1", "c1")
        queued = await started(store, "r2", "c1")
        assert await store.to_wake() == [first]
        # A stop, say: it reaches a queued run without waiting for those ahead.
        await store.append(queued, [steered()], epoch=None)
        assert await store.to_wake() == [first, queued]
        await store.append(first, [ended()], epoch=None)
        await store.append(first, [decided(first)], epoch=None)
        assert await store.to_wake() == [queued]


class TestUnknownEvents:
    async def test_event_of_a_newer_program_blocks_its_run_and_no_other(self, store: OpenStore) -> None:
        class FromTheFuture(StepEnded):
            v: int = 2  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]

        one, two = await started(store, "r1"), await started(store, "r2")
        await store.append(one, [FromTheFuture(node="n", visit=1, attempt=1, output={}), begun()], epoch=None)
        with pytest.raises(UnknownEvent, match=r"run r1, event 3.*step_ended.*version 2.*update Quartet"):
            await store.events(one)
        assert [e.seq for e in await store.events(one, after=3)] == [4]
        assert len(await store.events(two)) == 2

    @pytest.mark.parametrize("later", [0, 5], ids=["short log", "long log"])
    async def test_a_run_that_cannot_be_read_is_left_to_a_newer_program(
        self, opener: Opener, later: int
    ) -> None:
        class FromTheFuture(StepEnded):
            v: int = 2  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]

        old, new = await opener(), await opener()
        run_id = await started(old, "r1")
        future = FromTheFuture(node="n", visit=1, attempt=1, output={})
        await old.append(run_id, [future, *[begun()] * later], epoch=None)
        with pytest.raises(UnknownEvent):
            await old.claim(run_id)
        assert await new.to_wake() == [run_id]
        with pytest.raises(UnknownEvent):  # it gets hold of the run: nobody keeps it
            await new.claim(run_id)

    async def test_closed_store_says_so(self, opener: Opener) -> None:
        store = await opener()
        await store.close()
        await store.close()
        with pytest.raises(OrchestratorError, match="closed"):
            await store.append(RunId("r1"), [RunStarted()], epoch=None)
        with pytest.raises(OrchestratorError, match="closed"):
            await store.events(RunId("r1"))
