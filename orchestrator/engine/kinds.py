"""The moves that there are. Each becomes events in `facts.py`."""

from __future__ import annotations

from typing import Any, Literal

from orchestrator.engine.state import Approval
from orchestrator.events import Json, Problem
from orchestrator.values import Value


class Start(Value, frozen=True):
    """Begin a node's work, or its next attempt."""

    node: str
    visit: int
    attempt: int
    after: tuple[str, ...]


class Open(Value, frozen=True):
    """Begin a node that works through others."""

    node: str
    visit: int
    attempt: int
    after: tuple[str, ...]
    kind: Literal["map", "workflow", "undo"]
    items: tuple[Any, ...] = ()
    inputs: Json | None = None


class Ask(Value, frozen=True):
    """Put a question to people (or answer it by policy)."""

    node: str
    visit: int
    after: tuple[str, ...]


class Branch(Value, frozen=True):
    """Let a decision node choose."""

    node: str
    visit: int
    after: tuple[str, ...]
    to: str
    why: str


class Take(Value, frozen=True):
    """Let a finished node lead where its edges lead: to several nodes, to one that waits, or nowhere."""

    node: str
    to: tuple[str, ...]
    dead: bool = False


class Drop(Value, frozen=True):
    """Branches arrived at a join that has gone on without them."""

    node: str
    after: tuple[str, ...]


class Skip(Value, frozen=True):
    """Do not work on a node (any more)."""

    node: str
    visit: int
    after: tuple[str, ...]
    why: str


class End(Value, frozen=True):
    """A node that worked through others is done."""

    node: str
    visit: int
    attempt: int
    output: Json


class Fail(Value, frozen=True):
    """A node that worked through others could not be done."""

    node: str
    visit: int
    attempt: int
    problem: Problem


class Resolve(Value, frozen=True):
    """Take note of a decision, or that time ran out."""

    approval: Approval
    expired: bool


class SetPaused(Value, frozen=True):
    """Start no new steps, or start them again."""

    paused: bool


class Finish(Value, frozen=True):
    """End the run."""

    status: Literal["completed", "failed", "rejected", "stopped", "expired"]
    reason: str = ""
    problem: Problem | None = None


Move = Start | Open | Ask | Branch | Take | Drop | Skip | End | Fail | Resolve | SetPaused | Finish
BEGINNING = (Start, Open, Ask)


def failed(message: str) -> Finish:
    """The end of a run whose definition cannot be followed further."""
    return Finish("failed", problem=Problem(kind="engine", message=message))
