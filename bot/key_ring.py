"""The named keys as a server knows them: asked at every call, read from the database once a second at most.

A key that another process made or revoked (`quartet keys`) is known here within `FRESH_S`.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from orchestrator.api_keys import TOKEN, ApiKey, ApiKeys, KeyState, digest_of

FRESH_S: Final = 1.0
_NOBODYS: Final = "0" * 64  # compared with where there is no key, so that it takes as long


@dataclass(frozen=True, slots=True)
class Found:
    """A key that was shown and is one of ours."""

    key: ApiKey
    state: KeyState  # only `living` lets in

    @property
    def refusal(self) -> str:
        """Why it does not let in, and what to do; "": it does."""
        if self.state == "living":
            return ""
        ended = "has expired" if self.state == "expired" else "was revoked"
        return f"This key {ended}; ask who runs this bot for another one."


def _now() -> datetime:
    return datetime.now(UTC)


class KeyRing:
    """Keys by id.

    Args:
        store: where they are kept; raises while there is none.
        now: aware, UTC.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: Callable[[], ApiKeys],
        *,
        now: Callable[[], datetime] = _now,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._now = now
        self._clock = clock
        self._keys: dict[str, ApiKey] = {}
        self._mark: tuple[int, int] | None = None
        self._looked: float | None = None
        self._looking = asyncio.Lock()

    async def find(self, shown: str) -> Found | None:
        """The key that was shown; None: it is none of ours.

        Raises:
            StoreFailed: nobody can say.
        """
        await self._look()
        form = TOKEN.fullmatch(shown)
        key = self._keys.get(form[1]) if form is not None else None
        same = hmac.compare_digest(digest_of(shown).encode(), (key.digest if key else _NOBODYS).encode())
        return Found(key, key.state(self._now())) if key is not None and same else None

    async def living(self, key_id: str) -> ApiKey | None:
        """A key that lets in; None: it does not any more.

        Raises:
            StoreFailed: nobody can say.
        """
        await self._look()
        key = self._keys.get(key_id)
        return key if key is not None and key.state(self._now()) == "living" else None

    async def is_closed(self) -> bool:
        """Whether calls need a key. One that expired still closes: only revoking opens again.

        Raises:
            StoreFailed: nobody can say.
        """
        await self._look()
        return any(key.revoked_at is None for key in self._keys.values())

    async def all(self) -> Sequence[tuple[ApiKey, KeyState]]:
        """Every key, oldest first.

        Raises:
            StoreFailed: nobody can say.
        """
        await self._look()
        now = self._now()
        return [(key, key.state(now)) for key in self._keys.values()]

    def changed(self) -> None:
        """Look at the next call: this process has changed something."""
        self._looked = None

    async def _look(self) -> None:
        if self._is_fresh():
            return
        async with self._looking:
            if self._is_fresh():
                return
            # Of before the question: what is changed while it is answered is looked for again in time.
            at, store = self._clock(), self._store()
            mark = await store.api_keys_mark()
            if mark != self._mark:
                self._keys = {key.id: key for key in await store.api_keys()}
                self._mark = mark
            self._looked = at

    def _is_fresh(self) -> bool:
        return self._looked is not None and self._clock() - self._looked < FRESH_S
