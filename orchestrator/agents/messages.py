"""Our record of an agent's turn ↔ the model library's messages.

The log keeps bits of our own (`TextBit`, `ToolCall`, `OpaqueBit`), so that it outlives the library.
Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    RetryFeedbackPart,
    RetryInfo,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from orchestrator.events import (
    AnswerBit,
    Json,
    ModelAnswered,
    OpaqueBit,
    TextBit,
    ToolCall,
    ToolReturned,
)
from orchestrator.ports import Recorded

MALFORMED = "malformed_json"
"""Key under which arguments are kept that were not a JSON object, so that the model gets its own words back."""


def to_bits(parts: Sequence[ModelResponsePart]) -> tuple[AnswerBit, ...]:
    """A model's answer in our form; parts we never ask for (files, speech) are left out."""
    bits: list[AnswerBit] = []
    for part in parts:
        if isinstance(part, TextPart):
            bits.append(TextBit(text=part.content))
        elif isinstance(part, ToolCallPart):
            bits.append(
                ToolCall(call_id=part.tool_call_id, tool=part.tool_name, arguments=_arguments(part.args))
            )
        elif isinstance(part, ThinkingPart):
            content = {
                "content": part.content,
                "id": part.id,
                "signature": part.signature,
                "provider_name": part.provider_name,
                "provider_details": part.provider_details,
            }
            bits.append(OpaqueBit(name="thinking", content=content))
    return tuple(bits)


def _arguments(args: str | dict[str, Any] | None) -> Json:
    if isinstance(args, dict):
        return args
    try:
        value: Any = json.loads(args or "{}")
    except ValueError:
        return {MALFORMED: args}
    return cast(Json, value) if isinstance(value, dict) else {MALFORMED: args}


def to_parts(bits: Sequence[AnswerBit]) -> list[ModelResponsePart]:
    """The way back."""
    parts: list[ModelResponsePart] = []
    for bit in bits:
        if isinstance(bit, TextBit):
            parts.append(TextPart(bit.text))
        elif isinstance(bit, ToolCall):
            malformed = bit.arguments.get(MALFORMED) if len(bit.arguments) == 1 else None
            args: str | Json = malformed if isinstance(malformed, str) else bit.arguments
            parts.append(ToolCallPart(bit.tool, args, tool_call_id=bit.call_id))
        elif bit.name == "thinking":
            c = bit.content
            parts.append(
                ThinkingPart(
                    content=str(c.get("content") or ""),
                    id=c.get("id"),
                    signature=c.get("signature"),
                    provider_name=c.get("provider_name"),
                    provider_details=c.get("provider_details"),
                )
            )
    return parts


def history(prompt: str, recorded: Sequence[Recorded]) -> list[ModelMessage]:
    """Messages up to and with the last recorded model answer; empty if there is none.

    What was recorded after that answer is not in them: its tool calls are made again through the
    journal, which knows their results, and its output is judged again with the same outcome.
    """
    answers = [i for i, r in enumerate(recorded) if isinstance(r, ModelAnswered)]
    if not answers:
        return []
    messages: list[ModelMessage] = []
    parts: list[ModelRequestPart] = [UserPromptPart(prompt)]
    tools: dict[str, str] = {}  # call id → tool, of the last answer
    for fact in recorded[: answers[-1] + 1]:
        if isinstance(fact, ModelAnswered):
            messages.append(ModelRequest(parts=parts))
            response = ModelResponse(parts=to_parts(fact.bits), model_name=fact.model)
            messages.append(response)
            tools = {b.call_id: b.tool for b in fact.bits if isinstance(b, ToolCall)}
            parts = []
        elif isinstance(fact, ToolReturned):
            parts.append(tool_return(fact))
            tools.pop(fact.call_id, None)
        elif fact.call_id is not None and fact.call_id in tools:
            tool = tools.pop(fact.call_id)
            parts.append(ToolReturnPart(tool, fact.reason, tool_call_id=fact.call_id, outcome="retried"))
        else:
            parts.append(RetryFeedbackPart(fact.reason, retry=RetryInfo(cause="model_retry")))
    return messages


def tool_return(fact: ToolReturned) -> ToolReturnPart:
    """A recorded tool result as the model is told of it."""
    return ToolReturnPart(
        fact.tool, fact.result, tool_call_id=fact.call_id, outcome="success" if fact.ok else "failed"
    )

