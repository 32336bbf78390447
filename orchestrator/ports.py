"""What the engine and the bot need from outside: the store, the scheduler, the agents, the clock.

Nothing above these protocols knows which database or scheduler is behind them. One contract
suite runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from orchestrator.api_keys import ApiKeys
from orchestrator.events import (
    ApprovalId,
    ApprovalRequested,
    ApprovalResolved,
    Body,
    Json,
    Line,
    ModelAnswered,
    OutputSentBack,
    Priority,
    RunCreated,
    RunEvent,
    RunId,
    RunSettings,
    RunStatus,
    ToolReturned,
    TurnRecord,
    Usage,
    Who,
)
from orchestrator.marks import Marks
from orchestrator.measures import Measures
from orchestrator.run_keys import RunKeys
from orchestrator.values import Value
from orchestrator.webhooks import Webhooks
from orchestrator.workflow import Retry


class Clock(Protocol):
    """Time. The database's clock where processes must agree; tests bring their own."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...


# ── the log ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Accepted:
    """What `accept` did with a turn."""

    run_id: RunId
    duplicate: bool  # the inbox key was there before; `run_id` is the run it made then
    queued_behind: int  # runs of the conversation that end first; 0: it started at once
    begun: tuple[RunEvent, ...] = field(default=(), compare=False)
    """The log of the new run so far; empty of a duplicate or a fork."""
    position: int = field(default=0, compare=False)  # of the new run in its conversation, from 1


class Appended(Struct, gc=False):
    """What an append did."""

    run_id: RunId
    seq: int  # of the last event
    at: datetime
    bodies: Sequence[Body]
    started: RunId | None = None  # the next queued run of the conversation, started by a RunEnded

    @property
    def events(self) -> tuple[RunEvent, ...]:
        """The events as the log has them. Made for who asks: most callers know what they appended."""
        first = self.seq - len(self.bodies) + 1
        return tuple(RunEvent(self.run_id, seq, self.at, body) for seq, body in enumerate(self.bodies, first))


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that this process may work on, with what its work begins from."""

    epoch: int  # the owner's
    position: int  # of the run's turn in the conversation, from 1
    events: Sequence[RunEvent]  # the log so far


class Log(Protocol):
    """The append-only log of every run, with what must commit together with it."""

    async def accept(
        self, run_id: RunId, created: RunCreated, *, past: Sequence[Body] = (), claim: bool = False
    ) -> Accepted:
        """Store the inbox row (`created.turn.key`), the run's first event, its place in the conversation.

        If no run of the conversation is unfinished, `RunStarted` is appended in the same transaction.

        Args:
            past: of a forked run, what it shares with the run it comes from; appended behind `created`.
            claim: this process advances the run if it begins: the next `claim` of it asks nobody.
        """
        ...

    async def known(self, key: str) -> RunId | None:
        """The run that the message with this key made, or was handed to; None: never seen."""
        ...

    async def first_time(self, key: str) -> bool:
        """Remember the inbox key of a message that makes no run, such as a command.

        Returns:
            Whether it was not there before: of all callers with the same key one is told True.
        """
        ...

    async def append(
        self,
        run_id: RunId,
        bodies: Sequence[Body],
        *,
        epoch: int | None,
        expected_seq: int | None = None,
        status: RunStatus | None = None,
    ) -> Appended:
        """Append facts and what they change in the read models, in one transaction.

        Args:
            epoch: the owner's; None for a fact from outside.
            expected_seq: the last number that the caller has folded; None: append wherever the log stands.
            status: the run's status after these events, by fold; None leaves it.

        Raises:
            Conflict: the log is longer than `expected_seq`.
            Fenced: `epoch` is not the run's.
            NotFound: no such run.
        """
        ...

    async def events(self, run_id: RunId, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
        """The run's events with `seq > after`, in order; empty for an unknown run.

        Args:
            limit: the first so many; None: all.

        Raises:
            UnknownEvent: the log holds something this program cannot read.
        """
        ...

    async def claim(self, run_id: RunId) -> Claimed | None:
        """Make this process the run's owner and raise its epoch.

        Returns:
            The new epoch and the log, or None while another living process owns the run, or it has ended.

        Raises:
            NotFound: no such run.
            UnknownEvent: the log holds something this program cannot read; the run is given up again.
        """
        ...

    async def release(self, run_id: RunId, epoch: int, *, seen: int | None = None) -> None:
        """Give the run up: any process may claim it.

        Args:
            seen: the last sequence number that was folded, when nothing is left to do for the log so far:
                the run rests until a later fact or a timer. None (a failure, a shutdown): it is woken again.
        """
        ...

    async def heads(self, run_ids: Sequence[RunId]) -> dict[RunId, int]:
        """Last sequence number of each run: how a process notices facts that another one appended."""
        ...

    async def save_definition(self, digest: str, definition: Json) -> None:
        """Keep a workflow's definition under its digest."""
        ...

    async def definition(self, digest: str) -> Json:
        """Raises NotFound."""
        ...

    async def put_blob(self, content: bytes) -> str:
        """Keep bytes; returns their SHA-256 in hex."""
        ...

    async def blob(self, sha256: str) -> bytes:
        """Raises NotFound."""
        ...


