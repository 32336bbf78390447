"""What each move means in the log. Pure: a move becomes the events that perform it."""

from __future__ import annotations

from datetime import datetime

from orchestrator import approvals
from orchestrator.engine.answer import answer_of
from orchestrator.engine.moves import Ask, Branch, Finish, Move, Resolve, SetPaused, Start
from orchestrator.engine.state import Approval, RunState
from orchestrator.engine.steps import started
from orchestrator.events import (
    ApprovalResolved,
    Body,
    BranchTaken,
    Json,
    RunEnded,
    RunPaused,
    RunResumed,
    Who,
)
from orchestrator.workflow import ApprovalNode, Workflow

POLICY = Who(key="policy:auto", name="automatic")


def facts(workflow: Workflow, state: RunState, move: Move, now: datetime) -> list[Body]:
    """The events that perform a move; an agent's work itself follows its StepStarted."""
    match move:
        case Start():
            return [started(*move)]
        case Branch(node, visit, after, to, why):
            return [BranchTaken(node=node, visit=visit, after=after, to=to, why=why)]
        case Ask():
            return _ask(workflow, state, move, now)
        case Resolve(approval, expired):
            return [_resolved(approval, expired)]
        case SetPaused(paused):
            return [RunPaused() if paused else RunResumed()]
        case Finish(status, reason, problem):
            answer: Json | None = None
            if status == "completed":
                answer = answer_of(workflow, state).model_dump(mode="json")
            return [RunEnded(status=status, answer=answer, problem=problem, reason=reason)]


def _ask(workflow: Workflow, state: RunState, move: Ask, now: datetime) -> list[Body]:
    node = workflow.nodes[move.node]
    assert isinstance(node, ApprovalNode)
    arguments = state.latest(node.of)
    assert arguments is not None  # moves checked
    settings = state.created.settings
    asked = approvals.request(state.run_id, move.node, move.visit, node, arguments, settings, now)
    bodies: list[Body] = [
        started(move.node, move.visit, 1, move.after),
        asked,
    ]
    if settings.approvals == "auto":
        bodies.append(
            ApprovalResolved(
                node=move.node,
                visit=move.visit,
                approval_id=asked.approval_id,
                outcome="approve",
                who=POLICY,
                output=arguments,
            )
        )
    return bodies


def _resolved(approval: Approval, expired: bool) -> ApprovalResolved:
    """What a decision, or its absence, means for the run."""
    asked, decision = approval.asked, approval.decision
    if expired or decision is None:
        return ApprovalResolved(
            node=asked.node,
            visit=asked.visit,
            approval_id=asked.approval_id,
            outcome="expired",
            output=asked.arguments,
        )
    output, changes = asked.arguments, ()
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
