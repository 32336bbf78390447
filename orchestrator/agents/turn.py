"""One turn of an agent that a model plays: its journal, with what only a model does.

A misfit that is recorded is not recorded twice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.exceptions import ToolFailed as TellModel
from pydantic_ai.messages import ModelRequest, ModelResponse, RetryFeedbackPart, ToolReturnPart

from orchestrator.agents.journal import OUTPUT_PREFIX, Journal
from orchestrator.agents.messages import to_bits
from orchestrator.agents.models import Models, RetryNotice
from orchestrator.agents.spec import split_reference
from orchestrator.errors import OrchestratorError, OutputInvalid
from orchestrator.events import ModelAnswered, ModelRetried, OutputSentBack, Usage

REASON_CHARS = 2_000  # of a misfit or a tool's failure, as recorded


@dataclass(slots=True, kw_only=True)
class Turn(Journal):
    """What is known of the turn under way."""

    reference: str  # "provider:model"
    models: Models
    asked_at: float = 0.0  # monotonic seconds
    steered: int = 0  # messages already handed to the model
    broken: OrchestratorError | None = None  # an append that was refused while the library held the stack
    misfits: int = 0  # outputs sent back, before a crash too
    known_misfits: set[tuple[int, str | None]] = field(default_factory=set[tuple[int, str | None]])

    def __post_init__(self) -> None:
        """Read the journal out of what an earlier try recorded."""
        Journal.__post_init__(self)  # super() does not find its way through slots
        call = 0
        for fact in self.step.recorded:
            if isinstance(fact, ModelAnswered):
                call = fact.call
            elif isinstance(fact, OutputSentBack):
                self.known_misfits.add((call, fact.call_id))
        self.steered = len(self.step.steering)

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
                model=answered_by,
                bits=to_bits(response.parts),
                usage=usage,
                seconds=round(time.monotonic() - self.asked_at, 4),
            )
        )

    def _usage(self, response: ModelResponse, answered_by: str) -> Usage:
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
        fact = await self.tool_result(name, arguments, call_id)
        if not fact.ok:
            raise TellModel(str(fact.result))
        return fact.result

    def new_steering(self) -> tuple[str, ...]:
        """Messages that arrived since the last model call."""
        texts = self.sink.steering()[self.steered :]
        self.steered += len(texts)
        return texts
