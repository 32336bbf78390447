"""The tool `page_fetch`: read one web page as Markdown. Addresses in private networks are refused.

Public pages go through pydantic-ai's fetch tool, which checks every resolved address and every
redirect. Hosts that the operator allows (`FETCH_ALLOW_HOSTS`, exact host:port) are fetched though they
are private; where such a host redirects, the new address is judged afresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from urllib.parse import urljoin, urlsplit

from orchestrator.tools.registry import AgentTool, ToolTrouble

MOST_BYTES = 2_000_000
MOST_CHARS = 40_000
TIMEOUT_S = 20
MOST_REDIRECTS = 5
_TEXT = ("text/", "application/json", "application/xml", "application/xhtml+xml")


def page_fetch(allow_hosts: Collection[str] = ()) -> AgentTool:
    """Make the tool.

    Args:
        allow_hosts: "host:port" that may be fetched though private.
    """
    allowed = frozenset(host.casefold() for host in allow_hosts)

    async def fetch(url: str) -> dict[str, Any]:
        """Read a web page as Markdown.

        Args:
            url: the full address, http or https.
        """
        url = url.strip()
        for _ in range(MOST_REDIRECTS + 1):
            if _host_port(url) not in allowed:
                return await _public(url)
            page = await _allowed(url)
            if isinstance(page, dict):
                return page
            url = page
        raise ToolTrouble("The page redirects too often; try another one.")

    return AgentTool(
        name="page_fetch",
        description="Read a web page by its address. Gives title, url and text.",
        run=fetch,
        doing=lambda arguments: f"reading {str(arguments.get('url', ''))[:120]}",
        timeout_s=TIMEOUT_S * 2.0,
    )


def _host_port(url: str) -> str:
    """The "host:port" of an address.

    Raises:
        ToolTrouble: it is none of http or https, or carries a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        raise ToolTrouble(f"{url[:200]!r} is no address of a page.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ToolTrouble("Only addresses that begin with http:// or https:// can be read.")
    if parts.username or parts.password:
        raise ToolTrouble("Addresses with a name or password in them are not read.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}".casefold()


async def _public(url: str) -> dict[str, Any]:
    from pydantic_ai import BinaryContent, ModelRetry
    from pydantic_ai.common_tools.web_fetch import WebFetchLocalTool

    tool = WebFetchLocalTool(
        max_content_length=MOST_CHARS,
        allow_local_urls=False,
        timeout=TIMEOUT_S,
        max_download_bytes=MOST_BYTES,
    )
    try:
        page = await tool(url)
    except ModelRetry as error:
        raise ToolTrouble(f"The page could not be read: {' '.join(error.message.split())[:300]}") from None
    if isinstance(page, BinaryContent):
        raise ToolTrouble(f"{url} is no text ({page.media_type}); only pages of text are read.")
    return {"title": page["title"], "url": url, "text": page["content"]}


async def _allowed(url: str) -> dict[str, Any] | str:
    """A page of an allowed host, or the address to which it redirects."""
    import httpx2

    try:
        async with (
            httpx2.AsyncClient(follow_redirects=False, timeout=TIMEOUT_S, trust_env=False) as client,
            client.stream(
                "GET", url, headers={"Accept": "text/markdown, text/html;q=0.9, */*;q=0.8"}
            ) as answer,
        ):
            if answer.is_redirect:
                return urljoin(url, answer.headers.get("location", ""))
            if answer.status_code >= 400:
                raise ToolTrouble(f"The page could not be read: the server answered {answer.status_code}.")
            media_type = answer.headers.get("content-type", "text/html").split(";")[0].strip().lower()
            if not media_type.startswith(_TEXT):
                raise ToolTrouble(f"{url} is no text ({media_type}); only pages of text are read.")
            content = bytearray()
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > MOST_BYTES:
                    raise ToolTrouble(f"The page has more than {MOST_BYTES:,} bytes; try another one.")
            text = content.decode(answer.charset_encoding or "utf-8", errors="replace")
    except (httpx2.HTTPError, httpx2.InvalidURL, LookupError) as error:
        raise ToolTrouble(f"The page could not be read ({type(error).__name__}).") from None
    title = ""
    if "html" in media_type:
        title, text = await asyncio.to_thread(_markdown, text)
    return {"title": title, "url": url, "text": text[:MOST_CHARS]}


def _markdown(html: str) -> tuple[str, str]:
    from bs4 import BeautifulSoup
    from markdownify import markdownify

    soup = BeautifulSoup(html, "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for tag in soup(["script", "style", "noscript", "template"]):
        tag.decompose()
    try:
        return title, markdownify(str(soup.body or soup), heading_style="ATX").strip()
    except RecursionError:
        raise ToolTrouble("The page is nested too deeply to be read; try another one.") from None
