"""One attempt of one node: what its agent is told, its time limit, and the fact that comes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

import structlog

from orchestrator.engine.state import RunState
from orchestrator.engine.steps import ended
from orchestrator.errors import Fenced, StepError, StoreFailed, UnknownEvent
from orchestrator.events import Body, Json, Line, Problem, StepEnded, StepFailed
from orchestrator.ports import Agents, Clock, StepInput, Views
from orchestrator.workflow import AgentNode, ErrorHandlerNode, Node, Workflow

log = structlog.get_logger(__name__)


class Run(Protocol):
    """What an attempt sees of the run that it belongs to."""

    state: RunState

    async def record(self, bodies: Sequence[Body]) -> None:
        """Append what happens inside a step."""
        ...

    def doing(self, node: str, text: str) -> None:
        """Tell followers what a node does now."""
        ...


class Attempts:
    """The attempts of one run's nodes in this process.

    Args:
        run: its fold is what agents are told, its log is where they record.
        workflow: the definition that the run began with.
        position: of the run's turn in the conversation, from 1.
        exchanges: turns of the conversation that every agent sees.
    """

    def __init__(
        self,
        run: Run,
        workflow: Workflow,
        position: int,
        *,
        agents: Agents,
        views: Views,
        clock: Clock,
        exchanges: int,
    ) -> None:
        self._run = run
        self._workflow = workflow
        self._position = position
        self._agents = agents
        self._views = views
        self._clock = clock
        self._exchanges = exchanges
        self._conversation: tuple[Line, ...] | None = None  # read once

    async def make(self, name: str) -> StepEnded | StepFailed:
        """Work on a node that has begun; every way to end but cancellation becomes a fact.

        Raises:
            Fenced, StoreFailed, UnknownEvent: not the step's fault; the scheduler comes back.
        """
        now = self._run.state.nodes[name]
        visit, attempt, begun = now.visit, now.attempt, time.monotonic()
        node = self._workflow.nodes[name]
        try:
            work = self._output(name, node)
            output = await (work if node.timeout is None else _within(node.timeout, work))
        except _TooLong:
            problem = Problem(kind="timeout", message=f"{name} took longer than {node.timeout:g} s")
            return self._failure(name, visit, attempt, problem, True, begun)
        except StepError as error:
            problem = Problem(kind=error.kind, message=str(error))
            return self._failure(name, visit, attempt, problem, error.retryable, begun)
        except (Fenced, StoreFailed, UnknownEvent):
            raise
        except Exception as error:
            log.exception("a step broke", action="step_broke", run_id=self._run.state.run_id, node=name)
            problem = Problem(
                kind="engine",
                message=f"{name} broke ({type(error).__name__}); the log of the bot has the details",
            )
            return self._failure(name, visit, attempt, problem, False, begun)
        seconds = round(time.monotonic() - begun, 3)
        return ended(name, visit, attempt, output, seconds)

    async def _output(self, name: str, node: Node) -> Json:
        agent = node.agent if isinstance(node, _WORKED_ON) else None
        if agent is None:
            return {"handled": _problem_before(self._run.state, name)}
        if self._conversation is None:
            self._conversation = await self._read_conversation()
        step = self._input(name, agent, self._conversation)
        return await self._agents.run(step, _Sink(self._run, name))

    def _input(self, name: str, agent: str, conversation: tuple[Line, ...]) -> StepInput:
        state, answer = self._run.state, self._workflow.answer
        node, created = state.nodes[name], state.created
        reviews = state.outputs.get(answer.review, ()) if answer and answer.review else ()
        return StepInput(
            state.run_id,
            name,
            node.visit,
            node.attempt,
            agent,
            created.turn,
            conversation,
            created.settings,
            _Latest(state.outputs),
            state.comments,
            tuple([s.text for s in state.steered]) if state.steered else (),
            node.recorded,
            reviews,
        )

    async def _read_conversation(self) -> tuple[Line, ...]:
        """The last exchanges; they do not change while the run works, since its conversation is its own."""
        created = self._run.state.created
        if created.turn.history is not None:
            return created.turn.history[-2 * self._exchanges :] if self._exchanges else ()
        if self._position <= 1:  # nothing was said before
            return ()
        lines = await self._views.exchanges(
            created.conversation_id, before=self._position, limit=self._exchanges
        )
        return tuple(lines)

    def _failure(
        self, name: str, visit: int, attempt: int, problem: Problem, retryable: bool, begun: float
    ) -> StepFailed:
        retry = self._workflow.nodes[name].retry
        again = retryable and attempt <= retry.max_retries
        delay = timedelta(seconds=retry.delay(attempt))
        return StepFailed(
            node=name,
            visit=visit,
            attempt=attempt,
            problem=problem,
            retry_at=self._clock.now() + delay if again else None,
            seconds=round(time.monotonic() - begun, 3),
        )


_WORKED_ON = (AgentNode, ErrorHandlerNode)


class _TooLong(Exception):
    """A step took longer than its node allows."""


async def _within(seconds: float, work: Coroutine[Any, Any, Json]) -> Json:
    """The result of `work`; `_TooLong` only for our own limit, not for what times out inside."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if limit.expired():
            raise _TooLong from None
        raise


class _Sink:
    """A step's way to the log. Implements `ports.StepSink`."""

    __slots__ = ("_node", "_run")

    def __init__(self, run: Run, node: str) -> None:
        self._run = run
        self._node = node

    async def record(self, *bodies: Body) -> None:
        await self._run.record(bodies)

    def doing(self, text: str) -> None:
        self._run.doing(self._node, text)

    def steering(self) -> tuple[str, ...]:
        return tuple(s.text for s in self._run.state.steered)


class _Latest(Mapping[str, Json]):
    """Each node's latest output, looked up for who asks: to copy all of them for each step is dear."""

    __slots__ = ("_outputs",)

    def __init__(self, outputs: Mapping[str, tuple[Json, ...]]) -> None:
        self._outputs = outputs

    def __getitem__(self, node: str) -> Json:
        return self._outputs[node][-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)


def _problem_before(state: RunState, name: str) -> Json:
    for step in reversed(state.steps):
        if step.problem is not None and step.node != name:
            return {"node": step.node, "problem": step.problem.model_dump(mode="json")}
    return {}
