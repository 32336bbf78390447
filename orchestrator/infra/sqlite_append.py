"""Appending: many appends of one transaction are checked in Python and written in a few statements.

Checks come from the runs' heads (`sqlite_heads`), so that one bad append fails alone. The read
models change in the same transaction (`projection.changes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from orchestrator.errors import Conflict, Fenced, NotFound, OrchestratorError, Refused
from orchestrator.events import Body, RunId, RunStarted, RunStatus, Steered
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
from orchestrator.infra.sqlite_heads import Head, restless
from orchestrator.infra.sqlite_run_keys import end_run_keys
from orchestrator.infra.sqlite_transaction import Transaction, Work
from orchestrator.ports import Appended

INSERT_EVENTS = "INSERT INTO events (id, run, seq, at, type, v, body) VALUES {rows}"
# Apart from the others: nearly all have nothing large, and to bind a NULL is the dearest of all.
INSERT_LARGE = "INSERT INTO events (id, run, seq, at, type, v, body, large) VALUES {rows}"
INSERT_BLOB = "INSERT INTO blobs (sha256, content) VALUES (?, ?) ON CONFLICT DO NOTHING"
# Only for runs of which one of these changes: to write a row costs half as much as to append to its log.
_CHANGE_RUNS = """UPDATE runs SET seen_seq = v.column2, status = v.column3, restless = v.column4,
    unshown = v.column5 FROM (VALUES {rows}) AS v WHERE n = v.column1"""
# The first end counts; a second one cannot come from the engine. How far its owner had folded the log
# (`seen_seq`) nobody asks of a run that has ended.
_END_RUNS = """UPDATE runs SET ended_at = v.column2, status = v.column3, owner = NULL, restless = 0,
    unshown = 1 FROM (VALUES {rows}) AS v WHERE n = v.column1 AND ended_at IS NULL"""
_END_TURNS = """UPDATE turns SET ended_seq = v.column2
    FROM (VALUES {rows}) AS v JOIN runs ON runs.n = v.column1
    WHERE (turns.conversation_id, turns.position) = (runs.conversation_id, runs.position)
    AND ended_seq IS NULL"""
_NEXT = """SELECT conversation_id, id, status, min(position) FROM runs WHERE conversation_id IN ({values})
    AND ended_at IS NULL GROUP BY conversation_id"""


class Append(Work[Appended], Struct, gc=False):
    """What a caller wants appended. Encoded by the caller, while the writer waits for the disk."""

    run_id: RunId
    bodies: Sequence[Body]
    rows: Sequence[Encoded]
    epoch: int | None
    expected_seq: int | None
    status: RunStatus | None

    @staticmethod
    def together(transaction: Transaction, wanted: Sequence[Append]) -> list[Appended | OrchestratorError]:
        """Append each that fits; for the others the error their caller gets."""
        return append_all(transaction, wanted)


@dataclass(slots=True)
class _Rows:
    """What is to be written at the end of the batch."""

    events: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    large: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    blobs: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    changes: list[tuple[int, int, int, Change]] = field(default_factory=list[tuple[int, int, int, Change]])
    heads: dict[int, Head] = field(default_factory=dict[int, Head])  # runs.n → whose rows change
    ended: dict[int, RunId] = field(default_factory=dict[int, RunId])  # runs.n → who ended


def append_all(transaction: Transaction, wanted: Sequence[Append]) -> list[Appended | OrchestratorError]:
    """Append each that fits; for the others the error their caller gets."""
    heads = transaction.heads.of(transaction.database, [append.run_id for append in wanted])
    rows = _Rows()
    outcomes: list[Appended | OrchestratorError] = []
    endings: dict[str, int] = {}  # conversation → index of what ended its run
    for append in wanted:
        head = heads.get(append.run_id)
        error = _objection(append, head)
        if error is not None or head is None:
            outcomes.append(error or NotFound(append.run_id))
            continue
        ended = head.ended
        outcomes.append(_take(transaction, append, head, rows))
        if head.ended and not ended:
            endings[head.conversation_id] = len(outcomes) - 1
    _write(transaction, rows)
    if endings:
        transaction.heads.forget(rows.ended.values())  # seldom needed again
        for conversation_id, run_id in _start_next(transaction, endings).items():
            i = endings[conversation_id]
            outcome = outcomes[i]
            if isinstance(outcome, Appended):
                outcome.started = run_id
    return outcomes


def _start_next(transaction: Transaction, conversation_ids: Iterable[str]) -> dict[str, RunId]:
    """Start each conversation's next queued run, if nothing else of it is under way."""
    first = transaction.of(_NEXT, conversation_ids)
    started = {conversation: RunId(run) for conversation, run, status, _ in first if status == "queued"}
    if started:
        body = RunStarted()
        row = encode(body)
        append_all(
            transaction, [Append(run, (body,), (row,), None, None, "running") for run in started.values()]
        )
    return started


