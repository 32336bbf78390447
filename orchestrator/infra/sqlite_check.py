"""Whether a file can be the database, found out without changing it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from orchestrator.infra.sqlite_connections import failure
from orchestrator.infra.sqlite_migrations import shipped


def database_flaw(path: Path) -> str:
    """Why this file cannot be the database, and what to do; "" if it can, or is not there yet."""
    if not path.exists():
        return ""
    # Where no log lies beside the file, nobody has it open: then not even a lock file needs to be made.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, timeout=2)) as database:
            database.execute("PRAGMA schema_version").fetchone()
            tables = {n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "migrations" not in tables:
                foreign = tables - {"sqlite_sequence"}
                remedy = "move it away, or set QUARTET_HOME to another folder"
                return f"database {path} belongs to another program; {remedy}" if foreign else ""
            (version,) = database.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()
    except sqlite3.DatabaseError as error:
        return str(failure(path, error))
    newest = shipped()[-1].version
    if version > newest:
        return (
            f"database {path} was made by a newer Quartet (schema {version}, this program knows {newest}); "
            "update Quartet, or set QUARTET_HOME to another folder"
        )
    return ""
