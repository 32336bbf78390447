"""What people should see of a run: `present(...) -> cards`. Pure: same state, same cards.

A run has at most one status card, one card for each approval, and one answer. Cards carry no
clock: a working agent's line says since when it works, so that a card changes only when the
run does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardId,
    CardPart,
    FactsPart,
    FilePart,
    MarkdownPart,
    NotesPart,
    PlanPart,
    RowsPart,
    RowState,
    SourceLine,
    SourcesPart,
    TaskLine,
)
from adapters.plain import clipped
from orchestrator.artifacts import Answer, Draft, Plan, Source
from orchestrator.engine.state import Approval, NodeState, RunState
from orchestrator.events import WITHDRAWN, Engine, Json, Usage, Who
from orchestrator.workflow import AgentNode, Workflow

TITLE_LENGTH = 80
LINE_LENGTH = 120
_ROW_STATES: dict[str, RowState] = {
    "working": "working",
    "asking": "asking",
    "retrying": "waiting",
    "done": "done",
    "failed": "failed",
}
_STATUS_WORDS = {
    "queued": "queued behind an earlier turn",
    "running": "working",
    "waiting": "waiting for approval",
    "paused": "paused",
    "completed": "done",
}
_QUEUED = (
    "An earlier turn of this conversation goes first; it may be waiting for a decision. "
    "`status` shows it, `stop` ends it."
)
QUOTE_LENGTH = 300  # characters of a source's quote on a card; the whole is in the answer's own record
_CITED = re.compile(r"\[(\d{1,6}(?:\s*,\s*\d{1,6})*)\]")
_OUTCOME_WORDS = {
    "approve": "approved",
    "edit": "approved with edits",
    "changes": "changes asked for",
    "reject": "rejected",
}
_EXPIRY_WORDS = {"expire": "expired", "reject": "rejected", "approve": "approved"}


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
    cards += [approval_card(state, a) for a in state.approvals.values() if _was_asked(a)]
    if state.ended is not None and not _was_withdrawn(state):
        cards.append(_end(state))
    return cards


def doing_line(
    workflow: Workflow, state: RunState, *, titles: Mapping[str, str], doing: Mapping[str, str]
) -> str:
    """What goes on in a run now, in one line; "" where nobody works.

    Args:
        workflow: the definition the run began with.
        state: the run.
        titles: agent name → what people call it.
        doing: node → what it does now; may be incomplete.
    """
    if state.ended is not None or state.status != "running":
        return ""
    working: list[str] = []
    for name, node in workflow.nodes.items():
        now = state.nodes.get(name)
        if isinstance(node, AgentNode) and now is not None and now.status == "working":
            title = titles.get(node.agent) or node.title or name
            working.append(f"{title}: {doing[name]}" if doing.get(name) else f"{title} works")
    line = " · ".join(working) or "works"
    return clipped(line, LINE_LENGTH)


def label(state: RunState) -> str:
    """Shown on every card where no language model worked."""
    return "engine: rules" if state.created.engine == "rules" else ""


def money(usd: float | None) -> str:
    """A cost in words."""
    if usd is None:
        return "no known price"
    return f"${usd:.4f}" if usd < 1 else f"${usd:.2f}"


def duration(seconds: float) -> str:
    """Seconds in words."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def plan_part(plan: Plan, state: RowState | None = "waiting", done: frozenset[str] = frozenset()) -> PlanPart:
    """A plan as part of a card; `state` is that of the tasks that are not done, None shows none."""
    return PlanPart(
        goal=plan.goal,
        outline=tuple(plan.outline),
        risks=tuple(plan.risks),
        tasks=tuple(
            TaskLine(
                id=t.id,
                title=t.title,
                acceptance=t.acceptance,
                depends_on=tuple(t.depends_on),
                state="done" if t.id in done else state,
            )
            for t in plan.tasks
        ),
    )


# ── the status card ──────────────────────────────────────────────────────────────────────────


def _status(workflow: Workflow, state: RunState, titles: Mapping[str, str], doing: Mapping[str, str]) -> Card:
    parts: list[CardPart] = [RowsPart(rows=tuple(_rows(workflow, state, titles, doing)))]
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
    parts.append(FactsPart(facts=_facts(state)))
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
    return _STATUS_WORDS[state.status]


def _rows(
    workflow: Workflow, state: RunState, titles: Mapping[str, str], doing: Mapping[str, str]
) -> list[AgentRow]:
    rows: list[AgentRow] = []
    for name, node in workflow.nodes.items():
        if not isinstance(node, AgentNode):
            continue
        title = titles.get(node.agent) or node.title or name
        rows.append(_row(state, name, title, state.nodes.get(name), doing.get(name, "")))
    return rows


def _row(state: RunState, name: str, title: str, node: NodeState | None, doing: str) -> AgentRow:
    if node is None:
        return AgentRow(name=title, state="skipped" if state.ended is not None else "waiting")
    row_state = _ROW_STATES[node.status]
    if row_state == "failed" and node.problem is None:
        row_state = "skipped"  # ended with the run, not by itself
    notes: list[str] = []
    if row_state == "working" and doing:
        notes.append(doing)
    if node.visit > 1:
        notes.append(f"round {node.visit}")
    if node.attempt > 1:
        notes.append(f"attempt {node.attempt}")
    if node.http_retries:
        notes.append(f"{node.http_retries} model {'retry' if node.http_retries == 1 else 'retries'}")
    if node.problem is not None and node.status in ("failed", "retrying"):
        notes.append(node.problem.message)
    return AgentRow(
        name=title,
        state=row_state,
        doing=", ".join(notes),
        seconds=None if node.status == "working" and not node.seconds else round(node.seconds, 1),
        since=node.started_at if node.status == "working" else None,
        tokens=node.usage.input_tokens + node.usage.output_tokens,
        cost_usd=node.usage.cost_usd,
    )


