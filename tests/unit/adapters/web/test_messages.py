"""What was said is kept: handed in once it can be, in order, never twice; nothing is lost on the way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from adapters.contract import (
    Attachment,
    Button,
    Card,
    CardId,
    Click,
    ConversationRef,
    MarkdownPart,
    MessageRef,
    Person,
    Receipt,
    Turn,
)
from adapters.errors import AttachmentRefused, ConversationGone, MessageGone, PlatformDown
from adapters.web.adapter import WebAdapter
from adapters.web.asides import Asides
from adapters.web.database import web_database
from adapters.web.messages import Messages, first_words, slug_of
from tests.contract.adapter_harness import RecordingInbound
from tests.html_tree import read_html

HERE = ConversationRef(platform="web", workspace="local", channel="general", thread="c1")
ADA = Person(platform="web", id="ada", name="Ada")
BEN = Person(platform="web", id="ben", name="Ben")


def card(status: str = "working", card_id: str = "r:status") -> Card:
    return Card(id=CardId(card_id), kind="status", title="T", status=status)


@pytest.fixture
async def messages(tmp_path: Path) -> AsyncIterator[Messages]:
    database = web_database(tmp_path)
    await database.open()
    yield Messages(database)
    await database.close()


async def test_a_page_that_was_away_gets_each_change_once(messages: Messages) -> None:
    await messages.say(HERE, ADA, "hello", nonce="nonce-1", options={})
    message_id, _ = await messages.post(HERE, card(), "n")
    seen = (await messages.latest(HERE, ADA, 10)).version
    await messages.edit(HERE, message_id, card("one"))
    await messages.edit(HERE, message_id, card("two"))
    other, _ = await messages.post(HERE, card(card_id="r:answer"), "n")
    page = await messages.since(HERE, ADA, seen)
    assert [(one.id, one.card.status if one.card else "") for one in page.said] == [
        (message_id, "two"),
        (other, "working"),
    ]
    assert (await messages.since(HERE, ADA, page.version)).said == ()


async def test_a_page_that_was_away_for_long_gets_all_changes_in_order(messages: Messages) -> None:
    await messages.open_conversation(HERE, "Long")
    posted = [(await messages.post(HERE, card(card_id=f"r{n}:status"), "n"))[0] for n in range(620)]
    got: list[str] = []
    seen, more, pages = 0, True, 0
    while more:
        page = await messages.since(HERE, ADA, seen)
        got += [one.id for one in page.said]
        seen, more, pages = page.version, page.more, pages + 1
    assert got == posted
    assert pages == 2


async def test_a_notice_is_not_told_before_what_changed_earlier(messages: Messages, tmp_path: Path) -> None:
    database = web_database(tmp_path)
    await database.open()
    await messages.open_conversation(HERE, "Long")
    for n in range(501):
        await messages.post(HERE, card(card_id=f"r{n}:status"), "n")
    await Asides(database).note(HERE, ADA, "Only you see this.")
    first = await messages.since(HERE, ADA, 0)
    assert (first.more, first.notices) == (True, ())
    second = await messages.since(HERE, ADA, first.version)
    assert [notice.text for notice in second.notices] == ["Only you see this."]
    assert not (await messages.since(HERE, ADA, second.version)).notices
    await database.close()


async def test_the_same_form_twice_is_one_message(messages: Messages) -> None:
    slugs = await asyncio.gather(
        *(messages.say(HERE, ADA, "hello", nonce="nonce-1", options={}) for _ in range(5))
    )
    await messages.say(HERE, BEN, "hello", nonce="nonce-1", options={})
    assert set(slugs) == {"c1"}
    said = (await messages.latest(HERE, ADA, 10)).said
    assert [one.person.id for one in said if one.person] == ["ada", "ben"]


async def test_one_failing_write_undoes_none_of_those_it_was_committed_with(tmp_path: Path) -> None:
    database = web_database(tmp_path)
    await database.open()

    def wrong(db: sqlite3.Connection) -> None:
        db.execute("UPDATE counter SET version = 99")
        raise LookupError("no")

    def right(db: sqlite3.Connection) -> int:
        return db.execute("UPDATE counter SET version = version + 1").rowcount

    outcomes = await asyncio.gather(
        database.write(right), database.write(wrong), database.write(right), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [int, LookupError, int]
    version = await database.read(lambda db: db.execute("SELECT version FROM counter").fetchone()[0])
    assert version == 2
    await database.close()
    with pytest.raises(PlatformDown):
        await database.write(right)


async def test_the_list_shows_the_latest_status_newest_first(messages: Messages) -> None:
    other = HERE.model_copy(update={"thread": "c2"})
    await messages.open_conversation(HERE, "Write a guide")
    await messages.open_conversation(other, "Another")
    first, changed = await messages.post(HERE, card("working"), "n")
    assert changed
    _, changed = await messages.post(HERE, card("waiting", "r2:status"), "n")
    assert changed
    assert not await messages.edit(HERE, first, card("completed"))  # an older run's card says nothing
    assert [(one.title, one.status) for one in await messages.listing()] == [
        ("Another", ""),
        ("Write a guide", "waiting"),
    ]


async def test_what_is_not_there_is_gone(messages: Messages) -> None:
    with pytest.raises(ConversationGone):
        await messages.post(HERE, card(), "n")
    await messages.say(HERE, ADA, "hello", nonce="nonce-1", options={})
    mine = (await messages.latest(HERE, ADA, 1)).said[0].id
    for message_id in ("nowhere", mine):
        with pytest.raises(MessageGone):
            await messages.edit(HERE, message_id, card())


async def test_halves_of_characters_do_not_lose_a_card(messages: Messages) -> None:
    await messages.open_conversation(HERE, "half \ud800 title")
    half = Card(
        id=CardId("r:a"), kind="answer", title="x\ud83d", parts=(MarkdownPart(text="a\udfffb \\ud800 é😀"),)
    )
    await messages.post(HERE, half, "n")
    kept = (await messages.latest(HERE, ADA, 1)).said[0].card
    assert kept is not None
    assert kept.title == "x"
    assert "b" in str(kept.parts)
    assert "é😀" in str(kept.parts)


def test_slugs_are_harmless_and_differ() -> None:
    refs = [
        HERE.model_copy(update={"thread": thread})
        for thread in ("a", "a/b", "a b", "..", ".", "", "ü", "x" * 65, "x-1", "a?b", "a#b", "a%2fb")
    ]
    refs += [HERE.model_copy(update={"channel": "other"}), HERE]
    slugs = [slug_of(ref) for ref in refs]
    assert len(set(slugs)) == len(slugs)
    assert all(slug.strip(".") and slug.isascii() and not set("/?#% ") & set(slug) for slug in slugs)


def test_titles_are_the_first_words() -> None:
    assert first_words("  Write\n a   guide ") == "Write a guide"
    assert first_words("word " * 100) == "word " * 11 + "word…"
    assert first_words("w" * 100) == "w" * 60 + "…"
    assert first_words(" \n") == "Untitled"


class Flaky(RecordingInbound):
    """Fails as often as it is told, before it takes anything."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def turn(self, turn: Turn) -> Receipt:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the store is away")
        return await super().turn(turn)


