"""Who may come in, how much may come in, and what every answer carries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from adapters.contract import ConversationRef
from adapters.web.adapter import WebAdapter
from adapters.web.guard import FORM_BYTES, MESSAGE_BYTES, KeyGiven
from adapters.web.outbound import size_text
from tests.contract.adapter_harness import RecordingInbound
from tests.contract.harness_web import OneKey
from tests.html_tree import read_html

HERE = ConversationRef(platform="web", workspace="local", channel="general", thread="c1")


class Web:
    """The page without a network."""

    def __init__(self, home: Path, *, keyed: bool = False) -> None:
        self.bot = RecordingInbound()
        self.adapter = WebAdapter(
            home,
            base_url="https://quartet.example",
            allowed_origins=["http://localhost:3000"],
            sign_in=OneKey() if keyed else None,
        )
        self.app = Starlette(routes=list(self.adapter.routes()))
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app), base_url="http://127.0.0.1:8080"
        )


@pytest.fixture
async def web(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Web]:
    web = Web(tmp_path, keyed=getattr(request, "param", "") == "keyed")
    await web.adapter.start(web.bot)
    await web.adapter.open_conversation(HERE, title="The suite")
    async with web.client:
        yield web
    await web.adapter.stop()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[", "localhost.evil.example"]
)
async def test_a_strangers_name_for_this_server_is_refused(web: Web, host: str) -> None:
    for path in ("/", "/c/c1", "/c/c1/events", "/assets/chat/chat.js"):
        answer = await web.client.get(path, headers={"host": host})
        assert answer.status_code == 421
    assert "ORCHESTRATOR_BASE_URL" in answer.text


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9", "localhost", "[::1]:8080", "quartet.example", "QUARTET.example", "192.168.1.7:8080"],
)
async def test_our_own_names_are_let_in(web: Web, host: str) -> None:
    assert (await web.client.get("/", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:8080"}, True),
        ({"origin": "http://localhost:3000"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "http://evil.example", "sec-fetch-site": "same-origin"}, False),
    ],
)
async def test_other_sites_pages_may_not_post(web: Web, headers: dict[str, str], *, let_in: bool) -> None:
    for path in ("/c", "/c/c1/messages", "/c/c1/click", "/c/c1/form", "/c/c1/dismiss", "/sign-out"):
        answer = await web.client.post(path, data={"text": "hello"}, headers=headers)
        assert (answer.status_code == 403) is not let_in
    assert (web.bot.turns != []) is let_in


async def test_every_answer_carries_the_headers_that_keep_strangers_out(web: Web) -> None:
    await web.client.post(
        "/c/c1/messages", data={"text": "x"}, files=[("files", ("a.html", b"<b>", "text/html"))]
    )
    link = read_html((await web.client.get("/c/c1")).text).one("a", class_="download").attributes["href"]
    for path in ("/", "/c/c1", "/c/nowhere", "/assets/chat/chat.css", "/assets/chat/none", link, "/sign-in"):
        answer = await web.client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith(("default-src 'self'; base-uri 'none'", "default-src 'none'; sandbox"))
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "same-origin"
    upload = await web.client.get(link)
    assert upload.headers["content-disposition"] == "attachment; filename*=UTF-8''a.html"
    assert upload.content == b"<b>"


@pytest.mark.parametrize(
    "path",
    [
        "/c/nowhere",
        "/c/%00",
        "/c/c1/files/m1/x",
        "/c/c1/files/..%2f/web.db",
        "/c/c1/cards/x/files/0",
        "/c/nowhere/events",
        "/assets/chat/..%2fpages.py",
        "/c/%F0%9F%92%A9",
    ],
)
async def test_what_there_is_not_is_404(web: Web, path: str) -> None:
    assert (await web.client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/c"),
        ("GET", "/c/c1/click"),
        ("POST", "/"),
        ("DELETE", "/c/c1"),
        ("PUT", "/c/c1/messages"),
        ("POST", "/c/c1/events"),
    ],
)
async def test_a_wrong_method_is_405(web: Web, method: str, path: str) -> None:
    assert (await web.client.request(method, path)).status_code == 405


async def test_ten_megabytes_of_text_get_a_clear_answer(web: Web) -> None:
    text = "word " * 2_000_000
    for path in ("/c", "/c/c1/messages"):
        for sent in ({"files": [("files", ("", b"", "x/y"))]}, {}):
            answer = await web.client.post(path, data={"text": text}, **sent)  # pyright: ignore[reportArgumentType]
            assert answer.status_code == 413
            wrong = read_html(answer.text).one("p", id="composer-wrong").text()
            assert "Too long: at most 200,000 characters" in wrong
            assert len(answer.content) < 1_000_000
    scripted = await web.client.post(
        "/c/c1/messages", data={"text": text}, headers={"accept": "application/json"}
    )
    assert scripted.json()["wrong"].startswith("Too long: at most 200,000 characters")
    assert web.bot.turns == []


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_without_end_is_cut_off_while_it_arrives(web: Web, *, announced: bool) -> None:
    sent = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        while sent < 400_000_000:
            sent += 1_000_000
            yield b"x" * 1_000_000

    headers = {"content-type": "multipart/form-data; boundary=b"}
    if announced:
        headers["content-length"] = "400000000000"
    answer = await web.client.post("/c/c1/messages", content=flood(), headers=headers)
    assert answer.status_code == 413
    assert "Too large: at most 64 MB" in answer.text
    assert sent <= 260_000_000


async def test_forms_are_small(web: Web) -> None:
    answer = await web.client.post("/c/c1/click", data={"press": "x" * (FORM_BYTES + 1)})
    assert answer.status_code == 413
    assert MESSAGE_BYTES > FORM_BYTES


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"--b\r\n", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", b"a" * 1000],
)
@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "application/json",
        "",
    ],
)
async def test_broken_forms_are_refused_and_break_nothing(web: Web, body: bytes, kind: str) -> None:
    for path in ("/c", "/c/c1/messages", "/c/c1/click", "/c/c1/form", "/c/c1/dismiss"):
        answer = await web.client.post(path, content=body, headers={"content-type": kind})
        assert answer.status_code in (400, 404, 413, 422)
    assert web.bot.turns == web.bot.clicks == web.bot.forms == []


async def test_too_many_files_are_named(web: Web) -> None:
    for many in (11, 200):
        files = [("files", (f"{i}.txt", b"x", "text/plain")) for i in range(many)]
        answer = await web.client.post("/c/c1/messages", data={"text": "x"}, files=files)
        assert answer.status_code == 413
        assert "Too many files: at most 10 with one message" in answer.text


@pytest.mark.parametrize("web", ["keyed"], indirect=True)
async def test_with_a_key_nothing_is_shown_to_who_has_not_signed_in(web: Web) -> None:
    for path in ("/", "/c/c1", "/c/nowhere", "/c/c1/files/a/b"):
        answer = await web.client.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=/")
    assert (await web.client.get("/c/c1/events")).status_code == 401
    assert (await web.client.post("/c/c1/messages", data={"text": "x"})).status_code == 401
    web.client.cookies.set("quartet_person", "guessed")
    assert (await web.client.post("/c/c1/messages", data={"text": "x"})).status_code == 401
    assert web.bot.turns == []


@pytest.mark.parametrize("web", ["keyed"], indirect=True)
@pytest.mark.parametrize(
    "onward", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "/\n/evil"]
)
async def test_signing_in_leads_to_no_other_site(web: Web, onward: str) -> None:
    given = {"name": "Ada", "key": "sesame", "next": onward}
    answer = await web.client.post("/sign-in", data=given)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("web", ["keyed"], indirect=True)
async def test_guessing_keys_is_slowed_down_and_never_echoed(web: Web) -> None:
    for _ in range(10):
        answer = await web.client.post("/sign-in", data={"name": "Eve", "key": "guess-guess"})
        assert answer.status_code == 401
        assert "guess-guess" not in answer.text
    answer = await web.client.post("/sign-in", data={"name": "Eve", "key": "sesame"})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    elsewhere = httpx2.ASGITransport(app=web.app, client=("203.0.113.9", 4711))
    async with httpx2.AsyncClient(transport=elsewhere, base_url="http://127.0.0.1:8080") as other:
        answer = await other.post("/sign-in", data={"name": "Ada", "key": "sesame"})
    assert answer.status_code == 303


async def test_a_changed_key_ends_what_was_signed_in_with_the_old_one(tmp_path: Path) -> None:
    key = OneKey()
    adapter = WebAdapter(tmp_path, sign_in=key)
    await adapter.start(RecordingInbound())
    transport = httpx2.ASGITransport(app=Starlette(routes=list(adapter.routes())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.post("/sign-in", data={"name": "Ada", "key": "sesame"})
        assert (await client.get("/")).status_code == 200
        key.stamp = "2"
        assert (await client.get("/")).status_code == 303
        key.stamp = "1"
        await client.post("/sign-out")
        assert (await client.get("/")).status_code == 303
    await adapter.stop()


class TwoKeys(OneKey):
    """A key for all, one with a name, and one that may not be used here."""

    needed = True

    async def is_needed(self) -> bool:
        return self.needed

    async def check(self, key: str) -> KeyGiven | str | None:
        if key == "qk_ada":
            return KeyGiven(self.stamp, "ada", is_admin=False)
        return "It has expired." if key == "qk_old" else await super().check(key)


async def test_who_signs_in_with_a_named_key_is_called_so_whatever_they_write(tmp_path: Path) -> None:
    key, bot = TwoKeys(), RecordingInbound()
    adapter = WebAdapter(tmp_path, sign_in=key)
    await adapter.start(bot)
    for given, name in (("qk_ada", "Boss"), ("sesame", "key.ada"), ("sesame", "ada")):
        transport = httpx2.ASGITransport(app=Starlette(routes=list(adapter.routes())))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.post("/sign-in", data={"name": name, "key": given})
            await client.post("/c", data={"text": "hello"})
    people = [(turn.person.key, turn.person.name, turn.person.is_admin) for turn in bot.turns]
    assert people == [
        ("api:ada", "ada", False),  # as over HTTP
        ("web:key-ada", "key.ada", True),  # nobody can call themselves a key
        ("web:ada", "ada", True),
    ]
    await adapter.stop()


async def test_a_key_of_ours_that_does_not_let_in_is_told_why_and_is_no_guess(tmp_path: Path) -> None:
    adapter = WebAdapter(tmp_path, sign_in=TwoKeys())
    await adapter.start(RecordingInbound())
    transport = httpx2.ASGITransport(app=Starlette(routes=list(adapter.routes())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for _ in range(30):
            answer = await client.post("/sign-in", data={"name": "Ada", "key": "qk_old"})
            assert (answer.status_code, "It has expired." in answer.text) == (403, True)
        assert (await client.post("/sign-in", data={"name": "", "key": "sesame"})).status_code == 422
        assert (await client.post("/sign-in", data={"name": "Ada", "key": "sesame"})).status_code == 303
    await adapter.stop()


async def test_the_page_asks_from_the_moment_there_is_a_key(tmp_path: Path) -> None:
    key = TwoKeys()
    key.needed = False
    adapter = WebAdapter(tmp_path, sign_in=key)
    await adapter.start(RecordingInbound())
    transport = httpx2.ASGITransport(app=Starlette(routes=list(adapter.routes())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/sign-in")).headers["location"] == "/"
        key.needed = True
        assert (await client.get("/")).status_code == 303
        assert (await client.post("/c", data={"text": "hello"})).status_code in (303, 401)
    await adapter.stop()


def test_sizes_read_well() -> None:
    assert [size_text(n) for n in (12, 1500, 2_500_000)] == ["12 bytes", "2 kB", "2.5 MB"]
