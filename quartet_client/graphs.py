"""Graphs of tasks: agents, a builder, and the three patterns that most programs want. Pure.

team = GraphBuilder(metadata={"project": "demo"})
facts = create_agent("researcher", "facts")
team.task(facts, "What is Quartet?")
team.task(create_agent("builder", "text"), "Write a paragraph about it", depends_on=[facts])
graph = team.graph()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quartet_client.errors import BadArgument

WorkflowType = Literal["sequential", "parallel", "graph"]


class AgentConfig(BaseModel):
    """Who works on a task."""

    model_config = ConfigDict(frozen=True)

    role: str = Field(min_length=1, max_length=80)  # an agent's name, or what it is called elsewhere
    agent_id: str = Field(min_length=1, max_length=128)  # unique in its graph
    llm_model: str | None = None  # "provider:model"; None: as the server is set up
    temperature: float | None = Field(default=None, ge=0, le=2)


class Task(BaseModel):
    """One task of a graph."""

    model_config = ConfigDict(frozen=True)

    agent: AgentConfig
    input_data: dict[str, Any] = Field(default_factory=dict)
    depends_on: tuple[str, ...] = ()  # agent_ids

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        wishes = {"llm_model": self.agent.llm_model, "temperature": self.agent.temperature}
        return {
            "agent_id": self.agent.agent_id,
            "agent_role": self.agent.role,
            "input_data": self.input_data,
            "depends_on": list(self.depends_on),
            **{name: wish for name, wish in wishes.items() if wish is not None},
        }


class Graph(BaseModel):
    """Tasks and how they hang together. Made by `GraphBuilder` or by a pattern."""

    model_config = ConfigDict(frozen=True)

    workflow_type: WorkflowType
    tasks: tuple[Task, ...] = Field(min_length=1)
    workflow_id: str | None = None  # None: the server makes one
    metadata: dict[str, Any] = Field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        named = {"workflow_id": self.workflow_id} if self.workflow_id is not None else {}
        return {
            **named,
            "workflow_type": self.workflow_type,
            "tasks": [task.body() for task in self.tasks],
            "metadata": self.metadata,
        }


def create_agent(
    role: str, agent_id: str, llm_model: str | None = None, temperature: float | None = None
) -> AgentConfig:
    """Who works on a task.

    Args:
        role: an agent by its name (`researcher`, `backend`, …), or as it is called elsewhere (`qa_engineer`).
        agent_id: yours to choose, unique in the graph.
        llm_model: "provider:model"; None: as the server is set up.
        temperature: 0 to 2; None: as the server is set up.

    Raises:
        BadArgument: an argument is out of its range.
    """
    try:
        return AgentConfig(role=role, agent_id=agent_id, llm_model=llm_model, temperature=temperature)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadArgument(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


class GraphBuilder:
    """Collects tasks; `sequential`, `parallel` or `graph` at the end says how they run.

    Args:
        workflow_id: yours to choose, once; None: the server makes one.
        metadata: comes back as it is.
    """

    def __init__(self, workflow_id: str | None = None, metadata: Mapping[str, Any] | None = None) -> None:
        self._workflow_id = workflow_id
        self._metadata = dict(metadata or {})
        self._tasks: dict[str, Task] = {}

    def task(
        self,
        agent: AgentConfig,
        input: str | Mapping[str, Any],
        depends_on: Iterable[AgentConfig | str] = (),
    ) -> Self:
        """Add a task.

        Args:
            agent: who works on it.
            input: what is to be done; an object goes to the agent as it is.
            depends_on: whose outputs it needs; may be added later. Counts with `graph` alone.

        Raises:
            BadArgument: the agent_id was used before.
        """
        _check_agent(agent)
        if not isinstance(input, (str, Mapping)):  # pyright: ignore[reportUnnecessaryIsInstance] - programs are not all checked
            raise BadArgument(f"input is text or an object, not {type(input).__name__}")
        if agent.agent_id in self._tasks:
            raise BadArgument(f"there is a task of {agent.agent_id!r} already; take another agent_id")
        if isinstance(depends_on, str):
            raise BadArgument("depends_on is a list of agents")
        self._tasks[agent.agent_id] = Task(
            agent=agent,
            input_data={"task": input} if isinstance(input, str) else dict(input),
            depends_on=tuple(d if isinstance(d, str) else d.agent_id for d in depends_on),
        )
        return self

    def sequential(self) -> Graph:
        """One after the other, as they were added; each gets the output before."""
        return self._built("sequential")

    def parallel(self) -> Graph:
        """All at once."""
        return self._built("parallel")

    def graph(self) -> Graph:
        """As `depends_on` says."""
        return self._built("graph")

    def _built(self, workflow_type: WorkflowType) -> Graph:
        if not self._tasks:
            raise BadArgument("a graph needs a task; add one with task(…)")
        for name, task in self._tasks.items():
            if workflow_type != "graph" and task.depends_on:
                raise BadArgument(f"{name!r} depends on others: that is a graph(), not {workflow_type}()")
            unknown = [wanted for wanted in task.depends_on if wanted not in self._tasks]
            if unknown:
                raise BadArgument(f"{name!r} depends on {unknown[0]!r}, which is no task of this graph")
        return Graph(
            workflow_type=workflow_type,
            tasks=tuple(self._tasks.values()),
            workflow_id=self._workflow_id,
            metadata=self._metadata,
        )


# ── patterns ─────────────────────────────────────────────────────────────────────────────────


def full_stack(
    feature: str,
    *,
    llm_model: str | None = None,
    temperature: float | None = None,
    workflow_id: str | None = None,
) -> Graph:
    """A feature: designed, then backend and frontend built at once, then tested and documented.

    Args:
        feature: what is to be built.
        llm_model: of every agent; None: as the server is set up.
        temperature: of every agent.
        workflow_id: yours to choose, once.
    """

    def agent(role: str, agent_id: str) -> AgentConfig:
        return create_agent(role, agent_id, llm_model, temperature)

    architect, backend = agent("architect", "architect"), agent("backend", "backend")
    frontend, qa = agent("frontend", "frontend"), agent("qa", "qa")
    return (
        GraphBuilder(workflow_id, {"pattern": "full_stack"})
        .task(architect, f"Design this feature, with the interface between backend and frontend: {feature}")
        .task(backend, f"Build the backend of this feature as designed: {feature}", [architect])
        .task(frontend, f"Build the frontend of this feature as designed: {feature}", [architect])
        .task(
            qa,
            f"Test backend and frontend of this feature against each other: {feature}",
            [backend, frontend],
        )
        .task(
            agent("technical_writer", "documentation"),
            f"Document this feature: {feature}",
            [backend, frontend],
        )
        .graph()
    )


def parallel_code_review(
    code: str,
    *,
    aspects: Mapping[str, str] | None = None,
    llm_model: str | None = None,
    temperature: float | None = None,
    workflow_id: str | None = None,
) -> Graph:
    """Code, looked at by several reviewers at once, whose findings one of them puts together.

    Args:
        code: what is reviewed, or where it is.
        aspects: role → what to look for; None: security, performance, style.
        llm_model: of every agent; None: as the server is set up.
        temperature: of every agent.
        workflow_id: yours to choose, once.

    Raises:
        BadArgument: there is no aspect.
    """
    looked_for = DEFAULT_ASPECTS if aspects is None else aspects
    if not looked_for:
        raise BadArgument("a review needs an aspect to look at")
    reviewers = [create_agent(role, f"review_{role}"[:128], llm_model, temperature) for role in looked_for]
    builder = GraphBuilder(workflow_id, {"pattern": "parallel_code_review"})
    for reviewer, wanted in zip(reviewers, looked_for.values(), strict=True):
        builder.task(reviewer, {"task": f"Review this code. Look for: {wanted}", "code": code})
    return builder.task(
        create_agent("code_reviewer", "summary", llm_model, temperature),
        "Put the findings together, the gravest first, each once.",
        reviewers,
    ).graph()


DEFAULT_ASPECTS: Mapping[str, str] = {
    "security": "what an attacker could use",
    "performance": "what is slow, or grows with its input",
    "style": "what is hard to read",
}


def supervised(
    goal: str,
    workers: Sequence[AgentConfig],
    *,
    supervisor: AgentConfig | None = None,
    workflow_id: str | None = None,
) -> Graph:
    """A supervisor plans, the workers work at once, and the supervisor judges what they made.

    Args:
        goal: what is to be reached.
        workers: who works on it.
        supervisor: None: the coordinator. Its tasks are `<agent_id>_plan` and `<agent_id>_verdict`.
        workflow_id: yours to choose, once.

    Raises:
        BadArgument: there is no worker, or two have the same agent_id.
    """
    if not workers:
        raise BadArgument("supervised needs at least one worker")
    for worker in workers:
        _check_agent(worker)
    lead = supervisor or create_agent("coordinator", "supervisor")
    plan = lead.model_copy(update={"agent_id": f"{lead.agent_id}_plan"})
    verdict = lead.model_copy(update={"agent_id": f"{lead.agent_id}_verdict"})
    builder = GraphBuilder(workflow_id, {"pattern": "supervised"})
    builder.task(plan, f"Plan how these reach the goal, {_named(workers)}: {goal}")
    for worker in workers:
        builder.task(worker, f"Do your part ({worker.role}) of the plan for this goal: {goal}", [plan])
    return builder.task(
        verdict, f"Judge what was made against the goal, and put it together: {goal}", list(workers)
    ).graph()


def _check_agent(agent: object) -> None:
    if not isinstance(agent, AgentConfig):
        raise BadArgument(f"an agent is made by create_agent(role, agent_id); {str(agent)[:60]!r} is none")


def _named(workers: Sequence[AgentConfig]) -> str:
    return ", ".join(f"{worker.agent_id} ({worker.role})" for worker in workers)
