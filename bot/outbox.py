"""Show what should be seen: compare each run's cards with what was last shown, send the difference.

Cards are a view of the log, so nothing is queued: after a restart, a rate limit or a lost
edit the comparison alone says what is left to do, and only the newest version is ever sent.
Before a card is posted its intent is committed; if the outcome of a post is not known, the
platform is asked (`find`) before anything is posted again. Nothing waits for a progress edit,
not even for one that the platform takes its time with.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import structlog

from adapters.contract import Card, ChatAdapter, ConversationRef, MessageRef, Platform
from adapters.errors import (
    AdapterError,
    CardRefused,
    ConversationGone,
    MessageGone,
    NotAllowed,
    PlatformDown,
    RateLimited,
)
from bot.presenter import present
from orchestrator.bus import Bus
from orchestrator.engine.state import RunState, apply, fold
from orchestrator.errors import OrchestratorError
from orchestrator.events import RunId
from orchestrator.ports import Delivery, News, Store
from orchestrator.workflow import Workflow

log = structlog.get_logger(__name__)

KEPT_CONVERSATIONS = 10_000
KEPT_STATES = 64  # folds kept in memory; others are folded again when their run goes on
BACKOFF_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # between tries when a platform is down
SWEEP_S = 2.0  # runs that another process advanced are noticed within this time
_FIRST = {
    "answer": 0,
    "error": 0,
    "approval": 1,
    "reply": 2,
    "status": 3,
}  # nothing waits for a progress edit


@dataclass(slots=True)
class _Lane:
    """One conversation: its cards are sent by one task, in order."""

    dirty: OrderedDict[RunId, None] = field(default_factory=OrderedDict[RunId, None])
    task: asyncio.Task[None] | None = None
    failures: int = 0
    marked: asyncio.Event = field(default_factory=asyncio.Event)  # something is new
    closed_until: float = 0.0  # monotonic seconds; the platform asked us to wait
    # Progress edits on their way; each gives what went wrong.
    progress: dict[RunId, asyncio.Task[AdapterError | None]] = field(
        default_factory=dict[RunId, asyncio.Task[AdapterError | None]]
    )

    def check_open(self) -> None:
        """Raise RateLimited while the platform does not want to be asked."""
        left = self.closed_until - time.monotonic()
        if left > 0:
            raise RateLimited("the platform asked us to wait", retry_after_s=left)


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
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        adapters: Mapping[str, ChatAdapter],
        workflow: Callable[[str], Awaitable[Workflow]],
        titles: Mapping[str, str],
        own: str | None = None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._adapters = adapters
        self._workflow = workflow
        self._titles = titles
        self._own = own
        self._lanes: dict[str, _Lane] = {}
        self._states: OrderedDict[RunId, RunState] = OrderedDict()
        self._conversations: dict[RunId, str | None] = {}  # None: not shown here
        self._doing: dict[RunId, dict[str, str]] = {}
        self._shown: dict[RunId, dict[str, Delivery]] = {}
        self._edited: dict[RunId, float] = {}  # monotonic seconds of the last progress edit
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

    async def settle(self, run_id: RunId, *, within_s: float = 10.0) -> None:
        """Wait until all that the run's log holds has been shown, or cannot be."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if run_id not in await self._store.undelivered():
                return
            await asyncio.sleep(0.02)

    async def _sweep(self) -> None:
        """Notice runs whose log went on without news: other processes, the time before a restart."""
        while True:
            try:
                left = await self._store.undelivered()
                for run_id in left:
                    await self._shown_nowhere(run_id)
            except OrchestratorError as error:
                # A full disk passes; the bot must not.
                log.warning("the database fails", action="outbox_sweep_failed", error=str(error))
                left = []
            for run_id in left:
                if self._conversations.get(run_id) is not None:
                    self._news.put_nowait(News(run_id, 0))
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

    async def _shown_nowhere(self, run_id: RunId) -> None:
        """An ended run that was asked for over HTTP is shown by nobody: it is not looked at again."""
        if await self._conversation(run_id) is not None:
            return
        row = await self._store.run(run_id)
        if (
            row is not None
            and row.ended_at
            and row.conversation_id.split(":", 1)[0] not in get_args(Platform)
        ):
            await self._store.presented(run_id, row.seq)

    async def _drain(self, group: asyncio.TaskGroup, conversation: str, lane: _Lane) -> None:
        while lane.dirty:
            run_id = next(iter(lane.dirty))
            del lane.dirty[run_id]
            lane.marked.clear()
            obey = False  # wait even if something new comes
            try:
                pause = await self._show(group, conversation, lane, run_id)
                lane.failures = 0
            except RateLimited as error:
                obey = True
                pause = error.retry_after_s
                lane.closed_until = time.monotonic() + pause
                lane.dirty[run_id] = None
            except PlatformDown as error:
                obey = True
                pause = BACKOFF_S[min(lane.failures, len(BACKOFF_S) - 1)] * random.uniform(0.8, 1.2)
                lane.failures += 1
                lane.dirty[run_id] = None
                log.warning("the platform is down", action="platform_down", run_id=run_id, error=str(error))
            except _Broken:
                pause = BACKOFF_S[min(lane.failures, len(BACKOFF_S) - 1)]
                lane.failures += 1
                lane.dirty[run_id] = None
            except OrchestratorError as error:
                # Unreadable, or the database fails: looked at again, ever more seldom.
                log.warning("a run cannot be shown", action="present_failed", run_id=run_id, error=str(error))
                obey = True
                pause = BACKOFF_S[min(lane.failures, len(BACKOFF_S) - 1)]
                lane.failures += 1
            except Exception:
                # One broken run must not silence the conversation, nor stop the bot.
                log.exception("a run could not be shown", action="outbox_broke", run_id=run_id)
                pause = 0.0
            if pause > 0 and obey:
                await asyncio.sleep(pause)
            elif pause > 0:
                # A progress edit waits for its time; an approval or an answer does not wait with it.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await lane.marked.wait()
        self._lanes.pop(conversation, None)

    async def _show(self, group: asyncio.TaskGroup, conversation: str, lane: _Lane, run_id: RunId) -> float:
        """Send what differs. Returns seconds to wait before this conversation's next edits."""
        state = await self._state(run_id)
        if state is None:
            return 0.0
        workflow = await self._workflow(state.created.workflow_digest)
        doing = self._doing.get(run_id, {})
        cards = present(workflow, state, titles=self._titles, doing=doing)
        shown = self._shown.get(run_id)
        if shown is None:
            shown = self._shown[run_id] = await self._store.deliveries(run_id)
        ref = ConversationRef.from_key(conversation)
        adapter = self._adapters[ref.platform]
        new = [c for c in cards if _is_due(shown.get(c.id), c)]
        old = sorted((c for c in cards if c not in new), key=lambda c: _FIRST[c.kind])
        wait, broken = 0.0, False
        # Posts keep the order of the conversation; edits go by what matters most.
        for card in [*new, *old]:
            last = shown.get(card.id)
            if card in old and (last is None or last.state != "shown" or last.digest == card_digest(card)):
                continue
            try:
                lane.check_open()
                if card in new:
                    await self._post(ref, adapter, run_id, card, shown)
                elif card.kind == "status":
                    left = self._edited.get(run_id, 0.0) + adapter.limits.edit_interval_s - time.monotonic()
                    if left > 0 and state.ended is None:
                        wait = left
                        lane.dirty[run_id] = None
                    else:
                        await self._edit_progress(group, lane, adapter, run_id, card, shown)
                else:
                    await self._edit(adapter, card, shown[card.id], shown)
            except (RateLimited, PlatformDown):
                raise
            except Exception:
                # One broken card must not hold the others back; it is tried again later.
                log.exception("a card broke", action="card_broke", run_id=run_id, card=card.id)
                broken = True
        if broken:
            raise _Broken
        if run_id not in lane.dirty:
            await self._store.presented(run_id, state.seq)
            self._forget(run_id, state)
        return wait

    async def _post(
        self,
        ref: ConversationRef,
        adapter: ChatAdapter,
        run_id: RunId,
        card: Card,
        shown: dict[str, Delivery],
    ) -> None:
        digest = card_digest(card)
        before = shown.get(card.id)
        nonce = hashlib.sha256(card.id.encode()).hexdigest()[:24]
        if before is None:
            intent = Delivery(card.id, run_id, ref.key, digest, "intent", nonce, None)
            await self._store.save_delivery(intent)
            shown[card.id] = intent
        delivery = shown[card.id]
        try:
            # Posted before a crash, or with an unknown outcome: look first.
            found = await adapter.find(ref, card.id) if before is not None else None
            if found is not None:
                delivery = replace(delivery, message=found.model_dump(mode="json"))
                await self._edit(adapter, card, delivery, shown)
                return
            message = await adapter.post(ref, card, nonce=nonce)
            delivery = replace(
                delivery, digest=digest, state="shown", message=message.model_dump(mode="json")
            )
        except (CardRefused, NotAllowed, ConversationGone) as error:
            delivery = replace(delivery, digest=digest, state="refused")
            log.warning(
                "a card was refused", action="card_refused", run_id=run_id, card=card.id, error=str(error)
            )
        shown[card.id] = delivery
        await self._store.save_delivery(delivery)

    async def _edit_progress(
        self,
        group: asyncio.TaskGroup,
        lane: _Lane,
        adapter: ChatAdapter,
        run_id: RunId,
        card: Card,
        shown: dict[str, Delivery],
    ) -> None:
        """Edit the status card, but return as soon as something new wants to be shown."""
        task = lane.progress.get(run_id)
        if task is None:
            edit = self._try_edit(lane, adapter, run_id, card, shown)
            task = lane.progress[run_id] = group.create_task(edit, name=f"outbox edit:{run_id}")
        news = asyncio.create_task(lane.marked.wait())
        try:
            await asyncio.wait([task, news], return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        if not task.done():
            lane.dirty[run_id] = None
            return
        del lane.progress[run_id]
        error = task.result()
        if error is not None:
            raise error
        last = shown[card.id]
        if last.state == "shown" and last.digest != card_digest(card):  # that was an earlier version
            lane.dirty[run_id] = None

    async def _try_edit(
        self, lane: _Lane, adapter: ChatAdapter, run_id: RunId, card: Card, shown: dict[str, Delivery]
    ) -> AdapterError | None:
        try:
            try:
                await self._edit(adapter, card, shown[card.id], shown)
            finally:
                # Here, not where the edit is looked at: by then nobody may look any more.
                if run_id in self._shown:  # else it is forgotten already
                    self._edited[run_id] = time.monotonic()
        except RateLimited as error:
            lane.closed_until = time.monotonic() + error.retry_after_s
            return error
        except AdapterError as error:
            return error
        except Exception:
            log.exception("an edit broke", action="card_broke", card=card.id)
            return PlatformDown("the edit broke; the log has the details", outcome_unknown=True)
        return None

    async def _edit(
        self, adapter: ChatAdapter, card: Card, last: Delivery, shown: dict[str, Delivery]
    ) -> None:
        message = MessageRef.model_validate(last.message)
        try:
            message = await adapter.edit(message, card)
            done = replace(
                last, digest=card_digest(card), state="shown", message=message.model_dump(mode="json")
            )
        except MessageGone:
            done = replace(last, state="gone")  # a person deleted it: it does not come back
        except (RateLimited, PlatformDown):
            raise
        except AdapterError as error:
            # This version is not sent again; the next one may be fine.
            done = replace(last, digest=card_digest(card), state="shown")
            log.warning("an edit was refused", action="edit_refused", card=card.id, error=str(error))
        shown[card.id] = done
        await self._store.save_delivery(done)

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
                gone, _ = self._states.popitem(last=False)
                self._shown.pop(gone, None)
        return state

    def _forget(self, run_id: RunId, state: RunState) -> None:
        """Keep nothing in memory of runs that wait for people or have ended."""
        if state.ended is not None or state.status == "waiting":
            for memory in (self._states, self._shown, self._doing, self._conversations, self._edited):
                memory.pop(run_id, None)


def _is_due(last: Delivery | None, card: Card) -> bool:
    """Whether a card has to be posted: it never was, is not known to be, or was refused and has changed."""
    if last is None or last.state == "intent":
        return True
    return last.state == "refused" and last.message is None and last.digest != card_digest(card)


def card_digest(card: Card) -> str:
    """Which version of a card this is."""
    return hashlib.sha256(card.model_dump_json().encode("utf-8", "surrogatepass")).hexdigest()
