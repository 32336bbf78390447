"""The log's other works: accept a turn, claim and release runs, read events, definitions, blobs.

Functions named like writes take a `Transaction` and check before they write; reads take a
connection. All run in a connection's thread.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from orchestrator.errors import NotFound, OrchestratorError, Refused
from orchestrator.events import Body, Json, RunCreated, RunEvent, RunId, RunStarted
from orchestrator.infra.projection import Change, changes
from orchestrator.infra.sqlite_append import (
    INSERT_BLOB,
    INSERT_EVENTS,
    INSERT_LARGE,
    Append,
    append_all,
    write_changes,
)
from orchestrator.infra.sqlite_codec import EXCERPT, Encoded, decode, encode, moment
from orchestrator.infra.sqlite_heads import LAST, Head
from orchestrator.infra.sqlite_owners import Owners
from orchestrator.infra.sqlite_transaction import Transaction, Work
from orchestrator.ports import Accepted

_STARTED = encode(RunStarted())[:3]
FIRST_EPOCH = 1  # of a run that is claimed in the moment in which it is accepted
SHORT = 4  # events of a log that is read in the transaction that claims its run
EventRow = tuple[int, int, str, int, str, "str | None"]
_EVENTS = "SELECT seq, at, type, v, body, large FROM events"
INSERT_RUNS = """INSERT INTO runs (n, id, conversation_id, position, workflow, created_at, excerpt, who,
    status, restless, seen_seq, unshown, epoch, presented, owner) VALUES {rows}"""
_KNOWN = "SELECT key, run_id FROM inbox WHERE key IN ({values})"
_TAKEN = "SELECT id FROM runs WHERE id IN ({values})"
_LAST_POSITIONS = (
    "SELECT conversation_id, max(position) FROM turns WHERE conversation_id IN ({values}) GROUP BY 1"
)
_UNFINISHED = """SELECT conversation_id, count(*) FROM runs WHERE conversation_id IN ({values})
    AND ended_at IS NULL GROUP BY 1"""
# One row each for all runs, as in sqlite_append.
_CLAIMED = f"""SELECT json_group_array(
    json_array(id, n, epoch, position, {LAST}, owner, ended_at IS NOT NULL)) FROM runs
    WHERE id IN (SELECT value FROM json_each(?))"""
_SHORT_LOGS = """SELECT json_group_array(json_array(run, seq, at, type, v, body, large))
    FROM events WHERE run IN (SELECT value FROM json_each(?))"""
_RAISE_EPOCHS = """UPDATE runs SET epoch = v.column2, owner = v.column3,
    restless = restless OR status = 'running' FROM (VALUES {rows}) AS v WHERE n = v.column1"""


@dataclass(slots=True)
class Accept(Work[Accepted]):
    """A turn that a caller wants accepted. Encoded by the caller, as appends are."""

    run_id: RunId
    created: RunCreated
    encoded: Encoded
    past: Sequence[Body] = ()  # of a forked run
    owner: str | None = None  # who has the run in hand from the start, if it begins; None: whoever claims it

    @staticmethod
    def together(transaction: Transaction, wanted: Sequence[Accept]) -> list[Accepted | OrchestratorError]:
        """See `Log.accept`, of many turns."""
        keys: dict[str, str] = dict(transaction.of(_KNOWN, (a.created.turn.key for a in wanted)))
        taken = {run_id for (run_id,) in transaction.of(_TAKEN, (a.run_id for a in wanted))}
        conversations = {a.created.conversation_id for a in wanted}
        last: dict[str, int] = dict(transaction.of(_LAST_POSITIONS, conversations))
        behind: dict[str, int] = dict(transaction.of(_UNFINISHED, conversations))
        rows = _NewRuns()
        outcomes: list[Accepted | OrchestratorError | None] = []
        for each in wanted:
            key, conversation = each.created.turn.key, each.created.conversation_id
            if keys.get(key):
                outcomes.append(None)
            elif each.run_id in taken:
                outcomes.append(Refused(f"there is a run {each.run_id!r} already; make another id"))
            else:
                earlier = behind.get(conversation, 0)
                position = last[conversation] = last.get(conversation, 0) + 1
                behind[conversation] = earlier + 1
                keys[key] = each.run_id
                taken.add(each.run_id)
                rows.add(transaction, each, position, start=not earlier)
                begun = () if each.past else _begun(each, transaction.at, start=not earlier)
                outcomes.append(Accepted(each.run_id, False, earlier, begun, position))
        rows.write(transaction)
        for each, outcome in zip(wanted, outcomes, strict=True):
            if outcome is not None and each.past and not isinstance(outcome, OrchestratorError):
                _relive(transaction, each)
        return [
            _known(transaction, RunId(keys[each.created.turn.key])) if outcome is None else outcome
            for each, outcome in zip(wanted, outcomes, strict=True)
        ]


def _begun(accept: Accept, at: datetime, *, start: bool) -> tuple[RunEvent, ...]:
    created = RunEvent(accept.run_id, 1, at, accept.created)
    return (created, RunEvent(accept.run_id, 2, at, RunStarted())) if start else (created,)


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


class _NewRuns:
    """Rows of new runs: their first facts, their places in conversations."""

    def __init__(self) -> None:
        self._inbox: list[tuple[str, RunId]] = []
        self._blobs: list[tuple[str, bytes]] = []
        self._events: list[tuple[Any, ...]] = []
        self._large: list[tuple[Any, ...]] = []
        self._runs: list[tuple[Any, ...]] = []
        self._turns: list[tuple[str, int, int]] = []
        self._changes: list[tuple[int, int, int, Change]] = []

    def add(self, transaction: Transaction, accept: Accept, position: int, *, start: bool) -> None:
        """One more run, begun or queued."""
        created, encoded = accept.created, accept.encoded
        at, n = transaction.at_us, transaction.next_ids(2 if start else 1)
        *row, large, blobs = encoded
        self._inbox.append((created.turn.key, accept.run_id))
        self._blobs.extend(blobs)
        if large is None:
            self._events.append((n, n, 1, at, *row))
        else:
            self._large.append((n, n, 1, at, *row, large))
        if start:
            self._events.append((n + 1, n, 2, at, *_STARTED))
        for change in changes(created):
            self._changes.append((n, n, 1, change))
        owner = accept.owner if start and not accept.past else None
        if owner is not None:  # the first append comes soon, and need not read the row
            head = Head(n, 2, 0, "running", True, True, FIRST_EPOCH, owner, created.conversation_id, False)
            transaction.heads.learn(accept.run_id, head)
        self._runs.append(run_row(n, accept.run_id, created, position, at, started=start, owner=owner))
        self._turns.append((created.conversation_id, position, n))

    def write(self, transaction: Transaction) -> None:
        """Write all of them."""
        if self._blobs:
            transaction.database.executemany(INSERT_BLOB, self._blobs)
        transaction.write("INSERT OR REPLACE INTO inbox (key, run_id) VALUES {rows}", self._inbox)
        transaction.write(INSERT_EVENTS, self._events)
        transaction.write(INSERT_LARGE, self._large)
        transaction.write(INSERT_RUNS, self._runs)
        transaction.write("INSERT INTO turns (conversation_id, position, run) VALUES {rows}", self._turns)
        write_changes(transaction, self._changes)


def _relive(transaction: Transaction, accept: Accept) -> None:
    """Append what a forked run shares with the one it comes from, in the transaction that creates it."""
    rows = [encode(body) for body in accept.past]
    done = append_all(transaction, [Append(accept.run_id, accept.past, rows, None, None, None)])
    if isinstance(done[0], OrchestratorError):
        raise done[0]


def run_row(
    n: int,
    run_id: RunId,
    created: RunCreated,
    position: int,
    at: int,
    *,
    started: bool,
    owner: str | None = None,
) -> tuple[Any, ...]:
    """A run's row for `INSERT_RUNS`, queued or begun, and claimed if it has an owner."""
    row = (n, run_id, created.conversation_id, position, created.workflow, at)
    turn = (created.turn.text[:EXCERPT], created.turn.who.key)
    begun = ("running", 1) if started else ("queued", 0)
    return (*row, *turn, *begun, 0, 1, FIRST_EPOCH if owner else 0, 0, owner)


