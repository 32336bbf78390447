"""Named keys of programs and people that call over HTTP: what is kept of them, and by which rules.

A key is shown once, when it is made; only the digest of it is kept.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol

from orchestrator.errors import Refused

KeyScope = Literal["read", "run", "approve", "admin"]
KEY_SCOPES: Final[tuple[KeyScope, ...]] = ("read", "run", "approve", "admin")
KeyState = Literal["living", "expired", "revoked"]

NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
TOKEN: Final = re.compile(r"qk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
# `api:key` is whoever holds API_KEY, `api:local` who calls on loopback where no key is asked for.
RESERVED: Final = frozenset({"key", "local"})


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key."""

    id: str  # stands in the token, so that one row is compared and not all
    name: str
    scopes: frozenset[KeyScope]
    digest: str  # `digest_of` the token
    made_at: datetime  # aware, UTC, like the others
    made_by: str  # person key
    expires_at: datetime | None = None  # None: never
    revoked_at: datetime | None = None  # None: it was not
    per_minute: int | None = None  # requests; None: as many as the settings say

    def state(self, now: datetime) -> KeyState:
        """Whether it counts; `now` is aware."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "living"


class NewKey(NamedTuple):
    """A key that is to be kept; the store adds when it was made."""

    id: str
    name: str
    scopes: frozenset[KeyScope]
    digest: str
    made_by: str
    expires_at: datetime | None = None
    per_minute: int | None = None


class ApiKeys(Protocol):
    """The keys. Rows stay when keys are revoked, so that the audit can name them."""

    async def add_api_key(self, new: NewKey, *, instead_of: str = "") -> ApiKey:
        """Keep a key; one that has expired gives its name up.

        Args:
            new: the key.
            instead_of: id of a key that is revoked in the same transaction.

        Raises:
            Refused: a living key has this name; `instead_of` was revoked already.
        """
        ...

    async def revoke_api_key(self, key_id: str) -> ApiKey | None:
        """From now on it does not count; None: there is none of this id. A second time changes nothing."""
        ...

    async def api_keys(self) -> list[ApiKey]:
        """All of them, oldest first.

        A row that cannot be read allows nothing, but it is there: it must not open what it closed.
        """
        ...

    async def api_keys_mark(self) -> tuple[int, int]:
        """Another value after each change; cheap to ask."""
        ...


def make_token() -> tuple[str, str]:
    """A new token `qk_<id>_<secret>` with 256 random bits, and the id in it."""
    key_id = secrets.token_hex(6)
    return f"qk_{key_id}_{secrets.token_urlsafe(32)}", key_id


def digest_of(token: str) -> str:
    """SHA-256 of a token, hex.

    A slow hash would protect words that people think of; 256 random bits cannot be tried out, and every
    call pays for the hash.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def new_key(
    name: str,
    scopes: Collection[KeyScope],
    *,
    made_by: str,
    expires_at: datetime | None = None,
    per_minute: int | None = None,
) -> tuple[str, NewKey]:
    """Make a key.

    Returns:
        The token, which nobody can be shown again, and what is to be kept.

    Raises:
        Refused: the name cannot be one, or no scope is named.
    """
    if NAME.fullmatch(name) is None:
        raise Refused("a key's name is 1 to 40 of the letters A-Z a-z, digits and . _ -")
    if name in RESERVED:
        raise Refused(f"the name {name!r} has a meaning of its own; take another one")
    if not scopes:
        raise Refused(f"say what the key may do: {', '.join(KEY_SCOPES)}")
    token, key_id = make_token()
    kept = NewKey(key_id, name, frozenset(scopes), digest_of(token), made_by, expires_at, per_minute)
    return token, kept
