"""Who calls: by key, by ticket, by the page's cookie, or anyone on loopback where no key is asked for.

Calls need a key when API_KEY is set, or as soon as there is a named key (`quartet keys`) that was not
revoked. Reasons of refusals tell only those more who showed a whole key of ours.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from adapters.contract import Person
from adapters.wrong_keys import WrongKeys
from bot.api.core import Core
from bot.api.errors import ProblemError
from bot.key_ring import KeyRing
from bot.permissions import Actor, may_stop
from orchestrator.api_keys import KEY_SCOPES, ApiKey
from orchestrator.api_keys import KeyScope as Scope
from orchestrator.events import Who

SCOPE_KEY = "quartet.caller"
SCOPES: Final[frozenset[Scope]] = frozenset(KEY_SCOPES)
"""read: look at runs; run: start, stop, steer them; approve: decide; admin: all of it, keys and webhooks."""
PEOPLES: Final[frozenset[Scope]] = SCOPES - {"admin"}
LONGEST: Final = 4_096  # characters of a key that is looked at


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a call is from."""

    who: Who
    actor: Actor
    scopes: frozenset[Scope] = SCOPES
    has_name: bool = True  # False: whoever knows API_KEY
    key_id: str = ""  # of the named key; "": none was shown
    per_minute: int | None = None  # requests; None: as many as the settings say

    def may(self, scope: Scope) -> bool:
        """Whether the key allows it."""
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: Scope) -> None:
        """See that the key allows it.

        Raises:
            ProblemError: 403.
        """
        if not self.may(scope):
            have = ", ".join(sorted(self.scopes)) or "nothing"
            raise ProblemError(403, f"This needs a key with the scope {scope!r}; yours allows: {have}.")

    def require_name(self) -> None:
        """See that the log can say who decided.

        Raises:
            ProblemError: 403 for whoever knows API_KEY, which is nobody's own.
        """
        if not self.has_name:
            raise ProblemError(
                403,
                "Decisions need a key with a name of its own, which is who decided: "
                "`quartet keys add NAME --scope approve` makes one.",
            )


# Whoever holds the key, or sits at the machine where no key is needed, runs this bot.
KEY_HOLDER = Caller(Who(key="api:key", name="API"), Actor("api:key", is_admin=True), has_name=False)
LOCAL = Caller(Who(key="api:local", name="local API"), Actor("api:local", is_admin=True))


class TakesTickets(Protocol):
    """What knows tickets: `tickets.Tickets`."""

    def take(self, ticket: str) -> Caller | None:
        """Whom an unused ticket stands for; it is used up."""
        ...


@dataclass(frozen=True, slots=True)
class Entries:
    """All that lets a call in."""

    core: Core  # knows who is signed in on the page
    api_key: str  # the value of API_KEY; "": not set
    ring: KeyRing
    tickets: TakesTickets
    wrong_keys: WrongKeys  # who gave too many is not listened to

    async def are_closed(self) -> bool:
        """Whether calls need a key."""
        return bool(self.api_key) or await self.ring.is_closed()


async def authenticate(connection: HTTPConnection, entries: Entries) -> Caller:
    """Who calls.

    Raises:
        ProblemError: 401, 429; 503 while nobody can say which keys there are.
        StoreFailed: likewise.
    """
    shown = _shown(connection)
    if not shown:
        caller = await _by_ticket(connection, entries)
        if caller is not None:
            return caller
    elif entries.api_key or await entries.are_closed():
        return await _by_key(shown, connection, entries)
    # A wrong key is an error even when a good cookie comes with it; hence only now.
    person = await entries.core.cookie_person(connection) if entries.core.cookie_person is not None else None
    if person is not None:
        return _person(person)
    if not await entries.are_closed():
        return LOCAL
    raise _refused(_missing(connection))


async def _by_key(shown: Sequence[str], connection: HTTPConnection, entries: Entries) -> Caller:
    address = connection.client.host if connection.client else ""
    if len(set(shown)) > 1:
        raise _refused("Two different keys came with this call; send one, as X-API-Key or as Bearer.")
    key = shown[0]
    # Before the waiting below, since 256 random bits cannot be guessed: behind a proxy, where all come from
    # one address, one client's wrong keys do not shut out the others.
    found = await entries.ring.find(key) if key.startswith("qk_") and len(key) < LONGEST else None
    if found is not None and not found.refusal:
        return _named(found.key)
    wait_s = entries.wrong_keys.wait_s(address)
    if wait_s:  # the right key too: else guessing would go on as fast as before
        detail = f"Too many wrong keys came from your address; try again in {wait_s} seconds."
        raise ProblemError(429, detail, headers={"Retry-After": str(wait_s)})
    if entries.api_key and len(key) < LONGEST and _same(key, entries.api_key):
        return KEY_HOLDER
    if found is not None:  # it was ours: no guess
        raise _refused(found.refusal)
    entries.wrong_keys.note(address)
    raise _refused("This is no key of this server.")


