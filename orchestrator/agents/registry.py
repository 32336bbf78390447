"""The agents a run can call, by name. Light to import: the model library loads in a thread, when needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from orchestrator.agents.models import Models
from orchestrator.agents.spec import RULES, AgentSpec
from orchestrator.errors import NotFound
from orchestrator.events import Json
from orchestrator.ports import AgentInfo, StepInput, StepSink
from orchestrator.tools.registry import Tools

if TYPE_CHECKING:
    from pydantic_ai import Agent

    from orchestrator.agents.models import Structured
    from orchestrator.agents.turn import Turn
    from orchestrator.artifacts import Artifact


class AgentRegistry:
    """Implements `ports.Agents`.

    Args:
        specs: the agents.
        models: where models come from; None: there are no providers, the rules engine plays all agents.
        tools: what agents may call; an agent's tool that is not among them is not offered to it.
        default_model: "provider:model" for agents whose file names none, or "rules".
    """

    def __init__(
        self,
        specs: Sequence[AgentSpec],
        *,
        tools: Tools,
        models: Models | None = None,
        default_model: str = RULES,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._models = models
        self._tools = tools
        self._default = default_model
        self._agents: dict[tuple[str, tuple[str, ...], str], Agent[Turn, Artifact]] = {}
        self._warm: asyncio.Task[None] | None = None

    def names(self) -> Sequence[str]:
        """Names of all agents."""
        return tuple(self._specs)

    def infos(self) -> Sequence[AgentInfo]:
        """For lists."""
        return tuple(
            AgentInfo(
                name=spec.name,
                title=spec.title,
                capabilities=spec.capabilities,
                model=self.reference(spec),
                tools=tuple(tool.name for tool in self._tools.chosen(spec.tools, None)),
            )
            for spec in self._specs.values()
        )

    def reference(self, spec: AgentSpec, chosen: str | None = None) -> str:
        """Which model an agent uses: the channel's choice, else its file's, else the default."""
        if self._models is None:
            return RULES
        return chosen or spec.model or self._default

    async def warm_up(self) -> None:
        """Import the model library in a thread and build the agents. Safe to call again."""
        if self._warm is None:
            self._warm = asyncio.create_task(asyncio.to_thread(self._load))
        await asyncio.shield(self._warm)

    def _load(self) -> None:
        for module in ("orchestrator.agents.rules_engine", "genai_prices.data"):
            import_module(module)

        for spec in self._specs.values():
            if self.reference(spec) == RULES:
                self._agent(spec, None, "tool")
        if self._models is not None:
            self._models.warm_up()

    def _agent(
        self, spec: AgentSpec, allowed: Sequence[str] | None, structured: Structured
    ) -> Agent[Turn, Artifact]:
        from orchestrator.agents.runner import build

        tools = self._tools.chosen(spec.tools, allowed)
        key = (spec.name, tuple(tool.name for tool in tools), structured)
        if key not in self._agents:
            self._agents[key] = build(spec, tools, structured)
        return self._agents[key]

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        """Work on one step until its output is there.

        Raises:
            NotFound: no agent has this name.
            StepError: it could not be done.
        """
        spec = self._specs.get(step.agent)
        if spec is None:
            raise NotFound(f"there is no agent {step.agent!r}; agents are {', '.join(self._specs)}")
        await self.warm_up()
        from orchestrator.agents.runner import run_turn
        from orchestrator.agents.turn import Turn

        reference = self.reference(spec, step.settings.models.get(spec.name))
        models = None if reference == RULES else self._models
        tools = {tool.name: tool for tool in self._tools.chosen(spec.tools, step.settings.tools)}
        turn = Turn(spec=spec, step=step, sink=sink, tools=tools, reference=reference, models=models)
        if models is None:
            from orchestrator.agents.rules_engine import rules_model

            return await run_turn(
                self._agent(spec, step.settings.tools, "tool"), turn, rules_model(spec, step)
            )
        agent = self._agent(spec, step.settings.tools, models.structured(reference))
        return await run_turn(agent, turn, models.model(reference))
