"""Discord's "Quartet is typing…": sent when work begins, kept up while it goes on.

It ends by itself after ten seconds, or with a message of ours. Best effort: what goes wrong here is not worth
an error, and it never takes room that something else needs.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

from adapters.contract import ConversationRef
from adapters.discord.ports import Api
from adapters.discord.posted import channel_of
from adapters.discord.refusals import ThreadArchived
from adapters.errors import AdapterError, PlatformDown, RateLimited
from adapters.urgency import Urgency

log = structlog.get_logger(__name__)

REFRESH_S = 8.0  # Discord shows it for 10
SILENCE_S = 1_800.0  # nobody has said "busy" for so long: the run is waiting, or gone
REFUSED_S = 600.0
KEPT = 500  # conversations at once; the oldest stop


class Typing:
    """Where it is shown.

    Args:
        api: Discord.
        clock: seconds, never going back.
    """

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._wanted: OrderedDict[str, float] = OrderedDict()  # channel → when somebody said so last
        self._sent: dict[str, float] = {}
        self._without: OrderedDict[str, float] = OrderedDict()  # channel → not before

    async def set(self, conversation: ConversationRef, text: str) -> None:
        """Show it, or let it end with "". Never raises AdapterError."""
        channel = channel_of(conversation)
        if not text:
            self._end(channel)
            return
        self._wanted[channel] = self._clock()
        self._wanted.move_to_end(channel)
        while len(self._wanted) > KEPT:
            self._end(next(iter(self._wanted)))
        await self._send(channel)

    async def refresh(self) -> None:
        """Send again what would end. Called every second or two."""
        now = self._clock()
        for channel, since in list(self._wanted.items()):
            if now - since > SILENCE_S:
                self._end(channel)
        await asyncio.gather(*(self._send(channel) for channel in list(self._wanted)))

    def _end(self, channel: str) -> None:
        self._wanted.pop(channel, None)
        self._sent.pop(channel, None)

    async def _send(self, channel: str) -> None:
        now = self._clock()
        if now - self._sent.get(channel, float("-inf")) < REFRESH_S:
            return
        if self._without.get(channel, float("-inf")) > now:
            return
        self._sent[channel] = now
        try:
            await self._api.call("POST", f"/channels/{channel}/typing", urgency=Urgency.PROGRESS)
        except (RateLimited, PlatformDown, ThreadArchived):
            pass  # the next refresh may get through; a closed thread opens with the next message of ours
        except AdapterError as error:
            self._without[channel] = now + REFUSED_S
            while len(self._without) > KEPT:
                self._without.popitem(last=False)
            log.info("no typing here", action="discord_no_typing", channel=channel, error=str(error))
