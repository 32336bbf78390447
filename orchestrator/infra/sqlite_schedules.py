"""What starts by the clock. Plain functions in a connection's thread."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any

from orchestrator.events import Who
from orchestrator.infra.sqlite_codec import micros, moment
from orchestrator.infra.sqlite_transaction import Transaction
from orchestrator.ports import Schedule, ScheduleState

_COLUMNS = (
    "id, conversation_id, workflow, cron, zone, text, inputs, priority, who, who_name, groups, is_admin, "
    "state, note, due, last_run, at"
)


def add_schedule(transaction: Transaction, new: Schedule) -> bool:
    """See `Schedules.add_schedule`."""
    done = transaction.database.execute(
        f"INSERT OR IGNORE INTO schedules ({_COLUMNS}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.id,
            new.conversation_id,
            new.workflow,
            new.cron,
            new.zone,
            new.text,
            json.dumps(dict(new.inputs), ensure_ascii=False),
            new.priority,
            new.who.key,
            new.who.name,
            json.dumps(list(new.groups)),
            int(new.is_admin),
            new.state,
            new.note,
            micros(new.due),
            new.last_run,
            transaction.at_us,
        ),
    )
    return done.rowcount == 1


def schedule(database: sqlite3.Connection, schedule_id: str) -> Schedule | None:
    """See `Schedules.schedule`."""
    row = database.execute(f"SELECT {_COLUMNS} FROM schedules WHERE id = ?", (schedule_id,)).fetchone()
    return None if row is None else _schedule(row)


def schedules(database: sqlite3.Connection) -> list[Schedule]:
    """See `Schedules.schedules`."""
    rows = database.execute(f"SELECT {_COLUMNS} FROM schedules WHERE state <> 'removed' ORDER BY at, id")
    return [_schedule(row) for row in rows.fetchall()]


def schedules_due(database: sqlite3.Connection, until: datetime) -> list[Schedule]:
    """See `Schedules.schedules_due`."""
    rows = database.execute(
        f"SELECT {_COLUMNS} FROM schedules WHERE state = 'on' AND due <= ? ORDER BY due, id", (micros(until),)
    )
    return [_schedule(row) for row in rows.fetchall()]


def schedule_done(
    transaction: Transaction, schedule_id: str, due: datetime, following: datetime, run_id: str
) -> bool:
    """See `Schedules.schedule_done`."""
    done = transaction.database.execute(
        "UPDATE schedules SET due = ?, last_run = CASE WHEN ? = '' THEN last_run ELSE ? END "
        "WHERE id = ? AND due = ? AND state = 'on'",
        (micros(following), run_id, run_id, schedule_id, micros(due)),
    )
    return done.rowcount == 1


def set_schedule(
    transaction: Transaction, schedule_id: str, state: ScheduleState, note: str, due: datetime | None
) -> bool:
    """See `Schedules.set_schedule`."""
    done = transaction.database.execute(
        "UPDATE schedules SET state = ?, note = ?, due = coalesce(?, due) "
        "WHERE id = ? AND state <> 'removed'",
        (state, note, None if due is None else micros(due), schedule_id),
    )
    return done.rowcount == 1


def _schedule(row: tuple[Any, ...]) -> Schedule:
    (
        key, conversation, workflow, cron, zone, text, inputs, priority, who, who_name, groups, is_admin,
        state, note, due, last_run, at,
    ) = row  # fmt: skip
    return Schedule(
        id=key,
        conversation_id=conversation,
        workflow=workflow,
        cron=cron,
        zone=zone,
        text=text,
        inputs=json.loads(inputs),
        priority=priority,
        who=Who(key=who, name=who_name),
        groups=tuple(json.loads(groups)),
        is_admin=bool(is_admin),
        state=state,
        note=note,
        due=moment(due),
        last_run=last_run,
        at=moment(at),
    )
