"""What happened since a place in the log is told once, and what is now is told as it is."""

from __future__ import annotations

import pytest

from orchestrator.events import ModelRetried, RunId
from orchestrator.infra import sqlite_measures
from orchestrator.measures import StepDone
from tests.contract.store_harness import (
    Opener,
    OpenStore,
    answered,
    asked,
    ended,
    opener,
    started,
    steered,
    store,
)
from tests.contract.test_store_agents import assigned, badly, logged, well

__all__ = ["opener", "store"]  # fixtures


def retried(status: int | None) -> ModelRetried:
    return ModelRetried(node="research", visit=1, attempt=1, tries=1, status=status, delay_s=1)


async def test_what_came_before_a_place_is_not_told(store: OpenStore) -> None:
    await logged(store, "r1", well("research", 2.0), answered(), ended())
    place = await store.log_end()
    nothing = await store.measured(after=place)
    assert (nothing.place, nothing.created, nothing.ended, nothing.steps) == (place, 0, {}, [])
    assert (nothing.retried, nothing.usage) == ({}, {})


async def test_what_came_behind_a_place_is_told_once(store: OpenStore) -> None:
    run_id = await logged(store, "r1", assigned("any", "builder"))
    place = await store.log_end()
    await store.append(
        run_id,
        [
            retried(429),
            retried(429),
            retried(None),
            answered(tokens=10),
            well("any", 3.0),  # who it is was said before the place
            badly("research", "model_refused"),
            ended(),
        ],
        epoch=None,
    )
    await started(store, "r2")
    found = await store.measured(after=place)
    assert found.created == 1
    assert found.ended == {"completed": 1}
    assert found.steps == [StepDone("builder", "", 3.0), StepDone("researcher", "model_refused", 0.0)]
    assert found.retried == {"429": 2, "": 1}
    assert (found.usage["openai:gpt-5"].input_tokens, found.usage["openai:gpt-5"].cost_usd) == (10, 0.5)
    assert (await store.measured(after=found.place)).steps == []


async def test_what_is_now_is_told_whatever_the_place(opener: Opener) -> None:
    store = await opener()
    run_id = await started(store, "r1")
    await store.append(run_id, [asked(run_id)], epoch=None, status="waiting")
    await started(store, "r2", "web:local:general:r1")  # behind it
    again = await opener()
    found = await again.measured(after=await again.log_end())
    assert found.unfinished == {"waiting": 1, "queued": 1}
    assert (found.waiting, found.unshown) == (1, 2)


async def test_much_at_once_comes_in_parts(store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_measures, "AT_ONCE", 2)
    await logged(store, "r1", well("research"), well("research"), well("research"))
    place, steps, created = 0, 0, 0
    while place < await store.log_end():
        found = await store.measured(after=place)
        assert found.place - place <= 2
        place, steps, created = found.place, steps + len(found.steps), created + found.created
    assert (steps, created) == (3, 1)


async def test_events_come_as_many_as_are_wanted(store: OpenStore) -> None:
    run_id = await started(store, "r1")
    await store.append(run_id, [steered(f"s{n}") for n in range(5)], epoch=None)
    assert [e.seq for e in await store.events(run_id, after=1, limit=3)] == [2, 3, 4]
    assert [e.seq for e in await store.events(run_id, after=5, limit=3)] == [6, 7]
    assert len(await store.events(run_id)) == 7
    assert await store.events(RunId("nope"), limit=3) == []
