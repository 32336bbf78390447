"""Call Discord's REST API: every call waits for its turn, every error becomes one of ours.

What a code of Discord's means is a table in `refusals.py`, when a call goes out is `pace.py`'s; whether it
may be repeated is decided here: after a 429 always, else only where it cannot have changed anything or where
doing it twice is the same as once. Creating a message counts as that where it carries a nonce of ours, since
Discord then gives back the message that is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
import structlog

from adapters.discord.pace import Pace, Scope, Ticket
from adapters.discord.payload import number
from adapters.discord.ports import API_URL, Upload
from adapters.discord.refusals import OLD_EDITS, TOKEN_CODES, TOKEN_REMEDY, OldMessage, refusal
from adapters.discord.routes import Route, route_of
from adapters.errors import AdapterError, PlatformDown, RateLimited
from adapters.payload import Payload, mapping
from adapters.urgency import Urgency

log = structlog.get_logger(__name__)

HOMEPAGE = "https://quartet.invalid"  # Discord asks for an address of the project; it has none
TIMEOUT_S = 30.0  # for a whole call
UPLOAD_S = 90.0  # for one with files
CONNECT_S = 5.0
PATIENCE_S = 20.0  # how long something harmless is tried again
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 4.0)
RECHECK_S = 5.0  # a token that was refused is not tried again before; doubled up to RECHECK_MOST_S
RECHECK_MOST_S = 60.0
LARGEST_ANSWER = 16 << 20  # bytes
RETRY_AFTER_S = 1.0  # where Discord says 429 without a word of how long
PATIENT_S = 3_600.0  # a Retry-After beyond this is not believed
# Messages of a channel go one after another, so that they stand in the order in which they were let go: on
# two connections the second may arrive first. A slow one is not waited for longer than this.
ORDER_S = 2.0
POST = "POST /channels/{}/messages"
OLD_EDIT_S = 300.0  # until an old message's edit is tried again, where Discord does not say


def user_agent() -> str:
    """As Discord asks for it: `DiscordBot (url, version)`."""
    version = "0"
    with contextlib.suppress(metadata.PackageNotFoundError):
        version = metadata.version("quartet-bot")
    return f"DiscordBot ({HOMEPAGE}, {version})"


def is_repeatable(route: Route, body: object) -> bool:
    """Whether a call does no harm when nobody knows what became of the first one."""
    method, _, path = route.name.partition(" ")
    if method in ("GET", "PUT", "PATCH", "DELETE"):
        return True
    if path.endswith(("/typing", "/threads")) or path == "/users/@me/channels":
        return True
    return path.endswith("/messages") and _has_nonce(body)


def _has_nonce(body: object) -> bool:
    given = mapping(body)
    return bool(given.get("nonce")) and given.get("enforce_nonce") is True


@dataclass(slots=True)
class _Call:
    """One call, however often it is tried."""

    route: Route
    path: str
    body: Mapping[str, Any] | Sequence[Any] | None
    urgency: Urgency
    query: Mapping[str, str] | None
    files: Sequence[Upload]
    repeatable: bool
    order: int | None = None  # its place in the line
    in_doubt: bool = False  # a try may have happened
    limited: int = 0  # 429s in a row

    @property
    def is_new(self) -> bool:
        """Whether it makes something: after an unknown outcome that has to be looked for."""
        return self.route.name.startswith("POST")


class DiscordApi:
    """Discord's REST API with the bot's token (`ports.Api`).

    Args:
        token: DISCORD_BOT_TOKEN.
        base_url: where the API is; Discord's own, or a server on loopback.
        pace: how fast it may be called.
        patience_s: for how long calls that did no harm are tried again.
        timeout_s: for one call without files.
        recheck_s: a token that was refused is not tried again before.
    """

    def __init__(
        self,
        token: str,
        *,
        base_url: str = API_URL,
        pace: Pace | None = None,
        patience_s: float = PATIENCE_S,
        timeout_s: float = TIMEOUT_S,
        recheck_s: float = RECHECK_S,
    ) -> None:
        self._authorization = f"Bot {token}"
        self._base_url = base_url.rstrip("/")
        self._pace = pace or Pace()
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._recheck_s = recheck_s
        self._session: aiohttp.ClientSession | None = None
        self._trouble = ""
        self._going: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by channel
        self._refused = 0  # how often the token was refused in a row
        self._recheck_at = 0.0
        self._blocked_until = 0.0

    @property
    def trouble(self) -> str:
        """Why Discord is not reached now, with the remedy; "": all is well."""
        left = self._blocked_until - time.monotonic()
        if left > 0:
            return (
                f"Discord has blocked this address for {left:.0f} s more after too many calls: "
                "wait, and look what else calls Discord from here"
            )
        return self._trouble

    def count(self) -> None:
        """Somebody else calls Discord in our name now: the limit on all calls counts that too."""
        self._pace.count()

    async def __aenter__(self) -> DiscordApi:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. May be called twice; a later call opens them again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        urgency: Urgency,
        query: Mapping[str, str] | None = None,
        files: Sequence[Upload] = (),
    ) -> Any:
        """See `ports.Api.call`."""
        route = route_of(method, path)
        call = _Call(route, path, body, urgency, query, files, is_repeatable(route, body))
        tries, first = 0, 0.0
        while True:
            try:
                return await self._once(call)
            except _Wait:
                continue
            except PlatformDown as error:
                call.in_doubt |= error.outcome_unknown
                unknown = call.in_doubt and (call.is_new or not call.repeatable)
                ours = PlatformDown(str(error), outcome_unknown=unknown)
            again = call.repeatable or not call.in_doubt
            if self._trouble or not again or urgency is Urgency.PROGRESS:
                raise ours from None
            now = time.monotonic()
            first = first or now
            pause = BACKOFF_S[min(tries, len(BACKOFF_S) - 1)] * random.uniform(0.8, 1.2)
            tries += 1
            if now + pause - first > self._patience_s:
                raise ours from None
            await asyncio.sleep(pause)

    async def _once(self, call: _Call) -> Any:
        """Try once.

        Raises:
            PlatformDown: no answer that could be read; `outcome_unknown` for reads as well.
            _Wait: it is to be tried again, at its place in the line.
        """
        if call.route.is_counted and self._trouble and time.monotonic() < self._recheck_at:
            raise PlatformDown(self._trouble)
        ticket = await self._pace.wait(call.route, call.urgency, call.order)
        call.order = ticket.order
        try:
            async with self._in_order(call.route):
                status, headers, raw = await self._send(call)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._pace.leave(ticket)  # never sent
            raise _unreached(error, call, unknown=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._pace.lost(ticket)
            raise _unreached(error, call, unknown=True) from None
        except BaseException:
            self._pace.lost(ticket)
            raise
        self._pace.answered(ticket, status, headers)
        if status == 429:
            raise self._limited(call, ticket, headers, _json(raw)) from None
        call.limited = 0
        if 200 <= status < 300:
            if call.route.is_counted and self._trouble:
                log.info("Discord accepts the token again", action="discord_token_good")
                self._trouble, self._refused = "", 0
            return _answer(raw, call)
        if status >= 500 or 300 <= status < 400:
            raise PlatformDown(
                f"Discord answered {call.route.name} with HTTP {status}; it is tried again",
                outcome_unknown=status >= 500,
            )
        raise self._refusal(call, status, _json(raw))

    @contextlib.asynccontextmanager
    async def _in_order(self, route: Route) -> AsyncGenerator[None]:
        """Behind the message of the same channel that is on its way, if it does not take long."""
        if route.name != POST:
            yield
            return
        lock, mine = self._going.setdefault(route.major, asyncio.Lock()), False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ORDER_S):
                mine = await lock.acquire()
        try:
            yield
        finally:
            if mine:
                lock.release()

    async def _send(self, call: _Call) -> tuple[int, Mapping[str, str], bytes]:
        """Send it and read the answer. What goes wrong is aiohttp's."""
        headers = {"Authorization": self._authorization} if call.route.is_counted else {}
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                headers={"User-Agent": user_agent()}, cookie_jar=aiohttp.DummyCookieJar()
            )
        data: Any = None
        if call.files:
            form = aiohttp.FormData(default_to_multipart=True)
            form.add_field("payload_json", json.dumps(call.body), content_type="application/json")
            for position, file in enumerate(call.files):
                form.add_field(
                    f"files[{position}]",
                    file.content,
                    filename=file.name,
                    content_type="application/octet-stream",
                )
            data = form
        elif call.body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(call.body).encode()
        total = max(UPLOAD_S, self._timeout_s) if call.files else self._timeout_s
        async with self._session.request(
            call.route.name.partition(" ")[0],
            self._base_url + call.path,
            params=call.query,
            data=data,
            headers=headers,
            allow_redirects=False,  # the token goes nowhere else
            timeout=aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_S),
        ) as answer:
            raw = bytearray()
            async for piece in answer.content.iter_chunked(64 * 1024):
                raw += piece
                if len(raw) > LARGEST_ANSWER:
                    raise ValueError("the answer is too large")
            return answer.status, answer.headers, bytes(raw)

    def _limited(self, call: _Call, ticket: Ticket, headers: Mapping[str, str], said: Payload) -> Exception:
        """What to do after a 429: wait, or for progress RateLimited."""
        if number(said, "code") == OLD_EDITS:  # of these messages alone: others can be edited
            return OldMessage(
                f"messages of more than an hour were edited too often there ({OLD_EDITS})",
                retry_after_s=_seconds(said.get("retry_after"), OLD_EDIT_S),
            )
        call.limited += 1
        # The body is the more exact; for some limits the header is far too small.
        stated = max(_seconds(said.get("retry_after"), 0.0), _seconds(headers.get("Retry-After"), 0.0))
        # Where pauses do not help they become longer.
        seconds = max(stated or RETRY_AFTER_S, min(0.1 * 2**call.limited, 30.0) if call.limited > 2 else 0.0)
        scope: Scope = "shared" if headers.get("X-RateLimit-Scope") == "shared" else "user"
        if not said:
            scope = "address"  # Cloudflare's: the address has called too often
            self._blocked_until = time.monotonic() + seconds
        elif said.get("global") is True or headers.get("X-RateLimit-Global", "").lower() == "true":
            scope = "global"
        self._pace.limited(ticket, seconds, scope)
        log.info(
            "Discord asks us to wait",
            action="discord_429",
            route=call.route.name,
            seconds=seconds,
            scope=scope,
        )
        if call.urgency is Urgency.PROGRESS:
            return RateLimited(f"Discord asks us to wait with {call.route.name}", retry_after_s=seconds)
        return _Wait()

    def _refusal(self, call: _Call, status: int, said: Payload) -> AdapterError:
        code = max(number(said, "code"), 0)
        if call.route.is_counted and (code in TOKEN_CODES or (status == 401 and not code)):
            self._refused += 1
            self._recheck_at = time.monotonic() + min(
                self._recheck_s * 2 ** min(self._refused - 1, 10), RECHECK_MOST_S
            )
            if not self._trouble:  # said once, not at every call
                log.warning("Discord does not accept the token", action="discord_token", error=TOKEN_REMEDY)
            self._trouble = TOKEN_REMEDY
            # Not NotAllowed: cards wait for the token, they are not given up.
            return PlatformDown(TOKEN_REMEDY)
        if not said and status != 413:
            return PlatformDown(
                f"Discord did not answer {call.route.name}, but something before it: HTTP {status}; is "
                "DISCORD_API_URL right, and does a proxy let calls through?"
            )
        return refusal(code, status=status, route=call.route.name, errors=said.get("errors"))


class _Wait(Exception):
    """A 429 was noted; the call is made again."""


def _answer(raw: bytes, call: _Call) -> Any:
    """The JSON of an answer that says that it was done."""
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise PlatformDown(
            f"Discord's answer to {call.route.name} cannot be read; it is tried again", outcome_unknown=True
        ) from None


def _json(raw: bytes) -> Payload:
    """The JSON object of an answer that says what was wrong; empty where there is none."""
    with contextlib.suppress(ValueError, RecursionError):
        return mapping(json.loads(raw))
    return {}


def _seconds(value: object, default: float) -> float:
    """Seconds as Discord states them, in a body or a header."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            seconds = float(value)
            if 0 < seconds <= PATIENT_S:
                return seconds
            if seconds > PATIENT_S:
                return PATIENT_S
    return default


def _unreached(error: Exception, call: _Call, *, unknown: bool) -> PlatformDown:
    # The kind of error alone: its text may hold an address with an interaction's token in it.
    return PlatformDown(
        f"Discord is not reached with {call.route.name} ({type(error).__name__}); is the network up?",
        outcome_unknown=unknown,
    )
