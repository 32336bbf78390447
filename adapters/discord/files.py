"""Fetch files that people sent. They are taken from Discord's own hosts and nowhere else.

The addresses that come with a message end after a day or so: a dead one is asked for anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from adapters.attachments import refuse
from adapters.contract import Attachment
from adapters.discord.payload import ident, items, mapping, text
from adapters.discord.ports import Api
from adapters.errors import AdapterError, AttachmentRefused, PlatformDown, RateLimited
from adapters.urgency import Urgency

HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
TIMEOUT_S = 60.0
GONE = (401, 403, 404, 410)  # the CDN says so of an address that has ended, too


class Files:
    """Downloads attachments.

    Args:
        api: for addresses that have ended.
        base_url: Discord's API; its very server may serve files too where it is not Discord's own.
        limit: bytes; a larger file is refused.
    """

    def __init__(self, api: Api, *, base_url: str, limit: int) -> None:
        self._api = api
        self._limit = limit
        self._api_origin = _origin(base_url)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def download(self, attachment: Attachment) -> bytes:
        """The bytes of a file.

        Raises:
            AttachmentRefused: too large, gone, elsewhere, or of a type that is not taken.
            PlatformDown, RateLimited: it cannot be had now.
        """
        refuse(attachment.name, attachment.media_type)
        self._check_size(attachment.name, attachment.size)
        where = _locator(attachment)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                content = await self._get(attachment, where.get("url", ""))
                if content is None:
                    content = await self._get(attachment, await self._fresh(attachment, where))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PlatformDown(
                f"the file {attachment.name!r} could not be fetched from Discord ({type(error).__name__})"
            ) from None
        if content is None:
            raise _gone(attachment)
        return content

    async def _fresh(self, attachment: Attachment, where: Mapping[str, str]) -> str:
        """The address that the file has now."""
        channel, message = where.get("channel", ""), where.get("message", "")
        if not (channel.isdecimal() and message.isdecimal()):
            raise _gone(attachment)
        try:
            found = await self._api.call(
                "GET", f"/channels/{channel}/messages/{message}", urgency=Urgency.REPLY
            )
        except (PlatformDown, RateLimited):
            raise
        except AdapterError as error:
            raise AttachmentRefused(f"the file {attachment.name!r} cannot be opened: {error}") from error
        for file in _files(mapping(found)):
            if ident(file, "id") == attachment.id:
                return text(file, "url")
        raise _gone(attachment)

    def _check_size(self, name: str, size: int) -> None:
        if size > self._limit:
            raise AttachmentRefused(
                f"the file {name!r} is too large: {size:,} of at most {self._limit:,} bytes; send less of it"
            )

    async def _get(self, attachment: Attachment, url: str) -> bytes | None:
        """The bytes; None: there is nothing under this address (any more)."""
        if not self._is_discords(url):
            raise AttachmentRefused(
                f"the file {attachment.name!r} does not lie with Discord, so it is not opened; upload it"
            )
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(auto_decompress=True)
        async with self._session.get(url, allow_redirects=False) as answer:
            if answer.status in GONE:
                return None
            return await self._body(attachment, answer)

    async def _body(self, attachment: Attachment, answer: aiohttp.ClientResponse) -> bytes:
        if answer.status == 429:
            raise RateLimited("Discord asks us to wait with files", retry_after_s=_seconds(answer.headers))
        if answer.status in (301, 302, 303, 307, 308):
            raise AttachmentRefused(
                f"the file {attachment.name!r} does not lie with Discord, so it is not opened; upload it"
            )
        if answer.status != 200:
            raise PlatformDown(f"Discord answered HTTP {answer.status} for the file {attachment.name!r}")
        self._check_size(attachment.name, answer.content_length or 0)
        content = bytearray()
        async for piece in answer.content.iter_chunked(64 * 1024):
            content += piece
            self._check_size(attachment.name, len(content))
        return bytes(content)

    def _is_discords(self, url: str) -> bool:
        """Discord's file hosts over https, or the very server that the API is at."""
        try:
            parts = urlsplit(url)
            if parts.username or parts.password:
                return False
            https = parts.scheme == "https" and parts.port in (None, 443)
            return (https and parts.hostname in HOSTS) or _origin(url) == self._api_origin
        except ValueError:
            return False


def _files(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The files of a message, those of a forwarded one among them."""
    forwarded = [
        mapping(mapping(one).get("message")).get("attachments")
        for one in items(message.get("message_snapshots"))
    ]
    return [mapping(file) for given in (message.get("attachments"), *forwarded) for file in items(given)]


def _gone(attachment: Attachment) -> AttachmentRefused:
    return AttachmentRefused(f"the file {attachment.name!r} is not there any more; send it again")


def _locator(attachment: Attachment) -> dict[str, str]:
    try:
        given: Any = json.loads(attachment.locator)
    except ValueError:
        given = None
    if not isinstance(given, Mapping):
        raise _gone(attachment)
    return {str(name): str(value) for name, value in given.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _seconds(headers: Mapping[str, str]) -> float:
    try:
        return min(max(float(headers.get("Retry-After", "1")), 0.1), 60.0)
    except ValueError:
        return 1.0
