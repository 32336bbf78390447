"""Lists, answered from the read models. Plain functions that run in a reader's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, TypeVar

from orchestrator.errors import Refused
from orchestrator.events import (
    WITHDRAWN,
    ApprovalId,
    ApprovalRequested,
    ApprovalResolved,
    Body,
    Line,
    RunCreated,
    RunEnded,
    RunId,
    RunStatus,
    Usage,
)
from orchestrator.infra.sqlite_codec import decode, micros, moment
from orchestrator.infra.sqlite_heads import LAST
from orchestrator.infra.sqlite_log import blob_reader
from orchestrator.infra.sqlite_owners import Owners
from orchestrator.ports import ApprovalRow, Due, Page, RunRow

MAX_PAGE = 1000
BOT = "Quartet"
_RUN = f"""SELECT n, id, conversation_id, position, workflow, status, created_at, ended_at, {LAST}, excerpt,
    who, input_tokens, output_tokens, cached_tokens, calls, cost_usd FROM runs"""
T = TypeVar("T")


def run(database: sqlite3.Connection, run_id: RunId) -> RunRow | None:
    """See `Views.run`."""
    row = database.execute(f"{_RUN} WHERE id = ?", (run_id,)).fetchone()
    return None if row is None else _run(row)


def runs(
    database: sqlite3.Connection,
    status: RunStatus | None,
    conversation_id: str | None,
    who: str | None,
    limit: int,
    cursor: str | None,
) -> Page[RunRow]:
    """See `Views.runs`. The cursor is the number of the last run shown: new runs have higher ones."""
    conditions: dict[str, Any] = {}
    if status is not None:
        conditions["status = ?"] = status
    if conversation_id is not None:
        conditions["conversation_id = ?"] = conversation_id
    if who is not None:
        conditions["who = ?"] = who
    if cursor is not None:
        conditions["n < ?"] = _number(cursor)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = database.execute(
        f"{_RUN} {where} ORDER BY n DESC LIMIT ?", (*conditions.values(), _limit(limit) + 1)
    ).fetchall()
    return _page(rows, limit, _run)


def entered(
    database: sqlite3.Connection,
    workspace: str,
    statuses: Collection[RunStatus],
    limit: int,
    cursor: str | None,
) -> Page[RunRow]:
    """See `Views.entered`."""
    values: list[Any] = [*_within(workspace)]
    where = "conversation_id >= ? AND conversation_id < ?"
    where += " AND NOT EXISTS (SELECT 1 FROM api_marks WHERE run_id = runs.id AND hidden = 1)"
    if statuses:
        where += f" AND status IN ({', '.join('?' * len(statuses))})"
        values += statuses
    if cursor is not None:
        where += " AND n < ?"
        values.append(_number(cursor))
    rows = database.execute(f"{_RUN} WHERE {where} ORDER BY n DESC LIMIT ?", (*values, _limit(limit) + 1))
    return _page(rows.fetchall(), limit, _run)


def count(database: sqlite3.Connection, status: RunStatus) -> int:
    """See `Views.count`."""
    [found] = database.execute("SELECT count(*) FROM runs WHERE status = ?", (status,)).fetchone()
    return found


def channels(database: sqlite3.Connection, workspace: str, limit: int) -> list[str]:
    """See `Views.channels`. Reads one index alone, from the workspace's first conversation to its last."""
    prefix, behind = _within(workspace)
    rows = database.execute(
        """SELECT substr(conversation_id, 1, :length + instr(substr(conversation_id, :length + 1), ':') - 1)
            AS channel, max(n), max(substr(conversation_id, -1) = ':') AS alone
        FROM runs WHERE conversation_id >= :prefix AND conversation_id < :behind
        GROUP BY channel HAVING NOT alone ORDER BY 2 DESC LIMIT :limit""",
        {"prefix": prefix, "behind": behind, "length": len(prefix), "limit": _limit(limit)},
    )
    return [channel for channel, _, _ in rows.fetchall()]


