"""Draw a status card as chunks of Slack's streams, and tell what changed between two of them. Pure.

A stream shows a card while it changes: a plan with a task for each agent, and the buttons. Slack replaces a
task's title and status with each update, but appends to its details: so what an agent does now stands in the
title, and what its work took is told in the details, once, when it ends. What grows is appended as text.
After the stream the message is drawn whole by `outbound.draw`: what is cut here is there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from adapters.contract import AgentRow, Card, NotesPart, PlanPart
from adapters.slack.outbound import cleaned
from adapters.slack.parts import TASK_STATES, action_blocks, row_details, task_id
from adapters.slack.text import neutral_markdown, shielded, shortened

Chunk = dict[str, Any]

OPENING = 2_000  # characters that a stream may begin with; details of agents give way
DETAILS = 250  # characters of an agent's details: Slack takes 256 at once
DOING = 150
NOTE = 600
PLAN = 1_200


def opening(card: Card) -> list[Chunk]:
    """Chunks for chat.startStream: the plan's title, a task for each agent, texts, buttons."""
    card = cleaned(card)
    tasks = [_task(card, n, row) for n, row in enumerate(_rows(card))]
    buttons: list[Chunk] = [{"type": "blocks", "blocks": action_blocks(card.buttons)}] if card.buttons else []
    chunks: list[Chunk] = [_title(card), *tasks]
    for text in map(_text, _texts(card)):
        if size([*chunks, text, *buttons]) <= OPENING:
            chunks.append(text)
    chunks += buttons
    room = OPENING - size(chunks)
    for task, row in zip(tasks, _rows(card), strict=True):
        cost = size([{"details": _told(row)}])
        if _told(row) and cost <= room:
            task["details"] = _told(row)
            room -= cost
    return chunks


def changes(before: Card, after: Card) -> list[Chunk] | None:
    """The fewest chunks that bring a stream that shows `before` to `after`; none where it shows the same.

    Returns:
        None where chunks cannot say it: other buttons, other agents, the end, something that went away. Then
        the stream is to be stopped and the message drawn anew.
    """
    before, after = cleaned(before), cleaned(after)
    if _frame(before) != _frame(after):
        return None
    told, texts = _texts(before), _texts(after)
    if any(text not in texts for text in told if not text.startswith(_PLAN)):
        return None
    chunks = [_title(after)] if _title(after) != _title(before) else []
    for number, (old, new) in enumerate(zip(_rows(before), _rows(after), strict=True)):
        task = _task(after, number, new)
        if _told(new) and _told(new) != _told(old):
            task["details"] = _told(new)
        if "details" in task or task != _task(before, number, old):
            chunks.append(task)
    return [*chunks, *(_text(text) for text in texts if text not in told)]


def size(chunks: Sequence[Chunk]) -> int:
    """Characters that chunks take of what one stream may hold, counted generously: as JSON."""
    return sum(len(json.dumps(chunk, ensure_ascii=False)) for chunk in chunks)


def _frame(card: Card) -> object:
    """What chunks cannot change."""
    others = tuple(part for part in card.parts if part.kind not in ("rows", "plan", "facts", "notes"))
    return card.id, card.kind, card.buttons, card.feedback, tuple(row.name for row in _rows(card)), others


def _rows(card: Card) -> list[AgentRow]:
    return [row for part in card.parts if part.kind == "rows" for row in part.rows]


def _title(card: Card) -> Chunk:
    tasks = [task for part in card.parts if part.kind == "plan" for task in part.tasks if task.state]
    done = sum(task.state == "done" for task in tasks)
    progress = f"{done} of {len(tasks)} tasks done" if done else ""
    bits = (shortened(card.title, 80), shortened(card.status, 80), progress, shortened(card.label, 40))
    said = " · ".join(" ".join(bit.split()) for bit in bits if bit.strip())
    return {"type": "plan_update", "title": shielded(said) or "Agents"}


def _task(card: Card, number: int, row: AgentRow) -> Chunk:
    name = shielded(shortened(row.name, 60))
    said = f"{name}: {row.state}" if name else row.state
    if row.doing and not _ended(row):
        said += f", {shortened(shielded(' '.join(row.doing.split())), DOING)}"
    return {
        "type": "task_update",
        "id": task_id(card, number),
        "title": said,
        "status": TASK_STATES[row.state],
    }


def _ended(row: AgentRow) -> bool:
    return row.state in ("done", "failed", "skipped")


def _told(row: AgentRow) -> str:
    """What is appended to the details of an agent that has ended; a line of its own, it may work again."""
    details = row_details(row)
    return f"{shortened(details, DETAILS)}\n" if details and _ended(row) else ""


_PLAN = "**Plan:** "


def _texts(card: Card) -> list[str]:
    """What is told once, as text: the plan, and what was handed to the agents."""
    found: list[str] = []
    for part in card.parts:
        if isinstance(part, PlanPart):
            tasks = "".join(f"\n- {task.id}: {task.title}" for task in part.tasks)
            found.append(shortened(f"{_PLAN}{part.goal}{tasks}", PLAN))
        elif isinstance(part, NotesPart):
            found += [shortened(f"**{part.title}:** {note}", NOTE) for note in part.notes]
    return found


def _text(text: str) -> Chunk:
    return {"type": "markdown_text", "text": f"\n{neutral_markdown(text)}\n"}
