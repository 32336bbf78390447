"""What the runner needs from whoever holds the providers: `Models`, and how retries are reported.

Light to import: the model library appears in types only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from orchestrator.errors import StepError

if TYPE_CHECKING:
    from pydantic_ai.models import Model

Structured = Literal["tool", "prompted"]


@dataclass(frozen=True, slots=True)
class RetryNotice:
    """A model call failed and is made again."""

    tries: int  # failed tries so far
    status: int | None  # HTTP status; None: the connection broke
    delay_s: float  # seconds until the next try


on_retry: ContextVar[Callable[[RetryNotice], Awaitable[None]] | None] = ContextVar("on_retry", default=None)
"""Who is told of retries. Tasks started inside a turn inherit it, so calls of parallel turns never mix."""


class Models(Protocol):
    """Models by reference."""

    def model(self, reference: str) -> Model:
        """The model behind "provider:model".

        Raises:
            ModelRefused: unknown provider, or its key is not set.
        """
        ...

    def structured(self, reference: str) -> Structured:
        """How this model gives typed outputs: by calling a tool, or as JSON text. "prompted" has no tools."""
        ...

    def cost(
        self, reference: str, answered_by: str, *, input_tokens: int, output_tokens: int, cached_tokens: int
    ) -> float | None:
        """Price of one call in US dollars; None: unknown."""
        ...

    def cheapest(self, named: Iterable[str]) -> str | None:
        """The model that asks least, of those offered and those named, as "provider:model"; None: unknown."""
        ...

    def trouble(self, error: Exception, reference: str) -> StepError | None:
        """The provider's error in our words; None: it is not one of a provider."""
        ...

    def warm_up(self) -> None:
        """Import what is slow to import. Called in a thread."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
