"""The facts of a run. Append-only; everything else is a view of them.

A `RunEvent` is an envelope (run, number, time) around a body. Bodies live for years: each carries
`type` and `v`; when a body changes shape, raise `v` and add an upcaster in `upcast.py`. Never
change what an old body means. Facts from outside (`DecisionGiven`, `Steered`, `StopRequested`,
`PauseRequested`, `ResumeRequested`, `FeedbackGiven`) are appended by any process; `apply` decides
which count.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, NewType

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

RunId = NewType("RunId", str)
ApprovalId = NewType("ApprovalId", str)
Json = dict[str, Any]  # an object that went through JSON; shapes are checked where it is used

RunStatus = Literal[
    "queued", "running", "waiting", "paused", "completed", "failed", "rejected", "stopped", "expired"
]
ENDED: frozenset[str] = frozenset({"completed", "failed", "rejected", "stopped", "expired"})
DecisionKind = Literal["approve", "edit", "changes", "reject"]
Priority = Literal["critical", "high", "medium", "low"]
Engine = Literal["models", "rules"]
WITHDRAWN = "withdrawn: the message was deleted"  # StopRequested.reason of a turn that was taken back


class Fact(BaseModel):
    """Base of event bodies and their parts: frozen. Unknown fields are refused: they would be lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# ── parts ────────────────────────────────────────────────────────────────────────────────────


class Who(Fact):
    """A person, as the log remembers them."""

    key: str  # "platform:id"
    name: str


class StoredFile(Fact):
    """A file that came with a turn. Its bytes lie in the blobs under `sha256`."""

    name: str
    media_type: str
    size: int  # bytes
    sha256: str
    text: str | None = None  # what could be read of it as text; None: binary


class Line(Fact):
    """Something said earlier."""

    role: Literal["person", "bot", "other"]  # "other": not from our own record, untrusted
    name: str
    text: str


class ApiCall(Fact):
    """How a run came in over HTTP, and what its family of routes answers besides what the run says."""

    key: str = ""  # Idempotency-Key; "": none was sent
    digest: str = ""  # SHA-256 of the body: the same key with another body is refused
    about: Json = Field(default_factory=dict)  # metadata, names of tasks, the model that was wished, …


class TurnPart(Fact):
    """What a turn asks of one node alone. The words of who asks: never read as a template."""

    name: str  # what who asks calls it
    text: str  # what the node's agent reads in place of the turn's text
    inputs: Json = Field(default_factory=dict)  # what was given with it


class TurnRecord(Fact):
    """The turn that a run answers."""

    key: str  # inbox key
    text: str
    who: Who
    at: datetime  # aware, UTC
    context: dict[str, str] = Field(default_factory=dict)  # tone, length, format, …
    files: tuple[StoredFile, ...] = ()
    earlier: tuple[Line, ...] = ()  # thread text that is not in our own record
    history: tuple[Line, ...] | None = None  # set: replaces the stored conversation for this run
    instruction: str = ""  # of the caller, for every agent; stands under the rules of the house
    call: ApiCall | None = None  # None: it did not come over HTTP
    # By node, where each is asked for something of its own. Such a node sees its part and what the nodes that
    # lead to it put out, nothing else of the run.
    parts: dict[str, TurnPart] = Field(default_factory=dict[str, TurnPart])


class RunSettings(Fact):
    """What the channel's settings were when the run was made; they stay for the run's life."""

    approvals: Literal["ask", "auto"] = "ask"
    approvers: tuple[str, ...] = ()  # person keys or group ids; empty: anyone
    allow_requester: bool = True
    expires_after_s: float = 86_400.0
    language: str = ""  # "" = the language of the turn
    verbosity: Literal["short", "normal", "full"] = "normal"
    models: dict[str, str] = Field(default_factory=dict)  # agent name → "provider:model"
    tools: tuple[str, ...] | None = None  # None: those of each agent
    asks: Literal["people", "refuse"] = "people"  # refuse: nobody is there to answer; questions are rejected
    at_once: int | None = Field(default=None, ge=1)  # steps at work at once; None: the workflow says
    own_keys: str = ""  # id of the keys that this run alone uses (`RunKeys`); "": the bot's


