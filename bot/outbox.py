"""Show what should be seen: compare each run's cards with what was last shown, send the difference.

Cards are a view of the log, so nothing is queued: after a restart, a rate limit or a lost
edit the comparison alone says what is left to do, and only the newest version is ever sent.
Before a card is posted its intent is committed; if the outcome of a post is not known, the
platform is asked (`find`) before anything is posted again. Nothing waits for a status card or an edit:
each is sent by a task of its own (`bot.progress`), after what people wait for was posted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import get_args

import structlog

from adapters.contract import Card, ChatAdapter, ConversationRef, Platform
from adapters.errors import PlatformDown, RateLimited
from bot.busy import OWN_SCREENS, Busy
from bot.design_shown import DraftShown, drafts_of
from bot.pictures import NONE, Picture, Pictures
from bot.presenter import doing_line, present
from bot.progress import Progress, backoff, one_sent
from bot.showing import Shown, is_due, is_shown, show
from orchestrator.bus import Bus
from orchestrator.engine.fold import apply, fold
from orchestrator.engine.state import RunState
from orchestrator.errors import OrchestratorError
from orchestrator.events import RunId
from orchestrator.ports import News, Store, Undelivered
from orchestrator.workflow import Workflow

log = structlog.get_logger(__name__)

PLATFORMS = frozenset(get_args(Platform))
KEPT_CONVERSATIONS = 10_000
KEPT_STATES = 256  # folds kept in memory; others are folded again when their run goes on
SWEEP_S = 2.0  # runs that another process advanced are noticed within this time
_CALM = frozenset({"status", "picture"})  # cards that nobody waits for: each goes its own way
_FIRST = {"answer": 0, "error": 0, "approval": 1, "reply": 2}  # of edits, status cards last; posts keep order


@dataclass(slots=True)
class _Lane:
    """One conversation: what people wait for is posted by one task, in order."""

    dirty: OrderedDict[RunId, None] = field(default_factory=OrderedDict[RunId, None])
    task: asyncio.Task[None] | None = None
    failures: int = 0
    down: bool = False  # the last failure was the platform's
    marked: asyncio.Event = field(default_factory=asyncio.Event)  # something is new
    again: asyncio.Event = field(default_factory=asyncio.Event)  # the platform is back


class _NotConnected(PlatformDown):
    """Whoever connects the platforms has said why."""


class _Broken(Exception):
    """A card could not be sent for a reason nobody foresaw; the others were."""


class Outbox:
    """Keeps every conversation's cards up to date.

    Args:
        store: deliveries and logs.
        bus: which runs went on.
        adapters: by platform; conversations of other platforms are not ours.
        workflow: digest → definition.
        titles: agent name → what people call it.
        own: set: only the run of the turn with this inbox key is ours; others belong to other processes.
        connected: whether a platform is connected; the cards of one that is not wait for `resume`.
        busy: the lines that say that work goes on.
        pictures: draws workflows.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        adapters: Mapping[str, ChatAdapter],
        workflow: Callable[[str], Awaitable[Workflow]],
        titles: Mapping[str, str],
        own: str | None = None,
        *,
        connected: Callable[[str], bool] = lambda _: True,
        busy: Busy | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._adapters = adapters
        self._workflow = workflow
        self._titles = titles
        self._own = own
        self._connected = connected
        self._busy = busy or Busy()
        self._pictures = pictures or Pictures()
        self._lanes: dict[str, _Lane] = {}
        self._states: OrderedDict[RunId, RunState] = OrderedDict()
        self._conversations: dict[RunId, str | None] = {}  # None: not shown here
        self._doing: dict[RunId, dict[str, str]] = {}
        self._shown: dict[RunId, Shown] = {}
        self._progress: dict[RunId, dict[str, Progress]] = {}  # by card id
        self._quiet_until: dict[
            str, float
        ] = {}  # conversation → monotonic seconds; the platform asked for it
        self._news: asyncio.Queue[News] = asyncio.Queue()

    async def run(self) -> None:
        """Send until cancelled."""
        deaf = self._bus.listen(self._news.put_nowait)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sweep())
                while True:
                    news = await self._news.get()
                    try:
                        await self._mark(group, news)
                    except OrchestratorError as error:
                        # The sweep comes back to it; a failing database must not end the bot.
                        log.warning("the database fails", action="outbox_news_failed", error=str(error))
        finally:
            deaf()
            for run_id in list(self._progress):
                self._forget_progress(run_id)
            await self._busy.close()
            await self._pictures.close()

    def resume(self, platform: str) -> None:
        """A platform is connected (again): what waits for it is sent now."""
        for conversation, lane in self._lanes.items():
            if conversation.startswith(f"{platform}:"):
                lane.again.set()
        for run_id, cards in self._progress.items():
            if (self._conversations.get(run_id) or "").startswith(f"{platform}:"):
                for progress in cards.values():
                    progress.retry_now()
                self._news.put_nowait(News(run_id, 0))

    async def settle(self, run_id: RunId, *, within_s: float = 10.0) -> None:
        """Wait until all that the run's log holds has been shown, or cannot be."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if all(left.run_id != run_id for left in await self._store.undelivered()):
                return
            await asyncio.sleep(0.02)

    async def _sweep(self) -> None:
        """Notice runs whose log went on without news: other processes, the time before a restart."""
        while True:
            try:
                nobodys: list[Undelivered] = []  # asked for over HTTP: shown by nobody
                for left in await self._store.undelivered():
                    if left.conversation_id.split(":", 1)[0] not in PLATFORMS:
                        nobodys.append(left)
                    elif await self._conversation(left.run_id) is not None:
                        self._news.put_nowait(News(left.run_id, 0))
                # Once they have ended they are not looked at again.
                await asyncio.gather(*(self._store.presented(n.run_id, n.seq) for n in nobodys if n.ended))
            except OrchestratorError as error:
                # A full disk passes; the bot must not.
                log.warning("the database fails", action="outbox_sweep_failed", error=str(error))
            await asyncio.sleep(SWEEP_S)

    async def _mark(self, group: asyncio.TaskGroup, news: News) -> None:
        run_id = news.run_id
        conversation = await self._conversation(run_id)
        if conversation is None:
            return
        if news.doing:
            self._doing.setdefault(run_id, {}).update(news.doing)
        lane = self._lanes.setdefault(conversation, _Lane())
        lane.dirty[run_id] = None
        lane.marked.set()
        if lane.task is None or lane.task.done():
            lane.task = group.create_task(
                self._drain(group, conversation, lane), name=f"outbox:{conversation}"
            )

    async def _conversation(self, run_id: RunId) -> str | None:
        """The conversation of a run that is shown here; None: another process shows it, or nobody."""
        if run_id not in self._conversations:
            row = await self._store.run(run_id)
            if row is None:
                return None
            conversation = row.conversation_id
            ours = conversation.split(":", 1)[0] in self._adapters
            if ours and self._own is not None:
                ours = await self._store.known(self._own) == run_id
            self._conversations[run_id] = conversation if ours else None
            while len(self._conversations) > KEPT_CONVERSATIONS:
                self._conversations.pop(next(iter(self._conversations)))
        return self._conversations[run_id]

    async def _drain(self, group: asyncio.TaskGroup, conversation: str, lane: _Lane) -> None:
        while lane.dirty:
            run_id = next(iter(lane.dirty))
            del lane.dirty[run_id]
            lane.marked.clear()
            lane.again.clear()
            await asyncio.sleep(max(0.0, self._quiet_until.pop(conversation, 0.0) - time.monotonic()))
            try:
                await self._show(group, conversation, lane, run_id)
                if lane.down:  # where one conversation gets through, the others need not wait longer
                    self.resume(conversation.split(":", 1)[0])
                lane.failures, lane.down = 0, False
            except RateLimited as error:
                lane.dirty[run_id] = None
                await asyncio.sleep(error.retry_after_s)
            except PlatformDown as error:
                # Said once: an outage of hours with many conversations must not fill the log.
                known = lane.failures or isinstance(error, _NotConnected)
                tell = log.debug if known else log.warning
                tell("the platform is down", action="platform_down", run_id=run_id, error=str(error))
                lane.dirty[run_id] = None
                lane.down = True
                await _until(lane.again, self._pause(lane))
            except _Broken:
                lane.dirty[run_id] = None
                await _until(lane.marked, self._pause(lane))
            except OrchestratorError as error:
                # Unreadable, or the database fails: looked at again, ever more seldom.
                log.warning("a run cannot be shown", action="present_failed", run_id=run_id, error=str(error))
                await asyncio.sleep(self._pause(lane))
            except Exception:
                # One broken run must not silence the conversation, nor stop the bot.
                log.exception("a run could not be shown", action="outbox_broke", run_id=run_id)
        self._lanes.pop(conversation, None)

    @staticmethod
    def _pause(lane: _Lane) -> float:
        lane.failures += 1
        return backoff(lane.failures)

    async def _show(self, group: asyncio.TaskGroup, conversation: str, lane: _Lane, run_id: RunId) -> None:
        """Send what differs: post what people wait for, then edits and the status card."""
        state = await self._state(run_id)
        if state is None:
            return
        workflow = await self._workflow(state.created.workflow_digest)
        doing = self._doing.get(run_id, {})
        cards = present(workflow, state, titles=self._titles, doing=doing)
        shown = self._shown.get(run_id)
        if shown is None:
            shown = self._shown[run_id] = Shown(self._store, run_id, await self._store.deliveries(run_id))
        ref = ConversationRef.from_key(conversation)
        adapter = self._adapters[ref.platform]
        if not self._connected(ref.platform):
            raise _NotConnected(f"{ref.platform} is not connected")
        line = doing_line(workflow, state, titles=self._titles, doing=doing)
        self._busy.show(adapter, ref, run_id, line)
        urgent = [c for c in cards if c.kind != "status"]
        status = next(c for c in cards if c.kind == "status")
        ended = state.ended is not None
        if ref.platform in OWN_SCREENS and is_due(shown.get(status.id), status):
            # In the order of reading. Elsewhere it would take the room of what people wait for.
            await self._send_beside(group, lane, ref, adapter, [status], shown, ended, patient=True)
        await self._post_urgent(ref, adapter, urgent, shown)
        beside = [*sorted(urgent, key=lambda c: _FIRST.get(c.kind, 3)), status]
        picture = self._picture(workflow, state, adapter, shown)
        beside += [picture.card] if picture.card is not None else []
        drafts = [self._draft_picture(one, state, adapter, shown) for one in drafts_of(state)]
        beside += [drawn.card for drawn in drafts if drawn.card is not None]
        pending = picture.pending or any(drawn.pending for drawn in drafts)
        settled = await self._send_beside(group, lane, ref, adapter, beside, shown, ended)
        if settled and not pending and run_id not in lane.dirty:
            await self._store.presented(run_id, state.seq)
            self._forget(run_id, state)

    def _picture(self, workflow: Workflow, state: RunState, adapter: ChatAdapter, shown: Shown) -> Picture:
        """The run's picture, as far as there is anything to do for it."""
        run_id, kind = shown.run_id, adapter.limits.pictures
        last = shown.get(f"{run_id}:picture")
        if last is not None and last.state != "intent" and kind != "svg":
            return NONE  # it was shown, and stays as it is
        return self._pictures.of(workflow, state, kind, lambda: self._news.put_nowait(News(run_id, 0)))

    def _draft_picture(
        self, draft: DraftShown, state: RunState, adapter: ChatAdapter, shown: Shown
    ) -> Picture:
        """The picture of a workflow that a question is about; posted once, it stays."""
        last = shown.get(f"{shown.run_id}:picture:{draft.approval_id}")
        if last is not None and last.state != "intent":
            return NONE
        run_id, kind = shown.run_id, adapter.limits.pictures
        again = lambda: self._news.put_nowait(News(run_id, 0))  # noqa: E731
        return self._pictures.of(draft.workflow, state, kind, again, draft.approval_id)

    async def _post_urgent(
        self, ref: ConversationRef, adapter: ChatAdapter, cards: list[Card], shown: Shown
    ) -> None:
        """Post those of the cards that are not there, in the order of the conversation.

        Raises:
            RateLimited, PlatformDown: not now.
            _Broken: one of them could not be sent for a reason nobody foresaw; the others were.
        """
        broken = False
        for card in cards:
            if not is_due(shown.get(card.id), card):
                continue
            left = self._quiet_until.get(ref.key, 0.0) - time.monotonic()
            if left > 0:  # an edit beside was told so just now
                raise RateLimited("the conversation is to be left alone for a while", retry_after_s=left)
            try:
                await show(adapter, ref, card, shown)
            except (RateLimited, PlatformDown):
                raise
            except Exception:
                # One broken card must not hold the others back; it is tried again later.
                log.exception("a card broke", action="card_broke", run_id=shown.run_id, card=card.id)
                broken = True
        if broken:
            raise _Broken

    async def _send_beside(
        self,
        group: asyncio.TaskGroup,
        lane: _Lane,
        ref: ConversationRef,
        adapter: ChatAdapter,
        cards: list[Card],
        shown: Shown,
        ended: bool,
        *,
        patient: bool = False,
    ) -> bool:
        """Bring cards up to date as far as it may be now, each by its own task. Whether all of them are.

        Returns as soon as something else wants to be shown, unless patient; when there is more to do for
        a card, the run is marked again in time.
        """
        run_id = shown.run_id
        while True:
            known = self._progress.get(run_id, {})
            open_ones = [card for card in cards if not is_shown(shown.get(card.id), card)]
            if not open_ones and all(progress.task is None for progress in known.values()):
                return True
            sending = self._begun(group, ref, adapter, open_ones, shown, ended)
            if not sending:
                return False
            if patient:
                await one_sent(sending)
            elif lane.dirty or not await one_sent(sending, lane.marked):
                return False
            shown = self._shown.get(run_id, shown)

    def _begun(
        self,
        group: asyncio.TaskGroup,
        ref: ConversationRef,
        adapter: ChatAdapter,
        cards: list[Card],
        shown: Shown,
        ended: bool,
    ) -> list[Progress]:
        """Those of the cards that are on their way now: the status card, and one of the others."""
        known = self._progress.setdefault(shown.run_id, {})
        others_go = any(p.task is not None for card_id, p in known.items() if not _is_calm(card_id))
        status = shown.get(f"{shown.run_id}:status")
        may_follow = status is not None and status.state != "intent"
        for card in cards:
            progress = known.get(card.id)
            if progress is None:
                progress = known[card.id] = self._progress_of(ref, card, shown.run_id)
            calm = card.kind in _CALM
            if progress.task is not None or (others_go and not calm):
                continue
            if card.kind == "picture" and not may_follow:
                continue  # it stands below the status card
            if ref.key in self._quiet_until and not calm:
                self._news.put_nowait(News(shown.run_id, 0))  # the lane waits until it may
                continue
            interval = 0.0 if ended or not calm else adapter.limits.edit_interval_s
            if progress.may_begin(interval):
                progress.begin(group, adapter, ref, card, shown)
                others_go |= not calm
        return [progress for progress in known.values() if progress.task is not None]

    def _progress_of(self, ref: ConversationRef, card: Card, run_id: RunId) -> Progress:
        def limited(until: float) -> None:
            # A limit on progress is none on what people wait for.
            if card.kind not in _CALM:
                self._quiet_until[ref.key] = until

        return Progress(lambda: self._news.put_nowait(News(run_id, 0)), limited)

    async def _state(self, run_id: RunId) -> RunState | None:
        state = self._states.pop(run_id, None)
        events = await self._store.events(run_id, after=state.seq if state else 0)
        if state is None:
            state = fold(events)
        else:
            for event in events:
                state = apply(state, event)
        if state is not None:
            self._states[run_id] = state
            while len(self._states) > KEPT_STATES:
                self._states.popitem(last=False)
        return state

    def _forget(self, run_id: RunId, state: RunState) -> None:
        """Keep nothing in memory of runs that wait for people or have ended."""
        if state.ended is not None or state.status == "waiting":
            self._forget_progress(run_id)
            for memory in (self._states, self._shown, self._doing, self._conversations):
                memory.pop(run_id, None)

    def _forget_progress(self, run_id: RunId) -> None:
        for progress in self._progress.pop(run_id, {}).values():
            progress.forget_timer()


def _is_calm(card_id: str) -> bool:
    return card_id.rpartition(":")[2] in _CALM


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
