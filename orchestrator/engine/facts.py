"""What each move means in the log. Pure: a move becomes the events that perform it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never, cast

from orchestrator import approvals, expressions, templates
from orchestrator.engine.answer import answer_of
from orchestrator.engine.kinds import (
    Ask,
    Branch,
    Drop,
    End,
    Fail,
    Finish,
    Move,
    Open,
    Resolve,
    SetPaused,
    Skip,
    Start,
    Take,
    failed,
)
from orchestrator.engine.scopes import node_of, variables
from orchestrator.engine.state import Approval, RunState
from orchestrator.engine.steps import ended, started
from orchestrator.events import (
    ApprovalRequested,
    ApprovalResolved,
    Body,
    BranchDropped,
    BranchTaken,
    EdgesTaken,
    GroupStarted,
    Json,
    RunEnded,
    RunPaused,
    RunResumed,
    StepFailed,
    StepSkipped,
    Who,
)
from orchestrator.workflow import ApprovalNode, InputNode, MapNode, Workflow, scope_of

POLICY = Who(key="policy:auto", name="automatic")


def facts(workflow: Workflow, state: RunState, move: Move, now: datetime) -> list[Body]:
    """The events that perform a move; an agent's work itself follows its StepStarted."""
    match move:
        case Start(node, visit, attempt, after):
            return [started(node, visit, attempt, after)]
        case Branch(node, visit, after, to, why):
            return [BranchTaken(node=node, visit=visit, after=after, to=to, why=why)]
        case Take(node, to, dead):
            return [EdgesTaken(node=node, to=to, dead=dead)]
        case Ask():
            return _ask(workflow, state, move, now)
        case Open(node, visit, attempt, after, kind, items, inputs):
            return [
                GroupStarted(
                    node=node,
                    visit=visit,
                    attempt=attempt,
                    after=after,
                    kind=kind,
                    items=items,
                    inputs=inputs or {},
                )
            ]
        case End(node, visit, attempt, output):
            return [ended(node, visit, attempt, output, _seconds(state, node, now))]
        case Fail():
            return _fail(workflow, state, move, now)
        case Drop(node, after):
            return [BranchDropped(node=node, after=after)]
        case Skip(node, visit, after, why):
            skipped = StepSkipped(node=node, visit=visit, after=after, why=why)
            return [*_withdrawn(state, node), skipped]
        case Resolve(approval, expired):
            return [_resolved(approval, expired)]
        case SetPaused(paused):
            return [RunPaused() if paused else RunResumed()]
        case Finish(status, reason, problem):
            answer: Json | None = None
            if status == "completed":
                answer = answer_of(workflow, state).model_dump(mode="json")
            return [RunEnded(status=status, answer=answer, problem=problem, reason=reason)]
        case _:
            assert_never(move)


def _seconds(state: RunState, node: str, now: datetime) -> float:
    return round(max(0.0, (now - state.nodes[node].started_at).total_seconds()), 3)


def _fail(workflow: Workflow, state: RunState, move: Fail, now: datetime) -> list[Body]:
    """A group that failed: what of it still waits for people is withdrawn; it may be tried again."""
    node = node_of(workflow, state, move.node)
    retry = node.retry
    # What a map says of retries holds for each of its items; they are not all done again for one.
    whole_map = isinstance(node, MapNode) and not move.node.endswith("]")
    again = move.attempt <= retry.max_retries and not whole_map
    lost = StepFailed(
        node=move.node,
        visit=move.visit,
        attempt=move.attempt,
        problem=move.problem,
        retry_at=now + timedelta(seconds=retry.delay(move.attempt)) if again else None,
        seconds=_seconds(state, move.node, now),
    )
    return [*_withdrawn(state, move.node), lost]


def _withdrawn(state: RunState, node: str) -> list[Body]:
    """Questions of a node that is given up, and of those inside of it."""
    inside = (f"{node}/", f"{node}[")
    return [
        ApprovalResolved(
            node=a.asked.node,
            visit=a.asked.visit,
            approval_id=a.asked.approval_id,
            outcome="withdrawn",
        )
        for a in state.approvals.values()
        if a.resolved is None and (a.asked.node == node or a.asked.node.startswith(inside))
    ]


