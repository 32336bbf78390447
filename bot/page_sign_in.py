"""What people sign in with on the page: a named key, or the value of API_KEY and a name of their own."""

from __future__ import annotations

import hashlib
import hmac

from adapters.web.guard import KeyGiven
from bot.key_ring import KeyRing
from orchestrator.api_keys import KeyScope

# Whoever is on the page sees everything, starts runs and decides.
PAGES: frozenset[KeyScope] = frozenset({"read", "run", "approve"})
_NAMED = "named:"


class PageSignIn:
    """Implements the page's `SignIn`.

    Args:
        api_key: the value of API_KEY; "": not set.
        ring: the named keys.
    """

    def __init__(self, api_key: str, ring: KeyRing) -> None:
        self._api_key = api_key.encode()
        self._ring = ring
        digest = hashlib.sha256(b"quartet sign-in\0" + self._api_key).hexdigest()
        self._stamp = digest[:16] if api_key else ""  # changes with the key

    async def is_needed(self) -> bool:
        """As for calls over HTTP: as soon as there is a key."""
        return bool(self._api_key) or await self._ring.is_closed()

    async def check(self, key: str) -> KeyGiven | str | None:
        """See `SignIn.check`."""
        if self._api_key and hmac.compare_digest(key.encode("utf-8", "replace"), self._api_key):
            return KeyGiven(self._stamp)
        found = await self._ring.find(key.strip()) if key.strip().startswith("qk_") else None
        if found is None:
            return None
        if found.refusal:
            return found.refusal
        is_admin = "admin" in found.key.scopes
        if not is_admin and not found.key.scopes >= PAGES:
            have = ", ".join(sorted(found.key.scopes)) or "nothing"
            return f"For the page a key needs the scopes read, run and approve; this one has: {have}."
        return KeyGiven(_NAMED + found.key.id, found.key.name, is_admin)

    async def counts(self, stamp: str) -> bool:
        """See `SignIn.counts`."""
        if stamp.startswith(_NAMED):
            return await self._ring.living(stamp.removeprefix(_NAMED)) is not None
        return bool(self._stamp) and hmac.compare_digest(stamp.encode(), self._stamp.encode())
