"""The page, for the shared journeys: three browsers without scripts, signed in at the real server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import httpx2

from tests.contract.harness_web import WebHarness, form_fields
from tests.html_tree import Element, read_html
from tests.journey.bot_process import WITHIN_S, Bot
from tests.journey.desks import DECIDERS, ONE_OF_EACH, Desk, Files, Talk

KEY = "sesame-opens-the-page"
NO_DELETING = WebHarness.sent_stays


class WebTalk(Talk):
    """One conversation's page in every browser."""

    desk: WebDesk

    def __init__(self, desk: WebDesk, path: str) -> None:
        super().__init__(desk)
        self.path = path
        self.key = f"web:local:general:{path.removeprefix('/c/')}"
        self._form: Element | None = None  # that stands open at ada's

    async def says(self, text: str, *, files: Files = ()) -> None:
        await self.desk.writes(self.path, text, files)

    async def takes_back(self) -> None:
        raise AssertionError(NO_DELETING)

    async def presses(self, label: str, *, by: Sequence[str] = ("ada",)) -> None:
        async def there() -> bool:
            return any(_labels(form, label) for form in await self._buttons(by[0]))

        await self.until(there, f"the button {label}", by=by[0])
        seen = [
            [(form, button) for form in await self._buttons(name) for button in _labels(form, label)][-1]
            for name in by
        ]  # all of them look at the same card before the first one presses
        await asyncio.gather(*(self._presses(*one, name) for one, name in zip(seen, by, strict=True)))

    async def _presses(self, form: Element, button: Element, by: str) -> None:
        fields = form_fields(form) | {"press": button.attributes["value"]}
        await self._sends(form.attributes["action"], fields, by)

    async def fills(self, values: Mapping[str, str]) -> None:
        assert self._form is not None, "no form stands open"
        named = {f"field.{name}": value for name, value in values.items()}
        assert set(named) <= set(form_fields(self._form))
        await self._sends(self._form.attributes["action"], form_fields(self._form) | named, "ada")

    async def commands(self, words: str) -> None:
        await self.desk.writes(self.path, f"/quartet {words}")

    async def rates(self, *, good: bool) -> None:
        await self.presses("Good answer" if good else "Bad answer")

    async def screen(self, *, by: str = "ada") -> str:
        page = await self.desk.page(self.path, by)
        texts = [page.one("main").text()]
        if by == "ada" and self._form is not None:
            texts.append(self._form.text())
        for link in page.all("a", class_="download"):
            texts.append(await self.desk.reads(link.attributes["href"], by))
        return "\n".join(texts)

    async def cards(self) -> Counter[str]:
        page = await self.desk.page(self.path, "ada")
        ids = [one.attributes.get("data-card", "").split(":") for one in page.all("article")]
        return Counter(parts[1] for parts in ids if parts[1:2] and parts[1] in ONE_OF_EACH)

    async def _buttons(self, by: str) -> list[Element]:
        return (await self.desk.page(self.path, by)).all("form", class_="buttons")

    async def _sends(self, action: str, fields: dict[str, str], by: str) -> None:
        answer = await self.desk.browsers[by].post(action, data=fields)
        form = None
        if answer.status_code == 409:  # somebody else was quicker, and the card has changed already
            assert "the card shows what happened" in answer.text, answer.text
        elif answer.status_code != 303:
            assert answer.status_code in (200, 422), answer.text
            form = read_html(answer.text).one("section", id="form").one("form")
        if by == "ada":
            self._form = form


class WebDesk(Desk):
    """The bot's own page, with a key, so that people are told apart."""

    column: ClassVar[str] = "Web page"
    cannot: ClassVar[Mapping[str, str]] = {
        "a_message_that_waits_is_withdrawn_by_deleting_it": NO_DELETING,
    }
    bot: Bot

    async def open(self) -> None:
        env = self.settle([f"web:{name}" for name in DECIDERS])
        self.bot = Bot(self.folder, {**env, "API_KEY": KEY})
        self.browsers: dict[str, httpx2.AsyncClient] = {}
        try:
            await self.start()
            for name in ("ada", "bob", "cem"):
                self.browsers[name] = await self._signed_in(name)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        for browser in self.browsers.values():
            await browser.aclose()
        await asyncio.to_thread(self.bot.kill)
        self.bot.client.close()

    async def begins(self, text: str, *, files: Files = ()) -> Talk:
        return WebTalk(self, await self.writes("", text, files))

    async def kill(self) -> None:
        await asyncio.to_thread(self.bot.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self.bot.start)

    def log(self) -> str:
        return self.bot.log.read_text(encoding="utf-8")

    async def writes(self, path: str, text: str, files: Files = ()) -> str:
        """Ada sends the writing field of a conversation ("": a new one); returns the conversation's path."""
        composer = (await self.page(path or "/", "ada")).one("form", id="composer")
        sent = [("files", (name, content, kind)) for name, kind, content in files]
        none = [("files", ("", b"", "application/octet-stream"))]  # a browser's empty file field
        answer = await self.browsers["ada"].post(
            composer.attributes["action"], data=form_fields(composer) | {"text": text}, files=sent or none
        )
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"]).split("#")[0].split("?")[0]

    async def page(self, path: str, by: str) -> Element:
        """A page as it is sent to somebody."""
        return read_html(await self.reads(path, by))

    async def reads(self, path: str, by: str) -> str:
        """What is at a path, for somebody."""
        answer = await self.browsers[by].get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def _signed_in(self, name: str) -> httpx2.AsyncClient:
        browser = httpx2.AsyncClient(
            base_url=self.bot.url,
            timeout=WITHIN_S,
            headers={"origin": self.bot.url, "sec-fetch-site": "same-origin", "accept": "text/html"},
        )
        signed = await browser.post("/sign-in", data={"name": name, "key": KEY})
        assert signed.status_code == 303, signed.text
        return browser


def _labels(form: Element, label: str) -> list[Element]:
    """The buttons of a card with this label."""
    return [button for button in form.all("button") if button.text().strip() == label]
