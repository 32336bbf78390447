"""Webhooks and their notices. Plain functions in a connection's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import structlog

from orchestrator.errors import Refused, UnknownEvent
from orchestrator.events import RunId
from orchestrator.infra.sqlite_codec import micros, moment
from orchestrator.infra.sqlite_log import blob_reader, decoded
from orchestrator.infra.sqlite_transaction import Transaction
from orchestrator.webhooks import (
    Attempt,
    LogEntry,
    LogPart,
    NewNotice,
    NewWebhook,
    Notice,
    NoticePage,
    NoticeState,
    Webhook,
)

log = structlog.get_logger(__name__)

WINDOW: Final = 5_000  # events that are looked through at once; most are of no interest
_WEBHOOK = (
    "SELECT id, url, kinds, secret, digest, made_at, made_by, state, note, event, failures, failing_since "
    "FROM webhooks"
)
_NOTICE = (
    "SELECT id, webhook, run_id, kind, body, at, state, attempts, aside, due, status, problem, n "
    "FROM notices AS this"
)
_LAST_EVENT = "SELECT coalesce(max(id), 0) FROM events"
# What a fork shares with the run it comes from was committed together with its creation.
_OWN = "(e.at > runs.created_at OR e.type IN ('run_created', 'run_started'))"
_PUT_NOTICE = """INSERT INTO notices
    (id, webhook, event, run_id, kind, body, at, state, attempts, aside, due, status, problem)
    VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting', 0, 0, ?, 0, '')
    ON CONFLICT (id) DO UPDATE SET state = 'waiting', attempts = 0, aside = 0, due = excluded.due"""
# An earlier one of the same run has to be through first. Notices of no run (pings) wait for none.
_NEXT = f"""{_NOTICE} WHERE webhook = :webhook AND state = 'waiting' AND (aside = 0 OR due <= :now)
    AND (run_id = '' OR NOT EXISTS (
        SELECT 1 FROM notices AS earlier WHERE earlier.webhook = this.webhook AND earlier.state = 'waiting'
        AND earlier.run_id = this.run_id AND (earlier.event, earlier.n) < (this.event, this.n)))
    ORDER BY event, n LIMIT 2"""


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────


def add_webhook(transaction: Transaction, new: NewWebhook, most: int) -> Webhook:
    """See `Webhooks.add_webhook`."""
    database = transaction.database
    before = webhook(database, new.id)
    if before is not None:
        return before
    (count,) = database.execute("SELECT count(*) FROM webhooks WHERE state <> 'removed'").fetchone()
    if count >= most:
        raise Refused(f"there are {most} webhooks already; remove one first")
    (event,) = database.execute(_LAST_EVENT).fetchone()
    database.execute(
        "INSERT INTO webhooks VALUES (?, ?, ?, ?, ?, ?, ?, 'on', '', ?, 0, NULL)",
        (
            new.id,
            new.url,
            json.dumps(list(new.kinds)),
            new.secret,
            new.digest,
            transaction.at_us,
            new.made_by,
            event,
        ),
    )
    return _there(database, new.id)


def webhook(database: sqlite3.Connection, webhook_id: str) -> Webhook | None:
    """See `Webhooks.webhook`."""
    row = database.execute(f"{_WEBHOOK} WHERE id = ?", (webhook_id,)).fetchone()
    return None if row is None else _webhook(row)


def webhooks(database: sqlite3.Connection) -> list[Webhook]:
    """See `Webhooks.webhooks`."""
    rows = database.execute(f"{_WEBHOOK} WHERE state <> 'removed' ORDER BY made_at, id").fetchall()
    return [_webhook(row) for row in rows]


def change_webhook(
    transaction: Transaction,
    webhook_id: str,
    url: str | None,
    kinds: Sequence[str] | None,
    state: str | None,
    note: str,
) -> Webhook | None:
    """See `Webhooks.change_webhook`."""
    database = transaction.database
    row = webhook(database, webhook_id)
    if row is None or row.state == "removed":
        return None
    if url is not None:
        database.execute("UPDATE webhooks SET url = ? WHERE id = ?", (url, webhook_id))
    if kinds is not None:
        database.execute("UPDATE webhooks SET kinds = ? WHERE id = ?", (json.dumps(list(kinds)), webhook_id))
    if state is not None and state != row.state:
        database.execute("UPDATE webhooks SET state = ?, note = ? WHERE id = ?", (state, note, webhook_id))
        if state == "on":
            database.execute(
                f"UPDATE webhooks SET event = ({_LAST_EVENT}), failures = 0, failing_since = NULL "
                "WHERE id = ?",
                (webhook_id,),
            )
            _hurry(database, webhook_id, transaction.at_us)
    return _there(database, webhook_id)


def remove_webhook(transaction: Transaction, webhook_id: str) -> bool:
    """See `Webhooks.remove_webhook`. The row stays: the call that made it may come again."""
    done = transaction.database.execute(
        "UPDATE webhooks SET state = 'removed', secret = x'' WHERE id = ? AND state <> 'removed'",
        (webhook_id,),
    )
    transaction.database.execute("DELETE FROM notices WHERE webhook = ?", (webhook_id,))
    return done.rowcount == 1


def _there(database: sqlite3.Connection, webhook_id: str) -> Webhook:
    found = webhook(database, webhook_id)
    assert found is not None  # looked at or written in this transaction
    return found


# ── making notices ───────────────────────────────────────────────────────────────────────────


def log_behind(database: sqlite3.Connection, event: int, types: Collection[str], limit: int) -> LogPart:
    """See `Webhooks.log_behind`."""
    (last,) = database.execute(_LAST_EVENT).fetchone()
    upper = min(last, event + WINDOW)
    rows = database.execute(
        "SELECT e.id, runs.id, conversation_id, workflow, e.seq, e.at, e.type, e.v, e.body, e.large "
        f"FROM events AS e JOIN runs ON runs.n = e.run WHERE e.id > ? AND e.id <= ? AND {_OWN} "
        "AND e.type IN (SELECT value FROM json_each(?)) ORDER BY e.id LIMIT ?",
        (event, upper, json.dumps(list(types)), limit),
    ).fetchall()
    reached = rows[-1][0] if len(rows) == limit else max(upper, event)
    load = blob_reader(database)
    entries: list[LogEntry] = []
    for n, run_id, conversation_id, workflow, *row in rows:
        try:
            (read,) = decoded(RunId(run_id), [tuple(row)], load)
        except UnknownEvent as error:
            log.warning("an event was told to nobody", action="notice_unread", error=str(error))
            continue
        entries.append(LogEntry(n, read, conversation_id, workflow))
    return LogPart(entries, reached, more=reached < last)


def add_notices(
    transaction: Transaction, webhook_id: str, notices: Sequence[NewNotice], behind: int, event: int
) -> bool:
    """See `Webhooks.add_notices`."""
    moved = transaction.database.execute(
        "UPDATE webhooks SET event = ? WHERE id = ? AND event = ? AND state = 'on'",
        (event, webhook_id, behind),
    )
    if moved.rowcount != 1:
        return False
    for notice in notices:
        _put(transaction, webhook_id, notice)
    return True


def add_notice(transaction: Transaction, webhook_id: str, new: NewNotice) -> None:
    """See `Webhooks.add_notice`."""
    _put(transaction, webhook_id, new)


def _put(transaction: Transaction, webhook_id: str, new: NewNotice) -> None:
    row = (new.id, webhook_id, new.event, new.run_id, new.kind, new.body, micros(new.at), transaction.at_us)
    transaction.database.execute(_PUT_NOTICE, row)


# ── sending ──────────────────────────────────────────────────────────────────────────────────


def next_notices(database: sqlite3.Connection, webhook_id: str, now: datetime) -> list[Notice]:
    """See `Webhooks.next_notices`."""
    rows = database.execute(_NEXT, {"webhook": webhook_id, "now": micros(now)}).fetchall()
    return [_notice(row) for row in rows]


def note_attempt(transaction: Transaction, attempt: Attempt) -> None:
    """See `Webhooks.note_attempt`."""
    database = transaction.database
    row = database.execute("SELECT webhook FROM notices WHERE id = ?", (attempt.notice_id,)).fetchone()
    if row is None:
        return  # its webhook was removed meanwhile
    database.execute(
        "UPDATE notices SET attempts = attempts + 1, state = ?, due = ?, status = ?, problem = ?, aside = ? "
        "WHERE id = ? AND state = 'waiting'",
        (
            attempt.state,
            micros(attempt.due),
            attempt.status,
            attempt.problem,
            int(attempt.aside),
            attempt.notice_id,
        ),
    )
    if attempt.state != "sent":
        if attempt.counts:
            database.execute(
                "UPDATE webhooks SET failures = failures + 1, failing_since = coalesce(failing_since, ?) "
                "WHERE id = ?",
                (micros(attempt.at), row[0]),
            )
        return
    well = database.execute(
        "UPDATE webhooks SET failures = 0, failing_since = NULL WHERE id = ? AND failures > 0", (row[0],)
    )
    if well.rowcount:
        _hurry(database, row[0], micros(attempt.at))


def _hurry(database: sqlite3.Connection, webhook_id: str, at_us: int) -> None:
    """What waits in line is due now."""
    database.execute(
        "UPDATE notices SET due = min(due, ?) WHERE webhook = ? AND state = 'waiting' AND aside = 0",
        (at_us, webhook_id),
    )


# ── looking, replaying, forgetting ───────────────────────────────────────────────────────────


def notice(database: sqlite3.Connection, notice_id: str) -> Notice | None:
    """See `Webhooks.notice`."""
    row = database.execute(f"{_NOTICE} WHERE id = ?", (notice_id,)).fetchone()
    return None if row is None else _notice(row)


def notices(
    database: sqlite3.Connection, webhook_id: str, state: NoticeState | None, limit: int, cursor: str | None
) -> NoticePage:
    """See `Webhooks.notices`. The cursor is the number of the last one shown."""
    where, values = "webhook = ?", list[Any]([webhook_id])
    if state is not None:
        where += " AND state = ?"
        values.append(state)
    if cursor is not None:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
            raise Refused(f"{cursor[:40]!r} is no cursor; pass `next` of the page before, or none")
        where += " AND n < ?"
        values.append(int(cursor))
    rows = database.execute(
        f"{_NOTICE} WHERE {where} ORDER BY n DESC LIMIT ?", (*values, limit + 1)
    ).fetchall()
    following = str(rows[limit - 1][-1]) if len(rows) > limit else None
    return NoticePage([_notice(row) for row in rows[:limit]], following)


def replay_notice(transaction: Transaction, webhook_id: str, notice_id: str) -> bool:
    """See `Webhooks.replay_notice`."""
    done = transaction.database.execute(
        "UPDATE notices SET state = 'waiting', attempts = 0, aside = 0, due = ? WHERE id = ? AND webhook = ?",
        (transaction.at_us, notice_id, webhook_id),
    )
    return done.rowcount == 1


def replay_since(transaction: Transaction, webhook_id: str, since: datetime) -> bool:
    """See `Webhooks.replay_since`. Times follow the order of commits: the search goes back from the end."""
    database = transaction.database
    found = database.execute(
        "SELECT id FROM events WHERE at < ? ORDER BY id DESC LIMIT 1", (micros(since),)
    ).fetchone()
    done = database.execute(
        "UPDATE webhooks SET event = min(event, ?) WHERE id = ? AND state = 'on'",
        (found[0] if found else 0, webhook_id),
    )
    return done.rowcount == 1


def prune_notices(transaction: Transaction, before: datetime) -> int:
    """See `Webhooks.prune_notices`. Some at a time: others want to write too."""
    return transaction.database.execute(
        "DELETE FROM notices WHERE n IN (SELECT n FROM notices WHERE due < ? LIMIT 1000)", (micros(before),)
    ).rowcount


def _webhook(row: tuple[Any, ...]) -> Webhook:
    key, url, kinds, secret, digest, made_at, made_by, state, note, event, failures, since = row
    return Webhook(
        id=key,
        url=url,
        kinds=tuple(json.loads(kinds)),
        secret=bytes(secret),
        digest=digest,
        made_at=moment(made_at),
        made_by=made_by,
        state=state,
        note=note,
        event=event,
        failures=failures,
        failing_since=None if since is None else moment(since),
    )


def _notice(row: tuple[Any, ...]) -> Notice:
    key, webhook_id, run_id, kind, body, at, state, attempts, aside, due, status, problem, _ = row
    return Notice(
        id=key,
        webhook=webhook_id,
        run_id=run_id,
        kind=kind,
        body=body,
        at=moment(at),
        state=state,
        attempts=attempts,
        aside=bool(aside),
        due=moment(due),
        status=status,
        problem=problem,
    )
