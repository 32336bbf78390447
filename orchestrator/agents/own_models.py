"""What a run brings to its agents itself: a provider by a key of its own, and a key for the web search.

Such a run never uses the bot's key for what it brought one. Light to import.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.agents.models import Models


@dataclass(frozen=True, slots=True)
class Own:
    """What one run brought, for one step. Whoever got it closes `models`."""

    models: Models | None = None  # None: those of the bot
    reference: str = ""  # "provider:model" that every agent uses; "" without models of its own
    search_key: str = field(default="", repr=False)  # for the web search; "": the bot's


class OwnModels(Protocol):
    """Finds what a run brought."""

    async def of(self, own_keys: str) -> Own:
        """What is kept under `RunSettings.own_keys`.

        Raises:
            ModelRefused: it was deleted, or cannot be read any more; the message holds no key.
        """
        ...
