"""Status cards as Slack's streams: opened, appended to, closed in time, and taken over by `chat.update`.

A stream is a message like any other once it is stopped, so a run has one status card whatever happens.
Slack closes a stream about 5 minutes after its start and refuses more than about 12,000 characters; we
stop before both. Nothing here waits: where there is no room for a stream the card is an ordinary message.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import structlog

from adapters.contract import Card, CardId, ConversationRef
from adapters.errors import AdapterError, CardRefused, MessageGone, NotAllowed, PlatformDown, RateLimited
from adapters.slack import stream_drawing
from adapters.slack.looking import CARD_EVENT
from adapters.slack.ports import Api, SlackRefused
from adapters.slack.posted import Posted, Row
from adapters.urgency import Urgency

log = structlog.get_logger(__name__)

Progress = Literal["auto", "stream", "blocks"]

AGE_S = 240.0  # Slack closes streams after about 300 s
HARD_AGE_S = 285.0  # past this nothing is appended any more
CHARACTERS = 9_000  # Slack refuses more than about 12,000
HARD_CHARACTERS = 11_500
REFUSED_S = 3_600.0  # a workspace without streams is asked again after this
REFUSED_ONCE_S = 60.0
KEPT = 5_000
# Slack's words for "this place has no streams".
_NO_STREAMS = frozenset(
    {
        "unknown_method",
        "method_deprecated",
        "feature_not_enabled",
        "not_allowed",
        "channel_type_not_supported",
        "team_not_found",
        "invalid_arguments",
        "missing_recipient_user_id",
        "missing_recipient_team_id",
        "user_not_found",
    }
)
CLOSED = "message_not_in_streaming_state"


@dataclass(slots=True)
class _Open:
    card: Card  # what it shows
    size: int  # characters so far


class Streams:
    """The open streams.

    Args:
        api: Slack.
        posted: where open streams are noted.
        progress: "blocks": never a stream; else one where the place has them and there is room.
        clock: epoch seconds.
    """

    def __init__(
        self, api: Api, posted: Posted, progress: Progress, clock: Callable[[], float] = time.time
    ) -> None:
        self._api = api
        self._posted = posted
        self._progress = progress
        self._clock = clock
        self._open: OrderedDict[CardId, _Open] = OrderedDict()
        self._without: OrderedDict[str, float] = OrderedDict()  # workspace or channel → asked again at

    async def open(self, conversation: ConversationRef, card: Card) -> Row | None:
        """Show a new status card as a stream.

        Returns:
            Its row, saved; None: no stream here now, show it as an ordinary message.

        Raises:
            PlatformDown, ConversationGone: as an ordinary post would.
        """
        if self._progress == "blocks" or card.kind != "status" or not conversation.thread:
            return None
        if not any(button.action == "stop" for button in card.buttons):
            return None  # nothing more will come
        if not any(part.kind == "rows" and part.rows for part in card.parts):
            return None  # without tasks nothing of it could be found again after a crash
        place = conversation.channel_key
        if max(self._without.get(conversation.workspace, 0.0), self._without.get(place, 0.0)) > self._clock():
            return None
        chunks = stream_drawing.opening(card)
        size = stream_drawing.size(chunks)
        if size > CHARACTERS:
            return None
        arguments: dict[str, Any] = {
            "channel": conversation.channel,
            "thread_ts": conversation.thread,
            "task_display_mode": "plan",
            "chunks": chunks,
        }
        user, team = await self._posted.requester(conversation)
        if user:
            arguments |= {"recipient_user_id": user, "recipient_team_id": team or conversation.workspace}
        elif not conversation.channel.startswith("D"):
            return None  # Slack wants to know for whom it streams into a channel
        try:
            answer = await self._api.call(
                conversation.workspace, "chat.startStream", arguments, urgency=Urgency.PROGRESS
            )
        except RateLimited:
            return None
        except NotAllowed as error:
            self._go_without(conversation.workspace, error, REFUSED_S)
            return None
        except SlackRefused as error:
            # A word that we do not know may mean this thread alone.
            pause = REFUSED_S if error.code in _NO_STREAMS else REFUSED_ONCE_S
            self._go_without(
                conversation.workspace if error.code == "unknown_method" else place, error, pause
            )
            return None
        except CardRefused as error:
            log.warning("a stream was refused", action="slack_stream_refused", card=card.id, error=str(error))
            return None
        row = Row(
            card.id,
            conversation,
            str(answer["ts"]),
            kind=card.kind,
            stop_target=stop_target(card),
            stream=json.dumps({"opened": self._clock()}),
        )
        await self._posted.save(row)
        self._keep(card.id, _Open(card, size))
        return row

    async def change(self, row: Row, card: Card) -> tuple[Row, bool]:
        """Bring an open stream to `card`, or close it where that does not go on.

        Returns:
            The row, and whether the message shows `card`. Where the row's `stream` is "" it is an ordinary
            message now.

        Raises:
            RateLimited: no room now.
            PlatformDown, MessageGone: as an ordinary edit would.
        """
        known = self._open.get(row.card_id)
        chunks = None if known is None else stream_drawing.changes(known.card, card)
        if known is None or chunks is None:  # opened before a restart, or chunks cannot say it
            return await self.stop(row), False
        size, age = known.size + stream_drawing.size(chunks), self.age(row)
        if size > HARD_CHARACTERS or age > HARD_AGE_S:
            return await self.stop(row), False
        try:
            if size > CHARACTERS or age > AGE_S:
                return await self._end(row, chunks), True
            if chunks:
                arguments = {"channel": row.conversation.channel, "ts": row.ts, "chunks": chunks}
                await self._api.call(
                    row.conversation.workspace, "chat.appendStream", arguments, urgency=Urgency.PROGRESS
                )
        except RateLimited as error:
            try:
                return await self.stop(row), False
            except RateLimited:
                raise error from None
        except SlackRefused as error:
            if error.code == CLOSED:
                return await self._closed(row), False
            log.warning("a stream broke off", action="slack_stream_broke", card=row.card_id, error=str(error))
            return await self.stop(row), False
        except CardRefused:  # too long, or chunks that this workspace does not take
            return await self.stop(row), False
        known.card, known.size = card, size
        return row, True

    async def stop(self, row: Row) -> Row:
        """Close a stream; its message stays as it is and can be edited.

        Raises:
            RateLimited, PlatformDown, MessageGone.
        """
        try:
            return await self._end(row, [])
        except (SlackRefused, NotAllowed, CardRefused) as error:
            # Closed by Slack, or by us before a crash. Whatever else it is, chat.update will tell.
            if not (isinstance(error, SlackRefused) and error.code == CLOSED):
                log.warning(
                    "a stream was not stopped", action="slack_stream_stop", card=row.card_id, error=str(error)
                )
        return await self._closed(row)

    async def _end(self, row: Row, chunks: list[stream_drawing.Chunk]) -> Row:
        payload = {"card": row.card_id, "part": 0, "parts": 1}
        arguments: dict[str, Any] = {
            "channel": row.conversation.channel,
            "ts": row.ts,
            "metadata": {"event_type": CARD_EVENT, "event_payload": payload},
        }
        if chunks:
            arguments["chunks"] = chunks
        await self._api.call(
            row.conversation.workspace, "chat.stopStream", arguments, urgency=Urgency.PROGRESS
        )
        return await self._closed(row)

    async def close_old(self, row: Row) -> Row:
        """Close a stream that nobody has edited for long, before Slack does. Never raises AdapterError."""
        if self.age(row) < AGE_S:
            return row
        try:
            return await self.stop(row)
        except MessageGone:
            return await self._closed(row)
        except (RateLimited, PlatformDown) as error:
            log.info("a stream is closed later", action="slack_stream_later", error=str(error))
        except AdapterError as error:
            log.warning("a stream is given up", action="slack_stream_gone", error=str(error))
            return await self._closed(row)
        return row

    def age(self, row: Row) -> float:
        """Seconds since a stream was opened; nothing lasting is decided by a clock that was set back."""
        opened = json.loads(row.stream).get("opened", 0.0)
        return abs(self._clock() - float(opened))

    async def _closed(self, row: Row) -> Row:
        self._open.pop(row.card_id, None)
        row = replace(row, stream="")
        await self._posted.save(row)
        return row

    def _keep(self, card_id: CardId, what: _Open) -> None:
        self._open[card_id] = what
        while len(self._open) > KEPT:
            self._open.popitem(last=False)  # taken over at its next edit

    def _go_without(self, place: str, error: AdapterError, pause_s: float) -> None:
        log.warning(
            "no streams here; status cards are edited messages",
            action="slack_no_streams",
            place=place,
            seconds=pause_s,
            error=str(error),
        )
        self._without[place] = self._clock() + pause_s
        while len(self._without) > KEPT:
            self._without.popitem(last=False)


def stop_target(card: Card) -> str:
    """The run that the card's Stop button stops; "": it has none."""
    return next((button.target for button in card.buttons if button.action == "stop"), "")
