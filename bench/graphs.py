"""Graphs: how soon a large run's first step begins, and how many events a second fold and log take."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from bench.engine_steps import running, turn, workflow
from bench.load import RESULT, in_parallel
from bench.report import Figure
from orchestrator.engine.fold import apply
from orchestrator.engine.steps import ended, started
from orchestrator.events import Body, RunCreated, RunId
from orchestrator.infra.garbage import settle
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.ports import StepInput
from orchestrator.workflow import Workflow

NODES = 60
STARTS = 200
RUNS, AT_ONCE, APPENDS, PAIRS = 100, 50, 50, 5  # an append is five steps' beginnings and ends


def graph() -> Workflow:
    """Sixty nodes in rows of six, each leading to two of the next row."""
    agent = {"kind": "agent", "agent": "echo"}
    edges: list[dict[str, str]] = []
    for i in range(1, NODES):
        sources = {max(0, i - 6), max(0, i - 5)} if i > 6 else {0}
        edges += [{"from": f"n{s}", "to": f"n{i}"} for s in sorted(sources)]
    nodes = {f"n{i}": agent for i in range(NODES)}
    return Workflow.model_validate({"name": "steps", "nodes": nodes, "edges": edges})


def measure() -> list[Figure]:
    """Both figures, in a fresh folder each."""
    settle()
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        starts = sorted(asyncio.run(_starts(Path(folder))))
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        events_per_s = asyncio.run(_events(Path(folder)))
    p95 = starts[round(len(starts) * 0.95) - 1] * 1000
    median = starts[len(starts) // 2] * 1000
    return [
        Figure(f"start of a {NODES}-node run to its first step, median", median, "ms"),
        Figure(
            f"start of a {NODES}-node run to its first step, p95", p95, "ms", 10, "less", "published: 50 ms"
        ),
        Figure("events through fold and log on SQLite", events_per_s, "1/s", 10_000),
    ]


async def _starts(folder: Path) -> list[float]:
    """Seconds from `start` to the first step's agent, one run after the other."""
    begun: dict[RunId, float] = {}

    def note(step: StepInput) -> None:
        begun.setdefault(step.run_id, time.perf_counter())

    found: list[float] = []
    async with running(folder, graph(), note=note) as quartet:
        for number in range(STARTS):
            asked = time.perf_counter()
            accepted = await quartet.service.start(
                conversation_id=f"web:local:bench:{number}", turn=turn(number), workflow="steps"
            )
            await quartet.advanced.setdefault(accepted.run_id, asyncio.Event()).wait()
            found.append(begun[accepted.run_id] - asked)
    return found[5:]  # the first ones warm up


async def _events(folder: Path) -> float:
    """Facts a second: each is folded and committed, many runs side by side, synchronous=FULL."""
    store = await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")
    definition = workflow(1)

    async def one(number: int) -> None:
        run_id = RunId(f"r{number:012d}".replace("0", "a").replace("1", "b"))
        created = RunCreated(
            conversation_id=f"web:local:bench:{number}",
            workflow="steps",
            workflow_version="1",
            workflow_digest=definition.digest,
            engine="rules",
            turn=turn(number),
        )
        await store.accept(run_id, created)
        claimed = await store.claim(run_id)
        assert claimed is not None
        state = None
        for event in claimed.events:
            state = apply(state, event)
        assert state is not None
        for visit in range(APPENDS):
            bodies: list[Body] = []
            for node in range(PAIRS):
                bodies.append(started(f"n{node}", visit + 1, 1, (f"n{node}",)))
                bodies.append(ended(f"n{node}", visit + 1, 1, RESULT, 0.1))
            appended = await store.append(
                run_id, bodies, epoch=claimed.epoch, expected_seq=state.seq, status="running"
            )
            for event in appended.events:
                state = apply(state, event)

    try:
        seconds = await in_parallel(one, RUNS, AT_ONCE)
    finally:
        await store.close()
    return RUNS * APPENDS * PAIRS * 2 / seconds
