"""What a workflow is: nodes, edges, policies. Read from YAML, checked before anything runs.

Pure. The composition root reads the file; `Workflow.model_validate` checks shapes and
`problems` checks the graph. Both report the path into the document, so that whoever read
the file can say line and column.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.events import Priority
from orchestrator.values import Value

NodeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Capability = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,39}$")]
# What conditions read besides nodes' outputs; `item` and `index` only inside a map, `problem` after an error.
VARIABLES = frozenset({"visits", "policies", "inputs", "item", "index", "problem"})
Outcome = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_ -]{0,39}$")]
MAX_NODES = 1000
MAX_TIMEOUT_S = 604_800.0  # a week for one attempt
MAX_WAIT_S = 31_536_000.0  # a year for people


def scope_of(instance: str) -> str:
    """The node that an instance is inside of: `build[2]/test` of `build[2]`, `plan` of none ("")."""
    return instance.rpartition("/")[0]


class Part(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Retry(Part):
    """How often and when a failed step is tried again."""

    max_retries: int = Field(default=0, ge=0, le=10)
    initial_delay: float = Field(default=1.0, ge=0, le=3600)  # seconds
    backoff: float = Field(default=2.0, ge=1, le=10)  # each delay is this many times the last

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the failure of `attempt` (1 is the first)."""
        return self.initial_delay * self.backoff ** (attempt - 1)


class NodeBase(Part):
    """What every kind of node may set."""

    title: str = ""
    retry: Retry = Retry()
    timeout: float | None = Field(default=None, gt=0, le=MAX_TIMEOUT_S)  # seconds for one attempt
    priority: Priority | None = (
        None  # None: the run's; a waiting critical step starts before a waiting low one
    )
    checkpoint: bool = False  # a further attempt goes on from what the last one saved
    # Where several branches arrive. all: wait for all that can still come; any: the first is enough;
    # a number: that many. What can only lead here is given up once there are enough.
    join: Literal["all", "any"] | Annotated[int, Field(ge=1, le=1000)] = "all"
    depends_on: tuple[NodeName, ...] = ()  # sugar for edges from these nodes


class Assigned(NodeBase):
    """Who works: an agent by name, whoever fits best by capabilities, or one that the run itself names."""

    agent: str | None = None
    requires: tuple[Capability, ...] = ()  # all of them
    prefers: tuple[Capability, ...] = ()  # as many of them as there are
    agent_from: str | None = None  # expression: the name of an agent, or with `team` of a member
    team: NodeName | None = None  # the node whose output is the team that `agent_from` chooses from
    task: str = ""  # what is to be done; {{ expressions }} are filled in. "": the run's request alone
    outcomes: tuple[Outcome, ...] = ()  # what the outcome of a Report may be; conditions read it
    model: str | None = None  # "provider:model" for this node; None: as for the agent
    temperature: float | None = Field(default=None, ge=0, le=2)  # None: as for the agent


class AgentNode(Assigned):
    """An agent works; its output is the node's."""

    kind: Literal["agent"] = "agent"
    compensation: NodeName | None = None  # the node that undoes this one


class MapNode(Assigned):
    """An agent, or another workflow, works on each item of a list; `item` and `index` are variables.

    Its output is `{"items": [output or null, …], "failed": [{"index", "problem"}, …]}`.
    """

    kind: Literal["map"]
    over: str  # expression: a list
    workflow: NodeName | None = None  # instead of an agent
    inputs: dict[str, Any] = Field(default_factory=dict)  # of that workflow; texts are templates
    max_concurrent: int = Field(default=4, ge=1, le=500)
    on_item_error: Literal["fail", "continue"] = "fail"
    # Items are objects with `id` and `depends_on` (ids), such as a plan's tasks: one begins when those that
    # it depends on have ended, and is told what they put out.
    ordered: bool = False
    compensation: NodeName | None = None


