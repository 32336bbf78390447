"""Sealed keys that one run alone uses: kept once, gone with the transaction that ends the run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.events import RunEnded, RunId
from tests.contract.store_harness import LATER, Opener, OpenStore, claim, created, ended, opener, store

__all__ = ["opener", "store"]  # fixtures
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def with_keys(store: OpenStore, key: str, conversation: str) -> RunId:
    """A run whose turn has an inbox key, and keys kept for it."""
    run_id = RunId(f"r{key}")
    assert await store.keep_run_keys(key, f"sealed {key}".encode())
    await store.accept(run_id, created(key, conversation))
    return run_id


async def test_the_end_of_a_run_deletes_its_keys_and_no_others(store: OpenStore) -> None:
    first = await with_keys(store, "one", "web:local:general:c1")
    second = await with_keys(store, "two", "web:local:general:c2")
    assert await store.run_keys("one") == b"sealed one"
    await store.append(first, [ended()], epoch=await claim(store, first))
    assert await store.run_keys("one") is None
    assert await store.run_keys("two") == b"sealed two"
    stopped = RunEnded(status="stopped", reason="stopped by Ada")
    await store.append(second, [stopped], epoch=await claim(store, second))
    assert await store.run_keys("two") is None


async def test_keys_that_are_there_stay_as_they_are(store: OpenStore) -> None:
    assert await store.keep_run_keys("one", b"first")
    assert not await store.keep_run_keys("one", b"second")
    assert await store.run_keys("one") == b"first"
    await store.drop_run_keys("one")
    assert await store.run_keys("one") is None
    assert await store.run_keys("never") is None


async def test_the_sweep_takes_what_no_run_will_use_and_nothing_else(store: OpenStore) -> None:
    over = await with_keys(store, "over", "web:local:general:c1")
    await store.append(over, [ended()], epoch=await claim(store, over))
    assert await store.keep_run_keys("over", b"came late")
    await with_keys(store, "works", "web:local:general:c2")
    await store.keep_run_keys("orphan", b"sealed")
    assert await store.sweep_run_keys(LONG_AGO) == 1
    assert await store.run_keys("over") is None
    assert await store.run_keys("orphan") == b"sealed"
    assert await store.sweep_run_keys(datetime.now(UTC) + timedelta(seconds=60)) == 1
    assert await store.run_keys("orphan") is None
    assert await store.run_keys("works") == b"sealed works"


async def test_keys_outlive_the_process_that_kept_them(opener: Opener) -> None:
    first = await opener()
    await with_keys(first, "one", "web:local:general:c1")
    await first.close()
    second = await opener()
    assert await second.run_keys("one") == b"sealed one"
    assert await second.sweep_run_keys(LATER) == 0
