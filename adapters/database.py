"""An adapter's own SQLite file: writes on one thread, reads on another.

A write is a whole function, so that nothing is half done when a request is cancelled; it is on the
disk before it returns, and writes that come together share one commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from adapters.errors import PlatformDown

T = TypeVar("T")


class Database:
    """An SQLite file, made with its folder and its tables when it is not there.

    Args:
        path: the file.
        schema: a file of SQL that makes what is missing; run at every start.
    """

    def __init__(self, path: Path, schema: Path) -> None:
        self.path = path
        self._schema = schema
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._waiting: list[_Job] = []
        self._committing: asyncio.Task[None] | None = None
        self._writes = ThreadPoolExecutor(1, f"{path.stem}-writes")  # one thread: one transaction at a time
        self._reads = ThreadPoolExecutor(1, f"{path.stem}-reads")  # reading never waits for the disk

    async def open(self) -> None:
        """Open the file. May be called twice, and again after `close`."""
        if self._writer is None:
            self._writer = await self._on(self._writes, self._create)
            self._reader = await self._on(self._reads, self._connect)

    async def close(self) -> None:
        """Close the file. May be called twice."""
        if self._committing is not None:
            await self._committing
        writer, reader, self._writer, self._reader = self._writer, self._reader, None, None
        if writer is not None and reader is not None:
            await self._on(self._reads, reader.close)
            await self._on(self._writes, writer.close)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one moment of the file, however many statements it has."""

        def whole() -> T:
            db = self._there(self._reader)
            db.execute("BEGIN")
            try:
                return work(db)
            finally:
                db.execute("COMMIT")

        return await self._on(self._reads, whole)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work`; what it raises undoes all of it. Writes that come together share one commit."""
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return await job.done

    async def _commit(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                for job, outcome in zip(batch, await self._outcomes(batch), strict=True):
                    if job.done.cancelled():
                        continue
                    if isinstance(outcome, _Raised):
                        job.done.set_exception(outcome.error)
                    else:
                        job.done.set_result(outcome)
        finally:
            self._committing = None

    async def _outcomes(self, batch: Sequence[_Job]) -> Sequence[object]:
        try:
            return await self._on(self._writes, lambda: _together(self._there(self._writer), batch))
        except Exception as error:  # the commit itself failed: nothing of the batch is there
            return [_Raised(error)] * len(batch)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA busy_timeout = 5000")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # what a person said is never lost
        return db

    def _create(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = self._connect()
        db.executescript(f"BEGIN IMMEDIATE;\n{self._schema.read_text()}\nCOMMIT;")
        return db

    def _there(self, db: sqlite3.Connection | None) -> sqlite3.Connection:
        if db is None:
            raise PlatformDown(f"{self.path.name} is not open: the adapter is not started, or was stopped")
        return db

    async def _on(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], object]
    done: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


def _together(db: sqlite3.Connection, batch: Sequence[_Job]) -> list[object]:
    """Run the jobs in one transaction, each undone by itself where it fails."""
    outcomes: list[object] = []
    db.execute("BEGIN IMMEDIATE")
    try:
        for job in batch:
            db.execute("SAVEPOINT job")
            try:
                outcomes.append(job.work(db))
            except Exception as error:
                db.execute("ROLLBACK TO job")
                outcomes.append(_Raised(error))
            db.execute("RELEASE job")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return outcomes


def now_text() -> str:
    """The time as the file keeps it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat()
