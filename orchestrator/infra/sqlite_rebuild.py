"""Rebuild the read models from the log: after a repair, or when a projection changed.

Kept as they are: what the log does not say (owner, epoch, how far owners and the outbox have
come, deliveries, settings). Everything else is emptied and written anew, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.events import RunCreated, RunEvent, RunId, RunStarted, RunStatus
from orchestrator.infra.projection import changes
from orchestrator.infra.sqlite_append import write_changes
from orchestrator.infra.sqlite_codec import decode, moment
from orchestrator.infra.sqlite_heads import LAST, restless
from orchestrator.infra.sqlite_log import INSERT_RUNS, blob_reader, events, run_row
from orchestrator.infra.sqlite_transaction import Transaction

FoldStatus = Callable[[list[RunEvent]], RunStatus]
_KEPT = "id, status, seen_seq, epoch, owner, presented"


def rebuild(transaction: Transaction, fold_status: FoldStatus | None) -> None:
    """Write every read model anew.

    Args:
        transaction: open; its time is moved to each event's.
        fold_status: the status of a run that has not ended, by its events; None: as the row says.
    """
    database = transaction.database
    rows = database.execute(f"SELECT n, {_KEPT} FROM runs").fetchall()
    kept: dict[int, dict[str, Any]] = {n: dict(zip(_KEPT.split(", "), row, strict=True)) for n, *row in rows}
    database.execute("DELETE FROM inbox WHERE run_id <> ''")  # the log does not know keys without a run
    for table in ("turns", "approvals", "waiting", "timers", "usage", "runs"):
        database.execute(f"DELETE FROM {table}")
    positions: dict[str, int] = {}
    load = blob_reader(database)
    log = database.execute("SELECT id, run, seq, at, type, v, body, large FROM events ORDER BY id")
    for event_id, n, seq, at, type_, v, text, large in log:
        body = decode(type_, v, text, large, blob=load, where=f"event {event_id}")
        transaction.at, transaction.at_us = moment(at), at
        if isinstance(body, RunCreated):
            run_id = RunId(kept[n]["id"])
            position = positions[body.conversation_id] = positions.get(body.conversation_id, 0) + 1
            database.execute(
                "INSERT OR REPLACE INTO inbox (key, run_id) VALUES (?, ?)", (body.turn.key, run_id)
            )
            transaction.write(INSERT_RUNS, [run_row(n, run_id, body, position, at, started=False)])
            database.execute(
                "INSERT INTO turns (conversation_id, position, run) VALUES (?, ?, ?)",
                (body.conversation_id, position, n),
            )
        if isinstance(body, RunStarted):
            database.execute("UPDATE runs SET status = 'running' WHERE n = ? AND ended_at IS NULL", (n,))
        write_changes(transaction, [(n, event_id, seq, change) for change in changes(body)])
    for n, row in kept.items():
        _settle(transaction, n, row, fold_status)


def _settle(transaction: Transaction, n: int, row: dict[str, Any], fold_status: FoldStatus | None) -> None:
    """Give a rebuilt row back what the log does not say, and its status."""
    database = transaction.database
    status, seq, ended_at = database.execute(
        f"SELECT status, {LAST}, ended_at FROM runs WHERE n = ?", (n,)
    ).fetchone()
    if ended_at is None and status != "queued":
        status = row["status"] if fold_status is None else fold_status(events(database, RunId(row["id"]), 0))
    owner = None if ended_at is not None else row["owner"]
    rest = restless(status=status, ended=ended_at is not None, seq=seq, seen_seq=row["seen_seq"], owner=owner)
    database.execute(
        "UPDATE runs SET status = ?, seen_seq = ?, epoch = ?, owner = ?, presented = ?, restless = ?, "
        "unshown = ? WHERE n = ?",
        (status, row["seen_seq"], row["epoch"], owner, row["presented"], rest, seq > row["presented"], n),
    )
