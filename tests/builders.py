"""Workflows, runs and their logs by few words. `Play` plays a run in memory: `moves`, `facts`, `apply`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from config.documents import read_model
from orchestrator.engine.facts import facts
from orchestrator.engine.fold import apply
from orchestrator.engine.moves import moves
from orchestrator.engine.scopes import node_of
from orchestrator.engine.state import Approval, RunState
from orchestrator.engine.straight import begun, onward
from orchestrator.events import (
    Body,
    DecisionGiven,
    DecisionKind,
    Engine,
    Json,
    ModelAnswered,
    Problem,
    RunCreated,
    RunEvent,
    RunId,
    RunSettings,
    RunStarted,
    Steered,
    StepEnded,
    StepFailed,
    StopRequested,
    TurnRecord,
    Usage,
    Who,
)
from orchestrator.workflow import Workflow

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ADA = Who(key="web:ada", name="Ada")  # asked for the run
BOB = Who(key="web:bob", name="Bob")
RUN = RunId("rtest")
TALK = "web:local:general:c1"


# ── artifacts ────────────────────────────────────────────────────────────────────────────────


def brief(summary: str = "Tea is warm.", **more: Any) -> Json:
    source = {"id": 1, "title": "Tea", "url": "tea.md", "quoted": "Tea is warm."}
    finding = {"claim": "Tea is warm.", "source_ids": [1]}
    return {"summary": summary, "findings": [finding], "sources": [source], "gaps": []} | more


def task(name: str = "draft", title: str = "Write it", *after: str, acceptance: str = "") -> Json:
    return {"id": name, "title": title, "depends_on": list(after), "acceptance": acceptance}


def plan(goal: str = "Explain tea", *tasks: Json, **more: Any) -> Json:
    return {"goal": goal, "outline": ["Intro"], "tasks": list(tasks) or [task()], "risks": []} | more


def draft(body: str = "Tea is warm [1].", **more: Any) -> Json:
    results = [{"task_id": "draft", "done": True, "note": ""}]
    return {"body": body, "files": [], "task_results": results} | more


def review(score: float = 9.0, *, repeated: bool = False, findings: list[Json] | None = None) -> Json:
    verdict = "accept" if score >= 7 else "revise"
    return {"score": score, "findings": findings or [], "verdict": verdict, "repeated": repeated}


def remark(problem: str = "too short", find: str = "", replace: str = "", **more: Any) -> Json:
    edit = {"find": find, "replace": replace} if find else None
    return {"severity": "major", "where": "body", "problem": problem, "edit": edit} | more


# ── workflows ────────────────────────────────────────────────────────────────────────────────


@cache
def quartet() -> Workflow:
    """The shipped default workflow."""
    return read_model(ROOT / "config" / "workflows" / "quartet.yaml", Workflow)


def flow(nodes: Mapping[str, str | Json], *edges: str | Json, **more: Any) -> Workflow:
    """A workflow: nodes as "agent", "decision", "error_handler", "approval of X"; edges as "a > b"."""
    return Workflow.model_validate(
        {
            "name": "flow",
            "nodes": {name: _node(name, given) for name, given in nodes.items()},
            "edges": [_edge(e) for e in edges],
        }
        | more
    )


def edge(arrow: str, **more: Any) -> Json:
    """`edge("a > b", when="…", max_visits=2)`."""
    return _edge(arrow) | more


def _node(name: str, given: str | Json) -> Json:
    if not isinstance(given, str):
        return given
    kind, _, of = given.partition(" of ")
    if kind == "agent":
        return {"kind": "agent", "agent": name}
    return {"kind": kind, "of": of} if of else {"kind": kind}


def _edge(given: str | Json) -> Json:
    if not isinstance(given, str):
        return given
    source, target = given.split(" > ")
    return {"from": source, "to": target}


# ── turns and runs ───────────────────────────────────────────────────────────────────────────


def turn_record(text: str = "Explain tea", **more: Any) -> TurnRecord:
    given: Json = {"key": "t1", "text": text, "who": ADA, "at": NOW}
    return TurnRecord(**(given | more))


def created(
    workflow: Workflow,
    text: str = "Explain tea",
    *,
    settings: RunSettings | None = None,
    conversation: str = TALK,
    engine: Engine = "rules",
    run_inputs: Json | None = None,
    deadline: datetime | None = None,
    **turn: Any,
) -> RunCreated:
    return RunCreated(
        conversation_id=conversation,
        workflow=workflow.name,
        workflow_version=workflow.version,
        workflow_digest=workflow.digest,
        engine=engine,
        turn=turn_record(text, **turn),
        settings=settings or RunSettings(),
        inputs=run_inputs or {},
        deadline=deadline,
    )


class Play:
    """One run, played: append facts with `say`, end steps with `done` and `fail`; moves follow."""

    def __init__(
        self,
        workflow: Workflow | None = None,
        *,
        settings: RunSettings | None = None,
        started: bool = True,
        run_id: RunId = RUN,
        **more: Any,
    ) -> None:
        self.run_id = run_id
        self.workflow = workflow or quartet()
        self.now = NOW
        self.events: list[RunEvent] = []
        self.states: list[RunState] = []  # after each event
        self.short = 0  # how often there was a short way
        self.add(created(self.workflow, settings=settings, **more))
        if started:
            self.say(RunStarted())

    @property
    def state(self) -> RunState:
        return self.states[-1]

    def add(self, *bodies: Body) -> Play:
        """Append facts; no moves."""
        for body in bodies:
            event = RunEvent(self.run_id, len(self.events) + 1, self.now, body)
            self.events.append(event)
            self.states.append(apply(self.states[-1] if self.states else None, event))
        return self

    def say(self, *bodies: Body) -> Play:
        """Append facts and all moves that follow. Where there is a short way, it leads to the same."""
        short = self._short(bodies)
        before = len(self.events)
        self.add(*bodies)
        rounds = 0
        while todo := moves(self.workflow, self.state, self.now):
            rounds += 1
            assert rounds < 1_000, "moves never end"
            for move in todo:
                self.add(*facts(self.workflow, self.state, move, self.now))
        if short is not None:
            assert [e.body for e in self.events[before:]] == [*bodies, short[0]]
            assert self.state == short[1]
            self.short += 1
        return self

    def _short(self, bodies: Sequence[Body]) -> tuple[Body, RunState] | None:
        if len(bodies) == 1 and isinstance(bodies[0], StepEnded) and self.states:
            return onward(self.workflow, self.state, bodies[0], self.now)
        if len(bodies) == 1 and isinstance(bodies[0], RunStarted) and self.states:
            state = apply(self.state, RunEvent(self.run_id, len(self.events) + 1, self.now, bodies[0]))
            return begun(self.workflow, state, self.now)
        return begun(self.workflow, self.state, self.now) if not bodies and self.states else None

    def wait(self, seconds: float) -> Play:
        self.now += timedelta(seconds=seconds)
        return self.say()

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def working(self) -> list[str]:
        return [name for name, node in self.state.nodes.items() if node.status == "working"]

    def done(self, node: str, output: Json) -> Play:
        """The node that works ends well."""
        now = self.state.nodes[node]
        assert now.status == "working", f"{node} is {now.status}"
        return self.say(
            StepEnded(node=node, visit=now.visit, attempt=now.attempt, output=output, seconds=1.0)
        )

    def fail(self, node: str, message: str = "broke", *, retryable: bool = False) -> Play:
        """The node that works fails; retried as its policy says."""
        now, retry = self.state.nodes[node], node_of(self.workflow, self.state, node).retry
        assert now.status == "working", f"{node} is {now.status}"
        again = retryable and now.attempt <= retry.max_retries
        at = self.now + timedelta(seconds=retry.delay(now.attempt)) if again else None
        problem = Problem(kind="step", message=message)
        return self.say(
            StepFailed(
                node=node, visit=now.visit, attempt=now.attempt, problem=problem, retry_at=at, seconds=1.0
            )
        )

    def called(self, node: str, tokens: int = 10, cost: float | None = 0.001) -> Play:
        """The node that works made one model call."""
        now = self.state.nodes[node]
        return self.say(
            ModelAnswered(
                node=node,
                visit=now.visit,
                attempt=now.attempt,
                call=1,
                provider="openai",
                model="m",
                bits=(),
                usage=Usage(input_tokens=tokens, output_tokens=tokens, calls=1, cost_usd=cost),
            )
        )

    # ── people ───────────────────────────────────────────────────────────────────────────────

    def approval(self, nth: int = -1) -> Approval:
        return list(self.state.approvals.values())[nth]

    def decision(self, kind: DecisionKind, *, nth: int = -1, who: Who = ADA, **more: Any) -> DecisionGiven:
        approval_id = self.approval(nth).asked.approval_id
        return DecisionGiven(approval_id=approval_id, decision=kind, who=who, **more)

    def decide(self, kind: DecisionKind, *, nth: int = -1, who: Who = ADA, **more: Any) -> Play:
        return self.say(self.decision(kind, nth=nth, who=who, **more))

    def steer(self, text: str, key: str = "s1") -> Play:
        return self.say(Steered(key=key, text=text, who=BOB))

    def stop(self, who: Who = ADA, reason: str = "") -> Play:
        return self.say(StopRequested(who=who, reason=reason))

    # ── the default workflow, up to a point ──────────────────────────────────────────────────

    def to_approval(self, the_plan: Json | None = None) -> Play:
        return self.done("researcher", brief()).done("planner", the_plan or plan())

    def to_building(self) -> Play:
        return self.to_approval().decide("approve")

    def to_end(self) -> Play:
        return self.to_building().done("builder", draft()).done("reviewer", review())
