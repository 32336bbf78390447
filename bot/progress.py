"""A card that nobody waits for: posted and edited by a task of its own, when the platform lets us.

What goes wrong with it delays this card alone: after a rate limit, an outage or the edit interval the
run is marked again, and the newest version is what is sent then.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection

import structlog

from adapters.contract import Card, ChatAdapter, ConversationRef
from adapters.errors import PlatformDown, RateLimited
from bot.showing import Shown, is_due, show

log = structlog.get_logger(__name__)

BACKOFF_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # between tries when a platform is down


def backoff(failures: int) -> float:
    """Seconds before the next try after so many failures in a row; never two lanes in step."""
    return BACKOFF_S[min(failures, len(BACKOFF_S)) - 1] * random.uniform(0.5, 1.0)


class Progress:
    """How far a card is.

    Args:
        mark: called when there may be more to do for it and nobody watches.
        limited: told when the platform asks to wait, and until when (monotonic seconds).
    """

    def __init__(self, mark: Callable[[], None], limited: Callable[[float], None] = lambda _: None) -> None:
        self.task: asyncio.Task[None] | None = None  # a post or an edit on its way
        self._mark = mark
        self._limited = limited
        self._not_before = 0.0  # monotonic seconds
        self._edited = 0.0  # monotonic seconds of the last edit; 0: none yet
        self._failures = 0
        self.watched = False  # somebody waits for it, and need not be told when it is sent
        self._timer: asyncio.TimerHandle | None = None

    def may_begin(self, interval_s: float) -> bool:
        """Whether the card may be sent now; if not, the run is marked when it may.

        Args:
            interval_s: seconds between two versions.
        """
        edited = self._edited + interval_s if self._edited else 0.0
        left = max(self._not_before, edited) - time.monotonic()
        self.forget_timer()
        if left <= 0:
            return True
        self._timer = asyncio.get_running_loop().call_later(left, self._mark)
        return False

    def begin(
        self, group: asyncio.TaskGroup, adapter: ChatAdapter, ref: ConversationRef, card: Card, shown: Shown
    ) -> None:
        """Send this version of the card."""
        self.task = group.create_task(self._send(adapter, ref, card, shown), name=f"outbox:{card.id}")
        self.task.add_done_callback(self._done)

    def retry_now(self) -> None:
        """The platform is back. What it asked us to wait still holds."""
        if self._failures:
            self._not_before = 0.0
            self._failures = 0

    def forget_timer(self) -> None:
        """Mark nothing later."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _send(self, adapter: ChatAdapter, ref: ConversationRef, card: Card, shown: Shown) -> None:
        edits = not is_due(shown.get(card.id), card)
        try:
            await show(adapter, ref, card, shown)
            self._failures = 0
        except RateLimited as error:
            self._failures = 0  # it is there: `retry_now` must not take what it asks for as an outage
            self._not_before = time.monotonic() + error.retry_after_s
            self._limited(self._not_before)
        except PlatformDown as error:
            tell = log.debug if self._failures else log.warning
            tell("the platform is down", action="platform_down", run_id=shown.run_id, error=str(error))
            self._wait_longer()
        except Exception:
            # A broken card must not end the others; it is tried again later.
            log.exception("a card broke", action="card_broke", run_id=shown.run_id, card=card.id)
            self._wait_longer()
        finally:
            if edits:  # also where it went wrong: it may have happened
                self._edited = time.monotonic()

    def _wait_longer(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + backoff(self._failures)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.task = None
        if not self.watched and not task.cancelled():
            self._mark()


async def one_sent(cards: Collection[Progress], news: asyncio.Event | None = None) -> bool:
    """Wait until one of these cards was sent, or could not be; no longer than until something is new.

    Returns:
        False: something is new, and all of them are still on their way.
    """
    sending = [each.task for each in cards if each.task is not None]
    if len(sending) < len(cards):
        return True
    wake = None if news is None else asyncio.create_task(news.wait())
    for each in cards:
        each.watched = True
    try:
        await asyncio.wait([*sending, wake] if wake else sending, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in cards:
            each.watched = False
        if wake is not None:
            wake.cancel()
    return any(task.done() for task in sending)
