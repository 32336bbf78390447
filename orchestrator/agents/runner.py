"""One agent's turn: ask the model, record its answer, call the tools it asked for, until the output fits.

Everything that costs money or acts is recorded before the next thing happens, so that a turn cut
off anywhere goes on from `step.recorded`: no recorded model call is made again, no recorded tool
call either. Imports the model library: import this module late (`registry.py` does).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any

import pydantic_ai
from pydantic_ai import Agent, ModelRetry, PromptedOutput, RunContext, Tool, ToolOutput
from pydantic_ai.exceptions import AgentRunError, UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.messages import UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset, ToolsetTool, WrapperToolset
from pydantic_ai.usage import UsageLimits

from orchestrator.agents import flaws, prompts
from orchestrator.agents.finishing import finished
from orchestrator.agents.journal import material, output_tool, too_long
from orchestrator.agents.messages import Replay
from orchestrator.agents.models import Structured, on_retry
from orchestrator.agents.spec import AgentSpec
from orchestrator.agents.turn import Turn
from orchestrator.artifacts import ARTIFACTS, Artifact
from orchestrator.errors import LimitReached, ModelUnavailable, OutputInvalid
from orchestrator.events import Json
from orchestrator.tools.registry import AgentTool

pydantic_ai.BANNER_ENABLED = False  # at a terminal its first-run greeting would fall into our cards
MANY = 1_000  # retry budgets that the library keeps; we count ourselves, across crashes


class Journalled(WrapperToolset[Turn]):
    """Tool calls go through the turn's journal."""

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Turn], tool: ToolsetTool[Turn]
    ) -> Any:
        """Call it, or return what was recorded."""
        return await ctx.deps.call_tool(name, tool_args, ctx.tool_call_id or "")


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
        toolsets = [Journalled(FunctionToolset[Turn](functions))]
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
    turn = ctx.deps
    if reason := flaws.flaw(output, turn.step, turn.agents, turn.draft_flaw):
        raise ModelRetry(reason)
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
        raise too_long(spec) from error
    except UsageLimitExceeded as error:
        raise LimitReached(f"{spec.title}: {error}. Raise the agent's limit, or ask for less.") from error
    except AgentRunError as error:
        if turn.broken is not None:
            raise turn.broken from None
        trouble = turn.models.trouble(error, turn.reference)
        if trouble is not None:
            raise trouble from None  # the foreign error's chain can hold request headers
        if isinstance(error, UnexpectedModelBehavior):
            raise OutputInvalid(
                f"{spec.title}: {turn.reference} gave an answer that cannot be used ({error.message[:200]})."
            ) from None
        raise ModelUnavailable(f"{spec.title}: {turn.reference} failed ({type(error).__name__}).") from None
    finally:
        on_retry.reset(listening)
    return finished(output, turn.step, material(turn.step, turn.results())).model_dump(mode="json")


async def _converse(agent: Agent[Turn, Artifact], turn: Turn, model: Model) -> Artifact:
    spec, step = turn.spec, turn.step
    settings = ModelSettings()
    temperature = spec.temperature if step.temperature is None else step.temperature
    if temperature is not None:
        settings["temperature"] = temperature
    replay = Replay(model, step.recorded)
    async with agent.iter(
        prompts.prompt(step, role=spec.output, boundary=secrets.token_hex(12), agents=turn.agents),
        model=replay,
        deps=turn,
        model_settings=settings,
        usage_limits=UsageLimits(
            request_limit=spec.max_model_calls,
            tool_calls_limit=spec.max_tool_calls,
            total_tokens_limit=spec.max_tokens,
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