class Usage(Fact):
    """What a model call, a step or a run used."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0  # part of input_tokens
    calls: int = 0
    cost_usd: float | None = None  # None: nothing that has a known price

    def plus(self, other: Usage) -> Usage:
        """Sum of both; a known cost plus an unknown one is the known one."""
        costs = [c for c in (self.cost_usd, other.cost_usd) if c is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            calls=self.calls + other.calls,
            cost_usd=sum(costs) if costs else None,
        )


class Problem(Fact):
    """An error that people read."""

    kind: str  # StepError.kind, or "engine"
    message: str  # one line: what happened and what to do


class TextBit(Fact):
    """Text in a model's answer."""

    kind: Literal["text"] = "text"
    text: str


class ToolCall(Fact):
    """A tool that a model's answer asks for. Structured output is a call too."""

    kind: Literal["tool_call"] = "tool_call"
    call_id: str
    tool: str
    arguments: Json


class OpaqueBit(Fact):
    """A part that only the provider understands (signed reasoning); sent back unchanged."""

    kind: Literal["opaque"] = "opaque"
    name: str
    content: Json


AnswerBit = Annotated[TextBit | ToolCall | OpaqueBit, Field(discriminator="kind")]


class Forked(Fact):
    """Where a run was forked from: it shares that run's past up to a step."""

    run_id: RunId
    node: str  # the step that it begins anew
    visit: int


# ── the run ──────────────────────────────────────────────────────────────────────────────────


class RunCreated(Fact):
    """A turn was accepted. Committed together with its inbox row."""

    type: Literal["run_created"] = "run_created"
    v: Literal[2] = 2
    conversation_id: str
    workflow: str
    workflow_version: str
    workflow_digest: str  # the definition is kept under it: a run keeps the version it started with
    engine: Engine
    turn: TurnRecord
    settings: RunSettings = RunSettings()
    inputs: Json = Field(default_factory=dict)  # as the workflow's `inputs` allow, defaults filled in
    priority: Priority = "medium"
    deadline: datetime | None = None  # aware, UTC; a run that is not done by then ends as expired
    forked: Forked | None = None


class RunStarted(Fact):
    """The conversation was free; work may begin."""

    type: Literal["run_started"] = "run_started"
    v: Literal[1] = 1


class RunPaused(Fact):
    """No new step starts."""

    type: Literal["run_paused"] = "run_paused"
    v: Literal[1] = 1


class RunResumed(Fact):
    """Steps start again."""

    type: Literal["run_resumed"] = "run_resumed"
    v: Literal[1] = 1


class RunEnded(Fact):
    """The run is over; nothing after this counts but what people think of it."""

    type: Literal["run_ended"] = "run_ended"
    v: Literal[1] = 1
    status: Literal["completed", "failed", "rejected", "stopped", "expired"]
    answer: Json | None = None  # artifacts.Answer, when completed
    problem: Problem | None = None  # when failed
    reason: str = ""  # who stopped or rejected, what expired


# ── steps ────────────────────────────────────────────────────────────────────────────────────


class StepStarted(Fact):
    """A node began. `after` names the finished nodes that led here; they are used up by it."""

    type: Literal["step_started"] = "step_started"
    v: Literal[1] = 1
    node: str
    visit: int  # 1 at the first time through a loop
    attempt: int  # 1 at the first try of this visit
    after: tuple[str, ...] = ()


class StepEnded(Fact):
    """A node ended well."""

    type: Literal["step_ended"] = "step_ended"
    v: Literal[1] = 1
    node: str
    visit: int
    attempt: int
    output: Json
    seconds: float = 0.0


class StepFailed(Fact):
    """An attempt ended badly. With `retry_at` the same visit is tried again."""

    type: Literal["step_failed"] = "step_failed"
    v: Literal[1] = 1
    node: str
    visit: int
    attempt: int
    problem: Problem
    retry_at: datetime | None = None  # aware, UTC
    seconds: float = 0.0


