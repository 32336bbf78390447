"""Every follower gets exactly what comes behind its place, however others come, go and dawdle."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from bot.api import entries, feed, feeds
from bot.api.core import Core
from bot.api.entries import Doing, Ended
from bot.api.run_stream import RunStream
from bot.api.sse import frame
from orchestrator.bus import Bus
from orchestrator.errors import NotFound
from orchestrator.events import (
    PauseRequested,
    RunCreated,
    RunEnded,
    RunEvent,
    RunId,
    TurnRecord,
)
from orchestrator.infra.local_scheduler import LocalScheduler
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.ports import News
from orchestrator.service import Service
from tests.house import ADA, ScriptedAgents

RUN = RunId("run-1")
WITHIN_S = 30.0


class Desk:
    """A run's log, its feed, and those who follow it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.core = Core(service=service)
        self.closing = self.core.closing
        self.feeds = self.core.feeds
        self.length = 1

    async def append(self, count: int, *, tell: bool) -> None:
        """So many facts; not told: as another process does it."""
        for _ in range(count):
            await self.service.store.append(RUN, [PauseRequested(who=ADA)], epoch=None)
        self.length += count
        if tell and count:
            self.service.bus.publish(News(RUN, self.length))

    async def end(self) -> None:
        await self.service.store.append(RUN, [RunEnded(status="completed")], epoch=None)
        self.length += 1
        self.service.bus.publish(News(RUN, self.length))

    async def has_followers(self, count: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            while self.feeds.followers < count:  # noqa: ASYNC110 - the feed has no event for it
                await asyncio.sleep(0.001)

    def follow(self, after: int, *ends: asyncio.Event, doing: bool = False) -> AsyncGenerator[Any, None]:
        return self.feeds.follow(self.service, RUN, after, *ends, doing=doing)


@asynccontextmanager
async def desk(folder: Path) -> AsyncGenerator[Desk]:
    store = await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")
    try:
        service = Service(store, LocalScheduler(store, concurrency=1), ScriptedAgents(), {}, Bus(), "rules")
        turn = TurnRecord(key="k", text="x", who=ADA, at=datetime.now(UTC))
        created = RunCreated(
            conversation_id="api:c:",
            workflow="w",
            workflow_version="1",
            workflow_digest="d",
            engine="rules",
            turn=turn,
        )
        await store.accept(RUN, created)
        made = Desk(service)
        made.length = len(await store.events(RUN))
        yield made
        made.closing.set()
        assert not made.feeds.followed, "a feed is left when nobody follows"
    finally:
        await store.close()


async def collected(
    stream: AsyncGenerator[Any, None], *, pause: float = 0.0
) -> tuple[list[int], Ended | None]:
    """The numbers of a follower's events, and how it ended."""
    seen: list[int] = []
    async with aclosing(stream) as batches:
        async for batch in batches:
            if isinstance(batch, Ended):
                return seen, batch
            if not isinstance(batch, Doing):
                seen += [entry.event.seq for entry in batch]
            await asyncio.sleep(pause)
    return seen, None


Action = tuple[str, int]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, 30)),
        st.tuples(st.just("leave"), st.integers(0, 5)),
        st.tuples(st.just("append"), st.integers(0, 9)),
        st.tuples(st.just("silently"), st.integers(1, 3)),
        st.tuples(st.just("look"), st.integers(0, 3)),
    ),
    max_size=25,
)


