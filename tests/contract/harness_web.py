"""The web page for the adapter suite: browsers without scripts, that read what the server sends.

Each person signs in under a name and keeps a cookie. Forms are sent as they stand in the page, with
all their hidden fields. That the same arrives with scripts is shown with Chromium in
`tests/integration/test_web_page.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import ClassVar, Self

import httpx2
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from adapters.contract import CardId, CardKind, ChatAdapter, ConversationRef, Form
from adapters.web.adapter import WebAdapter
from adapters.web.guard import KeyGiven
from tests.contract.adapter_harness import RecordingInbound
from tests.html_tree import Element, executables, read_html

BASE = "http://127.0.0.1:8080"
Files = Sequence[tuple[str, str, bytes]]


class OneKey:
    """Signs in whoever knows the word."""

    stamp = "1"

    async def is_needed(self) -> bool:
        return True

    async def check(self, key: str) -> KeyGiven | str | None:
        return KeyGiven(self.stamp) if key == "sesame" else None

    async def counts(self, stamp: str) -> bool:
        return stamp == self.stamp


class WebHarness:
    """One server, each person with a browser of their own."""

    name: ClassVar[str] = "web"
    column: ClassVar[str] = "Web page"
    remembers: ClassVar[bool] = True
    replaces: ClassVar[frozenset[CardKind]] = frozenset({"status", "approval", "answer", "error", "reply"})
    people_apart: ClassVar[bool] = True
    sent_stays: ClassVar[str] = (
        "On the page what was sent stays as it was sent: nothing there is edited, deleted or reacted to. "
        "A turn that waits in the queue has a Stop button"
    )
    nowhere: ClassVar[str] = "no-such-conversation"
    crops: ClassVar[bool] = False
    commands_in_channel: ClassVar[bool] = False
    in_a_row: ClassVar[int] = 20
    _adapter: WebAdapter

    def __init__(self) -> None:
        self._inbound = RecordingInbound()
        self._conversation = ConversationRef(
            platform="web", workspace="local", channel="general", thread="c1"
        )
        self._folder = TemporaryDirectory()
        self._app = Starlette()
        self._browsers: dict[str, httpx2.AsyncClient] = {}
        self._forms: dict[str, Element] = {}  # by person: the form that stands open
        self._last: tuple[str, dict[str, str], Files] = ("", {}, ())

    @property
    def adapter(self) -> ChatAdapter:
        return self._adapter

    @property
    def inbound(self) -> RecordingInbound:
        return self._inbound

    @property
    def conversation(self) -> ConversationRef:
        return self._conversation

    async def __aenter__(self) -> Self:
        await self._start()
        await self._adapter.open_conversation(self._conversation, title="The suite")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for browser in self._browsers.values():
            await browser.aclose()
        await self._adapter.stop()
        self._folder.cleanup()

    async def _start(self) -> None:
        self._adapter = WebAdapter(Path(self._folder.name), sign_in=OneKey())
        await self._adapter.start(self._inbound)
        self._app = Starlette(routes=list(self._adapter.routes()))

    async def restart(self) -> None:
        await self._adapter.stop()
        await self._start()

    # ── what people do ──

    async def person_posts(self, text: str, *, person: str = "ada", files: Files = ()) -> None:
        composer = (await self._page(person)).one("form", id="composer")
        fields = form_fields(composer) | {"text": text}
        self._last = (person, fields, files)
        await self._send_message(person, fields, files)

    async def person_posts_again(self) -> None:
        await self._send_message(*self._last)

    async def person_types_command(self, text: str) -> None:
        await self.person_posts(f"/quartet {text}")

    async def person_clicks(self, card_id: CardId, action: str, *, person: str = "ada") -> None:
        card = (await self._page(person)).one("article", data_card=card_id)
        (button,) = [one for one in card.all("button") if one.attributes["value"].split()[0] == action]
        fields = form_fields(card.one("form")) | {"press": button.attributes["value"]}
        await self._send(person, card.one("form").attributes["action"], fields)

    async def person_fills(self, form: Form, values: Mapping[str, str]) -> None:
        shown = self._forms["ada"]
        fields = form_fields(shown)
        assert fields["form_id"] == form.id
        for name, value in values.items():
            assert f"field.{name}" in fields
            fields[f"field.{name}"] = value
        await self._send("ada", shown.attributes["action"], fields)

    async def _send_message(self, person: str, fields: dict[str, str], files: Files) -> None:
        path = f"{self._adapter.address(self._conversation)}/messages"
        sent = [("files", (name, content, kind)) for name, kind, content in files]
        none = [("files", ("", b"", "application/octet-stream"))]  # a browser's empty file field
        answer = await (await self._browser(person)).post(path, data=fields, files=sent or none)
        assert answer.status_code == 303, answer.text

    async def _send(self, person: str, path: str, fields: dict[str, str]) -> None:
        answer = await (await self._browser(person)).post(path, data=fields)
        self._forms.pop(person, None)
        if answer.status_code != 303:
            assert answer.status_code in (200, 422), answer.text
            self._forms[person] = read_html(answer.text).one("section", id="form").one("form")

    # ── what people see ──

    async def visible_text(self, *, person: str = "ada") -> str:
        page = await self._page(person)
        texts = [page.one("main").text()]
        if person in self._forms:
            texts.append(self._forms[person].text())
        for link in page.all("a", class_="download"):
            texts.append((await (await self._browser(person)).get(link.attributes["href"])).text)
        return "\n".join(texts)

    async def visible_cards(self) -> list[str]:
        articles = (await self._page("ada")).all("article")
        return [one.attributes["data-card"] for one in articles if "data-card" in one.attributes]

    async def executed(self) -> list[str]:
        shown = executables(await self._page("ada"))
        return shown + (executables(self._forms["ada"]) if "ada" in self._forms else [])

    async def _page(self, person: str) -> Element:
        answer = await (await self._browser(person)).get(self._adapter.address(self._conversation))
        assert answer.status_code == 200, answer.text
        return read_html(answer.text)

    async def _browser(self, person: str) -> httpx2.AsyncClient:
        if person not in self._browsers:
            browser = httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=self._serve),
                base_url=BASE,
                headers={"origin": BASE, "sec-fetch-site": "same-origin", "accept": "text/html"},
            )
            self._browsers[person] = browser
            signed = await browser.post("/sign-in", data={"name": person.capitalize(), "key": "sesame"})
            assert signed.status_code == 303
            cookie = signed.headers["set-cookie"]
            assert re.search(r"HttpOnly.*SameSite=strict", cookie, re.IGNORECASE)
        return self._browsers[person]

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def form_fields(form: Element) -> dict[str, str]:
    """The fields of a form as a browser would send them."""
    fields: dict[str, str] = {}
    for element in form.walk():
        name = element.attributes.get("name", "")
        if not name or element.attributes.get("type") == "file":
            continue
        if element.tag == "input":
            fields[name] = element.attributes.get("value", "")
        elif element.tag == "textarea":
            text = "".join(child for child in element.children if isinstance(child, str))
            fields[name] = text.removeprefix("\n").replace("\n", "\r\n")
        elif element.tag == "select":
            fields[name] = ""
    return fields
