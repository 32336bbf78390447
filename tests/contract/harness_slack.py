"""Slack for the adapter suite: a Slack on loopback with people at their clients, in both of its modes.

What is visible is what the twin shows a person: blocks as their client draws them, files opened,
private notes, the modal on top with what stands in its inputs and the errors beneath them. Cards are
told apart by the metadata that Slack keeps with each message.
"""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, cast

from markdown_it import MarkdownIt
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from adapters.contract import CardId, CardKind, ChatAdapter, ConversationRef, Form, Receipt
from adapters.slack.adapter import SlackAdapter, slack_adapter
from tests.contract.adapter_harness import LIMIT_S, RecordingInbound, shows
from tests.html_tree import read_html
from tests.loopback import on_loopback
from tests.twins.slack import Person, Seen, SlackTwin
from tests.twins.slack.delivery import Parcel
from tests.twins.slack.interactions import interactive
from tests.twins.slack.modals import inputs
from tests.twins.slack.workspace import View

Files = Sequence[tuple[str, str, bytes]]

# Slack's own Markdown: HTML is text, pictures are links. Bare addresses are not what is looked at here.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
_INVISIBLE = "\u2060"  # a word joiner: no eye sees it
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_WORDS = ("text", "title", "label", "hint", "description", "placeholder", "alt_text")