# ── read models ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in lists."""

    id: RunId
    conversation_id: str
    position: int  # of its turn in the conversation, from 1
    workflow: str
    status: RunStatus
    created_at: datetime
    ended_at: datetime | None
    seq: int
    text: str  # the turn's first 200 characters
    who: str  # person key of the requester
    usage: Usage


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """An approval, waiting or resolved."""

    run_id: RunId
    conversation_id: str
    asked: ApprovalRequested
    resolved: ApprovalResolved | None


@dataclass(frozen=True, slots=True)
class Due:
    """A run to wake."""

    run_id: RunId
    at: datetime


class AgentOutcome(NamedTuple):
    """How an attempt of an agent ended."""

    agent: str
    kind: str  # of its problem; "": it ended well
    seconds: float


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next` is the cursor of the following one."""

    items: tuple[T, ...]
    next: str | None


class Views(Protocol):
    """Lists, answered from tables that are written together with the log."""

    async def run(self, run_id: RunId) -> RunRow | None:
        """One run."""
        ...

    async def runs(
        self,
        *,
        status: RunStatus | None = None,
        conversation_id: str | None = None,
        who: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunRow]:
        """Runs, newest first; `who` is the person key of the requester."""
        ...

    async def entered(
        self,
        workspace: str,
        *,
        statuses: Collection[RunStatus] = (),
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunRow]:
        """Runs of a workspace ("api:graph"), newest first, without hidden ones; () is any status."""
        ...

    async def count(self, status: RunStatus) -> int:
        """How many runs have this status."""
        ...

    async def channels(self, workspace: str, *, limit: int = 20) -> list[str]:
        """Channels of a workspace ("slack:T1") in which runs were asked for, the latest first.

        Places that are a conversation by themselves, such as direct messages, are none.
        """
        ...

    async def unfinished(self, conversation_id: str) -> list[RunRow]:
        """Runs of a conversation that have not ended, in order of position."""
        ...

    async def waiting(
        self, *, workspace: str = "", limit: int = 100, cursor: str | None = None
    ) -> Page[ApprovalRow]:
        """Approvals that nobody has decided, oldest first; of one workspace ("slack:T1") or of all."""
        ...

    async def approval(self, approval_id: ApprovalId) -> ApprovalRow | None:
        """One approval."""
        ...

    async def exchanges(self, conversation_id: str, *, before: int, limit: int) -> list[Line]:
        """The last `limit` turns with position < `before`, oldest first, each followed by its answer."""
        ...

    async def due(self, *, until: datetime) -> list[Due]:
        """Timers (expiry of approvals, retries) at or before `until`."""
        ...

    async def to_wake(self) -> list[RunId]:
        """Runs that somebody has to look at, and that no other living process owns.

        Asked at start and by the sweep. A run waiting for an approval is in it only if a fact came after
        its owner last looked, or its timer is due.
        """
        ...

    async def usage_since(self, since: datetime, *, workspace: str = "") -> dict[str, Usage]:
        """Usage by agent's model ("provider:model") since a time; of a workspace ("slack:T1"), or of all."""
        ...

    async def agent_outcomes(self, *, limit: int = 2_000) -> list[AgentOutcome]:
        """How the newest attempts of agents ended, oldest first."""
        ...

    async def agents_at_work(self) -> dict[str, int]:
        """Attempts under way by agent, in every process that shares the database."""
        ...


# ── deliveries ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a conversation was last shown of one card."""

    card_id: str
    run_id: RunId
    conversation_id: str
    digest: str  # of the card last shown, or about to be
    state: Literal["intent", "shown", "gone", "refused"]
    nonce: str
    message: Json | None  # MessageRef, once known


class Undelivered(NamedTuple):
    """A run of which people have not seen all."""

    run_id: RunId
    conversation_id: str
    seq: int  # of its last event
    ended: bool


class Deliveries(Protocol):
    """The outbox's memory: an intent is committed before each post."""

    async def deliveries(self, run_id: RunId) -> dict[str, Delivery]:
        """By card id."""
        ...

    async def save_delivery(self, delivery: Delivery) -> None:
        """Insert or replace by card id."""
        ...

    async def undelivered(self) -> list[Undelivered]:
        """Runs whose log is longer than what the outbox last presented (`presented`)."""
        ...

    async def presented(self, run_id: RunId, seq: int) -> None:
        """Everything up to `seq` has been shown."""
        ...


class ChannelSettings(Protocol):
    """Settings of a channel, changed from chat."""

    async def settings(self, channel_key: str) -> dict[str, Any]:
        """What was set for this channel; empty: nothing."""
        ...

    async def settings_in(self, workspace: str) -> dict[str, dict[str, Any]]:
        """What was set in the channels of a workspace ("slack:T1"), by channel."""
        ...

    async def change_settings(self, channel_key: str, changes: Mapping[str, Any]) -> None:
        """Set each key; None removes it."""
        ...


# ── workflow definitions ─────────────────────────────────────────────────────────────────────

Origin = Literal["file", "saved", "rollback", "removed"]


class NewVersion(NamedTuple):
    """A version of a workflow that is to be kept."""

    name: str
    origin: Origin
    source: str  # the file it comes from, "shipped", "pack NAME", a path; "": people saved it
    digest: str  # of the definition; "": removed
    definition: Json | None  # None: removed
    who: Who | None  # None: nobody, a file changed
    note: str


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """One version of a workflow, as it was kept. The newest of a name is the one that counts."""

    name: str
    version: int  # 1, 2, … for each name
    origin: Origin
    source: str
    digest: str
    definition: Json | None
    who: Who | None
    note: str
    at: datetime  # aware, UTC


class Definitions(Protocol):
    """The versions of workflows. Rows are only added, so that what was can be looked at and come back."""

    async def add_version(self, new: NewVersion) -> int:
        """Keep a version; returns its number. Several processes may do so at once.

        Nothing is added where it says nothing new: a file's definition that is the last one this file
        had (also if people went back behind it since), or one that is the newest already.
        """
        ...

    async def workflow_versions(self, name: str) -> list[WorkflowVersion]:
        """All versions of a workflow, oldest first; empty: there never was one."""
        ...

    async def newest_versions(self) -> list[WorkflowVersion]:
        """The newest version of each name, removed ones too."""
        ...

    async def versions_mark(self) -> int:
        """A number that grows with every added version; cheap to ask."""
        ...


# ── schedules ────────────────────────────────────────────────────────────────────────────────

ScheduleState = Literal["on", "paused", "removed"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A workflow that starts by the clock."""

    id: str
    conversation_id: str  # where its runs take place
    workflow: str
    cron: str  # five fields
    zone: str  # IANA name
    text: str  # the request of each run
    inputs: Mapping[str, Any]
    priority: str  # "": as the workflow says
    who: Who  # made it; its runs are that person's
    groups: tuple[str, ...]  # of that person, when it was made
    is_admin: bool  # likewise
    state: ScheduleState
    note: str  # why it was paused; "": by a person's word
    due: datetime  # aware, UTC: the next time that is waited for
    last_run: str  # the newest run it started; "": none yet
    at: datetime  # when it was made; aware, UTC


class Schedules(Protocol):
    """What starts by the clock. Removed ones stay, so that what made one and comes again makes no other."""

    async def add_schedule(self, new: Schedule) -> bool:
        """Keep a schedule; False: there is, or was, one of this id, and it stays as it is."""
        ...

    async def schedule(self, schedule_id: str) -> Schedule | None:
        """One schedule; removed ones too."""
        ...

    async def schedules(self) -> list[Schedule]:
        """Those that were not removed, oldest first."""
        ...

    async def schedules_due(self, until: datetime) -> list[Schedule]:
        """Those that are on and whose time has come, the longest due first."""
        ...

    async def schedule_done(
        self, schedule_id: str, due: datetime, following: datetime, run_id: str = ""
    ) -> bool:
        """What was due at `due` was seen to; wait for `following`. False: somebody else was faster."""
        ...

    async def set_schedule(
        self, schedule_id: str, state: ScheduleState, note: str = "", due: datetime | None = None
    ) -> bool:
        """Pause, resume (`due`: what is waited for then) or remove; False: it is not there any more."""
        ...


class Store(
    Log,
    Views,
    Deliveries,
    ChannelSettings,
    Definitions,
    Schedules,
    Marks,
    ApiKeys,
    RunKeys,
    Webhooks,
    Measures,
    Protocol,
):
    """One database behind all of them."""

    async def close(self) -> None:
        """Commit what is under way and close every connection."""
        ...


# ── scheduler ────────────────────────────────────────────────────────────────────────────────

Advance = Callable[[RunId], Awaitable[None]]


class Scheduler(Protocol):
    """Calls `advance`: soon or at a time; at least once; never two at a time for one run.

    A wake that arrives while `advance` works leads to another call after it.
    """

    async def wake(self, run_id: RunId, at: datetime | None = None) -> None:
        """Call advance(run_id) soon, or at a time."""
        ...

    async def run(self, advance: Advance) -> None:
        """Work until cancelled. Timers and unfinished runs are taken from the store at the start."""
        ...


# ── agents ───────────────────────────────────────────────────────────────────────────────────

Recorded = ModelAnswered | ToolReturned | OutputSentBack
AgentStatus = Literal["idle", "busy", "error", "offline"]


class Said(NamedTuple):
    """What a member of a team did in a turn of its own."""

    member: str
    output: Json


class StepInput(Value, frozen=True):
    """All that an agent's step may know."""

    run_id: RunId
    node: str
    visit: int
    attempt: int
    agent: str  # name of the AgentSpec
    turn: TurnRecord
    exchanges: tuple[Line, ...]  # the conversation so far, oldest first
    settings: RunSettings
    outputs: Mapping[str, Json]  # node → its latest output (brief, plan, draft, review as JSON)
    comments: tuple[str, ...] = ()  # what people asked to change, oldest first
    steering: tuple[str, ...] = ()  # messages given while the run works, oldest first
    recorded: tuple[Recorded, ...] = ()  # what this attempt did before a crash
    previous_reviews: tuple[Json, ...] = ()  # earlier reviews of this run, oldest first
    task: str = ""  # what the workflow's node asks for, filled in; "": the turn alone says it
    inputs: Mapping[str, Any] = MappingProxyType({})  # of the workflow that the node is part of
    item: Any = None  # inside a map: what this step works on
    outcomes: tuple[str, ...] = ()  # what a Report's outcome may be; empty: any
    member: Json | None = None  # artifacts.Member: the part of a team that the agent plays
    team: Json | None = None  # artifacts.TeamPlan, where the node has one
    talk: tuple[Said, ...] = ()  # what members of the team did so far, oldest first
    checkpoint: Json | None = None  # what the agent saved last (`StepSink.checkpoint`)
    problem: Json | None = None  # for error handlers: {"node", "problem": {"kind", "message"}}
    undoing: str = ""  # the node whose work is to be undone; its output is `item`
    model: str = ""  # "provider:model" that the node wants; "": as for the agent
    temperature: float | None = None  # that the node wants; None: as for the agent
    can_ask: bool = False  # the workflow leads on from here to a question for the person who asked


class StepSink(Protocol):
    """Where a step tells what happens inside it."""

    async def record(self, *bodies: Body) -> None:
        """Append facts; returns when they are durable.

        Raises:
            Fenced: the run is somebody else's; end at once.
        """
        ...

    def doing(self, text: str) -> None:
        """What the agent does now, for people to see. May be lost."""
        ...

    async def checkpoint(self, content: Json) -> None:
        """Keep where the agent stands; after a crash it comes back as `StepInput.checkpoint`.

        Raises:
            Fenced: as in `record`.
        """
        ...

    def steering(self) -> tuple[str, ...]:
        """Messages for the agents that arrived so far, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """An agent in lists."""

    name: str
    title: str
    capabilities: tuple[str, ...]
    model: str  # "provider:model", or "rules"
    tools: tuple[str, ...]
    priority: Priority = "medium"
    status: AgentStatus = "idle"
    load: int = 0  # steps it works on now
    max_concurrent: int | None = None
    steps: int = 0  # of its record: attempts that ended
    success_rate: float | None = None  # 0 to 1; None: no record
    mean_s: float | None = None  # seconds for a step that ended well
    origin: str = "file"  # "file", "python", "http", "a2a", "mcp", "command"
    trouble: str = ""  # why its status is error or offline


class Choice(NamedTuple):
    """The agent that fits."""

    agent: str
    why: str  # for people: "fits research, 1 of 2 wished capabilities, 96 % well"


class Room(NamedTuple):
    """How many steps may be at work at once; None: no limit of its own."""

    provider: str  # "" for agents without a model's provider
    agent_limit: int | None
    provider_limit: int | None


class Agents(Protocol):
    """The agents a run can call."""

    def choose(self, requires: Sequence[str], prefers: Sequence[str] = ()) -> Choice:
        """The agent that fits best: capabilities, then status, load, priority and record.

        Raises:
            NoAgent: nobody who is there has all of `requires`; retryable when somebody offline has.
        """
        ...

    def room(self, agent: str, settings: RunSettings, model: str = "") -> Room:
        """Limits that hold for a step of this agent in a run with these settings.

        Args:
            model: "provider:model" that the step's node wants; "": as for the agent.
        """
        ...

    def retry(self, agent: str) -> Retry | None:
        """How a failed step of this agent is tried again where its node does not say; None: not said."""
        ...

    def names(self) -> Sequence[str]:
        """Names of all agents."""
        ...

    def infos(self) -> Sequence[AgentInfo]:
        """For lists."""
        ...

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        """Work on one step until its output is there.

        Returns:
            The artifact as JSON.

        Raises:
            StepError: it could not be done.
        """
        ...


# ── news on the way to views ─────────────────────────────────────────────────────────────────


_NOTHING: Mapping[str, str] = MappingProxyType({})


class News(NamedTuple):
    """Something followers may want to know; may be lost, the log is the truth."""

    run_id: RunId
    seq: int  # the log is at least this long
    doing: Mapping[str, str] = _NOTHING  # node → what it does now
