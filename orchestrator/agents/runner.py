"""One agent's turn: ask the model, record its answer, call the tools it asked for, until the output fits.

Everything that costs money or acts is recorded before the next thing happens, so that a turn cut
off anywhere goes on from `step.recorded`: no recorded model call is made again, no recorded tool
call either. Imports the model library: import this module late (`registry.py` does).
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic_ai import Agent, ModelRetry, PromptedOutput, RunContext, Tool, ToolOutput
from pydantic_ai.exceptions import (
    AgentRunError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)
from pydantic_ai.exceptions import (
    ToolFailed as TellModel,
)
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset, ToolsetTool, WrapperToolset
from pydantic_ai.usage import UsageLimits

from orchestrator.agents import checks, prompts
from orchestrator.agents.messages import Replay, to_bits
from orchestrator.agents.models import Models, RetryNotice, Structured, on_retry
from orchestrator.agents.spec import RULES, AgentSpec, split_reference
from orchestrator.artifacts import ARTIFACTS, Artifact, Draft, Plan, ResearchBrief, Review
from orchestrator.errors import LimitReached, ModelUnavailable, OrchestratorError, OutputInvalid
from orchestrator.events import Json, ModelAnswered, ModelRetried, OutputSentBack, ToolReturned, Usage
from orchestrator.ports import StepInput, StepSink
from orchestrator.tools.registry import AgentTool, ToolTrouble, idempotency_key

MANY = 1_000  # retry budgets that the library keeps; we count ourselves, across crashes
REASON_CHARS = 2_000


@dataclass(slots=True)
class Turn:
    """What is known of the turn under way."""

    spec: AgentSpec
    step: StepInput
    sink: StepSink
    tools: dict[str, AgentTool]
    reference: str
    models: Models | None  # None: the rules engine
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
        idempotency_key.set(f"{step.run_id}:{step.node}:{step.visit}:{step.attempt}:{call_id}")
        began = time.monotonic()
        ok, result = True, None
        try:
            async with asyncio.timeout(tool.timeout_s):
                result = await tool.run(**arguments)
            result = json.loads(json.dumps(result))  # what the log keeps is what the model sees
        except ToolTrouble as trouble:
            ok, result = False, str(trouble)
        except TimeoutError:
            ok, result = False, f"{name} did not answer within {tool.timeout_s:.0f} s; go on without it."
        except Exception as error:  # a tool of any origin must not end the step
            ok, result = False, f"{name} failed ({type(error).__name__}); go on without it."
        return await self.keep(call_id, name, ok=ok, result=result, seconds=time.monotonic() - began)

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


class Journal(WrapperToolset[Turn]):
    """Tool calls go through the turn's journal."""

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Turn], tool: ToolsetTool[Turn]
    ) -> Any:
        """Call it, or return what was recorded."""
        return await ctx.deps.call_tool(name, tool_args, ctx.tool_call_id or "")


OUTPUT_PREFIX = "submit_"


def output_tool(output: str) -> str:
    """Name of the tool by which a model gives its output: "ResearchBrief" → "submit_research_brief"."""
    return OUTPUT_PREFIX + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", output).lower()


def build(spec: AgentSpec, tools: Sequence[AgentTool], structured: Structured) -> Agent[Turn, Artifact]:
    """The library's agent for a spec. It holds nothing of a single turn, so it can be kept."""
    kind = ARTIFACTS[spec.output]
    output = (
        ToolOutput(kind, name=output_tool(spec.output), description=f"Give the result: {kind.__doc__}")
        if structured == "tool"
        else PromptedOutput(kind)
    )
    toolsets: list[AbstractToolset[Turn]] = []
    if tools and structured == "tool":
        functions = [Tool[Turn](t.run, name=t.name, description=t.description) for t in tools]
        toolsets = [Journal(FunctionToolset[Turn](functions))]
    agent = Agent[Turn, Artifact](
        output_type=output,
        deps_type=Turn,
        name=spec.name,
        instructions=prompts.instructions(spec),
        toolsets=toolsets,
        retries={"tools": MANY, "output": MANY},
        end_strategy="early",
    )
    agent.output_validator(_check)
    return agent


