"""What an event changes in the read models. Pure, and the same for every database.

The stores translate each change into their SQL, in the transaction that appends the event, and
again when the read models are rebuilt from the log. Most events change nothing but the run's row.
"""

from __future__ import annotations

from collections.abc import Callable
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
    of_kind = _OF_KIND.get(type(body))
    return NONE if of_kind is None else of_kind(body)


def _begun(body: StepStarted | GroupStarted) -> tuple[Change, ...]:
    """Only a later attempt had a timer."""
    return (TimerCleared(_retry(body.node, body.visit)),) if body.attempt > 1 else NONE


def _failed(body: StepFailed) -> tuple[Change, ...]:
    return (TimerSet(_retry(body.node, body.visit), body.retry_at),) if body.retry_at else NONE


def _answered(body: ModelAnswered) -> tuple[Change, ...]:
    # A call counts as one even where the provider reports nothing; `apply` does the same.
    used = body.usage.model_copy(update={"calls": max(1, body.usage.calls)})
    return (Spent(f"{body.provider}:{body.model}", used),)


def _asked(body: ApprovalRequested) -> tuple[Change, ...]:
    return (Asked(body.approval_id), TimerSet(_expiry(body.approval_id), body.expires_at))


def _resolved(body: ApprovalResolved) -> tuple[Change, ...]:
    return (Answered(body.approval_id), TimerCleared(_expiry(body.approval_id)))


def _steered(body: Steered) -> tuple[Change, ...]:
    return (Received(body.key),)


def _decided(body: DecisionGiven) -> tuple[Change, ...]:
    return (Received(body.key),) if body.key else NONE


def _skipped(body: StepSkipped) -> tuple[Change, ...]:
    return (TimerCleared(_retry(body.node, body.visit)),)


def _created(body: RunCreated) -> tuple[Change, ...]:
    return (TimerSet("deadline", body.deadline),) if body.deadline is not None else NONE


def _ended(body: RunEnded) -> tuple[Change, ...]:
    return (Ended(body.status),)


# Looked up: to ask a pydantic model what it is not takes a microsecond each time. All others change nothing.
_OF_KIND: dict[type, Callable[..., tuple[Change, ...]]] = {
    StepStarted: _begun,
    GroupStarted: _begun,
    StepFailed: _failed,
    StepSkipped: _skipped,
    ModelAnswered: _answered,
    ApprovalRequested: _asked,
    ApprovalResolved: _resolved,
    Steered: _steered,
    DecisionGiven: _decided,
    RunCreated: _created,
    RunEnded: _ended,
}


def _retry(node: str, visit: int) -> str:
    return f"retry:{node}:{visit}"


def _expiry(approval_id: ApprovalId) -> str:
    return f"approval:{approval_id}"
