"""The web page as a chat platform: the same contract and the same cards as Slack.

What stands on the page is kept by ourselves (`messages.py`), so a post here is a row in a file and a
nudge to the pages that are open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from adapters.contract import (
    Attachment,
    Card,
    CardId,
    ConversationRef,
    Inbound,
    Limits,
    MessageRef,
    Person,
    Platform,
)
from adapters.errors import AttachmentRefused, ConversationGone
from adapters.web.asides import Asides
from adapters.web.database import web_database
from adapters.web.delivery import Delivery
from adapters.web.entrance import Entrance
from adapters.web.feed import Feed
from adapters.web.guard import Doors, SignIn
from adapters.web.inbound import COMMANDS, MOST_CHARACTERS
from adapters.web.messages import Messages, slug_of
from adapters.web.pages import Pages
from adapters.web.uploads import Uploads

LIMITS = Limits(
    text=MOST_CHARACTERS,
    buttons=25,
    button_label=200,
    messages=1,
    file_bytes=20_000_000,
    edit_interval_s=0.1,
    pictures="svg",
)


class WebAdapter:
    """The chat page. `platform` is "web", the workspace "local", the channel "general".

    Args:
        home: folder for `web.db` and the uploads.
        base_url: the address under which people reach the page, "" for loopback.
        allowed_origins: other sites whose pages may post here.
        hosts: further names of this server, e.g. the one it is bound to.
        sign_in: checks keys; None: whoever reaches the page is the person "you".
        commands: words that are a command after `/`, besides everything after `/quartet`.
    """

    def __init__(
        self,
        home: Path,
        *,
        base_url: str = "",
        allowed_origins: Sequence[str] = (),
        hosts: Sequence[str] = (),
        sign_in: SignIn | None = None,
        commands: Collection[str] = COMMANDS,
    ) -> None:
        self._database = web_database(home)
        self._messages = Messages(self._database)
        self._asides = Asides(self._database)
        self._uploads = Uploads(home / "web-uploads")
        self._feed = Feed()
        self._delivery = Delivery(self._messages, self._asides, self._feed, commands)
        doors = Doors([urlsplit(base_url).hostname or "", *hosts], allowed_origins)
        self._entrance = Entrance(doors, self._asides, sign_in, secure_cookie=base_url.startswith("https://"))
        self._pages = Pages(
            messages=self._messages,
            asides=self._asides,
            uploads=self._uploads,
            feed=self._feed,
            delivery=self._delivery,
            entrance=self._entrance,
            file_bytes=LIMITS.file_bytes,
        )

    @property
    def platform(self) -> Platform:
        """Which platform this is."""
        return "web"

    @property
    def limits(self) -> Limits:
        """What fits in one message."""
        return LIMITS

    @property
    def trouble(self) -> str:
        """None: the page is where the bot is."""
        return ""

    @property
    def lacking(self) -> str:
        """Nothing."""
        return ""

    def routes(self) -> Sequence[BaseRoute]:
        """The page at `/`, its conversations under `/c/`, its own files under `/assets/chat/`."""
        return self._pages.routes()

    async def start(self, inbound: Inbound) -> None:
        """Open the file and hand in what was left over."""
        await self._database.open()
        self._feed.open()
        await self._delivery.start(inbound)

    async def signed_in(self, connection: HTTPConnection) -> Person | None:
        """Who signed in on the page with a key; None: nobody, or there is no key."""
        return await self._entrance.signed_in(connection)

    def close_streams(self) -> None:
        """End open pages' streams, so that the server can stop at once; browsers connect again."""
        self._feed.close()

    async def stop(self) -> None:
        """End open pages' streams and close the file. May be called twice."""
        self._feed.close()
        await self._delivery.stop()
        await self._database.close()

    def address(self, conversation: ConversationRef) -> str:
        """The path of a conversation's page."""
        return f"/c/{slug_of(conversation)}"

    async def open_conversation(
        self,
        conversation: ConversationRef,
        *,
        title: str,
        person: Person | None = None,
        text: str = "",
        key: str = "",
    ) -> None:
        """List a conversation that began elsewhere (the HTTP API), and show what was said there.

        Args:
            conversation: of platform "web"; one that is listed stays as it is.
            title: its first words become the title.
            person: who said `text`; None: nothing is shown but the title.
            text: words to show, which the bot already has.
            key: the same key shows the words once.
        """
        await self._messages.open_conversation(conversation, title)
        if person is not None and text:
            await self._messages.say(
                conversation, person, text, nonce=key or text[:200], options={}, delivered=True
            )
        self._feed.changed(conversation.key, listing=True)

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        """Show a new card. The same card with the same nonce is shown once.

        Raises:
            ConversationGone: no such conversation on the page.
        """
        message_id, listing = await self._messages.post(conversation, card, nonce)
        self._feed.changed(conversation.key, listing=listing)
        return MessageRef(conversation=conversation, message_id=message_id)

    async def edit(self, message: MessageRef, card: Card) -> MessageRef:
        """Replace what the message shows.

        Raises:
            MessageGone: no such card.
            ConversationGone: no such conversation.
        """
        if await self._messages.conversation(slug_of(message.conversation)) is None:
            raise ConversationGone(f"there is no conversation {message.conversation.key} on the web page")
        listing = await self._messages.edit(message.conversation, message.message_id, card)
        self._feed.changed(message.conversation.key, listing=listing)
        return message

    async def find(self, conversation: ConversationRef, card_id: CardId) -> MessageRef | None:
        """Look for the card among what was posted."""
        message_id = await self._messages.find(conversation, card_id)
        return None if message_id is None else MessageRef(conversation=conversation, message_id=message_id)

    async def note(self, conversation: ConversationRef, person: Person, text: str) -> None:
        """Tell one person something; it stays until they dismiss it or act again."""
        await self._asides.note(conversation, person, text)
        self._feed.changed(conversation.key)

    async def busy(self, conversation: ConversationRef, text: str) -> None:
        """Show above the writing field that work goes on; "" ends it."""
        self._feed.set_busy(conversation.key, text)

    async def download(self, attachment: Attachment) -> bytes:
        """Fetch a file that came with a turn.

        Raises:
            AttachmentRefused: no such file, or larger than `limits.file_bytes`.
        """
        path = self._uploads.path(attachment.locator or attachment.id)
        if path is None:
            raise AttachmentRefused(f"the file {attachment.name!r} is not there any more; send it again")
        if path.stat().st_size > LIMITS.file_bytes:
            raise AttachmentRefused(
                f"the file {attachment.name!r} is larger than {LIMITS.file_bytes:,} bytes"
            )
        return await asyncio.to_thread(path.read_bytes)
