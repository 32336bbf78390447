"""The log's other works: accept a turn, claim and release runs, read events, definitions, blobs.

Functions named like writes take a `Transaction` and check before they write; reads take a
connection. All run in a connection's thread.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.errors import NotFound, Refused
from orchestrator.events import Json, RunCreated, RunEvent, RunId, RunStarted
from orchestrator.infra.sqlite_append import INSERT_BLOB, INSERT_EVENT
from orchestrator.infra.sqlite_codec import EXCERPT, Encoded, decode, encode, moment
from orchestrator.infra.sqlite_owners import Owners
from orchestrator.infra.sqlite_transaction import Transaction
from orchestrator.ports import Accepted

_STARTED = encode(RunStarted())


def accept(transaction: Transaction, run_id: RunId, created: RunCreated, encoded: Encoded) -> Accepted:
    """See `Log.accept`."""
    execute, key = transaction.database.execute, created.turn.key
    known = execute("SELECT run_id FROM inbox WHERE key = ?", (key,)).fetchone()
    if known is not None and known[0]:
        return _known(transaction, RunId(known[0]))
    if execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone():
        raise Refused(f"there is a run {run_id!r} already; make another id")
    conversation_id = created.conversation_id
    (position,) = execute(
        "SELECT coalesce(max(position), 0) + 1 FROM turns WHERE conversation_id = ?", (conversation_id,)
    ).fetchone()
    (behind,) = execute(
        "SELECT count(*) FROM runs WHERE conversation_id = ? AND ended_at IS NULL", (conversation_id,)
    ).fetchone()
    execute("INSERT OR REPLACE INTO inbox (key, run_id) VALUES (?, ?)", (key, run_id))
    _create(transaction, run_id, created, encoded, position, start=not behind)
    return Accepted(run_id, duplicate=False, queued_behind=behind)


def known(database: sqlite3.Connection, key: str) -> RunId | None:
    """See `Log.known`."""
    row = database.execute("SELECT run_id FROM inbox WHERE key = ?", (key,)).fetchone()
    return RunId(row[0]) if row is not None and row[0] else None


def first_time(transaction: Transaction, key: str) -> bool:
    """See `Log.first_time`. Such a key's row names no run."""
    inserted = transaction.database.execute(
        "INSERT INTO inbox (key, run_id) VALUES (?, '') ON CONFLICT DO NOTHING", (key,)
    )
    return inserted.rowcount == 1


def _create(
    transaction: Transaction,
    run_id: RunId,
    created: RunCreated,
    encoded: Encoded,
    position: int,
    *,
    start: bool,
) -> None:
    """Write a run's first facts with its row and its place in the conversation."""
    database, at, n = transaction.database, transaction.at_us, transaction.next_id()
    if encoded.blobs:
        database.executemany(INSERT_BLOB, encoded.blobs)
    facts = [(n, n, 1, at, encoded.type, encoded.v, encoded.body, encoded.large)]
    if start:
        facts.append((transaction.next_id(), n, 2, at, _STARTED.type, _STARTED.v, _STARTED.body, None))
    database.executemany(INSERT_EVENT, facts)
    database.execute(*run_row(n, run_id, created, position, at, started=start))
    database.execute(
        "INSERT INTO turns (conversation_id, position, run) VALUES (?, ?, ?)",
        (created.conversation_id, position, n),
    )


def run_row(
    n: int, run_id: RunId, created: RunCreated, position: int, at: int, *, started: bool
) -> tuple[str, tuple[Any, ...]]:
    """The statement that makes a run's row, queued or begun, with its parameters."""
    row = (n, run_id, created.conversation_id, position, created.workflow, at)
    turn = (created.turn.text[:EXCERPT], created.turn.who.key)
    begun = (2, "running", 1) if started else (1, "queued", 0)
    return (
        "INSERT INTO runs (n, id, conversation_id, position, workflow, created_at, excerpt, who, "
        "seq, status, restless, seen_seq, unshown, epoch, presented) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, 0, 0)",
        (*row, *turn, *begun),
    )