class SlackHarness:
    """One workspace, one channel, and in it the thread that ada has opened by naming the bot."""

    name: ClassVar[str]
    column: ClassVar[str] = "Slack"
    mode: ClassVar[Literal["socket", "http"]]
    remembers: ClassVar[bool] = True
    replaces: ClassVar[frozenset[CardKind]] = frozenset({"status", "approval", "answer", "error", "reply"})
    people_apart: ClassVar[bool] = True
    sent_stays: ClassVar[str] = ""
    nowhere: ClassVar[str] = "no-such-conversation"
    crops: ClassVar[bool] = False
    # Slack has no slash commands in threads: `/quartet` is given to the channel.
    commands_in_channel: ClassVar[bool] = True
    # Slack lets four messages at once into a channel, then one a second: twenty would take long.
    in_a_row: ClassVar[int] = 8
    _adapter: SlackAdapter
    _conversation: ConversationRef
    _folder: Path
    _opened: AsyncExitStack  # all that is to be closed

    def __init__(self) -> None:
        self._inbound = RecordingInbound()
        self._slack = SlackTwin(mode=self.mode, time_scale=0.01)
        self._app = Starlette()
        self._errors: dict[str, dict[str, str]] = {}  # by person: what stands beneath the modal's inputs
        self._last = ""  # ts of the last message of `person_posts`

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
            self._folder = Path(opened.enter_context(TemporaryDirectory()))
            await opened.enter_async_context(self._slack)
            opened.push_async_callback(self._stop)
            await self._start()
            if self.mode == "http":
                url = await opened.enter_async_context(on_loopback(self._serve))
                await self._slack.set_events_url(f"{url}/slack/events")
            self._conversation = await self._begun()
            self._opened = opened.pop_all()
        return self

    async def _begun(self) -> ConversationRef:
        """The thread of a first message that names the bot; what it started is not looked at."""
        general = self._slack.general
        root = self._person("ada").mentions(general, "the suite begins here")
        await self._inbound.until(turns=1)
        await self._all_taken()
        self._inbound.turns.clear()
        return ConversationRef(platform="slack", workspace=self._slack.team.id, channel=general, thread=root)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def _start(self) -> None:
        self._adapter = slack_adapter(
            self._folder,
            bot_token=self._slack.bot_token,
            app_token=self._slack.app_token if self.mode == "socket" else "",
            signing_secret=self._slack.app.signing_secret if self.mode == "http" else "",
            api_url=self._slack.api_url,
        )
        self._app = Starlette(routes=list(self._adapter.routes()))
        await self._adapter.start(self._inbound)

    async def _stop(self) -> None:
        await self._adapter.stop()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def restart(self) -> None:
        await self._stop()
        await self._start()

    # ── what people do ──

    async def person_posts(self, text: str, *, person: str = "ada", files: Files = ()) -> None:
        channel, thread = self._conversation.channel, self._conversation.thread
        self._last = self._person(person).posts(channel, _typed(text), thread, files)
        await self._all_taken()

    async def person_posts_again(self) -> None:
        first = next(
            parcel
            for parcel in reversed(self._slack.delivery.parcels)
            if parcel.event.get("ts") == self._last
        )
        self._slack.delivery.post(Parcel(first.kind, copy.deepcopy(first.payload)))
        await self._all_taken()

    async def person_types_command(self, text: str) -> None:
        before = len(self._inbound.commands)
        parcel = self._person("ada").slash(self._conversation.channel, "/quartet", text)
        await parcel.settled.wait()
        await self._inbound.until(commands=before + 1)
        await self._answer_is_shown("ada", self._inbound.last_receipt)

    async def person_clicks(self, card_id: CardId, action: str, *, person: str = "ada") -> None:
        before = len(self._inbound.clicks)
        action_id = f"quartet:{action}"
        (ts,) = [
            seen.ts
            for seen in self._messages(person)
            if self._card(seen)[0] == card_id
            and any(element["action_id"] == action_id for _, element in interactive(seen.blocks))
        ]
        parcel = self._person(person).clicks(self._conversation.channel, ts, action_id)
        await parcel.settled.wait()
        assert parcel.acked, self._slack.summary()
        await self._inbound.until(clicks=before + 1)
        await self._answer_is_shown(person, self._inbound.last_receipt)

    async def person_fills(self, form: Form, values: Mapping[str, str]) -> None:
        ada, before = self._person("ada"), len(self._inbound.forms)
        modal = ada.modal
        assert modal is not None
        filled = {f"field:{name}": {"value": value} for name, value in values.items()}
        submitted = await ada.submits(modal, filled)
        assert submitted.outcome in ("closed", "errors", "updated"), submitted
        self._errors["ada"] = submitted.errors
        await self._inbound.until(forms=before + 1)

    async def person_edits(self, text: str) -> None:
        self._person("ada").edits(self._last, _typed(text))
        await self._all_taken()

    async def person_deletes(self) -> None:
        self._person("ada").deletes(self._last)
        await self._all_taken()

    async def person_crosses(self, card_id: CardId, *, person: str = "ada") -> None:
        (ts,) = [seen.ts for seen in self._messages(person) if self._card(seen) == (card_id, 0)]
        self._person(person).reacts(ts, "x")
        await self._all_taken()

    async def _answer_is_shown(self, person: str, receipt: Receipt) -> None:
        """Wait for what the receipt brings onto this person's screen."""
        if receipt.form is not None:
            block = f"field:{receipt.form.fields[0].name}"
            await self._until(lambda: self._modal_has(person, block))
            self._errors.pop(person, None)
        if receipt.text:
            await self._until(lambda: shows(self._visible(person), receipt.text))

    def _modal_has(self, person: str, block: str) -> bool:
        modal = self._person(person).modal
        return modal is not None and block in [block_id for block_id, _ in inputs(modal)]

    async def _all_taken(self) -> None:
        """Slack has an acknowledgement for everything that it sent."""
        await self._until(lambda: not self._slack.delivery.unacked())

    async def _until(self, true: Any) -> None:
        await self._slack.until(true, within_s=LIMIT_S)

    def _person(self, name: str) -> Person:
        return self._slack.person(name)

    # ── what people see ──

    async def visible_text(self, *, person: str = "ada") -> str:
        return self._visible(person)

    def _visible(self, person: str) -> str:
        texts: list[str] = []
        for seen in self._messages(person):
            texts += _drawn(seen.blocks) if seen.blocks else [html.unescape(seen.text)]
            # A file opens with a click; what it holds counts as seen.
            texts += [
                f"{file.name}\n{file.alt}\n{file.content.decode(errors='replace')}" for file in seen.files
            ]
        modal = self._person(person).modal
        if modal is not None:
            texts += _modal(modal, self._errors.get(person, {}))
        return "\n".join(texts).replace(_INVISIBLE, "")

    async def visible_cards(self) -> list[str]:
        cards = [self._card(seen) for seen in self._messages("ada")]
        return [card_id for card_id, part in cards if card_id and part == 0]

    async def executed(self) -> list[str]:
        found = [f"{ping.what} rang" for ping in self._slack.world.pings]
        for seen in self._messages("ada"):
            found += _dangers(seen.blocks)
            found += [f"{mark!r} in {seen.text[:40]!r}" for mark in _CONTROLS.findall(seen.text)]
        return found

    def _messages(self, person: str) -> list[Seen]:
        """The channel and the thread on this person's screen, oldest first."""
        who = self._person(person)
        channel, thread = self._conversation.channel, self._conversation.thread
        both = {seen.ts: seen for seen in (*who.sees(channel), *who.sees(channel, thread))}
        return [both[ts] for ts in sorted(both, key=float)]

    def _card(self, seen: Seen) -> tuple[str, int]:
        """Which card a message shows, and which part of it; ("", 0): none."""
        message = self._slack.world.messages[self._conversation.channel].get(seen.ts)
        if message is None or message.app_id != self._slack.app.id:
            return "", 0
        metadata = message.metadata or {}
        if metadata.get("event_type") == "quartet_card":
            return metadata["event_payload"]["card"], metadata["event_payload"]["part"]
        # A stream gets its metadata when it ends; until then its tasks are named after the card.
        tasks = re.findall(r"'task_id': '([^']*)#", str(seen.blocks))
        return (tasks[0], 0) if tasks else ("", 0)


