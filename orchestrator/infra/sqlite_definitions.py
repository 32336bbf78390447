"""The versions of workflows. Plain functions in a connection's thread; rows are only added."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from orchestrator.events import Who
from orchestrator.infra.sqlite_codec import moment
from orchestrator.infra.sqlite_transaction import Transaction
from orchestrator.ports import NewVersion, WorkflowVersion

_COLUMNS = "name, version, origin, source, digest, definition, who, who_name, note, at"


def add_version(transaction: Transaction, new: NewVersion, definition: str | None) -> int:
    """See `Definitions.add_version`.

    Args:
        definition: the same as in `new`, as JSON text.
    """
    database = transaction.database
    if new.origin == "file":
        # Compared with what this file said last: people may have gone back behind it since.
        last = database.execute(
            "SELECT version, digest FROM workflow_versions WHERE name = ? AND origin = 'file' AND source = ? "
            "ORDER BY n DESC LIMIT 1",
            (new.name, new.source),
        ).fetchone()
        if last is not None and last[1] == new.digest:
            return int(last[0])
    newest = database.execute(
        "SELECT version, digest, definition FROM workflow_versions WHERE name = ? ORDER BY n DESC LIMIT 1",
        (new.name,),
    ).fetchone()
    if newest is not None and newest[1:] == (new.digest, definition) and new.origin != "file":
        return int(newest[0])
    version = 1 if newest is None else int(newest[0]) + 1
    who, who_name = ("", "") if new.who is None else (new.who.key, new.who.name)
    database.execute(
        f"INSERT INTO workflow_versions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.name,
            version,
            new.origin,
            new.source,
            new.digest,
            definition,
            who,
            who_name,
            new.note,
            transaction.at_us,
        ),
    )
    return version


def workflow_versions(database: sqlite3.Connection, name: str) -> list[WorkflowVersion]:
    """See `Definitions.workflow_versions`."""
    rows = database.execute(
        f"SELECT {_COLUMNS} FROM workflow_versions WHERE name = ? ORDER BY version", (name,)
    )
    return [_version(row) for row in rows.fetchall()]


def newest_versions(database: sqlite3.Connection) -> list[WorkflowVersion]:
    """See `Definitions.newest_versions`."""
    rows = database.execute(
        f"SELECT {_COLUMNS} FROM workflow_versions "
        "WHERE (name, version) IN (SELECT name, max(version) FROM workflow_versions GROUP BY name) "
        "ORDER BY name"
    )
    return [_version(row) for row in rows.fetchall()]


def versions_mark(database: sqlite3.Connection) -> int:
    """See `Definitions.versions_mark`."""
    (mark,) = database.execute("SELECT coalesce(max(n), 0) FROM workflow_versions").fetchone()
    return int(mark)


def _version(row: tuple[Any, ...]) -> WorkflowVersion:
    name, version, origin, source, digest, definition, who, who_name, note, at = row
    return WorkflowVersion(
        name=name,
        version=version,
        origin=origin,
        source=source,
        digest=digest,
        definition=None if definition is None else json.loads(definition),
        who=Who(key=who, name=who_name) if who else None,
        note=note,
        at=moment(at),
    )
