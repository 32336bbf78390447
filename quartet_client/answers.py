"""What Quartet answers, typed. Unknown fields are ignored: a client may be older than its server.

Statuses are plain text for the same reason. Times are aware, UTC, unless the name says otherwise.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
Json = dict[str, Any]

ENDED = frozenset({"completed", "failed", "rejected", "stopped", "expired"})
"""Statuses of runs that do not change any more."""
GRAPH_ENDED = frozenset({"completed", "failed", "partial"})
"""Statuses of graphs that do not change any more."""
EXECUTION_ENDED = frozenset({"completed", "failed"})
"""Statuses of executions that do not change any more."""
SESSION_ENDED = frozenset({"COMPLETED", "ERROR"})
"""Statuses of sessions that do not change any more."""


class Answered(BaseModel):
    """Anything the server sends."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Component(Answered):
    """How one part of the bot is."""

    status: str
    detail: str = ""  # what is wrong and what to do


class Health(Answered):
    """How the bot is. It also comes when the bot cannot take turns: look at `status`."""

    status: str  # healthy, degraded
    active_workflows: int = 0
    timestamp: datetime | None = None
    components: dict[str, Component] = Field(default_factory=dict)


# ── chat and runs ────────────────────────────────────────────────────────────────────────────


class Problem(Answered):
    """Why something failed."""

    kind: str = ""
    message: str = ""


class Usage(Answered):
    """Tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0
    calls: int = 0  # of models


class Source(Answered):
    """What an answer cites."""

    id: int
    title: str = ""
    url: str = ""
    quoted: str = ""


class Review(Answered):
    """What the reviewer made of the answer."""

    score: float | None = None  # 0 to 10
    merged: int = 0  # edits of the reviewer that are in the answer
    notes: list[str] = Field(default_factory=list)


class Artifact(Answered):
    """A file that agents made."""

    name: str
    media_type: str = ""
    text: str = ""


class Approval(Answered):
    """A question to people, and what came of it."""

    id: str
    run_id: str
    conversation_id: str = ""
    node: str = ""
    title: str = ""
    body: str = ""
    arguments: Json = Field(default_factory=dict)  # what is asked about
    digest: str = ""  # of the arguments
    approvers: list[str] = Field(default_factory=list)  # empty: anyone
    quorum: int = 1
    expires_at: datetime | None = None
    outcome: str | None = None  # None: waiting
    decided_by: str | None = None
    comment: str = ""


class Timings(Answered):
    """Seconds."""

    queued_s: float | None = None
    total_s: float | None = None
    nodes: dict[str, float] = Field(default_factory=dict)


class Message(Answered):
    """One message of a conversation."""

    role: str
    content: str


class Metadata(Answered):
    """About an answer."""

    engine: str = ""  # "rules": no language model worked
    workflow: str = ""
    sources: list[Source] = Field(default_factory=list[Source])
    review: Review | None = None
    usage: Usage = Field(default_factory=Usage)
    cost: float | None = None  # US dollars; None: no price is known
    timings: Timings = Field(default_factory=Timings)
    artifacts: list[Artifact] = Field(default_factory=list[Artifact])
    approvals: list[Approval] = Field(default_factory=list[Approval])  # that wait for people
    problem: Problem | None = None


class ChatAnswer(Answered):
    """The answer to a turn, or how far it is."""

    conversation_id: str
    run_id: str
    status: str
    message: Message
    metadata: Metadata = Field(default_factory=Metadata)

    @property
    def text(self) -> str:
        """What the bot says: Markdown, untrusted."""
        return self.message.content

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.status in ENDED


class ChatEvent(Answered):
    """One event of a turn's stream. `type` says which; the other fields are in `fields`."""

    type: str
    fields: Json = Field(default_factory=dict)
    answer: ChatAnswer | None = None  # in the last one


class Step(Answered):
    """One attempt of one node."""

    node: str
    visit: int = 1
    attempt: int = 1
    status: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    problem: Problem | None = None
    usage: Usage = Field(default_factory=Usage)
    cost: float | None = None


