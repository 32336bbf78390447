"""Who is looking at what, so that a change reaches open pages at once. In this process only.

Nothing is kept here: a page that was away asks `Messages.since`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


class Watch:
    """One open page."""

    def __init__(self) -> None:
        self._stirred = asyncio.Event()
        self.listing_changed = False
        self.closed = False

    def stir(self) -> None:
        """Something changed; look again."""
        self._stirred.set()

    def look(self) -> None:
        """Call before looking, so that a change while looking is not missed."""
        self._stirred.clear()

    async def stirred(self) -> None:
        """Wait until something changed since `look`."""
        await self._stirred.wait()


class Feed:
    """Tells open pages that something changed."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}  # by conversation
        self._busy: dict[str, str] = {}  # by conversation: what the bot is doing
        self._closed = False

    @contextmanager
    def watch(self, conversation: str) -> Generator[Watch]:
        """Look at a conversation."""
        watch = Watch()
        watch.closed = self._closed
        self._watches.setdefault(conversation, set()).add(watch)
        try:
            yield watch
        finally:
            there = self._watches[conversation]
            there.discard(watch)
            if not there:
                del self._watches[conversation]

    def changed(self, conversation: str, *, listing: bool = False) -> None:
        """Wake the pages of a conversation; all pages where the list of conversations changed."""
        for key, watches in self._watches.items():
            if listing or key == conversation:
                for watch in watches:
                    watch.listing_changed |= listing
                    watch.stir()

    def busy(self, conversation: str) -> str:
        """What the bot is doing there; "" when nothing."""
        return self._busy.get(conversation, "")

    def set_busy(self, conversation: str, text: str) -> None:
        """Say what the bot is doing."""
        if text:
            self._busy[conversation] = text
        else:
            self._busy.pop(conversation, None)
        self.changed(conversation)

    def open(self) -> None:
        """Take watches again."""
        self._closed = False

    def close(self) -> None:
        """End all watches: the server goes down."""
        self._closed = True
        for watches in self._watches.values():
            for watch in watches:
                watch.closed = True
                watch.stir()
