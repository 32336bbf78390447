"""What every call passes before a route sees it: host, origin, key, size of the body.

Browsers are why: a web page anywhere can make its visitor's browser call a server on loopback.
So writes and sockets from pages of other origins are refused, and without a key also calls that
reach us under a public name (DNS rebinding).

A proxy is why, too: with a public address for Slack everybody could use a bot that has no key. So
without one only what Slack itself needs is answered to calls from outside.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.wrong_keys import WrongKeys
from bot.api.auth import SCOPE_KEY, Entries, authenticate
from bot.api.core import Core
from bot.api.errors import ProblemError, refuse
from bot.api.json_values import MAX_VALUES, TOO_MANY, has_too_many, signs
from bot.api.letting_go import LIVES
from bot.api.limiting import PER_MINUTE, Limiter
from bot.api.tickets import Tickets
from bot.key_ring import KeyRing
from config.values import is_loopback
from orchestrator.errors import StoreFailed

log = structlog.get_logger(__name__)

OURS: Final = (
    "/v1/",
    "/api/",
    "/run-graph",
    "/status/",
    "/workflows",
    "/ws/",
    "/metrics",
    "/docs",
    "/redoc",
    "/openapi.json",
)
STARTS_BY_GET: Final = frozenset({"/api/execute/stream"})  # EventSource knows GET alone
SLACKS: Final = "/slack/"  # signed by Slack, or pages that lead to Slack: open to the internet
MAX_SIGNED: Final = 2_000_000  # bytes of a call under SLACKS; Slack's own stay far below
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
WRONG_KEYS: Final = 20  # of one client within a minute
DRAIN_S: Final = 10.0  # a client still sending too much is listened to this long, so that it sees the answer
DRAIN_BYTES: Final = 64 * 1024 * 1024
PRIVATE_SUFFIXES: Final = (".localhost", ".internal")  # reserved: nobody can register a name under them
PROXIES_SAY: Final = frozenset({"forwarded", "x-real-ip", "cf-connecting-ip"})  # besides x-forwarded-…


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call, and how much at once."""

    api_key: str = ""  # "": no key is asked for
    cors_origins: tuple[str, ...] = ()  # origins of pages that may call; "*": any
    base_url: str = ""  # the public address of this server, if it has one
    any_peer: bool = False  # without a key: other machines may call too, where no proxy stands between
    per_minute: int | None = PER_MINUTE  # requests of each caller; None: as many as they like
    max_body: int = 2_621_440  # bytes, of our own routes: 200,000 characters, however they are escaped
    max_upload: int = 64 * 1024 * 1024  # bytes, of the adapters' routes


