"""Who may decide, and what a question looks like. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, cast

from orchestrator.events import ApprovalRequested, Json, RunId, RunSettings
from orchestrator.ids import approval_id, digest
from orchestrator.workflow import ApprovalNode, InputNode


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


def question(
    run_id: RunId,
    name: str,
    visit: int,
    node: InputNode,
    text: str,
    settings: RunSettings,
    now: datetime,
) -> ApprovalRequested:
    """The question of an input node: it wants text."""
    seconds = node.expires_after if node.expires_after is not None else settings.expires_after_s
    arguments: Json = {"question": text}
    if node.default is not None:
        arguments["default"] = node.default
    return ApprovalRequested(
        node=name,
        visit=visit,
        approval_id=approval_id(run_id, name, visit),
        of=name,
        title=node.title or "A question",
        body=text,
        arguments=arguments,
        digest=digest(arguments),
        approvers=node.approvers or settings.approvers,
        allow_requester=True,
        expires_at=now + timedelta(seconds=seconds),
        on_expiry="expire" if node.default is None else "approve",
        wants="text",
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
    """What an edit changed, a line for each: `goal: "old" → "new"`, `tasks › t2: added …`.

    Works for any JSON; empty exactly if both mean the same.
    """
    return tuple(_changes("", before, after))


def _changes(path: str, before: Any, after: Any) -> Iterator[str]:
    if _text(before) == _text(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _in_object(path, cast("Json", before), cast("Json", after))
    elif isinstance(before, list) and isinstance(after, list):
        old, new = cast("list[Any]", before), cast("list[Any]", after)
        by_id, then = _by_id(old), _by_id(new)
        if by_id is None or then is None:
            yield from _in_list(path, old, new)
            return
        yield from _in_object(path, by_id, then)
        if [i for i in by_id if i in then] != [i for i in then if i in by_id]:
            yield f"{path}: the order is now {', '.join(map(_name, then))}"
    else:
        yield f"{path}: {_said(before)} → {_said(after)}"


def _in_object(path: str, before: Json, after: Json) -> Iterator[str]:
    for key in (*before, *(k for k in after if k not in before)):
        place = f"{path} › {_name(key)}" if path else _name(key)
        if key not in after:
            yield f"{place}: removed {_said(before[key])}"
        elif key not in before:
            yield f"{place}: added {_said(after[key])}"
        else:
            yield from _changes(place, before[key], after[key])


def _in_list(path: str, before: list[Any], after: list[Any]) -> Iterator[str]:
    old, new = Counter(map(_text, before)), Counter(map(_text, after))
    for text in (old - new).elements():
        yield f"{path}: removed {_said(json.loads(text))}"
    for text in (new - old).elements():
        yield f"{path}: added {_said(json.loads(text))}"
    if old == new:
        yield f"{path}: the order is now {_said(after)}"


def _by_id(items: list[Any]) -> Json | None:
    """Objects by their ids, as the tasks of a plan; None where not all of them have one of their own."""
    found: Json = {}
    for item in items:
        name = cast("Json", item).get("id") if isinstance(item, dict) else None
        if not isinstance(name, str) or name in found:
            return None
        found[name] = item
    return found


def _said(value: Any) -> str:
    """A value in a line of its own."""
    if isinstance(value, dict) and value:
        facts = cast("Json", value).items()
        return ", ".join(
            f"{_name(key)} {_said(part)}" for key, part in facts if part not in ("", [], {}, None)
        )
    if isinstance(value, list) and value:
        return f"[{', '.join(map(_said, cast('list[Any]', value)))}]"
    return {"[]": "nothing", "{}": "nothing", "null": "nothing"}.get(_text(value)) or _text(value)


def _name(key: str) -> str:
    return key if key.isprintable() and key else json.dumps(key)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
