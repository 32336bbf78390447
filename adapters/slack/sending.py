"""Show cards on Slack: post, edit, find; private notes; the line that says we work.

A card is one or more messages and perhaps files. `posted` says what is there; only where the outcome of
a post is not known is Slack itself asked. So a card that was interrupted anywhere is completed, and
nothing of it is posted twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import structlog

from adapters.contract import Card, CardId, ConversationRef, MessageRef, Person
from adapters.database import Database
from adapters.errors import (
    AdapterError,
    ConversationGone,
    NotAllowed,
    PlatformDown,
    RateLimited,
)
from adapters.slack import outbound
from adapters.slack.busy import Busy
from adapters.slack.card_calls import QUIET, QUIET_TEXT, CardCalls, digest_of
from adapters.slack.looking import Found, look
from adapters.slack.outbound import SlackMessage
from adapters.slack.plainer import Plainer
from adapters.slack.ports import SlackRefused
from adapters.slack.posted import FILE, Posted, Row
from adapters.slack.streams import AGE_S, Progress, Streams, stop_target
from adapters.slack.uploads import Calls
from adapters.urgency import Urgency

log = structlog.get_logger(__name__)

KEPT = 5_000  # cards whose last drawing is remembered
DRAWN_HERE = 4_000  # characters of a card; a longer one is drawn on another thread
TEND_S = 5.0  # streams and status lines are looked after this often
PRUNE_S = 86_400.0
# Seconds between a status card's edits, by how many it has had: a long run does not need the pace of a short
# one. What people can press and what a run waits for is shown at once.
CADENCE_S = (0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 5.0)


@dataclass(slots=True)
class _Edits:
    """How often a status card was edited lately."""

    count: int
    at: float
    mark: str


class Sender:
    """What goes out to Slack.

    Args:
        api: Slack.
        database: slack.db, open.
        progress: how status cards are shown: see `Streams`.
        clock: epoch seconds.
    """

    def __init__(
        self,
        api: Calls,
        database: Database,
        *,
        progress: Progress = "auto",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.posted = Posted(database, clock)
        self._api = api
        self._streams = Streams(api, self.posted, progress, clock)
        self._busy = Busy(api)
        self._plainer = Plainer()
        self._clock = clock
        self._locks: WeakValueDictionary[CardId, asyncio.Lock] = WeakValueDictionary()
        self._drawn: OrderedDict[CardId, tuple[str, ...]] = (
            OrderedDict()
        )  # digest of each message; "" unknown
        self._texts: OrderedDict[CardId, tuple[str, ...]] = OrderedDict()  # of messages found on Slack
        self._absent: OrderedDict[CardId, None] = OrderedDict()  # surely not posted
        self._edits: OrderedDict[CardId, _Edits] = OrderedDict()
        self._tending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look after what is open. May be called twice."""
        if self._tending is None or self._tending.done():
            self._tending = asyncio.create_task(self._tend(), name="slack:tend")

    async def stop(self) -> None:
        """Look after nothing any more. May be called twice."""
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
            if row is not None:
                return (await self._bring(row, card)).ref
            self._absent.pop(card.id, None)
            try:
                row = await self._streams.open(conversation, card)
                if row is None:
                    row = await self._bring(None, card, conversation)
            except AdapterError as error:
                if not (isinstance(error, PlatformDown) and error.outcome_unknown):
                    _keep(self._absent, card.id, None)
                raise
            self._busy.said(conversation)
            return row.ref

    async def edit(self, message: MessageRef, card: Card) -> MessageRef:
        """See `ChatAdapter.edit`. Messages that did not change cost no call."""
        async with self._lock(card.id):
            row = await self.posted.get(card.id)
            if row is None:  # our file was lost: the handle says enough
                row = Row(card.id, message.conversation, message.message_id, message.parts, kind=card.kind)
                row = replace(row, total=1 + len(row.parts))
            self._check_cadence(card)
            row = await self._bring(row, card)
            return row.ref

    async def find(self, conversation: ConversationRef, card_id: CardId) -> MessageRef | None:
        """See `ChatAdapter.find`. Slack is asked only if nothing here says for sure."""
        async with self._lock(card_id):
            row = await self.posted.get(card_id)
            if row is not None:
                return row.ref  # an edit completes what may be missing
            if card_id in self._absent:
                return None
            found = await look(self._api, conversation, card_id, Urgency.ANSWER)
            messages = found.messages
            if not messages:
                _keep(self._absent, card_id, None)
                return None
            row = Row(
                card_id,
                conversation,
                messages[0],
                tuple(messages[1:]),
                total=len(messages) + 1,  # whether more of it is there shows when it is drawn
                stream=json.dumps({"opened": float(messages[0])}) if found.streaming else "",
            )
            await self.posted.save(row)
            _keep(self._texts, card_id, tuple(found.texts[number] for number in range(len(messages))))
            return row.ref

    async def note(self, conversation: ConversationRef, person: Person, text: str) -> None:
        """See `ChatAdapter.note`: only this person sees it; a direct message where Slack has no other way.

        Slack shows it in a thread only where somebody has replied; before that it stands in the channel.

        Raises:
            AdapterError: it could not be said in any way.
        """
        drawn = outbound.draw_note(text)
        team = conversation.workspace
        in_thread = bool(conversation.thread) and await self.posted.has_replies(conversation)

        async def whisper(shown: Mapping[str, Any]) -> None:
            arguments = {"channel": conversation.channel, "user": person.id, **shown, **QUIET_TEXT}
            if in_thread:
                arguments["thread_ts"] = conversation.thread
            await self._api.call(team, "chat.postEphemeral", arguments, urgency=Urgency.PERSON)

        async def write(shown: Mapping[str, Any]) -> None:
            opened = await self._api.call(
                team, "conversations.open", {"users": person.id}, urgency=Urgency.PERSON
            )
            arguments = {"channel": str(opened["channel"]["id"]), **shown, **QUIET}
            await self._api.call(team, "chat.postMessage", arguments, urgency=Urgency.PERSON)

        try:
            await self._plainer.send(team, drawn, whisper)
        except (NotAllowed, ConversationGone, SlackRefused) as error:
            log.info("a note becomes a direct message", action="slack_note_direct", error=str(error))
            await self._plainer.send(team, drawn, write)

    async def busy(self, conversation: ConversationRef, text: str) -> None:
        """See `ChatAdapter.busy`."""
        await self._busy.set(conversation, text)

    # ── one card ─────────────────────────────────────────────────────────────────────────────

    async def _bring(self, row: Row | None, card: Card, conversation: ConversationRef | None = None) -> Row:
        """Bring what is on Slack to `card`: edit, post, delete what it takes, noting each step."""
        if row is not None and row.stream:
            row, shown = await self._streams.change(row, card)
            if shown:
                return await self._settle(row, card)
        messages = await _draw(card)
        files = [file for message in messages for file in message.files]
        sending = CardCalls(self._api, self._plainer, self.posted, self._streams, card, len(messages))
        digests = tuple(digest_of(message) for message in messages)
        if row is None:
            assert conversation is not None
            row = await sending.first(conversation, messages[0])
            before = digests[:1]
        else:
            before = self._drawn.pop(card.id, row.drawn)
            if row.drawn and row.drawn != digests:
                row = replace(row, drawn=())  # what a crash would leave is not known
                await self.posted.save(row)
        if row.in_doubt and len(messages) + len(files) > 1 + len(row.parts):
            row = await self._look_again(row, [(file.name, file.title) for file in files])
        texts = self._texts.get(card.id, ()) if card.kind not in outbound.EDITED else ()
        shown = [*before, *[""] * len(messages)][: len(messages)]
        for number, message in enumerate(messages[: len(texts)]):
            if texts[number] == message.text:
                shown[number] = digests[number]
        try:
            for number, message in enumerate(messages):
                if number >= len(row.messages):
                    row = await sending.further(row, number, message)
                elif shown[number] != digests[number]:
                    shown[number] = ""  # not known until the call returns
                    await sending.update(row, number, message)
                shown[number] = digests[number]
            for ts in row.messages[len(messages) :]:
                row = await sending.delete(row, ts)
            if files and not row.files:
                row = await sending.upload(row, files)
        finally:
            _keep(self._drawn, card.id, tuple(shown))
        self._texts.pop(card.id, None)
        return await self._settle(row, card, sending.noted(digests))

    async def _look_again(self, row: Row, names: Sequence[tuple[str, str]]) -> Row:
        """Ask Slack which messages and files of a card are there, after an unknown outcome."""
        found = await look(self._api, row.conversation, row.card_id, Urgency.ANSWER)
        messages = found.messages if found.messages[:1] == [row.ts] else list(row.messages)
        files = row.files or _own_files(found, row.ts, names)
        parts = (*messages[1:], *files)
        row = replace(row, parts=parts, total=1 + len(parts))
        await self.posted.save(row)
        return row

    async def _settle(self, row: Row, card: Card, drawn: tuple[str, ...] = ()) -> Row:
        """Note what the card is now: all of it is there."""
        settled = replace(
            row, stop_target=stop_target(card), kind=card.kind, drawn=drawn, total=1 + len(row.parts)
        )
        if settled != row:
            await self.posted.save(settled)
        return settled

    def _check_cadence(self, card: Card) -> None:
        """Raise RateLimited while a status card was edited often enough."""
        if card.kind != "status":
            return
        mark = f"{card.status}\0{[(b.action, b.target) for b in card.buttons]}"
        now = time.monotonic()
        edits = self._edits.pop(card.id, None)
        if edits is None or edits.mark != mark:
            edits = _Edits(edits.count if edits else 0, now, mark)
        else:
            left = edits.at + CADENCE_S[min(edits.count, len(CADENCE_S) - 1)] - now
            if left > 0:
                _keep(self._edits, card.id, edits)
                raise RateLimited("this status card was edited a moment ago", retry_after_s=left)
            edits = _Edits(edits.count + 1, now, mark)
        _keep(self._edits, card.id, edits)

    def _lock(self, card_id: CardId) -> asyncio.Lock:
        return self._locks.setdefault(card_id, asyncio.Lock())

    # ── what is open ─────────────────────────────────────────────────────────────────────────

    async def tend(self) -> None:
        """Close streams that nobody edits before Slack does; keep status lines from expiring."""
        for row in await self.posted.open_streams():
            if self._streams.age(row) < AGE_S:
                continue
            async with self._lock(row.card_id):
                now = await self.posted.get(row.card_id)
                if now is not None and now.stream:
                    await self._streams.close_old(now)
        await self._busy.refresh()

    async def _tend(self) -> None:
        pruned = float("-inf")
        while True:
            try:
                if time.monotonic() - pruned > PRUNE_S:
                    await self.posted.prune()
                    pruned = time.monotonic()
                await self.tend()
            except Exception:
                # A full disk passes; without this task streams would end in Slack's error.
                log.exception("streams could not be looked after", action="slack_tend_failed")
            await asyncio.sleep(TEND_S)


async def _draw(card: Card) -> list[SlackMessage]:
    if len(card.model_dump_json()) < DRAWN_HERE:
        return outbound.draw(card)
    return await asyncio.to_thread(outbound.draw, card)


def _own_files(found: Found, since: str, names: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The ids of the named files, if all of them were shown together after the card's first message."""
    ids: list[str] = []
    for name, title in names:
        wanted = {name, title}
        for ts, each, its_name, its_title in found.files:
            if float(ts) > float(since) and {its_name, its_title} & wanted and FILE + each not in ids:
                ids.append(FILE + each)
                break
    return tuple(ids) if len(ids) == len(names) else ()


def _keep(memory: OrderedDict[CardId, Any], card_id: CardId, value: object) -> None:
    memory[card_id] = value
    memory.move_to_end(card_id)
    while len(memory) > KEPT:
        memory.popitem(last=False)
