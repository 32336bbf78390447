"""Who may decide, and what a question looks like. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection
from datetime import datetime, timedelta

from orchestrator.events import ApprovalRequested, Json, RunId, RunSettings
from orchestrator.ids import approval_id, digest
from orchestrator.workflow import ApprovalNode


def request(
    run_id: RunId,
    name: str,
    visit: int,
    node: ApprovalNode,
    arguments: Json,
    settings: RunSettings,
    now: datetime,
) -> ApprovalRequested:
    """The question of an approval node: the node's own policy first, then the channel's."""
    seconds = node.expires_after if node.expires_after is not None else settings.expires_after_s
    return ApprovalRequested(
        node=name,
        visit=visit,
        approval_id=approval_id(run_id, name, visit),
        of=node.of,
        title=node.title or f"Approve {node.of}",
        body=node.body,
        arguments=arguments,
        digest=digest(arguments),
        approvers=node.approvers or settings.approvers,
        allow_requester=node.allow_requester and settings.allow_requester,
        expires_at=now + timedelta(seconds=seconds),
        on_expiry=node.on_expiry,
    )


def may_decide(asked: ApprovalRequested, *, person: str, groups: Collection[str], requester: str) -> str:
    """Why a person may not decide; "" if they may.

    Args:
        asked: the question.
        person: person key, "platform:id".
        groups: ids of the groups and roles the person is in.
        requester: person key of who asked for the run.
    """
    if person == requester and not asked.allow_requester:
        return "The person who asked may not decide here; somebody else has to."
    if not asked.approvers or person in asked.approvers or set(groups) & set(asked.approvers):
        return ""
    return f"Only {', '.join(asked.approvers)} may decide here."


def difference(before: Json, after: Json) -> tuple[str, ...]:
    """What an edit changed, as diff lines without headers."""
    old = json.dumps(before, indent=1, ensure_ascii=False, sort_keys=True).splitlines()
    new = json.dumps(after, indent=1, ensure_ascii=False, sort_keys=True).splitlines()
    return tuple(
        line
        for line in difflib.unified_diff(old, new, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    )
