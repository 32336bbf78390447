"""What people should see of a run: `present(...) -> cards`. Pure: same state, same cards.

A run has at most one status card, one card for each question, and one answer. Cards carry no
clock: a working agent's line says since when it works, so that a card changes only when the
run does. The lines are made by `rows`, the questions by `approval_cards`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ValidationError

from adapters.contract import (
    Button,
    Card,
    CardId,
    CardPart,
    FactsPart,
    FilePart,
    MarkdownPart,
    NotesPart,
    RowsPart,
    SourceLine,
    SourcesPart,
)
from adapters.plain import clipped
from bot.approval_cards import approval_card, wants_text, was_asked
from bot.artifact_parts import as_plan, plan_part
from bot.rows import doing_line, rows
from bot.run_facts import given_facts, label, run_facts
from orchestrator.artifacts import Answer, Draft, Plan, Source
from orchestrator.engine.state import RunState
from orchestrator.events import WITHDRAWN
from orchestrator.workflow import Workflow

__all__ = ["QUOTE_LENGTH", "approval_card", "doing_line", "present"]

TITLE_LENGTH: Final = 80
_STATUS_WORDS: Final = {
    "queued": "queued behind an earlier turn",
    "running": "working",
    "waiting": "waiting for approval",
    "paused": "paused",
    "completed": "done",
}
_QUEUED: Final = (
    "An earlier turn of this conversation goes first; it may be waiting for a decision. "
    "`status` shows it, `stop` ends it."
)
QUOTE_LENGTH: Final = 300  # characters of a source's quote on a card; the whole is in the answer's own record
_CITED = re.compile(r"\[(\d{1,6}(?:\s*,\s*\d{1,6})*)\]")


def present(
    workflow: Workflow, state: RunState, *, titles: Mapping[str, str], doing: Mapping[str, str]
) -> list[Card]:
    """All cards of a run, in the order in which they belong in the conversation.

    Args:
        workflow: the definition the run began with.
        state: the run.
        titles: agent name → what people call it.
        doing: node → what it does now; may be incomplete.
    """
    cards = [_status(workflow, state, titles, doing)]
    cards += [approval_card(state, a) for a in state.approvals.values() if was_asked(a)]
    if state.ended is not None and not _was_withdrawn(state):
        cards.append(_end(state))
    return cards


# ── the status card ──────────────────────────────────────────────────────────────────────────


def _status(workflow: Workflow, state: RunState, titles: Mapping[str, str], doing: Mapping[str, str]) -> Card:
    parts: list[CardPart] = [RowsPart(rows=tuple(rows(workflow, state, titles=titles, doing=doing)))]
    if state.status == "queued":
        parts.insert(0, MarkdownPart(text=_QUEUED))
    plan = _plan(workflow, state)
    if plan is not None:
        # The outline and the risks stand on the approval; here it is what is done of it that counts.
        brief = plan.model_copy(update={"outline": [], "risks": []})
        # Once the run has ended nothing waits any more; what was not reported as done is left open.
        rest = None if state.ended is not None else "waiting"
        parts.append(plan_part(brief, rest, done=_done_tasks(workflow, state)))
    if state.steered:
        parts.append(NotesPart(title="Handed to the agents", notes=tuple(s.text for s in state.steered)))
    parts.append(FactsPart(facts=(*given_facts(state), *run_facts(state))))
    return Card(
        id=CardId(f"{state.run_id}:status"),
        kind="status",
        title=_title(state),
        status=_status_word(state),
        parts=tuple(parts),
        buttons=_controls(state),
        label=label(state),
    )


def _title(state: RunState) -> str:
    text = " ".join(state.created.turn.text.split()) or ", ".join(f.name for f in state.created.turn.files)
    return clipped(text, TITLE_LENGTH)


def _was_withdrawn(state: RunState) -> bool:
    return state.started_at is None and state.stop is not None and state.stop.reason == WITHDRAWN


def _status_word(state: RunState) -> str:
    if _was_withdrawn(state):
        return WITHDRAWN
    if state.ended is not None and state.status != "completed":
        return state.ended.reason or state.status
    if state.status == "waiting" and all(wants_text(a.asked) for a in state.open_approvals()):
        return "waiting for an answer"
    return _STATUS_WORDS[state.status]


def _plan(workflow: Workflow, state: RunState) -> Plan | None:
    if workflow.answer is None or workflow.answer.plan is None:
        return None
    return as_plan(state.latest(workflow.answer.plan))


def _done_tasks(workflow: Workflow, state: RunState) -> frozenset[str]:
    answer = workflow.answer
    output = state.latest(answer.draft) if answer is not None and answer.draft is not None else None
    try:
        draft = Draft.model_validate(output)
    except ValidationError:  # not there yet, or made or edited into something else
        return frozenset()
    return frozenset(r.task_id for r in draft.task_results if r.done)


def _controls(state: RunState) -> tuple[Button, ...]:
    if state.ended is not None:
        return ()
    stop = Button(action="stop", target=state.run_id, label="Stop", style="danger")
    if state.paused or state.pause_wanted:
        return (Button(action="resume", target=state.run_id, label="Resume", style="primary"), stop)
    if state.status in ("running", "waiting"):
        return (Button(action="pause", target=state.run_id, label="Pause"), stop)
    return (stop,)


# ── the end ──────────────────────────────────────────────────────────────────────────────────


def _end(state: RunState) -> Card:
    ended = state.ended
    assert ended is not None
    card_id = CardId(f"{state.run_id}:answer")
    if ended.status == "completed":
        return _answer(state, card_id, Answer.model_validate(ended.answer or {"body": ""}))
    if ended.status == "failed":
        message = ended.problem.message if ended.problem else "the run failed"
        return Card(
            id=card_id,
            kind="error",
            title="This did not work",
            status="failed",
            parts=(MarkdownPart(text=_escape(message)), FactsPart(facts=run_facts(state))),
            buttons=(Button(action="retry", target=state.run_id, label="Try again", style="primary"),),
            label=label(state),
        )
    words = {"rejected": "Rejected", "stopped": "Stopped", "expired": "Expired"}
    reason = ended.reason or ended.status
    text = _escape(f"{reason[0].upper()}{reason[1:]}. Write again to start a new turn.")
    return Card(
        id=card_id,
        kind="reply",
        title=words[ended.status],
        status=ended.status,
        parts=(MarkdownPart(text=text),),
        label=label(state),
    )


def _answer(state: RunState, card_id: CardId, answer: Answer) -> Card:
    parts: list[CardPart] = [MarkdownPart(text=answer.body)]
    if answer.sources:
        parts.append(SourcesPart(sources=_sources(answer.body, answer.sources)))
    if answer.notes:
        parts.append(NotesPart(title="Review notes", notes=tuple(answer.notes)))
    unheard = state.steered[state.heard :]
    if unheard:
        title = "Came while the last agent worked; it may not be in the answer"
        parts.append(NotesPart(title=title, notes=tuple(s.text for s in unheard)))
    parts += [FilePart(name=f.name, media_type=f.media_type, text=f.text) for f in answer.files]
    facts: list[tuple[str, str]] = []
    if answer.score is not None:
        facts.append(("Review", f"{answer.score:g} of 10"))
    if answer.merged:
        facts.append(("Edits merged", str(answer.merged)))
    parts.append(FactsPart(facts=(*facts, *run_facts(state))))
    return Card(
        id=card_id,
        kind="answer",
        title="Answer",
        status="done",
        parts=tuple(parts),
        label=label(state),
        feedback=state.run_id,
    )


def _sources(body: str, sources: Sequence[Source]) -> tuple[SourceLine, ...]:
    """Those that the answer cites first, with the start of their words; the others by name alone."""
    cited = {int(number) for marks in _CITED.findall(body) for number in marks.split(",")}
    return tuple(
        SourceLine(number=s.id, title=s.title, url=s.url, quoted=_start(s.quoted) if s.id in cited else "")
        for s in sorted(sources, key=lambda s: s.id not in cited)
    )


def _start(text: str) -> str:
    """The start of a quote, ending with a whole word where there is one."""
    if len(text) <= QUOTE_LENGTH:
        return text
    cut = text[: QUOTE_LENGTH - 1]
    if not text[QUOTE_LENGTH - 1].isspace() and len(words := cut.rsplit(maxsplit=1)) == 2:
        cut = words[0]
    return f"{cut.rstrip()}…"


def _escape(text: str) -> str:
    """Plain words as Markdown: nothing in them becomes markup."""
    return "".join("\\" + c if c in r"\`*_{}[]()<>#+-!|~" else c for c in text)
