"""What an event changes in the read models. Pure, and the same for every database.

The stores translate each change into their SQL, in the transaction that appends the event, and
again when the read models are rebuilt from the log. Most events change nothing but the run's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.events import (
    ApprovalId,
    ApprovalRequested,
    ApprovalResolved,
    Body,
    DecisionGiven,
    GroupStarted,
    ModelAnswered,
    RunCreated,
    RunEnded,
    RunStatus,
    Steered,
    StepEnded,
    StepFailed,
    StepSkipped,
    StepStarted,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over: no timers, nothing waits for people, the conversation is free."""

    status: RunStatus


@dataclass(frozen=True, slots=True)
class Asked:
    """A question waits for people."""

    approval_id: ApprovalId


@dataclass(frozen=True, slots=True)
class Answered:
    """A question waits no more."""

    approval_id: ApprovalId


@dataclass(frozen=True, slots=True)
class TimerSet:
    """Something is due at a time."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TimerCleared:
    """It is not due any more."""

    name: str


@dataclass(frozen=True, slots=True)
class Spent:
    """A model was used."""

    model: str  # "provider:model"
    usage: Usage


@dataclass(frozen=True, slots=True)
class Received:
    """A message was handed to the run; delivered again, it is known."""

    key: str


Change = Received | Ended | Asked | Answered | TimerSet | TimerCleared | Spent
NONE: tuple[Change, ...] = ()


def changes(body: Body) -> tuple[Change, ...]:
    """What this event changes beside the run's sequence number."""
    # Most events come first. `isinstance` of a pydantic model that it is not takes a microsecond.
    if type(body) is StepEnded:
        return NONE
    if type(body) is StepStarted:
        # Only a later attempt had a timer.
        return (TimerCleared(_retry(body.node, body.visit)),) if body.attempt > 1 else NONE
    match body:
        case StepFailed():
            return (TimerSet(_retry(body.node, body.visit), body.retry_at),) if body.retry_at else NONE
        case ModelAnswered():
            # A call counts as one even where the provider reports nothing; `apply` does the same.
            used = body.usage.model_copy(update={"calls": max(1, body.usage.calls)})
            return (Spent(f"{body.provider}:{body.model}", used),)
        case ApprovalRequested():
            return (Asked(body.approval_id), TimerSet(_expiry(body.approval_id), body.expires_at))
        case ApprovalResolved():
            return (Answered(body.approval_id), TimerCleared(_expiry(body.approval_id)))
        case Steered():
            return (Received(body.key),)
        case DecisionGiven():
            return (Received(body.key),) if body.key else NONE
        case GroupStarted():
            return (TimerCleared(_retry(body.node, body.visit)),) if body.attempt > 1 else NONE
        case StepSkipped():
            return (TimerCleared(_retry(body.node, body.visit)),)
        case RunCreated():
            return (TimerSet("deadline", body.deadline),) if body.deadline is not None else NONE
        case RunEnded():
            return (Ended(body.status),)
        case _:
            return NONE


def _retry(node: str, visit: int) -> str:
    return f"retry:{node}:{visit}"


def _expiry(approval_id: ApprovalId) -> str:
    return f"approval:{approval_id}"
