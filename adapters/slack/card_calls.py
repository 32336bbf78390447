"""The calls that show one card: post, update and delete its messages, attach its files.

`posted` is written before what may be left in doubt, and after it: a crash between the two leaves a row
that says "one more was begun".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from adapters.contract import Card, ConversationRef
from adapters.errors import AdapterError, MessageGone, NotAllowed, PlatformDown
from adapters.slack import uploads
from adapters.slack.looking import CARD_EVENT
from adapters.slack.outbound import SlackFile, SlackMessage
from adapters.slack.plainer import Plainer
from adapters.slack.ports import SlackRefused
from adapters.slack.posted import FILE, Posted, Row
from adapters.slack.streams import Streams, stop_target
from adapters.slack.uploads import Calls
from adapters.urgency import Urgency

log = structlog.get_logger(__name__)

URGENCY = {
    "status": Urgency.PROGRESS,
    "approval": Urgency.ANSWER,
    "answer": Urgency.ANSWER,
    "error": Urgency.ANSWER,
    "reply": Urgency.REPLY,
    "picture": Urgency.PROGRESS,
}
UPDATED = 4_000  # characters of text that chat.update takes, while chat.postMessage takes 40,000
# What Slack must not do with our text: show previews of links, turn words into mentions.
QUIET_TEXT = {"link_names": False, "parse": "none"}
QUIET = {**QUIET_TEXT, "unfurl_links": False, "unfurl_media": False}


class CardCalls:
    """The calls for one version of a card.

    Args:
        parts: of how many messages it consists.
    """

    def __init__(
        self, api: Calls, plainer: Plainer, posted: Posted, streams: Streams, card: Card, parts: int
    ) -> None:
        self._api = api
        self._plainer = plainer
        self._posted = posted
        self._streams = streams
        self._card = card
        self._parts = parts
        self._urgency = URGENCY[card.kind]

    def noted(self, digests: tuple[str, ...]) -> tuple[str, ...]:
        """What is written down of what the messages show: status cards change too often for that."""
        return () if self._card.kind == "status" else digests

    async def first(self, conversation: ConversationRef, message: SlackMessage) -> Row:
        """Post the card's first message; its row is saved."""
        ts = await self._post(conversation, 0, message)
        row = Row(
            self._card.id,
            conversation,
            ts,
            kind=self._card.kind,
            stop_target=stop_target(self._card),
            drawn=self.noted((digest_of(message),)),
        )
        await self._posted.save(row)
        return row

    async def further(self, row: Row, number: int, message: SlackMessage) -> Row:
        """Post one more message."""
        row = await self._begin(row)
        try:
            ts = await self._post(row.conversation, number, message)
        except AdapterError as error:
            await self._undone(row, error)
            raise
        row = replace(row, parts=(*row.messages[1:], ts, *row.files))
        await self._posted.save(row)
        return row

    async def update(self, row: Row, number: int, message: SlackMessage) -> None:
        """Edit a message. Raises MessageGone if it was the first and is gone."""
        ts = row.messages[number]

        async def send(shown: Mapping[str, Any]) -> None:
            arguments = {
                "channel": row.conversation.channel,
                "ts": ts,
                "metadata": self._metadata(number),
                "blocks": shown["blocks"],
                "text": _editable(shown),
                **QUIET_TEXT,
            }
            try:
                await self._call(row.conversation, "chat.update", arguments)
            except SlackRefused as error:
                if error.code != "streaming_state_conflict":
                    raise
                # An open stream that we did not know of.
                await self._streams.stop(row)
                await self._call(row.conversation, "chat.update", arguments)

        try:
            await self._plainer.send(row.conversation.workspace, message, send)
        except MessageGone:
            if number == 0:
                raise
            # A person deleted a further part: that part does not come back, the others stay fresh.
            log.info("a part of a card was deleted", action="slack_part_gone", card=self._card.id)

    async def delete(self, row: Row, ts: str) -> Row:
        """Delete a message that the card needs no more."""
        with contextlib.suppress(MessageGone):
            await self._call(row.conversation, "chat.delete", {"channel": row.conversation.channel, "ts": ts})
        parts = tuple(part for part in row.parts if part != ts)
        row = replace(row, parts=parts, total=1 + len(parts))
        await self._posted.save(row)
        return row

    async def upload(self, row: Row, files: Sequence[SlackFile]) -> Row:
        """Attach files; without the permission for it they are left out."""
        try:
            ready = await uploads.prepare(self._api, row.conversation.workspace, files, self._urgency)
            row = await self._begin(row)
            try:
                ids = await uploads.show(self._api, row.conversation, ready, self._urgency)
            except AdapterError as error:
                row = await self._undone(row, error)
                raise
        except (NotAllowed, SlackRefused) as error:
            # The messages are there; a missing scope for files must not make the card count as refused.
            log.warning(
                "files were not attached", action="slack_files_refused", card=self._card.id, error=str(error)
            )
            return row
        parts = (*row.parts, *(FILE + each for each in ids))
        row = replace(row, parts=parts, total=1 + len(parts))
        await self._posted.save(row)
        return row

    async def _post(self, conversation: ConversationRef, number: int, message: SlackMessage) -> str:
        async def send(shown: Mapping[str, Any]) -> str:
            arguments = {
                "channel": conversation.channel,
                "metadata": self._metadata(number),
                **{key: value for key, value in shown.items() if value},
                **QUIET,
            }
            if conversation.thread:
                arguments["thread_ts"] = conversation.thread
            return str((await self._call(conversation, "chat.postMessage", arguments))["ts"])

        return await self._plainer.send(conversation.workspace, message, send)

    async def _begin(self, row: Row) -> Row:
        row = replace(row, total=2 + len(row.parts))
        await self._posted.save(row)
        return row

    async def _undone(self, row: Row, error: AdapterError) -> Row:
        """What surely did not happen leaves no doubt."""
        if not (isinstance(error, PlatformDown) and error.outcome_unknown):
            row = replace(row, total=1 + len(row.parts))
            await self._posted.save(row)
        return row

    async def _call(
        self, conversation: ConversationRef, method: str, arguments: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return await self._api.call(conversation.workspace, method, arguments, urgency=self._urgency)

    def _metadata(self, number: int) -> dict[str, Any]:
        payload = {"card": self._card.id, "part": number, "parts": self._parts}
        return {"event_type": CARD_EVENT, "event_payload": payload}


def digest_of(message: SlackMessage) -> str:
    """Which version of a message this is."""
    whole = json.dumps([message.text, message.blocks], sort_keys=True, default=str)
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def _editable(shown: Mapping[str, Any]) -> str:
    """The text as far as chat.update takes it: where the blocks show it all, the rest of it may go."""
    text = str(shown["text"])
    if len(text) <= UPDATED or not shown["blocks"]:
        return text
    cut = text[:UPDATED]
    return cut[: cut.rindex("&")] if re.search(r"&[a-z]{0,3}$", cut) else cut
