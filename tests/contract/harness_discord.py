"""Discord for the adapter suite: a Discord on loopback with people at their clients, and the real discord.py.

What is visible is what the twin shows a person: texts as their client draws them, files opened, private
notes (beside what they did, or in a direct message), the form on the screen. Cards are told apart by the ids
of their containers, which no eye sees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, ClassVar, Self
from unittest.mock import patch

from simcord.backend import serializers

from adapters.contract import (
    Card,
    CardId,
    CardKind,
    ChatAdapter,
    ConversationRef,
    Form,
    MessageRef,
    Receipt,
)
from adapters.discord import client
from adapters.discord.adapter import DiscordAdapter
from adapters.discord.outbound import mark, marks_in
from tests.contract.adapter_harness import LIMIT_S, RecordingInbound, shows
from tests.twins.discord import DiscordTwin
from tests.twins.discord.people import Modal, Person, Seen

Files = Sequence[tuple[str, str, bytes]]

MOST_PARTS = 40  # messages that a card of the suite may take
_INVISIBLE = "\u2060"  # a word joiner: no eye sees it
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_DRAWN = re.compile(
    r"""
    ```(?:\w*\n)?(?P<block>.*?)```
    | (?P<ticks>`+)(?P<code>.+?)(?P=ticks)(?!`)
    | \\(?P<escaped>[^\w\s])
    | \[(?P<label>(?:\\.|[^\]\\])*)\]\(<?(?P<url>[^)>]*)>?\)
    | <(?P<address>https?://[^>]*)>
    | (?P<mark>\*{1,3}|__|(?<!\w)_|_(?!\w)|~~|\|\|)
    | ^(?P<line>-\#\ |\#{1,3}\ |>\ )
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


class DiscordHarness:
    """One guild, one channel, and in it the thread that ada has opened by naming the bot."""

    name: ClassVar[str] = "discord"
    column: ClassVar[str] = "Discord"
    remembers: ClassVar[bool] = True
    replaces: ClassVar[frozenset[CardKind]] = frozenset({"status", "approval", "answer", "error", "reply"})
    people_apart: ClassVar[bool] = True
    sent_stays: ClassVar[str] = ""
    nowhere: ClassVar[str] = "1234567890123456789"
    crops: ClassVar[bool] = False
    commands_in_channel: ClassVar[bool] = False  # slash commands work in threads
    in_a_row: ClassVar[int] = 8
    _adapter: ChatAdapter
    _conversation: ConversationRef
    _folder: Path
    _opened: AsyncExitStack  # all that is to be closed

    def __init__(self) -> None:
        self._inbound = RecordingInbound()
        self._discord = DiscordTwin(time_scale=0.01)
        self._cards: dict[int, str] = {}  # mark of a first message → card id, as far as the suite has posted
        self._last = ""  # id of the last message of `person_posts`

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
        async with AsyncExitStack() as opened:
            # How long after the last guild that it was told of the library takes that for the last one.
            opened.enter_context(patch.object(client, "GUILDS_S", 0.05))
            self._folder = Path(opened.enter_context(TemporaryDirectory()))
            await opened.enter_async_context(self._discord)
            opened.callback(self._check)
            opened.push_async_callback(self._stop)
            await self._start()
            self._conversation = await self._begun()
            self._opened = opened.pop_all()
        return self

    async def _begun(self) -> ConversationRef:
        """The thread of a first message that names the bot; what it started is not looked at."""
        general = self._discord.general
        root = self._person("ada").mentions(general, "the suite begins here")
        await self._inbound.until(turns=1)
        self._inbound.turns.clear()
        return ConversationRef(
            platform="discord", workspace=self._discord.guild_id, channel=general, thread=root
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def _start(self) -> None:
        self._adapter = _NotingAdapter(
            self._folder, token=self._discord.token, api_url=self._discord.api_url, cards=self._cards
        )
        await self._adapter.start(self._inbound)

    async def _stop(self) -> None:
        await self._adapter.stop()

    def _check(self) -> None:
        assert self._discord.violations == []

    async def restart(self) -> None:
        await self._stop()
        await self._start()

    # ── what people do ──

    async def person_posts(self, text: str, *, person: str = "ada", files: Files = ()) -> None:
        before = len(self._inbound.turns)
        self._last = self._person(person).posts(self._conversation.thread, text, files)
        await self._inbound.until(turns=before + 1)

    async def person_posts_again(self) -> None:
        backend = self._discord.backend
        message = backend.messages[int(self._conversation.thread)][int(self._last)]
        backend.emit("MESSAGE_CREATE", dict(serializers.message_payload(backend, message)))

    async def person_types_command(self, text: str) -> None:
        before, ada = len(self._inbound.commands), self._person("ada")
        thread = self._conversation.thread
        await self._until(lambda: "quartet" in ada.commands(thread))
        typed = await ada.types_command(f"quartet {text}", thread).wait()
        assert not typed.failed, self._discord.summary()
        await self._inbound.until(commands=before + 1)
        await self._answer_is_shown("ada", self._inbound.last_receipt)

    async def person_clicks(self, card_id: CardId, action: str, *, person: str = "ada") -> None:
        before = len(self._inbound.clicks)
        marks = {mark(card_id, part) for part in range(MOST_PARTS)}
        [(message, custom_id)] = [
            (seen.id, button.custom_id)
            for seen in self._messages(person)
            if _mark(seen) in marks
            for button in seen.buttons
            if button.custom_id.startswith(f"q:{action}:")
        ]
        pressed = await self._person(person).clicks(message, custom_id=custom_id).wait()
        assert not pressed.failed, self._discord.summary()
        await self._inbound.until(clicks=before + 1)
        await self._answer_is_shown(person, self._inbound.last_receipt)

    async def person_fills(self, form: Form, values: Mapping[str, str]) -> None:
        ada, before = self._person("ada"), len(self._inbound.forms)
        modal = ada.modal
        assert modal is not None
        sent = await ada.submits(modal, {f"f:{name}": value for name, value in values.items()}).wait()
        assert not sent.failed, self._discord.summary()
        await self._inbound.until(forms=before + 1)
        if self._inbound.last_receipt.errors:
            # Discord closes a form that was sent: what is wrong is told beside a button that opens it again.
            notes = await self._until(lambda: [n for n in self._messages("ada") if "Correct" in n.labels])
            await ada.clicks(notes[-1].id, label="Correct").wait()
            await self._until(lambda: ada.modal is not None)

    async def person_edits(self, text: str) -> None:
        self._person("ada").edits(self._last, text)
        await self._all_taken()

    async def person_deletes(self) -> None:
        self._person("ada").deletes(self._last)
        await self._all_taken()

    async def person_crosses(self, card_id: CardId, *, person: str = "ada") -> None:
        [message] = [seen.id for seen in self._messages(person) if _mark(seen) == mark(card_id, 0)]
        self._person(person).reacts(message, "❌")
        await self._all_taken()

    async def _answer_is_shown(self, person: str, receipt: Receipt) -> None:
        """Wait for what the receipt brings onto this person's screen."""
        if receipt.form is not None:
            await self._until(lambda: self._person(person).modal is not None)
        if receipt.text:
            await self._until(lambda: shows(self._visible(person), receipt.text))

    async def _all_taken(self) -> None:
        """What was done before has reached the adapter, since what is said after it has."""
        before = len(self._inbound.turns)
        self._person("marker").dms("done")
        await self._inbound.until(turns=before + 1)
        del self._inbound.turns[before:]

    async def _until(self, true: Any) -> Any:
        return await self._discord.until(true, within_s=LIMIT_S)

    def _person(self, name: str) -> Person:
        return self._discord.person(name)

    # ── what people see ──

    async def visible_text(self, *, person: str = "ada") -> str:
        return self._visible(person)

    def _visible(self, person: str) -> str:
        texts: list[str] = []
        for seen in self._messages(person):
            texts += [drawn(seen.text), *(button.label for button in seen.buttons)]
            # A file opens with a click; what it holds counts as seen.
            texts += [f"{file.name}\n{file.content.decode(errors='replace')}" for file in seen.files]
        modal = self._person(person).modal
        if modal is not None:
            texts += _modal(modal)
        return "\n".join(texts).replace(_INVISIBLE, "")

    async def visible_cards(self) -> list[str]:
        found = [self._cards.get(_mark(seen) or 0) for seen in self._messages("ada")]
        return [card_id for card_id in found if card_id is not None]

    async def executed(self) -> list[str]:
        found: list[str] = []
        for seen in self._messages("ada"):
            if seen.author_id == self._discord.bot_id:
                found += [f"{who} was notified" for who in seen.pings]
                found += [f"{sign!r} in {seen.text[:40]!r}" for sign in _CONTROLS.findall(seen.text)]
                found += _dangers(seen)
        return found

    def _messages(self, person: str) -> list[Seen]:
        """The channel, the thread and what the bot told this person directly, oldest first."""
        who = self._person(person)
        places = (self._conversation.channel, self._conversation.thread, who.dm)
        return sorted((seen for place in places for seen in who.sees(place)), key=lambda seen: int(seen.id))


class _NotingAdapter(DiscordAdapter):
    """The adapter, with a list of marks by which the harness finds cards on the screen."""

    def __init__(self, home: Path, *, token: str, api_url: str, cards: dict[int, str]) -> None:
        super().__init__(home, token=token, api_url=api_url)
        self._noted = cards

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        self._noted[mark(card.id, 0)] = card.id
        return await super().post(conversation, card, nonce=nonce)


def drawn(text: str) -> str:
    """A text as Discord's client draws it: escapes and marks are gone, code is as it stands."""

    def show(found: re.Match[str]) -> str:
        if found["label"] is not None:
            return f"{drawn(found['label'])} {found['url']}"  # where it leads is shown under the pointer
        return next((found[name] for name in ("block", "code", "escaped", "address") if found[name]), "")

    return _DRAWN.sub(show, text)


def _mark(seen: Seen) -> int | None:
    return marks_in({"components": list(seen.components)})


def _modal(modal: Modal) -> Iterator[str]:
    """A form: its words, what stands in its inputs."""
    yield modal.title
    yield from map(drawn, modal.texts)
    for field in modal.inputs:
        yield from (field.label, field.description, field.placeholder, str(field.value))
        yield from (label for label, _ in field.options)


def _dangers(seen: Seen) -> Iterator[str]:
    """What in a message leads somewhere odd, or is drawn as a mention though it was only text."""
    for found in _DRAWN.finditer(seen.text):
        if found["url"] is not None and not re.match(r"https?://", found["url"]):
            yield found[0]
    said = _DRAWN.sub("", seen.text)
    yield from re.findall(r"<(?:@[!&]?|\#|/)[^>\s]+>|@everyone|@here", said)
    yield from (button.url for button in seen.buttons if button.url and not button.url.startswith("https://"))