class BranchTaken(Fact):
    """A decision node chose. `to` is the next node."""

    type: Literal["branch_taken"] = "branch_taken"
    v: Literal[1] = 1
    node: str
    visit: int
    after: tuple[str, ...] = ()
    to: str
    why: str = ""  # the condition that held


class EdgesTaken(Fact):
    """A finished node leads to several nodes, or to one that still waits for others.

    Each way waits until its target begins. None: the branch ends here.
    """

    type: Literal["edges_taken"] = "edges_taken"
    v: Literal[1] = 1
    node: str
    to: tuple[str, ...]  # names in the same workflow; none: the branch ends here
    dead: bool = False  # what they need failed: they are skipped


class BranchDropped(Fact):
    """Branches arrived where nobody waits for them any more: a join went on without them."""

    type: Literal["branch_dropped"] = "branch_dropped"
    v: Literal[1] = 1
    node: str  # the join
    after: tuple[str, ...]  # the finished nodes that led here; they are used up


class StepSkipped(Fact):
    """A node is not worked on (any more): what it needs failed, or its join has enough without it."""

    type: Literal["step_skipped"] = "step_skipped"
    v: Literal[1] = 1
    node: str
    visit: int
    after: tuple[str, ...] = ()
    why: str


class GroupStarted(Fact):
    """A node began that works through others: a map over a list, another workflow, the undoing of steps.

    Its items are the steps `node[0]`, `node[1]`, …; the nodes of another workflow are `node/name`
    (in a map over workflows `node[0]/name`). It ends with its own StepEnded or StepFailed.
    """

    type: Literal["group_started"] = "group_started"
    v: Literal[1] = 1
    node: str
    visit: int
    attempt: int = 1
    after: tuple[str, ...] = ()
    kind: Literal["map", "workflow", "undo"]
    items: tuple[Any, ...] = ()  # JSON; map: what it goes over; undo: {"node": what is undone, "by": node}
    inputs: Json = Field(default_factory=dict)  # workflow: its inputs


# ── inside an agent's turn ───────────────────────────────────────────────────────────────────


class AgentAssigned(Fact):
    """Which agent works on an attempt, where the node does not name it."""

    type: Literal["agent_assigned"] = "agent_assigned"
    v: Literal[1] = 1
    node: str
    visit: int
    attempt: int
    agent: str
    member: str = ""  # the name under which it works in a team
    why: str = ""  # "fits research, fewest failures"


class CheckpointSaved(Fact):
    """An agent saved where it stands inside a long step; the newest counts."""

    type: Literal["checkpoint_saved"] = "checkpoint_saved"
    v: Literal[1] = 1
    node: str
    visit: int
    attempt: int
    content: Json


class ModelAnswered(Fact):
    """One model call came back. After a crash the turn goes on from here."""

    type: Literal["model_answered"] = "model_answered"
    v: Literal[1] = 1
    node: str
    visit: int
    attempt: int
    call: int  # 1 for the first model call of this attempt
    provider: str
    model: str
    bits: tuple[AnswerBit, ...]
    usage: Usage
    seconds: float = 0.0


class ToolReturned(Fact):
    """A tool call ended. Its key is `run_id:node:visit:attempt:call_id`; it is not called again."""

    type: Literal["tool_returned"] = "tool_returned"
    v: Literal[1] = 1
    node: str
    visit: int
    attempt: int
    call_id: str
    tool: str
    ok: bool  # False: `result` is what the model is told of the failure
    result: Any  # JSON
    seconds: float = 0.0


class ModelRetried(Fact):
    """A model call failed in a way that may pass; it is made again after `delay_s`."""

    type: Literal["model_retried"] = "model_retried"
    v: Literal[1] = 1
    node: str
    visit: int
    attempt: int
    tries: int  # failed tries so far
    status: int | None  # HTTP status; None: the connection broke
    delay_s: float  # seconds


