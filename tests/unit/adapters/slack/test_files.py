"""Files of people: the token goes to Slack alone, and what is not taken is said with its remedy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web

from adapters.attachments import unread
from adapters.contract import Attachment
from adapters.errors import AttachmentRefused, PlatformDown, RateLimited
from adapters.slack.files import Files
from adapters.slack.ports import BotToken, SlackRefused
from adapters.urgency import Urgency

LIMIT = 100_000


class Server:
    """Answers each path as scripted; keeps what was asked with which token."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, web.Response] = {}
        self.origin = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Authorization", "")))
        if request.path == "/endless":
            endless = web.StreamResponse()
            await endless.prepare(request)
            for _ in range(10):
                await endless.write(b"x" * 20_000)
            return endless
        scripted = self.answers.get(request.path)
        return _again(scripted) if scripted is not None else web.Response(status=404)


def _again(scripted: web.Response) -> web.Response:
    """A response of its own for each request."""
    headers = {name: value for name, value in scripted.headers.items() if name != "Content-Length"}
    return web.Response(status=scripted.status, headers=headers, body=scripted.body)


class Api:
    """files.info as scripted."""

    def __init__(self) -> None:
        self.file: dict[str, Any] | SlackRefused = {}

    async def call(
        self, team: str, method: str, arguments: Mapping[str, Any], *, urgency: Urgency, enterprise: str = ""
    ) -> Mapping[str, Any]:
        assert (method, arguments) == ("files.info", {"file": "F1"})
        if isinstance(self.file, SlackRefused):
            raise self.file
        return {"ok": True, "file": self.file}


class Tokens:
    async def bot(self, team: str, enterprise: str = "") -> BotToken:
        return BotToken(f"xoxb-{team}", team)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def files(server: Server) -> AsyncIterator[tuple[Files, Api]]:
    api = Api()
    files = Files(api, Tokens(), base_url=f"{server.origin}/api/", limit=LIMIT)
    yield files, api
    await files.close()


def attached(
    url: str, *, name: str = "a.md", media_type: str = "text/markdown", size: int = 3, **more: str
) -> Attachment:
    locator = json.dumps({"team": "T1", "file": "F1", "url": url, **more})
    return Attachment(id="F1", name=name, media_type=media_type, size=size, locator=locator)


async def test_a_file_is_fetched_with_the_workspaces_token(server: Server, files: tuple[Files, Api]) -> None:
    server.answers["/f/a.md"] = web.Response(body=b"abc")
    assert await files[0].download(attached(f"{server.origin}/f/a.md")) == b"abc"
    assert server.asked == [("/f/a.md", "Bearer xoxb-T1")]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a",
        "https://files.slack.com.example.com/a",
        "http://files.slack.com/a",
        "https://files.slack.com:8443/a",
        "https://user:pw@files.slack.com/a",
        "http://127.0.0.1:1/a",
        "file:///etc/passwd",
        "https://[bad/a",
        "",
    ],
)
async def test_the_token_goes_nowhere_else(server: Server, files: tuple[Files, Api], url: str) -> None:
    with pytest.raises(AttachmentRefused):
        await files[0].download(attached(url))
    assert server.asked == []


async def test_a_redirect_elsewhere_is_not_followed(server: Server, files: tuple[Files, Api]) -> None:
    server.answers["/f/a.md"] = web.Response(status=302, headers={"Location": "http://example.com/steal"})
    with pytest.raises(AttachmentRefused, match="does not lie with Slack"):
        await files[0].download(attached(f"{server.origin}/f/a.md"))


async def test_redirects_without_end_are_the_sign_in_page(server: Server, files: tuple[Files, Api]) -> None:
    server.answers["/f/a.md"] = web.Response(status=302, headers={"Location": "/f/a.md"})
    with pytest.raises(AttachmentRefused, match="files:read"):
        await files[0].download(attached(f"{server.origin}/f/a.md"))


async def test_slacks_sign_in_page_instead_of_the_file_names_the_scope(
    server: Server, files: tuple[Files, Api]
) -> None:
    server.answers["/f/a.md"] = web.Response(text="<html>Sign in</html>", content_type="text/html")
    with pytest.raises(AttachmentRefused, match="files:read"):
        await files[0].download(attached(f"{server.origin}/f/a.md"))
    page = attached(f"{server.origin}/f/a.md", name="a.html", media_type="text/html", size=20)
    assert await files[0].download(page) == b"<html>Sign in</html>"


@pytest.mark.parametrize(("size", "path"), [(LIMIT + 1, "/f/a.md"), (3, "/endless"), (3, "/declared")])
async def test_a_file_that_is_too_large_is_refused_before_it_is_all_here(
    server: Server, files: tuple[Files, Api], size: int, path: str
) -> None:
    server.answers["/declared"] = web.Response(body=b"x" * (LIMIT + 1))
    with pytest.raises(AttachmentRefused, match="too large"):
        await files[0].download(attached(f"{server.origin}{path}", size=size))


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, AttachmentRefused), (403, AttachmentRefused), (500, PlatformDown), (429, RateLimited)],
)
async def test_what_slack_answers_is_said_in_our_words(
    server: Server, files: tuple[Files, Api], status: int, error: type[Exception]
) -> None:
    server.answers["/f/a.md"] = web.Response(status=status, headers={"Retry-After": "2"})
    with pytest.raises(error):
        await files[0].download(attached(f"{server.origin}/f/a.md"))


@pytest.mark.parametrize("name", ["setup.exe", "all.ZIP", "x.tar.gz", "lib.so"])
async def test_programs_and_archives_are_refused_unseen(
    server: Server, files: tuple[Files, Api], name: str
) -> None:
    with pytest.raises(AttachmentRefused, match="not taken"):
        await files[0].download(attached(f"{server.origin}/f/a.md", name=name))
    assert server.asked == []


async def test_a_file_that_slack_connect_only_names_is_looked_up(
    server: Server, files: tuple[Files, Api]
) -> None:
    server.answers["/f/a.md"] = web.Response(body=b"abc")
    files[1].file = {"id": "F1", "name": "a.md", "url_private": f"{server.origin}/f/a.md", "size": 3}
    assert await files[0].download(attached("", access="check_file_info")) == b"abc"
    files[1].file = {"id": "F1", "name": "evil.exe", "url_private": f"{server.origin}/f/a.md"}
    with pytest.raises(AttachmentRefused, match="not taken"):
        await files[0].download(attached("", access="check_file_info"))
    files[1].file = SlackRefused("gone", code="file_not_found")
    with pytest.raises(AttachmentRefused, match="not there any more"):
        await files[0].download(attached("", access="check_file_info"))


@pytest.mark.parametrize(
    ("mode", "said"), [("external", "another service"), ("tombstone", "not there any more")]
)
async def test_links_and_tombstones_are_no_files(files: tuple[Files, Api], mode: str, said: str) -> None:
    with pytest.raises(AttachmentRefused, match=said):
        await files[0].download(attached("https://files.slack.com/x", mode=mode))


@pytest.mark.parametrize("locator", ["", "nonsense", "[]", "3"])
async def test_a_locator_that_is_not_ours_is_refused(files: tuple[Files, Api], locator: str) -> None:
    broken = attached("").model_copy(update={"locator": locator})
    with pytest.raises(AttachmentRefused):
        await files[0].download(broken)


def test_pictures_are_said_to_be_unread() -> None:
    assert unread((attached(""),)) == ""
    assert "a.png" in unread((attached("", name="a.png", media_type="image/png"),))