def _check(ctx: RunContext[Turn], output: Artifact) -> Artifact:
    flaw = checks.plan_flaw(output) if isinstance(output, Plan) else None
    if flaw is None and isinstance(output, Draft) and not output.body.strip():
        flaw = "The body is empty: write the whole answer into it."
    if flaw is not None:
        raise ModelRetry(flaw)
    return output


async def run_turn(agent: Agent[Turn, Artifact], turn: Turn, model: Model) -> Json:
    """Work until the output is there.

    Raises:
        StepError: it could not be done.
        Fenced: the run is somebody else's.
    """
    spec = turn.spec
    listening = on_retry.set(turn.note_retry)
    try:
        async with asyncio.timeout(spec.timeout_s):
            output = await _converse(agent, turn, model)
    except TimeoutError as error:
        raise LimitReached(
            f"{spec.title} did not end within {spec.timeout_s:g} s (timeout_s of the agent).", retryable=True
        ) from error
    except UsageLimitExceeded as error:
        raise LimitReached(f"{spec.title}: {error}. Raise the agent's limit, or ask for less.") from error
    except AgentRunError as error:
        if turn.broken is not None:
            raise turn.broken from None
        trouble = turn.models.trouble(error, turn.reference) if turn.models else None
        if trouble is not None:
            raise trouble from None  # the foreign error's chain can hold request headers
        if isinstance(error, UnexpectedModelBehavior):
            raise OutputInvalid(
                f"{spec.title}: {turn.reference} gave an answer that cannot be used ({error.message[:200]})."
            ) from None
        raise ModelUnavailable(f"{spec.title}: {turn.reference} failed ({type(error).__name__}).") from None
    finally:
        on_retry.reset(listening)
    return finished(output, turn).model_dump(mode="json")


async def _converse(agent: Agent[Turn, Artifact], turn: Turn, model: Model) -> Artifact:
    spec, step = turn.spec, turn.step
    settings = ModelSettings()
    if spec.temperature is not None:
        settings["temperature"] = spec.temperature
    replay = Replay(model, step.recorded)
    async with agent.iter(
        prompts.prompt(step, role=spec.output, boundary=secrets.token_hex(12)),
        model=replay,
        deps=turn,
        model_settings=settings,
        usage_limits=UsageLimits(
            request_limit=spec.max_model_calls,
            tool_calls_limit=spec.max_tool_calls,
            total_tokens_limit=None if turn.models is None else spec.max_tokens,
        ),
    ) as run:
        recorded = False  # whether the answer under way comes from the record
        async for node in run:
            if Agent.is_model_request_node(node):
                await turn.note_returns(node.request)
                recorded = replay.replaying
                if not recorded:
                    if texts := turn.new_steering():
                        node.request.parts = [*node.request.parts, UserPromptPart(prompts.steering(texts))]
                    turn.sink.doing(spec.doing)
                turn.asked_at = time.monotonic()
            elif Agent.is_call_tools_node(node):
                turn.call += 1
                if not recorded:
                    await turn.note_answer(node.model_response)
    if run.result is None:
        raise UnexpectedModelBehavior("the turn ended without an output")
    return run.result.output


def finished(output: Artifact, turn: Turn) -> Artifact:
    """The output as the run keeps it."""
    if isinstance(output, ResearchBrief):
        return checks.tidy_brief(output, turn.material())
    if isinstance(output, Draft):
        return checks.mark_citations(output, source_ids(turn.step))
    if isinstance(output, Review):
        return checks.reviewed(output, turn.step.previous_reviews)
    return output


def source_ids(step: StepInput) -> list[int]:
    """Numbers of the sources that the run has."""
    ids: list[int] = []
    for output in step.outputs.values():
        for source in cast(list[dict[str, Any]], output.get("sources") or []):
            if isinstance(source.get("id"), int):
                ids.append(source["id"])
    return ids