async def _by_ticket(connection: HTTPConnection, entries: Entries) -> Caller | None:
    """Whom the ticket in the address stands for; None: there is none, or none is needed."""
    given = connection.query_params.getlist("ticket")
    if not given:
        return None
    if connection.scope["type"] == "http" and connection.scope["method"] != "GET":
        if not await entries.are_closed():
            return None
        raise _refused(
            "Tickets are for streams and sockets, that is GET and WebSocket; send the key in a header."
        )
    caller = entries.tickets.take(given[0]) if len(given) == 1 else None
    if caller is not None and caller.key_id and await entries.ring.living(caller.key_id) is None:
        caller = None  # the key ended within the minute
    if caller is LOCAL and await entries.are_closed():
        caller = None  # there was no key yet when it was given
    if caller is None and await entries.are_closed():
        raise _refused("This ticket was used, or is older than a minute: POST /v1/tickets gives another one.")
    return caller


def _refused(detail: str) -> ProblemError:
    return ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})


def _missing(connection: HTTPConnection) -> str:
    """What to do, for a call without a key that we looked at."""
    if "authorization" in connection.headers:
        return "A key is needed as `Authorization: Bearer KEY` or `X-API-Key: KEY`; this is another scheme."
    if not {"key", "api_key", "apikey", "token", "access_token"}.isdisjoint(connection.query_params):
        return (
            "Keys are not taken from the address, which ends up in logs: send X-API-Key or Bearer, "
            "or a ticket (POST /v1/tickets). Replace the key that stood there."
        )
    return "A key is needed: X-API-Key or Bearer."


def _named(key: ApiKey) -> Caller:
    who = Who(key=f"api:{key.name}", name=key.name)
    actor = Actor(who.key, is_admin="admin" in key.scopes)
    return Caller(who, actor, key.scopes, key_id=key.id, per_minute=key.per_minute)


def _person(person: Person) -> Caller:
    scopes = SCOPES if person.is_admin else PEOPLES
    return Caller(Who(key=person.key, name=person.name), Actor.of(person), scopes)


def _shown(connection: HTTPConnection) -> list[str]:
    keys = connection.headers.getlist("x-api-key")
    for value in connection.headers.getlist("authorization"):
        scheme, _, key = value.partition(" ")
        if scheme.lower() == "bearer":
            keys.append(key.strip())
    return [key for key in keys if key]


def _same(shown: str, expected: str) -> bool:
    # Bytes, since compare_digest refuses text outside ASCII; headers come as latin-1.
    return hmac.compare_digest(shown.encode("latin-1", "replace"), expected.encode("utf-8"))


async def _caller(connection: HTTPConnection) -> Caller:
    # Not for its own sake a coroutine: FastAPI calls plain functions in a thread, at every request.
    return cast("Caller", connection.scope[SCOPE_KEY])  # set by access.Guard, before any route


CallerOf = Annotated[Caller, Depends(_caller)]
"""A route's parameter: who calls."""


def may_control(core: Core, caller: Caller, requester: str) -> None:
    """See that the caller may steer a run: stop, pause, resume, fork it, reply to it.

    Args:
        core: the bot.
        caller: who wants it.
        requester: person key of who asked for the run.

    Raises:
        ProblemError: 403.
    """
    allowed = may_stop(core.policy, caller.actor, requester=requester)
    if not allowed.ok:
        raise ProblemError(403, allowed.reason)


def needs(scope: Scope) -> Any:
    """A route's dependency: 403 for keys without this scope.

    For sockets as well: raised before the socket is accepted, it refuses it.
    """

    async def check(caller: CallerOf) -> None:
        caller.require(scope)

    return Depends(check)


def needs_name() -> Any:
    """A route's dependency: 403 for whoever knows API_KEY, since the log is to say who decided."""

    async def check(caller: CallerOf) -> None:
        caller.require_name()

    return Depends(check)
