"""Quartet itself: ten agent nodes in a row through the public service, read models included."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from bench.load import AT_ONCE, RESULT, STEPS, Done, in_parallel
from orchestrator.bus import Bus
from orchestrator.engine.loop import Engine
from orchestrator.events import Json, RunId, RunSettings, TurnRecord, Who
from orchestrator.infra.local_scheduler import LocalScheduler, SystemClock
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.ports import AgentInfo, Choice, Room, StepInput, StepSink
from orchestrator.service import Service
from orchestrator.workflow import Retry, Workflow

_ROOM = Room("", None, None)


class AtOnce:
    """Agents that answer at once. Implements `ports.Agents`.

    Args:
        note: told of each step that begins.
    """

    def __init__(self, note: Callable[[StepInput], None] | None = None) -> None:
        self._note = note

    def names(self) -> Sequence[str]:
        """One agent."""
        return ("echo",)

    def infos(self) -> Sequence[AgentInfo]:
        """One agent."""
        return (AgentInfo("echo", "Echo", (), "rules", ()),)

    def choose(self, requires: Sequence[str], prefers: Sequence[str] = ()) -> Choice:
        """The one that there is."""
        return Choice("echo", "the only one")

    def room(self, agent: str, settings: RunSettings, model: str = "") -> Room:
        """No limits."""
        return _ROOM

    def retry(self, agent: str) -> Retry | None:
        """No policy of its own."""
        return None

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        """The same output for every step."""
        if self._note is not None:
            self._note(step)
        return RESULT


def workflow(steps: int, *, approval: bool = False) -> Workflow:
    """Agent nodes in a row; with `approval` people are asked after the first one."""
    nodes: dict[str, Json] = {f"n{i}": {"kind": "agent", "agent": "echo"} for i in range(steps)}
    names = list(nodes)
    if approval:
        nodes["ask"] = {"kind": "approval", "of": "n0"}
        names.insert(1, "ask")
    edges = [{"from": a, "to": b} for a, b in pairwise(names)]
    answer = {"draft": f"n{steps - 1}"} if not approval else None
    return Workflow.model_validate({"name": "steps", "nodes": nodes, "edges": edges, "answer": answer})


@dataclass(frozen=True, slots=True)
class Running:
    """A service whose scheduler works."""

    store: SqliteStore
    service: Service
    advanced: dict[RunId, asyncio.Event]  # set when an advance of the run has come back


@asynccontextmanager
async def running(
    folder: Path,
    definition: Workflow,
    *,
    note: Callable[[StepInput], None] | None = None,
    steps_at_once: int = AT_ONCE,
) -> AsyncGenerator[Running]:
    """Store, engine, scheduler and service as the composition root puts them together."""
    store = await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")
    scheduler = LocalScheduler(store, concurrency=AT_ONCE)
    bus, agents = Bus(), AtOnce(note)
    engine = Engine(store, scheduler, agents, bus, SystemClock(), steps_at_once=steps_at_once)
    service = Service(store, scheduler, agents, {definition.name: definition}, bus, "rules")
    advanced: dict[RunId, asyncio.Event] = {}

    async def advance(run_id: RunId) -> None:
        await engine.advance(run_id)
        advanced.setdefault(run_id, asyncio.Event()).set()

    working = asyncio.create_task(scheduler.run(advance))
    try:
        yield Running(store, service, advanced)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await store.close()


def turn(number: int) -> TurnRecord:
    """A short turn."""
    return TurnRecord(
        key=f"turn-{number}", text="go", who=Who(key="web:ada", name="Ada"), at=datetime.now(UTC)
    )


def starter(quartet: Running) -> Callable[[int], Awaitable[None]]:
    """A function that makes a run of its own conversation and waits until its advance came back."""

    async def one(number: int) -> None:
        accepted = await quartet.service.start(
            conversation_id=f"web:local:bench:{number}", turn=turn(number), workflow="steps"
        )
        await quartet.advanced.setdefault(accepted.run_id, asyncio.Event()).wait()

    return one


async def measure(folder: Path, runs: int) -> Done:
    """Do `runs` runs, `AT_ONCE` at a time."""
    async with running(folder, workflow(STEPS)) as quartet:
        seconds = await in_parallel(starter(quartet), runs, AT_ONCE)
        completed = 0
        cursor: str | None = None
        while True:
            page = await quartet.store.runs(status="completed", limit=1000, cursor=cursor)
            completed += len(page.items)
            cursor = page.next
            if cursor is None:
                break
        assert completed == runs, f"{completed} of {runs} runs completed"
    rows, size = await asyncio.to_thread(_log_of, folder)
    return Done(runs, seconds, rows, size)


def _log_of(folder: Path) -> tuple[int, int]:
    """How many facts the log holds, and the bytes of their JSON."""
    with contextlib.closing(sqlite3.connect(folder / "quartet.db")) as database:
        rows, size = database.execute("SELECT count(*), sum(length(body)) FROM events").fetchone()
    return rows, size
