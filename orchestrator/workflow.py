"""What a workflow is: nodes, edges, policies. Read from YAML, checked before anything runs.

Pure. The composition root reads the file; `Workflow.model_validate` checks shapes and
`problems` checks the graph. Both report the path into the document, so that whoever read
the file can say line and column.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator import expressions

NodeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
VARIABLES = frozenset({"visits", "policies", "inputs"})  # what conditions read besides nodes' outputs


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
    timeout: float | None = Field(default=None, gt=0)  # seconds for one attempt


class AgentNode(NodeBase):
    """An agent works; its output is the node's."""

    kind: Literal["agent"] = "agent"
    agent: str


class DecisionNode(NodeBase):
    """Chooses among its outgoing edges at once; does no work."""

    kind: Literal["decision"]


class ApprovalNode(NodeBase):
    """Asks people about the latest output of another node.

    Approve and Edit go on along the edges `on: success`; Ask for changes along `on: changes`;
    Reject ends the run as rejected, unless an edge `on: rejected` leads on.
    """

    kind: Literal["approval"]
    of: NodeName  # the node whose output is shown, and which an edit replaces
    body: str = ""
    approvers: tuple[str, ...] = ()  # empty: the channel's
    allow_requester: bool = True
    expires_after: float | None = Field(default=None, gt=0)  # seconds; None: the channel's (24 h)
    on_expiry: Literal["expire", "reject", "approve"] = "expire"


class ErrorHandlerNode(NodeBase):
    """Takes over where an edge `on: error` leads here.

    With an agent it works on the failure; without one it only goes on, so that the
    run can end with what there is.
    """

    kind: Literal["error_handler"]
    agent: str | None = None


Node = Annotated[AgentNode | DecisionNode | ApprovalNode | ErrorHandlerNode, Field(discriminator="kind")]


class Edge(Part):
    """From one node to the next. Of a node's edges that fit, the first in the file is taken."""

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
    """Which nodes' outputs make the answer."""

    draft: NodeName
    review: NodeName | None = None
    brief: NodeName | None = None
    plan: NodeName | None = None


class Policies(Part):
    """What holds for the whole workflow."""

    min_score: float = Field(default=7.0, ge=0, le=10)  # a review below it is not good enough
    max_steps: int = Field(default=100, ge=1, le=10_000)  # more: the run fails instead of going round
    max_model_calls: int = Field(default=60, ge=1, le=10_000)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong in a definition."""

    path: tuple[str | int, ...]  # into the document: ("edges", 3, "to")
    message: str  # what is wrong and how to mend it


class Workflow(Part):
    """A graph that a run walks through."""

    name: NodeName
    version: str = "1"
    description: str = ""
    inputs: dict[str, Any] = Field(default_factory=dict)  # JSON Schema of the run's inputs
    start: NodeName | None = None  # None: the first node in the file
    nodes: dict[NodeName, Node] = Field(min_length=1)
    edges: tuple[Edge, ...] = ()
    answer: Answers | None = None
    policies: Policies = Policies()

    @property
    def first(self) -> str:
        """Where a run begins."""
        return self.start or next(iter(self.nodes))

    @cached_property
    def outgoing(self) -> dict[str, tuple[Edge, ...]]:
        """Edges by their source, in the order of the file."""
        return {n: tuple(e for e in self.edges if e.source == n) for n in self.nodes}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical definition."""
        canonical = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def problems(self, agents: frozenset[str] | None = None) -> Iterator[Flaw]:
        """What is wrong with the graph.

        Args:
            agents: names of the agents that there are; None: not checked.
        """
        names = set(self.nodes)
        if self.start is not None and self.start not in names:
            yield Flaw(("start",), f"there is no node {self.start!r}; nodes are {_list(names)}")
        for name, node in self.nodes.items():
            if name in VARIABLES:
                yield Flaw(("nodes", name), f"{name!r} is a variable of conditions; choose another name")
            if isinstance(node, ApprovalNode) and node.of not in names:
                yield Flaw(("nodes", name, "of"), f"there is no node {node.of!r}; nodes are {_list(names)}")
            agent = node.agent if isinstance(node, AgentNode | ErrorHandlerNode) else None
            if agent is not None and agents is not None and agent not in agents:
                yield Flaw(
                    ("nodes", name, "agent"), f"there is no agent {agent!r}; agents are {_list(agents)}"
                )
        yield from self._edge_problems(names)
        yield from self._loop_problems(names)
        if self.answer is not None:
            for part in ("draft", "review", "brief", "plan"):
                given: str | None = getattr(self.answer, part)
                if given is not None and given not in names:
                    yield Flaw(("answer", part), f"there is no node {given!r}; nodes are {_list(names)}")

    def _edge_problems(self, names: set[str]) -> Iterator[Flaw]:
        for i, edge in enumerate(self.edges):
            for end, given in (("from", edge.source), ("to", edge.target)):
                if given not in names:
                    yield Flaw(("edges", i, end), f"there is no node {given!r}; nodes are {_list(names)}")
            if edge.when is not None:
                allowed = names | VARIABLES
                for message in expressions.problems(edge.when, allowed):
                    yield Flaw(("edges", i, "when"), message)
            node = self.nodes.get(edge.source)
            if edge.on in ("changes", "rejected") and node is not None and node.kind != "approval":
                yield Flaw(
                    ("edges", i, "on"),
                    f"only an approval node has edges 'on: {edge.on}'; "
                    f"{edge.source!r} is of kind {node.kind!r}",
                )
        reached = self._reached(names)
        for name in self.nodes:
            if name not in reached:
                yield Flaw(("nodes", name), f"no edge leads to {name!r}; add one, or remove the node")

    def _reached(self, names: set[str]) -> set[str]:
        seen: set[str] = set()
        todo = [self.first]
        while todo:
            name = todo.pop()
            if name not in seen and name in names:
                seen.add(name)
                todo += [e.target for e in self.edges if e.source == name]
        return seen

    def _loop_problems(self, names: set[str]) -> Iterator[Flaw]:
        """Every loop needs an edge with `max_visits`: without those edges the graph has no loop."""
        free = [(i, e) for i, e in enumerate(self.edges) if e.max_visits is None]
        # Take away nodes that no free edge leads to until none is left; what stays is in or behind a loop.
        left = set(names)
        while True:
            heads = {e.target for _, e in free if e.source in left and e.target in left}
            loose = left - heads
            if not loose:
                break
            left -= loose
        # And those that lead nowhere inside what stays: only loops are left.
        while True:
            tails = {e.source for _, e in free if e.source in left and e.target in left}
            loose = left - tails
            if not loose:
                break
            left -= loose
        if left:
            index = next(i for i, e in free if e.source in left and e.target in left)
            yield Flaw(
                ("edges", index),
                f"the loop through {_list(left)} never ends: set max_visits on the edge that closes it",
            )


def _list(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names))
