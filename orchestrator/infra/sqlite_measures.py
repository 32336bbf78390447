"""Numbers for metrics, read from the log and the read models. Plain functions in a reader's thread.

Only what came since the last time is read, by the log's primary key; what is now comes from indexes.
"""

from __future__ import annotations

import sqlite3

from orchestrator.events import Usage
from orchestrator.infra.sqlite_outcomes import outcomes
from orchestrator.measures import Measured, StepDone

AT_ONCE = 50_000  # events


def log_end(database: sqlite3.Connection) -> int:
    """See `Measures.log_end`."""
    return database.execute("SELECT max(id) FROM events").fetchone()[0] or 0


def measured(database: sqlite3.Connection, after: int) -> Measured:
    """See `Measures.measured`."""
    place = min(log_end(database), after + AT_ONCE)
    within = (after, place)
    created: int = database.execute("SELECT count(*) FROM runs WHERE n > ? AND n <= ?", within).fetchone()[0]
    ended = database.execute(
        """SELECT json_extract(body, '$.status'), count(*) FROM events
        WHERE id > ? AND id <= ? AND type = 'run_ended' GROUP BY 1""",
        within,
    )
    retried = database.execute(
        """SELECT coalesce(json_extract(body, '$.status'), ''), count(*) FROM events
        WHERE id > ? AND id <= ? AND type = 'model_retried' GROUP BY 1""",
        within,
    )
    used = database.execute(
        """SELECT model, sum(input_tokens), sum(output_tokens), sum(cached_tokens), sum(calls), sum(cost_usd)
        FROM usage WHERE n > ? AND n <= ? GROUP BY model""",
        within,
    )
    unfinished = database.execute(
        """SELECT status, count(*) FROM runs WHERE status IN ('queued', 'running', 'waiting', 'paused')
        GROUP BY status"""
    )
    return Measured(
        place=place,
        created=created,
        ended=dict(ended.fetchall()),
        steps=[StepDone(*step) for step in outcomes(database, after, place)],
        retried={str(status): count for status, count in retried.fetchall()},
        usage={
            model: Usage(
                input_tokens=tokens_in, output_tokens=out, cached_tokens=cached, calls=calls, cost_usd=cost
            )
            for model, tokens_in, out, cached, calls, cost in used.fetchall()
        },
        unfinished=dict(unfinished.fetchall()),
        waiting=database.execute("SELECT count(*) FROM waiting").fetchone()[0],
        unshown=database.execute("SELECT count(*) FROM runs WHERE unshown = 1").fetchone()[0],
    )
