"""Tell people what became of what they did: in the conversation, or to them as privately as Discord can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import structlog

from adapters.contract import Card, CardId, ConversationRef, MarkdownPart, MessageRef, Person, Receipt
from adapters.discord.answers import Answers
from adapters.discord.inbound import Arrival, conversation_of
from adapters.discord.keys import Naming
from adapters.discord.outbound import DiscordMessage, draw, draw_note
from adapters.discord.payload import ident
from adapters.discord.ports import DIRECT, Api, DiscordRefused
from adapters.errors import AdapterError, ConversationGone, NotAllowed
from adapters.payload import mapping
from adapters.urgency import Urgency

KEPT = 5_000  # direct messages' channels that are remembered

log = structlog.get_logger(__name__)


class Speaker(Protocol):
    """What posts; the Sender does."""

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        """Show a new card."""
        ...

    async def find(self, conversation: ConversationRef, card_id: CardId) -> MessageRef | None:
        """Look for a card."""
        ...

    async def say(
        self, conversation: ConversationRef | str, text: str, *, reply_to: str = "", to: str = ""
    ) -> str:
        """Write an ordinary message."""
        ...


class Notes:
    """The ways back to people.

    Args:
        api: Discord's REST API.
        speaker: posts in conversations.
        answers: to interactions.
        naming: puts names for keys.
    """

    def __init__(self, api: Api, speaker: Speaker, answers: Answers, naming: Naming) -> None:
        self._api = api
        self._speaker = speaker
        self._answers = answers
        self._naming = naming
        self._channels: dict[str, str] = {}  # person → the channel of direct messages with them

    async def note(
        self, conversation: ConversationRef, person: Person, text: str, *, reply_to: str = ""
    ) -> None:
        """Tell one person: beside what they pressed there, else by a direct message, else where all read it.

        Args:
            reply_to: id of the message that it is about, in the channel or thread of the conversation.

        Raises:
            AdapterError: as `ChatAdapter.post`; nothing was said.
        """
        text = await self._naming.text(conversation.workspace, text)
        messages = draw_note(text)
        if await self._answers.aside(conversation, person.id, messages):
            return
        if conversation.workspace == DIRECT:
            await self._speaker.say(conversation, text, reply_to=reply_to)
            return
        try:
            await self._directly(person, messages)
        except (NotAllowed, ConversationGone, DiscordRefused):  # they take no messages from strangers
            await self._speaker.say(conversation, text, reply_to=reply_to, to=person.name)

    async def privately(
        self,
        conversation: ConversationRef,
        person: Person,
        text: str,
        *,
        arrival: Arrival | None = None,
        reply_to: str = "",
    ) -> None:
        """As `note`, but never raises but for cancellation.

        Args:
            arrival: what they pressed or typed, which is answered so.
        """
        try:
            if arrival is not None:
                messages = draw_note(await self._naming.text(conversation.workspace, text))
                if await self._answers.tell(arrival, messages):
                    return
            await self.note(conversation, person, text, reply_to=reply_to)
        except AdapterError as error:
            log.warning("A note could not be shown.", action="discord.note_failed", error=str(error)[:300])

    async def card_privately(self, arrival: Arrival, person: Person, card: Card) -> None:
        """Show a card to who asked for it with a command."""
        conversation = conversation_of(arrival)
        named = await self._naming.card(conversation.workspace, card)
        if not await self._answers.tell(arrival, draw(named)):
            from_card = "\n\n".join(part.text for part in named.parts if isinstance(part, MarkdownPart))
            await self.privately(conversation, person, from_card or named.title)

    async def in_conversation(
        self, conversation: ConversationRef, receipt: Receipt, key: str, *, again: bool
    ) -> None:
        """Post what the bot answered to words in a conversation; nothing where it said nothing.

        Args:
            key: of what came in; the same one is answered once.
            again: it may have been answered before.

        Raises:
            AdapterError: as `ChatAdapter.post`.
        """
        card = receipt.card
        if card is None and receipt.text:
            parts = (MarkdownPart(text=await self._naming.text(conversation.workspace, receipt.text)),)
            card = Card(id=CardId(f"{key}:reply"), kind="reply", title="Quartet", parts=parts)
        if card is None:
            return
        if again and await self._speaker.find(conversation, card.id) is not None:
            return
        card = await self._naming.card(conversation.workspace, card)
        await self._speaker.post(conversation, card, nonce=key)

    async def _directly(self, person: Person, messages: Sequence[DiscordMessage]) -> None:
        channel = self._channels.get(person.id, "")
        if not channel:
            made = await self._api.call(
                "POST", "/users/@me/channels", {"recipient_id": person.id}, urgency=Urgency.PERSON
            )
            channel = ident(mapping(made), "id")
            if len(self._channels) >= KEPT:
                self._channels.clear()
            self._channels[person.id] = channel
        for message in messages:
            await self._api.call(
                "POST",
                f"/channels/{channel}/messages",
                message.body,
                urgency=Urgency.PERSON,
                files=message.files,
            )
