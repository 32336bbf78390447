"""A chat platform in memory, as strict as real ones, whose calls can be made to go wrong."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from starlette.routing import BaseRoute

from adapters.contract import Attachment, Card, CardId, ConversationRef, Inbound, Limits, MessageRef, Person
from adapters.errors import AttachmentRefused, MessageGone, PlatformDown, RateLimited


@dataclass(frozen=True)
class Lost:
    """The call happens, but the caller is told that its outcome is unknown."""


@dataclass(frozen=True)
class Held:
    """The call waits at a gate: before it happens, or after."""

    gate: asyncio.Event
    when: Literal["before", "after"] = "before"


Trouble = Exception | Lost | Held | None


@dataclass(frozen=True)
class Call:
    """Something the bot asked of the platform."""

    kind: Literal["post", "edit", "find"]
    at: float  # monotonic seconds
    conversation: str
    card_id: str
    status: str = ""


class MemoryPlatform:
    """Implements `ChatAdapter`. `messages` is what people see."""

    def __init__(
        self, *, edit_interval_s: float = 0.0, platform: Literal["web", "slack", "discord"] = "web"
    ) -> None:
        self.platform: Literal["web", "slack", "discord"] = platform
        self.limits = Limits(text=4_000, buttons=5, button_label=75, edit_interval_s=edit_interval_s)
        self.messages: dict[str, Card] = {}
        self.places: dict[str, str] = {}  # message id → conversation key
        self.calls: list[Call] = []
        self.troubles: defaultdict[str, deque[Trouble]] = defaultdict(deque)
        self.files: dict[str, bytes] = {}
        self.too_early: list[Call] = []  # calls that ignored a 429
        self.under_way_s = 0.0  # so long after a 429 another card's call may come: it was on its way already
        self._closed_until: defaultdict[tuple[str, bool], float] = defaultdict(float)
        self._closed_by: dict[tuple[str, bool], Call] = {}
        self._changed = asyncio.Event()
        self.trouble = ""
        self.lacking = ""
        self.lines: list[tuple[str, str]] = []  # (conversation key, text) of every `busy`

    # ── for tests ────────────────────────────────────────────────────────────────────────────

    def go_wrong(self, kind: str, *troubles: Trouble) -> None:
        """What happens to the next calls of a kind, one after the other; None: nothing."""
        self.troubles[kind].extend(troubles)

    def made(self, kind: str, card: str = "") -> list[Call]:
        return [c for c in self.calls if c.kind == kind and card in c.card_id]

    def forgive(self) -> None:
        """Nobody is asked to wait any more."""
        self._closed_until.clear()

    def delete(self, card: str) -> None:
        """A person deletes the message."""
        for message_id in [i for i, c in self.messages.items() if card in c.id]:
            del self.messages[message_id]

    def seen(self, conversation: ConversationRef | None = None) -> list[Card]:
        return [
            c for i, c in self.messages.items() if conversation is None or self.places[i] == conversation.key
        ]

    async def until(self, wanted: object, within_s: float = 60.0) -> None:
        """Wait until `wanted()` holds; asked whenever a call was made."""
        assert callable(wanted)
        async with asyncio.timeout(within_s):
            while not wanted():
                self._changed.clear()
                await self._changed.wait()

    # ── ChatAdapter ──────────────────────────────────────────────────────────────────────────

    def routes(self) -> Sequence[BaseRoute]:
        return ()

    async def start(self, inbound: Inbound) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        assert nonce
        trouble = await self._begin("post", conversation, card.id, card.status)
        message_id = f"m{len(self.places) + 1}"
        self.messages[message_id] = card
        self.places[message_id] = conversation.key
        await self._end(trouble)
        return MessageRef(conversation=conversation, message_id=message_id)

    async def edit(self, message: MessageRef, card: Card) -> MessageRef:
        trouble = await self._begin("edit", message.conversation, card.id, card.status)
        if message.message_id not in self.messages:
            self._changed.set()
            raise MessageGone("the message was deleted")
        assert self.messages[message.message_id].id == card.id, "an edit may not put one card over another"
        self.messages[message.message_id] = card
        await self._end(trouble)
        return message

    async def find(self, conversation: ConversationRef, card_id: CardId) -> MessageRef | None:
        trouble = await self._begin("find", conversation, card_id)
        await self._end(trouble)
        for message_id, card in self.messages.items():
            if card.id == card_id and self.places[message_id] == conversation.key:
                return MessageRef(conversation=conversation, message_id=message_id)
        return None

    async def note(self, conversation: ConversationRef, person: Person, text: str) -> None:
        pass

    async def busy(self, conversation: ConversationRef, text: str) -> None:
        self.lines.append((conversation.key, text))
        self._changed.set()

    async def download(self, attachment: Attachment) -> bytes:
        if attachment.id not in self.files:
            raise AttachmentRefused(f"{attachment.name} is no longer there; send it again")
        return self.files[attachment.id]

    async def _begin(
        self,
        kind: Literal["post", "edit", "find"],
        conversation: ConversationRef,
        card: str,
        status: str = "",
    ) -> Trouble:
        await asyncio.sleep(0)
        call = Call(kind, time.monotonic(), conversation.key, card, status)
        self.calls.append(call)
        self._changed.set()
        progress = card.endswith(":status")  # a limit on progress is none on what people wait for
        if call.at < self._closed_until[(conversation.key, progress)]:
            closed = self._closed_by[(conversation.key, progress)]
            if closed.card_id == card or call.at > closed.at + self.under_way_s:
                self.too_early.append(call)
        trouble = self.troubles[kind].popleft() if self.troubles[kind] else None
        if isinstance(trouble, RateLimited):
            self._closed_until[(conversation.key, progress)] = call.at + trouble.retry_after_s
            self._closed_by[(conversation.key, progress)] = call
        if isinstance(trouble, Exception):
            raise trouble
        if isinstance(trouble, Held) and trouble.when == "before":
            await trouble.gate.wait()
        return trouble

    async def _end(self, trouble: Trouble) -> None:
        self._changed.set()
        if isinstance(trouble, Held) and trouble.when == "after":
            await trouble.gate.wait()
        if isinstance(trouble, Lost):
            raise PlatformDown("no answer", outcome_unknown=True)
