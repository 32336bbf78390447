"""The way to agents behind addresses: checked addresses, no redirects, limits of size, retries.

Addresses of private networks are refused unless the operator lists them (AGENTS_ALLOW_HOSTS, exact
host:port): a name is resolved once, judged, and the connection goes to the address that was judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2

from orchestrator.agents.elsewhere.wire import MOST_BYTES, MOST_BYTES_IN_ALL, one_line
from orchestrator.errors import AgentFailed

RETRIES = 4
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
CONNECT_S = 10.0
AGAIN = frozenset({408, 425, 429, 502, 503, 504})
# They carry other addresses inside them, where a check of the outer one says nothing.
_TUNNELS = tuple(
    ipaddress.ip_network(net)
    for net in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48", "::/96", "fec0::/10")
)
_METADATA = frozenset({"168.63.129.16"})  # public by number, and the cloud's own all the same


class Forbidden(Exception):
    """An address that agents are not called at."""


def host_port(url: str) -> str:
    """The "host:port" of an address."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}".casefold()


def origin(url: str) -> tuple[str, str]:
    """Scheme and host:port."""
    return urlsplit(url).scheme, host_port(url)


def is_public(address: str) -> bool:
    """Whether an address of a machine can be reached from anywhere, and means no machine of this network."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if any(ip in net for net in _TUNNELS) or ip.packed[8:12] in (b"\0\0\x5e\xfe", b"\x02\0\x5e\xfe"):
            return False
    return ip.is_global and not ip.is_multicast and str(ip) not in _METADATA


class _Checked(httpx2.AsyncBaseTransport):
    """Sends to judged addresses only. Clients come and go; the connections stay until `close`."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = frozenset(host.casefold() for host in allowed)
        self._ways: dict[str, httpx2.AsyncHTTPTransport] = {}  # one for each host: TLS is made for its name
        self._context: ssl.SSLContext | None = None
        self._lock = asyncio.Lock()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Judge, then send."""
        name = host_port(str(request.url))
        if name not in self._allowed:
            host = request.url.host
            request.url = request.url.copy_with(host=await self._judged(host, name))
            request.extensions = {**request.extensions, "sni_hostname": host}
        way = await self._way(name)
        return await way.handle_async_request(request)

    async def _judged(self, host: str, name: str) -> str:
        port = int(name.rpartition(":")[2])
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise httpx2.ConnectError("the name is not known") from None
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if not addresses or not all(is_public(address) for address in addresses):
            raise Forbidden(
                f"{name} is an address of a private network; if agents may be called there, "
                f"add it to AGENTS_ALLOW_HOSTS"
            )
        return addresses[0]

    async def _way(self, name: str) -> httpx2.AsyncHTTPTransport:
        async with self._lock:
            if self._context is None:
                self._context = await asyncio.to_thread(ssl.create_default_context)
            if name not in self._ways:
                self._ways[name] = httpx2.AsyncHTTPTransport(
                    verify=self._context, trust_env=False, limits=httpx2.Limits(max_connections=100)
                )
            return self._ways[name]

    async def aclose(self) -> None:
        """Nothing: a client that closes is not the last one."""

    async def close(self) -> None:
        ways, self._ways = list(self._ways.values()), {}
        for way in ways:
            await way.aclose()


class Network:
    """The way to agents behind addresses.

    Args:
        allow_hosts: "host:port" that may be called though private.
        first_wait_s: the first pause before a retry; each further one is twice as long.
    """

    def __init__(self, allow_hosts: Collection[str] = (), *, first_wait_s: float = FIRST_WAIT_S) -> None:
        self._allowed = frozenset(host.casefold() for host in allow_hosts)
        self._checked = _Checked(self._allowed)
        self._first_wait_s = first_wait_s

    def client(self, url: str, token: str | None, title: str) -> httpx2.AsyncClient:
        """A client for one agent; closing it costs nothing.

        Raises:
            AgentFailed: its key would go over the net in the clear.
        """
        if token is not None and urlsplit(url).scheme == "http" and host_port(url) not in self._allowed:
            raise AgentFailed(f"{title}: its key would be sent in the clear; use an https address")
        headers = {"User-Agent": "quartet"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return httpx2.AsyncClient(
            transport=self._checked,
            headers=headers,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._checked.close()

    def pause(self, tries: int, answer: httpx2.Response | None) -> float:
        """Seconds before the next try: as the server says, else growing with jitter; at most 60."""
        asked = retry_after(answer.headers) if answer is not None else None
        if asked is None:
            asked = self._first_wait_s * 2**tries * (1 + random.random() / 4)
        return min(asked, LONGEST_WAIT_S)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, at most 60; None: it says nothing that can be read."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT_S)
    with contextlib.suppress(ValueError, TypeError):
        until = parsedate_to_datetime(text)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return min(max(0.0, (until - datetime.now(UTC)).total_seconds()), LONGEST_WAIT_S)
    return None


class Calls:
    """Calls to one agent, as long as a step lasts.

    Args:
        title: the agent's, for refusals.
        token: its key; never part of a refusal.
    """

    def __init__(self, network: Network, client: httpx2.AsyncClient, title: str, token: str | None) -> None:
        self._network = network
        self._client = client
        self._title = title
        self._token = token

    @asynccontextmanager
    async def answer(
        self, method: str, url: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[httpx2.Response]:
        """An answer whose body is still to be read. What may pass is tried again, up to four times.

        Raises:
            AgentFailed: it refuses, redirects, or cannot be reached.
        """
        for tries in range(RETRIES + 1):
            response: httpx2.Response | None = None
            try:
                request = self._client.build_request(method, url, json=body, headers=headers)
                response = await self._client.send(request, stream=True)
            except Forbidden as error:
                raise AgentFailed(f"{self._title}: {error}") from None
            except (httpx2.TransportError, httpx2.InvalidURL) as error:
                if tries == RETRIES or not isinstance(error, httpx2.TransportError):
                    raise AgentFailed(
                        f"{self._title} cannot be reached ({type(error).__name__}); check its address",
                        retryable=True,
                    ) from None
            if response is not None:
                if response.status_code not in AGAIN or tries == RETRIES:
                    try:
                        await self._judge(response)
                        yield response
                    finally:
                        await response.aclose()
                    return
                await response.aclose()
            await asyncio.sleep(self._network.pause(tries, response))

    async def _judge(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        if response.is_redirect or status < 400:
            raise AgentFailed(f"{self._title} redirects elsewhere ({status}); write its address as it is now")
        if status in (401, 403):
            raise AgentFailed(f"{self._title} refuses the key ({status}); check the variable in token_env")
        said = ""
        with contextlib.suppress(AgentFailed):
            said = self.masked(one_line((await self.read(response, 10_000)).decode("utf-8", "replace")))
        again = status in AGAIN or status >= 500
        raise AgentFailed(f"{self._title} answered {status}{': ' + said if said else ''}", retryable=again)

    async def read(self, response: httpx2.Response, most: int = MOST_BYTES) -> bytes:
        """The body.

        Raises:
            AgentFailed: it is larger than `most` bytes, or breaks off.
        """
        content = bytearray()
        async for piece in self.pieces(response):
            content += piece
            if len(content) > most:
                raise AgentFailed(f"{self._title}: its answer has more than {most:,} bytes")
        return bytes(content)

    async def pieces(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """The body as it comes."""
        count = 0
        try:
            async for piece in response.aiter_bytes(65_536):
                count += len(piece)
                if count > MOST_BYTES_IN_ALL:
                    raise AgentFailed(f"{self._title} said more than {MOST_BYTES_IN_ALL:,} bytes in one step")
                yield piece
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise AgentFailed(
                f"{self._title}: its answer broke off ({type(error).__name__})", retryable=True
            ) from None

    def masked(self, text: str) -> str:
        """A foreign text without the key."""
        return text.replace(self._token, "…") if self._token else text
