"""Keys that one run alone uses: sealed by the bot's secret keys, kept until it ends, opened for a step.

Nothing here shows a key: not in errors, not in logs, not in what is kept with the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from bot.secret_keys import secret_keys
from config.providers import BUILT_IN, ProviderSettings
from config.settings import Settings
from orchestrator.agents.own_models import Own
from orchestrator.agents.spec import RULES, split_reference
from orchestrator.errors import ModelRefused
from orchestrator.infra.providers import Provider, Providers
from orchestrator.run_keys import RunKeys

if TYPE_CHECKING:
    from adapters.sealed import Seal

log = structlog.get_logger(__name__)

PURPOSE: Final = b"quartet run keys"
ORPHANED_S: Final = 3600.0  # keys for which no run came within this time are of a call that broke off


@dataclass(frozen=True, slots=True)
class Brought:
    """What a call brought for its run."""

    reference: str = ""  # "provider:model" that `api_key` is for; "" without one
    api_key: str = field(default="", repr=False)
    tavily_key: str = field(default="", repr=False)


class OwnKeys:
    """Keeps what runs bring. Implements `agents.own_models.OwnModels`.

    Args:
        settings: which providers the bot has, where they are, and what the keys are sealed with.
        store: where they are kept.
    """

    def __init__(self, settings: Settings, store: RunKeys) -> None:
        self._settings = settings
        self._store = store
        self._sealing: Seal | None = None

    @property
    def providers(self) -> Mapping[str, ProviderSettings]:
        """Those that the bot itself has a key for, the one for unnamed models first."""
        return self._settings.providers()

    @property
    def default(self) -> str:
        """The model of agents for which nothing else is said: "provider:model", or "rules"."""
        return self._settings.model_for("") or RULES

    async def keep(self, turn_key: str, brought: Brought) -> bool:
        """Seal and keep. False: there are keys for this turn already, and they stay.

        Raises:
            ConfigError: what keys are sealed with cannot be used.
            StoreFailed: nothing was kept.
        """
        seal = await asyncio.to_thread(self._seal)
        values = {"reference": brought.reference, "api": brought.api_key, "tavily": brought.tavily_key}
        return await self._store.keep_run_keys(turn_key, seal.shut(values))

    async def drop(self, turn_key: str) -> None:
        """Their run could not be started."""
        await self._store.drop_run_keys(turn_key)

    async def sweep(self) -> None:
        """Delete what a crash left: keys of ended runs, and keys for which no run came."""
        gone = await self._store.sweep_run_keys(datetime.now(UTC) - timedelta(seconds=ORPHANED_S))
        if gone:
            log.info("keys that no run uses were deleted", action="run_keys_swept", count=gone)

    async def of(self, own_keys: str) -> Own:
        """See `OwnModels.of`."""
        sealed = await self._store.run_keys(own_keys)
        if sealed is None:
            raise ModelRefused(
                "The keys that this run brought are deleted: its session has ended. Start a new one."
            )
        brought = await asyncio.to_thread(self._opened, sealed)
        models: Providers | None = None
        if brought.api_key:
            models = Providers({(own := self._provider(brought)).name: own})
        return Own(models=models, reference=brought.reference, search_key=brought.tavily_key)

    def _provider(self, brought: Brought) -> Provider:
        """The provider at the address that the bot knows, with the key that was brought."""
        name, _ = split_reference(brought.reference)
        known = self.providers.get(name)
        return Provider(
            name=name,
            base_url=known.base_url if known is not None else BUILT_IN[name].base_url,
            api_key=brought.api_key,
            key_name="the api_key that was sent",
        )

    def _opened(self, sealed: bytes) -> Brought:
        from adapters.sealed import CannotOpen

        try:
            values = self._seal().open(sealed)
        except CannotOpen:
            raise ModelRefused(
                "The keys that this run brought cannot be opened any more (QUARTET_SECRET_KEY is another one "
                "now). Start a new session."
            ) from None
        return Brought(values["reference"], values["api"], values["tavily"])

    def _seal(self) -> Seal:
        """Made late: without sessions that bring keys, no secret key has to be there. Blocks on files."""
        if self._sealing is None:
            from adapters.sealed import Seal

            self._sealing = Seal(secret_keys(self._settings), PURPOSE)
        return self._sealing
