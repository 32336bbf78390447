"""The logs that clients follow: each run's is read once, however many follow it.

There is one `Feed` for each run that is followed. The last follower's going frees all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from bot.api.entries import Doing, Ended, Entry
from bot.api.feed import Feed, Follower
from orchestrator.events import RunId
from orchestrator.service import Service

POLL_S: Final = 0.5  # what other processes appended is noticed within this time


class Feeds:
    """The feeds of all runs that are followed.

    Args:
        closing: set when the server stops: all following ends.
    """

    def __init__(self, closing: asyncio.Event) -> None:
        self._closing = closing
        self._feeds: dict[RunId, Feed] = {}
        self._polling: asyncio.Task[None] | None = None

    @property
    def followed(self) -> int:
        """Runs that are followed."""
        return len(self._feeds)

    @property
    def followers(self) -> int:
        """Clients that follow a run."""
        return sum(feed.followers for feed in self._feeds.values())

    async def follow(
        self, service: Service, run_id: RunId, after: int, *ends: asyncio.Event, doing: bool = False
    ) -> AsyncGenerator[Sequence[Entry] | Doing | Ended, None]:
        """The events behind `after` as they come, several at once; `Ended` is the last.

        Without `Ended` it stops when the server closes, or one of `ends` is set.

        Args:
            service: the core.
            run_id: the run.
            after: number of the last event that the client has.
            ends: events that end it.
            doing: give what agents do, too, as `Doing`.

        Raises:
            NotFound: no such run.
            UnknownEvent: the log holds something this program cannot read.
        """
        follower = Follower(doing=doing)
        async with self.joined(service, run_id) as feed, _rung(follower, ends):
            if doing:
                feed.is_keen(follower)
            try:
                while True:
                    follower.is_told = False
                    if self._closing.is_set() or any(end.is_set() for end in ends):
                        return
                    if entries := await feed.read(after):
                        after = entries[-1].event.seq
                        yield entries
                    elif follower.doings:
                        yield follower.doings.popleft()
                    elif feed.is_whole and feed.status is not None:
                        yield Ended(feed.status)
                        return
                    else:
                        await feed.wait(follower)
            finally:
                feed.leave(follower)

    @asynccontextmanager
    async def joined(self, service: Service, run_id: RunId) -> AsyncGenerator[Feed]:
        """The feed of a run, as long as the block lasts.

        Raises:
            NotFound: no such run.
        """
        feed = self._feeds.get(run_id)
        if feed is None or feed.broken is not None:
            feed = self._feeds[run_id] = Feed(service, run_id)
        feed.followers += 1
        try:
            if self._polling is None or self._polling.done():
                self._polling = asyncio.create_task(self._poll(service), name="feeds")
            await feed.open()
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers:
                feed.close()
                if self._feeds.get(run_id) is feed:
                    del self._feeds[run_id]
                if not self._feeds and self._polling is not None:
                    self._polling.cancel()
                    self._polling = None

    async def _poll(self, service: Service) -> None:
        """Look for what other processes appended, for all feeds at once; wake all at the server's end."""
        while not self._closing.is_set():
            try:
                async with asyncio.timeout(POLL_S):
                    await self._closing.wait()
            except TimeoutError:
                pass
            else:
                break
            try:
                heads = await service.store.heads([*self._feeds])
            except Exception:  # the feeds meet the same failure, and say so
                continue
            for run_id, head in heads.items():
                if feed := self._feeds.get(run_id):
                    feed.note(head)
        for feed in self._feeds.values():
            feed.wake()


@asynccontextmanager
async def _rung(follower: Follower, ends: Sequence[asyncio.Event]) -> AsyncGenerator[None]:
    """Wake the follower when one of the events is set."""
    if not ends:
        yield
        return

    async def ring(end: asyncio.Event) -> None:
        await end.wait()
        follower.wake()

    tasks = [asyncio.create_task(ring(end)) for end in ends]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
