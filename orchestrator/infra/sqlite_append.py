"""Appending: many appends of one transaction are checked in Python and written in a few statements.

Checks come from one SELECT of the runs' heads, so that one bad append fails alone. The read
models change in the same transaction (`projection.changes`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchestrator.errors import Conflict, Fenced, NotFound, OrchestratorError, Refused
from orchestrator.events import Body, RunEvent, RunId, RunStarted, RunStatus, Steered
from orchestrator.infra.projection import (
    Answered,
    Asked,
    Change,
    Ended,
    Received,
    Spent,
    TimerCleared,
    TimerSet,
    changes,
)
from orchestrator.infra.sqlite_codec import Encoded, encode, micros
from orchestrator.infra.sqlite_transaction import Transaction
from orchestrator.ports import Appended

IN_ONE_STATEMENT = 100  # rows; SQLite takes 32,766 parameters
R = TypeVar("R")
INSERT_EVENTS = "INSERT INTO events (id, run, seq, at, type, v, body, large) VALUES "
_EVENT_ROW = "(?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_EVENT = INSERT_EVENTS + _EVENT_ROW
INSERT_BLOB = "INSERT INTO blobs (sha256, content) VALUES (?, ?) ON CONFLICT DO NOTHING"
_HEADS = """SELECT id, n, seq, seen_seq, status, restless, unshown, epoch, owner, conversation_id, position,
    ended_at IS NOT NULL FROM runs WHERE id IN (SELECT value FROM json_each(?))"""
# Indexed columns are named only where they change: naming one rewrites its index entry.
_MOVE_ALL_ON = (
    "UPDATE runs SET seq = v.column1, seen_seq = v.column2 FROM (VALUES {}) AS v WHERE runs.n = v.column3"
)
_MOVE_ON_AND_CHANGE = (
    "UPDATE runs SET seq = ?, seen_seq = ?, status = ?, restless = ?, unshown = ? WHERE n = ?"
)


@dataclass(slots=True)
class Append:
    """What a caller wants appended. Encoded by the caller, while the writer waits for the disk."""

    run_id: RunId
    bodies: tuple[Body, ...]
    rows: tuple[Encoded, ...]
    epoch: int | None
    expected_seq: int | None
    status: RunStatus | None


@dataclass(slots=True)
class Head:
    """A run's row as far as appends need it."""

    n: int
    seq: int
    seen_seq: int
    status: RunStatus
    restless: bool
    unshown: bool
    epoch: int
    owner: str | None
    conversation_id: str
    position: int
    ended: bool
    before: tuple[RunStatus, bool, bool] = field(init=False)

    def __post_init__(self) -> None:
        self.before = (self.status, self.restless, self.unshown)


def restless(*, status: RunStatus, ended: bool, seq: int, seen_seq: int, owner: str | None) -> bool:
    """Whether somebody has to look at a run.

    One that has not ended, and whose log holds something that no owner is known to have folded (in a
    queued one: besides its creation), or that an owner has in hand. At rest are those given back with
    everything seen.
    """
    if ended:
        return False
    if status == "queued":  # its first event needs nobody; a stop does
        return seq > max(1, seen_seq)
    return seen_seq < seq or (owner is not None and status == "running")


@dataclass(slots=True)
class _Rows:
    """What is to be written at the end of the batch."""

    events: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    blobs: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    changes: list[tuple[int, int, int, Change]] = field(default_factory=list[tuple[int, int, int, Change]])


