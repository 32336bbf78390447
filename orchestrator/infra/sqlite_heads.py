"""Runs' rows as far as appends need them, kept by the writer from one transaction to the next.

A busy run is appended to again and again; its row is read once, then what is stored is known. What
another process commits changes SQLite's `data_version`; what works of our own write to runs beside
appends they tell by `forget`. Nothing kept is believed longer than that.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from orchestrator.events import RunId, RunStatus

MOST = 1000  # rows kept; beyond it all are read anew
# A run's last event. Looked up where somebody asks: kept in the run's row, it would have to be written
# with every step, at half the price of the step itself.
LAST = "(SELECT max(seq) FROM events WHERE run = runs.n)"
# One row for all runs: a step of a statement gives up the interpreter's lock, and to get it back takes long.
_HEADS = f"""SELECT json_group_array(json_array(id, n, {LAST}, seen_seq, status, restless, unshown, epoch,
    owner, conversation_id, ended_at IS NOT NULL)) FROM runs WHERE id IN (SELECT value FROM json_each(?))"""


class Head:
    """A run's row as far as appends need it. Made for every append, hence without a dataclass's detours."""

    __slots__ = (
        "before",
        "conversation_id",
        "ended",
        "epoch",
        "n",
        "owner",
        "restless",
        "seen_seq",
        "seq",
        "status",
        "unshown",
    )

    def __init__(
        self,
        n: int,
        seq: int,
        seen_seq: int,
        status: RunStatus,
        restless: bool,
        unshown: bool,
        epoch: int,
        owner: str | None,
        conversation_id: str,
        ended: bool,
    ) -> None:
        self.n = n
        self.seq = seq
        self.seen_seq = seen_seq
        self.status: RunStatus = status
        self.restless = restless
        self.unshown = unshown
        self.epoch = epoch
        self.owner = owner
        self.conversation_id = conversation_id
        self.ended = ended
        self.before = (
            status,
            restless,
            unshown,
        )  # as stored; these have an index, so only changes are written


class Heads:
    """The rows that are known. Belongs to the writer's connection, and is used in its thread alone."""

    def __init__(self) -> None:
        self._known: dict[RunId, Head] = {}
        self._version: int | None = None

    def begin(self, database: sqlite3.Connection) -> None:
        """At the start of each transaction, the write lock held: forget all if somebody else wrote."""
        (version,) = database.execute("PRAGMA data_version").fetchone()
        if version != self._version or len(self._known) > MOST:
            self._known.clear()
        self._version = version

    def of(self, database: sqlite3.Connection, run_ids: Iterable[RunId]) -> dict[RunId, Head]:
        """The rows of those runs that there are. Who changes one stores it in the same transaction."""
        known = self._known
        wanted = set(run_ids)
        unknown = wanted - known.keys()
        if unknown:
            (found,) = database.execute(_HEADS, (json.dumps(list(unknown)),)).fetchone()
            known.update({row[0]: Head(*row[1:]) for row in json.loads(found)})
        return {run_id: known[run_id] for run_id in wanted if run_id in known}

    def learn(self, run_id: RunId, head: Head) -> None:
        """A row that is written in this transaction."""
        self._known[run_id] = head

    def forget(self, run_ids: Iterable[RunId] | None = None) -> None:
        """These rows change otherwise; None: any may."""
        if run_ids is None:
            self._known.clear()
        else:
            for run_id in run_ids:
                self._known.pop(run_id, None)


def restless(status: RunStatus, ended: bool, seq: int, seen_seq: int, owner: str | None) -> bool:
    """Whether somebody has to look at a run.

    One that has not ended, and whose log holds something that no owner is known to have folded (in a
    queued one: besides its creation), or that an owner has in hand. At rest are those given back with
    everything seen.
    """
    if ended:
        return False
    if status == "queued":  # its first event needs nobody; a stop does
        return seq > max(1, seen_seq)
    return seen_seq < seq or (owner is not None and status == "running")
