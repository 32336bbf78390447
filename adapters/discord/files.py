"""Fetch files that people sent. They are taken from Discord's own hosts and nowhere else.

The addresses that come with a message end after a day or so: a dead one is asked for anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from adapters.attachments import check_size, locator, origin, refuse, retry_after_s
from adapters.contract import Attachment
from adapters.discord.payload import ident
from adapters.discord.ports import Api
from adapters.errors import AdapterError, AttachmentRefused, PlatformDown, RateLimited
from adapters.payload import items, mapping, text
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
        self._api_origin = origin(base_url)
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
        check_size(attachment.name, attachment.size, self._limit)
        where = locator(attachment)
        if where is None:
            raise _gone(attachment)
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
            raise RateLimited(
                "Discord asks us to wait with files", retry_after_s=retry_after_s(answer.headers)
            )
        if answer.status in (301, 302, 303, 307, 308):
            raise AttachmentRefused(
                f"the file {attachment.name!r} does not lie with Discord, so it is not opened; upload it"
            )
        if answer.status != 200:
            raise PlatformDown(f"Discord answered HTTP {answer.status} for the file {attachment.name!r}")
        check_size(attachment.name, answer.content_length or 0, self._limit)
        content = bytearray()
        async for piece in answer.content.iter_chunked(64 * 1024):
            content += piece
            check_size(attachment.name, len(content), self._limit)
        return bytes(content)

    def _is_discords(self, url: str) -> bool:
        """Discord's file hosts over https, or the very server that the API is at."""
        try:
            parts = urlsplit(url)
            if parts.username or parts.password:
                return False
            https = parts.scheme == "https" and parts.port in (None, 443)
            return (https and parts.hostname in HOSTS) or origin(url) == self._api_origin
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