def _plan(workflow: Workflow, state: RunState) -> Plan | None:
    if workflow.answer is None or workflow.answer.plan is None:
        return None
    return as_plan(state.latest(workflow.answer.plan))


def as_plan(arguments: Json | None) -> Plan | None:
    """The plan that these arguments are; None if they are none."""
    if arguments is None:
        return None
    try:
        return Plan.model_validate(arguments)
    except ValidationError:
        return None


def _done_tasks(workflow: Workflow, state: RunState) -> frozenset[str]:
    output = state.latest(workflow.answer.draft) if workflow.answer else None
    try:
        draft = Draft.model_validate(output)
    except ValidationError:  # not there yet, or made or edited into something else
        return frozenset()
    return frozenset(r.task_id for r in draft.task_results if r.done)


def _facts(state: RunState) -> tuple[tuple[str, str], ...]:
    facts: list[tuple[str, str]] = [("Workflow", state.created.workflow), ("Run", state.run_id)]
    facts += _usage_facts(state.usage, state.created.engine)
    if state.ended_at is not None and state.started_at is not None:
        facts.append(("Time", duration((state.ended_at - state.started_at).total_seconds())))
    return tuple(facts)


def _usage_facts(usage: Usage, engine: Engine) -> list[tuple[str, str]]:
    tokens = f"{usage.input_tokens + usage.output_tokens:,}"
    if usage.input_tokens or usage.output_tokens:
        tokens += f" ({usage.input_tokens:,} in, {usage.output_tokens:,} out)"
        return [("Tokens", tokens), ("Cost", money(usage.cost_usd))]
    # A call that was broken off is not counted, but it was made.
    why = "no model was asked" if engine == "rules" else "no model has answered"
    return [("Tokens", tokens), ("Cost", f"nothing, {why}")]


def _controls(state: RunState) -> tuple[Button, ...]:
    if state.ended is not None:
        return ()
    stop = Button(action="stop", target=state.run_id, label="Stop", style="danger")
    if state.paused or state.pause_wanted:
        return (Button(action="resume", target=state.run_id, label="Resume", style="primary"), stop)
    if state.status in ("running", "waiting"):
        return (Button(action="pause", target=state.run_id, label="Pause"), stop)
    return (stop,)


# ── approvals ────────────────────────────────────────────────────────────────────────────────


def _was_asked(approval: Approval) -> bool:
    resolved = approval.resolved
    return not (resolved is not None and resolved.who is not None and resolved.who.key.startswith("policy:"))


def approval_card(state: RunState, approval: Approval) -> Card:
    """A question to people, and who decided what and when."""
    asked = approval.asked
    resolved, decision = approval.resolved, approval.decision
    arguments = _decided(approval)
    plan = as_plan(arguments)
    parts: list[CardPart] = []
    if asked.body:
        parts.append(MarkdownPart(text=asked.body))
    if plan is not None:
        parts.append(plan_part(plan, state=None))  # it is the plan that is in question, not the work
    else:
        parts += [FactsPart(facts=tuple((k, str(v)) for k, v in arguments.items()))]
    if resolved is not None and resolved.changes:
        parts.append(NotesPart(title="What the edit changed", notes=resolved.changes))
    comment = (resolved.comment if resolved else "") or (decision.comment if decision else "")
    if comment:
        parts.append(NotesPart(title="Comment", notes=(comment,)))
    is_open = resolved is None and decision is None and state.ended is None
    facts: list[tuple[str, str]] = []
    if asked.approvers:
        names = _names(state)
        facts.append(("May decide", ", ".join(names.get(key, key) for key in asked.approvers)))
    if not asked.allow_requester:
        facts.append(("Not", "the person who asked"))
    if is_open:
        facts.append(("Open until", f"{asked.expires_at:%Y-%m-%d %H:%M} UTC"))
    elif approval.decided_at is not None:
        facts.append(("Decided", f"{approval.decided_at:%Y-%m-%d %H:%M:%S} UTC"))
    if facts:
        parts.append(FactsPart(facts=tuple(facts)))
    return Card(
        id=CardId(f"{state.run_id}:approval:{asked.approval_id}"),
        kind="approval",
        title=asked.title,
        status=_approval_status(state, approval),
        parts=tuple(parts),
        buttons=_approval_buttons(asked.approval_id) if is_open else (),
        label=label(state),
    )


def _decided(approval: Approval) -> Json:
    """What the question is about; once it was edited, what goes on instead."""
    resolved, decision = approval.resolved, approval.decision
    if resolved is not None:
        return resolved.output if resolved.outcome == "edit" and resolved.output else approval.asked.arguments
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


def _approval_status(state: RunState, approval: Approval) -> str:
    resolved, decision = approval.resolved, approval.decision
    if resolved is not None and resolved.outcome == "expired":
        return f"{_EXPIRY_WORDS[approval.asked.on_expiry]}: nobody decided in time"
    if decision is not None:
        return f"{_OUTCOME_WORDS[decision.decision]} by {decision.who.name}"
    if state.ended is not None:
        return f"withdrawn: the run was {state.ended.status}"
    return "waiting for your decision"


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
            parts=(MarkdownPart(text=_escape(message)), FactsPart(facts=_facts(state))),
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
    parts.append(FactsPart(facts=(*facts, *_facts(state))))
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
