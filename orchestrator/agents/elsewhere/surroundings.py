"""What agents elsewhere are given to work with, and the base that all their players share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from orchestrator.agents.elsewhere.specs import A2aSpec, CommandSpec, HttpSpec, McpSpec, PythonSpec
from orchestrator.agents.player import AgentCard
from orchestrator.agents.spec import AgentBase
from orchestrator.errors import AgentFailed, LimitReached, NotFound
from orchestrator.events import Json
from orchestrator.ports import StepInput, StepSink
from orchestrator.tools.registry import Tools

if TYPE_CHECKING:
    from orchestrator.agents.elsewhere.network import Network

AnySpec = PythonSpec | HttpSpec | A2aSpec | McpSpec | CommandSpec
S = TypeVar("S", bound=AnySpec, covariant=True)


def _nothing(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What players are made with."""

    tools: Tools
    network: Network
    workspaces: Path  # where folders of steps are made
    variable: Callable[[str], str | None]  # a variable of the environment, or of .env; None: not set
    beat: Callable[[str], None] = _nothing  # an agent gave a sign of life


class ElsewherePlayer(ABC, Generic[S]):
    """An agent elsewhere. Implements `Player`."""

    def __init__(self, spec: S, around: Surroundings) -> None:
        self.spec = spec
        self.around = around
        self.card = card_of(spec)

    def reference(self, chosen: str | None = None) -> str:
        """It has no model that we know of."""
        return ""

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        """Work on one step.

        Raises:
            AgentFailed: it failed, cannot be reached, or its answer cannot be used.
            LimitReached: it took longer than its `timeout_s`.
        """
        sink.doing(self.spec.doing)
        try:
            async with asyncio.timeout(self.spec.timeout_s):
                return await self.work(step, sink)
        except TimeoutError:
            raise LimitReached(
                f"{self.spec.title} did not end within {self.spec.timeout_s:g} s (timeout_s of the agent).",
                retryable=True,
            ) from None

    @abstractmethod
    async def work(self, step: StepInput, sink: StepSink) -> Json:
        """Work on one step, without a limit of time."""

    async def probe(self) -> None:
        """Look whether it is there.

        Raises:
            AgentFailed: it is not; says why.
        """

    def key(self, variable: str | None) -> str | None:
        """The key in a variable; None: none is needed.

        Raises:
            AgentFailed: the variable is not set.
        """
        if variable is None:
            return None
        value = self.around.variable(variable)
        if not value:
            raise AgentFailed(
                f"{self.spec.title}: the variable {variable} is not set; put it into .env or the environment"
            )
        return value

    def heard(self) -> None:
        """It gave a sign of life."""
        try:
            self.around.beat(self.spec.name)
        except NotFound:
            return  # it was taken away while it works


def card_of(spec: AnySpec) -> AgentCard:
    """How it presents itself in the registry."""
    shared: Mapping[str, Any] = {name: getattr(spec, name) for name in AgentBase.model_fields}
    # A program that runs for a step only has no pulse between steps: silence is watched while it works.
    heartbeat_s = None if isinstance(spec, CommandSpec | PythonSpec) else spec.heartbeat_s
    tools = spec.tools if isinstance(spec, PythonSpec) else ()
    return AgentCard(**shared, origin=spec.origin, tools=tools, heartbeat_s=heartbeat_s)