def append_all(transaction: Transaction, wanted: Sequence[Append]) -> list[Appended | OrchestratorError]:
    """Append each that fits; for the others the error their caller gets."""
    heads = _heads(transaction, {append.run_id for append in wanted})
    rows = _Rows()
    outcomes: list[Appended | OrchestratorError] = []
    endings: list[tuple[int, Head]] = []
    for append in wanted:
        head = heads.get(append.run_id)
        error = _objection(append, head)
        if error is not None or head is None:
            outcomes.append(error or NotFound(append.run_id))
            continue
        ended = head.ended
        outcomes.append(Appended(_take(transaction, append, head, rows)))
        if head.ended and not ended:
            endings.append((len(outcomes) - 1, head))
    _write(transaction, rows, heads.values())
    for i, head in endings:
        started = start_next(transaction, head.conversation_id)
        outcome = outcomes[i]
        if started is not None and isinstance(outcome, Appended):
            outcomes[i] = Appended(outcome.events, started)
    return outcomes


def start_next(transaction: Transaction, conversation_id: str) -> RunId | None:
    """Start the conversation's next queued run, if nothing else of it is under way."""
    row = transaction.database.execute(
        "SELECT id, status FROM runs WHERE conversation_id = ? AND ended_at IS NULL "
        "ORDER BY position LIMIT 1",
        (conversation_id,),
    ).fetchone()
    if row is None or row[1] != "queued":
        return None
    run_id, body = RunId(row[0]), RunStarted()
    append_all(transaction, [Append(run_id, (body,), (encode(body),), None, None, "running")])
    return run_id


def write_changes(transaction: Transaction, rows: Iterable[tuple[int, int, int, Change]]) -> None:
    """Write changes of read models, each with its run's number, its event's id and sequence number."""
    for run, event_id, seq, change in rows:
        _write_change(transaction, run, event_id, seq, change)


def _heads(transaction: Transaction, run_ids: Iterable[RunId]) -> dict[RunId, Head]:
    found = transaction.database.execute(_HEADS, (json.dumps(list(run_ids)),)).fetchall()
    return {
        run_id: Head(
            n, seq, seen, status, bool(rest), bool(unshown), epoch, owner, conversation, position, bool(ended)
        )
        for run_id, n, seq, seen, status, rest, unshown, epoch, owner, conversation, position, ended in found
    }


def _objection(append: Append, head: Head | None) -> OrchestratorError | None:
    if head is None:
        return NotFound(f"there is no run {append.run_id!r}; `quartet runs` lists them")
    if head.ended and append.epoch is not None:
        return Fenced(f"run {append.run_id} has ended; nothing is added to it any more")
    if head.ended and any(isinstance(body, Steered) for body in append.bodies):
        return Refused(f"run {append.run_id} has ended ({head.status}); nobody would read this")
    if append.epoch is not None and append.epoch != head.epoch:
        return Fenced(
            f"run {append.run_id} is another process's now (epoch {head.epoch}, not {append.epoch})"
        )
    if append.expected_seq is not None and append.expected_seq != head.seq:
        return Conflict(
            f"the log of run {append.run_id} ends at {head.seq}, not at {append.expected_seq}; read on"
        )
    return None


def _take(transaction: Transaction, append: Append, head: Head, rows: _Rows) -> tuple[RunEvent, ...]:
    before, at, at_us = head.seq, transaction.at, transaction.at_us
    events: list[RunEvent] = []
    for body, encoded in zip(append.bodies, append.rows, strict=True):
        head.seq += 1
        event_id = transaction.next_id()
        events.append(RunEvent(append.run_id, head.seq, at, body))
        type_, v, text, large, blobs = encoded
        rows.events.append((event_id, head.n, head.seq, at_us, type_, v, text, large))
        rows.blobs.extend(blobs)
        for change in changes(body):
            rows.changes.append((head.n, event_id, head.seq, change))
            if isinstance(change, Ended) and not head.ended:
                head.ended, head.status, head.owner = True, change.status, None
    if append.status is not None and not head.ended:
        head.status = append.status
    if append.epoch is not None and (append.expected_seq == before or head.seen_seq == before):
        # The owner had folded everything before, and what it appends itself it knows.
        head.seen_seq = head.seq
    head.unshown = head.unshown or head.seq > before
    head.restless = restless(
        status=head.status, ended=head.ended, seq=head.seq, seen_seq=head.seen_seq, owner=head.owner
    )
    return tuple(events)