async def _post(adapter: WebAdapter, *texts: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=Starlette(routes=list(adapter.routes())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for text in texts:
            await client.post("/c/c1/messages", data={"text": text})
        return await client.get("/c/c1")


async def test_what_the_bot_could_not_take_is_handed_in_again_in_order(tmp_path: Path) -> None:
    bot = Flaky(failures=2)
    adapter = WebAdapter(tmp_path)
    await adapter.start(bot)
    await adapter.open_conversation(HERE, title="The suite")
    page = await _post(adapter, "first", "second")
    assert "Your message is kept." in page.text
    await bot.until(turns=2)
    assert [turn.text for turn in bot.turns] == ["first", "second"]
    await adapter.stop()


async def test_what_was_not_taken_is_handed_in_at_the_next_start_with_its_key(tmp_path: Path) -> None:
    down = Flaky(failures=10**6)
    adapter = WebAdapter(tmp_path)
    await adapter.start(down)
    await adapter.open_conversation(HERE, title="The suite")
    await _post(adapter, "first", "/quartet runs", "second")
    await adapter.stop()

    bot = RecordingInbound()
    bot.answer_commands.append(Receipt(accepted=True, text="No runs."))
    adapter = WebAdapter(tmp_path)
    await adapter.start(bot)
    assert [turn.text for turn in bot.turns] == ["first", "second"]
    page = read_html((await _post(adapter)).text)
    assert {turn.key for turn in bot.turns} <= {one.attributes["id"] for one in page.all("article")}
    assert "No runs." in page.one("article", class_="reply").text()
    await adapter.stop()

    once = RecordingInbound()
    adapter = WebAdapter(tmp_path)
    await adapter.start(once)
    assert once.turns == []
    await adapter.stop()


async def test_a_failing_file_ends_neither_the_retries_nor_the_start_nor_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = ["undelivered_conversations", "undelivered", "delivered"]

    def broken(name: str) -> None:
        works = getattr(Messages, name)

        async def first_fails(self: Messages, *given: object) -> object:
            if name in failing:
                failing.remove(name)
                raise sqlite3.OperationalError("disk I/O error")
            return await works(self, *given)

        monkeypatch.setattr(Messages, name, first_fails)

    bot = RecordingInbound()
    bot.answer_turns.extend(Receipt(accepted=True, text=f"taken {n}") for n in range(9))
    adapter = WebAdapter(tmp_path)
    for name in tuple(failing):
        broken(name)
    await adapter.start(bot)
    await adapter.open_conversation(HERE, title="The suite")
    assert (await _post(adapter, "first")).status_code == 200
    await bot.until(turns=2)  # taken, but not noted as such; so once more under its key
    assert failing == []
    assert len({turn.key for turn in bot.turns}) == 1
    await adapter.stop()


async def test_a_click_that_the_bot_cannot_take_is_answered_503(tmp_path: Path) -> None:
    class Broken(RecordingInbound):
        async def click(self, click: Click) -> Receipt:
            raise RuntimeError("database is locked")

    adapter = WebAdapter(tmp_path)
    await adapter.start(Broken())
    await adapter.open_conversation(HERE, title="The suite")
    button = Button(action="stop", target="r1", label="Stop")
    ref = await adapter.post(HERE, card().model_copy(update={"buttons": (button,)}), nonce="n")
    transport = httpx2.ASGITransport(app=Starlette(routes=list(adapter.routes())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        pressed = {"press": "stop r1", "message": ref.message_id}
        answer = await client.post("/c/c1/click", data=pressed)
    assert answer.status_code == 503
    assert "Try again in a moment" in answer.text
    assert "locked" not in answer.text
    await adapter.stop()


async def test_files_that_are_gone_or_made_up_are_refused(tmp_path: Path) -> None:
    adapter = WebAdapter(tmp_path)
    await adapter.start(RecordingInbound())
    for locator in ("", "../web.db", "0" * 24, "/etc/passwd"):
        with pytest.raises(AttachmentRefused):
            await adapter.download(Attachment(id="x", name="n", media_type="a/b", size=1, locator=locator))
    await adapter.stop()


async def test_a_conversation_from_elsewhere_is_listed_with_what_was_said(tmp_path: Path) -> None:
    adapter = WebAdapter(tmp_path)
    bot = RecordingInbound()
    await adapter.start(bot)
    there = HERE.model_copy(update={"thread": "api/7 ?"})
    for _ in range(2):
        await adapter.open_conversation(
            there, title="From the API", person=ADA, text="hello there", key="turn-1"
        )
    ref = await adapter.post(there, card(), nonce="n")
    assert await adapter.find(there, CardId("r:status")) == ref
    transport = httpx2.ASGITransport(app=Starlette(routes=list(adapter.routes())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        listed = read_html((await client.get("/")).text).one("div", id="listing").one("a")
        page = read_html((await client.get(listed.attributes["href"])).text)
    assert len(page.all("article")) == 2
    assert "hello there" in page.one("article", class_="turn").text()
    assert bot.turns == []  # the bot already has it
    nowhere = MessageRef(conversation=HERE, message_id="c1")
    with pytest.raises(ConversationGone):
        await adapter.edit(nowhere, card())
    await adapter.stop()