class WorkflowNode(NodeBase):
    """Another workflow runs inside of this one; its answer's draft (or last output) is the node's output."""

    kind: Literal["workflow"]
    workflow: NodeName
    inputs: dict[str, Any] = Field(default_factory=dict)  # texts are templates, {{ expressions }} filled in
    compensation: NodeName | None = None


class DecisionNode(NodeBase):
    """Takes the first of its outgoing edges that fits, at once; does no work.

    All other nodes take every edge that fits: several branches then go on side by side.
    """

    kind: Literal["decision"]


class ApprovalNode(NodeBase):
    """Asks people about the latest output of another node.

    Approve and Edit go on along the edges `on: success`; Ask for changes along `on: changes`;
    Reject ends the run as rejected, unless an edge `on: rejected` leads on.
    """

    kind: Literal["approval"]
    of: NodeName  # the node whose output is shown, and which an edit replaces
    body: str = ""  # {{ expressions }} are filled in
    approvers: tuple[str, ...] = ()  # empty: the channel's
    approvers_from: str | None = None  # expression: a text or list of approvers, such as inputs.approvers
    allow_requester: bool = True
    expires_after: float | None = Field(
        default=None, gt=0, le=MAX_WAIT_S
    )  # seconds; None: the channel's (24 h)
    on_expiry: Literal["expire", "reject", "approve"] = "expire"


class InputNode(NodeBase):
    """Asks a person for text. Its output is `{"text": …}`; rejected leads on as in an approval."""

    kind: Literal["input"]
    question: str = Field(min_length=1)  # {{ expressions }} are filled in
    approvers: tuple[str, ...] = ()  # who may answer; empty: the channel's
    expires_after: float | None = Field(
        default=None, gt=0, le=MAX_WAIT_S
    )  # seconds; None: the channel's (24 h)
    default: str | None = None  # what counts when nobody answers in time; None: the run expires


class ErrorHandlerNode(Assigned):
    """Takes over where an edge `on: error` leads here.

    With `compensate`, what was done is undone first: the `compensation` nodes of the steps that ended
    well, newest first. With an agent it then works on the failure; without one it only goes on, so
    that the run can end with what there is.
    """

    kind: Literal["error_handler"]
    compensate: bool = False


Node = Annotated[
    AgentNode | MapNode | WorkflowNode | DecisionNode | ApprovalNode | InputNode | ErrorHandlerNode,
    Field(discriminator="kind"),
]


class Edge(Part):
    """From one node to another. A decision takes the first that fits, any other node all that fit."""

    source: NodeName = Field(alias="from")
    target: NodeName = Field(alias="to")
    on: Literal["success", "error", "changes", "rejected"] = "success"
    when: str | None = None  # condition in the expression language, over outputs and `visits`
    max_visits: int | None = Field(default=None, ge=1, le=100)  # how often it may be taken in one run

    @property
    def key(self) -> str:
        """Under which its uses are counted: edges between the same two nodes share a count."""
        return f"{self.source}>{self.target}"


class Answers(Part):
    """Which nodes' outputs make the answer: the draft, or titled sections, one for each node."""

    draft: NodeName | None = None
    review: NodeName | None = None
    brief: NodeName | None = None
    plan: NodeName | None = None
    sections: tuple[NodeName, ...] = ()  # those that were visited, in this order; after the draft


class Policies(Part):
    """What holds for the whole workflow."""

    min_score: float = Field(default=7.0, ge=0, le=10)  # a review below it is not good enough
    max_steps: int = Field(default=100, ge=1, le=10_000)  # more: the run fails instead of going round
    max_model_calls: int = Field(default=60, ge=1, le=10_000)
    max_concurrent: int = Field(default=20, ge=1, le=500)  # steps at work at once in one run
    # stop: a failed node without an edge `on: error` fails the run at once. continue: what does not
    # depend on it goes on; the run fails only if nothing of its answer could be made.
    on_failure: Literal["stop", "continue"] = "stop"


