"""The journal of one agent's turn: what is recorded of it, and what a record of an earlier try still counts.

A tool call that is recorded is not made again. Knows no model library: agents without a model have
the same journal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.agents import checks
from orchestrator.agents.flaws import DraftFlaw
from orchestrator.agents.spec import AgentSpec
from orchestrator.agents.tool_call import called
from orchestrator.errors import LimitReached
from orchestrator.events import ModelAnswered, ToolReturned
from orchestrator.ports import AgentInfo, StepInput, StepSink
from orchestrator.tools.registry import AgentTool

OUTPUT_PREFIX: Final = "submit_"


def output_tool(output: str) -> str:
    """Name of the tool by which an agent gives its output: "ResearchBrief" → "submit_research_brief"."""
    return OUTPUT_PREFIX + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", output).lower()


def too_long(spec: AgentSpec) -> LimitReached:
    """The error of an agent whose time is over."""
    return LimitReached(
        f"{spec.title} did not end within {spec.timeout_s:g} s (timeout_s of the agent).", retryable=True
    )


@dataclass(slots=True, kw_only=True)
class Journal:
    """What is known of the turn under way."""

    spec: AgentSpec
    step: StepInput
    sink: StepSink
    tools: dict[str, AgentTool]
    agents: Sequence[AgentInfo] = ()  # those there are, for agents that choose among them
    draft_flaw: DraftFlaw | None = None  # reads the YAML of drafted workflows
    call: int = 0  # number of the last answer, recorded ones included
    returned: dict[tuple[int, str], ToolReturned] = field(
        default_factory=dict[tuple[int, str], ToolReturned]
    )  # by (answer, call id): some providers use an id again in the next answer

    def __post_init__(self) -> None:
        """Read what an earlier try recorded."""
        call = 0
        for fact in self.step.recorded:
            if isinstance(fact, ModelAnswered):
                call = fact.call
            elif isinstance(fact, ToolReturned):
                self.returned[call, fact.call_id] = fact

    @property
    def place(self) -> dict[str, Any]:
        """Where the facts of this turn belong."""
        return {"node": self.step.node, "visit": self.step.visit, "attempt": self.step.attempt}

    async def keep(self, call_id: str, tool: str, *, ok: bool, result: Any, seconds: float) -> ToolReturned:
        """Record a tool's result."""
        fact = ToolReturned(
            **self.place, call_id=call_id, tool=tool, ok=ok, result=result, seconds=round(seconds, 4)
        )
        self.returned[self.call, call_id] = fact
        await self.sink.record(fact)
        return fact

    async def tool_result(self, name: str, arguments: dict[str, Any], call_id: str) -> ToolReturned:
        """What a tool returned, or said of its failure: called once, a recorded result counts."""
        known = self.returned.get((self.call, call_id))
        if known is not None:
            return known
        tool, step = self.tools[name], self.step
        self.sink.doing(tool.doing(arguments))
        key = f"{step.run_id}:{step.node}:{step.visit}:{step.attempt}:{call_id}"
        ok, result, seconds = await called(tool, arguments, key)
        return await self.keep(call_id, name, ok=ok, result=result, seconds=seconds)

    def results(self) -> list[Any]:
        """What tools returned so far, failures left out."""
        return [fact.result for fact in self.returned.values() if fact.ok]


def material(step: StepInput, results: Sequence[Any]) -> list[str]:
    """Every text the agent could quote: what tools returned, files, the conversation."""
    texts = [text for result in results for text in checks.texts_in(result)]
    texts += [file.text for file in step.turn.files if file.text]
    texts += [line.text for line in (*step.exchanges, *step.turn.earlier)]
    return [*texts, step.turn.text]
