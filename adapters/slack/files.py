"""Fetch files that people sent. The bot's token goes to Slack's own hosts and nowhere else."""

from __future__ import annotations

import asyncio
from urllib.parse import urljoin, urlsplit

import aiohttp

from adapters.attachments import check_size, locator, origin, refuse, retry_after_s
from adapters.contract import Attachment
from adapters.errors import AdapterError, AttachmentRefused, NotAllowed, PlatformDown, RateLimited
from adapters.payload import mapping, text
from adapters.slack.payload import ident
from adapters.slack.ports import Api, SlackRefused, Tokens
from adapters.urgency import Urgency

SLACK_FILES = "files.slack.com"
TIMEOUT_S = 60.0
MOST_HOPS = 3
_SCOPE = (
    "Slack gives its sign-in page instead of {name!r}: the bot lacks the scope files:read. Apply the "
    "manifest that `quartet manifest slack` prints, and install the app again"
)


class Files:
    """Downloads attachments.

    Args:
        api: Slack's Web API, for files that Slack Connect only names.
        tokens: whose token opens a file.
        base_url: Slack's Web API; its host may serve files too.
        limit: bytes; a larger file is refused.
    """

    def __init__(self, api: Api, tokens: Tokens, *, base_url: str, limit: int) -> None:
        self._api = api
        self._tokens = tokens
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
            raise AttachmentRefused(f"the file {attachment.name!r} cannot be found any more; send it again")
        team, enterprise = where.get("team", ""), where.get("enterprise", "")
        if where.get("access") == "check_file_info" or not where.get("url"):
            where |= await self._info(attachment, team, enterprise)
        if where.get("mode") in ("tombstone", "hidden_by_limit") or where.get("access") == "file_not_found":
            raise AttachmentRefused(f"the file {attachment.name!r} is not there any more; send it again")
        if where.get("mode") == "external":
            raise AttachmentRefused(
                f"{attachment.name!r} is a link to another service, which the bot cannot open; upload it"
            )
        try:
            token = (await self._tokens.bot(team, enterprise)).token
        except NotAllowed as error:
            raise AttachmentRefused(f"the file {attachment.name!r} cannot be opened: {error}") from error
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._get(attachment, where.get("url", ""), token)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PlatformDown(
                f"the file {attachment.name!r} could not be fetched from Slack ({type(error).__name__})"
            ) from None

    async def _info(self, attachment: Attachment, team: str, enterprise: str) -> dict[str, str]:
        """What files.info tells where the event held the id alone."""
        try:
            found = await self._api.call(
                team, "files.info", {"file": attachment.id}, urgency=Urgency.REPLY, enterprise=enterprise
            )
        except (PlatformDown, RateLimited):
            raise
        except SlackRefused as error:
            if error.code in ("file_not_found", "file_deleted"):
                raise AttachmentRefused(
                    f"the file {attachment.name!r} is not there any more; send it again"
                ) from error
            raise AttachmentRefused(f"the file {attachment.name!r} cannot be opened: {error}") from error
        except AdapterError as error:
            raise AttachmentRefused(f"the file {attachment.name!r} cannot be opened: {error}") from error
        file = mapping(found.get("file"))
        size = file.get("size")
        name = text(file, "name") or attachment.name
        refuse(name, text(file, "mimetype"))
        check_size(name, size if isinstance(size, int) else 0, self._limit)
        url = text(file, "url_private_download") or text(file, "url_private")
        return {"url": url, "mode": text(file, "mode"), "access": "", "file": ident(file, "id")}

    async def _get(self, attachment: Attachment, url: str, token: str) -> bytes:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(auto_decompress=True)
        for _ in range(MOST_HOPS):
            if not self._is_slacks(url):
                raise AttachmentRefused(
                    f"the file {attachment.name!r} does not lie with Slack, so it is not opened; upload it"
                )
            headers = {"Authorization": f"Bearer {token}"}
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    url = urljoin(url, answer.headers.get("Location", ""))
                    continue
                return await self._body(attachment, answer)
        raise AttachmentRefused(_SCOPE.format(name=attachment.name))

    async def _body(self, attachment: Attachment, answer: aiohttp.ClientResponse) -> bytes:
        if answer.status in (401, 403):
            raise AttachmentRefused(_SCOPE.format(name=attachment.name))
        if answer.status in (404, 410):
            raise AttachmentRefused(f"the file {attachment.name!r} is not there any more; send it again")
        if answer.status == 429:
            raise RateLimited("Slack asks us to wait with files", retry_after_s=retry_after_s(answer.headers))
        if answer.status != 200:
            raise PlatformDown(f"Slack answered HTTP {answer.status} for the file {attachment.name!r}")
        check_size(attachment.name, answer.content_length or 0, self._limit)
        content = bytearray()
        async for piece in answer.content.iter_chunked(64 * 1024):
            content += piece
            check_size(attachment.name, len(content), self._limit)
        if answer.content_type == "text/html" and _is_sign_in(attachment, len(content)):
            raise AttachmentRefused(_SCOPE.format(name=attachment.name))
        return bytes(content)

    def _is_slacks(self, url: str) -> bool:
        """Slack's file host over https, or the very server that the API is at."""
        try:
            parts = urlsplit(url)
            if parts.username or parts.password:
                return False
            https = parts.scheme == "https" and parts.port in (None, 443)
            return (https and parts.hostname == SLACK_FILES) or origin(url) == self._api_origin
        except ValueError:
            return False


def _is_sign_in(attachment: Attachment, size: int) -> bool:
    """A page came. It is the file itself only where it is one and has its length."""
    return attachment.media_type != "text/html" or (attachment.size > 0 and size != attachment.size)
