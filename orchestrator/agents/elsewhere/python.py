"""Agents of installed packages, by entry points of the group `quartet.agents`.

None is imported unless the configuration names it. Whatever happens while one loads becomes a reason in
words; whatever its code raises becomes AgentFailed with the name of the class.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

import structlog

from orchestrator.agents.elsewhere import wire
from orchestrator.agents.elsewhere.authoring import Agent, Card
from orchestrator.agents.elsewhere.specs import PythonSpec
from orchestrator.agents.elsewhere.surroundings import ElsewherePlayer, Surroundings
from orchestrator.agents.model_player import allowed_tools
from orchestrator.agents.tool_call import called
from orchestrator.errors import AgentFailed, OrchestratorError, StepError
from orchestrator.events import Json, ToolReturned
from orchestrator.ports import StepInput, StepSink
from orchestrator.tools.registry import ToolTrouble

log = structlog.get_logger(__name__)

GROUP = "quartet.agents"
LOAD_S = 30.0


class NotLoaded(Exception):
    """An agent of a package cannot be used; one line that says why and what to do."""


def offered() -> list[str]:
    """Names of the entry points that installed packages offer. Imports nothing of theirs."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def _point(name: str) -> EntryPoint:
    found = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if not found:
        others = ", ".join(offered()) or "none"
        raise NotLoaded(
            f"no installed package offers an agent {name[:40]!r} (group {GROUP}); offered are {others}"
        )
    if len(found) > 1:
        raise NotLoaded(f"several packages offer an agent {name!r}: {', '.join(sorted(found))}; remove one")
    return next(iter(found.values()))


def load(name: str) -> Agent:
    """Import an agent by its entry point. Blocks, and runs the package's code.

    Raises:
        NotLoaded: it cannot be had.
    """
    point = _point(name)
    try:
        loaded = point.load()
        made: Any = loaded() if isinstance(loaded, type) else loaded
        card = made.card
        fine = isinstance(card, Card) and inspect.iscoroutinefunction(made.run)
    except (Exception, SystemExit) as error:
        log.warning(
            "an agent did not load", action="agent_unloaded", agent=name, point=point.value, exc_info=True
        )
        detail = (
            f": {wire.one_line(str(error))[:160]}" if isinstance(error, ImportError | AttributeError) else ""
        )
        raise NotLoaded(
            f"{point.value} does not load ({type(error).__name__}{detail}); mend the package, or remove it"
        ) from None
    if not fine:
        raise NotLoaded(
            f"{point.value} is no agent; it needs a `card` (a Card) and `async def run(step, tools)`"
        )
    return cast("Agent", made)


async def load_soon(name: str) -> Agent:
    """Like `load`, in a thread and within 30 s.

    Raises:
        NotLoaded: it cannot be had.
    """
    try:
        return await asyncio.wait_for(asyncio.to_thread(load, name), LOAD_S)
    except TimeoutError:
        raise NotLoaded(f"{name} did not load within {LOAD_S:.0f} s; mend the package") from None


def spec_of(agent: Agent, name: str) -> PythonSpec:
    """The spec of an agent that is named by its entry point alone: as its card says.

    Raises:
        NotLoaded: its card has another name.
    """
    card = agent.card
    if card.name != name:
        raise NotLoaded(f"the entry point {name!r} has an agent {card.name!r}; give both the same name")
    shared = {field: getattr(card, field) for field in Card.model_fields}
    return PythonSpec(**shared, origin="python")


class StepTools:
    """The tools of one step, with its journal. Implements `authoring.Tools`."""

    def __init__(self, spec: PythonSpec, around: Surroundings, step: StepInput, sink: StepSink) -> None:
        chosen = around.tools.chosen(spec.tools, allowed_tools(step))
        self._tools = {tool.name: tool for tool in chosen}
        self._title = spec.title
        self._step = step
        self._sink = sink
        self._made = [fact for fact in step.recorded if isinstance(fact, ToolReturned)]
        self._calls = 0
        self.broken: OrchestratorError | None = None  # the log refused; the author must not swallow that

    def names(self) -> Sequence[str]:
        """The tools that may be called."""
        return tuple(self._tools)

    async def call(self, name: str, **arguments: Any) -> Any:
        """Call a tool, or return what was recorded of the same call before a crash."""
        tool = self._tools.get(name)
        if tool is None:
            may = ", ".join(self._tools) or "none"
            raise ToolTrouble(f"the tool {name!r} is not offered here; offered are {may}")
        self._calls += 1
        call_id = f"{self._calls}:{name}"
        known = next((fact for fact in self._made if fact.call_id == call_id), None)
        fact = known or await self._call(name, arguments, call_id)
        if not fact.ok:
            raise ToolTrouble(str(fact.result))
        return fact.result

    async def _call(self, name: str, arguments: dict[str, Any], call_id: str) -> ToolReturned:
        tool, step = self._tools[name], self._step
        self._sink.doing(tool.doing(arguments))
        ok, result, seconds = await called(tool, arguments, f"{wire.key_of(step)}:{call_id}")
        fact = ToolReturned(
            node=step.node,
            visit=step.visit,
            attempt=step.attempt,
            call_id=call_id,
            tool=name,
            ok=ok,
            result=result,
            seconds=round(seconds, 4),
        )
        try:
            await self._sink.record(fact)
        except OrchestratorError as error:
            self.broken = error
            raise
        return fact

    def doing(self, text: str) -> None:
        """Tell people what it does now."""
        self._sink.doing(wire.one_line(str(text))[: wire.DOING_CHARS])

    async def checkpoint(self, content: Json) -> None:
        """Keep where it stands."""
        try:
            await wire.save(content, self._sink, self._title)
        except StepError:
            raise
        except OrchestratorError as error:
            self.broken = error
            raise

    def steering(self) -> tuple[str, ...]:
        """Messages that arrived so far."""
        return self._sink.steering()


class PythonPlayer(ElsewherePlayer[PythonSpec]):
    """An agent of a package."""

    def __init__(self, spec: PythonSpec, around: Surroundings, agent: Agent) -> None:
        super().__init__(spec, around)
        self._agent = agent

    async def work(self, step: StepInput, sink: StepSink) -> Json:
        """Work on one step in this process."""
        spec = self.spec
        tools = StepTools(spec, self.around, step, sink)
        try:
            made = await self._agent.run(wire.step_of(step, spec.output), tools)
        except Exception as error:
            if tools.broken is not None:
                raise tools.broken from None
            if isinstance(error, StepError):
                raise
            log.exception("an agent broke", action="agent_broke", agent=spec.name, origin="python")
            raise AgentFailed(
                f"{spec.title} broke ({type(error).__name__}); the log of the bot has the details"
            ) from None
        if tools.broken is not None:
            raise tools.broken
        return wire.artifact(made, step, spec.output, spec.title)
