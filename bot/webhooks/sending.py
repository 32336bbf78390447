"""One attempt to send a notice: where it may go, how long it may take, what its answer means.

Redirects are not followed and answers are not read: their status is all that counts.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import httpx2

from bot.webhooks.addresses import AddressRefused, Resolve, Target, checked, resolve

LIMIT_S: Final = 12.0  # for one attempt, from the name to the status
NAMING: Final = 0.3  # of this, for resolving the name
CONNECTING: Final = 0.6  # of this, for TCP and TLS
LONGEST_WAIT_S: Final = 24 * 3600.0  # that a receiver can ask for
GONE: Final = 410


class Outcome(NamedTuple):
    """How an attempt ended."""

    status: int  # HTTP status; 0: none came
    problem: str = ""  # one line for people; "": it arrived
    wait_s: float = 0.0  # what the receiver asked for (Retry-After)

    @property
    def ok(self) -> bool:
        """Whether it arrived."""
        return 200 <= self.status < 300


class Sender:
    """Sends over connections of its own, each used once.

    A kept connection would be reused by its address alone, whatever name was checked for it.

    Args:
        allow_hosts: "host:port" that may be private, or plain http.
        resolve: name and port to addresses.
        limit_s: seconds for one attempt.
        tls: whom to trust; None: the authorities that are usual.
    """

    def __init__(
        self,
        allow_hosts: Collection[str] = (),
        *,
        resolve: Resolve = resolve,
        limit_s: float = LIMIT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = frozenset(host.casefold() for host in allow_hosts)
        self._resolve = resolve
        self._limit_s = limit_s
        self._tls = tls
        self._client: httpx2.AsyncClient | None = None
        self._making = asyncio.Lock()

    async def check(self, url: str) -> None:
        """See that notices may be sent to an address.

        Raises:
            AddressRefused: they may not, or the name means nothing.
        """
        try:
            async with asyncio.timeout(self._limit_s):
                await checked(url, self._allowed, self._resolve)
        except (OSError, TimeoutError):
            raise AddressRefused("the name of its host cannot be resolved; check how it is written") from None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], now: datetime) -> Outcome:
        """Send once.

        Args:
            now: aware; what a date in Retry-After is counted from.
        """
        client = await self._ready()
        try:
            async with asyncio.timeout(self._limit_s):
                async with asyncio.timeout(NAMING * self._limit_s):
                    target = await checked(url, self._allowed, self._resolve)
                return await _post(client, target, body, headers, now)
        except AddressRefused as error:
            return Outcome(0, str(error))
        except TimeoutError:
            return Outcome(0, f"no answer within {self._limit_s:g} s")
        except httpx2.TransportError as error:
            return Outcome(0, _broken(error))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return Outcome(0, f"no answer that can be read ({type(error).__name__})")
        except OSError:
            return Outcome(0, "the name of its host cannot be resolved")

    async def close(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()

    async def _ready(self) -> httpx2.AsyncClient:
        async with self._making:
            if self._client is None:
                tls = self._tls or await asyncio.to_thread(httpx2.create_ssl_context, trust_env=False)
                self._client = httpx2.AsyncClient(
                    verify=tls,
                    trust_env=False,  # a proxy would resolve the name again
                    follow_redirects=False,
                    # The library closes what it gives up connecting to; what is cancelled in the middle of a
                    # TLS handshake it leaves open. So its own limit comes before ours.
                    timeout=httpx2.Timeout(self._limit_s, connect=CONNECTING * self._limit_s),
                    limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
                    headers={"User-Agent": "Quartet-Webhooks/1", "Accept-Encoding": "identity"},
                )
        return self._client


async def _post(
    client: httpx2.AsyncClient, target: Target, body: bytes, headers: Mapping[str, str], now: datetime
) -> Outcome:
    for last, url in enumerate(target.urls, 1 - len(target.urls)):
        request = client.build_request(
            "POST",
            url,
            content=body,
            headers={**headers, "Host": target.host, "Connection": "close"},
            extensions={"sni_hostname": target.sni},
        )
        try:
            answer = await client.send(request, stream=True)
        except httpx2.ConnectError:
            if not last:
                raise
            continue  # nothing was sent: another address of the same name may do
        try:
            return _outcome(answer, now)
        finally:
            await answer.aclose()
    raise AssertionError("a target has addresses")


def _outcome(answer: httpx2.Response, now: datetime) -> Outcome:
    status = answer.status_code
    if 200 <= status < 300:
        return Outcome(status)
    if 300 <= status < 400:
        return Outcome(status, f"it answered {status}; redirects are not followed, give the address itself")
    return Outcome(status, f"it answered {status}", _wait_s(answer.headers.get("retry-after", ""), now))


def _wait_s(value: str, now: datetime) -> float:
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(value)
        return min(max((at - now).total_seconds(), 0.0), LONGEST_WAIT_S)
    except (ValueError, TypeError, OverflowError):  # no date, or one without a zone
        return 0.0


def _broken(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason.replace("_", " ").lower() if cause.reason else "it failed"
            return f"no safe connection (TLS: {reason[:100]})"
        cause = cause.__cause__ or cause.__context__
    return f"no connection, or it broke off ({type(error).__name__})"
