"""The journal of one agent's turn: what is recorded of it, and what a record of an earlier try still counts.

A tool call that is recorded is not made again, a misfit that is recorded is not recorded twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.exceptions import ToolFailed as TellModel
from pydantic_ai.messages import ModelRequest, ModelResponse, RetryFeedbackPart, ToolReturnPart

from orchestrator.agents import checks
from orchestrator.agents.flaws import DraftFlaw
from orchestrator.agents.messages import to_bits
from orchestrator.agents.models import Models, RetryNotice
from orchestrator.agents.spec import RULES, AgentSpec, split_reference
from orchestrator.agents.tool_call import called
from orchestrator.errors import OrchestratorError, OutputInvalid
from orchestrator.events import ModelAnswered, ModelRetried, OutputSentBack, ToolReturned, Usage
from orchestrator.ports import AgentInfo, StepInput, StepSink
from orchestrator.tools.registry import AgentTool

REASON_CHARS = 2_000  # of a misfit or a tool's failure, as recorded


OUTPUT_PREFIX = "submit_"


def output_tool(output: str) -> str:
    """Name of the tool by which a model gives its output: "ResearchBrief" → "submit_research_brief"."""
    return OUTPUT_PREFIX + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", output).lower()


@dataclass(slots=True)
class Turn:
    """What is known of the turn under way."""

    spec: AgentSpec
    step: StepInput
    sink: StepSink
    tools: dict[str, AgentTool]
    reference: str
    models: Models | None  # None: the rules engine
    agents: Sequence[AgentInfo] = ()  # those there are, for agents that choose among them
    draft_flaw: DraftFlaw | None = None  # reads the YAML of drafted workflows
    call: int = 0  # number of the last model answer, recorded ones included
    asked_at: float = 0.0  # monotonic seconds
    steered: int = 0  # messages already handed to the model
    broken: OrchestratorError | None = None  # an append that was refused while the library held the stack
    misfits: int = 0  # outputs sent back, before a crash too
    returned: dict[tuple[int, str], ToolReturned] = field(
        default_factory=dict[tuple[int, str], ToolReturned]
    )  # by (model answer, call id): some providers use an id again in the next answer
    known_misfits: set[tuple[int, str | None]] = field(default_factory=set[tuple[int, str | None]])

    def __post_init__(self) -> None:
        """Read the journal out of what an earlier try recorded."""
        call = 0
        for fact in self.step.recorded:
            if isinstance(fact, ModelAnswered):
                call = fact.call
            elif isinstance(fact, ToolReturned):
                self.returned[call, fact.call_id] = fact
            else:
                self.known_misfits.add((call, fact.call_id))
        self.steered = len(self.step.steering)

    @property
    def place(self) -> dict[str, Any]:
        """Where the facts of this turn belong."""
        return {"node": self.step.node, "visit": self.step.visit, "attempt": self.step.attempt}

    # ── recording ────────────────────────────────────────────────────────────────────────────

    async def note_answer(self, response: ModelResponse) -> None:
        """Record a model's answer; its tools run after this."""
        provider, model = split_reference(self.reference)
        answered_by = response.model_name or model
        usage = self._usage(response, answered_by)
        await self.sink.record(
            ModelAnswered(
                **self.place,
                call=self.call,
                provider=provider,
                model=model if provider == RULES else answered_by,
                bits=to_bits(response.parts),
                usage=usage,
                seconds=round(time.monotonic() - self.asked_at, 4),
            )
        )

    def _usage(self, response: ModelResponse, answered_by: str) -> Usage:
        if self.models is None:
            return Usage(calls=1)  # the library estimates tokens for functions; there were none
        used = response.usage
        cost = self.models.cost(
            self.reference,
            answered_by,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cached_tokens=used.cache_read_tokens,
        )
        return Usage(
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cached_tokens=used.cache_read_tokens,
            calls=1,
            cost_usd=cost,
        )

    async def note_returns(self, request: ModelRequest) -> None:
        """Record what the library answered by itself: misfits, unknown tools, wrong arguments.

        Raises:
            OutputInvalid: the output did not fit once more than allowed.
        """
        for part in request.parts:
            if isinstance(part, RetryFeedbackPart):
                await self._misfit(None, part.model_response())
            elif isinstance(part, ToolReturnPart):
                if part.tool_name.startswith(OUTPUT_PREFIX):
                    if part.outcome == "retried":
                        await self._misfit(part.tool_call_id, part.model_response_str())
                elif (self.call, part.tool_call_id) not in self.returned:
                    text = part.model_response_str()[:REASON_CHARS]
                    await self.keep(part.tool_call_id, part.tool_name, ok=False, result=text, seconds=0.0)

    async def _misfit(self, call_id: str | None, reason: str) -> None:
        self.misfits += 1
        if (self.call, call_id) in self.known_misfits:
            return
        if self.misfits > self.spec.max_output_retries:
            raise OutputInvalid(
                f"{self.spec.title}: the answer of {self.reference} did not fit its form, "
                f"{self.misfits - 1} times sent back. Try another model for this agent. "
                f"Last reason: {' '.join(reason.split())[:300]}"
            )
        reason = reason[:REASON_CHARS]
        await self.sink.record(OutputSentBack(**self.place, call_id=call_id, reason=reason))

    async def keep(self, call_id: str, tool: str, *, ok: bool, result: Any, seconds: float) -> ToolReturned:
        """Record a tool's result."""
        fact = ToolReturned(
            **self.place, call_id=call_id, tool=tool, ok=ok, result=result, seconds=round(seconds, 4)
        )
        self.returned[self.call, call_id] = fact
        await self.sink.record(fact)
        return fact

    async def note_retry(self, notice: RetryNotice) -> None:
        """Record that a model call is made again."""
        self.sink.doing(f"the model did not answer, trying again in {notice.delay_s:.0f} s")
        try:
            await self.sink.record(
                ModelRetried(
                    **self.place, tries=notice.tries, status=notice.status, delay_s=round(notice.delay_s, 3)
                )
            )
        except OrchestratorError as error:
            self.broken = error  # the HTTP client would turn it into a broken connection
            raise

    # ── tools ────────────────────────────────────────────────────────────────────────────────

    async def call_tool(self, name: str, arguments: dict[str, Any], call_id: str) -> Any:
        """Call a tool once; a recorded result is returned instead.

        Raises:
            TellModel: it failed, and the model is told.
        """
        fact = self.returned.get((self.call, call_id)) or await self._call(name, arguments, call_id)
        if not fact.ok:
            raise TellModel(str(fact.result))
        return fact.result

    async def _call(self, name: str, arguments: dict[str, Any], call_id: str) -> ToolReturned:
        tool, step = self.tools[name], self.step
        self.sink.doing(tool.doing(arguments))
        key = f"{step.run_id}:{step.node}:{step.visit}:{step.attempt}:{call_id}"
        ok, result, seconds = await called(tool, arguments, key)
        return await self.keep(call_id, name, ok=ok, result=result, seconds=seconds)

    def new_steering(self) -> tuple[str, ...]:
        """Messages that arrived since the last model call."""
        texts = self.sink.steering()[self.steered :]
        self.steered += len(texts)
        return texts

    def material(self) -> list[str]:
        """Every text the agent could quote: what tools returned, files, the conversation."""
        texts = [t for fact in self.returned.values() if fact.ok for t in checks.texts_in(fact.result)]
        texts += [f.text for f in self.step.turn.files if f.text]
        texts += [line.text for line in (*self.step.exchanges, *self.step.turn.earlier)]
        return [*texts, self.step.turn.text]
