"""What HTTP answers are made of, and how they are made from a run. Pure.

`chat_response` is the answer of `POST /v1/chat`; `quartet ask --json` prints the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from orchestrator.artifacts import Answer, Source
from orchestrator.engine.state import Approval, RunState, Step
from orchestrator.events import ApprovalRequested, Engine, RunId, RunStatus, Usage
from orchestrator.events import Problem as RunProblem
from orchestrator.ports import ApprovalRow, RunRow

PREFIX = "api:local:"  # of conversations that HTTP clients name


class UsageView(BaseModel):
    """Tokens of a run or a step."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = Field(description="part of input_tokens")
    total_tokens: int
    calls: int = Field(description="model calls")


class ProblemView(BaseModel):
    """Why something failed."""

    kind: str
    message: str = Field(description="what happened and what to do")


class ReviewView(BaseModel):
    """What the reviewer made of the answer."""

    score: float | None = Field(description="0 to 10")
    merged: int = Field(description="edits of the reviewer that are in the answer")
    notes: list[str] = Field(description="remarks that are not")


class Timings(BaseModel):
    """Seconds."""

    queued_s: float | None = Field(description="behind earlier turns; null: not started")
    total_s: float | None = Field(description="from the turn to the end; null: not ended")
    nodes: dict[str, float] = Field(description="of all ended attempts, by node")


class ArtifactView(BaseModel):
    """A file that agents made."""

    name: str
    media_type: str
    text: str


class ApprovalView(BaseModel):
    """A question to people, and what came of it."""

    id: str
    run_id: str
    conversation_id: str
    node: str
    title: str
    body: str
    arguments: dict[str, Any] = Field(description="what is asked about: a plan")
    digest: str = Field(description="SHA-256 of the arguments; send it back with a decision")
    approvers: list[str] = Field(description="person keys or group ids; empty: anyone")
    quorum: int = Field(description="decisions that are needed")
    expires_at: datetime
    outcome: Literal["approve", "edit", "changes", "reject", "expired", "withdrawn"] | None = Field(
        description="null: waiting"
    )
    decided_by: str | None = Field(description="name of who decided")
    comment: str


class Metadata(BaseModel):
    """About an answer."""

    engine: Engine = Field(description="`rules`: no language model worked")
    workflow: str
    sources: list[Source]
    review: ReviewView | None
    usage: UsageView
    cost: float | None = Field(description="US dollars; null: no price is known")
    timings: Timings
    artifacts: list[ArtifactView]
    approvals: list[ApprovalView] = Field(description="questions that wait for people")
    problem: ProblemView | None = Field(description="why the run failed")


class ChatMessage(BaseModel):
    """What the bot says."""

    role: Literal["assistant"] = "assistant"
    content: str = Field(description="Markdown; untrusted, as agents read pages of strangers")


class ChatResponse(BaseModel):
    """The answer to a turn, or how far it is."""

    conversation_id: str
    run_id: str
    status: RunStatus
    message: ChatMessage
    metadata: Metadata


class StepView(BaseModel):
    """One attempt of one node."""

    node: str
    visit: int = Field(description="1 at the first time through a loop")
    attempt: int
    status: Literal["working", "asking", "done", "failed", "skipped"]
    started_at: datetime
    ended_at: datetime | None
    problem: ProblemView | None
    usage: UsageView
    cost: float | None


class RunView(BaseModel):
    """A run."""

    id: str
    conversation_id: str
    workflow: str
    engine: Engine | None = Field(description="null: the log cannot be read")
    status: RunStatus
    text: str = Field(description="first 200 characters of the turn")
    requested_by: str = Field(description="person key")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps: list[StepView]
    usage: UsageView
    cost: float | None
    problem: ProblemView | None
    reason: str = Field(description="who stopped or rejected it, what expired")


class FeedbackView(BaseModel):
    """What a person thinks of an answer."""

    who: str = Field(description="name of the person")
    good: bool
    comment: str


class RunDetail(RunView):
    """A run with its answer."""

    response: ChatResponse
    feedback: list[FeedbackView] = Field(description="the newest word of each person")


class RunList(BaseModel):
    """A page of runs, newest first."""

    items: list[RunView]
    next: str | None = Field(description="cursor of the next page")


class ApprovalList(BaseModel):
    """A page of waiting approvals, oldest first."""

    items: list[ApprovalView]
    next: str | None = Field(description="cursor of the next page")


# ── made of a run ────────────────────────────────────────────────────────────────────────────


def chat_response(state: RunState) -> ChatResponse:
    """The answer to the turn of a run, or how far it is."""
    answer = answer_of(state)
    created, ended = state.created, state.ended
    return ChatResponse(
        conversation_id=outside_id(created.conversation_id),
        run_id=state.run_id,
        status=state.status,
        message=ChatMessage(content=answer.body if answer else _words(state)),
        metadata=Metadata(
            engine=created.engine,
            workflow=created.workflow,
            sources=list(answer.sources) if answer else [],
            review=ReviewView(score=answer.score, merged=answer.merged, notes=list(answer.notes))
            if answer
            else None,
            usage=usage_view(state.usage),
            cost=state.usage.cost_usd,
            timings=_timings(state),
            artifacts=[
                ArtifactView(name=f.name, media_type=f.media_type, text=f.text)
                for f in (answer.files if answer else ())
            ],
            approvals=[approval_view(state, a) for a in state.open_approvals()],
            problem=_problem(ended.problem) if ended else None,
        ),
    )


def run_view(state: RunState) -> RunView:
    """A run in lists."""
    return RunView(**_run(state))


