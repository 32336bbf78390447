"""Read what was said while the bot was away: after a session is lost, Discord does not deliver it again.

Only channels in which something newer stands than what was looked at are read, gently and within bounds.
Each is taken as soon as it is read, page by page, and what people write there now waits behind it, so that
it is handed in in order; all the rest goes on at once. The first time ever nothing is read back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from adapters.discord.inbound import Me
from adapters.discord.inbox import Inbox, Mark
from adapters.discord.payload import channel_of, guild_of, ident
from adapters.discord.ports import DIRECT, Api
from adapters.errors import AdapterError, PlatformDown, RateLimited
from adapters.payload import Payload, items, mapping
from adapters.urgency import Urgency

CHANNELS = 300  # read at most, those with the newest messages
PAGE = 100  # messages in one answer
PAGES = 5  # of one channel
LONGEST_S = 24 * 3600.0  # what is older is not answered any more
APART_S = 0.1  # between two calls
TRIES = 5
FIRST_PAUSE_S = 1.0
MOST_WAITING = 2_000  # events behind what is read; what is more is read later, too
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

    @property
    def unsure(self) -> bool:
        """Whether a shard is away, or has not told of its guilds yet."""
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
        hand_in: takes an event that waited behind (`waits`). Never raises.
    """

    def __init__(
        self,
        api: Api,
        seeing: Seeing,
        inbox: Inbox,
        take: Callable[[Payload], Awaitable[None]],
        hand_in: Callable[[str, Payload], Awaitable[None]],
    ) -> None:
        self._api = api
        self._seeing = seeing
        self._inbox = inbox
        self._take = take
        self._hand_in = hand_in
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._begun_at: float | None = None  # epoch seconds, before we heard anything
        self._planned = True  # it is known which channels are to be read
        self._unread: dict[str, tuple[str, str]] = {}  # channel → guild, the message behind which to begin
        self._lost: dict[str, tuple[str, str]] = {}  # as in `_unread`, of what came and could not be read
        self._ours: frozenset[str] = frozenset()  # threads that are known: replies there count
        self._waiting: dict[str, deque[tuple[str, Payload]]] = {}  # channel → behind what is read there
        self._count = 0  # of what waits
        self._messages = 0  # read since the last plan
        self._seen = 0  # the newest message that was looked at before anything was missed; 0: not known

    def hold(self) -> None:
        """Something may have been missed: what comes waits, and no mark moves, until `look` knows."""
        self._inbox.hold()
        self._planned = False
        self._begun_at = self._begun_at or time.time()

    def look(self) -> None:
        """Something may have been missed: look soon, in the background. No mark moves until then."""
        self.hold()
        self._wanted.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="discord-missed")

    def look_behind(self, guild: str, channel: str, message: str) -> None:
        """A message came that could not be read now: look for it in its channel, wherever that is listed."""
        self._lost.setdefault(channel, (guild, str(int(message) - 1)))
        while len(self._lost) > CHANNELS:
            self._lost.pop(next(iter(self._lost)))
        self.look()

    def waits(self, event: str, payload: Payload) -> bool:
        """Whether an event was put behind what is still to be read there; then `hand_in` gets it later."""
        channel, parent, _ = channel_of(payload)
        place = self._place(channel, parent)
        if not place:
            return False
        if self._count >= MOST_WAITING:
            if event != "MESSAGE_CREATE" or guild_of(payload) == DIRECT:
                return False  # nobody has it but us: better too early than never
            self.look()  # Discord still has it
            return True
        self._waiting.setdefault(place, deque()).append((event, payload))
        self._count += 1
        return True

    def _place(self, channel: str, parent: str) -> str:
        """Behind which channel something waits that comes now; "": it need not."""
        if not channel or not self._planned or channel in self._unread or channel in self._waiting:
            return channel
        # A thread may only become ours by what is still to be read in its channel.
        return parent if parent in self._unread and channel not in self._ours else ""

    async def stop(self) -> None:
        """Stop looking; the next start begins where this one was. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._inbox.hold()  # what waits is not looked at
        self._wanted.clear()
        self._planned, self._unread, self._count, self._seen = True, {}, 0, 0
        self._waiting.clear()

    async def _work(self) -> None:
        pause_s, tries = FIRST_PAUSE_S, 0
        while True:
            planned = await self._plan_safely() if self._wanted.is_set() else self._planned
            await self._read_all()
            if planned and self._wanted.is_set():  # another session began meanwhile
                continue
            tries += 1
            if (planned and not self._unread) or tries >= TRIES:
                behind = frozenset(self._unread)
                for channel in behind:
                    await self._let_go(channel)
                if not self._wanted.is_set():
                    if planned:
                        self._inbox.release(behind)
                    if not self._seeing.unsure:
                        self._seen = 0
                    return
                pause_s, tries = FIRST_PAUSE_S, 0
            elif planned:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), pause_s)
                pause_s *= 2
            else:
                await asyncio.sleep(pause_s)
                self._wanted.set()
                pause_s *= 2

    # ── what is to be read ───────────────────────────────────────────────────────────────────

    async def _plan_safely(self) -> bool:
        """Whether it is known now what is to be read; where it is not, nobody waits for it."""
        self._wanted.clear()
        try:
            self._unread = await self._plan()
        except Exception as error:
            log.warning(
                "What was said meanwhile could not be read.",
                action="discord.missed_failed",
                error=f"{type(error).__name__}: {error}"[:200],
            )
            self._unread, done = {}, False
        else:
            done = True
        if self._wanted.is_set():
            return done
        self._planned = True
        if done:
            self._inbox.release(frozenset(self._unread))
        self._messages = 0
        for channel in [one for one in self._waiting if one not in self._unread]:
            waiting = self._waiting[channel]
            place = self._place_behind_parent(channel, waiting)
            if place:
                self._waiting.setdefault(place, deque()).extend(self._waiting.pop(channel))
            else:
                await self._let_go(channel)
        return done

    def _place_behind_parent(self, channel: str, waiting: deque[tuple[str, Payload]]) -> str:
        if channel in self._ours:
            return ""
        parents = {channel_of(payload)[1] for _, payload in waiting} & self._unread.keys()
        return next(iter(parents), "")

    async def _plan(self) -> dict[str, tuple[str, str]]:
        """Every channel that has something new, in order; how far all others were read is written down."""
        last = self._seeing.last_messages()
        if not await self._inbox.fact(BEGUN):
            # What is said while this is written down is not from before the first start.
            begin = {ALL: Mark("", str(_snowflake(self._begun_at or time.time())))}
            await self._inbox.caught_up(begin | {channel: Mark(*there) for channel, there in last.items()})
            await self._inbox.first_time(BEGUN)
            return {}
        marks = await self._inbox.marks()
        since = await self._since(last, marks)
        # Marks move as channels are read: one without a mark must not seem to have been empty then.
        begin = {channel: Mark(*there) for channel, there in since.items()}
        await self._inbox.caught_up({channel: Mark(*there) for channel, there in last.items()} | begin)
        return since

    async def _since(
        self, last: Mapping[str, tuple[str, str]], marks: Mapping[str, Mark]
    ) -> dict[str, tuple[str, str]]:
        """The channels to be read, in order: guild, and the message behind which to begin."""
        floor = _snowflake(time.time() - LONGEST_S)
        if not self._seen:  # while a shard is away marks move, and its channels are not known yet
            self._seen = max((int(mark.message) for mark in marks.values()), default=0)
        wanted: dict[str, tuple[str, int, int]] = {}  # channel → guild, begin, newest message
        for channel, (guild, message) in last.items():
            known = marks.get(channel)
            # A channel that nobody wrote in before was empty when anything was looked at last.
            begin = max(int(known.message) if known is not None else self._seen, floor)
            if int(message) > begin:
                wanted[channel] = (guild, begin, int(message))
        # Direct messages, and threads that were closed meanwhile, are in nobody's list.
        awake = await self._inbox.awake(time.time() - LONGEST_S)
        self._ours = frozenset(awake)
        for channel, mark in (*awake.items(), *marks.items()):
            if channel not in last and (channel in awake or mark.guild == DIRECT):
                begin = max(int(mark.message), floor)
                wanted.setdefault(channel, (mark.guild, begin, int(mark.message)))
        for channel, (guild, behind) in self._lost.items():
            begin = min(int(behind), wanted[channel][1]) if channel in wanted else int(behind)
            wanted[channel] = (guild, max(begin, floor), int(behind) + 1)
        newest = sorted(wanted.items(), key=lambda one: one[1][2], reverse=True)
        if len(newest) > CHANNELS:
            log.warning(
                "Too much was said meanwhile: some channels are not read back.",
                action="discord.missed_much",
                channels=len(newest),
            )
        # Our threads first, there people wait. A channel is older than its threads: they are read behind it.
        ordered = sorted(newest[:CHANNELS], key=lambda one: (one[0] not in awake, int(one[0])))
        return {channel: (guild, str(begin)) for channel, (guild, begin, _) in ordered}

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def _read_all(self) -> None:
        """Read the channels of the plan, until there is another plan to make; those that fail stay unread."""
        failed: set[str] = set()
        while self._unread.keys() - failed:
            channel = self._next(failed)
            if await self._read(channel):
                self._lost.pop(channel, None)
                await self._let_go(channel)
            else:
                failed.add(channel)
            if self._wanted.is_set():
                return
            self._inbox.release(frozenset(self._unread))
        if self._messages:
            log.info("Read what was said meanwhile.", action="discord.missed", messages=self._messages)

    def _next(self, failed: set[str]) -> str:
        """First where somebody writes now; a thread that is not ours yet behind its channel."""
        for channel, waiting in self._waiting.items():
            parent = channel_of(waiting[0][1])[1] if waiting and channel not in self._ours else ""
            for place in (parent, channel):
                if place in self._unread and place not in failed:
                    return place
        return next(channel for channel in self._unread if channel not in failed)

    async def _let_go(self, channel: str) -> None:
        """Hand in what waited behind a channel; from then on nothing waits there."""
        waiting = self._waiting.setdefault(channel, deque())
        while waiting:
            event, payload = waiting.popleft()
            self._count -= 1
            await self._hand_in(event, payload)
        self._waiting.pop(channel, None)
        self._unread.pop(channel, None)

    async def _read(self, channel: str) -> bool:
        """Take what was missed in a channel, page by page; whether it was read, or can never be."""
        guild, begin = self._unread[channel]
        for _ in range(PAGES):
            try:
                page = await self._page(channel, guild, begin)
                for payload in page:
                    await self._take(payload)
                if page:
                    begin = ident(page[-1], "id")
                    await self._inbox.caught_up({channel: Mark(guild, begin)})
            except Exception as error:
                if isinstance(error, AdapterError) and not isinstance(error, PlatformDown | RateLimited):
                    return True  # gone, or not for us to see
                log.info(
                    "A channel could not be read.",
                    action="discord.not_read",
                    error=f"{type(error).__name__}: {error}"[:200],
                )
                self._unread[channel] = (guild, begin)
                return False
            self._messages += len(page)
            await asyncio.sleep(APART_S)
            if len(page) < PAGE:
                return True
        log.warning(
            "Much was said meanwhile: not all is read.", action="discord.missed_much", channel=channel
        )
        newest = self._seeing.last_messages().get(channel)
        if newest is not None:
            await self._inbox.caught_up({channel: Mark(*newest)})
        return True

    async def _page(self, channel: str, guild: str, begin: str) -> list[Payload]:
        """The messages behind one, the oldest first, placed."""
        answer = await self._api.call(
            "GET",
            f"/channels/{channel}/messages",
            urgency=Urgency.REPLY,
            query={"after": begin, "limit": str(PAGE)},
        )
        page = [message for one in items(answer) if ident(message := mapping(one), "id")]
        page.sort(key=lambda message: int(ident(message, "id")))
        return [await self._seeing.placed(message, guild) for message in page]


def _snowflake(epoch_s: float) -> int:
    return max(int(epoch_s * 1000) - _EPOCH_MS, 0) << 22
