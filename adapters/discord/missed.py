"""Read what was said while the bot was away: after a session is lost, Discord does not deliver it again.

Only channels in which something newer stands than what was looked at are read, gently and within bounds:
people who write now go first. The first time ever nothing is read back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from adapters.discord.inbound import Me
from adapters.discord.inbox import Inbox, Mark
from adapters.discord.payload import Payload, ident, items, mapping
from adapters.discord.ports import DIRECT, Api
from adapters.errors import AdapterError, PlatformDown, RateLimited
from adapters.urgency import Urgency

CHANNELS = 300  # read at most, those with the newest messages
PAGE = 100  # messages in one answer
PAGES = 5  # of one channel
LONGEST_S = 24 * 3600.0  # what is older is not answered any more
APART_S = 0.1  # between two calls
TRIES = 5
FIRST_PAUSE_S = 1.0
ALL = "all"  # the mark of what there was at the first start
BEGUN = "listened"  # the fact that says that this is not the first start

_EPOCH_MS = 1_420_070_400_000

log = structlog.get_logger(__name__)


class Seeing(Protocol):
    """What the gateway knows; the Gateway does."""

    @property
    def me(self) -> Me:
        """Who we are."""
        ...

    def last_messages(self) -> Mapping[str, tuple[str, str]]:
        """Guild and newest message of every channel that the bot can read."""
        ...

    async def placed(self, payload: Payload, guild: str = "") -> Payload:
        """A message as the gateway would have brought it."""
        ...


class Missed:
    """Finds what was missed.

    Args:
        api: Discord's REST API.
        seeing: the gateway.
        inbox: knows how far each channel was read.
        take: takes a message as if the gateway had brought it; raises where it is not kept.
    """

    def __init__(
        self, api: Api, seeing: Seeing, inbox: Inbox, take: Callable[[Payload], Awaitable[None]]
    ) -> None:
        self._api = api
        self._seeing = seeing
        self._inbox = inbox
        self._take = take
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Something may have been missed: look soon, in the background. No mark moves until then."""
        self._inbox.hold()
        self._wanted.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="discord-missed")

    async def stop(self) -> None:
        """Stop looking; the next start begins where this one was. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _work(self) -> None:
        pause_s = FIRST_PAUSE_S
        tries = 0
        while self._wanted.is_set():
            self._wanted.clear()
            try:
                behind = await self._pass()
            except Exception as error:
                log.warning(
                    "What was said meanwhile could not be read.",
                    action="discord.missed_failed",
                    error=f"{type(error).__name__}: {error}"[:200],
                )
                behind = None
            if self._wanted.is_set():  # another session began meanwhile
                continue
            tries += 1
            if behind or behind is None:
                if tries < TRIES:
                    self._wanted.set()
                    await asyncio.sleep(pause_s)
                    pause_s *= 2
                elif behind is not None:
                    self._inbox.release(behind)
            else:
                self._inbox.release()

    async def _pass(self) -> frozenset[str]:
        """Read every channel that has something new; those that could not be read."""
        last = self._seeing.last_messages()
        if not await self._inbox.fact(BEGUN):
            begin = {ALL: Mark("", str(_snowflake(time.time())))}
            await self._inbox.caught_up(begin | {channel: Mark(*there) for channel, there in last.items()})
            await self._inbox.first_time(BEGUN)
            return frozenset()
        marks = await self._inbox.marks()
        since = await self._since(last, marks)
        found, behind = await self._read(since)
        for payload in sorted(found, key=lambda message: int(ident(message, "id"))):
            await self._take(payload)
        caught = {channel: mark for channel, mark in _newest(found, last).items() if channel not in behind}
        await self._inbox.caught_up(caught)
        if since:
            log.info(
                "Read what was said meanwhile.",
                action="discord.missed",
                channels=len(since),
                messages=len(found),
                failed=len(behind),
            )
        return behind

    async def _since(
        self, last: Mapping[str, tuple[str, str]], marks: Mapping[str, Mark]
    ) -> dict[str, tuple[str, str]]:
        """The channels to be read, the newest first: guild, and the message behind which to begin."""
        floor = _snowflake(time.time() - LONGEST_S)
        seen = max((int(mark.message) for mark in marks.values()), default=0)
        wanted: dict[str, tuple[str, int, int]] = {}  # channel → guild, begin, newest message
        for channel, (guild, message) in last.items():
            known = marks.get(channel)
            # A channel that nobody wrote in before was empty when anything was looked at last.
            begin = max(int(known.message) if known is not None else seen, floor)
            if int(message) > begin:
                wanted[channel] = (guild, begin, int(message))
        # Direct messages, and threads that were closed meanwhile, are in nobody's list.
        awake = await self._inbox.awake(time.time() - LONGEST_S)
        for channel, mark in (*awake.items(), *marks.items()):
            if channel not in last and (channel in awake or mark.guild == DIRECT):
                begin = max(int(mark.message), floor)
                wanted.setdefault(channel, (mark.guild, begin, int(mark.message)))
        newest = sorted(wanted.items(), key=lambda one: one[1][2], reverse=True)
        if len(newest) > CHANNELS:
            log.warning(
                "Too much was said meanwhile: some channels are not read back.",
                action="discord.missed_much",
                channels=len(newest),
            )
        return {channel: (guild, str(begin)) for channel, (guild, begin, _) in newest[:CHANNELS]}

    async def _read(self, since: Mapping[str, tuple[str, str]]) -> tuple[list[Payload], frozenset[str]]:
        found: list[Payload] = []
        behind: set[str] = set()
        for channel, (guild, begin) in since.items():
            try:
                found.extend(await self._channel(channel, guild, begin))
            except (PlatformDown, RateLimited) as error:
                behind.add(channel)
                log.info("A channel could not be read.", action="discord.not_read", error=str(error)[:200])
            except AdapterError:
                continue  # gone, or not for us to see
        return found, frozenset(behind)

    async def _channel(self, channel: str, guild: str, begin: str) -> list[Payload]:
        found: list[Payload] = []
        for _ in range(PAGES):
            answer = await self._api.call(
                "GET",
                f"/channels/{channel}/messages",
                urgency=Urgency.REPLY,
                query={"after": begin, "limit": str(PAGE)},
            )
            page = [message for one in items(answer) if ident(message := mapping(one), "id")]
            found.extend([await self._seeing.placed(message, guild) for message in page])
            await asyncio.sleep(APART_S)
            if len(page) < PAGE:
                return found
            begin = max((ident(message, "id") for message in page), key=int)
        log.warning(
            "Much was said meanwhile: not all is read.", action="discord.missed_much", channel=channel
        )
        return found


def _newest(found: list[Payload], last: Mapping[str, tuple[str, str]]) -> dict[str, Mark]:
    """How far the channels were read: those with news, and those that had none."""
    newest = {channel: Mark(guild, message) for channel, (guild, message) in last.items()}
    for message in found:
        channel, message_id = ident(message, "channel_id"), ident(message, "id")
        known = newest.get(channel)
        if channel and (known is None or int(known.message) < int(message_id)):
            newest[channel] = Mark(ident(message, "guild_id") or DIRECT, message_id)
    return newest


def _snowflake(epoch_s: float) -> int:
    return max(int(epoch_s * 1000) - _EPOCH_MS, 0) << 22
