"""The floor: a bare journal on SQLite. Ten rows a run, each step waits until its row is on disk.

No engine, no fold, no read models: what any durable design on this machine has to pay. Commits
are grouped, because a commit for each step would measure the disk alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import aiosqlite

from bench.load import AT_ONCE, RESULT, STEPS, in_parallel

Row = tuple[str, int, float, str]


class Journal:
    """One table, one writer that commits everything queued since the last commit."""

    def __init__(self, database: aiosqlite.Connection) -> None:
        self._database = database
        self._queue: list[tuple[Row, asyncio.Future[None]]] = []
        self._filled = asyncio.Event()

    async def record(self, row: Row) -> None:
        """Returns when the row is on disk."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((row, future))
        self._filled.set()
        await future

    async def write(self) -> None:
        """Commit groups until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            group, self._queue = self._queue, []
            await self._database.execute("BEGIN IMMEDIATE")
            await self._database.executemany(
                "INSERT INTO journal VALUES (?, ?, ?, ?)", [row for row, _ in group]
            )
            await self._database.commit()
            for _, future in group:
                future.set_result(None)


async def runs_per_second(folder: Path, runs: int) -> float:
    """Throughput of `runs` runs, `AT_ONCE` at a time."""
    async with aiosqlite.connect(folder / "journal.db", isolation_level=None) as database:
        await database.execute("PRAGMA journal_mode=WAL")
        await database.execute("PRAGMA synchronous=FULL")
        await database.execute(
            "CREATE TABLE journal (run TEXT, step INTEGER, at REAL, output TEXT, PRIMARY KEY (run, step))"
        )
        journal = Journal(database)
        writer = asyncio.create_task(journal.write())

        async def one(number: int) -> None:
            for step in range(STEPS):
                await journal.record((f"run-{number}", step, time.time(), json.dumps(RESULT)))

        seconds = await in_parallel(one, runs, AT_ONCE)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        async with database.execute("SELECT count(*) FROM journal") as cursor:
            assert await cursor.fetchone() == (runs * STEPS,)
    return runs / seconds
