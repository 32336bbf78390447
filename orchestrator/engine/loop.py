"""The loop that performs moves: reads the log, asks `moves`, works, appends what came of it.

One `Journey` drives one run in one process, from a claim to the end or until the run only
waits for people or time. What a journey holds in memory can be lost at any moment: the next
one folds the log and goes on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

import structlog

from orchestrator.bus import Bus
from orchestrator.engine.attempt import Attempts
from orchestrator.engine.facts import facts
from orchestrator.engine.fold import apply, fold, grown
from orchestrator.engine.kinds import Start
from orchestrator.engine.moves import moves, next_time
from orchestrator.engine.places import Places
from orchestrator.engine.state import RunState
from orchestrator.engine.straight import begun, onward
from orchestrator.errors import Conflict, Fenced, NotFound, StoreFailed
from orchestrator.events import Body, RunEvent, RunId, StepEnded, StepFailed, StepSkipped
from orchestrator.ports import Agents, Claimed, Clock, News, Scheduler, Store
from orchestrator.workflow import Workflow

log = structlog.get_logger(__name__)

POLL_S = 1.0  # facts that another process appended are noticed within this time
CANCEL_S = 1.5  # a stopped step gets this long to end before the run ends without it
STEPS_AT_ONCE = 50  # agents at work in this process, unless set otherwise
EXCHANGES = 6  # turns of the conversation that every agent sees, unless set otherwise
KEPT = 500  # definitions in memory
_GIVING_UP = frozenset({StepSkipped, StepFailed})  # after them others of the run may have nothing to do


class Engine:
    """Advances runs. `advance` is what the scheduler calls."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        agents: Agents,
        bus: Bus,
        clock: Clock,
        *,
        exchanges: int = EXCHANGES,
        steps_at_once: int = STEPS_AT_ONCE,
    ) -> None:
        self.store = store
        self.scheduler = scheduler
        self.agents = agents
        self.bus = bus
        self.clock = clock
        self.exchanges = exchanges
        self.places = Places(steps_at_once)
        self._journeys: dict[RunId, Journey] = {}  # at work in this process
        self._watching: asyncio.Task[None] | None = None
        self._definitions: OrderedDict[str, Workflow] = OrderedDict()  # the last used ones

    async def workflow(self, digest: str) -> Workflow:
        """The definition a run began with.

        Raises:
            NotFound: the database does not hold it.
        """
        found = self._definitions.get(digest)
        if found is None:
            stored = await self.store.definition(digest)
            # Many runs ask at once, and to read a definition takes long: whoever comes first does it.
            found = self._definitions.get(digest) or Workflow.model_validate(stored)
            self._definitions[digest] = found
            if len(self._definitions) > KEPT:  # callers over HTTP bring ever new ones
                self._definitions.popitem(last=False)
        else:
            self._definitions.move_to_end(digest)
        return found

    def watch(self, journey: Journey) -> Callable[[], None]:
        """Tell a journey when another process appended to its log. Returns what ends it."""
        self._journeys[journey.run_id] = journey
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="engine:watch")

        def end() -> None:
            if self._journeys.get(journey.run_id) is journey:
                del self._journeys[journey.run_id]
            if not self._journeys and self._watching is not None:
                self._watching.cancel()
                self._watching = None

        return end

    async def _watch(self) -> None:
        """One question for all runs at work: each by itself would read its log again and again."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                heads = await self.store.heads(tuple(self._journeys))
            except StoreFailed as error:
                log.warning("the logs could not be looked at", action="heads_unread", error=str(error))
                continue
            for run_id, seq in heads.items():
                journey = self._journeys.get(run_id)
                if journey is not None:
                    journey.hear(News(run_id, seq))

    async def advance(self, run_id: RunId) -> None:
        """Drive a run as far as it goes without people or time. At least once, never two at a time."""
        claimed = await self.store.claim(run_id)
        if claimed is None:
            return
        journey: Journey | None = None
        seen: int | None = None  # unless the journey came to rest, the run is woken again
        try:
            state = fold(claimed.events)
            if state is None:
                raise NotFound(f"there is no run {run_id}")
            journey = Journey(self, claimed, state, await self.workflow(state.created.workflow_digest))
            await journey.drive()
            seen = journey.state.seq
        except Fenced:
            log.warning("another process took the run over", action="run_fenced", run_id=run_id)
        finally:
            if journey is not None:
                await journey.close()
            if journey is None or journey.state.ended is None:  # the end has released it
                await self.store.release(run_id, claimed.epoch, seen=seen)


class Journey:
    """One process's work on one run. Implements nothing but the loop; decisions are in `moves`.

    Agents work in lanes. A lane is a task that works on a node, commits what came of it together with
    the moves that follow, and goes on with the node that these began: from step to step nobody has
    to be woken. Where more than one begins, each further one gets a lane of its own. Beside the lanes
    the journey waits for facts from outside and for what falls due.
    """

    def __init__(self, engine: Engine, claimed: Claimed, state: RunState, workflow: Workflow) -> None:
        self.engine = engine
        self.run_id = state.run_id
        self.state = state  # the fold so far
        self._epoch = claimed.epoch
        self._workflow = workflow
        self._attempts = Attempts(
            self,
            workflow,
            claimed.position,
            agents=engine.agents,
            views=engine.store,
            clock=engine.clock,
            places=engine.places,
            exchanges=engine.exchanges,
        )
        self._lanes: set[asyncio.Task[None]] = set()
        # Node → the lane that works on it; None: it has ended, and what came of it goes to the log now.
        self._at_work: dict[str, asyncio.Task[None] | None] = {}
        self._results: list[Body] = []  # of ended steps; whoever writes next takes them to the log
        self._writing = asyncio.Lock()  # the run's one writer in this process
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Future[None] = self._loop.create_future()
        self._behind = False  # the log may be longer than the fold, or call for moves
        self._timer: asyncio.TimerHandle | None = None
        self._deaf: Callable[[], None] = engine.bus.listen(self.hear, self.run_id)
        self._unwatched = engine.watch(self)

    def hear(self, news: News) -> None:
        """The log is longer than what is folded here: somebody else appended."""
        if news.seq > self.state.seq:
            self._look()

    def _look(self) -> None:
        """Read on and ask for moves, soon."""
        self._behind = True
        self._wake()

    def _wake(self, _: object = None) -> None:
        """End the wait under way, or the next one."""
        if not self._woken.done():
            self._woken.set_result(None)

    async def close(self) -> None:
        """End what still works; what it did is lost unless it was recorded."""
        self._deaf()
        self._unwatched()
        if self._timer is not None:
            self._timer.cancel()
        await self._cancel(self._lanes)

    async def drive(self) -> None:
        """Perform moves until the run ends or only waits."""
        await self._commit()
        self._begin()
        while self._lanes and self.state.ended is None:
            await self._wait()
        at = next_time(self.state)
        if at is not None:
            await self.engine.scheduler.wake(self.run_id, at)

    async def _wait(self) -> None:
        """Wait until a lane ends, a fact arrives or something is due, and do what follows."""
        self._set_timer()
        await self._woken
        self._woken = self._loop.create_future()
        for lane in [lane for lane in self._lanes if lane.done()]:
            self._lanes.discard(lane)
            lane.result()
        if self._behind and self.state.ended is None:
            self._behind = False
            async with self._writing:
                await self._read_on()
            await self._commit()
            self._begin()

    # ── appending ────────────────────────────────────────────────────────────────────────────

    async def _commit(self, *, only_results: bool = False) -> None:
        """Append results and every move that follows from them, in one transaction where possible.

        Args:
            only_results: whoever took them to the log has made the moves as well: nothing is left to do.
        """
        while True:
            await self._writing.acquire()
            try:
                if self.state.ended is not None or (only_results and not self._results):
                    return
                count = len(self._results)
                bodies, state = self._plan(self._results)
                if not bodies:
                    return
                # A step in flight writes through the same lock: it is ended outside of it, before the run.
                ending = {lane for lane in self._at_work.values() if lane} if state.ended else None
                if not ending:
                    try:
                        appended = await self.engine.store.append(
                            self.run_id,
                            bodies,
                            epoch=self._epoch,
                            expected_seq=self.state.seq,
                            status=state.status,
                        )
                    except Conflict:
                        await self._catch_up()
                        continue
                    # What was planned is what was appended, and no move follows from it; its times
                    # differ from the log's, by a moment.
                    assert appended.seq == state.seq
                    self.state = state
                    del self._results[:count]
                    if not _GIVING_UP.isdisjoint(map(type, bodies)):
                        self._give_up()
                    if self.engine.bus.anybody(self.run_id, besides=1):  # ourselves
                        self.engine.bus.publish(News(self.run_id, state.seq))
                    if appended.started is not None:
                        self.engine.bus.publish(News(appended.started, 0))
                        await self.engine.scheduler.wake(appended.started)
                    return
            finally:
                self._writing.release()
            await self._cancel(ending)

    def _plan(self, results: Sequence[Body]) -> tuple[list[Body], RunState]:
        """The events to append now: results, then moves until there are none."""
        state, now = self.state, self.engine.clock.now()
        if not results and (first := begun(self._workflow, state, now)) is not None:
            return [first[0]], first[1]
        if len(results) == 1 and type(result := results[0]) is StepEnded:
            straight = onward(self._workflow, state, result, now)
            if straight is not None:
                return [result, straight[0]], straight[1]
        bodies = list(results)
        for body in bodies:
            state = grown(state, body, now)
        more = True
        while more and (todo := moves(self._workflow, state, now)):
            more = False  # where agents begin in a single branch, nothing follows before one of them ends
            for move in todo:
                more = more or type(move) is not Start
                for body in facts(self._workflow, state, move, now):
                    bodies.append(body)
                    state = grown(state, body, now)
            more = more or bool(state.frontier or state.open_groups)
        return bodies, state

    def _give_up(self) -> None:
        """End lanes whose nodes are not to be worked on any more."""
        for name, lane in list(self._at_work.items()):
            if lane is not None and self.state.nodes[name].status != "working":
                del self._at_work[name]
                self._lanes.discard(lane)
                lane.cancel()

    async def record(self, bodies: Sequence[Body]) -> None:
        """Append what happens inside a step."""
        async with self._writing:
            # These facts do not depend on what others appended meanwhile, so no number is expected.
            appended = await self.engine.store.append(self.run_id, bodies, epoch=self._epoch)
            await self._absorb(appended.events)
        self.engine.bus.publish(News(self.run_id, self.state.seq))

    def doing(self, node: str, text: str) -> None:
        """Tell followers what a node does now."""
        self.engine.bus.publish(News(self.run_id, self.state.seq, {node: text}))

    async def _absorb(self, events: Sequence[RunEvent]) -> None:
        """Fold what was appended; read what others appended in between."""
        if events and events[0].seq == self.state.seq + 1:
            for event in events:
                self.state = apply(self.state, event)
        else:
            await self._catch_up()

    async def _catch_up(self) -> None:
        if await self._read_on():
            self._look()  # it may call for moves, wherever we are when we learn of it

    async def _read_on(self) -> bool:
        """Fold what others appended. Whether there was anything."""
        events = await self.engine.store.events(self.run_id, after=self.state.seq)
        for event in events:
            self.state = apply(self.state, event)
        return bool(events)

    # ── working ──────────────────────────────────────────────────────────────────────────────

    def _begin(self, lane: asyncio.Task[None] | None = None) -> str | None:
        """Give every node that is to be worked on a lane, the first one `lane`, if given: returns it."""
        mine: str | None = None
        if self.state.started_at is None:
            return None  # a fork in the queue: what it shares with another run waits as well
        for name in self.state.unended:
            if name in self._at_work or self.state.nodes[name].status != "working":
                continue
            if lane is not None and mine is None:
                mine = name
                self._at_work[name] = lane
            else:
                task = asyncio.create_task(self._lane(name), name=f"{self.run_id}:{name}")
                self._at_work[name] = task
                self._lanes.add(task)
                task.add_done_callback(self._wake)
        return mine

    async def _lane(self, first: str) -> None:
        """Work on a node and on what follows, as long as one follows."""
        lane, name = asyncio.current_task(), first
        while name is not None:
            result = await self._attempts.make(name)
            if self._at_work.get(name) is not lane:
                return  # given up: it did not listen when it was to end
            self._at_work[name] = None
            self._results.append(result)
            await self._commit(only_results=True)
            del self._at_work[name]
            if self.state.ended is not None:
                return
            name = self._begin(lane)
            if type(result) is StepFailed or self.state.approvals:
                self._set_timer()  # something may be due earlier now

    def _set_timer(self) -> None:
        """Look again when something is due. One timer serves many waits: to set one for each step is dear."""
        due = next_time(self.state)
        if due is None:
            return
        at = self._loop.time() + max(0.0, (due - self.engine.clock.now()).total_seconds())
        if self._timer is not None and self._timer.when() > at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._look()

    async def _cancel(self, lanes: Collection[asyncio.Task[None]]) -> None:
        """End lanes. One that does not listen is left behind; its appends are refused later."""
        if not lanes:
            return
        for lane in lanes:
            lane.cancel()
        ended, deaf = await asyncio.wait(lanes, timeout=CANCEL_S)
        for lane in ended:
            if not lane.cancelled():
                lane.exception()  # looked at, so that it is not reported as never retrieved
        self._lanes -= {*ended, *deaf}
        self._at_work = {name: lane for name, lane in self._at_work.items() if lane not in {*ended, *deaf}}
