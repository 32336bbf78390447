"""Our record of an agent's turn ↔ the model library's messages.

The log keeps bits of our own (`TextBit`, `ToolCall`, `OpaqueBit`), so that it outlives the library.
The way back is a replay.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from orchestrator.events import AnswerBit, Json, ModelAnswered, OpaqueBit, TextBit, ToolCall
from orchestrator.ports import Recorded

MALFORMED = "malformed_json"
"""Key of arguments that were no JSON object, so that the model gets its own words back."""


def to_bits(parts: Sequence[ModelResponsePart]) -> tuple[AnswerBit, ...]:
    """A model's answer in our form; parts we never ask for (files, speech) are left out."""
    bits: list[AnswerBit] = []
    for part in parts:
        if isinstance(part, TextPart):
            bits.append(TextBit(text=part.content))
        elif isinstance(part, ToolCallPart):
            bits.append(
                ToolCall(
                    call_id=part.tool_call_id,
                    tool=part.tool_name,
                    arguments=_arguments(cast("str | Json | None", part.args)),
                )
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


class Replay(WrapperModel):
    """A model that first gives the answers that are recorded, then asks the real one.

    The library goes through the turn again as it did before: it hands the same answers to the same
    tools (whose results the journal knows) and sends the same misfits back, until the record ends.
    """

    def __init__(self, model: Model, recorded: Iterable[Recorded]) -> None:
        super().__init__(model)
        self._left = deque(fact for fact in recorded if isinstance(fact, ModelAnswered))

    @property
    def replaying(self) -> bool:
        """The next answer comes from the record."""
        return bool(self._left)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The next recorded answer, else the model's."""
        if not self._left:
            return await super().request(messages, model_settings, model_request_parameters)
        fact = self._left.popleft()
        used = RequestUsage(
            input_tokens=fact.usage.input_tokens,
            output_tokens=fact.usage.output_tokens,
            cache_read_tokens=fact.usage.cached_tokens,
        )
        return ModelResponse(parts=to_parts(fact.bits), usage=used, model_name=fact.model)
