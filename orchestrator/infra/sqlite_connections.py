"""Connections to one SQLite file: each works in its own thread, one hop of the loop a call.

`Connection.call(work, …)` runs a plain function on the connection's thread, so a whole
transaction is one function: a cancelled caller can never leave half of one behind.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import aiosqlite

from orchestrator.errors import StoreFailed

BUSY_TIMEOUT_S = 30.0  # how long another process may hold the write lock before we give up
T = TypeVar("T")
P = ParamSpec("P")


class Connection(aiosqlite.Connection):
    """An aiosqlite connection whose thread takes whole functions instead of single statements."""

    pending = 0  # calls under way or queued

    async def call(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work(connection, …)` on the connection's thread."""
        self.pending += 1
        try:
            result: Any = await self._execute(work, self._conn, *args, **kwargs)  # pyright: ignore[reportUnknownMemberType]
        finally:
            self.pending -= 1
        return cast("T", result)

    def begin(
        self,
        told: Callable[[T | BaseException], None],
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run `work(connection, …)` on the connection's thread, and tell what came of it.

        Args:
            told: called on this loop, in the turn in which the thread is done: a future's waiter would be
                called one turn later.

        Raises:
            ValueError: the connection is closed.
        """
        function = partial(work, self._conn, *args, **kwargs)
        waiting = cast("asyncio.Future[Any]", _Told(told))
        self._tx.put_nowait((waiting, function))  # pyright: ignore[reportUnknownMemberType]


class _Told:
    """What the connection's thread takes for a future."""

    def __init__(self, told: Callable[[Any], None]) -> None:
        self._told = told
        self._loop = asyncio.get_running_loop()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def done(self) -> bool:
        return False

    def set_result(self, result: Any) -> None:
        self._told(result)

    def set_exception(self, error: BaseException) -> None:
        self._told(error)


async def connect(path: Path, *, write: bool) -> Connection:
    """Open a connection with our settings: write-ahead log, every commit on disk before it counts.

    Raises:
        StoreFailed: the file cannot be opened, or is not a SQLite database.
    """

    def connector() -> sqlite3.Connection:
        database = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S, cached_statements=256)
        try:
            database.execute("PRAGMA journal_mode=WAL").fetchall()
            database.execute("PRAGMA synchronous=FULL")
            database.execute("PRAGMA foreign_keys=ON")
            # Checkpoints copy pages back under the writer; rarer ones copy each page fewer times.
            database.execute("PRAGMA wal_autocheckpoint=4000")
            if not write:
                database.execute("PRAGMA query_only=ON")
        except BaseException:
            database.close()
            raise
        return database

    with translated(path):
        return cast("Connection", await Connection(connector, 64))


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Turn SQLite's errors about the file into `StoreFailed` with a remedy."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise failure(path, error) from error


def failure(path: Path, error: sqlite3.Error) -> StoreFailed:
    """What went wrong with the file, in words with a remedy."""
    text = str(error)
    if "not a database" in text:
        remedy = "it is not a SQLite database; move it away, or set QUARTET_HOME to another folder"
    elif "malformed" in text:
        remedy = "it is damaged; put a backup in its place, or move it away to begin anew"
    elif "disk is full" in text:
        remedy = "the disk is full; free some space and start again, nothing that was confirmed is lost"
    elif "readonly" in text or "read-only" in text:
        remedy = "it cannot be written; give this account write permission to the file and its folder"
    elif "unable to open" in text:
        remedy = "it cannot be opened; check that it is a file and that this account may read and write it"
    elif "locked" in text:
        remedy = f"another program kept it locked for {BUSY_TIMEOUT_S:g} s; end that program"
    else:
        remedy = text
    return StoreFailed(f"database {path}: {remedy}")