@given(actions=ACTIONS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_follower_gets_exactly_its_suffix(
    monkeypatch: pytest.MonkeyPatch, actions: list[Action]
) -> None:
    monkeypatch.setattr(feed, "BLOCK", 4)
    monkeypatch.setattr(feed, "KEPT", 2)
    monkeypatch.setattr(feed, "SLICE", 2)
    monkeypatch.setattr(feeds, "POLL_S", 0.01)

    async def play(folder: Path) -> None:
        async with desk(folder) as made:
            staying: list[tuple[int, asyncio.Task[tuple[list[int], Ended | None]], asyncio.Event]] = []
            left: list[tuple[int, asyncio.Task[tuple[list[int], Ended | None]]]] = []
            for what, number in actions:
                match what:
                    case "join":
                        after, gone = min(number, made.length), asyncio.Event()
                        task = asyncio.create_task(collected(made.follow(after, gone)))
                        staying.append((after, task, gone))
                    case "leave" if staying:
                        after, task, gone = staying.pop(number % len(staying))
                        gone.set()
                        left.append((after, task))
                    case "append":
                        await made.append(number, tell=True)
                    case "silently":
                        await made.append(number, tell=False)
                    case _:
                        for _ in range(number):
                            await asyncio.sleep(0)
            await made.end()
            async with asyncio.timeout(WITHIN_S):
                for after, task, _ in staying:
                    seen, end = await task
                    assert seen == [*range(after + 1, made.length + 1)]
                    assert end == Ended("completed")
                for after, task in left:
                    seen, _ = await task
                    assert seen == [*range(after + 1, after + 1 + len(seen))]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


async def test_the_log_is_read_once_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path) as made:
        await made.append(100, tell=False)
        reads = 0
        read = made.service.store.events

        async def counted(run_id: RunId, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
            nonlocal reads
            reads += 1
            return await read(run_id, after=after, limit=limit)

        monkeypatch.setattr(made.service.store, "events", counted)
        following = [asyncio.create_task(collected(made.follow(0))) for _ in range(200)]
        await made.has_followers(200)
        for _ in range(10):
            await made.append(1, tell=True)
        await made.end()
        async with asyncio.timeout(WITHIN_S):
            found = await asyncio.gather(*following)
    assert all(seen == [*range(1, made.length + 1)] for seen, _ in found)
    assert reads < 40


async def streamed(core: Core, after: int) -> bytes:
    """All that a client is sent which only listens."""
    parts: list[bytes] = []

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        parts.append(message.get("body", b""))

    await RunStream(core, RUN, after, heartbeat_s=WITHIN_S)({"type": "http"}, receive, send)
    return b"".join(parts)


async def test_frames_are_made_once_and_the_end_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_of: list[Any] = []

    def counted(content: Any, **rest: Any) -> bytes:
        made_of.append(content["seq"])
        return frame(content, **rest)

    monkeypatch.setattr(entries, "frame", counted)
    async with desk(tmp_path) as made:
        await made.append(5, tell=False)
        await made.end()
        async with asyncio.timeout(WITHIN_S):
            first, second = await asyncio.gather(streamed(made.core, 2), streamed(made.core, 2))
    assert first == second
    assert made_of == [*range(3, made.length + 1)]
    assert [line for line in first.split(b"\n") if line.startswith(b"id:")] == [
        b"id: %d" % seq for seq in range(3, made.length + 1)
    ]
    assert first.endswith(b'event: end\ndata: {"status": "completed"}\n\n')


async def test_a_follower_who_dawdles_holds_up_nobody(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        slow = made.follow(0)
        await anext(slow)  # and takes nothing more for now
        quick = asyncio.create_task(collected(made.follow(0)))
        await made.append(200, tell=True)
        await made.end()
        async with asyncio.timeout(WITHIN_S):
            assert (await quick)[0] == [*range(1, made.length + 1)]
            rest, _ = await collected(slow)
    assert rest[-1] == made.length


async def test_all_stop_when_the_server_closes(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        following = [asyncio.create_task(collected(made.follow(0))) for _ in range(120)]
        await made.has_followers(120)
        made.closing.set()
        async with asyncio.timeout(WITHIN_S):
            found = await asyncio.gather(*following)
    assert {end for _, end in found} == {None}


async def test_doings_reach_those_who_want_them_and_need_no_event(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        told: list[Any] = []

        async def listen() -> None:
            async for batch in made.follow(made.length, doing=True):
                told.append(batch)

        listening = asyncio.create_task(listen())
        async with asyncio.timeout(WITHIN_S):
            while not told:
                made.service.bus.publish(News(RUN, made.length, {"builder": "writes"}))
                await asyncio.sleep(0.001)
            assert told[0] == Doing("builder", "writes")
            await made.end()
            await listening
    assert told[-1] == Ended("completed")


async def test_an_unknown_run_is_said_to_be_unknown_and_leaves_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        with pytest.raises(NotFound):
            await anext(made.feeds.follow(made.service, RunId("nope"), 0))
        assert not made.feeds.followed


async def test_a_run_that_cannot_be_read_says_so_to_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as made:
        broken = False
        read = made.service.store.events

        async def breaks(run_id: RunId, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
            if broken:
                raise OSError("the disk is gone")
            return await read(run_id, after=after, limit=limit)

        monkeypatch.setattr(made.service.store, "events", breaks)
        following = [asyncio.create_task(collected(made.follow(0))) for _ in range(3)]
        await made.has_followers(3)
        broken = True
        made.service.bus.publish(News(RUN, made.length + 1))
        async with asyncio.timeout(WITHIN_S):
            found = await asyncio.gather(*following, return_exceptions=True)
        assert [str(error) for error in found] == ["the disk is gone"] * 3
        broken = False
        await made.end()
        assert (await collected(made.follow(0)))[1] == Ended("completed")  # tried anew for the next one