class SlackSocketHarness(SlackHarness):
    """Events come through a WebSocket that the bot opens."""

    name: ClassVar[str] = "slack-socket"
    mode: ClassVar[Literal["socket", "http"]] = "socket"


class SlackHttpHarness(SlackHarness):
    """Events are posted to the bot's server, signed."""

    name: ClassVar[str] = "slack-http"
    mode: ClassVar[Literal["socket", "http"]] = "http"


def _typed(text: str) -> str:
    """What Slack's client makes of typed text: nothing in it is markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _drawn(value: object) -> Iterator[str]:
    """The words of blocks as a client draws them."""
    if isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _drawn(each)
    if not isinstance(value, dict):
        return
    block = cast("dict[str, Any]", value)
    kind, text = block.get("type"), block.get("text")
    if kind == "markdown":
        yield read_html(_MARKDOWN.render(block["text"])).text()
    elif kind == "mrkdwn":
        yield html.unescape(block["text"])
    elif kind == "link":
        yield f"{text or ''} {block['url']}"  # where it leads is shown under the pointer
    else:
        for key, inner in block.items():
            if isinstance(inner, str) and key in _WORDS:
                yield inner
            elif isinstance(inner, dict | list) and key not in ("confirm", "options", "metadata"):
                yield from _drawn(inner)  # pyright: ignore[reportUnknownArgumentType]


def _modal(view: View, errors: Mapping[str, str]) -> Iterator[str]:
    """A modal: its words, what stands in its inputs, the errors beneath them."""
    yield from _drawn([view.payload[key] for key in ("title", "submit", "close") if view.payload.get(key)])
    yield from _drawn(view.payload["blocks"])
    kept = view.state.get("values", {})
    for block_id, element in inputs(view):
        filled = kept.get(block_id, {}).get(element["action_id"])
        yield str(filled.get("value") or "") if filled else str(element.get("initial_value", ""))
    yield from errors.values()


def _dangers(value: object) -> Iterator[str]:
    """What in blocks is loaded from elsewhere, leads somewhere odd, or is no character to be shown."""
    if isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _dangers(each)
    elif isinstance(value, str):
        yield from (f"{mark!r} in {value[:40]!r}" for mark in _CONTROLS.findall(value))
    elif isinstance(value, dict):
        block = cast("dict[str, Any]", value)
        url = block.get("url", "https://")
        if block.get("type") == "image" or "image_url" in block or not re.match(r"https?://|mailto:", url):
            yield str(block)
        if block.get("type") == "markdown":
            yield from re.findall(r"\]\((?!https?:|mailto:)[^)]*\)", block["text"])
        for inner in block.values():
            yield from _dangers(inner)
