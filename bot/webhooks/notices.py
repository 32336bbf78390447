"""Which events are told, and in which words. Pure.

A notice is small: ids, the state, links. What people and agents wrote comes as a short excerpt; who
wants more asks for it with a key.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, get_args
from urllib.parse import quote

from bot.api.views import moment, outside_id
from orchestrator.events import (
    ApprovalRequested,
    ApprovalResolved,
    Json,
    RunCreated,
    RunEnded,
    RunStarted,
)
from orchestrator.webhooks import LogEntry, NewNotice

Kind = Literal[
    "run.created",
    "run.started",
    "run.completed",
    "run.failed",
    "run.rejected",
    "run.stopped",
    "run.expired",
    "approval.requested",
    "approval.decided",
    "approval.expired",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
PING: Final = "ping"
TYPES: Final = ("run_created", "run_started", "run_ended", "approval_requested", "approval_resolved")
EXCERPT: Final = 300  # characters of what people and agents wrote


class Said(NamedTuple):
    """What an event is told as."""

    kind: Kind
    status: str  # of the run then
    more: Json


def notice(entry: LogEntry, webhook_id: str, base_url: str) -> NewNotice | None:
    """The notice of an event for one webhook; None: nobody is told of it.

    Args:
        entry: the event.
        webhook_id: the same event has the same id for the same webhook, whenever it is made.
        base_url: of this server, for links.
    """
    said = _said(entry, base_url)
    if said is None:
        return None
    run_id = entry.event.run_id
    data: Json = {
        "run_id": run_id,
        "conversation_id": outside_id(entry.conversation_id),
        "workflow": entry.workflow,
        "status": said.status,
        **said.more,
        "links": {"run": _run_url(base_url, run_id)},
    }
    unique = f"{webhook_id}\0{run_id}\0{entry.event.seq}"
    notice_id = f"msg_{hashlib.sha256(unique.encode()).hexdigest()[:26]}"
    return NewNotice(
        id=notice_id,
        event=entry.n,
        run_id=run_id,
        kind=said.kind,
        body=_body(notice_id, said.kind, entry.event.at, data),
        at=entry.event.at,
    )


def ping(notice_id: str, webhook_id: str, at: datetime) -> NewNotice:
    """A notice that says nothing but that notices arrive."""
    body = _body(notice_id, PING, at, {"webhook_id": webhook_id})
    return NewNotice(id=notice_id, event=0, run_id="", kind=PING, body=body, at=at)


def _said(entry: LogEntry, base_url: str) -> Said | None:
    match entry.event.body:
        case RunCreated() as body:
            return Said("run.created", "queued", {"engine": body.engine, "priority": body.priority})
        case RunStarted():
            return Said("run.started", "running", {})
        case RunEnded() as body:
            return Said(_ENDED[body.status], body.status, _end(body, _run_url(base_url, entry.event.run_id)))
        case ApprovalRequested() as body:
            asked = {
                "id": body.approval_id,
                "node": body.node,
                "title": _excerpt(body.title),
                "wants": body.wants,
                "digest": body.digest,
                "expires_at": moment(body.expires_at),
            }
            return Said("approval.requested", "waiting", {"approval": asked})
        case ApprovalResolved(outcome="withdrawn"):
            return None  # the run ended or went elsewhere, which is told by itself
        case ApprovalResolved() as body:
            resolved: Json = {"id": body.approval_id, "node": body.node, "outcome": body.outcome}
            if body.outcome == "expired":
                return Said("approval.expired", "running", {"approval": resolved})
            resolved["decided_by"] = _excerpt(body.who.name) if body.who is not None else None
            return Said("approval.decided", "running", {"approval": resolved})
        case _:
            return None


_ENDED: Final[dict[str, Kind]] = {
    "completed": "run.completed",
    "failed": "run.failed",
    "rejected": "run.rejected",
    "stopped": "run.stopped",
    "expired": "run.expired",
}


def _end(body: RunEnded, run_url: str) -> Json:
    more: Json = {}
    if body.answer is not None:
        text = body.answer.get("body")
        excerpt = _excerpt(text) if isinstance(text, str) else ""
        more["answer"] = {"excerpt": excerpt, "url": run_url}
    if body.problem is not None:
        more["problem"] = {"kind": body.problem.kind, "message": _excerpt(body.problem.message)}
    if body.reason:
        more["reason"] = _excerpt(body.reason)
    return more


def _body(notice_id: str, kind: str, at: datetime, data: Any) -> str:
    said = {"id": notice_id, "type": kind, "timestamp": moment(at), "data": data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _run_url(base_url: str, run_id: str) -> str:
    return f"{base_url}/v1/runs/{quote(run_id, safe='')}"


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"