class Run(Answered):
    """A run."""

    id: str
    status: str
    conversation_id: str = ""
    workflow: str = ""
    engine: str | None = None
    text: str = ""
    requested_by: str = ""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    steps: list[Step] = Field(default_factory=list[Step])
    usage: Usage = Field(default_factory=Usage)
    cost: float | None = None
    problem: Problem | None = None
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status in ENDED


class RunDetail(Run):
    """A run with its answer."""

    response: ChatAnswer | None = None


class Page(Answered, Generic[Item]):
    """A part of a list; `next` is the `cursor` of the part that follows, None at the end."""

    items: list[Item]
    next: str | None = None


class RunEvent(Answered):
    """A fact in a run's log."""

    run_id: str
    seq: int  # 1, 2, 3, … without gaps
    at: datetime
    type: str
    body: Json = Field(default_factory=dict)


# ── execute ──────────────────────────────────────────────────────────────────────────────────


class PlanStep(Answered):
    """A step of a plan."""

    id: str
    title: str = ""
    description: str = ""
    status: str = ""


class ExecutionPlan(Answered):
    """How a goal is worked on."""

    strategy: str = ""
    parallelism: int | None = None
    title: str = ""
    summary: str = ""
    steps: list[PlanStep] = Field(default_factory=list[PlanStep])


class ExecutionTask(Answered):
    """A task of an execution."""

    id: str
    name: str = ""
    tool: str | None = None
    status: str = ""
    priority: Any = None


class Execution(Answered):
    """The work on a goal."""

    id: str
    runId: str = ""  # the run in `runs`; there it can be stopped
    status: str  # pending, running, completed, failed
    executionTime: float | None = None  # milliseconds; names are the route's words
    tokensUsed: int | None = None
    goal: Any = None
    plan: ExecutionPlan | None = None
    tasks: list[ExecutionTask] = Field(default_factory=list[ExecutionTask])
    engine: str = ""
    cost: float | None = None
    error: str | None = None  # why it failed

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status in EXECUTION_ENDED


class Executed(Answered):
    """What came of a goal."""

    execution: Execution
    result: Any = None  # Markdown, untrusted; None: there is none (yet)
    sources: list[Source] = Field(default_factory=list[Source])


class ExecutionEvent(Answered):
    """One event of an execution's stream: `progress`, `update`, at the end `done`."""

    type: str
    execution: Execution | None = None  # of `update` and `done`
    fields: Json = Field(default_factory=dict)  # all that came


# ── graphs ───────────────────────────────────────────────────────────────────────────────────


class GraphTask(Answered):
    """A task of a graph."""

    task_id: str
    agent_id: str
    agent_role: str = ""
    status: str = ""  # pending, running, completed, failed
    started_at: datetime | None = None
    completed_at: datetime | None = None
    result: Json | None = None
    error: str | None = None


class GraphRun(Answered):
    """A graph of tasks and how far it is."""

    workflow_id: str
    workflow_type: str = ""
    status: str  # pending, running, completed, failed, partial
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    tasks: list[GraphTask] = Field(default_factory=list[GraphTask])
    metadata: Json = Field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status in GRAPH_ENDED

    def task(self, agent_id: str) -> GraphTask:
        """The task of an agent.

        Raises:
            KeyError: there is none.
        """
        for task in self.tasks:
            if task.agent_id == agent_id:
                return task
        raise KeyError(agent_id)


Submitted = GraphRun
"""What `submit` answers: the graph as it was taken, every task pending."""


# ── sessions ─────────────────────────────────────────────────────────────────────────────────


class Session(Answered):
    """A team at work on a task."""

    id: str
    task: str = ""
    model: str | None = None
    created_at: float = 0.0  # seconds since 1970
    status: str  # BUILDING_TEAM, EXECUTING_TASK, WAITING_FOR_INPUT, COMPLETED, ERROR

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status in SESSION_ENDED


class SessionLog(Answered):
    """A line of a session: what an agent said, a status or an error."""

    type: str  # log, status, error
    content: str = ""
    timestamp: float | str | None = None
    id: int | None = None  # 1, 2, 3, … in the session; None: how it is at the moment
