"""What an agent is: a role with instructions, model, tools and limits, as its YAML file says.

Light to import; nothing here knows a model library.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orchestrator.artifacts import ARTIFACTS

RULES = "rules"
"""The model reference of the rules engine."""


class AgentSpec(BaseModel):
    """One agent, as its file says. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    title: str = Field(min_length=1, max_length=80)
    instructions: str = Field(min_length=1, max_length=20_000)
    output: str  # a key of artifacts.ARTIFACTS
    doing: str = "working"  # what people read while its model works: "writing the draft"
    model: str | None = None  # "provider:model", "rules", or absent: the default
    temperature: float | None = Field(default=None, ge=0, le=2)  # None: the provider's
    tools: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    timeout_s: float = Field(default=600.0, gt=0, le=86_400)  # one turn, tools included
    max_model_calls: int = Field(default=12, ge=1, le=200)  # in one turn
    max_tool_calls: int = Field(default=24, ge=0, le=500)  # in one turn
    max_tokens: int = Field(default=200_000, ge=1)  # input and output of one turn together
    max_output_retries: int = Field(default=2, ge=0, le=10)  # misfits sent back before giving up

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
