"""Answer those who pressed or typed something: once, in time, and to them alone.

Discord waits 3 s for the first answer to an interaction; after it the interaction's own token serves for a
quarter of an hour. What takes longer than 2 s is told to wait for, and then only follow-ups are possible.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from adapters.contract import ConversationRef
from adapters.discord.inbound import Arrival, place
from adapters.discord.outbound import DiscordMessage
from adapters.discord.payload import ident, user_of
from adapters.discord.ports import Api, DiscordRefused
from adapters.errors import AdapterError, PlatformDown
from adapters.later import Later
from adapters.payload import mapping, text
from adapters.urgency import Urgency

DEFER_S = 2.0  # Discord waits for 3
ANSWER_S = 3.0  # so long Discord waits for the first answer
FIRST_TRY_S = 1.0  # of it the first try may take; a second one has to get through
LAST_TRY_S = 3.0
UPLOAD_S = 10.0  # an answer with files takes longer; Discord waits for what it has begun to read
TOKEN_S = 14 * 60.0  # a quarter of an hour, less what a call may take
KEPT = 5_000  # interactions whose tokens are remembered
EPHEMERAL = 1 << 6
SAID, DEFERRED, UPDATED_LATER, MODAL = 4, 5, 6, 9  # types of answers
ANSWERED_ALREADY = 40060

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Pending:
    """An interaction and how far it is answered."""

    id: str
    application: str
    token: str = field(repr=False)
    until: float  # monotonic seconds: the end of its token
    came: float  # monotonic seconds
    on_message: bool  # it came from a button, or from a form that a button had opened
    state: Literal["open", "waiting", "quiet", "answered", "dead"] = "open"
    """Not answered; told to wait, seen; told to wait, not seen; answered; of no use any more."""
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)


class Answers:
    """The answers to interactions.

    Args:
        api: Discord's REST API.
        defer_s: seconds after which somebody is told to wait.
    """

    def __init__(self, api: Api, *, defer_s: float = DEFER_S) -> None:
        self._api = api
        self._defer_s = defer_s
        self._pending: OrderedDict[str, Pending] = OrderedDict()  # by Arrival.key
        self._latest: OrderedDict[tuple[str, str], Pending] = OrderedDict()  # by conversation and person

    def expect(self, arrival: Arrival, later: Later, since: float) -> None:
        """Somebody waits.

        Args:
            later: holds the waiting.
            since: when it came, in seconds of `time.monotonic`.
        """
        pending = _pending(arrival, TOKEN_S)
        if pending is None or arrival.key in self._pending:
            return
        pending.came = since
        self._pending[arrival.key] = pending
        there = (place(arrival.payload).key, ident(user_of(arrival.payload), "id"))
        self._latest[there] = pending
        self._latest.move_to_end(there)
        for kept in (self._pending, self._latest):
            while len(kept) > KEPT:
                kept.popitem(last=False)
        later.do(self._defer(pending, since))

    def clear(self) -> None:
        """Forget all tokens."""
        self._pending.clear()
        self._latest.clear()

    # ── answering ────────────────────────────────────────────────────────────────────────────

    async def form(self, arrival: Arrival, drawn: Mapping[str, Any]) -> bool:
        """Open a form. False: it is too late for that; nothing was answered."""
        pending = self._pending.get(arrival.key)
        if pending is None:
            return False
        async with pending.one_at_a_time:
            return pending.state == "open" and await self._first(pending, MODAL, drawn)

    async def tell(self, arrival: Arrival, messages: Sequence[DiscordMessage]) -> bool:
        """Show something to who pressed or typed it. False: the token is dead; nothing was shown."""
        pending = self._pending.get(arrival.key)
        if pending is not None:
            return await self._tell(pending, messages)
        # Of before a restart: whether it was answered is not known. A follow-up shows that.
        old = _pending(arrival, TOKEN_S)
        if old is None:
            return False
        old.state = "answered"
        return await self._tell(old, messages)

    async def seen(self, arrival: Arrival) -> None:
        """There is nothing to say: the card itself shows it."""
        pending = self._pending.get(arrival.key)
        if pending is None:
            return
        async with pending.one_at_a_time:
            if pending.state == "open" and pending.on_message:
                await self._first(pending, UPDATED_LATER, None)
            elif pending.state == "waiting":
                await self._original(pending, "DELETE", None)
                pending.state = "answered"

    async def aside(
        self, conversation: ConversationRef, person: str, messages: Sequence[DiscordMessage]
    ) -> bool:
        """Show something to a person who pressed something there lately. False: that cannot be."""
        pending = self._latest.get((conversation.key, person))
        if pending is None:
            return False
        async with pending.one_at_a_time:
            if pending.state in ("open", "waiting"):
                return False  # whoever works on it will answer: that answer is not ours
            return all([await self._show(pending, message) for message in messages])

    async def _tell(self, pending: Pending, messages: Sequence[DiscordMessage]) -> bool:
        async with pending.one_at_a_time:
            return all([await self._show(pending, message) for message in messages])

    async def _show(self, pending: Pending, message: DiscordMessage) -> bool:
        if pending.state == "dead" or time.monotonic() > pending.until:
            return False
        if pending.state == "open":
            return await self._first(pending, SAID, _ephemeral(message), message)
        if pending.state == "waiting":
            pending.state = "answered"
            return await self._original(pending, "PATCH", message)
        path = f"/webhooks/{pending.application}/{pending.token}"
        return await self._sent(pending, "POST", path, _ephemeral(message), message)

    # ── the calls ────────────────────────────────────────────────────────────────────────────

    async def _defer(self, pending: Pending, since: float) -> None:
        await asyncio.sleep(max(self._defer_s - (time.monotonic() - since), 0.0))
        async with pending.one_at_a_time:
            if pending.state != "open":
                return
            if pending.on_message:
                await self._first(pending, UPDATED_LATER, None)
            else:
                await self._first(pending, DEFERRED, {"flags": EPHEMERAL})

    async def _first(
        self,
        pending: Pending,
        kind: int,
        data: Mapping[str, Any] | None,
        message: DiscordMessage | None = None,
    ) -> bool:
        body = {"type": kind, **({"data": data} if data is not None else {})}
        path = f"/interactions/{pending.id}/{pending.token}/callback"
        sent = await self._sent(pending, "POST", path, body, message)
        if sent:
            pending.state = {DEFERRED: "waiting", UPDATED_LATER: "quiet"}.get(kind, "answered")  # pyright: ignore[reportAttributeAccessIssue]
        return sent

    async def _original(self, pending: Pending, method: str, message: DiscordMessage | None) -> bool:
        path = f"/webhooks/{pending.application}/{pending.token}/messages/@original"
        return await self._sent(pending, method, path, message.body if message else None, message)

    async def _sent(
        self,
        pending: Pending,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        message: DiscordMessage | None,
    ) -> bool:
        first_answer = path.endswith("/callback")
        for last in (False, True):
            files = message.files if message is not None else ()
            limit_s = _limit_s(pending, last=last, files=bool(files)) if first_answer else None
            try:
                async with asyncio.timeout(limit_s):
                    await self._api.call(method, path, body, urgency=Urgency.PERSON, files=files)
            except TimeoutError:
                if last:
                    return self._unanswered(pending, PlatformDown("Discord does not answer"))
            except DiscordRefused as error:
                if error.code == ANSWERED_ALREADY:  # the first try had arrived
                    return True
                return self._unanswered(pending, error)
            except PlatformDown as error:
                if not first_answer:
                    log.info("Discord is not reached.", action="discord.no_follow_up", error=str(error)[:200])
                    return False
                if last:
                    return self._unanswered(pending, error)
            except AdapterError as error:
                return self._unanswered(pending, error)
            else:
                return True
        return False

    def _unanswered(self, pending: Pending, error: AdapterError) -> bool:
        pending.state = "dead"
        log.info("An interaction could not be answered.", action="discord.unanswered", error=str(error)[:200])
        return False


def _pending(arrival: Arrival, seconds: float) -> Pending | None:
    payload = arrival.payload
    interaction, application, token = (
        ident(payload, "id"),
        ident(payload, "application_id"),
        text(payload, "token"),
    )
    if not (interaction and application and _is_token(token)):
        return None
    on_message = bool(ident(mapping(payload.get("message")), "id"))
    now = time.monotonic()
    return Pending(interaction, application, token, now + seconds, now, on_message)


def _limit_s(pending: Pending, *, last: bool, files: bool) -> float:
    """How long one try of the first answer may take: one that hangs leaves time for the other."""
    if files:
        return UPLOAD_S
    if last:
        return LAST_TRY_S
    left = ANSWER_S - (time.monotonic() - pending.came)
    return min(FIRST_TRY_S, max(left / 2, FIRST_TRY_S / 2))


def _is_token(token: str) -> bool:
    """Whether it may stand in a path."""
    return 0 < len(token) <= 1_000 and token.isascii() and all(c.isalnum() or c in "-_.=" for c in token)


def _ephemeral(message: DiscordMessage) -> dict[str, Any]:
    return {**message.body, "flags": int(message.body.get("flags", 0)) | EPHEMERAL}
