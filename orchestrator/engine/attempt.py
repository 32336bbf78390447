"""One attempt of one node: what its agent is told, its time limit, and the fact that comes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from datetime import timedelta
from typing import Any, Protocol, cast

import structlog
from msgspec.structs import replace

from orchestrator import expressions, templates
from orchestrator.artifacts import PERSON
from orchestrator.engine.places import Place, Places
from orchestrator.engine.scopes import (
    Latest,
    Scope,
    item_of,
    led_here,
    needed,
    node_of,
    problem_before,
    scope,
    variables,
)
from orchestrator.engine.state import RunState
from orchestrator.engine.steps import ended
from orchestrator.errors import Fenced, NoAgent, StepError, StoreFailed, UnknownEvent
from orchestrator.events import (
    AgentAssigned,
    Body,
    CheckpointSaved,
    Json,
    Line,
    Priority,
    Problem,
    StepEnded,
    StepFailed,
)
from orchestrator.expressions import ExpressionError
from orchestrator.ids import approval_id
from orchestrator.ports import Agents, Clock, Room, Said, StepInput, Views
from orchestrator.values import Value
from orchestrator.workflow import Assigned, InputNode, Retry, Workflow

log = structlog.get_logger(__name__)


class Worker(Value, frozen=True):
    """Who works on an attempt."""

    agent: str  # "" for nobody: a handler that only goes on
    member: str = ""  # its name in a team


NOBODY = Worker("")
NO_ROOM = Room("", None, None)
MOST_AT_ONCE = 1_000_000  # no limit of the run's own


def _seconds_since(begun: float) -> float:
    """To the millisecond. `round` takes five times as long."""
    return int((time.monotonic() - begun) * 1000 + 0.5) / 1000


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
        places: what has to be free before an agent begins.
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
        places: Places,
        exchanges: int,
    ) -> None:
        self._run = run
        self._workflow = workflow
        self._position = position
        self._agents = agents
        self._views = views
        self._clock = clock
        self._places = places
        self._exchanges = exchanges
        self._conversation: tuple[Line, ...] | None = None  # read once
        created = run.state.created
        self._at_once = min(workflow.policies.max_concurrent, created.settings.at_once or MOST_AT_ONCE)
        self._own = Scope("", workflow, workflow)
        # What never changes, and is looked at for every step.
        self._named, self._plain = workflow.named, workflow.plain
        self._answer = workflow.answer
        self._turn, self._settings, self._inputs = created.turn, created.settings, created.inputs
        self._parts = created.turn.parts
        self._priority: Priority = created.priority

    async def make(self, name: str) -> StepEnded | StepFailed:
        """Work on a node that has begun; every way to end but cancellation becomes a fact.

        Raises:
            Fenced, StoreFailed, UnknownEvent: not the step's fault; the scheduler comes back.
        """
        now = self._run.state.nodes[name]
        visit, attempt, begun = now.visit, now.attempt, time.monotonic()
        named = self._named.get(name)
        node = named or node_of(self._workflow, self._run.state, name)
        timeout = node.timeout
        place: Place | None = None
        try:
            who = Worker(named.agent) if named is not None else await self._assigned(name)
            place = self._place(who.agent, getattr(node, "model", None) or "", node.priority)
            if not self._places.enter(place):
                waiting, place = place, None
                await self._places.take(waiting)
                place, begun = waiting, time.monotonic()
            work = self._output(name, who)
            output = await (work if timeout is None else _within(timeout, work))
        except _TooLong:
            problem = Problem(kind="timeout", message=f"{name} took longer than {timeout:g} s")
            return self._failure(name, visit, attempt, problem, True, begun)
        except StepError as error:
            problem = Problem(kind=error.kind, message=str(error))
            return self._failure(name, visit, attempt, problem, error.retryable, begun)
        except (Fenced, StoreFailed, UnknownEvent):
            raise
        except ExpressionError as error:
            problem = Problem(kind="workflow", message=f"node {name!r}: {error}")
            return self._failure(name, visit, attempt, problem, False, begun)
        except Exception as error:
            log.exception("a step broke", action="step_broke", run_id=self._run.state.run_id, node=name)
            problem = Problem(
                kind="engine",
                message=f"{name} broke ({type(error).__name__}); the log of the bot has the details",
            )
            return self._failure(name, visit, attempt, problem, False, begun)
        finally:
            if place is not None:
                self._places.give(place)
        return ended(name, visit, attempt, output, _seconds_since(begun))

    # ── who works ────────────────────────────────────────────────────────────────────────────

    async def _assigned(self, name: str) -> Worker:
        """The agent of this attempt; where the node does not name it, the log says who it is."""
        node = node_of(self._workflow, self._run.state, name)
        if not isinstance(node, Assigned):
            return NOBODY
        if node.agent is not None:
            return Worker(node.agent)
        state = self._run.state
        now = state.nodes[name]
        found = Worker(now.agent, now.member) if now.agent else None  # assigned before a crash
        if found is None and node.agent_from is None and not node.requires:
            return NOBODY
        if found is None:
            found, why = self._choose(name, node)
            fact = AgentAssigned(
                node=name,
                visit=now.visit,
                attempt=now.attempt,
                agent=found.agent,
                member=found.member,
                why=why,
            )
            await self._run.record([fact])
        return found

    def _choose(self, name: str, node: Assigned) -> tuple[Worker, str]:
        if node.agent_from is None:
            choice = self._agents.choose(node.requires, node.prefers)
            return Worker(choice.agent), choice.why
        wanted = expressions.value(node.agent_from, variables(self._workflow, self._run.state, name))
        if not isinstance(wanted, str) or not wanted:
            raise NoAgent(f"{name}: {node.agent_from!r} names nobody; it has to come to a name")
        if node.team is None:
            built_in = {info.name for info in self._agents.infos() if info.origin == "built_in"}
            if wanted not in self._agents.names() or wanted in built_in:
                raise NoAgent(f"{name}: there is no agent {wanted!r}; `quartet agents` lists them")
            return Worker(wanted), f"named by {node.agent_from}"
        member = self._member(name, node.team, wanted)
        return Worker(str(member["agent"]), wanted), f"{wanted} of the team"

    def _team(self, name: str, team: str) -> Json:
        around = self._scope(name).prefix
        return self._run.state.latest(around + team) or {}

    def _member(self, name: str, team: str, wanted: str) -> Json:
        given = cast("list[Any]", self._team(name, team).get("members") or [])
        members = [cast("Json", member) for member in given if isinstance(member, dict)]
        for member in members:
            if member.get("name") == wanted and member.get("agent") in self._agents.names():
                return member
        names = ", ".join(str(m.get("name")) for m in members)
        raise NoAgent(f"{name}: the team has no member {wanted!r} whose agent is there; members are {names}")

    def _place(self, agent: str, model: str, priority: Priority | None) -> Place:
        room = self._agents.room(agent, self._settings, model) if agent else NO_ROOM
        return Place(
            self._run.state.run_id,
            self._at_once,
            agent,
            room.agent_limit,
            room.provider,
            room.provider_limit,
            priority or self._priority,
        )

    # ── what they are told ───────────────────────────────────────────────────────────────────

    def _scope(self, name: str) -> Scope:
        return self._own if name in self._workflow.nodes else scope(self._workflow, name)

    async def _output(self, name: str, who: Worker) -> Json:
        if not who.agent:
            return self._handled(name)
        if self._conversation is None:
            self._conversation = await self._read_conversation()
        step = self._input(name, who, self._conversation)
        return await self._agents.run(step, _Sink(self._run, name))

    def _handled(self, name: str) -> Json:
        """What a handler without an agent puts out."""
        state = self._run.state
        around = self._scope(name)
        output: Json = {"handled": problem_before(state, around.prefix, besides=name)}
        group = state.groups.get(name)
        if group is not None and group.kind == "undo":
            output["undone"] = [
                {**item, "done": index not in group.failed} for index, item in enumerate(group.items)
            ]
        return output

    def _input(self, name: str, who: Worker, conversation: tuple[Line, ...]) -> StepInput:
        state, around = self._run.state, self._scope(name)
        answer = self._answer if around is self._own else around.workflow.answer
        now = state.nodes[name]
        reviews = state.outputs.get(around.prefix + answer.review, ()) if answer and answer.review else ()
        step = StepInput(
            state.run_id,
            name,
            now.visit,
            now.attempt,
            who.agent,
            self._turn,
            conversation,
            self._settings,
            Latest(state.outputs, around.prefix),
            state.comments,
            tuple([s.text for s in state.steered]) if state.steered else (),
            now.recorded,
            reviews,
        )
        if self._inputs or now.checkpoint or name not in self._plain:  # inside of others: always
            step = self._more(step, name, who)
        return self._own_part(step, name) if name in self._parts else step

    def _own_part(self, step: StepInput, name: str) -> StepInput:
        """A node that is asked for something of its own: it sees that, and what led to it put out."""
        state = self._run.state
        turn, parts = self._turn, self._parts
        own = parts[name]
        before = led_here(self._workflow, state, name)
        outputs = {parts[n].name if n in parts else n: state.outputs[n][-1] for n in before}
        told = turn.model_copy(update={"text": own.text, "parts": {name: own}, "call": None})
        return replace(step, turn=told, inputs=own.inputs, outputs=outputs, problem=None)

    def _more(self, step: StepInput, name: str, who: Worker) -> StepInput:
        """What only some steps have: a task, inputs, an item, a part in a team, a checkpoint."""
        state = self._run.state
        node = node_of(self._workflow, state, name)
        assert isinstance(node, Assigned)  # nobody else has an agent
        now, around = state.nodes[name], self._scope(name)
        names = variables(self._workflow, state, name)
        owner = item_of(name)
        group = state.groups.get(owner[0]) if owner else None
        undoing, item = "", names.get("item")
        if group is not None and owner is not None and group.kind == "undo":
            undoing = str(group.items[owner[1]]["node"])
            item = state.latest(around.prefix + undoing)
        undone = state.groups.get(name)
        if undone is not None and undone.kind == "undo":  # the handler itself, behind its items
            item = [
                {"node": one["node"], "output": state.latest(f"{name}[{index}]")}
                for index, one in enumerate(undone.items)
            ]
        team = self._team(name, node.team) if node.team else None
        checkpoint = None
        if now.checkpoint is not None and (now.checkpoint[0] == now.attempt or node.checkpoint):
            checkpoint = now.checkpoint[1]
        before = needed(self._workflow, state, name)
        return replace(
            step,
            outputs={**step.outputs, **before} if before else step.outputs,
            task=templates.fill(node.task, names),
            inputs=names["inputs"],
            item=item,
            outcomes=node.outcomes,
            member=self._member(name, node.team, who.member) if node.team and who.member else None,
            team=team,
            talk=tuple(_talk(state, around)),
            checkpoint=checkpoint,
            problem=problem_before(state, around.prefix, besides=name) or None,
            undoing=undoing,
            model=node.model or "",
            temperature=node.temperature,
            can_ask=_can_ask(around.workflow, name[len(around.prefix) :]),
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

    def _retry(self, name: str) -> Retry:
        """The node's own policy, else its agent's."""
        state = self._run.state
        node = node_of(self._workflow, state, name)
        if "retry" in node.model_fields_set or not isinstance(node, Assigned):
            return node.retry
        agent = node.agent or state.nodes[name].agent
        return (self._agents.retry(agent) if agent else None) or node.retry

    def _failure(
        self, name: str, visit: int, attempt: int, problem: Problem, retryable: bool, begun: float
    ) -> StepFailed:
        retry = self._retry(name)
        again = retryable and attempt <= retry.max_retries
        delay = timedelta(seconds=retry.delay(attempt))
        return StepFailed(
            node=name,
            visit=visit,
            attempt=attempt,
            problem=problem,
            retry_at=self._clock.now() + delay if again else None,
            seconds=_seconds_since(begun),
        )


def _talk(state: RunState, around: Scope) -> Iterator[Said]:
    """What members of a team or chosen agents did so far, and what people answered; oldest first."""
    named = around.workflow.chosen
    if not named:
        return
    seen: dict[str, int] = {}
    for step in state.steps:
        name = step.node[len(around.prefix) :] if step.node.startswith(around.prefix) else ""
        if isinstance(around.workflow.nodes.get(name), InputNode) and step.status == "done":
            yield from _answered(state, step.node, step.visit)
        if name not in named or step.status != "done":
            continue
        index = seen.get(step.node, 0)
        seen[step.node] = index + 1
        outputs = state.outputs.get(step.node, ())
        if index < len(outputs):
            yield Said(step.member or step.agent, outputs[index])


def _answered(state: RunState, node: str, visit: int) -> Iterator[Said]:
    """A question to people and their answer; null: nobody answers it, the others go on without."""
    approval = state.approvals.get(approval_id(state.run_id, node, visit))
    if approval is not None and approval.resolved is not None:
        answer = (approval.resolved.output or {}).get("text")
        yield Said(PERSON, {"question": approval.asked.body, "answer": answer})


def _can_ask(workflow: Workflow, node: str) -> bool:
    """Whether what the node's agent puts out can become a question to people."""
    return any(
        any(read == node for hole in templates.holes(asking.question) for read, _ in expressions.reads(hole))
        for asking in workflow.nodes.values()
        if isinstance(asking, InputNode)
    )


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

    async def checkpoint(self, content: Json) -> None:
        now = self._run.state.nodes[self._node]
        fact = CheckpointSaved(node=self._node, visit=now.visit, attempt=now.attempt, content=content)
        await self._run.record([fact])

    def steering(self) -> tuple[str, ...]:
        return tuple(s.text for s in self._run.state.steered)
