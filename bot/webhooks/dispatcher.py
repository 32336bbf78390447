"""Makes notices of what is in the log and sends them, each at least once.

Each webhook has a lane of its own: one notice at a time, in the order of events. While a receiver is
down its lane waits, and no other does. A notice that fails while a later one gets through is at fault
itself: it steps aside and only its own run waits for it.

A notice is noted as sent when its answer has come. A process that is killed in between sends it again
with the same webhook-id, by which receivers know it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from adapters.sealed import CannotOpen
from bot.webhooks.book import WebhookBook
from bot.webhooks.notices import PING, TYPES, notice
from bot.webhooks.sending import GONE, Outcome, Sender
from bot.webhooks.signing import headers
from config.errors import ConfigError
from orchestrator.bus import Bus, Flag
from orchestrator.errors import StoreFailed
from orchestrator.ports import Clock, Store
from orchestrator.webhooks import Attempt, NewNotice, Notice, Webhook

log = structlog.get_logger(__name__)

# Seconds after the first, second, … failed attempt; after the last a notice has failed. About 54 hours.
DELAYS_S: Final = (
    5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 43_200, 43_200,
)  # fmt: skip
JITTER: Final = 0.2  # of each delay, more or less
SUSPECT: Final = 3  # failed attempts of one notice after which another one is tried as well
OFF_AFTER: Final = timedelta(days=3)  # of failures alone: the webhook is switched off
KEPT: Final = timedelta(days=30)  # notices, after their last attempt
SWEEP_S: Final = 2.0  # what no news told of is noticed within this time
CALM_S: Final = 0.1  # between two looks, however much happens
PRUNE_S: Final = 3_600.0


class Dispatcher:
    """Makes and sends.

    Args:
        store: webhooks, notices, the log.
        book: opens secrets.
        bus: news wake it.
        clock: tells what is due.
        sender: makes one attempt.
        base_url: of this server, for links.
        spread: a factor around 1 for each delay.
    """

    def __init__(
        self,
        store: Store,
        book: WebhookBook,
        bus: Bus,
        clock: Clock,
        sender: Sender,
        base_url: str,
        spread: Callable[[], float] = lambda: random.uniform(1 - JITTER, 1 + JITTER),
    ) -> None:
        self._store = store
        self._book = book
        self._bus = bus
        self._clock = clock
        self._sender = sender
        self._base_url = base_url
        self._spread = spread
        self._lanes: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Make and send, until cancelled."""
        flag = Flag()
        deaf = self._bus.listen(flag.set)
        self._book.listen(flag.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._prune())
                while True:
                    await self._look(group)
                    await asyncio.sleep(CALM_S)
                    await flag.wait(SWEEP_S)
        finally:
            deaf()
            await self._sender.close()

    async def _look(self, group: asyncio.TaskGroup) -> None:
        try:
            await self.make()
            self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.done()}
            for webhook in await self._store.webhooks():
                lane = self._lanes.get(webhook.id)
                if webhook.state == "on" and lane is None:
                    self._lanes[webhook.id] = group.create_task(self._lane(webhook.id))
        except StoreFailed as error:  # the next time may do: nothing was passed over
            log.warning("webhooks were not looked at", action="webhooks_unseen", error=str(error))
        except Exception:
            log.exception("webhooks broke", action="webhooks_broke")  # they must not end the bot

    async def _lane(self, webhook_id: str) -> None:
        try:
            await self.send(webhook_id)
        except StoreFailed as error:
            log.warning("notices were not sent", action="notices_unsent", error=str(error))
        except Exception:
            log.exception("a webhook broke", action="webhook_broke", webhook=webhook_id)

    # ── making ───────────────────────────────────────────────────────────────────────────────

    async def make(self) -> None:
        """Make the notices of all that was committed so far.

        Raises:
            StoreFailed: the database fails.
        """
        for webhook in await self._store.webhooks():
            row: Webhook | None = webhook
            while row is not None and row.state == "on" and await self._make(row):
                row = await self._store.webhook(row.id)

    async def _make(self, webhook: Webhook) -> bool:
        """Make some notices; whether there is more to make."""
        part = await self._store.log_behind(webhook.event, TYPES)
        if part.event == webhook.event:
            return False
        made = (notice(entry, webhook.id, self._base_url) for entry in part.entries)
        wanted: list[NewNotice] = [m for m in made if m and (not webhook.kinds or m.kind in webhook.kinds)]
        kept = await self._store.add_notices(webhook.id, wanted, behind=webhook.event, event=part.event)
        return part.more or not kept  # not kept: somebody moved the place, look from there

    # ── sending ──────────────────────────────────────────────────────────────────────────────

    async def send(self, webhook_id: str) -> None:
        """Send what is due at a webhook, until nothing is or the receiver fails.

        Raises:
            StoreFailed: the database fails; what was sent meanwhile is sent again.
        """
        while True:
            webhook = await self._store.webhook(webhook_id)
            now = self._clock.now()
            waiting = await self._store.next_notices(webhook_id, now)
            if webhook is None or webhook.state != "on" or not waiting or waiting[0].due > now:
                return
            first = waiting[0]
            outcome = await self._attempt(webhook, first)
            if outcome.status != GONE and (outcome.ok or first.aside or first.kind == PING):
                await self._note(webhook, first, outcome)
                continue
            if outcome.status != GONE and first.attempts + 1 >= SUSPECT and len(waiting) > 1:
                other = waiting[1]
                tried = await self._attempt(webhook, other)
                if tried.ok:  # the receiver is well, so the notice is at fault
                    await self._note(webhook, first, outcome, aside=True)
                    await self._note(webhook, other, tried)
                    continue
            await self._note(webhook, first, outcome)
            await self._give_up(webhook, outcome)
            return

    async def _attempt(self, webhook: Webhook, one: Notice) -> Outcome:
        now = self._clock.now()
        try:
            secret = await self._book.secret(webhook)
        except (CannotOpen, ConfigError) as error:
            return Outcome(0, f"its secret cannot be opened: {error}")
        body = one.body.encode()
        return await self._sender.post(
            webhook.url, body, headers(secret, one.id, int(now.timestamp()), body), now
        )

    async def _note(self, webhook: Webhook, one: Notice, outcome: Outcome, *, aside: bool = False) -> None:
        now, tries = self._clock.now(), one.attempts + 1
        last = one.kind == PING or tries > len(DELAYS_S)
        wait_s = 0.0
        if not outcome.ok and not last:
            # A receiver that has failed for long is not asked more often because of a new notice.
            step = tries if one.aside or aside else max(tries, webhook.failures + 1)
            wait_s = DELAYS_S[min(step, len(DELAYS_S)) - 1] * self._spread()
            wait_s = max(wait_s, outcome.wait_s)
        await self._store.note_attempt(
            Attempt(
                notice_id=one.id,
                at=now,
                state="sent" if outcome.ok else "failed" if last else "waiting",
                due=now + timedelta(seconds=wait_s),
                status=outcome.status,
                problem=outcome.problem,
                counts=not (aside or one.aside or one.kind == PING),
                aside=aside or one.aside,
            )
        )
        log.debug(
            "a notice was sent" if outcome.ok else "a notice was not sent",
            action="notice_attempt",
            webhook=webhook.id,
            notice=one.id,
            status=outcome.status,
            attempt=tries,
        )

    async def _give_up(self, webhook: Webhook, outcome: Outcome) -> None:
        """Switch a webhook off that wants no notices, or has taken none for days."""
        since = webhook.failing_since
        if outcome.status == GONE:
            note = "it answered 410 Gone: it wants no notices any more"
        elif since is not None and self._clock.now() - since >= OFF_AFTER:
            note = f"nothing got through since {since:%Y-%m-%d %H:%M} UTC; the last time: {outcome.problem}"
        else:
            return
        await self._store.change_webhook(webhook.id, state="off", note=note)
        log.warning("a webhook was switched off", action="webhook_off", webhook=webhook.id, note=note)

    # ── forgetting ───────────────────────────────────────────────────────────────────────────

    async def _prune(self) -> None:
        while True:
            try:
                await self.prune()
            except StoreFailed as error:
                log.warning("old notices were not pruned", action="notices_unpruned", error=str(error))
            await asyncio.sleep(PRUNE_S)

    async def prune(self) -> None:
        """Forget notices that are done with for long.

        Raises:
            StoreFailed: the database fails.
        """
        before: datetime = self._clock.now() - KEPT
        while await self._store.prune_notices(before):
            pass  # some at a time: others write in between
