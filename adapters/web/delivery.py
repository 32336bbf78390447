"""Hand in to the bot what people wrote: in order, at least once, each under its own key.

A message is kept before it is handed in. What the bot could not take (it was down, it was killed)
is handed in again, at the next start at the latest; the bot knows a repeated one by its key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from contextlib import suppress
from weakref import WeakValueDictionary

import structlog

from adapters.contract import (
    Card,
    CardId,
    Click,
    Command,
    ConversationRef,
    Feedback,
    FormInput,
    Inbound,
    MarkdownPart,
    Person,
    Receipt,
)
from adapters.web.asides import Asides
from adapters.web.feed import Feed
from adapters.web.inbound import parse_said
from adapters.web.messages import Messages, Said

ANSWER_S = 30.0  # seconds the bot has to store something
MOST_TRIES = 20
KEPT = "Your message is kept. The team takes it as soon as it can."
LONGEST_PAUSE_S = 30.0  # seconds between two tries

log = structlog.get_logger(__name__)


class Delivery:
    """The way from the page to the bot."""

    def __init__(self, messages: Messages, asides: Asides, feed: Feed, commands: Collection[str]) -> None:
        self._messages = messages
        self._asides = asides
        self._feed = feed
        self._commands = frozenset(commands)
        self._inbound: Inbound | None = None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tries: dict[str, int] = {}  # by message, only of those that failed
        self._left_over = asyncio.Event()
        self._again: asyncio.Task[None] | None = None

    async def start(self, inbound: Inbound) -> None:
        """Begin to hand in, first what was left over."""
        self._inbound = inbound
        await self._deliver_left_over()
        if self._again is None:
            self._again = asyncio.create_task(self._try_again(), name="web-delivery")

    async def stop(self) -> None:
        """Hand in nothing more. May be called twice."""
        self._inbound = None
        again, self._again = self._again, None
        if again is not None:
            again.cancel()
            with suppress(asyncio.CancelledError, Exception):  # it must not keep the server from stopping
                await again

    async def deliver(self, conversation: ConversationRef, writer: Person | None = None) -> None:
        """Hand in all of a conversation that was not handed in yet, in order; never raises.

        Args:
            writer: who is told when the bot does not take it now.
        """
        try:
            await self._deliver(conversation, writer)
        except Exception as error:
            self._not_yet(error)

    async def _deliver_left_over(self) -> None:
        try:
            conversations = await self._messages.undelivered_conversations()
        except Exception as error:
            self._not_yet(error)
            return
        for conversation in conversations:
            await self.deliver(conversation)

    def _not_yet(self, error: Exception) -> None:
        """The page's own file failed: what was said stays in it, and is looked for again."""
        log.warning(
            "The page's file failed; what people wrote is handed in later.",
            action="web.file_failed",
            error=type(error).__name__,
        )
        self._left_over.set()

    async def _deliver(self, conversation: ConversationRef, writer: Person | None) -> None:
        lock = self._locks.setdefault(conversation.key, asyncio.Lock())
        async with lock:  # an earlier message is never overtaken
            for said in await self._messages.undelivered(conversation):
                if not await self._hand_in(conversation, said):
                    self._left_over.set()
                    if writer is not None:
                        await self._note(conversation, writer, KEPT)
                    return

    async def click(self, click: Click) -> Receipt:
        """Hand in a click; what the bot says to it is shown to the person alone.

        Raises:
            ConnectionError: the bot does not take anything now, or could not.
            TimeoutError: the bot did not answer.
        """
        receipt = await _answer(self._bot().click(click))
        await self._tell(click.conversation, click.person, receipt, key=click.key)
        return receipt

    async def feedback(self, given: Feedback) -> Receipt:
        """Hand in what somebody thinks of an answer, as `click`."""
        receipt = await _answer(self._bot().feedback(given))
        await self._tell(given.conversation, given.person, receipt, key=given.key)
        return receipt

    async def form(self, given: FormInput) -> Receipt:
        """Hand in a form, as `click`."""
        receipt = await _answer(self._bot().form(given))
        if not receipt.errors:
            await self._tell(given.conversation, given.person, receipt, key=given.key)
        return receipt

    def _bot(self) -> Inbound:
        if self._inbound is None:
            raise ConnectionError("the bot is starting or stopping; try again in a moment")
        return self._inbound

    async def _hand_in(self, conversation: ConversationRef, said: Said) -> bool:
        person = said.person
        if person is None:
            return True
        given = parse_said(said, person, conversation, self._commands)
        try:
            async with asyncio.timeout(ANSWER_S):
                bot = self._bot()
                receipt = await (bot.command(given) if isinstance(given, Command) else bot.turn(given))
            # Where telling fails, all of it is done again: the bot knows the key, and a card is posted once.
            await self._tell(conversation, person, receipt, key=said.id, openly=isinstance(given, Command))
            await self._messages.delivered(said.id)
        except Exception as error:
            return await self._failed(conversation, said, error)
        self._tries.pop(said.id, None)
        return True

    async def _failed(self, conversation: ConversationRef, said: Said, error: Exception) -> bool:
        """Keep the message for another try; give up on one that the bot can never take."""
        if self._inbound is None:
            return False
        tries = self._tries[said.id] = self._tries.get(said.id, 0) + 1
        log.warning(
            "A message could not be handed to the bot.",
            action="web.delivery_failed",
            message=said.id,
            tries=tries,
            error=type(error).__name__,
        )
        if tries < MOST_TRIES:
            return False
        del self._tries[said.id]
        text = "The team could not take a message, though it was tried many times. Please send it again."
        card = Card(
            id=CardId(f"{said.id}:lost"), kind="error", title="Not taken", parts=(MarkdownPart(text=text),)
        )
        await self._messages.post(conversation, card, said.id)
        await self._messages.delivered(said.id)
        self._feed.changed(conversation.key)
        return True

    async def _tell(
        self,
        conversation: ConversationRef,
        person: Person,
        receipt: Receipt,
        *,
        key: str,
        openly: bool = False,
    ) -> None:
        """Show what the bot answered: to all where it answers a command, else to the person alone."""
        card = receipt.card
        if card is None and receipt.text and receipt.accepted and openly and not receipt.private:
            parts = (MarkdownPart(text=receipt.text),)
            card = Card(id=CardId(f"{key}:reply"), kind="reply", title="Quartet", parts=parts)
        if card is not None:
            _, listing = await self._messages.post(conversation, card, key)
            self._feed.changed(conversation.key, listing=listing)
        elif receipt.text:
            await self._note(conversation, person, receipt.text)

    async def _note(self, conversation: ConversationRef, person: Person, text: str) -> None:
        await self._asides.note(conversation, person, text)
        self._feed.changed(conversation.key)

    async def _try_again(self) -> None:
        pause_s = 0.5
        while True:
            await self._left_over.wait()
            await asyncio.sleep(pause_s)
            self._left_over.clear()
            await self._deliver_left_over()
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S) if self._left_over.is_set() else 0.5


async def _answer(asked: Awaitable[Receipt]) -> Receipt:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await asked
    except (ConnectionError, TimeoutError):
        raise
    except Exception as error:
        log.warning("The bot could not take a click.", action="web.click_failed", error=type(error).__name__)
        raise ConnectionError("the bot could not take it just now; try again in a moment") from error
