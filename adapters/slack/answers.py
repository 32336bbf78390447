"""Tell people what became of what they did: in the thread, or to them alone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog

from adapters.contract import Card, CardId, ConversationRef, MarkdownPart, MessageRef, Person, Receipt
from adapters.errors import AdapterError
from adapters.slack.naming import Naming
from adapters.slack.outbound import SlackMessage, draw, draw_note

RESPOND_S = 5.0
MOST_ANSWERS = 5  # Slack takes so many through one response_url

log = structlog.get_logger(__name__)


class Speaker(Protocol):
    """What posts; the Sender does. Each as `ChatAdapter` has it."""

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        """Show a new card."""
        ...

    async def find(self, conversation: ConversationRef, card_id: CardId) -> MessageRef | None:
        """Look for a card."""
        ...

    async def note(self, conversation: ConversationRef, person: Person, text: str) -> None:
        """Tell one person."""
        ...

    async def busy(self, conversation: ConversationRef, text: str) -> None:
        """Show that work goes on."""
        ...


class Answers:
    """The ways back to people.

    Args:
        speaker: posts cards and notes.
        naming: puts names for keys.
        base_url: Slack's Web API; a response_url lies on its host or on Slack's own.
    """

    def __init__(self, speaker: Speaker, naming: Naming, *, base_url: str) -> None:
        self._speaker = speaker
        self._naming = naming
        self._hosts = {"hooks.slack.com", urlsplit(base_url).netloc}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def privately(
        self, conversation: ConversationRef, person: Person, text: str, *, response_url: str = ""
    ) -> None:
        """Tell one person something; never raises but for cancellation.

        Args:
            response_url: of what they pressed; it costs nothing of the API's limits.
        """
        text = await self._naming.text(conversation.workspace, text)
        if await self._respond(response_url, conversation, [draw_note(text)]):
            return
        try:
            await self._speaker.note(conversation, person, text)
        except AdapterError as error:
            log.warning("A note could not be shown.", action="slack.note_failed", error=str(error)[:300])

    async def card_privately(
        self, conversation: ConversationRef, person: Person, card: Card, *, response_url: str
    ) -> None:
        """Show a card to one person."""
        messages = draw(await self._naming.card(conversation.workspace, card))
        if not await self._respond(response_url, conversation, messages[:MOST_ANSWERS]):
            await self.privately(conversation, person, "\n\n".join(message.text for message in messages))

    async def in_thread(
        self, conversation: ConversationRef, receipt: Receipt, key: str, *, again: bool
    ) -> None:
        """Post what the bot answered to words in a thread; nothing where it said nothing.

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

    async def busy(self, conversation: ConversationRef) -> None:
        """The first thing that people see of an accepted turn."""
        await self._speaker.busy(conversation, "is starting to work …")

    async def _respond(self, url: str, conversation: ConversationRef, messages: list[SlackMessage]) -> bool:
        """Whether it was told through the response_url."""
        parts = urlsplit(url)
        if parts.netloc not in self._hosts or parts.scheme not in ("https", "http"):
            return False
        if parts.netloc == "hooks.slack.com" and parts.scheme != "https":
            return False
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=RESPOND_S))
        for number, message in enumerate(messages):
            body: dict[str, Any] = {
                "response_type": "ephemeral",
                "replace_original": False,
                "text": message.text,
                **({"blocks": message.blocks} if message.blocks else {}),
                **({"thread_ts": conversation.thread} if conversation.thread else {}),
            }
            if not await self._post(url, body):
                return number > 0
        return bool(messages)

    async def _post(self, url: str, body: Mapping[str, Any]) -> bool:
        assert self._session is not None
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._session.post(url, json=body, allow_redirects=False) as answer:
                return answer.status == 200
        return False
