"""Sealed keys that one run alone uses. Plain functions in a connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime

from orchestrator.infra.sqlite_codec import micros
from orchestrator.infra.sqlite_transaction import Transaction

# There are few keys, and many runs: from the keys to their runs, by primary keys.
_OF_RUNS = (
    "DELETE FROM run_keys WHERE EXISTS (SELECT 1 FROM inbox JOIN runs ON runs.id = inbox.run_id "
    "WHERE inbox.key = run_keys.id AND runs.n IN ({values}))"
)
_SWEEP = (
    "DELETE FROM run_keys WHERE CASE WHEN EXISTS (SELECT 1 FROM inbox WHERE inbox.key = run_keys.id) "
    "THEN EXISTS (SELECT 1 FROM inbox JOIN runs ON runs.id = inbox.run_id "
    "WHERE inbox.key = run_keys.id AND runs.ended_at IS NOT NULL) ELSE at < ? END"
)


def keep_run_keys(transaction: Transaction, turn_key: str, sealed: bytes) -> bool:
    """See `RunKeys.keep_run_keys`."""
    kept = transaction.database.execute(
        "INSERT INTO run_keys (id, sealed, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (turn_key, sealed, transaction.at_us),
    )
    return kept.rowcount == 1


def run_keys(database: sqlite3.Connection, turn_key: str) -> bytes | None:
    """See `RunKeys.run_keys`."""
    row = database.execute("SELECT sealed FROM run_keys WHERE id = ?", (turn_key,)).fetchone()
    return None if row is None else bytes(row[0])


def drop_run_keys(transaction: Transaction, turn_key: str) -> None:
    """See `RunKeys.drop_run_keys`."""
    transaction.database.execute("DELETE FROM run_keys WHERE id = ?", (turn_key,))


def sweep_run_keys(transaction: Transaction, until: datetime) -> int:
    """See `RunKeys.sweep_run_keys`."""
    return transaction.database.execute(_SWEEP, (micros(until),)).rowcount


def end_run_keys(transaction: Transaction, runs: Iterable[int]) -> None:
    """Runs (`runs.n`) have ended: nobody needs their keys any more."""
    transaction.of(_OF_RUNS, runs)
