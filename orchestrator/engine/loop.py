"""The loop that performs moves: reads the log, asks `moves`, works, appends what came of it.

One `Journey` drives one run in one process, from a claim to the end or until the run only
waits for people or time. What a journey holds in memory can be lost at any moment: the next
one folds the log and goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog

from orchestrator.bus import Bus
from orchestrator.engine.facts import facts
from orchestrator.engine.moves import moves, next_time
from orchestrator.engine.state import RunState, apply, fold
from orchestrator.errors import Conflict, Fenced, NotFound, StepError, StoreFailed, UnknownEvent
from orchestrator.events import (
    Body,
    Json,
    Line,
    Problem,
    RunEvent,
    RunId,
    StepEnded,
    StepFailed,
)
from orchestrator.ports import Agents, Clock, News, Scheduler, StepInput, Store
from orchestrator.workflow import AgentNode, ErrorHandlerNode, Node, Workflow

log = structlog.get_logger(__name__)

POLL_S = 1.0  # facts that another process appended are noticed within this time
CANCEL_S = 1.5  # a stopped step gets this long to end before the run ends without it
STEPS_AT_ONCE = 50  # agents at work in this process, unless set otherwise
EXCHANGES = 6  # turns of the conversation that every agent sees, unless set otherwise


_WORKED_ON = (AgentNode, ErrorHandlerNode)


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
        self.slots = asyncio.Semaphore(steps_at_once)
        self._definitions: dict[str, Workflow] = {}

    async def workflow(self, digest: str) -> Workflow:
        """The definition a run began with.

        Raises:
            NotFound: the database does not hold it.
        """
        if digest not in self._definitions:
            self._definitions[digest] = Workflow.model_validate(await self.store.definition(digest))
        return self._definitions[digest]

    async def advance(self, run_id: RunId) -> None:
        """Drive a run as far as it goes without people or time. At least once, never two at a time."""
        epoch = await self.store.claim(run_id)
        if epoch is None:
            return
        journey = Journey(self, run_id, epoch)
        seen: int | None = None  # unless the journey came to rest, the run is woken again
        try:
            await journey.drive()
            seen = journey.state.seq
        except Fenced:
            log.warning("another process took the run over", action="run_fenced", run_id=run_id)
        finally:
            await journey.close()
            if not journey.over:  # the end has released it
                await self.store.release(run_id, epoch, seen=seen)


class Journey:
    """One process's work on one run. Implements nothing but the loop; decisions are in `moves`."""

    def __init__(self, engine: Engine, run_id: RunId, epoch: int) -> None:
        self.engine = engine
        self.run_id = run_id
        self.epoch = epoch
        self._state: RunState | None = None
        self._workflow: Workflow | None = None
        self._tasks: dict[str, asyncio.Task[tuple[Body, ...]]] = {}
        self._writing = asyncio.Lock()  # the run's one writer in this process
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Future[None] = self._loop.create_future()  # done: look again
        self._timer: asyncio.TimerHandle | None = None
        self._deaf: Callable[[], None] = engine.bus.listen(self._hear, run_id)
        self._exchanges: tuple[Line, ...] | None = None

    @property
    def state(self) -> RunState:
        """The fold so far."""
        assert self._state is not None
        return self._state

    def _hear(self, news: News) -> None:
        """The log is longer than what is folded here: somebody else appended."""
        if self._state is None or news.seq > self._state.seq:
            self._look()

    def _look(self, _: object = None) -> None:
        """End the wait under way, or the next one."""
        if not self._news.done():
            self._news.set_result(None)

    @property
    def over(self) -> bool:
        """Whether the run's end is in the log."""
        return self._state is not None and self._state.ended is not None

    async def close(self) -> None:
        """End what still works; what it did is lost unless it was recorded."""
        self._deaf()
        if self._timer is not None:
            self._timer.cancel()
        await self._cancel(dict(self._tasks))

    async def drive(self) -> None:
        """Perform moves until the run ends or only waits."""
        events = await self.engine.store.events(self.run_id)
        self._state = fold(events)
        if self._state is None:
            raise NotFound(f"there is no run {self.run_id}")
        self._workflow = await self.engine.workflow(self.state.created.workflow_digest)
        results: list[Body] = []
        while True:
            await self._commit(results)
            if self.state.ended is not None:
                return
            self._launch()
            if not self._tasks:
                at = next_time(self.state)
                if at is not None:
                    await self.engine.scheduler.wake(self.run_id, at)
                return
            results = await self._wait()

    # ── appending ────────────────────────────────────────────────────────────────────────────

    async def _commit(self, results: Sequence[Body]) -> None:
        """Append results and every move that follows from them, in one transaction where possible."""
        pending = list(results)
        while True:
            async with self._writing:
                bodies, state = self._plan(pending)
                if not bodies:
                    return
                # A step in flight writes through the same lock: it is ended outside of it, before the run.
                ending = dict(self._tasks) if state.ended is not None else {}
                if not ending:
                    try:
                        appended = await self.engine.store.append(
                            self.run_id,
                            bodies,
                            epoch=self.epoch,
                            expected_seq=self.state.seq,
                            status=state.status,
                        )
                    except Conflict:
                        await self._catch_up()
                        continue
                    # What was planned is what was appended, and no move follows from it; its times
                    # differ from the log's, by a moment.
                    assert appended.events[-1].seq == state.seq
                    self._state = state
                    await self._tell(appended.started)
                    return
            if ending:
                await self._cancel(ending)

    async def _tell(self, started: RunId | None) -> None:
        self.engine.bus.publish(News(self.run_id, self.state.seq))
        if started is not None:
            self.engine.bus.publish(News(started, 0))
            await self.engine.scheduler.wake(started)

    def _plan(self, results: Sequence[Body]) -> tuple[list[Body], RunState]:
        """The events to append now: results, then moves until there are none."""
        workflow = self._workflow
        assert workflow is not None
        state, now = self.state, self.engine.clock.now()
        bodies: list[Body] = []

        def add(body: Body) -> None:
            nonlocal state
            bodies.append(body)
            state = apply(state, RunEvent(self.run_id, state.seq + 1, now, body))

        for body in results:
            add(body)
        while todo := moves(workflow, state, now):
            for move in todo:
                for body in facts(workflow, state, move, now):
                    add(body)
        return bodies, state

    async def _absorb(self, events: Sequence[RunEvent]) -> None:
        """Fold what was appended; read what others appended in between."""
        if events and events[0].seq == self.state.seq + 1:
            for event in events:
                self._state = apply(self._state, event)
        else:
            await self._catch_up()

    async def _catch_up(self) -> None:
        for event in await self.engine.store.events(self.run_id, after=self.state.seq):
            self._state = apply(self._state, event)
            self._look()  # it may call for moves, wherever we are when we learn of it

    # ── working ──────────────────────────────────────────────────────────────────────────────

    def _launch(self) -> None:
        """Start the work of every node that the log says is working and that nobody works on."""
        assert self._workflow is not None
        for name, node in self.state.nodes.items():
            if node.status == "working" and name not in self._tasks:
                definition = self._workflow.nodes[name]
                work = self._work(name, definition, node.visit, node.attempt)
                task = asyncio.create_task(work, name=f"{self.run_id}:{name}")
                task.add_done_callback(self._look)
                self._tasks[name] = task

    async def _work(self, name: str, node: Node, visit: int, attempt: int) -> tuple[Body, ...]:
        """One attempt of one node; every way to end but cancellation becomes a fact."""
        async with self.engine.slots:
            return await self._attempt(name, node, visit, attempt)

    async def _attempt(self, name: str, node: Node, visit: int, attempt: int) -> tuple[Body, ...]:
        begun = time.monotonic()
        try:
            output = await self._within(node.timeout, self._output(name, node, visit, attempt))
        except _TooLong:
            problem = Problem(kind="timeout", message=f"{name} took longer than {node.timeout:g} s")
            return (self._failure(name, node, visit, attempt, problem, True, begun),)
        except StepError as error:
            problem = Problem(kind=error.kind, message=str(error))
            return (self._failure(name, node, visit, attempt, problem, error.retryable, begun),)
        except (Fenced, StoreFailed, UnknownEvent):
            raise  # not the step's fault: the scheduler comes back
        except Exception as error:
            log.exception("a step broke", action="step_broke", run_id=self.run_id, node=name)
            problem = Problem(
                kind="engine",
                message=f"{name} broke ({type(error).__name__}); the log of the bot has the details",
            )
            return (self._failure(name, node, visit, attempt, problem, False, begun),)
        seconds = time.monotonic() - begun
        return (StepEnded(node=name, visit=visit, attempt=attempt, output=output, seconds=round(seconds, 3)),)

    async def _within(self, seconds: float | None, work: Coroutine[Any, Any, Json]) -> Json:
        """The result of `work`; `_TooLong` only for our own limit, not for what times out inside."""
        if seconds is None:
            return await work
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError:
            if limit.expired():
                raise _TooLong from None
            raise

    async def _output(self, name: str, node: Node, visit: int, attempt: int) -> Json:
        agent = node.agent if isinstance(node, _WORKED_ON) else None
        if agent is None:
            return {"handled": _problem_before(self.state, name)}
        return await self.engine.agents.run(await self._input(name, agent, visit, attempt), _Sink(self, name))

    async def _input(self, name: str, agent: str, visit: int, attempt: int) -> StepInput:
        state, workflow = self.state, self._workflow
        assert workflow is not None
        reviewer = workflow.answer.review if workflow.answer else None
        return StepInput(
            run_id=self.run_id,
            node=name,
            visit=visit,
            attempt=attempt,
            agent=agent,
            turn=state.created.turn,
            exchanges=await self._conversation(),
            settings=state.created.settings,
            outputs=_latest(state),
            comments=state.comments,
            steering=tuple(s.text for s in state.steered),
            recorded=state.nodes[name].recorded,
            previous_reviews=state.outputs.get(reviewer, ()) if reviewer else (),
        )

    async def _conversation(self) -> tuple[Line, ...]:
        """The last exchanges; they do not change while the run works, since its conversation is its own."""
        created = self.state.created
        if created.turn.history is not None:
            return created.turn.history[-2 * self.engine.exchanges :] if self.engine.exchanges else ()
        if self._exchanges is None:
            row = await self.engine.store.run(self.run_id)
            before = row.position if row else 0
            if before <= 1:  # nothing was said before
                self._exchanges = ()
                return ()
            lines = await self.engine.store.exchanges(
                created.conversation_id, before=before, limit=self.engine.exchanges
            )
            self._exchanges = tuple(lines)
        return self._exchanges

    def _failure(
        self, name: str, node: Node, visit: int, attempt: int, problem: Problem, retryable: bool, begun: float
    ) -> StepFailed:
        again = retryable and attempt <= node.retry.max_retries
        delay = timedelta(seconds=node.retry.delay(attempt))
        return StepFailed(
            node=name,
            visit=visit,
            attempt=attempt,
            problem=problem,
            retry_at=self.engine.clock.now() + delay if again else None,
            seconds=round(time.monotonic() - begun, 3),
        )

    async def _wait(self) -> list[Body]:
        """Wait until a step ends, a fact arrives or something is due. Returns the ended steps' facts."""
        self._set_timer()
        await self._news
        self._news = self._loop.create_future()
        results: list[Body] = []
        for name, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[name]
                results += task.result()
        if not results:
            heads = await self.engine.store.heads([self.run_id])
            if heads.get(self.run_id, 0) > self.state.seq:
                async with self._writing:
                    await self._catch_up()
        return results

    def _set_timer(self) -> None:
        """Look again in time. One timer serves many waits: to set one for each step is dear."""
        at = self._loop.time() + self._patience()
        if self._timer is not None and self._timer.when() > at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._look()

    def _patience(self) -> float:
        at = next_time(self.state)
        if at is None:
            return POLL_S
        return max(0.0, min(POLL_S, (at - self.engine.clock.now()).total_seconds()))

    async def _cancel(self, tasks: Mapping[str, asyncio.Task[tuple[Body, ...]]]) -> None:
        """End steps. One that does not listen is left behind; its appends are refused later."""
        for task in tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks.values()), timeout=CANCEL_S)
        for name, task in tasks.items():
            if task.done() and not task.cancelled():
                task.exception()  # looked at, so that it is not reported as never retrieved
            self._tasks.pop(name, None)

    async def record(self, bodies: Sequence[Body]) -> None:
        """Append what happens inside a step."""
        async with self._writing:
            # These facts do not depend on what others appended meanwhile, so no number is expected.
            appended = await self.engine.store.append(self.run_id, bodies, epoch=self.epoch)
            await self._absorb(appended.events)
        self.engine.bus.publish(News(self.run_id, self.state.seq))


class _TooLong(Exception):
    """A step took longer than its node allows."""


class _Sink:
    """A step's way to the log. Implements `ports.StepSink`."""

    def __init__(self, journey: Journey, node: str) -> None:
        self._journey = journey
        self._node = node

    async def record(self, *bodies: Body) -> None:
        await self._journey.record(bodies)

    def doing(self, text: str) -> None:
        journey = self._journey
        journey.engine.bus.publish(News(journey.run_id, journey.state.seq, {self._node: text}))

    def steering(self) -> tuple[str, ...]:
        return tuple(s.text for s in self._journey.state.steered)


def _latest(state: RunState) -> dict[str, Json]:
    return {node: outputs[-1] for node, outputs in state.outputs.items() if outputs}


def _problem_before(state: RunState, name: str) -> Json:
    for step in reversed(state.steps):
        if step.problem is not None and step.node != name:
            return {"node": step.node, "problem": step.problem.model_dump(mode="json")}
    return {}
