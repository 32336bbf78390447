"""The page's own file, `web.db`: each change gets the next number of one counter.

By that number (`version`) a page that was away asks for what it missed.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from adapters.database import Database

SCHEMA = Path(__file__).with_name("schema.sql")


def web_database(folder: Path) -> Database:
    """The file in `folder`."""
    return Database(folder / "web.db", SCHEMA)


def next_version(db: sqlite3.Connection) -> int:
    """Raise the counter of changes, inside a write."""
    row = db.execute("UPDATE counter SET version = version + 1 RETURNING version").fetchone()
    return int(row["version"])