class OutputSentBack(Fact):
    """An answer did not fit its type and was sent back with the reason."""

    type: Literal["output_sent_back"] = "output_sent_back"
    v: Literal[1] = 1
    node: str
    visit: int
    attempt: int
    call_id: str | None  # None: plain text where a structured answer was due
    reason: str


# ── people ───────────────────────────────────────────────────────────────────────────────────


class ApprovalRequested(Fact):
    """A question to people. What runs later is exactly `arguments`, which `digest` seals."""

    type: Literal["approval_requested"] = "approval_requested"
    v: Literal[2] = 2
    node: str
    visit: int
    approval_id: ApprovalId
    of: str  # the node whose output is asked about, and which an edit replaces
    title: str
    body: str
    arguments: Json  # what is asked about: a plan
    digest: str  # SHA-256 of the canonical JSON of `arguments`
    approvers: tuple[str, ...] = ()
    allow_requester: bool = True
    expires_at: datetime  # aware, UTC
    on_expiry: Literal["expire", "reject", "approve"] = "expire"
    wants: Literal["decision", "text"] = "decision"  # text: `edited` of an edit is {"text": …}


class DecisionGiven(Fact):
    """From outside: a person decided. The first that fits wins; later ones stay as late."""

    type: Literal["decision_given"] = "decision_given"
    v: Literal[2] = 2
    approval_id: ApprovalId
    decision: DecisionKind
    who: Who
    comment: str = ""
    edited: Json | None = None  # with "edit": the new arguments, validated before
    digest: str = ""  # what the person saw; "" where the platform cannot tell
    key: str = ""  # inbox key of the message that was the answer; "": a click or a form


class ApprovalResolved(Fact):
    """The engine took note of what was decided, or that time ran out."""

    type: Literal["approval_resolved"] = "approval_resolved"
    v: Literal[1] = 1
    node: str
    visit: int
    approval_id: ApprovalId
    outcome: Literal["approve", "edit", "changes", "reject", "expired", "withdrawn"]
    who: Who | None = None
    comment: str = ""
    output: Json | None = None  # what goes on: the arguments, or the edited ones
    changes: tuple[str, ...] = ()  # with "edit": the difference as diff lines


class Steered(Fact):
    """From outside: a message for the agents at work."""

    type: Literal["steered"] = "steered"
    v: Literal[1] = 1
    key: str  # inbox key of the message
    text: str
    who: Who


class StopRequested(Fact):
    """From outside: end the run now."""

    type: Literal["stop_requested"] = "stop_requested"
    v: Literal[1] = 1
    who: Who
    reason: str = ""


class PauseRequested(Fact):
    """From outside: start no new steps."""

    type: Literal["pause_requested"] = "pause_requested"
    v: Literal[1] = 1
    who: Who


class ResumeRequested(Fact):
    """From outside: go on."""

    type: Literal["resume_requested"] = "resume_requested"
    v: Literal[1] = 1
    who: Who


class FeedbackGiven(Fact):
    """From outside, mostly after the end: what a person thinks of the answer. Their newest word counts."""

    type: Literal["feedback_given"] = "feedback_given"
    v: Literal[1] = 1
    who: Who
    good: bool
    comment: str = ""


Body = Annotated[
    RunCreated
    | RunStarted
    | RunPaused
    | RunResumed
    | RunEnded
    | StepStarted
    | StepEnded
    | StepFailed
    | BranchTaken
    | EdgesTaken
    | BranchDropped
    | StepSkipped
    | GroupStarted
    | AgentAssigned
    | CheckpointSaved
    | ModelAnswered
    | ToolReturned
    | ModelRetried
    | OutputSentBack
    | ApprovalRequested
    | DecisionGiven
    | ApprovalResolved
    | Steered
    | StopRequested
    | PauseRequested
    | ResumeRequested
    | FeedbackGiven,
    Field(discriminator="type"),
]
body_adapter: TypeAdapter[Body] = TypeAdapter(Body)


class RunEvent(NamedTuple):
    """One fact with its place in the log."""

    run_id: RunId
    seq: int  # 1, 2, 3, … within the run
    at: datetime  # aware, UTC, the database's clock
    body: Body
