"""Files of people: from Discord's hosts alone, anew where an address has ended, and never too much."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from aiohttp import web

from adapters.contract import Attachment
from adapters.discord.files import Files
from adapters.discord.ports import Upload
from adapters.errors import AttachmentRefused, MessageGone, NotAllowed, PlatformDown, RateLimited
from adapters.urgency import Urgency

LIMIT = 100_000


class Server:
    """Answers each path as scripted; keeps what was asked with which headers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.authorized: list[str] = []
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.origin = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.authorized += [value for name, value in request.headers.items() if name == "Authorization"]
        if request.path == "/endless":
            endless = web.StreamResponse()
            await endless.prepare(request)
            for _ in range(10):
                await endless.write(b"x" * 20_000)
            return endless
        status, body, headers = self.answers.get(request.path, (404, b"", {}))
        return web.Response(status=status, body=body, headers=headers)


class Api:
    """The message that a file came with, as scripted."""

    def __init__(self) -> None:
        self.message: object = {}
        self.asked: list[str] = []

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        urgency: Urgency,
        query: Mapping[str, str] | None = None,
        files: Sequence[Upload] = (),
    ) -> Any:
        assert method == "GET"
        self.asked.append(path)
        if isinstance(self.message, Exception):
            raise self.message
        return self.message


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
def api() -> Api:
    return Api()


@pytest.fixture
async def files(server: Server, api: Api) -> AsyncIterator[Files]:
    files = Files(api, base_url=f"{server.origin}/api/v10", limit=LIMIT)
    yield files
    await files.close()


def attached(
    url: str, *, name: str = "a.md", media_type: str = "text/markdown", size: int = 3, **more: str
) -> Attachment:
    locator = json.dumps({"url": url, "channel": "11", "message": "12", **more})
    return Attachment(id="13", name=name, media_type=media_type, size=size, locator=locator)


async def test_a_file_is_fetched_without_any_token(server: Server, files: Files) -> None:
    server.answers["/cdn/a.md"] = (200, b"abc", {})
    assert await files.download(attached(f"{server.origin}/cdn/a.md?ex=1&is=2")) == b"abc"
    assert (server.asked, server.authorized) == (["/cdn/a.md"], [])


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a",
        "https://cdn.discordapp.com.example.com/a",
        "http://cdn.discordapp.com/a",
        "https://cdn.discordapp.com:8443/a",
        "https://user:pw@cdn.discordapp.com/a",
        "https://cdn.discordapp.com@example.com/a",
        "http://127.0.0.1:1/a",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "https://[bad/a",
        "",
    ],
)
async def test_nothing_is_fetched_from_elsewhere(server: Server, api: Api, files: Files, url: str) -> None:
    with pytest.raises(AttachmentRefused, match="does not lie with Discord"):
        await files.download(attached(url))
    assert (server.asked, api.asked) == ([], [])


async def test_a_redirect_leads_nowhere(server: Server, files: Files) -> None:
    server.answers["/a"] = (302, b"", {"Location": f"{server.origin}/b"})
    server.answers["/b"] = (200, b"abc", {})
    with pytest.raises(AttachmentRefused, match="does not lie with Discord"):
        await files.download(attached(f"{server.origin}/a"))
    assert server.asked == ["/a"]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_an_address_that_has_ended_is_asked_for_anew(
    server: Server, api: Api, files: Files, status: int
) -> None:
    server.answers["/old"] = (status, b"", {})
    server.answers["/new"] = (200, b"abc", {})
    api.message = {"attachments": [{"id": "99", "url": "x"}, {"id": "13", "url": f"{server.origin}/new"}]}
    assert await files.download(attached(f"{server.origin}/old")) == b"abc"
    assert api.asked == ["/channels/11/messages/12"]


async def test_a_forwarded_file_is_found_anew_too(server: Server, api: Api, files: Files) -> None:
    server.answers["/new"] = (200, b"abc", {})
    forwarded = {"message": {"attachments": [{"id": "13", "url": f"{server.origin}/new"}]}}
    api.message = {"attachments": [], "message_snapshots": [forwarded]}
    assert await files.download(attached(f"{server.origin}/old")) == b"abc"


@pytest.mark.parametrize(
    "message",
    [
        {},
        [],
        None,
        {"attachments": "x"},
        {"attachments": [{"id": "14"}]},
        MessageGone("gone"),
        NotAllowed("no"),
    ],
)
async def test_a_file_that_is_gone_is_refused(
    server: Server, api: Api, files: Files, message: object
) -> None:
    api.message = message
    with pytest.raises(AttachmentRefused, match=r"send it again|cannot be opened"):
        await files.download(attached(f"{server.origin}/old"))


async def test_an_address_that_is_dead_twice_is_asked_for_once(
    server: Server, api: Api, files: Files
) -> None:
    api.message = {"attachments": [{"id": "13", "url": f"{server.origin}/also-dead"}]}
    with pytest.raises(AttachmentRefused, match="not there any more"):
        await files.download(attached(f"{server.origin}/old"))
    assert server.asked == ["/old", "/also-dead"]


async def test_a_fresh_address_elsewhere_is_not_followed(server: Server, api: Api, files: Files) -> None:
    api.message = {"attachments": [{"id": "13", "url": "http://127.0.0.1:1/a"}]}
    with pytest.raises(AttachmentRefused, match="does not lie with Discord"):
        await files.download(attached(f"{server.origin}/old"))


@pytest.mark.parametrize(
    ("status", "expected"), [(500, PlatformDown), (503, PlatformDown), (429, RateLimited)]
)
async def test_what_may_pass_is_no_refusal(
    server: Server, files: Files, status: int, expected: type[Exception]
) -> None:
    server.answers["/a"] = (status, b"", {"Retry-After": "nonsense"})
    with pytest.raises(expected):
        await files.download(attached(f"{server.origin}/a"))


async def test_discord_being_down_is_no_refusal(api: Api, server: Server, files: Files) -> None:
    api.message = PlatformDown("away")
    with pytest.raises(PlatformDown):
        await files.download(attached(f"{server.origin}/old"))


async def test_too_large_is_refused_by_what_is_said_and_by_what_comes(server: Server, files: Files) -> None:
    with pytest.raises(AttachmentRefused, match="too large"):
        await files.download(attached(f"{server.origin}/a", size=LIMIT + 1))
    assert server.asked == []
    server.answers["/a"] = (200, b"x" * (LIMIT + 1), {})
    for path in ("/a", "/endless"):
        with pytest.raises(AttachmentRefused, match="too large"):
            await files.download(attached(f"{server.origin}{path}"))


@pytest.mark.parametrize("name", ["a.exe", "a.ZIP", "a.tar.gz"])
async def test_programs_and_archives_are_refused_before_anything_is_fetched(
    server: Server, files: Files, name: str
) -> None:
    with pytest.raises(AttachmentRefused, match="programs or archives"):
        await files.download(attached(f"{server.origin}/a", name=name))
    assert server.asked == []


@pytest.mark.parametrize("locator", ["", "[]", "{", '"x"', '{"url": 5}', '{"channel": "../x"}'])
async def test_a_locator_that_is_none_is_refused(files: Files, locator: str) -> None:
    given = Attachment(id="13", name="a.md", media_type="text/plain", size=1, locator=locator)
    with pytest.raises(AttachmentRefused):
        await files.download(given)


async def test_an_id_that_is_none_never_stands_in_a_path(server: Server, api: Api, files: Files) -> None:
    with pytest.raises(AttachmentRefused):
        await files.download(attached(f"{server.origin}/old", channel="../../users/1"))
    assert api.asked == []
