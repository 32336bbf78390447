"""Agents that a model plays, or the rules engine. The model library loads in a thread, if a model plays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchestrator.agents import rules_player
from orchestrator.agents.computing import Compute, in_thread
from orchestrator.agents.journal import Journal
from orchestrator.agents.models import Models
from orchestrator.agents.own_models import Own, OwnModels
from orchestrator.agents.player import AgentCard
from orchestrator.agents.prompts import CHOOSERS
from orchestrator.agents.spec import RULES, AgentBase, AgentSpec
from orchestrator.errors import ModelRefused
from orchestrator.events import Json
from orchestrator.ports import AgentInfo, StepInput, StepSink
from orchestrator.tools.registry import Tools
from orchestrator.tools.web_search import own_key

if TYPE_CHECKING:
    from pydantic_ai import Agent

    from orchestrator.agents.flaws import DraftFlaw
    from orchestrator.agents.models import Structured
    from orchestrator.agents.turn import Turn
    from orchestrator.artifacts import Artifact


class Stage:
    """What all these agents share: models, tools, and the library's agents once they are built.

    Args:
        tools: what agents may call; an agent's tool that is not among them is not offered to it.
        models: where models come from; None: there are no providers, the rules engine plays all agents.
        default_model: "provider:model" for agents whose file names none, or "rules".
        everybody: the agents there are, for those that choose among them.
        draft_flaw: what is wrong with a drafted workflow, for the agent that drafts them.
        own: finds the models that a run brings itself; None: no run can.
        compute: where the rules engine works.
    """

    def __init__(
        self,
        *,
        tools: Tools,
        models: Models | None,
        default_model: str,
        everybody: Callable[[], Sequence[AgentInfo]],
        draft_flaw: DraftFlaw | None = None,
        own: OwnModels | None = None,
        compute: Compute = in_thread,
    ) -> None:
        self.tools = tools
        self._models = models
        self._default = default_model
        self._everybody = everybody
        self._draft_flaw = draft_flaw
        self._own = own
        self._compute = compute
        self._built: dict[tuple[AgentSpec, tuple[str, ...], str], Agent[Turn, Artifact]] = {}
        self._loaded = False  # the model library
        self._warm: asyncio.Task[None] | None = None

    def reference(self, spec: AgentSpec, chosen: str | None = None) -> str:
        """Which model an agent uses: the channel's choice, else its file's, else the default."""
        if self._models is None:
            return RULES
        return chosen or spec.model or self._default

    def cheapest(self, specs: Iterable[AgentSpec]) -> str | None:
        """The model that asks least, of those offered and of the agents' own; None: there is none."""
        if self._models is None:
            return None
        return self._models.cheapest({self.reference(spec) for spec in specs})

    async def warm_up(self, specs: Iterable[AgentSpec]) -> None:
        """Make ready whoever plays these agents, in the background. Safe to call again."""
        if self._warm is None:
            self._warm = asyncio.create_task(self._make_ready(tuple(specs)))
        await asyncio.shield(self._warm)

    async def _make_ready(self, specs: Sequence[AgentSpec]) -> None:
        if any(self.reference(spec) == RULES for spec in specs):
            await self._compute(loaded)
        if self._models is not None:
            await self._load_library()
            await asyncio.to_thread(self._models.warm_up)

    async def _load_library(self) -> None:
        if not self._loaded:
            await asyncio.to_thread(_load_library)
            self._loaded = True

    def _agent(
        self, spec: AgentSpec, allowed: Sequence[str] | None, structured: Structured
    ) -> Agent[Turn, Artifact]:
        from orchestrator.agents.runner import build

        tools = self.tools.chosen(spec.tools, allowed)
        key = (spec, tuple(tool.name for tool in tools), structured)
        if key not in self._built:
            self._built[key] = build(spec, tools, structured)
        return self._built[key]

    def forget(self, spec: AgentSpec) -> None:
        """The agent is gone: so is what was built for it."""
        for key in [key for key in self._built if key[0] == spec]:
            del self._built[key]

    async def play(self, spec: AgentSpec, step: StepInput, sink: StepSink) -> Json:
        """Work on one step.

        Raises:
            StepError: it could not be done.
        """
        await self.warm_up((spec,))
        own = await self._brought(step)
        searching = own_key.set(own.search_key)
        try:
            return await self._play(spec, step, sink, own)
        finally:
            own_key.reset(searching)
            if own.models is not None:
                await own.models.close()

    async def _brought(self, step: StepInput) -> Own:
        if not step.settings.own_keys:
            return Own()
        if self._own is None:
            raise ModelRefused("This run brought keys of its own, and this bot takes none.")
        return await self._own.of(step.settings.own_keys)

    async def _play(self, spec: AgentSpec, step: StepInput, sink: StepSink, own: Own) -> Json:
        # A run that brought a key uses nothing but its own model: another one would need the bot's key.
        chosen = step.model or step.settings.models.get(spec.name)
        reference = own.reference or self.reference(spec, chosen)
        models = None if reference == RULES else own.models or self._models
        allowed = allowed_tools(step)
        tools = self.tools.chosen(spec.tools, allowed)
        # What comes with the program serves workflows of its own, and is nobody to choose.
        chooses = spec.output in CHOOSERS
        agents = [a for a in self._everybody() if a.origin != "built_in"] if chooses else []
        journal: dict[str, Any] = {
            "spec": spec,
            "step": step,
            "sink": sink,
            "tools": {tool.name: tool for tool in tools},
            "agents": agents,
            "draft_flaw": self._draft_flaw,
        }
        if models is None:
            return await rules_player.play(Journal(**journal), self._compute)
        await self._load_library()
        from orchestrator.agents.runner import run_turn
        from orchestrator.agents.turn import Turn

        turn = Turn(**journal, reference=reference, models=models)
        agent = self._agent(spec, allowed, models.structured(reference))
        if own.models is None:
            return await run_turn(agent, turn, models.model(reference))
        # Its client is made anew for each step, and that takes long: certificates are read.
        model = await asyncio.to_thread(models.model, reference)
        return await run_turn(agent, turn, model)


def loaded() -> None:
    """That this module is there is all: the rules engine comes with it."""


def _load_library() -> None:
    for module in ("orchestrator.agents.runner", "genai_prices.data"):
        import_module(module)


def allowed_tools(step: StepInput) -> Sequence[str] | None:
    """The tools that the channel allows, and of these what the member of a team may use; None: all."""
    channel = step.settings.tools
    own = tuple(step.member.get("tools") or ()) if step.member is not None else ()
    if not own:
        return channel
    return own if channel is None else tuple(name for name in channel if name in own)


class ModelPlayer:
    """One agent of a file. Implements `Player`."""

    def __init__(self, spec: AgentSpec, stage: Stage) -> None:
        self.spec = spec
        self._stage = stage
        shared = {name: getattr(spec, name) for name in AgentBase.model_fields}
        offered = tuple(tool.name for tool in stage.tools.chosen(spec.tools, None))
        self.card = AgentCard(**shared, origin="file", tools=offered)

    def reference(self, chosen: str | None = None) -> str:
        """Which model it uses."""
        return self._stage.reference(self.spec, chosen)

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        """Work on one step."""
        return await self._stage.play(self.spec, step, sink)
