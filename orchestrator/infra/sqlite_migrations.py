"""Numbered migrations: `sql/0001_….sql` and on, each in one transaction together with its record.

A program killed half-way through one finds the database as it was before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import NamedTuple

from orchestrator.errors import StoreFailed


class Migration(NamedTuple):
    """One step of the schema."""

    version: int
    name: str
    script: str


def shipped() -> list[Migration]:
    """Every migration of this program, in order."""
    folder = resources.files("orchestrator.infra") / "sql"
    found = [
        Migration(int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


def migrate(database: sqlite3.Connection, path: str, migrations: Sequence[Migration]) -> None:
    """Bring the schema up to date. Several processes may try at once: one does it, the others wait.

    Raises:
        StoreFailed: the database belongs to another program, or to a newer Quartet.
    """
    if _version(database, path) == migrations[-1].version:
        return
    for migration in migrations:
        database.execute("BEGIN IMMEDIATE")
        try:
            version = _version(database, path)
            if version > migrations[-1].version:
                raise StoreFailed(  # noqa: TRY301  (rolled back below)
                    f"database {path} was made by a newer Quartet (schema {version}, this program knows "
                    f"{migrations[-1].version}); update Quartet, or set QUARTET_HOME to another folder"
                )
            if version < migration.version:
                for statement in _statements(migration.script):
                    database.execute(statement)
                database.execute(
                    "INSERT INTO migrations (version, name, applied_at) VALUES (?, ?, CURRENT_TIMESTAMP)",
                    (migration.version, migration.name),
                )
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def _version(database: sqlite3.Connection, path: str) -> int:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "migrations" not in tables:
        if tables - {"sqlite_sequence"}:
            raise StoreFailed(
                f"database {path} belongs to another program; move it away, "
                "or set QUARTET_HOME to another folder"
            )
        if not database.in_transaction:
            return 0
        database.execute(
            "CREATE TABLE migrations "
            "(version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)"
        )
    (version,) = database.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()
    return int(version)


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one: sqlite3's own executescript would commit in between."""
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""
    if part.strip():
        yield part