def _within(workspace: str) -> tuple[str, str]:
    """The keys of a workspace lie from the first text to before the second."""
    return f"{workspace}:", f"{workspace};"  # the character behind the colon


def unfinished(database: sqlite3.Connection, conversation_id: str) -> list[RunRow]:
    """See `Views.unfinished`."""
    rows = database.execute(
        f"{_RUN} WHERE conversation_id = ? AND ended_at IS NULL ORDER BY position", (conversation_id,)
    )
    return [_run(row) for row in rows.fetchall()]


_APPROVAL = """SELECT {n}, runs.id, runs.conversation_id,
    asked.seq, asked.type, asked.v, asked.body, asked.large,
    resolved.seq, resolved.type, resolved.v, resolved.body, resolved.large
    FROM {source} JOIN runs ON runs.n = approvals.run
    JOIN events AS asked ON asked.run = approvals.run AND asked.seq = approvals.asked_seq
    LEFT JOIN events AS resolved ON resolved.run = approvals.run AND resolved.seq = approvals.resolved_seq"""
_WAITING = _APPROVAL.format(
    n="waiting.n", source="waiting CROSS JOIN approvals ON approvals.id = waiting.approval_id"
)
_ONE_APPROVAL = _APPROVAL.format(n="approvals.n", source="approvals")


def waiting(
    database: sqlite3.Connection, workspace: str, limit: int, cursor: str | None
) -> Page[ApprovalRow]:
    """See `Views.waiting`."""
    after = 0 if cursor is None else _number(cursor)
    there, bounds = "", ()
    if workspace:
        there, bounds = "AND runs.conversation_id >= ? AND runs.conversation_id < ?", _within(workspace)
    rows = database.execute(
        f"{_WAITING} WHERE waiting.n > ? {there} ORDER BY waiting.n LIMIT ?",
        (after, *bounds, _limit(limit) + 1),
    ).fetchall()
    return _page(rows, limit, lambda row: _approval(database, row))


def approval(database: sqlite3.Connection, approval_id: ApprovalId) -> ApprovalRow | None:
    """See `Views.approval`."""
    row = database.execute(f"{_ONE_APPROVAL} WHERE approvals.id = ?", (approval_id,)).fetchone()
    return None if row is None else _approval(database, row)


def exchanges(database: sqlite3.Connection, conversation_id: str, before: int, limit: int) -> list[Line]:
    """See `Views.exchanges`. A turn that has not ended has no answer yet: its person's line stands alone."""
    rows = database.execute(
        """SELECT runs.id, asked.seq, asked.type, asked.v, asked.body, asked.large,
            ended.seq, ended.type, ended.v, ended.body, ended.large
        FROM turns JOIN runs ON runs.n = turns.run
        JOIN events AS asked ON asked.run = turns.run AND asked.seq = 1
        LEFT JOIN events AS ended ON ended.run = turns.run AND ended.seq = turns.ended_seq
        WHERE turns.conversation_id = ? AND turns.position < ? ORDER BY turns.position DESC LIMIT ?""",
        (conversation_id, before, max(0, limit)),
    ).fetchall()
    lines: list[Line] = []
    for run_id, *stored in reversed(rows):
        created = _body(database, run_id, stored[:5])
        assert isinstance(created, RunCreated)  # the log begins with it
        ended = None if stored[5] is None else _body(database, run_id, stored[5:])
        assert ended is None or isinstance(ended, RunEnded)
        if ended is not None and ended.reason.endswith(WITHDRAWN):
            continue  # whoever deletes a message does not want it to be read
        lines.append(Line(role="person", name=created.turn.who.name, text=created.turn.text))
        if ended is not None:
            lines.append(Line(role="bot", name=BOT, text=_answer(ended)))
    return lines


