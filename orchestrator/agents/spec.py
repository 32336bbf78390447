"""What an agent is: a role with instructions, model, tools and limits, as its YAML file says.

Light to import; nothing here knows a model library.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestrator.artifacts import ARTIFACTS
from orchestrator.events import Priority
from orchestrator.workflow import Capability, Retry

RULES = "rules"
"""The model reference of the rules engine."""
MAX_CONCURRENT = 10_000
MAX_MODEL: Final = 200  # characters of a model's name
_MODEL: Final = re.compile(r"[A-Za-z0-9._:/@+-]+")


class AgentBase(BaseModel):
    """What holds for every agent, wherever it works. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    title: str = Field(min_length=1, max_length=80)
    capabilities: tuple[Capability, ...] = Field(default=(), max_length=50)  # workflows ask for them
    priority: Priority = "medium"  # of two that fit and are as busy, the higher one is chosen
    # Steps it works on at once; None: as many as the process has places for.
    max_concurrent: int | None = Field(default=None, ge=1, le=MAX_CONCURRENT)
    retry: Retry | None = None  # of its steps where the workflow's node sets none
    timeout_s: float = Field(default=600.0, gt=0, le=86_400)  # one turn, tools included

    @field_validator("capabilities")
    @classmethod
    def _each_once(cls, capabilities: tuple[str, ...]) -> tuple[str, ...]:
        for capability in capabilities:
            if capabilities.count(capability) > 1:
                raise ValueError(f"names the capability {capability!r} twice; once is enough")
        return capabilities


class ProcessLimits(BaseModel):
    """What an agent may use that runs as a process of its own. Mix into the spec of such an agent."""

    memory_mb: int | None = Field(default=None, ge=16, le=1_048_576)  # None: no limit of its own
    cpu_s: float | None = Field(default=None, gt=0, le=86_400)  # seconds of the processor for one turn


class AgentSpec(AgentBase):
    """An agent that a model plays, or the rules engine, as its file says."""

    instructions: str = Field(min_length=1, max_length=20_000)
    output: str  # a key of artifacts.ARTIFACTS
    doing: str = "working"  # what people read while its model works: "writing the draft"
    model: str | None = None  # "provider:model", "rules", or absent: the default
    temperature: float | None = Field(default=None, ge=0, le=2)  # None: the provider's
    tools: tuple[str, ...] = ()
    max_model_calls: int = Field(default=12, ge=1, le=200)  # in one turn
    max_tool_calls: int = Field(default=24, ge=0, le=500)  # in one turn
    max_tokens: int = Field(default=200_000, ge=1)  # input and output of one turn together
    max_output_retries: int = Field(default=2, ge=0, le=10)  # misfits sent back before giving up

    @model_validator(mode="before")
    @classmethod
    def _no_process(cls, given: Any) -> Any:
        keys = cast("dict[Any, Any]", given) if isinstance(given, dict) else {}
        for key in ProcessLimits.model_fields:
            if key in keys:
                raise ValueError(
                    f"{key} limits agents that run as processes of their own, and this one is played by a "
                    f"model; remove {key} (max_tokens, max_model_calls and timeout_s limit this one)"
                )
        return cast("Any", given)

    @field_validator("output")
    @classmethod
    def _known_output(cls, output: str) -> str:
        if output not in ARTIFACTS:
            raise ValueError(f"there is no output {output!r}; outputs are {', '.join(sorted(ARTIFACTS))}")
        return output

    @field_validator("model")
    @classmethod
    def _whole_reference(cls, model: str | None) -> str | None:
        if model is not None:
            split_reference(model)
        return model


def model_flaw(model: str) -> str:
    """What is wrong with a model's name, or with "provider:model"; "": nothing.

    Such names come from callers, and some providers have them in their addresses.
    """
    if len(model) > MAX_MODEL:
        return f"has more than {MAX_MODEL} characters"
    if _MODEL.fullmatch(model) is None:
        return "has other characters than letters, digits and . _ : / @ + -"
    if ".." in model or "." in model.split("/"):
        return "has dots that lead elsewhere"
    return ""


def split_reference(reference: str) -> tuple[str, str]:
    """Split "provider:model" into both; "rules" gives ("rules", "rules").

    Raises:
        ValueError: it is neither.
    """
    if reference == RULES:
        return RULES, RULES
    provider, colon, model = reference.partition(":")
    if not colon or not provider.strip() or not model.strip():
        raise ValueError(f"{reference!r} is no model: write it as provider:model, for example openai:gpt-5")
    return provider.strip(), model.strip()
