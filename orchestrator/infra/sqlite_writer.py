"""The one writer: everything that queued up since the last commit becomes one transaction.

A commit costs a wait for the disk, whatever is in it; fifty runs that share one wait a fiftieth.
Callers in a group wait for each other anyway, so within a group order is free: single works
go first, appends after them in one batch. Each caller's future resolves after the commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from orchestrator.errors import OrchestratorError, Refused, StoreFailed
from orchestrator.infra.sqlite_append import Append, append_all
from orchestrator.infra.sqlite_connections import Connection, failure
from orchestrator.infra.sqlite_transaction import Transaction
from orchestrator.ports import Appended

MAX_GROUP = 500  # works in one transaction
T = TypeVar("T")
Work = Callable[[Transaction], Any]
Waiting = tuple["Work | Append", "asyncio.Future[Any]"]


class GroupWriter:
    """Queues works and commits them in groups, in the writer connection's thread."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._queue: list[Waiting] = []
        self._filled = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._commit_groups(), name="sqlite writer")

    async def do(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in the next transaction; returns when it is on disk.

        `work` must check before it writes: what it wrote before raising an OrchestratorError stays.
        """
        return cast("T", await self._enqueue(work))

    async def append(self, wanted: Append) -> Appended:
        """Append in the next transaction; returns when it is on disk."""
        return cast("Appended", await self._enqueue(wanted))

    def _enqueue(self, work: Work | Append) -> asyncio.Future[Any]:
        if self._closing:
            raise StoreFailed(f"database {self._path} was closed; open it again")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((work, future))
        self._filled.set()
        return future

    async def close(self) -> None:
        """Commit what is queued, then end."""
        self._closing = True
        self._filled.set()
        await self._task

    async def _commit_groups(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
            if self._queue or self._closing:
                self._filled.set()
            if not group:
                if self._closing:
                    return
                continue
            # Whoever gave up before the group went changes nothing.
            group = [waiting for waiting in group if not waiting[1].done()]
            try:
                outcomes: list[Any] = await self._connection.call(
                    commit_group, [w for w, _ in group], self._path
                )
            except Exception as error:  # the connection itself failed
                outcomes = [error] * len(group)
            for (_, future), outcome in zip(group, outcomes, strict=True):
                if future.done():
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)


def commit_group(database: sqlite3.Connection, group: Sequence[Work | Append], path: Path) -> list[Any]:
    """One transaction of all works; one that breaks it is found by doing each alone.

    Returns:
        For each work its result, or the error that its caller gets.
    """
    try:
        return _commit(database, group)
    except sqlite3.OperationalError as error:  # the file's fault: disk full, locked, damaged
        return [failure(path, error)] * len(group)
    except Exception as error:
        if len(group) == 1:
            return [_refusal(error, path)]
    return [outcome for work in group for outcome in commit_group(database, [work], path)]


def _commit(database: sqlite3.Connection, group: Sequence[Work | Append]) -> list[Any]:
    database.execute("BEGIN IMMEDIATE")
    try:
        transaction = Transaction(database)
        outcomes: list[Any] = [None] * len(group)
        appends: list[tuple[int, Append]] = []
        for i, work in enumerate(group):
            if isinstance(work, Append):
                appends.append((i, work))
                continue
            try:
                outcomes[i] = work(transaction)
            except OrchestratorError as error:
                outcomes[i] = error
        if appends:
            for (i, _), outcome in zip(
                appends, append_all(transaction, [a for _, a in appends]), strict=True
            ):
                outcomes[i] = outcome
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return outcomes


def _refusal(error: Exception, path: Path) -> Exception:
    if isinstance(error, sqlite3.IntegrityError):
        return Refused(f"it contradicts what is stored ({error})")
    if isinstance(error, OverflowError | UnicodeEncodeError | sqlite3.DataError | sqlite3.InterfaceError):
        return Refused(f"it cannot be stored ({error})")
    if isinstance(error, sqlite3.Error):
        return failure(path, error)
    return error
