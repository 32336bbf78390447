"""A whole core on a real SQLite store, with agents that answer from a script and fail on leftovers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.bus import Bus
from orchestrator.engine.loop import Engine
from orchestrator.engine.state import RunState
from orchestrator.errors import NoAgent
from orchestrator.events import ENDED, Json, RunId, RunSettings, TurnRecord, Who
from orchestrator.infra.local_scheduler import LocalScheduler
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.ports import AgentInfo, Choice, Room, StepInput, StepSink
from orchestrator.service import Service
from orchestrator.workflow import Retry, Workflow

ADA = Who(key="web:ada", name="Ada")
BOB = Who(key="web:bob", name="Bob")
WITHIN_S = 60.0

Answer = Json | Exception | Callable[[StepInput, StepSink], Awaitable[Json]]

BRIEF: Json = {
    "summary": "Tea is warm.",
    "findings": [{"claim": "Tea is warm.", "source_ids": [1]}],
    "sources": [{"id": 1, "title": "Tea", "url": "tea.md#warm", "quoted": "Tea is warm."}],
    "gaps": [],
}
PLAN: Json = {
    "goal": "Explain tea",
    "outline": ["Tea"],
    "tasks": [{"id": "t1", "title": "Write about tea", "depends_on": [], "acceptance": "says warm"}],
    "risks": [],
}
DRAFT: Json = {
    "body": "Tea is warm [1].",
    "files": [],
    "task_results": [{"task_id": "t1", "done": True, "note": ""}],
}
REVIEW: Json = {"score": 9.0, "findings": [], "verdict": "accept", "repeated": False}
GOOD: dict[str, Json] = {"researcher": BRIEF, "planner": PLAN, "builder": DRAFT, "reviewer": REVIEW}


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class ScriptedAgents:
    """Answers each agent's steps from its own queue; `check` fails when an answer is left."""

    def __init__(self) -> None:
        self.script: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self.calls: list[StepInput] = []

    def say(self, agent: str, *answers: Answer) -> None:
        self.script[agent].extend(answers)

    def say_all_good(self) -> None:
        for agent, answer in GOOD.items():
            self.say(agent, answer)

    def check(self) -> None:
        left = {agent: len(answers) for agent, answers in self.script.items() if answers}
        assert not left, f"scripted answers were not asked for: {left}"

    def called(self, agent: str) -> list[StepInput]:
        return [c for c in self.calls if c.agent == agent]

    def names(self) -> Sequence[str]:
        return tuple(dict.fromkeys([*GOOD, *self.script]))

    def infos(self) -> Sequence[AgentInfo]:
        return tuple(AgentInfo(n, n.title(), (), "rules", ()) for n in self.names())

    def choose(self, requires: Sequence[str], prefers: Sequence[str] = ()) -> Choice:
        """An agent has the capability that it is named after."""
        for name in self.names():
            if set(requires) <= {name}:
                return Choice(name, "fits")
        raise NoAgent(f"nobody has {', '.join(requires)}")

    def room(self, agent: str, settings: RunSettings, model: str = "") -> Room:
        return Room("", None, None)

    def retry(self, agent: str) -> Retry | None:
        return None

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        self.calls.append(step)
        assert self.script[step.agent], f"{step.agent} was called more often than scripted"
        answer = self.script[step.agent].popleft()
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return await answer(step, sink)
        return answer


class Gate:
    """An answer of an agent that tells when it works and ends when it is let go."""

    def __init__(self, output: Json) -> None:
        self.output = output
        self.entered = asyncio.Event()
        self.let_go = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.steering: tuple[str, ...] = ()  # what people had said to it when it ended

    async def __call__(self, step: StepInput, sink: StepSink) -> Json:
        self.entered.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.steering = sink.steering()
        return self.output


class House:
    """Store, scheduler, engine and service, running."""

    def __init__(self, store: SqliteStore, agents: ScriptedAgents, workflows: dict[str, Workflow]) -> None:
        self.store = store
        self.agents = agents
        self.bus = Bus()
        self.scheduler = LocalScheduler(store, concurrency=8, sweep_s=0.2, poll_s=0.05)
        self.engine = Engine(store, self.scheduler, agents, self.bus, SystemClock())
        self.service = Service(store, self.scheduler, agents, workflows, self.bus, "rules")

    async def turn(
        self,
        text: str = "What is tea?",
        *,
        key: str = "k1",
        conversation: str = "web:local:general:c1",
        workflow: str = "quartet",
        who: Who = ADA,
        **settings: Any,
    ) -> RunId:
        record = TurnRecord(key=key, text=text, who=who, at=datetime.now(UTC))
        accepted = await self.service.start(
            conversation_id=conversation, turn=record, workflow=workflow, settings=RunSettings(**settings)
        )
        return accepted.run_id

    async def until(self, run_id: RunId, wanted: Callable[[RunState], bool]) -> RunState:
        """The first state that is as wanted; fails after WITHIN_S seconds."""
        state: RunState | None = None
        try:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    state = await self.service.state(run_id)
                    if wanted(state):
                        return state
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"the run did not get there: {state}") from None

    async def ended(self, run_id: RunId) -> RunState:
        return await self.until(run_id, lambda s: s.status in ENDED)

    async def asked(self, run_id: RunId) -> RunState:
        return await self.until(run_id, lambda s: bool(s.open_approvals()))


@asynccontextmanager
async def house(
    folder: Path, workflows: dict[str, Workflow], agents: ScriptedAgents | None = None
) -> AsyncGenerator[House]:
    """A running core. Leaving it is a shutdown; entering it again on the same folder, a restart."""
    store = await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")
    try:
        built = House(store, agents or ScriptedAgents(), workflows)
        working = asyncio.create_task(built.scheduler.run(built.engine.advance))
        try:
            yield built
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
    finally:
        await store.close()