def _answer(ended: RunEnded) -> str:
    if ended.answer is not None:
        return str(ended.answer.get("body", ""))
    if ended.problem is not None:
        return ended.problem.message
    return ended.reason or ended.status


def due(database: sqlite3.Connection, until: datetime) -> list[Due]:
    """See `Views.due`."""
    rows = database.execute(
        "SELECT runs.id, timers.at FROM timers JOIN runs ON runs.n = timers.run WHERE timers.at <= ? "
        "ORDER BY timers.at, runs.n",
        (micros(until),),
    )
    return [Due(run_id, moment(at)) for run_id, at in rows.fetchall()]


def to_wake(database: sqlite3.Connection, now: datetime, owners: Owners) -> list[RunId]:
    """See `Views.to_wake`. What is waiting and at rest is in no index that this reads."""
    rows = database.execute(
        """SELECT n, id, owner FROM runs WHERE restless = 1
        UNION SELECT runs.n, runs.id, runs.owner FROM timers JOIN runs ON runs.n = timers.run
            WHERE timers.at <= ? AND runs.ended_at IS NULL AND runs.status NOT IN ('queued', 'paused')
        ORDER BY 1""",
        (micros(now),),
    ).fetchall()
    others = {owner: owners.lives(owner) for _, _, owner in rows if owner not in (None, owners.me)}
    return [run_id for _, run_id, owner in rows if not others.get(owner)]


def usage_since(database: sqlite3.Connection, since: datetime, workspace: str) -> dict[str, Usage]:
    """See `Views.usage_since`."""
    there, bounds = "", ()
    if workspace:
        there, bounds = (
            "AND run IN (SELECT n FROM runs WHERE conversation_id >= ? AND conversation_id < ?)",
            _within(workspace),
        )
    rows = database.execute(
        "SELECT model, sum(input_tokens), sum(output_tokens), sum(cached_tokens), sum(calls), sum(cost_usd) "
        f"FROM usage WHERE at >= ? {there} GROUP BY model ORDER BY model",
        (micros(since), *bounds),
    )
    return {model: _usage(spent) for model, *spent in rows.fetchall()}


def _run(row: tuple[Any, ...]) -> RunRow:
    _, run_id, conversation_id, position, workflow, status, created_at, ended_at, seq, text, who, *spent = row
    return RunRow(
        id=run_id,
        conversation_id=conversation_id,
        position=position,
        workflow=workflow,
        status=status,
        created_at=moment(created_at),
        ended_at=None if ended_at is None else moment(ended_at),
        seq=seq,
        text=text,
        who=who,
        usage=_usage(spent),
    )


def _usage(spent: list[Any]) -> Usage:
    input_tokens, output_tokens, cached_tokens, calls, cost_usd = spent
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        calls=calls,
        cost_usd=cost_usd,
    )


def _approval(database: sqlite3.Connection, row: tuple[Any, ...]) -> ApprovalRow:
    _, run_id, conversation_id, *stored = row
    asked = _body(database, run_id, stored[:5])
    resolved = None if stored[5] is None else _body(database, run_id, stored[5:])
    assert isinstance(asked, ApprovalRequested)
    assert resolved is None or isinstance(resolved, ApprovalResolved)
    return ApprovalRow(run_id, conversation_id, asked, resolved)


def _body(database: sqlite3.Connection, run_id: str, stored: list[Any]) -> Body:
    seq, type_, v, body, large = stored
    return decode(type_, v, body, large, blob=blob_reader(database), where=f"run {run_id}, event {seq}")


def _page(rows: list[Any], limit: int, shape: Callable[[Any], T]) -> Page[T]:
    shown = rows[: _limit(limit)]
    return Page(tuple(shape(row) for row in shown), str(shown[-1][0]) if len(rows) > len(shown) else None)


def _limit(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise Refused(f"{cursor[:40]!r} is no cursor; pass `next` of the page before, or none")
    return int(cursor)
