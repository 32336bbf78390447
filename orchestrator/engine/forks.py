"""What a forked run shares with the run that it comes from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.engine.fold import fold
from orchestrator.errors import Refused
from orchestrator.events import (
    ApprovalRequested,
    ApprovalResolved,
    Body,
    BranchTaken,
    DecisionGiven,
    FeedbackGiven,
    GroupStarted,
    ModelAnswered,
    PauseRequested,
    ResumeRequested,
    RunCreated,
    RunEnded,
    RunEvent,
    RunId,
    RunPaused,
    RunResumed,
    RunStarted,
    StepFailed,
    StepSkipped,
    StepStarted,
    StopRequested,
    Usage,
)
from orchestrator.ids import approval_id
from orchestrator.workflow import scope_of

_BEGINNINGS = (StepStarted, GroupStarted, BranchTaken, StepSkipped)
# What belongs to the other run alone: its beginning, its end, what people did to it as a whole.
_ITS_OWN = (
    RunCreated,
    RunStarted,
    RunPaused,
    RunResumed,
    RunEnded,
    StopRequested,
    PauseRequested,
    ResumeRequested,
    FeedbackGiven,
)


def past(
    events: Sequence[RunEvent], node: str, new: RunId, now: datetime, *, changed: bool = False
) -> tuple[list[Body], int]:
    """The facts before a step's latest visit, as the new run's; and which visit that is.

    What was at work beside that step is at work in the new run as well, from its beginning. What the
    shared steps used was paid for once and is not counted again.

    Args:
        events: the other run's whole log.
        node: the step that the new run begins with.
        new: the new run's id, of which approvals' ids are made.
        now: aware, UTC; what waits for people or for a retry is given as long as it had then.
        changed: the new run has other inputs, so that nothing counts which people decided about the old ones.

    Raises:
        Refused: the run has not come to this step (names those it has come to), or people decided before it
            about inputs that are to change.
    """
    cut = max(
        (
            i
            for i, event in enumerate(events)
            if isinstance(event.body, _BEGINNINGS)
            and event.body.node == node
            and getattr(event.body, "attempt", 1) == 1
        ),
        default=None,
    )
    if cut is None:
        known = dict.fromkeys(e.body.node for e in events if isinstance(e.body, _BEGINNINGS))
        steps = ", ".join(known) or "none yet"
        raise Refused(f"the run has not come to the step {node!r}; its steps are {steps}")
    begun = events[cut].body
    assert isinstance(begun, _BEGINNINGS)
    if changed:
        _refuse_decided(events[:cut], node)
    asked: dict[str, ApprovalRequested] = {}
    bodies: list[Body] = []
    anew = _beginning_with(events[:cut], begun)
    for i, event in enumerate(events[:cut]):
        body = event.body
        if isinstance(body, _ITS_OWN) or i in anew:
            continue
        if isinstance(body, ApprovalRequested):
            asked[body.approval_id] = body
        bodies.append(_as_new(body, asked, new, now - event.at))
    # A log may not end in the middle of what was appended together: fold it once, to be sure.
    fold([events[0], *(RunEvent(events[0].run_id, seq, events[0].at, b) for seq, b in enumerate(bodies, 2))])
    return bodies, begun.visit


def _beginning_with(
    before: Sequence[RunEvent], begun: StepStarted | GroupStarted | BranchTaken | StepSkipped
) -> frozenset[int]:
    """Where the facts stand of what began in the same moment as a beginning of a workflow.

    A workflow's beginnings begin together, when nothing of it is there yet: one alone would never begin.
    """
    if begun.after or begun.node.endswith("]"):
        return frozenset()
    around = scope_of(begun.node)
    inside = f"{around}/" if around else ""
    found: list[int] = []
    for i in reversed(range(len(before))):
        node = getattr(before[i].body, "node", "")
        if node == around:
            break  # here the inner workflow began
        if node and node.startswith(inside):
            found.append(i)
    return frozenset(found)


def _refuse_decided(events: Sequence[RunEvent], node: str) -> None:
    for event in events:
        body = event.body
        if (
            isinstance(body, ApprovalResolved)
            and body.who is not None
            and not body.who.key.startswith("policy:")
        ):
            raise Refused(
                f"{body.who.name} decided at {body.node!r} about the inputs as they were; "
                f"to change them, fork from {body.node!r} or from an earlier step than {node!r}"
            )


def _as_new(body: Body, asked: dict[str, ApprovalRequested], new: RunId, later: timedelta) -> Body:
    if isinstance(body, ModelAnswered):
        return body.model_copy(update={"usage": Usage()})
    if isinstance(body, StepFailed) and body.retry_at is not None:
        return body.model_copy(update={"retry_at": body.retry_at + later})
    if isinstance(body, ApprovalRequested):
        renamed = approval_id(new, body.node, body.visit)
        return body.model_copy(update={"approval_id": renamed, "expires_at": body.expires_at + later})
    if isinstance(body, DecisionGiven | ApprovalResolved) and body.approval_id in asked:
        question = asked[body.approval_id]
        return body.model_copy(update={"approval_id": approval_id(new, question.node, question.visit)})
    return body