def run_detail(state: RunState) -> RunDetail:
    """A run with its answer."""
    feedback = [
        FeedbackView(who=given.who.name, good=given.good, comment=given.comment)
        for given in state.feedback.values()
    ]
    return RunDetail(**_run(state), response=chat_response(state), feedback=feedback)


def unreadable_run(row: RunRow, message: str) -> RunView:
    """A run whose log this version cannot read."""
    return RunView(
        id=row.id,
        conversation_id=outside_id(row.conversation_id),
        workflow=row.workflow,
        engine=None,
        status=row.status,
        text=row.text,
        requested_by=row.who,
        created_at=row.created_at,
        started_at=None,
        ended_at=row.ended_at,
        steps=[],
        usage=usage_view(row.usage),
        cost=row.usage.cost_usd,
        problem=ProblemView(kind="unknown_event", message=message),
        reason="",
    )


def approval_view(state: RunState, approval: Approval) -> ApprovalView:
    """A question with what came of it."""
    decision, resolved = approval.decision, approval.resolved
    who = decision.who if decision else resolved.who if resolved else None
    view = _asked(state.run_id, state.created.conversation_id, approval.asked)
    return view.model_copy(
        update={
            "outcome": outcome(approval),
            "decided_by": who.name if who else None,
            "comment": decision.comment if decision else resolved.comment if resolved else "",
        }
    )


def waiting_view(row: ApprovalRow) -> ApprovalView:
    """A question that waits, from the list of those."""
    return _asked(row.run_id, row.conversation_id, row.asked)


def outcome(approval: Approval) -> str | None:
    """What was decided; None: nothing yet."""
    if approval.decision is not None:
        return approval.decision.decision
    return approval.resolved.outcome if approval.resolved else None


def answer_of(state: RunState) -> Answer | None:
    """What a run answered; None: nothing, or not yet."""
    if state.ended is None or state.ended.answer is None:
        return None
    try:
        return Answer.model_validate(state.ended.answer)
    except ValidationError:  # of a version that knew other fields
        return Answer(body=str(state.ended.answer.get("body", "")))


def usage_view(usage: Usage) -> UsageView:
    """Tokens."""
    return UsageView(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        calls=usage.calls,
    )


# ── ids of conversations ─────────────────────────────────────────────────────────────────────


def inside_id(conversation_id: str) -> str:
    """Our id of a conversation that an HTTP client names."""
    return f"{PREFIX}{conversation_id}:"


def outside_id(conversation_id: str) -> str:
    """The client's id again; conversations of chat platforms keep theirs."""
    if conversation_id.startswith(PREFIX) and conversation_id.endswith(":"):
        return conversation_id[len(PREFIX) : -1]
    return conversation_id


# ── parts ────────────────────────────────────────────────────────────────────────────────────


def moment(at: datetime) -> str:
    """A time as all answers say it: `2026-11-21T12:00:00.123456Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _run(state: RunState) -> dict[str, Any]:
    created, ended = state.created, state.ended
    return {
        "id": state.run_id,
        "conversation_id": outside_id(created.conversation_id),
        "workflow": created.workflow,
        "engine": created.engine,
        "status": state.status,
        "text": created.turn.text[:200],
        "requested_by": created.turn.who.key,
        "created_at": state.created_at,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "steps": [_step(s) for s in state.steps],
        "usage": usage_view(state.usage),
        "cost": state.usage.cost_usd,
        "problem": _problem(ended.problem) if ended else None,
        "reason": ended.reason if ended else "",
    }


def _step(step: Step) -> StepView:
    return StepView(
        node=step.node,
        visit=step.visit,
        attempt=step.attempt,
        status=step.status,
        started_at=step.started_at,
        ended_at=step.ended_at,
        problem=_problem(step.problem),
        usage=usage_view(step.usage),
        cost=step.usage.cost_usd,
    )


def _asked(run_id: RunId, conversation_id: str, asked: ApprovalRequested) -> ApprovalView:
    return ApprovalView(
        id=asked.approval_id,
        run_id=run_id,
        conversation_id=outside_id(conversation_id),
        node=asked.node,
        title=asked.title,
        body=asked.body,
        arguments=asked.arguments,
        digest=asked.digest,
        approvers=list(asked.approvers),
        quorum=1,
        expires_at=asked.expires_at,
        outcome=None,
        decided_by=None,
        comment="",
    )


def _words(state: RunState) -> str:
    """What is said while there is no answer, or instead of one."""
    ended = state.ended
    if ended is not None:
        if ended.problem is not None:
            return f"This could not be done: {ended.problem.message}"
        return f"The run was {state.status}{f': {ended.reason}' if ended.reason else ''}."
    waiting = state.open_approvals()
    if waiting:
        asked = waiting[0].asked
        title = asked.title if asked.title.endswith((".", "?", "!", "…")) else f"{asked.title}."
        if asked.wants == "text":
            how = 'with {"decision": "edit", "edited": {"text": "…"}}'
            return f"Waiting for an answer: {title} Answer with POST /v1/approvals/{asked.approval_id} {how}."
        return f"Waiting for approval: {title} Decide with POST /v1/approvals/{asked.approval_id}."
    return f"The run is {state.status}. GET /v1/runs/{state.run_id} shows how far it is."


def _timings(state: RunState) -> Timings:
    started, ended = state.started_at, state.ended_at
    return Timings(
        queued_s=round((started - state.created_at).total_seconds(), 3) if started else None,
        total_s=round((ended - state.created_at).total_seconds(), 3) if ended else None,
        nodes={name: round(node.seconds, 3) for name, node in state.nodes.items()},
    )


def _problem(problem: RunProblem | None) -> ProblemView | None:
    return ProblemView(kind=problem.kind, message=problem.message) if problem else None