def _known(transaction: Transaction, run_id: RunId) -> Accepted:
    (behind,) = transaction.database.execute(
        "SELECT count(*) FROM runs AS earlier JOIN runs AS mine USING (conversation_id) WHERE mine.id = ? "
        "AND mine.ended_at IS NULL AND earlier.ended_at IS NULL AND earlier.position < mine.position",
        (run_id,),
    ).fetchone()
    return Accepted(run_id, duplicate=True, queued_behind=behind)


class Taken(NamedTuple):
    """A claimed run."""

    epoch: int
    position: int
    rows: list[EventRow] | None  # of a short log


@dataclass(slots=True)
class Claim(Work["Taken | None"]):
    """A run that a caller wants for this process."""

    run_id: RunId
    owners: Owners

    @staticmethod
    def together(transaction: Transaction, wanted: Sequence[Claim]) -> list[Taken | OrchestratorError | None]:
        """See `Log.claim`. Short logs come along, as new runs have; long ones would hold writers up."""
        (found,) = transaction.database.execute(
            _CLAIMED, (json.dumps([c.run_id for c in wanted]),)
        ).fetchone()
        runs = {run_id: row for run_id, *row in json.loads(found)}
        epochs: dict[int, tuple[int, int, str]] = {}
        outcomes: list[tuple[int, int, int, int] | OrchestratorError | None] = []
        for each in wanted:
            if each.run_id not in runs:
                outcomes.append(NotFound(f"there is no run {each.run_id!r}; `quartet runs` lists them"))
                continue
            n, epoch, position, seq, owner, ended = runs[each.run_id]
            mine = each.owners.me
            if ended or (owner is not None and owner != mine and each.owners.lives(owner)):
                outcomes.append(None)
                continue
            runs[each.run_id][1] = epoch + 1
            epochs[n] = (n, epoch + 1, mine)
            outcomes.append((n, epoch + 1, position, seq))
        transaction.write(_RAISE_EPOCHS, list(epochs.values()))
        transaction.heads.forget([c.run_id for c in wanted])
        logs = _short_logs(transaction, {o[0] for o in outcomes if isinstance(o, tuple) and o[3] <= SHORT})
        return [Taken(o[1], o[2], logs.get(o[0])) if isinstance(o, tuple) else o for o in outcomes]