def _known(transaction: Transaction, run_id: RunId) -> Accepted:
    (behind,) = transaction.database.execute(
        "SELECT count(*) FROM runs AS earlier JOIN runs AS mine USING (conversation_id) WHERE mine.id = ? "
        "AND mine.ended_at IS NULL AND earlier.ended_at IS NULL AND earlier.position < mine.position",
        (run_id,),
    ).fetchone()
    return Accepted(run_id, duplicate=True, queued_behind=behind)


def claim(transaction: Transaction, run_id: RunId, owners: Owners) -> int | None:
    """See `Log.claim`."""
    row = transaction.database.execute(
        "SELECT epoch, owner, ended_at FROM runs WHERE id = ?", (run_id,)
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no run {run_id!r}; `quartet runs` lists them")
    epoch, owner, ended_at = row
    if ended_at is not None or (owner is not None and owner != owners.me and owners.lives(owner)):
        return None
    transaction.database.execute(
        "UPDATE runs SET epoch = epoch + 1, owner = ?, restless = restless OR status = 'running' "
        "WHERE id = ?",
        (owners.me, run_id),
    )
    return int(epoch) + 1


def release(transaction: Transaction, run_id: RunId, epoch: int, seen: int | None) -> None:
    """See `Log.release`. An owner whose epoch has passed releases nothing."""
    transaction.database.execute(
        """UPDATE runs SET owner = NULL, seen_seq = :seen,
            restless = ended_at IS NULL AND max(:seen, status = 'queued') < seq
        WHERE id = :run_id AND epoch = :epoch AND owner IS NOT NULL""",
        # Nothing known to be seen: as if nobody had ever looked.
        {"run_id": run_id, "epoch": epoch, "seen": seen or 0},
    )


def events(database: sqlite3.Connection, run_id: RunId, after: int) -> list[RunEvent]:
    """See `Log.events`."""
    rows = database.execute(
        "SELECT seq, at, type, v, body, large FROM events "
        "WHERE run = (SELECT n FROM runs WHERE id = ?) AND seq > ? ORDER BY seq",
        (run_id, after),
    ).fetchall()
    load = blob_reader(database)
    return [
        RunEvent(
            run_id,
            seq,
            moment(at),
            decode(type_, v, body, large, blob=load, where=f"run {run_id}, event {seq}"),
        )
        for seq, at, type_, v, body, large in rows
    ]


def heads(database: sqlite3.Connection, run_ids: Sequence[RunId]) -> dict[RunId, int]:
    """See `Log.heads`."""
    return dict(
        database.execute(
            "SELECT id, seq FROM runs WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(run_ids),)
        ).fetchall()
    )


def save_definition(transaction: Transaction, digest: str, definition: str) -> None:
    """See `Log.save_definition`."""
    transaction.database.execute(
        "INSERT INTO definitions (digest, body) VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, definition)
    )


def definition(database: sqlite3.Connection, digest: str) -> Json:
    """See `Log.definition`."""
    row = database.execute("SELECT body FROM definitions WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        raise NotFound(
            f"the workflow definition {digest[:12]}… is not in the database; restore it from a backup"
        )
    found: Json = json.loads(row[0])
    return found


def put_blob(transaction: Transaction, content: bytes) -> str:
    """See `Log.put_blob`."""
    sha256 = hashlib.sha256(content).hexdigest()
    transaction.database.execute(INSERT_BLOB, (sha256, content))
    return sha256


def blob(database: sqlite3.Connection, sha256: str) -> bytes:
    """See `Log.blob`."""
    content = blob_reader(database)(sha256)
    if content is None:
        raise NotFound(f"there is no stored file {sha256[:12]}…")
    return content


def blob_reader(database: sqlite3.Connection) -> Callable[[str], bytes | None]:
    """A function that reads one blob by its SHA-256; None where there is none."""

    def load(sha256: str) -> bytes | None:
        row = database.execute("SELECT content FROM blobs WHERE sha256 = ?", (sha256,)).fetchone()
        return None if row is None else bytes(row[0])

    return load
