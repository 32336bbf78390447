"""One open write transaction: its connection, its single reading of the clock, its event numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Generic, TypeVar

from orchestrator.infra.sqlite_codec import micros, moment
from orchestrator.infra.sqlite_heads import Heads

T = TypeVar("T")
# Rows in one statement, SQLite takes 32,766 parameters. Few sizes, so that each is prepared only once.
SIZES = (96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)


class Transaction:
    """Lives from BEGIN IMMEDIATE to COMMIT, in the writer's thread."""

    def __init__(self, database: sqlite3.Connection, heads: Heads) -> None:
        self.database = database
        self.heads = heads
        heads.begin(database)
        last: tuple[int, int] | None = database.execute(
            "SELECT id, at FROM events ORDER BY id DESC LIMIT 1"
        ).fetchone()
        self._last_id, last_at = last or (0, 0)
        # Read while the write lock is held, so that times follow the order of commits, whatever process
        # commits; a clock that was set back does not turn them round.
        self.at_us = max(micros(datetime.now(UTC)), last_at + 1)
        self.at = moment(self.at_us)

    def write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement on many rows at once, written where it says `{rows}`.

        A statement for each row would give up the interpreter's lock each time, and wait for it.
        """
        begun, left = 0, len(rows)
        for size in SIZES:
            while left >= size:
                some = rows[begun : begun + size]
                self.database.execute(
                    _with_rows(statement, size, len(some[0])), list(chain.from_iterable(some))
                )
                begun, left = begun + size, left - size

    def of(self, statement: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
        """What a statement about many values finds; they are written where it says `{values}`."""
        wanted = list(values)
        if not wanted:
            return []
        size = min((size for size in SIZES if size >= len(wanted)), default=len(wanted))
        wanted += wanted[-1:] * (size - len(wanted))  # one named twice is found once
        return self.database.execute(_with_values(statement, size), wanted).fetchall()

    def next_ids(self, count: int) -> int:
        """The next event's number over all runs, and `count` in a row. Nobody else writes meanwhile."""
        first = self._last_id + 1
        self._last_id += count
        return first


@lru_cache(maxsize=256)
def _with_rows(statement: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.format(rows=", ".join([row] * rows))


@lru_cache(maxsize=256)
def _with_values(statement: str, values: int) -> str:
    return statement.format(values=", ".join("?" * values))


class Work(Generic[T]):
    """Something that a caller wants written, and waits for. Works of a kind are done together."""

    __slots__ = ()

    @staticmethod
    def together(transaction: Transaction, wanted: Sequence[Any]) -> Sequence[Any]:
        """Do each that can be done.

        Returns:
            For each its result, or the OrchestratorError that its caller gets.
        """
        raise NotImplementedError
