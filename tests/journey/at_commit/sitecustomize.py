"""Lets a test kill the bot at a commit: Python imports this by itself where its folder is on the path.

`KILL_ORDER` names a file. While it holds `{"database", "wrote", "when"}`, the first transaction of that
database with a statement that `wrote` (a regular expression) finds is the bot's last: it is killed
"before" the commit, or right "after" it.

`CONSTANTS` may hold `{"module:NAME": value}`: what a bot waits for and a test cannot wait for.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sqlite3
from pathlib import Path
from typing import Any

CHANGES = ("INSERT", "UPDATE", "DELETE")


class Watched(sqlite3.Connection):
    """A connection that knows what its transaction has written."""

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(database, *args, **kwargs)
        self.name = Path(str(database)).name
        self.wrote: list[str] = []
        wrote = self.wrote

        def note(statement: str) -> None:
            if statement.lstrip().startswith(CHANGES):
                wrote.append(statement)

        self.set_trace_callback(note)  # is given statements with their values filled in

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        """As ever, but for the transaction that is waited for."""
        if sql not in ("COMMIT", "ROLLBACK"):
            return super().execute(sql, *args)
        when = self._ordered() if sql == "COMMIT" and self.wrote else ""
        self.wrote.clear()
        if when == "before":
            _die()
        done = super().execute(sql, *args)
        if when:
            _die()
        return done

    def _ordered(self) -> str:
        try:
            order = json.loads(ORDER.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        fits = order["database"] == self.name and re.search(order["wrote"], "\n".join(self.wrote), re.DOTALL)
        return order["when"] if fits else ""


def _die() -> None:
    ORDER.unlink()
    os.kill(os.getpid(), signal.SIGKILL)


_connect = sqlite3.connect


def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
    """`sqlite3.connect`, for connections that are watched."""
    return _connect(*args, **{"factory": Watched, **kwargs})


if os.environ.get("KILL_ORDER"):
    ORDER = Path(os.environ["KILL_ORDER"])
    sqlite3.connect = connect

for place, value in json.loads(os.environ.get("CONSTANTS") or "{}").items():
    module, _, name = place.partition(":")
    if not hasattr(importlib.import_module(module), name):
        raise AttributeError(f"there is no {name} in {module}")
    setattr(importlib.import_module(module), name, value)
