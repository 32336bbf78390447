"""The one writer: everything that queued up since the last commit becomes one transaction.

A commit costs a wait for the disk, whatever is in it; fifty runs that share one wait a fiftieth.
Callers in a group wait for each other anyway, so within a group order is free: single works
go first, then works of a kind together. Each caller's future resolves after the commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from orchestrator.errors import OrchestratorError, Refused, StoreFailed
from orchestrator.events import RunId
from orchestrator.infra.sqlite_connections import Connection, failure
from orchestrator.infra.sqlite_heads import Heads
from orchestrator.infra.sqlite_transaction import Transaction, Work

MAX_GROUP = 500  # works in one transaction
T = TypeVar("T")
Waiting = tuple[Work[Any], "asyncio.Future[Any]"]


@dataclass(slots=True)
class Single(Work[Any]):
    """A function of its own."""

    function: Callable[[Transaction], Any]
    touches: Sequence[RunId] | None  # runs whose rows it changes; None: any

    @staticmethod
    def together(transaction: Transaction, wanted: Sequence[Single]) -> list[Any]:
        """One after another."""
        outcomes: list[Any] = []
        for each in wanted:
            transaction.heads.forget(each.touches)
            try:
                outcomes.append(each.function(transaction))
            except OrchestratorError as error:
                outcomes.append(error)
        return outcomes


class GroupWriter:
    """Queues works and commits them in groups, in the writer connection's thread.

    Without a task of its own: on a busy loop each turn that a caller waits for is milliseconds. A group
    goes in the turn after the first work came, so that all that come in one turn go together; the next one
    goes when those who waited for the last have been told, so that what they write next goes with it.
    """

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._heads = Heads()
        self._queue: list[Waiting] = []
        self._group: list[Waiting] = []  # on its way to disk
        self._called = False  # `_go` comes with the next turn
        self._closed: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def do(self, work: Callable[[Transaction], T], *, touches: Sequence[RunId] | None = None) -> T:
        """Run `work` in the next transaction; returns when it is on disk.

        Args:
            work: must check before it writes: what it wrote before raising an OrchestratorError stays.
            touches: the runs whose rows it changes; None: any.
        """
        return cast("T", await self.put(Single(work, touches)))

    def put(self, work: Work[T]) -> asyncio.Future[T]:
        """Do `work` in the next transaction; the result is there when it is on disk."""
        if self._closed is not None:
            raise StoreFailed(f"database {self._path} was closed; open it again")
        future: asyncio.Future[T] = asyncio.Future(loop=self._loop)
        self._queue.append((work, future))
        if not self._group and not self._called:
            self._called = True
            self._loop.call_soon(self._go)
        return future

    async def close(self) -> None:
        """Commit what is queued, then end."""
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._go()
        await asyncio.shield(self._closed)

    def _go(self) -> None:
        """Send the next group, if there is one and none is under way."""
        self._called = False
        while self._queue and not self._group:
            group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
            # Whoever gave up before the group went changes nothing.
            self._group = [waiting for waiting in group if not waiting[1].done()]
            if self._group:
                works = [work for work, _ in self._group]
                try:
                    self._connection.begin(self._written, commit_group, works, self._path, self._heads)
                except Exception as error:  # it is closed
                    self._written(error)
        if self._closed is not None and not self._group and not self._closed.done():
            self._closed.set_result(None)

    def _written(self, outcome: list[Any] | BaseException) -> None:
        """The group is on disk, or was refused; tell its callers, and go on behind them."""
        group, self._group = self._group, []
        outcomes: list[Any] = outcome if isinstance(outcome, list) else [outcome] * len(group)
        for (_, future), result in zip(group, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._called = True
        self._loop.call_soon(self._go)


def commit_group(
    database: sqlite3.Connection, group: Sequence[Work[Any]], path: Path, heads: Heads
) -> list[Any]:
    """One transaction of all works; one that breaks it is found by doing each alone.

    Returns:
        For each work its result, or the error that its caller gets.
    """
    try:
        return _commit(database, group, heads)
    except sqlite3.OperationalError as error:  # the file's fault: disk full, locked, damaged
        return [failure(path, error)] * len(group)
    except Exception as error:
        if len(group) == 1:
            return [_refusal(error, path)]
    return [outcome for work in group for outcome in commit_group(database, [work], path, heads)]


def _commit(database: sqlite3.Connection, group: Sequence[Work[Any]], heads: Heads) -> list[Any]:
    database.execute("BEGIN IMMEDIATE")
    try:
        transaction = Transaction(database, heads)
        outcomes: list[Any] = [None] * len(group)
        places: dict[type[Work[Any]], list[int]] = {Single: []}
        for i, work in enumerate(group):
            places.setdefault(type(work), []).append(i)
        for kind, there in places.items():
            for i, outcome in zip(there, kind.together(transaction, [group[i] for i in there]), strict=True):
                outcomes[i] = outcome
        database.execute("COMMIT")
    except BaseException:
        heads.forget()  # what they were to become
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
