"""The floor: a bare journal on SQLite that keeps the very facts which the engine's log keeps.

The same rows of the same size under the same index, and the same waits: a run writes its creation,
then the start of its first step, then with each end the start of the next step, and goes on when these are
on disk. Commits are grouped and `synchronous=FULL`, as with the engine.

Left out is what makes an engine: there is no workflow, no state folded from the log, no choice of
moves, no owner, no check before a row is written, no scheduler, no queue of turns and no read model.
What is written is known beforehand. It is written with what Python brings: its JSON, its sqlite3. With the
encoder of Quartet's log (`journal_msgspec.py`) no durable design on this machine can be much faster.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiosqlite

from bench.load import AT_ONCE, RESULT, STEPS, Done, in_parallel

Fact = dict[str, Any]
Encode = Callable[[Fact], str]
Row = tuple[int, int, int, str, int, str, None]

TABLE = """CREATE TABLE journal (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    type TEXT NOT NULL, v INTEGER NOT NULL, body TEXT NOT NULL, large TEXT)"""
INSERT = "INSERT INTO journal (run, seq, at, type, v, body, large) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Journal:
    """One table, one writer that commits everything queued since the last commit."""

    def __init__(self, database: aiosqlite.Connection, encode: Encode) -> None:
        self._database = database
        self._encode = encode
        self._queue: list[tuple[list[Row], asyncio.Future[None]]] = []
        self._filled = asyncio.Event()

    async def record(self, run: int, seq: int, facts: Sequence[Fact]) -> int:
        """Returns the last number when the facts are on disk."""
        at = time.time_ns() // 1000
        rows: list[Row] = [
            (run, seq + i, at, fact["type"], fact["v"], self._encode(fact), None)
            for i, fact in enumerate(facts, 1)
        ]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((rows, future))
        self._filled.set()
        await future
        return seq + len(rows)

    async def write(self) -> None:
        """Commit groups until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            group, self._queue = self._queue, []
            await self._database.execute("BEGIN IMMEDIATE")
            await self._database.executemany(INSERT, [row for rows, _ in group for row in rows])
            await self._database.commit()
            for _, future in group:
                future.set_result(None)


def _with_pythons_own(fact: Fact) -> str:
    return json.dumps(fact, separators=(",", ":"))


async def measure(folder: Path, runs: int, encode: Encode = _with_pythons_own) -> Done:
    """Do `runs` runs, `AT_ONCE` at a time."""
    async with aiosqlite.connect(folder / "journal.db", isolation_level=None) as database:
        await database.execute("PRAGMA journal_mode=WAL")
        await database.execute("PRAGMA synchronous=FULL")
        await database.execute("PRAGMA wal_autocheckpoint=4000")  # as the engine's
        await database.execute(TABLE)
        await database.execute("CREATE UNIQUE INDEX journal_of_run ON journal (run, seq)")
        journal = Journal(database, encode)
        writer = asyncio.create_task(journal.write())

        async def one(number: int) -> None:
            seq = await journal.record(number, 0, [_created(number), {"type": "run_started", "v": 1}])
            seq = await journal.record(number, seq, [_started(0)])
            for step in range(STEPS - 1):
                seq = await journal.record(number, seq, [_ended(step), _started(step + 1)])
            await journal.record(number, seq, [_ended(STEPS - 1), _over()])

        seconds = await in_parallel(one, runs, AT_ONCE)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        async with database.execute("SELECT count(*), sum(length(body)) FROM journal") as cursor:
            rows, size = next(iter(await cursor.fetchall()))
    assert rows == runs * (2 * STEPS + 3)
    return Done(runs, seconds, rows, size)


# ── the facts, as the engine's log has them ──────────────────────────────────────────────────


def _created(number: int) -> Fact:
    return {
        "type": "run_created",
        "v": 2,
        "conversation_id": f"web:local:bench:{number}",
        "workflow": "steps",
        "workflow_version": "1",
        "workflow_digest": "d" * 64,
        "engine": "rules",
        "turn": {
            "key": f"turn-{number}",
            "text": "go",
            "who": {"key": "web:ada", "name": "Ada"},
            "at": datetime.now(UTC).isoformat(),
            "context": {},
            "files": [],
            "earlier": [],
            "history": None,
            "instruction": "",
            "call": None,
            "parts": {},
        },
        "settings": {
            "approvals": "ask",
            "approvers": [],
            "allow_requester": True,
            "expires_after_s": 86400.0,
            "language": "",
            "verbosity": "normal",
            "models": {},
            "tools": None,
            "asks": "people",
            "at_once": None,
            "own_keys": "",
        },
        "inputs": {},
        "priority": "medium",
        "deadline": None,
        "forked": None,
    }


def _started(step: int) -> Fact:
    after = [f"n{step - 1}"] if step else []
    return {"type": "step_started", "v": 1, "node": f"n{step}", "visit": 1, "attempt": 1, "after": after}


def _ended(step: int) -> Fact:
    return {
        "type": "step_ended",
        "v": 1,
        "node": f"n{step}",
        "visit": 1,
        "attempt": 1,
        "output": RESULT,
        "seconds": 0.0,
    }


def _over() -> Fact:
    answer: Fact = {
        "body": RESULT["body"],
        "sources": [],
        "notes": [],
        "merged": 0,
        "score": None,
        "files": [],
    }
    return {
        "type": "run_ended",
        "v": 1,
        "status": "completed",
        "answer": answer,
        "problem": None,
        "reason": "",
    }
