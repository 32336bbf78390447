"""Questions to people as cards: what is asked, who may answer, and what came of it. Pure."""

from __future__ import annotations

from typing import Final

from adapters.contract import Button, Card, CardId, CardPart, FactsPart, MarkdownPart, NotesPart
from bot.artifact_parts import parts_of
from bot.run_facts import label
from orchestrator.engine.state import Approval, RunState
from orchestrator.events import ApprovalRequested, Json, Who

_OUTCOMES: Final = {
    "approve": "approved",
    "edit": "approved with edits",
    "changes": "changes asked for",
    "reject": "rejected",
}
_EXPIRY: Final = {"expire": "expired", "reject": "rejected", "approve": "approved"}


def was_asked(approval: Approval) -> bool:
    """Whether people were asked at all: what a policy approved has no card."""
    resolved = approval.resolved
    return not (resolved is not None and resolved.who is not None and resolved.who.key.startswith("policy:"))


def wants_text(asked: ApprovalRequested) -> bool:
    """Whether the answer is words of a person, not a decision on something."""
    return asked.wants == "text"


def approval_card(state: RunState, approval: Approval) -> Card:
    """A question to people, and who decided what and when."""
    asked = approval.asked
    resolved, decision = approval.resolved, approval.decision
    parts: list[CardPart] = [MarkdownPart(text=asked.body)] if asked.body else []
    if wants_text(asked):
        parts += _question_and_answer(approval)
    else:
        parts += parts_of(_decided(approval))
        if resolved is not None and resolved.changes:
            parts.append(NotesPart(title="What the edit changed", notes=resolved.changes))
    comment = (resolved.comment if resolved else "") or (decision.comment if decision else "")
    if comment:
        parts.append(NotesPart(title="Comment", notes=(comment,)))
    is_open = resolved is None and decision is None and state.ended is None
    facts = _facts(state, approval, is_open=is_open)
    if facts:
        parts.append(FactsPart(facts=tuple(facts)))
    buttons = _answer_buttons if wants_text(asked) else _approval_buttons
    return Card(
        id=CardId(f"{state.run_id}:approval:{asked.approval_id}"),
        kind="approval",
        title=asked.title,
        status=_status(state, approval),
        parts=tuple(parts),
        buttons=buttons(asked.approval_id) if is_open else (),
        label=label(state),
    )


def _facts(state: RunState, approval: Approval, *, is_open: bool) -> list[tuple[str, str]]:
    asked = approval.asked
    facts: list[tuple[str, str]] = []
    if asked.approvers:
        names = _names(state)
        who = "May answer" if wants_text(asked) else "May decide"
        facts.append((who, ", ".join(names.get(key, key) for key in asked.approvers)))
    if not asked.allow_requester:
        facts.append(("Not", "the person who asked"))
    if is_open:
        facts.append(("Open until", f"{asked.expires_at:%Y-%m-%d %H:%M} UTC"))
        default = default_answer(asked)
        if wants_text(asked) and default is not None:
            facts.append(("Without an answer", default or "it goes on with none"))
    elif approval.decided_at is not None:
        decided = "Answered" if wants_text(asked) else "Decided"
        facts.append((decided, f"{approval.decided_at:%Y-%m-%d %H:%M:%S} UTC"))
    return facts


def question_of(asked: ApprovalRequested) -> str:
    """What is asked, in the words of the workflow."""
    question = asked.arguments.get("question")
    return question if isinstance(question, str) and question.strip() else asked.title


def default_answer(asked: ApprovalRequested) -> str | None:
    """What counts when nobody answers in time; None: the question expires."""
    default = asked.arguments.get("default")
    return default if isinstance(default, str) else None


def _question_and_answer(approval: Approval) -> list[CardPart]:
    asked = approval.asked
    question = question_of(asked)
    parts: list[CardPart] = [] if question in (asked.body, asked.title) else [MarkdownPart(text=question)]
    if approval.decision is None and approval.resolved is None:
        note = "Press Answer, or simply reply here: the next message is taken as the answer."
        return [*parts, NotesPart(title="How to answer", notes=(note,))]
    text = _decided(approval).get("text")
    if isinstance(text, str) and text.strip():
        parts.append(NotesPart(title="The answer", notes=(text,)))
    return parts


def _decided(approval: Approval) -> Json:
    """What the question is about; once it was edited, what goes on instead."""
    resolved, decision = approval.resolved, approval.decision
    if resolved is not None:
        edited = resolved.outcome == "edit" or wants_text(approval.asked)
        return resolved.output if edited and resolved.output else approval.asked.arguments
    if decision is not None and decision.decision == "edit" and decision.edited is not None:
        return decision.edited
    return approval.asked.arguments


def _names(state: RunState) -> dict[str, str]:
    """People of this run by their keys; of others only the keys are known."""
    said: list[Who] = [state.created.turn.who, *(s.who for s in state.steered)]
    for approval in state.approvals.values():
        given = [approval.decision] if approval.decision is not None else []
        said += [decision.who for decision in (*given, *approval.late)]
    return {who.key: who.name for who in said}


def _approval_buttons(target: str) -> tuple[Button, ...]:
    return (
        Button(action="approve", target=target, label="Approve", style="primary"),
        Button(action="edit", target=target, label="Edit", needs_form=True),
        Button(action="changes", target=target, label="Ask for changes", needs_form=True),
        Button(action="reject", target=target, label="Reject", style="danger"),
    )


def _answer_buttons(target: str) -> tuple[Button, ...]:
    return (
        Button(action="answer", target=target, label="Answer", style="primary", needs_form=True),
        Button(action="reject", target=target, label="Reject", style="danger"),
    )


def _status(state: RunState, approval: Approval) -> str:
    resolved, decision, asked = approval.resolved, approval.decision, approval.asked
    text = wants_text(asked)
    if text and resolved is not None and resolved.outcome == "expired" and asked.on_expiry == "approve":
        return "done: nobody answered in time, so the default counts"
    if resolved is not None and resolved.outcome == "expired":
        return f"{_EXPIRY[asked.on_expiry]}: nobody {'answered' if text else 'decided'} in time"
    if decision is not None:
        answered = text and decision.decision == "edit"
        return f"{'answered' if answered else _OUTCOMES[decision.decision]} by {decision.who.name}"
    if state.ended is not None:
        return f"withdrawn: the run was {state.ended.status}"
    if resolved is not None and resolved.outcome == "withdrawn":
        return "withdrawn: it is not needed any more"
    return "waiting for your answer" if text else "waiting for your decision"