class Guard:
    """ASGI middleware that lets a call through or answers with the reason.

    Args:
        app: what comes after.
        core: for the page's cookie.
        access: the rules.
        ring: the named keys.
        tickets: that were given.
        adapter_routes: routes that see to their own signing in; may grow later.
    """

    def __init__(
        self,
        app: ASGIApp,
        core: Core,
        access: Access,
        ring: KeyRing,
        tickets: Tickets,
        adapter_routes: Sequence[BaseRoute],
    ) -> None:
        self._app = app
        self._core = core
        self._access = access
        self._adapter_routes = adapter_routes
        self._entries = Entries(core, access.api_key, ring, tickets, WrongKeys(WRONG_KEYS))
        self._limiter = Limiter(access.per_minute)
        self._origins = frozenset(o.rstrip("/").lower() for o in access.cors_origins)
        self._base_host = (urlsplit(access.base_url).hostname or "").lower().rstrip(".")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the call through, or answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            limited = await self._admit(connection, scope, receive)
        except ProblemError as error:
            await refuse(error, scope, receive, send)
            return
        except StoreFailed as error:
            log.warning("the keys could not be read", action="keys_unread", error=str(error))
            detail = "The database fails, so no key can be checked; the log of the bot says why."
            await refuse(ProblemError(503, detail, headers={"Retry-After": "5"}), scope, receive, send)
            return
        await self._app(scope, limited if scope["type"] == "http" else receive, send)

    async def _admit(self, connection: HTTPConnection, scope: Scope, receive: Receive) -> _Limited:
        """Say who calls, and return what is read of the body.

        Raises:
            ProblemError: the call is not let through.
            StoreFailed: nobody can say which keys there are.
        """
        path: str = scope["path"]
        adapters_own = self._is_adapters_own(scope)
        slacks = path.startswith(SLACKS)
        if path != "/health":
            if not slacks:
                await self._check_host(connection)
            if scope["type"] == "websocket" or scope["method"] not in SAFE or path in STARTS_BY_GET:
                self._check_origin(connection.headers)
            if path in STARTS_BY_GET and not await self._needs_key():
                _check_page(connection.headers)
            if not adapters_own and not path.startswith(OURS):
                self._core.ready()  # it may well be there when the bot has started: 503, not 404
            if not adapters_own:
                caller = scope[SCOPE_KEY] = await authenticate(connection, self._entries)
                if caller.key_id:
                    scope[LIVES] = functools.partial(self._entries.ring.living, caller.key_id)
                await self._limiter.count(caller)
        limit = self._access.max_upload if adapters_own else self._access.max_body
        limit = min(limit, MAX_SIGNED) if slacks else limit
        limited = _Limited(receive, limit, values=not adapters_own)
        if _length(connection.headers) > limit:
            await limited.drain()
            raise too_large(limit)
        return limited

    def _is_adapters_own(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path.startswith(OURS):
            return False
        return any(route.matches(scope)[0] is not Match.NONE for route in self._adapter_routes)

    async def _needs_key(self) -> bool:
        # While the bot starts nobody knows the named keys: then as if there were none.
        return bool(self._access.api_key) or (
            self._core.service is not None and await self._entries.are_closed()
        )

    async def _check_host(self, connection: HTTPConnection) -> None:
        if await self._needs_key():
            return  # a page that reached us by a trick still lacks the key
        host = _hostname(connection.headers.get("host", ""))
        if self._is_outside(host, connection):
            raise ProblemError(
                403,
                "Without API_KEY only /slack/ and /health are answered from outside: "
                "set API_KEY to use the page and the API from there.",
            )
        if host and not self._is_private_name(host):
            raise ProblemError(
                421,
                f"This server does not answer as {host[:100]!r} without a key: "
                "set API_KEY to use the page and the API from outside.",
            )

    def _is_outside(self, host: str, connection: HTTPConnection) -> bool:
        """Whether a call came from elsewhere: by its name, by what a proxy added, or by who calls."""
        if host and host == self._base_host and not is_loopback(host):
            return True
        if any(name in PROXIES_SAY or name.startswith("x-forwarded-") for name in connection.headers):
            return True
        peer = connection.client.host if connection.client else ""
        return not self._access.any_peer and _is_address(peer) and not is_loopback(peer)

    def _is_private_name(self, host: str) -> bool:
        # A name that an attacker can point here has a dot; addresses and bare names cannot be pointed.
        return (
            "." not in host
            or _is_address(host)
            or host.endswith(PRIVATE_SUFFIXES)
            or any(urlsplit(origin).hostname == host for origin in self._origins)
        )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site") in ("cross-site", "same-site"):  # an image, a link, a frame
                raise ProblemError(403, "Other sites' pages may not call this; see CORS_ORIGINS.")
            return  # not a browser, or a form of our own page in a browser of old
        given = origin.rstrip("/").lower()
        if "*" in self._origins or given in self._origins:
            return
        scheme, _, netloc = given.partition("://")
        if scheme in ("http", "https") and netloc == headers.get("host", "").lower():
            return  # the same origin; the scheme may differ behind a proxy that ends TLS
        raise ProblemError(
            403, f"Pages of {origin[:100]!r} may not call this server; CORS_ORIGINS lists those that may."
        )


def _check_page(headers: Headers) -> None:
    """See that no other site's page makes its visitor's browser start something by GET.

    To plain http elsewhere than loopback browsers say neither where an image's request comes from, nor that
    it comes from elsewhere. `Accept` alone is no sign: pages can set it with `fetch`.

    Raises:
        ProblemError: 403.
    """
    host = headers.get("host", "").lower()
    if is_loopback(_hostname(host)):
        return
    if headers.get("origin") is not None or headers.get("sec-fetch-site") is not None:
        return  # what was said is allowed
    if headers.get("referer", "").lower().startswith((f"http://{host}/", f"https://{host}/")):
        return
    is_browser = headers.get("user-agent", "").startswith("Mozilla/")
    if not is_browser and "text/event-stream" in headers.get("accept", "").lower():
        return
    raise ProblemError(
        403,
        "Without a key this is started by pages of this server and by programs that send "
        "`Accept: text/event-stream`, not by browsers from elsewhere: set API_KEY, or POST /api/execute.",
    )


def too_large(limit: int) -> ProblemError:
    """A 413."""
    return ProblemError(413, f"The body is larger than {limit:,} bytes.")


class _Limited:
    """`receive` that counts, and refuses what is more than the limit, however it is sent.

    Args:
        receive: what the server gave.
        limit: bytes.
        values: refuse JSON of more values than can be parsed while others wait.
    """

    def __init__(self, receive: Receive, limit: int, *, values: bool) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0
        self._signs = 0
        self._pieces: list[bytes] | None = [] if values else None

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            piece: bytes = message.get("body", b"")
            more: bool = message.get("more_body", False)
            self._seen += len(piece)
            if self._seen > self._limit:
                if more:
                    await self.drain()
                # The routes let this type through to the error answers.
                raise HTTPException(413, too_large(self._limit).detail)
            if self._pieces is not None:
                await self._count_values(self._pieces, piece, more=more)
        return message

    async def _count_values(self, pieces: list[bytes], piece: bytes, *, more: bool) -> None:
        pieces.append(piece)
        self._signs += signs(piece)
        if more:
            return
        self._pieces = None
        if self._signs >= MAX_VALUES and await asyncio.to_thread(has_too_many, b"".join(pieces)):
            raise HTTPException(413, f"The body {TOO_MANY}; send it in parts, or as text.")

    async def drain(self) -> None:
        """Take and forget the rest: a client that is cut off while sending sees no answer."""
        seen = 0
        try:
            async with asyncio.timeout(DRAIN_S):
                while seen < DRAIN_BYTES:
                    message = await self._receive()
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
                    seen += len(message.get("body", b""))
        except TimeoutError:
            return


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


@functools.lru_cache(256)
def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower().rstrip(".")
    except ValueError:
        return "not a host."


@functools.lru_cache(256)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
