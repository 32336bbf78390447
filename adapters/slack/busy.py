"""Slack's line "Quartet is working…" under a thread: sent when work begins, kept up, taken away.

It expires after two minutes and goes with any message of ours, so it is sent seldom. Best effort: what
goes wrong here is not worth an error.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from adapters.contract import ConversationRef
from adapters.errors import AdapterError, NotAllowed, PlatformDown, RateLimited
from adapters.slack.ports import Api
from adapters.urgency import Urgency

log = structlog.get_logger(__name__)

METHOD = "assistant.threads.setStatus"
REFRESH_S = 100.0  # Slack forgets it after 120
QUIET_S = 90.0  # another text within this time waits: every call counts
FORGET_S = 1_800.0  # nobody has said "busy" for so long: the run is waiting, or gone
REFUSED_S = 3_600.0
TEXT = 100  # characters
KEPT = 5_000


@dataclass(slots=True)
class _Line:
    conversation: ConversationRef
    text: str
    wanted_at: float
    sent_at: float = float("-inf")
    shown: bool = False


class Busy:
    """The lines that are shown.

    Args:
        api: Slack.
        clock: seconds, never going back.
    """

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._without: OrderedDict[str, float] = OrderedDict()

    async def set(self, conversation: ConversationRef, text: str) -> None:
        """Show the line, or take it away with "". Never raises AdapterError."""
        if not conversation.thread:
            return  # Slack has it in threads only
        now = self._clock()
        line = self._lines.get(conversation.key)
        if not text:
            self._lines.pop(conversation.key, None)
            if line is not None and line.shown and now - line.sent_at < 120:
                await self._send(line, "")
            return
        if line is None:
            line = self._lines[conversation.key] = _Line(conversation, "", now)
            while len(self._lines) > KEPT:
                self._lines.popitem(last=False)
        changed = line.text != text
        line.text, line.wanted_at = text, now
        if now - line.sent_at >= (QUIET_S if changed else REFRESH_S):
            await self._send(line, text)

    def said(self, conversation: ConversationRef) -> None:
        """Note that we posted: Slack takes the line away by itself."""
        line = self._lines.get(conversation.key)
        if line is not None:
            line.shown = False

    async def refresh(self) -> None:
        """Send again what would expire. Called every few seconds."""
        now = self._clock()
        for line in list(self._lines.values()):
            if now - line.wanted_at > FORGET_S:
                self._lines.pop(line.conversation.key, None)
            elif now - line.sent_at >= REFRESH_S:
                await self._send(line, line.text)

    async def _send(self, line: _Line, text: str) -> None:
        place = line.conversation.channel_key
        now = self._clock()
        line.sent_at, line.shown = now, bool(text)
        if self._without.get(place, float("-inf")) > now:
            return
        arguments = {
            "channel_id": line.conversation.channel,
            "thread_ts": line.conversation.thread,
            "status": text[:TEXT],
        }
        try:
            await self._api.call(line.conversation.workspace, METHOD, arguments, urgency=Urgency.PROGRESS)
        except (RateLimited, PlatformDown):
            line.shown = False
        except AdapterError as error:
            line.shown = False
            self._without[place] = now + (60.0 if not isinstance(error, NotAllowed) else REFUSED_S)
            while len(self._without) > KEPT:
                self._without.popitem(last=False)
            log.info("no status line here", action="slack_no_status", place=place, error=str(error))
