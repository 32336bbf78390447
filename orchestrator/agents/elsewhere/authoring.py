"""For authors of agents in Python. `orchestrator.authoring` has the same names.

```python
from orchestrator.authoring import Report, Step, Tools, agent

@agent(name="greeter", title="Greeter", capabilities=["greeting"])
async def greeter(step: Step, tools: Tools) -> Report:
    return Report(body=f"Hello {step.person}")
```

An object with `card` and `run(step, tools)` is an agent as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from pydantic import Field

from orchestrator.agents.elsewhere.specs import OutputName
from orchestrator.agents.elsewhere.wire import File, Line, Spoken, Step
from orchestrator.agents.spec import AgentBase
from orchestrator.artifacts import (
    Artifact,
    Delegation,
    Draft,
    Edit,
    Finding,
    Issue,
    MadeFile,
    Plan,
    PlanTask,
    Report,
    ResearchBrief,
    Review,
    ReviewFinding,
    Source,
    TaskResult,
    TeamPlan,
    WorkflowDraft,
)
from orchestrator.errors import AgentFailed
from orchestrator.events import Json
from orchestrator.tools.registry import ToolTrouble
from orchestrator.workflow import Retry


class Card(AgentBase):
    """How an agent in Python presents itself."""

    output: OutputName = "Report"  # the artifact that it gives
    doing: str = Field(default="working", max_length=200)  # what people read while it works
    tools: tuple[str, ...] = ()  # of the bot's tools, those it calls


class Tools(Protocol):
    """What an agent can do while it works."""

    def names(self) -> Sequence[str]:
        """The tools that it may call here: those of its card that the channel allows."""
        ...

    async def call(self, name: str, **arguments: Any) -> Any:
        """Call a tool. A call that was made before a crash is not made again: its result comes back.

        Raises:
            ToolTrouble: it could not do it; the message says what to try instead.
        """
        ...

    def doing(self, text: str) -> None:
        """Tell people what the agent does now."""
        ...

    async def checkpoint(self, content: Json) -> None:
        """Keep where the agent stands; after a crash it comes back as `step.checkpoint`."""
        ...

    def steering(self) -> tuple[str, ...]:
        """Messages for the agents that arrived so far, oldest first."""
        ...


class Agent(Protocol):
    """An agent in Python."""

    @property
    def card(self) -> Card:
        """Who it is."""
        ...

    async def run(self, step: Step, tools: Tools) -> Artifact | Json:
        """Work on a step.

        Raises:
            AgentFailed: it cannot be done; the message is for people. Any other error is told by its
                class alone.
        """
        ...


class FunctionAgent:
    """An agent that is one function."""

    def __init__(self, card: Card, function: Callable[[Step, Tools], Awaitable[Artifact | Json]]) -> None:
        self.card = card
        self._function = function

    async def run(self, step: Step, tools: Tools) -> Artifact | Json:
        """Work on a step."""
        return await self._function(step, tools)


def agent(
    *,
    name: str,
    title: str,
    capabilities: Sequence[str] = (),
    output: str = "Report",
    tools: Sequence[str] = (),
    doing: str = "working",
    timeout_s: float = 600.0,
    max_concurrent: int | None = None,
    retry: Retry | None = None,
) -> Callable[[Callable[[Step, Tools], Awaitable[Artifact | Json]]], FunctionAgent]:
    """Make an agent of an async function.

    Args:
        name: by which workflows call it: small letters, digits, `_` and `-`.
        title: what people read.
        capabilities: what workflows may ask for.
        output: the artifact that it gives, such as "Report".
        tools: of the bot's tools, those it calls.
        doing: what people read while it works.
        timeout_s: of one step.
        max_concurrent: steps at once; None: as many as there are places for.
        retry: how its failed steps are tried again.

    Raises:
        ValidationError: one of these is not as agents have it.
    """
    card = Card(
        name=name,
        title=title,
        capabilities=tuple(capabilities),
        output=output,
        tools=tuple(tools),
        doing=doing,
        timeout_s=timeout_s,
        max_concurrent=max_concurrent,
        retry=retry,
    )
    return lambda function: FunctionAgent(card, function)


__all__ = [
    "Agent",
    "AgentFailed",
    "Artifact",
    "Card",
    "Delegation",
    "Draft",
    "Edit",
    "File",
    "Finding",
    "FunctionAgent",
    "Issue",
    "Json",
    "Line",
    "MadeFile",
    "Plan",
    "PlanTask",
    "Report",
    "ResearchBrief",
    "Retry",
    "Review",
    "ReviewFinding",
    "Source",
    "Spoken",
    "Step",
    "TaskResult",
    "TeamPlan",
    "ToolTrouble",
    "Tools",
    "WorkflowDraft",
    "agent",
]