def _ask(workflow: Workflow, state: RunState, move: Ask, now: datetime) -> list[Body]:
    try:
        asked, named = _request(workflow, state, move, now)
    except expressions.ExpressionError as error:
        return facts(workflow, state, failed(f"node {move.node!r}: {error}"), now)
    bodies: list[Body] = [
        started(move.node, move.visit, 1, move.after),
        asked,
    ]
    settings = state.created.settings
    # Whom a workflow itself names has to decide: no setting of a channel or a caller stands in for them.
    if settings.approvals == "auto" and asked.wants == "decision" and not named:
        bodies.append(
            ApprovalResolved(
                node=move.node,
                visit=move.visit,
                approval_id=asked.approval_id,
                outcome="approve",
                who=POLICY,
                output=asked.arguments,
            )
        )
    elif settings.asks == "refuse":
        bodies.append(
            ApprovalResolved(
                node=move.node,
                visit=move.visit,
                approval_id=asked.approval_id,
                outcome="reject",
                who=POLICY,
                comment="nobody is there to answer",
            )
        )
    return bodies


def _request(workflow: Workflow, state: RunState, move: Ask, now: datetime) -> tuple[ApprovalRequested, bool]:
    """The question, and whether the workflow itself names who decides."""
    node = node_of(workflow, state, move.node)
    names = variables(workflow, state, move.node)
    settings = state.created.settings
    if isinstance(node, InputNode):
        question = templates.fill(node.question, names)
        asked = approvals.question(state.run_id, move.node, move.visit, node, question, settings, now)
        return asked, bool(node.approvers)
    assert isinstance(node, ApprovalNode)
    around = scope_of(move.node)
    of = f"{around}/{node.of}" if around else node.of
    arguments = state.latest(of)
    assert arguments is not None  # moves checked
    approvers = node.approvers
    if node.approvers_from is not None:
        # Who asks may choose among those who may decide, and cannot put others in their place.
        wanted, may = _listed(expressions.value(node.approvers_from, names)), approvers or settings.approvers
        approvers = (
            tuple(one for one in wanted if not may or one in may) or approvers or (may if wanted else ())
        )
    filled = node.model_copy(
        update={"of": of, "body": templates.fill(node.body, names), "approvers": approvers}
    )
    asked = approvals.request(state.run_id, move.node, move.visit, filled, arguments, settings, now)
    return asked, bool(approvers)


def _listed(value: object) -> tuple[str, ...]:
    """Approvers as an input gives them: a list, or a text with commas."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list | tuple):
        return tuple(str(one).strip() for one in cast("list[object]", value) if str(one).strip())
    return ()


def _resolved(approval: Approval, expired: bool) -> ApprovalResolved:
    """What a decision, or its absence, means for the run."""
    asked, decision = approval.asked, approval.decision
    if expired or decision is None:
        return ApprovalResolved(
            node=asked.node,
            visit=asked.visit,
            approval_id=asked.approval_id,
            outcome="expired",
            output=_default(asked),
        )
    output: Json | None = asked.arguments
    changes: tuple[str, ...] = ()
    if asked.wants == "text":
        output = None  # rejected: nobody said anything
    if decision.decision == "edit" and decision.edited is not None:
        output, changes = decision.edited, approvals.difference(asked.arguments, decision.edited)
    return ApprovalResolved(
        node=asked.node,
        visit=asked.visit,
        approval_id=asked.approval_id,
        outcome=decision.decision,
        who=decision.who,
        comment=decision.comment,
        output=output,
        changes=changes,
    )


def _default(asked: ApprovalRequested) -> Json:
    """What goes on where nobody answered in time."""
    return {"text": asked.arguments.get("default", "")} if asked.wants == "text" else asked.arguments
