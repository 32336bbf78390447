"""How far graphs are, kept between calls: clients ask every half second, and lists show a hundred.

A run that works is folded on from where the last call left it; one that has ended is not looked at
again. What is kept is the answer as bytes, so that a call costs no more than sending it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.api.graph_views import GraphOut, Status, graph_view, unreadable
from bot.api.starting import is_named, name_in, turn_key
from orchestrator.engine.fold import apply
from orchestrator.engine.state import RunState
from orchestrator.errors import NotFound, UnknownEvent
from orchestrator.events import RunEvent, RunId
from orchestrator.ports import RunRow, Store

MOST: Final = 4_096  # runs
MOST_BYTES: Final = 32 * 1024 * 1024
WORKING: Final = 256  # whose state is kept, to be folded on
LONG: Final = 300  # events that are folded in a thread


@dataclass(frozen=True, slots=True)
class Shown:
    """A graph as it was at one event of its log."""

    seq: int
    status: Status
    body: bytes  # GraphOut as JSON
    state: RunState | None  # None: it has ended, nothing changes any more
    named: bool = True  # False: a fork; its `workflow_id` means the run that it was forked from

    @property
    def ended(self) -> bool:
        """Whether it stays as it is."""
        return self.state is None


class Kept:
    """The answers for runs, the ones used longest ago forgotten first."""

    def __init__(self) -> None:
        self._shown: OrderedDict[RunId, Shown] = OrderedDict()
        self._working: OrderedDict[RunId, None] = OrderedDict()
        self._bytes = 0

    async def now(self, store: Store, run_id: RunId, *, seq: int | None = None) -> Shown:
        """How far a run is.

        Args:
            seq: its log is so long, as far as is known; None: look.

        Raises:
            NotFound: there is no such run.
            UnknownEvent: its log cannot be read by this version.
        """
        before = self._shown.get(run_id)
        if before is not None and (before.ended or before.seq == seq):
            self._use(run_id)
            return before
        events = await store.events(run_id, after=before.seq if before else 0)
        if before is not None and not events:
            self._use(run_id)
            return before
        state = before.state if before else None
        if len(events) > LONG:  # nobody waits for it meanwhile
            shown = await asyncio.to_thread(_after, state, events, run_id)
        else:
            shown = _after(state, events, run_id)
        return self._keep(run_id, shown)

    def begun(self, run_id: RunId, events: Sequence[RunEvent]) -> Shown:
        """How far a run is that was started now."""
        return self._keep(run_id, _after(None, events, run_id))

    async def row(self, store: Store, row: RunRow) -> Shown:
        """The same of a run in a list."""
        try:
            return await self.now(store, row.id, seq=row.seq)
        except UnknownEvent:
            name = name_in("graph", row.conversation_id)
            named = await store.known(turn_key("graph", name)) == row.id
            return _shown(row.seq, unreadable(row), None, named=named)

    def _keep(self, run_id: RunId, shown: Shown) -> Shown:
        there = self._shown.get(run_id)
        if there is not None and there.seq >= shown.seq:  # another call was faster
            return there
        self._forget(run_id)
        self._shown[run_id] = shown
        self._bytes += len(shown.body)
        if not shown.ended:
            self._working[run_id] = None
        while len(self._working) > WORKING:
            self._forget(next(iter(self._working)))
        while len(self._shown) > MOST or (self._bytes > MOST_BYTES and len(self._shown) > 1):
            self._forget(next(iter(self._shown)))
        return shown

    def _use(self, run_id: RunId) -> None:
        self._shown.move_to_end(run_id)
        if run_id in self._working:
            self._working.move_to_end(run_id)

    def _forget(self, run_id: RunId) -> None:
        shown = self._shown.pop(run_id, None)
        if shown is not None:
            self._bytes -= len(shown.body)
        self._working.pop(run_id, None)


def _after(state: RunState | None, events: Sequence[RunEvent], run_id: RunId) -> Shown:
    for event in events:
        state = apply(state, event)
    if state is None:
        raise NotFound(f"there is no run {run_id!r}")
    working = state if state.ended is None else None
    return _shown(state.seq, graph_view(state), working, named=is_named("graph", state.created))


def _shown(seq: int, view: GraphOut, state: RunState | None, *, named: bool) -> Shown:
    return Shown(seq, view.status, view.model_dump_json().encode(), state, named)