def _batches(rows: Sequence[R]) -> Iterable[Sequence[R]]:
    """Rows that go into one statement. A statement for each row gives up the interpreter's lock for each."""
    return (rows[i : i + IN_ONE_STATEMENT] for i in range(0, len(rows), IN_ONE_STATEMENT))


def _write(transaction: Transaction, rows: _Rows, heads: Iterable[Head]) -> None:
    database = transaction.database
    if rows.blobs:
        database.executemany(INSERT_BLOB, rows.blobs)
    for many in _batches(rows.events):
        database.execute(
            INSERT_EVENTS + ", ".join(_EVENT_ROW for _ in many), [v for row in many for v in row]
        )
    simple: list[tuple[int, int, int]] = []
    changed: list[tuple[Any, ...]] = []
    for head in heads:
        after = (head.status, head.restless, head.unshown)
        if after == head.before:
            simple.append((head.seq, head.seen_seq, head.n))
        else:
            changed.append((head.seq, head.seen_seq, *after, head.n))
    for many in _batches(simple):
        database.execute(
            _MOVE_ALL_ON.format(", ".join("(?, ?, ?)" for _ in many)), [v for row in many for v in row]
        )
    if changed:
        database.executemany(_MOVE_ON_AND_CHANGE, changed)
    write_changes(transaction, rows.changes)


def _write_change(transaction: Transaction, run: int, event_id: int, seq: int, change: Change) -> None:
    execute = transaction.database.execute
    match change:
        case Ended(status):
            # The first end counts; a second one cannot come from the engine.
            execute(
                "UPDATE runs SET ended_at = ?, status = ?, owner = NULL WHERE n = ? AND ended_at IS NULL",
                (transaction.at_us, status, run),
            )
            execute(
                "UPDATE turns SET ended_seq = ? WHERE (conversation_id, position) = "
                "(SELECT conversation_id, position FROM runs WHERE n = ?) AND ended_seq IS NULL",
                (seq, run),
            )
            execute("DELETE FROM waiting WHERE run = ?", (run,))
            execute("DELETE FROM timers WHERE run = ?", (run,))
        case Received(key):
            execute(
                "INSERT INTO inbox (key, run_id) SELECT ?, id FROM runs WHERE n = ? ON CONFLICT DO NOTHING",
                (key, run),
            )
        case Asked(approval_id):
            execute(
                "INSERT INTO approvals (id, n, run, asked_seq) VALUES (?, ?, ?, ?)",
                (approval_id, event_id, run, seq),
            )
            execute(
                "INSERT INTO waiting (n, run, approval_id) VALUES (?, ?, ?)", (event_id, run, approval_id)
            )
        case Answered(approval_id):
            execute(
                "UPDATE approvals SET resolved_seq = ? WHERE id = ? AND run = ? AND resolved_seq IS NULL",
                (seq, approval_id, run),
            )
            execute("DELETE FROM waiting WHERE run = ? AND approval_id = ?", (run, approval_id))
        case TimerSet(name, at):
            execute(
                "INSERT INTO timers (run, name, at) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET at = excluded.at",
                (run, name, micros(at)),
            )
        case TimerCleared(name):
            execute("DELETE FROM timers WHERE run = ? AND name = ?", (run, name))
        case Spent(model, used):
            spent = (used.input_tokens, used.output_tokens, used.cached_tokens, used.calls, used.cost_usd)
            execute(
                "INSERT INTO usage "
                "(n, run, at, model, input_tokens, output_tokens, cached_tokens, calls, cost_usd) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (event_id, run, transaction.at_us, model, *spent),
            )
            execute(
                "UPDATE runs SET input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, "
                "cached_tokens = cached_tokens + ?, calls = calls + ?, "
                "cost_usd = CASE WHEN ?5 IS NULL THEN cost_usd ELSE coalesce(cost_usd, 0) + ?5 END "
                "WHERE n = ?6",
                (*spent, run),
            )
