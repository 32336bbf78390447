"""One open write transaction: its connection, its single reading of the clock, its event numbers."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from orchestrator.infra.sqlite_codec import micros, moment


class Transaction:
    """Lives from BEGIN IMMEDIATE to COMMIT, in the writer's thread."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        last: tuple[int, int] | None = database.execute(
            "SELECT id, at FROM events ORDER BY id DESC LIMIT 1"
        ).fetchone()
        self._last_id, last_at = last or (0, 0)
        # Read while the write lock is held, so that times follow the order of commits, whatever process
        # commits; a clock that was set back does not turn them round.
        self.at_us = max(micros(datetime.now(UTC)), last_at + 1)
        self.at = moment(self.at_us)

    def next_id(self) -> int:
        """The next event's number over all runs. Nobody else writes while the transaction is open."""
        self._last_id += 1
        return self._last_id
