"""Where notices may go: https addresses in the public internet, and what the operator allows by name.

The name is resolved, every address of it is judged, and the notice is sent to one of those that were
judged: a name that means another machine a moment later changes nothing.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple

import httpx2

LONGEST: Final = 2_000  # characters of an address
MOST_ADDRESSES: Final = 3  # of one name that are tried
PORTS: Final = {"http": 80, "https": 443}

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")  # an IPv6 address has colons

# Threads of their own: while name servers do not answer, each question holds one for half a minute.
_NAMING: Final = ThreadPoolExecutor(4, thread_name_prefix="names")

Resolve = Callable[[str, int], Awaitable[list[str]]]


class AddressRefused(ValueError):
    """A notice may not be sent there; says why and what to do."""


class Target(NamedTuple):
    """Where to connect to."""

    urls: list[str]  # with addresses in place of the name; the next where one cannot be connected to
    host: str  # the Host header
    sni: str  # whose certificate has to be shown


async def resolve(host: str, port: int) -> list[str]:
    """Addresses of a name, as the system knows them. Raises OSError."""
    ask = partial(socket.getaddrinfo, host, port, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_NAMING, ask)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def parsed(url: str, allowed: Collection[str]) -> httpx2.URL:
    """An address whose form is one that notices may be sent to.

    Raises:
        AddressRefused: it is not.
    """
    if len(url) > LONGEST:
        raise AddressRefused(f"an address has at most {LONGEST:,} characters")
    try:
        read = httpx2.URL(url)
        host = read.raw_host.decode("ascii")
    except (httpx2.InvalidURL, ValueError, TypeError):
        raise AddressRefused("this is no address; write https://HOST/PATH") from None
    if read.scheme not in PORTS or not host:
        raise AddressRefused("an address begins with https:// and names a host")
    if read.userinfo:
        raise AddressRefused("an address has no name or password in it; notices are signed instead")
    if read.fragment:
        raise AddressRefused("an address has no #; it would not be sent")
    if read.port is not None and not 0 < read.port < 65_536:
        raise AddressRefused("the port of an address is a number from 1 to 65535")
    if ":" not in host and _NAME.fullmatch(host) is None:
        raise AddressRefused("the name of a host has letters, digits, dots and hyphens only")
    if read.scheme != "https" and not is_allowed(read, allowed):
        raise AddressRefused(
            "an address begins with https://; plain http is for hosts in FETCH_ALLOW_HOSTS alone (host:port)"
        )
    return read


def is_allowed(url: httpx2.URL, allowed: Collection[str]) -> bool:
    """Whether the operator named exactly this host and port; `allowed` is in small letters."""
    return host_port(url) in allowed


def host_port(url: httpx2.URL) -> str:
    """The "host:port" of an address, in small letters."""
    host = url.raw_host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{url.port or PORTS[url.scheme]}".casefold()


async def checked(url: str, allowed: Collection[str], resolve: Resolve = resolve) -> Target:
    """Where to connect to for an address.

    Args:
        url: as it was given.
        allowed: "host:port" in small letters that may be private, or plain http.
        resolve: name and port to addresses.

    Raises:
        AddressRefused: nothing may be sent there.
        OSError: the name means nothing at the moment.
    """
    read = parsed(url, allowed)
    host = read.raw_host.decode("ascii")
    try:
        addresses = await resolve(host, read.port or PORTS[read.scheme])
    except UnicodeError:  # a label that is empty or too long
        raise AddressRefused(f"{host[:100]!r} is no name of a host") from None
    if not addresses:
        raise OSError(f"{host[:100]!r} has no address")
    if not is_allowed(read, allowed) and await asyncio.to_thread(_any_private, addresses):
        # Which one is not told: the answer would be a map of the network.
        raise AddressRefused(
            f"{host[:100]} is not in the public internet; "
            f"if it is to be told, add {host_port(read)[:120]} to FETCH_ALLOW_HOSTS"
        )
    urls = [str(read.copy_with(host=address)) for address in addresses[:MOST_ADDRESSES]]
    return Target(urls, read.netloc.decode("ascii"), host)


def _any_private(addresses: Collection[str]) -> bool:
    """Whether one of them is not in the public internet. In a thread: what knows it takes long to import."""
    # The list of such networks is not public there, but it is what page_fetch goes by.
    from pydantic_ai._ssrf import (  # pyright: ignore[reportPrivateUsage]
        is_cloud_metadata_ip,
        is_private_ip,
    )

    return any(is_private_ip(address) or is_cloud_metadata_ip(address) for address in addresses)
