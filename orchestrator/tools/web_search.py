"""The tool `web_search`: Tavily with a key, else DuckDuckGo. Both by pydantic-ai's common tools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from orchestrator.tools.registry import AgentTool, ToolTrouble

MOST = 8
TEXT_CHARS = 2_000
Found = list[dict[str, Any]]  # title, url, text
Search = Callable[[str], Awaitable[Found]]
own_key: ContextVar[str] = ContextVar("own_search_key", default="")
"""During a step of a run that brought a Tavily key: that key, which is asked with instead of the bot's."""


def web_search(
    *, tavily_key: str | None = None, tavily_url: str = "https://api.tavily.com", duckduckgo: Any = None
) -> AgentTool:
    """Make the tool.

    Args:
        tavily_key: None: DuckDuckGo is asked.
        tavily_url: another Tavily-compatible server.
        duckduckgo: a `ddgs.DDGS`, or what stands in for one; None: a new one.
    """
    made: list[Search] = []  # the client is made at the first call: importing it takes time

    async def search(query: str) -> Found:
        """Search the web and get titles, addresses and short texts. Read a page before you quote it.

        Args:
            query: what to look for, as typed into a search engine.
        """
        if not query.strip():
            raise ToolTrouble("The query is empty: give a few words to look for.")
        own = own_key.get()
        try:
            if own:
                return await (await asyncio.to_thread(_tavily, own, tavily_url))(query)
            if not made:
                made.append(
                    await asyncio.to_thread(_tavily, tavily_key, tavily_url)
                    if tavily_key
                    else await asyncio.to_thread(_duckduckgo, duckduckgo)
                )
            return await made[0](query)
        except Exception as error:  # the libraries raise errors of their HTTP clients and their own
            kind = type(error).__name__
            if (own or tavily_key) and "InvalidAPIKey" in kind:
                name = "tavily_key" if own else "TAVILY_API_KEY"
                raise ToolTrouble(f"The web search refused its key ({name}); go on without it.") from None
            raise ToolTrouble(
                f"The web search failed ({kind}); go on without it, or try once more."
            ) from None

    return AgentTool(
        name="web_search",
        description="Search the web. Gives results with title, url and a short text.",
        run=search,
        doing=lambda arguments: f"searching the web for “{str(arguments.get('query', ''))[:80]}”",
        timeout_s=30.0,
    )


def _tavily(key: str | None, url: str) -> Search:
    from pydantic_ai.common_tools.tavily import TavilySearchTool
    from tavily import AsyncTavilyClient

    async def search(query: str) -> Found:
        # A client for each search: it holds connections, and nobody would close it later. In a thread, since
        # it reads certificates.
        async with await asyncio.to_thread(AsyncTavilyClient, key, api_base_url=url.rstrip("/")) as client:
            found = await TavilySearchTool(client=client, max_results=MOST)(query)
        return [_result(r["title"], r["url"], r["content"]) for r in found]

    return search


def _duckduckgo(client: Any) -> Search:
    from ddgs.ddgs import DDGS
    from pydantic_ai.common_tools.duckduckgo import DuckDuckGoSearchTool

    asked = client or DDGS(timeout=10)

    class OnlyDuckDuckGo(DDGS):
        """Left to itself the library asks many search engines, and DuckDuckGo among them."""

        def text(self, query: str, **options: Any) -> list[dict[str, Any]]:
            return asked.text(query, **options, backend="duckduckgo")

    tool = DuckDuckGoSearchTool(client=OnlyDuckDuckGo(), max_results=MOST)

    async def search(query: str) -> Found:
        return [_result(r["title"], r["href"], r["body"]) for r in await tool(query)]

    return search


def _result(title: str, url: str, text: str) -> dict[str, Any]:
    return {"title": title[:300], "url": url, "text": text[:TEXT_CHARS]}
