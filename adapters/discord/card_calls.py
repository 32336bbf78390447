"""The calls that show one card: post, edit and delete its messages.

`posted` is written before what may be left in doubt, and after it: a crash between the two leaves a row
that says "one more was begun".
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from adapters.contract import Card, ConversationRef
from adapters.discord.outbound import DiscordMessage
from adapters.discord.payload import ident
from adapters.discord.plainer import editing
from adapters.discord.ports import Api
from adapters.discord.posted import Posted, Row, channel_of
from adapters.discord.refusals import ThreadArchived
from adapters.errors import AdapterError, CardRefused, MessageGone, NotAllowed, PlatformDown
from adapters.payload import mapping
from adapters.urgency import Urgency

log = structlog.get_logger(__name__)

NONCE = 25  # characters
URGENCY = {
    "status": Urgency.PROGRESS,
    "approval": Urgency.ANSWER,
    "answer": Urgency.ANSWER,
    "error": Urgency.ANSWER,
    "reply": Urgency.REPLY,
    "picture": Urgency.PROGRESS,
}


class CardCalls:
    """The calls for one version of a card."""

    def __init__(self, api: Api, posted: Posted, card: Card) -> None:
        self._api = api
        self._posted = posted
        self._card = card
        self._urgency = URGENCY[card.kind]

    async def first(self, conversation: ConversationRef, message: DiscordMessage, nonce: str) -> str:
        """Post the card's first message; its id.

        Raises:
            CardRefused: a person deleted it within the minutes in which Discord knows the nonce.
        """
        try:
            return await create(self._api, channel_of(conversation), message, nonce, self._urgency)
        except MessageGone as error:
            raise CardRefused("the card was posted a moment ago, and a person deleted it") from error

    async def further(self, row: Row, number: int, message: DiscordMessage) -> Row:
        """Post one more message."""
        row = replace(row, total=1 + len(row.messages))
        await self._posted.save(row)
        # The same whoever completes the card: after a restart as well.
        nonce = nonce_of(f"{row.card_id}#{row.message}#{number}")
        try:
            try:
                sent = await create(self._api, row.channel, message, nonce, self._urgency)
            except MessageGone:
                # It was there a moment ago and was deleted, as the card had become shorter.
                nonce = nonce_of(uuid.uuid4().hex)
                sent = await create(self._api, row.channel, message, nonce, self._urgency)
        except AdapterError as error:
            if not (isinstance(error, PlatformDown) and error.outcome_unknown):
                await self._posted.save(replace(row, total=len(row.messages)))  # it surely did not happen
            raise
        row = replace(row, parts=(*row.parts, sent))
        await self._posted.save(row)
        return row

    async def update(self, row: Row, number: int, message: DiscordMessage) -> None:
        """Edit a message; a closed thread is opened for it. Raises MessageGone if the first is gone."""
        changed = editing(message)

        async def send() -> None:
            await self._api.call(
                "PATCH",
                f"/channels/{row.channel}/messages/{row.messages[number]}",
                changed.body,
                urgency=self._urgency,
                files=changed.files,
            )

        try:
            await self._opened(row.channel, send)
        except MessageGone:
            if number == 0:
                raise
            # A person deleted a further part: that part does not come back, the others stay fresh.
            log.info("a part of a card was deleted", action="discord_part_gone", card=self._card.id)

    async def delete(self, row: Row, message: str) -> Row:
        """Delete a message that the card needs no more."""

        async def send() -> None:
            with contextlib.suppress(MessageGone):
                await self._api.call(
                    "DELETE", f"/channels/{row.channel}/messages/{message}", urgency=self._urgency
                )

        await self._opened(row.channel, send)
        parts = tuple(part for part in row.parts if part != message)
        row = replace(row, parts=parts, total=1 + len(parts))
        await self._posted.save(row)
        return row

    async def _opened(self, channel: str, send: Callable[[], Awaitable[None]]) -> None:
        """Make a call in a thread that may be closed: what is posted opens it, an edit does not."""
        try:
            await send()
        except ThreadArchived as closed:
            try:
                await self._api.call(
                    "PATCH", f"/channels/{channel}", {"archived": False}, urgency=self._urgency
                )
            except NotAllowed as error:  # locked, which passes no sooner than its moderators want it to
                raise closed from error
            log.info("a closed thread was opened again", action="discord_thread_opened", thread=channel)
            await send()


async def create(
    api: Api,
    channel: str,
    message: DiscordMessage,
    nonce: str,
    urgency: Urgency,
    more: Mapping[str, Any] | None = None,
) -> str:
    """Post one message; its id. The same nonce again within minutes posts nothing new."""
    body = {**message.body, **(more or {}), "nonce": nonce_of(nonce), "enforce_nonce": True}
    made = await api.call("POST", f"/channels/{channel}/messages", body, urgency=urgency, files=message.files)
    sent = ident(mapping(made), "id")
    if not sent:
        raise PlatformDown("Discord did not say which message it made", outcome_unknown=True)
    return sent


def nonce_of(text: str) -> str:
    """A nonce as Discord takes it: `text` itself where it is short enough."""
    return text if 0 < len(text) <= NONCE else hashlib.sha256(text.encode()).hexdigest()[: NONCE - 1]