def _short_logs(transaction: Transaction, runs: Iterable[int]) -> dict[int, list[EventRow]]:
    (found,) = transaction.database.execute(_SHORT_LOGS, (json.dumps(list(runs)),)).fetchone()
    logs: dict[int, list[EventRow]] = {}
    for run, *row in json.loads(found):
        logs.setdefault(run, []).append(tuple(row))
    for rows in logs.values():
        rows.sort()
    return logs


def release(transaction: Transaction, run_id: RunId, epoch: int, seen: int | None) -> None:
    """See `Log.release`. An owner whose epoch has passed releases nothing."""
    transaction.database.execute(
        f"""UPDATE runs SET owner = NULL, seen_seq = :seen,
            restless = ended_at IS NULL AND max(:seen, status = 'queued') < {LAST}
        WHERE id = :run_id AND epoch = :epoch AND owner IS NOT NULL""",
        # Nothing known to be seen: as if nobody had ever looked.
        {"run_id": run_id, "epoch": epoch, "seen": seen or 0},
    )


def events(
    database: sqlite3.Connection, run_id: RunId, after: int, limit: int | None = None
) -> list[RunEvent]:
    """See `Log.events`."""
    rows = database.execute(
        f"{_EVENTS} WHERE run = (SELECT n FROM runs WHERE id = ?) AND seq > ? ORDER BY seq LIMIT ?",
        (run_id, after, -1 if limit is None else limit),
    ).fetchall()
    return decoded(run_id, rows, blob_reader(database))


def decoded(run_id: RunId, rows: Iterable[EventRow], load: Callable[[str], bytes | None]) -> list[RunEvent]:
    """A run's events from their rows. Pure but for `load`, which reads a blob."""
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
            f"SELECT id, {LAST} FROM runs WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(run_ids),),
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
