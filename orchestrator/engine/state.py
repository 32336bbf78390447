"""A run's state: the fold of its events (`fold.py`). Pure; the log is the only truth.

Nodes are known by instance: `review` is a node of the run's own workflow, `review/security` one of
the workflow that `review` runs, `build[2]` the third item of a map, `build[2]/test` both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec.structs import replace

from orchestrator.events import (
    ApprovalId,
    ApprovalRequested,
    ApprovalResolved,
    DecisionGiven,
    FeedbackGiven,
    Json,
    Problem,
    RunCreated,
    RunEnded,
    RunId,
    RunStatus,
    Steered,
    StopRequested,
    Usage,
)
from orchestrator.ports import Recorded
from orchestrator.values import Value

NOTHING = Usage()
NodeStatus = Literal[
    "working", "asking", "retrying", "open", "done", "failed", "skipped"
]  # open: a group at work
Outcome = Literal["success", "error", "changes", "rejected", "expired", "skipped"]


class NodeState(Value, frozen=True):
    """Where a node is in its latest visit; usage and seconds are of all visits."""

    status: NodeStatus
    visit: int
    attempt: int
    started_at: datetime  # of the latest attempt
    ended_at: datetime | None = None
    seconds: float = 0.0  # of all ended attempts
    usage: Usage = NOTHING
    problem: Problem | None = None
    retry_at: datetime | None = None
    recorded: tuple[Recorded, ...] = ()  # inside the attempt under way
    http_retries: int = 0  # of all attempts
    agent: str = ""  # who works on the attempt, where the log says so
    member: str = ""  # its name in a team
    checkpoint: tuple[int, Json] | None = None  # what was saved last in this visit, and in which attempt
    step: int = -1  # where the attempt stands in `RunState.steps`

    def done(self, at: datetime, seconds: float) -> NodeState:
        """The attempt under way has ended well."""
        took = self.seconds + seconds
        return replace(self, status="done", ended_at=at, seconds=took, recorded=(), checkpoint=None)


class Step(Value, frozen=True):
    """One attempt of one visit, for timelines."""

    node: str
    visit: int
    attempt: int
    status: Literal["working", "asking", "done", "failed", "skipped"]
    started_at: datetime
    ended_at: datetime | None = None
    problem: Problem | None = None
    usage: Usage = NOTHING
    agent: str = ""  # where the log says who worked
    member: str = ""


class Approval(Value, frozen=True):
    """A question to people and what came of it."""

    asked: ApprovalRequested
    asked_at: datetime
    decision: DecisionGiven | None = None  # the one that counts
    decided_at: datetime | None = None
    resolved: ApprovalResolved | None = None
    late: tuple[DecisionGiven, ...] = ()  # came after the one that counts, or did not fit


class Finished(Value, frozen=True):
    """A node that ended and whose successor has not begun."""

    node: str
    outcome: Outcome
    to: str | None = (
        None  # where it leads, by name in the same workflow; "" ends the branch; None: not said yet
    )
    dead: bool = False  # what `to` needs has failed


class Group(Value, frozen=True):
    """A node that works through others: a map, another workflow, the undoing of steps."""

    kind: Literal["map", "workflow", "undo"]
    visit: int
    attempt: int
    items: tuple[Any, ...] = ()
    inputs: Mapping[str, Any] = {}
    begun: int = 0  # items, or nodes of the other workflow, that were started
    done: int = 0  # items that ended well
    failed: tuple[int, ...] = ()  # items that did not
    before: Mapping[str, int] = {}
    open: bool = True

    @property
    def at_work(self) -> int:
        """Items begun and not ended."""
        return self.begun - self.done - len(self.failed)


class RunState(Value, frozen=True):
    """Everything about a run that moves, cards and API answers are made of."""

    run_id: RunId
    seq: int
    created: RunCreated
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    nodes: Mapping[str, NodeState] = {}
    unended: tuple[str, ...] = ()  # of `nodes`, those that work, ask or wait for a retry
    outputs: Mapping[str, tuple[Json, ...]] = {}
    frontier: tuple[Finished, ...] = ()
    groups: Mapping[str, Group] = {}  # by node, each in its latest visit
    open_groups: tuple[str, ...] = ()  # of `groups`
    undone: Mapping[str, int] = {}  # node → its latest visit that was undone
    edges: Mapping[str, int] = {}  # Edge.key → times taken
    approvals: Mapping[ApprovalId, Approval] = {}
    steps: tuple[Step, ...] = ()
    comments: tuple[str, ...] = ()  # of Ask for changes
    steered: tuple[Steered, ...] = ()
    heard: int = 0  # so many of `steered` were there when the last step began
    model_calls: int = 0
    usage: Usage = NOTHING
    stop: StopRequested | None = None
    pause_wanted: bool = False
    paused: bool = False
    ended: RunEnded | None = None
    feedback: Mapping[str, FeedbackGiven] = {}  # by person key

    @property
    def status(self) -> RunStatus:
        """What people and lists are told. Worked out when somebody asks: most states are never asked."""
        if self.ended is not None:
            return self.ended.status
        if self.started_at is None:
            return "queued"
        asking = False
        for name in self.unended:
            status = self.nodes[name].status
            if status == "working":
                return "paused" if self.paused else "running"
            asking = asking or status == "asking"
        if self.paused:
            return "paused"
        # A decision that has been given but not resolved is work to do.
        return "waiting" if asking and self.open_approvals() else "running"

    def latest(self, node: str) -> Json | None:
        """The node's latest output; what people edited counts."""
        outputs = self.outputs.get(node)
        return outputs[-1] if outputs else None

    def open_approvals(self) -> list[Approval]:
        """Questions that wait for people, oldest first."""
        if self.ended is not None:
            return []
        return [a for a in self.approvals.values() if a.resolved is None and a.decision is None]
