"""Who calls: by `X-API-Key` or bearer, by the page's cookie, or anyone on loopback without a key."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from adapters.wrong_keys import WrongKeys
from bot.api.core import Core
from bot.api.errors import ProblemError
from bot.permissions import Actor
from orchestrator.events import Who

SCOPE_KEY = "quartet.caller"

Scope = Literal["read", "run", "approve", "admin"]
"""read: look at runs; run: start, stop, steer them; approve: decide; admin: all of it, keys and webhooks."""
SCOPES: Final[frozenset[Scope]] = frozenset({"read", "run", "approve", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a call is from."""

    who: Who
    actor: Actor
    scopes: frozenset[Scope] = SCOPES

    def may(self, scope: Scope) -> bool:
        """Whether the key allows it."""
        return scope in self.scopes or "admin" in self.scopes


# Whoever holds the key, or sits at the machine where no key is needed, runs this bot.
KEY_HOLDER = Caller(Who(key="api:key", name="API"), Actor("api:key", is_admin=True))
LOCAL = Caller(Who(key="api:local", name="local API"), Actor("api:local", is_admin=True))


async def authenticate(connection: HTTPConnection, core: Core, api_key: str, wrong_keys: WrongKeys) -> Caller:
    """Who calls.

    Args:
        connection: the call.
        core: knows who is signed in on the page.
        api_key: what has to be shown; "" if nothing has to.
        wrong_keys: who gave too many is not listened to.

    Raises:
        ProblemError: 401, 429.
    """
    shown = _shown(connection) if api_key else []
    address = connection.client.host if connection.client else ""
    wait_s = wrong_keys.wait_s(address) if shown else 0
    if wait_s:  # the right key too: else guessing would go on as fast as before
        detail = f"Too many wrong keys came from your address; try again in {wait_s} seconds."
        raise ProblemError(429, detail, headers={"Retry-After": str(wait_s)})
    if any(_same(key, api_key) for key in shown):
        return KEY_HOLDER
    person = await core.cookie_person(connection) if core.cookie_person is not None else None
    # A wrong key is an error even when a good cookie comes with it.
    if person is not None and not shown:
        return Caller(Who(key=person.key, name=person.name), Actor.of(person))
    if not api_key:
        return LOCAL
    if shown:
        wrong_keys.note(address)
    detail = "This key is not the one of API_KEY." if shown else "A key is needed: X-API-Key or Bearer."
    raise ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})


def _shown(connection: HTTPConnection) -> list[str]:
    keys = connection.headers.getlist("x-api-key")
    for value in connection.headers.getlist("authorization"):
        scheme, _, key = value.partition(" ")
        if scheme.lower() == "bearer":
            keys.append(key.strip())
    return keys


def _same(shown: str, expected: str) -> bool:
    # Bytes, since compare_digest refuses text outside ASCII; headers come as latin-1.
    return hmac.compare_digest(shown.encode("latin-1", "replace"), expected.encode("utf-8"))


def _caller(connection: HTTPConnection) -> Caller:
    return cast("Caller", connection.scope[SCOPE_KEY])  # set by access.Guard, before any route


CallerOf = Annotated[Caller, Depends(_caller)]
"""A route's parameter: who calls."""


def needs(scope: Scope) -> Any:
    """A route's dependency: 403 for keys without this scope.

    For sockets as well: raised before the socket is accepted, it refuses it.
    """

    def check(caller: CallerOf) -> None:
        if not caller.may(scope):
            have = ", ".join(sorted(caller.scopes)) or "nothing"
            raise ProblemError(403, f"This needs a key with the scope {scope!r}; yours allows: {have}.")

    return Depends(check)