def write_changes(transaction: Transaction, rows: Iterable[tuple[int, int, int, Change]]) -> None:
    """Write changes of read models, each with its run's number, its event's id and sequence number."""
    ended: list[tuple[int, int, RunStatus]] = []
    for run, event_id, seq, change in rows:
        if isinstance(change, Ended):
            ended.append((run, seq, change.status))
        else:
            _write_change(transaction, run, event_id, seq, change)
    if ended:
        _end(transaction, ended)


def _end(transaction: Transaction, ended: Sequence[tuple[int, int, RunStatus]]) -> None:
    """Runs that are over: no timers, nothing waits for people, the conversation is free."""
    transaction.write(_END_RUNS, [(run, transaction.at_us, status) for run, _, status in ended])
    transaction.write(_END_TURNS, [(run, seq) for run, seq, _ in ended])
    runs = [run for run, _, _ in ended]
    transaction.of("DELETE FROM waiting WHERE run IN ({values})", runs)
    transaction.of("DELETE FROM timers WHERE run IN ({values})", runs)
    end_run_keys(transaction, runs)


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


def _take(transaction: Transaction, append: Append, head: Head, rows: _Rows) -> Appended:
    n, before, at_us, bodies = head.n, head.seq, transaction.at_us, append.bodies
    event_id, seq = transaction.next_ids(len(bodies)), before
    for body, (type_, v, text, large, blobs) in zip(bodies, append.rows, strict=True):
        seq += 1
        if large is None:
            rows.events.append((event_id, n, seq, at_us, type_, v, text))
        else:
            rows.large.append((event_id, n, seq, at_us, type_, v, text, large))
            rows.blobs.extend(blobs)
        for change in changes(body):
            rows.changes.append((n, event_id, seq, change))
            if isinstance(change, Ended) and not head.ended:
                head.ended, head.status, head.owner = True, change.status, None
                rows.ended[n] = append.run_id
        event_id += 1
    head.seq = seq
    if append.status is not None and not head.ended:
        head.status = append.status
    if append.epoch is not None and (append.expected_seq == before or head.seen_seq == before):
        # The owner had folded everything before, and what it appends itself it knows.
        head.seen_seq = seq
    head.unshown = head.unshown or seq > before
    head.restless = restless(head.status, head.ended, seq, head.seen_seq, head.owner)
    if head.before != (head.status, head.restless, head.unshown):
        rows.heads[n] = head
    return Appended(append.run_id, seq, transaction.at, bodies)


def _write(transaction: Transaction, rows: _Rows) -> None:
    database = transaction.database
    if rows.blobs:
        database.executemany(INSERT_BLOB, rows.blobs)
    transaction.write(INSERT_EVENTS, rows.events)
    transaction.write(INSERT_LARGE, rows.large)
    changed: list[tuple[Any, ...]] = []
    for n, head in rows.heads.items():
        if n not in rows.ended:  # those are written as ended
            head.before = (head.status, head.restless, head.unshown)
            changed.append((n, head.seen_seq, *head.before))
    transaction.write(_CHANGE_RUNS, changed)
    write_changes(transaction, rows.changes)


def _write_change(
    transaction: Transaction,
    run: int,
    event_id: int,
    seq: int,
    change: Received | Asked | Answered | TimerSet | TimerCleared | Spent,
) -> None:
    execute = transaction.database.execute
    match change:
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
