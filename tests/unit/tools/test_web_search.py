"""Web search: Tavily on loopback; DuckDuckGo with recorded answers at the transport, untested live."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from ddgs.ddgs import DDGS
from ddgs.engines.duckduckgo import Duckduckgo

from orchestrator.tools.registry import ToolTrouble
from orchestrator.tools.web_search import own_key, web_search
from tests.twins.openai_server import ModelServer

RESULT = {"title": "Cats", "url": "http://cats.example", "content": "They purr", "score": 0.9}

RECORDED = """<html><body><div class="links_main links_deep result__body">
<h2 class="result__title"><a class="result__a" href="https://cats.example/purr">Why cats purr</a></h2>
<a class="result__snippet" href="https://cats.example/purr">Cats <b>purr</b> when content.</a></div>
<div class="links_main links_deep result__body"><h2 class="result__title"><a href="https://duckduckgo.com/y.js?ad=1">Ad</a></h2>
<a href="https://duckduckgo.com/y.js?ad=1">Buy cats</a></div></body></html>"""


class RecordedTransport:
    """Stands in for the HTTP client of the search library."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Any]] = []

    def headers_update(self, headers: Any) -> None:
        """The engine sets none."""

    def request(self, method: str, url: str, **rest: Any) -> Any:
        self.asked.append((method, url, rest))
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(status_code=200, content=self.answer.encode(), text=self.answer)


def duckduckgo(answer: str | Exception) -> tuple[DDGS, RecordedTransport]:
    client, transport = DDGS(timeout=5), RecordedTransport(answer)
    engine = Duckduckgo(timeout=5)
    engine.http_client.client = cast("Any", transport)
    client._engines_cache[Duckduckgo] = engine  # pyright: ignore[reportPrivateUsage]
    return client, transport


async def test_duckduckgo_alone_is_asked_with_recorded_answer_untested_live() -> None:
    client, transport = duckduckgo(RECORDED)
    found = await web_search(duckduckgo=client).run(query="why do cats purr")
    assert found == [
        {"title": "Why cats purr", "url": "https://cats.example/purr", "text": "Cats purr when content."}
    ]
    assert [(m, u) for m, u, _ in transport.asked] == [("POST", "https://html.duckduckgo.com/html/")]


async def test_duckduckgo_without_network_tells_the_model() -> None:
    client, _ = duckduckgo(OSError("no route to host"))
    with pytest.raises(ToolTrouble, match="go on without it"):
        await web_search(duckduckgo=client).run(query="cats")


async def test_tavily_is_asked_at_its_base_url() -> None:
    with ModelServer({"tavily": {"key": "tvly-1", "results": [RESULT]}}) as server:
        tool = web_search(tavily_key="tvly-1", tavily_url=f"{server.url}/tavily/")
        assert await tool.run(query="cats") == [
            {"title": "Cats", "url": "http://cats.example", "text": "They purr"}
        ]
        assert server.journal()["searches"] == ["cats"]


@pytest.mark.parametrize("own", ["", "tvly-1", "tvly-wrong"])
async def test_every_search_closes_its_connections(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[httpx.AsyncClient] = []

    class Noted(httpx.AsyncClient):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(httpx, "AsyncClient", Noted)
    with ModelServer({"tavily": {"key": "tvly-1", "results": [RESULT]}}, strict=False) as server:
        tool = web_search(tavily_key="tvly-1", tavily_url=f"{server.url}/tavily")
        brought = own_key.set(own)
        try:
            for _ in range(2):
                with contextlib.suppress(ToolTrouble):
                    await tool.run(query="cats")
        finally:
            own_key.reset(brought)
    assert [client.is_closed for client in made] == [True, True]


async def test_wrong_tavily_key_names_the_setting_not_the_key() -> None:
    with (
        ModelServer({"tavily": {"key": "tvly-1"}}) as server,
        pytest.raises(ToolTrouble, match="TAVILY_API_KEY") as caught,
    ):
        await web_search(tavily_key="tvly-secret", tavily_url=f"{server.url}/tavily").run(query="cats")
    assert "tvly-secret" not in str(caught.value)


async def test_empty_query_is_refused() -> None:
    with pytest.raises(ToolTrouble):
        await web_search().run(query="  ")
