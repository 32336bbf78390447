"""What a client sends for a turn: messages, and what goes with them."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bot.api.errors import field_errors, invalid
from bot.api.json_values import JsonObject, Text
from bot.intake import MAX_TEXT
from orchestrator.events import Line

WAIT_S: Final = 600.0  # a call waits this long if it does not say otherwise
MAX_CONTEXT: Final = 50  # keys
MAX_CONTEXT_TEXT: Final = 4_000  # characters of one value


class MessageIn(BaseModel):
    """A message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: Text = Field(max_length=MAX_TEXT)


class ContextIn(BaseModel):
    """What goes with a turn. Further keys (tone, length, format, …) reach the agents as text."""

    model_config = ConfigDict(extra="allow")

    approvals: Literal["auto", "ask"] = Field(default="auto", description="`ask`: 202 with the question")
    workflow: Text | None = Field(default=None, description="null: the default")
    language: Text = Field(default="", max_length=40, description='"": that of the turn')
    timeout_s: float = Field(default=WAIT_S, ge=0, le=3600, description="how long this call waits")

    @field_validator("timeout_s", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("a number of seconds is due")  # noqa: TRY004 - pydantic wants ValueError
        return value

    @model_validator(mode="after")
    def _small(self) -> ContextIn:
        further = self.model_extra or {}
        if len(further) > MAX_CONTEXT:
            raise ValueError(f"has more than {MAX_CONTEXT} keys")
        for key, text in self.further().items():
            if len(key) > 64 or len(text) > MAX_CONTEXT_TEXT:
                raise ValueError(f"{key[:64]!r} is longer than {MAX_CONTEXT_TEXT:,} characters")
        return self

    def further(self) -> dict[str, str]:
        """What the agents are told."""
        found = {key: _as_text(value) for key, value in (self.model_extra or {}).items()}
        if self.language:
            found["language"] = self.language
        return {key: text for key, text in found.items() if text}


class ChatRequest(BaseModel):
    """A turn. Fields that are not named here are ignored."""

    conversation_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9._:@/+-]+$",
        description="yours to choose; null makes a new conversation",
    )
    messages: list[MessageIn] = Field(
        min_length=1,
        max_length=500,
        description="the last one is the turn; earlier ones replace the stored conversation for this run",
    )
    context: JsonObject = Field(default_factory=dict, description="see ContextIn")

    @field_validator("messages")
    @classmethod
    def _turn_last(cls, messages: list[MessageIn]) -> list[MessageIn]:
        if messages[-1].role != "user":
            raise ValueError("the last message has to be the user's: it is the turn")
        if not messages[-1].content.strip():
            raise ValueError("the last message is empty: write what you want to know or have done")
        return messages


class StreamRequest(BaseModel):
    """The first message of a socket: a `ChatRequest` with these fields beside it, or a run to follow.

    With `idempotency_key` the same message again comes back to the same run. `after` is the last `seq`
    that the client has.
    """

    model_config = ConfigDict(extra="allow")

    run_id: Text | None = Field(default=None, max_length=64)
    after: int = Field(default=0, ge=0, le=2**53)
    idempotency_key: Text | None = Field(default=None, max_length=200)


def read_context(given: dict[str, Any]) -> ContextIn:
    """Check what goes with a turn.

    Raises:
        ProblemError: 422 with the field.
    """
    try:
        return ContextIn.model_validate(given)
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), "context")) from error


def line(message: MessageIn) -> Line:
    """An earlier message, as the agents read it."""
    match message.role:
        case "user":
            return Line(role="person", name="user", text=message.content)
        case "assistant":
            return Line(role="bot", name="Quartet", text=message.content)
        case "system":  # the client's word is not ours: the agents read it as said by others
            return Line(role="other", name="system", text=message.content)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