class Named(Value, frozen=True):
    """What every step asks of an agent's node: kept apart, since to ask a model of pydantic is dear."""

    agent: str
    timeout: float | None
    model: str  # "": as for the agent
    priority: Priority | None


class Straight(Value, frozen=True):
    """What is known beforehand of steps that follow each other."""

    entry: str  # where a run begins, if it is one agent's node; "": it is not
    ends: frozenset[str]  # nodes that lead nowhere when they end well
    # Nodes that lead, when they end well, to one agent's node alone, which waits for nothing else.
    to: Mapping[str, str]
    max_steps: int
    max_model_calls: int


class Workflow(Part):
    """A graph that a run walks through."""

    name: NodeName
    version: str = Field(default="1", pattern=r"^[0-9A-Za-z][0-9A-Za-z._+-]{0,39}$")
    description: str = ""
    inputs: dict[str, Any] = Field(default_factory=dict)  # JSON Schema of the run's inputs
    # None: the first node in the file; with `strategy: parallel` or `graph`, or with `depends_on`, all nodes
    # that nothing leads to.
    start: NodeName | tuple[NodeName, ...] | None = None
    # Sugar. sequential: each node leads to the next in the file; parallel: all begin at once; graph: as
    # `depends_on` and `edges` say.
    strategy: Literal["sequential", "parallel", "graph"] | None = None
    nodes: dict[NodeName, Node] = Field(min_length=1, max_length=MAX_NODES)
    edges: tuple[Edge, ...] = ()
    answer: Answers | None = None
    policies: Policies = Policies()
    # Those that nodes name, by name. Whoever loads definitions fills in what the file does not define
    # itself, so that a run keeps all that it started with.
    workflows: dict[NodeName, Workflow] = Field(default_factory=dict)

    @cached_property
    def links(self) -> tuple[Edge, ...]:
        """All edges: those of the file, then what `depends_on` and `strategy` mean."""
        meant = [
            Edge.model_validate({"from": source, "to": name})
            for name, node in self.nodes.items()
            for source in node.depends_on
        ]
        if self.strategy == "sequential":
            has_way = {e.source for e in (*self.edges, *meant) if e.on == "success"}
            row = [name for name in self.nodes if name not in self.apart]
            meant += [
                Edge.model_validate({"from": source, "to": target})
                for source, target in pairwise(row)
                if source not in has_way
            ]
        return (*self.edges, *meant)

    @cached_property
    def apart(self) -> frozenset[str]:
        """Nodes that no success leads to by itself: those that undo others, and error handlers."""
        undoing = {getattr(node, "compensation", None) for node in self.nodes.values()}
        return frozenset(n for n, node in self.nodes.items() if n in undoing or node.kind == "error_handler")

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """Where a run begins, in the order of the file."""
        if self.start is not None:
            return (self.start,) if isinstance(self.start, str) else self.start
        if self.strategy is None and not any(node.depends_on for node in self.nodes.values()):
            return (next(iter(self.nodes)),)
        if self.strategy == "sequential":  # a way back to the first node does not change that
            return tuple(n for n in self.nodes if n not in self.apart)[:1]
        targets = {edge.target for edge in self.links}
        return tuple(n for n in self.nodes if n not in targets and n not in self.apart)

    @cached_property
    def outgoing(self) -> dict[str, tuple[Edge, ...]]:
        """Edges by their source, in the order of the file."""
        found: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        for edge in self.links:
            found.setdefault(edge.source, []).append(edge)
        return {name: tuple(edges) for name, edges in found.items()}

    @cached_property
    def incoming(self) -> dict[str, tuple[str, ...]]:
        """Sources of the edges to a node, each once."""
        found: dict[str, dict[str, None]] = {name: {} for name in self.nodes}
        for edge in self.links:
            found.setdefault(edge.target, {})[edge.source] = None
        return {name: tuple(sources) for name, sources in found.items()}

    @cached_property
    def ahead(self) -> dict[str, tuple[str, ...]]:
        """Sources of the edges to a node, without those that close a loop (each has `max_visits`)."""
        free: dict[str, list[str]] = {name: [] for name in self.nodes}
        for edge in self.links:
            if edge.max_visits is None:
                free.setdefault(edge.target, []).append(edge.source)
        for edge in self.links:
            if edge.max_visits is not None and edge.target not in _before(free, edge.source):
                free.setdefault(edge.target, []).append(edge.source)
        return {name: tuple(dict.fromkeys(sources)) for name, sources in free.items()}

    @cached_property
    def straight(self) -> Straight:
        """What follows most steps of most runs, looked up instead of worked out."""
        found: dict[str, str] = {}
        ends: set[str] = set()
        for name, node in self.nodes.items():
            ways = [edge for edge in self.outgoing[name] if edge.on == "success"]
            if not ways:
                ends.add(name)
            if len(ways) != 1 or type(node) is DecisionNode:
                continue
            [way] = ways
            plain = way.when is None and way.max_visits is None
            if plain and type(self.nodes[way.target]) is AgentNode and len(self.ahead[way.target]) == 1:
                found[name] = way.target
        first = self.entries
        entry = first[0] if len(first) == 1 and type(self.nodes[first[0]]) is AgentNode else ""
        return Straight(entry, frozenset(ends), found, self.policies.max_steps, self.policies.max_model_calls)

    @cached_property
    def named(self) -> Mapping[str, Named]:
        """Nodes that name the agent who works on them."""
        return {
            name: Named(node.agent, node.timeout, node.model or "", node.priority)
            for name, node in self.nodes.items()
            if type(node) is AgentNode and node.agent is not None
        }

    @cached_property
    def plain(self) -> frozenset[str]:
        """Agents' nodes that ask for nothing of their own: they are told what all are told."""
        return frozenset(
            name
            for name, node in self.nodes.items()
            if type(node) is AgentNode
            and not (node.task or node.outcomes or node.team)
            and node.model is None
            and node.temperature is None
        )

    @cached_property
    def _feeders(self) -> dict[str, frozenset[str]]:
        return {}

    def feeders(self, target: str) -> frozenset[str]:
        """Nodes from which `target` can be reached without going back in a loop."""
        found = self._feeders.get(target)
        if found is None:
            found = self._feeders[target] = frozenset(_before(self.ahead, target) - {target})
        return found

    def captives(self, join: str) -> frozenset[str]:
        """Nodes before `join` that can lead nowhere but to it."""
        free: set[str] = {name for name in self.nodes if name != join and not self.outgoing.get(name)}
        todo = list(free)
        while todo:
            for source in self.incoming.get(todo.pop(), ()):
                if source != join and source not in free:
                    free.add(source)
                    todo.append(source)
        return self.feeders(join) - free

    @cached_property
    def _inside(self) -> dict[str, Workflow]:
        return {"": self}

    def inside(self, scope: str) -> Workflow:
        """The definition that holds inside of an instance (`scope_of`); "": this one.

        Raises:
            KeyError: no workflow runs inside of it.
        """
        found = self._inside.get(scope)
        if found is None:
            outer, _, last = scope.rpartition("/")
            around = self.inside(outer)
            node = around.nodes[last.partition("[")[0]]
            name = str(getattr(node, "workflow", None))
            found = around.workflows.get(name) or self.workflows[name]
            self._inside[scope] = found
        return found

    @cached_property
    def chosen(self) -> frozenset[str]:
        """Nodes whose agent the run itself names."""
        return frozenset(n for n, node in self.nodes.items() if getattr(node, "agent_from", None) is not None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the definition. The order of nodes is part of it: a run may begin at the first."""
        canonical = json.dumps(self.model_dump(mode="json", by_alias=True))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _before(incoming: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """A node and all from which it can be reached."""
    seen = {name}
    todo = [name]
    while todo:
        for source in incoming.get(todo.pop(), ()):
            if source not in seen:
                seen.add(source)
                todo.append(source)
    return seen
