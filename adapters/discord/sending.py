"""Show cards on Discord: post, edit, find; plain messages; the sign that we work.

A card is one or more messages. `posted` says what is there; only where the outcome of a post is not known is
Discord itself asked. So a card that was interrupted anywhere is completed, and nothing of it is posted twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import structlog

from adapters.contract import Card, CardId, ConversationRef, MessageRef
from adapters.database import Database
from adapters.discord import outbound
from adapters.discord.busy import Typing
from adapters.discord.card_calls import CardCalls, create, nonce_of
from adapters.discord.looking import look
from adapters.discord.outbound import DiscordMessage
from adapters.discord.payload import at
from adapters.discord.plainer import ordinary, simpler
from adapters.discord.ports import Api, DiscordRefused
from adapters.discord.posted import Posted, Row, channel_of, stop_target
from adapters.discord.refusals import NO_REPLIES, BodyRefused, OldMessage
from adapters.errors import (
    AdapterError,
    NotAllowed,
    PlatformDown,
    RateLimited,
)
from adapters.urgency import Urgency

log = structlog.get_logger(__name__)

KEPT = 5_000  # cards whose last drawing is remembered
DRAWN_HERE = 4_000  # characters of a card; a longer one is drawn on another thread
TEND_S = 1.0
PRUNE_S = 86_400.0
# Messages of more than an hour may be edited seldom, how seldom Discord does not say (30046): progress on
# them is shown so much apart, so that what people decide of them gets through.
OLD_S = 3_500.0
OLD_APART_S = 60.0


@dataclass(slots=True)
class _Edit:
    """The last edit of an old status card."""

    at: float
    looks: str


class Sender:
    """What goes out to Discord.

    Args:
        api: Discord.
        database: discord.db, open.
        me: the bot's user id; "" while it is not known.
        clock: epoch seconds.
    """

    def __init__(
        self,
        api: Api,
        database: Database,
        *,
        me: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.posted = Posted(database, clock)
        self._api = api
        self._me = me
        self._clock = clock
        self._typing = Typing(api)
        self._locks: WeakValueDictionary[CardId, asyncio.Lock] = WeakValueDictionary()
        self._drawn: OrderedDict[CardId, tuple[str, ...]] = (
            OrderedDict()
        )  # digest of each message; "" unknown
        # Not there, as far as we know; True: it was begun, and looked for in vain.
        self._absent: OrderedDict[CardId, bool] = OrderedDict()
        self._edits: OrderedDict[CardId, _Edit] = OrderedDict()
        self._tending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to keep up the sign that we work. May be called twice."""
        if self._tending is None or self._tending.done():
            self._tending = asyncio.create_task(self._tend(), name="discord:tend")

    async def stop(self) -> None:
        """Keep up nothing any more. May be called twice."""
        tending, self._tending = self._tending, None
        if tending is not None:
            tending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tending

    # ── cards ────────────────────────────────────────────────────────────────────────────────

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        """See `ChatAdapter.post`. A card that is there already is brought up to date instead."""
        async with self._lock(card.id):
            row = await self.posted.get(card.id)
            again = self._absent.get(card.id, False)
            if row is not None and not row.message and not again:
                # Begun before, and nobody knows what became of it.
                row, again = await self._look(row), True
            if row is None:
                row = Row(card.id, conversation, "", kind=card.kind)
                await self.posted.save(row)
            self._absent.pop(card.id, None)
            try:
                return (await self._show(row, card, nonce, again=again)).ref
            except AdapterError as error:
                if not (isinstance(error, PlatformDown) and error.outcome_unknown):
                    await self._none(card.id, begun=again)
                raise

    async def edit(self, message: MessageRef, card: Card) -> MessageRef:
        """See `ChatAdapter.edit`. Messages that did not change cost no call."""
        async with self._lock(card.id):
            row = await self.posted.get(card.id)
            if row is None or not row.message:  # our file was lost: the handle says enough
                row = Row(card.id, message.conversation, message.message_id, message.parts, kind=card.kind)
                row = replace(row, total=len(row.messages))
            self._check_age(row, card)
            return (await self._show(row, card)).ref

    async def find(self, conversation: ConversationRef, card_id: CardId) -> MessageRef | None:
        """See `ChatAdapter.find`. Discord is asked only if nothing here says for sure."""
        async with self._lock(card_id):
            row = await self.posted.get(card_id)
            if row is not None and row.message:
                return row.ref  # an edit completes what may be missing
            if card_id in self._absent:
                return None
            row = await self._look(row or Row(card_id, conversation, ""))
            return None if row is None else row.ref

    # ── plain messages ───────────────────────────────────────────────────────────────────────

    async def say(
        self,
        conversation: ConversationRef | str,
        text: str,
        *,
        reply_to: str = "",
        to: str = "",
        nonce: str = "",
        urgency: Urgency = Urgency.REPLY,
    ) -> str:
        """Write an ordinary message; its id.

        Args:
            conversation: where; or a channel's id.
            text: shown as it is, no Markdown; what is too long ends with `…`.
            reply_to: a message's id that it answers; it is written too where that one was deleted, and where
                the bot may not reply.
            to: name of the person it is for; stands before it where it is no reply.
            nonce: the same again within minutes writes nothing new; "": none.
        """
        channel = conversation if isinstance(conversation, str) else channel_of(conversation)
        nonce = nonce or _own_nonce()  # one of its own lets a call that was lost on the way be repeated
        if reply_to:
            more = {"message_reference": {"message_id": reply_to, "fail_if_not_exists": False}}
            try:
                message = DiscordMessage(outbound.plain(text))
                return await create(self._api, channel, message, nonce, urgency, more)
            except DiscordRefused as error:
                if error.code != NO_REPLIES:
                    raise
        message = DiscordMessage(outbound.plain(f"{to}: {text}" if to else text))
        return await create(self._api, channel, message, nonce, urgency)

    async def busy(self, conversation: ConversationRef, text: str) -> None:
        """See `ChatAdapter.busy`."""
        await self._typing.set(conversation, text)

    # ── one card ─────────────────────────────────────────────────────────────────────────────

    async def _show(self, row: Row, card: Card, nonce: str = "", *, again: bool = False) -> Row:
        """Bring what is on Discord to `card`, plainer where Discord refuses how it is drawn."""
        messages = await _draw(card)
        try:
            return await self._bring(row, card, messages, nonce, again=again)
        except (BodyRefused, NotAllowed) as error:
            if isinstance(error, NotAllowed) and not any(message.files for message in messages):
                raise
            log.warning("a card is drawn plainer", action="discord_plainer", card=card.id, error=str(error))
            first = error
        row = await self.posted.get(card.id) or row
        try:
            plainer = [simpler(message) for message in messages]
            return await self._bring(row, card, plainer, nonce, again=again)
        except BodyRefused:
            row = await self.posted.get(card.id) or row
            if row.message:
                raise first from None
        return await self._bring(row, card, ordinary(card), nonce, again=again)

    async def _bring(
        self, row: Row, card: Card, messages: Sequence[DiscordMessage], nonce: str, *, again: bool
    ) -> Row:
        """Edit, post, delete what it takes, noting each step.

        Args:
            again: it may be there in spite of all looking. Its nonce then gives back what stands there, which
                shows the card as it was.
        """
        calls = CardCalls(self._api, self.posted, card)
        digests = tuple(outbound.digest(message) for message in messages)
        before = self._drawn.pop(card.id, row.drawn)
        if row.drawn and row.drawn != digests:
            row = replace(row, drawn=())  # what a crash would leave is not known
            await self.posted.save(row)
        shown = [*before, *[""] * len(messages)][: len(messages)]
        if not row.message:
            sent = await calls.first(row.conversation, messages[0], nonce)
            row = replace(row, message=sent, total=1)
            await self.posted.save(row)
            shown[0] = "" if again else digests[0]
        elif row.in_doubt and len(messages) > len(row.messages):
            row, again = await self._look_again(row), True
        try:
            for number, message in enumerate(messages):
                if number >= len(row.messages):
                    row = await calls.further(row, number, message)
                    if again:
                        await calls.update(row, number, message)
                elif shown[number] != digests[number]:
                    shown[number] = ""  # not known until the call returns
                    await calls.update(row, number, message)
                shown[number] = digests[number]
            for message_id in row.messages[len(messages) :]:
                row = await calls.delete(row, message_id)
        except OldMessage as error:
            if card.kind == "status":
                raise RateLimited(str(error), retry_after_s=error.retry_after_s) from error
            row = await self._anew(row, calls, messages)
            shown = list(digests)
        finally:
            _keep(self._drawn, card.id, tuple(shown))
        return await self._settle(row, card, () if card.kind == "status" else digests)

    async def _anew(self, row: Row, calls: CardCalls, messages: Sequence[DiscordMessage]) -> Row:
        """Post a card once more whose messages Discord lets nobody edit now, and delete those.

        What people wait for must not stand there as it was, with buttons that lead nowhere. Until the old
        messages are deleted they are named behind the new ones, so that it is completed after a crash.
        """
        old = row.messages
        log.info("an old card is posted anew", action="discord_posted_anew", card=row.card_id)
        nonce = nonce_of(f"{row.card_id}#{row.message}#anew")
        new: list[str] = []
        for number, message in enumerate(messages):
            sent = await calls.first(row.conversation, message, nonce if not number else f"{nonce}#{number}")
            new.append(sent)
            row = replace(row, message=new[0], parts=(*new[1:], *old), total=len(new) + len(old), drawn=())
            await self.posted.save(row)
        for message_id in old:
            row = await calls.delete(row, message_id)
        return row

    async def _look(self, row: Row) -> Row | None:
        """Ask Discord what is there of a card whose first post may have gone through; None: nothing."""
        found = await look(self._api, row.channel, row.card_id, self._me(), Urgency.ANSWER)
        if not found:
            await self._none(row.card_id, begun=True)
            return None
        # Whether more of it is there shows when it is drawn.
        row = replace(row, message=found[0], parts=tuple(found[1:]), total=len(found) + 1, drawn=())
        self._drawn.pop(row.card_id, None)
        await self.posted.save(row)
        return row

    async def _look_again(self, row: Row) -> Row:
        """Ask Discord which further messages of a card are there, after an unknown outcome."""
        found = await look(self._api, row.channel, row.card_id, self._me(), Urgency.ANSWER)
        messages = found if found[:1] == [row.message] else list(row.messages)
        row = replace(row, message=messages[0], parts=tuple(messages[1:]), total=len(messages))
        await self.posted.save(row)
        return row

    async def _none(self, card_id: CardId, *, begun: bool) -> None:
        """Note that nothing of a card is there, unless there is; what was `begun` stays in doubt."""
        row = await self.posted.get(card_id)
        if row is None or not row.message:
            if row is not None and not begun:
                await self.posted.forget(card_id)
            _keep(self._absent, card_id, begun)

    async def _settle(self, row: Row, card: Card, drawn: tuple[str, ...]) -> Row:
        """Note what the card is now: all of it is there."""
        settled = replace(
            row, stop_target=stop_target(card), kind=card.kind, drawn=drawn, total=len(row.messages)
        )
        if settled != row:
            await self.posted.save(settled)
        return settled

    def _check_age(self, row: Row, card: Card) -> None:
        """Raise RateLimited while an old status card was edited a moment ago and nothing but time went on."""
        if card.kind != "status" or self._clock() - at(row.message).timestamp() < OLD_S:
            return
        looks = f"{card.status}\0{[(button.action, button.target) for button in card.buttons]}"
        now = time.monotonic()
        last = self._edits.get(card.id)
        if last is not None and last.looks == looks and now - last.at < OLD_APART_S:
            raise RateLimited(
                "this status card is old and was edited a moment ago",
                retry_after_s=last.at + OLD_APART_S - now,
            )
        _keep(self._edits, card.id, _Edit(now, looks))

    def _lock(self, card_id: CardId) -> asyncio.Lock:
        return self._locks.setdefault(card_id, asyncio.Lock())

    # ── what goes on ─────────────────────────────────────────────────────────────────────────

    async def _tend(self) -> None:
        pruned = float("-inf")
        while True:
            try:
                if time.monotonic() - pruned > PRUNE_S:
                    await self.posted.prune()
                    pruned = time.monotonic()
                await self._typing.refresh()
            except Exception:
                # A full disk passes; without this task nobody would see that we work.
                log.exception("what goes on could not be looked after", action="discord_tend_failed")
            await asyncio.sleep(TEND_S)


async def _draw(card: Card) -> list[DiscordMessage]:
    if len(card.model_dump_json()) < DRAWN_HERE:
        return outbound.draw(card)
    return await asyncio.to_thread(outbound.draw, card)


def _own_nonce() -> str:
    return nonce_of(uuid.uuid4().hex)


def _keep(memory: OrderedDict[CardId, Any], card_id: CardId, value: object) -> None:
    memory[card_id] = value
    memory.move_to_end(card_id)
    while len(memory) > KEPT:
        memory.popitem(last=False)
