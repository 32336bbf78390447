"""How agents did, read from the log: for their records at a start, and for lists.

Plain functions that run in a reader's thread. Which agent worked on a step is in the log where the
workflow's node left it open (`AgentAssigned`), else in the definition that the run began with.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, cast

from orchestrator.events import Json
from orchestrator.ports import AgentOutcome

LOOKED_AT = 100_000  # newest events of all runs among which outcomes are looked for
UNENDED = 1_000  # newest runs at work that are looked at
MANY = 500  # values in one statement
_PLACE = "json_extract(body, '$.node'), json_extract(body, '$.visit'), json_extract(body, '$.attempt')"
_INDEX = re.compile(r"\[\d+\]$")
Attempt = tuple[int, str, int, int]  # run, node, visit, attempt


def agent_outcomes(database: sqlite3.Connection, limit: int) -> list[AgentOutcome]:
    """See `Views.agent_outcomes`."""
    since = (database.execute("SELECT max(id) FROM events").fetchone()[0] or 0) - LOOKED_AT
    rows = database.execute(
        f"""SELECT run, {_PLACE}, type, json_extract(body, '$.problem.kind'), json_extract(body, '$.seconds')
        FROM events WHERE id > ? AND type IN ('step_ended', 'step_failed') ORDER BY id DESC LIMIT ?""",
        (since, max(0, limit)),
    ).fetchall()
    assigned = dict[Attempt, str](
        ((run, node, visit, attempt), agent)
        for run, node, visit, attempt, agent in database.execute(
            f"""SELECT run, {_PLACE}, json_extract(body, '$.agent') FROM events
            WHERE id > ? AND type = 'agent_assigned'""",
            (since,),
        )
    )
    definitions = _definitions(database, {row[0] for row in rows})
    found: list[AgentOutcome] = []
    for run, node, visit, attempt, type_, kind, seconds in reversed(rows):
        agent = assigned.get((run, node, visit, attempt)) or agent_of(definitions.get(run), node)
        if agent is not None:
            outcome = "" if type_ == "step_ended" else kind or "unknown"
            found.append(AgentOutcome(agent, outcome, seconds or 0.0))
    return found


def outcomes(database: sqlite3.Connection, after: int, until: int) -> list[AgentOutcome]:
    """How attempts of agents ended between two places in the log, oldest first."""
    rows = database.execute(
        f"""SELECT run, {_PLACE}, type, json_extract(body, '$.problem.kind'), json_extract(body, '$.seconds')
        FROM events WHERE id > ? AND id <= ? AND type IN ('step_ended', 'step_failed') ORDER BY id""",
        (after, until),
    ).fetchall()
    runs = {row[0] for row in rows}
    assigned: dict[Attempt, str] = {}
    for some in _parts(runs):
        found = database.execute(
            f"""SELECT run, {_PLACE}, json_extract(body, '$.agent') FROM events
            WHERE run IN ({_marks(some)}) AND type = 'agent_assigned'""",
            some,
        )
        for run, node, visit, attempt, agent in found:
            assigned[run, node, visit, attempt] = agent
    definitions = _definitions(database, runs)
    named = (
        (assigned.get((run, node, visit, attempt)) or agent_of(definitions.get(run), node), *rest)
        for run, node, visit, attempt, *rest in rows
    )
    return [
        AgentOutcome(agent, "" if type_ == "step_ended" else kind or "unknown", seconds or 0.0)
        for agent, type_, kind, seconds in named
        if agent is not None
    ]


def agents_at_work(database: sqlite3.Connection) -> dict[str, int]:
    """See `Views.agents_at_work`."""
    runs = [
        run
        for (run,) in database.execute(
            """SELECT n FROM runs WHERE status IN ('running', 'paused') AND ended_at IS NULL
            ORDER BY n DESC LIMIT ?""",
            (UNENDED,),
        )
    ]
    at_work: dict[Attempt, str | None] = {}
    for some in _parts(runs):
        rows = database.execute(
            f"""SELECT run, {_PLACE}, type, json_extract(body, '$.agent') FROM events
            WHERE run IN ({_marks(some)}) AND type IN
                ('step_started', 'agent_assigned', 'step_ended', 'step_failed', 'step_skipped')
            ORDER BY id""",
            some,
        )
        for run, node, visit, attempt, type_, agent in rows:
            if type_ == "step_started":
                at_work[run, node, visit, attempt] = None
            elif type_ == "agent_assigned":
                at_work[run, node, visit, attempt] = agent
            elif type_ == "step_skipped":
                for other in [a for a in at_work if a[:3] == (run, node, visit)]:
                    del at_work[other]
            else:
                at_work.pop((run, node, visit, attempt), None)
    definitions = _definitions(database, {attempt[0] for attempt in at_work})
    agents = (agent or agent_of(definitions.get(run), node) for (run, node, *_), agent in at_work.items())
    return dict(Counter(agent for agent in agents if agent is not None))


def agent_of(definition: Json | None, step: str) -> str | None:
    """The agent that a definition names for a step; None: it names none.

    Args:
        definition: of the run's workflow, with those inside of it under "workflows".
        step: "node", "node[2]" in a map, "node/inner" in a workflow inside, "node[2]/inner" in both.
    """
    around = definition
    *outer, last = step.split("/")
    for part in outer:
        node = _node(around, part)
        inside = cast("dict[str, Json]", (around or {}).get("workflows") or {})
        # Inside of a workflow that is inside, names are looked up there first and then further out.
        around = inside.get(str((node or {}).get("workflow"))) or (definition or {}).get("workflows", {}).get(
            str((node or {}).get("workflow"))
        )
    node = _node(around, last)
    if node is None or (node.get("kind") == "map") != (_INDEX.search(last) is not None):
        return None  # a map does no work itself; the items of anything else undo what other agents did
    agent = node.get("agent")
    return agent if isinstance(agent, str) else None


def _node(definition: Json | None, part: str) -> Json | None:
    nodes = cast("dict[str, Json]", (definition or {}).get("nodes") or {})
    return nodes.get(_INDEX.sub("", part))


def _definitions(database: sqlite3.Connection, runs: Collection[int]) -> dict[int, Json]:
    """The definitions that runs began with, by run."""
    digests: dict[int, str] = {}
    for some in _parts(runs):
        digests |= dict(
            database.execute(
                f"""SELECT run, json_extract(body, '$.workflow_digest') FROM events
                WHERE seq = 1 AND run IN ({_marks(some)})""",
                some,
            ).fetchall()
        )
    definitions: dict[str, Json] = {}
    for some in _parts(set(digests.values())):
        rows = database.execute(
            f"SELECT digest, body FROM definitions WHERE digest IN ({_marks(some)})", some
        )
        definitions |= {digest: json.loads(body) for digest, body in rows}
    return {run: definitions[digest] for run, digest in digests.items() if digest in definitions}


def _parts(values: Iterable[Any]) -> Iterable[list[Any]]:
    every = list(values)
    return (every[start : start + MANY] for start in range(0, len(every), MANY))


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))
