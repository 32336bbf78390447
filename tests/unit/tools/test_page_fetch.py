"""Reading pages: private addresses are refused unless allowed by exact host and port, redirects included."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from orchestrator.tools import page_fetch as module
from orchestrator.tools.page_fetch import page_fetch
from orchestrator.tools.registry import ToolTrouble
from tests.twins.openai_server import ModelServer

PAGES = {
    "cats": {"title": "On cats", "html": "<h1>Cats</h1><script>evil()</script><p>They <b>purr</b>.</p>"},
    "loop": {"redirect": "{base}/page/loop"},
    "here": {"redirect": "/page/cats"},
    "metadata": {"redirect": "http://169.254.169.254/latest/meta-data/"},
    "file": {"redirect": "file:///etc/passwd"},
    "big": {"html": "x" * 5_000},
}


@pytest.fixture
def server() -> Generator[ModelServer]:
    with ModelServer({"pages": PAGES}) as made:
        yield made


async def test_allowed_private_page_is_read_as_markdown(server: ModelServer) -> None:
    page = await page_fetch([server.host]).run(url=f"{server.url}/page/cats")
    assert page == {
        "title": "On cats",
        "url": f"{server.url}/page/cats",
        "text": "# Cats\n\nThey **purr**.",
    }
    moved = await page_fetch([server.host]).run(url=f"{server.url}/page/here")
    assert moved["url"] == f"{server.url}/page/cats"


@pytest.mark.parametrize(
    "spelling", ["127.0.0.1", "localhost", "0", "2130706433", "[::1]", "127.1", "0x7f.0.0.1"]
)
async def test_private_addresses_are_refused_in_every_spelling(server: ModelServer, spelling: str) -> None:
    port = server.host.partition(":")[2]
    with pytest.raises(ToolTrouble):
        await page_fetch().run(url=f"http://{spelling}:{port}/page/cats")
    assert server.journal()["pages"] == {}


async def test_allowing_one_port_allows_no_other(server: ModelServer) -> None:
    with ModelServer({"pages": {"away": {"redirect": f"{server.url}/page/cats"}}}) as other:
        fetch = page_fetch([other.host])
        with pytest.raises(ToolTrouble):
            await fetch.run(url=f"{server.url}/page/cats")
        with pytest.raises(ToolTrouble):  # nor does a redirect lead there
            await fetch.run(url=f"{other.url}/page/away")
        assert other.journal()["pages"] == {"away": 1}
    assert server.journal()["pages"] == {}


@pytest.mark.parametrize("name", ["loop", "metadata", "file"])
async def test_redirects_to_nowhere_good_are_refused(server: ModelServer, name: str) -> None:
    with pytest.raises(ToolTrouble):
        await page_fetch([server.host]).run(url=f"{server.url}/page/{name}")


async def test_missing_and_too_big_pages_tell_the_model(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = page_fetch([server.host])
    with pytest.raises(ToolTrouble, match="404"):
        await fetch.run(url=f"{server.url}/page/none")
    monkeypatch.setattr(module, "MOST_BYTES", 1_000)
    with pytest.raises(ToolTrouble, match="more than 1,000 bytes"):
        await fetch.run(url=f"{server.url}/page/big")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cats",
        "ftp://x/y",
        "file:///etc/passwd",
        "http://",
        "http://a:b@127.0.0.1/",
        "http://x:99999/",
        "http://[::",
    ],
)
async def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ToolTrouble):
        await page_fetch().run(url=url)
