"""What callers over HTTP did with runs of theirs. Plain functions in a connection's thread."""

from __future__ import annotations

import sqlite3

from orchestrator.events import RunId
from orchestrator.infra.sqlite_transaction import Transaction
from orchestrator.marks import Mark


def mark(database: sqlite3.Connection, run_id: RunId) -> Mark:
    """See `Marks.mark`."""
    row = database.execute("SELECT hidden, heard FROM api_marks WHERE run_id = ?", (run_id,)).fetchone()
    return Mark() if row is None else Mark(bool(row[0]), row[1])


def hide(transaction: Transaction, run_id: RunId) -> None:
    """See `Marks.hide`."""
    transaction.database.execute(
        "INSERT INTO api_marks (run_id, hidden, heard) VALUES (?, 1, 0) "
        "ON CONFLICT (run_id) DO UPDATE SET hidden = 1",
        (run_id,),
    )


def heard(transaction: Transaction, run_id: RunId, lines: int) -> None:
    """See `Marks.heard`."""
    transaction.database.execute(
        "INSERT INTO api_marks (run_id, hidden, heard) VALUES (?, 0, ?) "
        "ON CONFLICT (run_id) DO UPDATE SET heard = max(heard, excluded.heard)",
        (run_id, lines),
    )
