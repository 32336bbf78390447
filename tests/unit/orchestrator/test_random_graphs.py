"""Random graphs of up to 200 nodes with failures, retries and crashes, against a model of what YAML means.

The model goes through the graph once in topological order; the run goes through it in any order that
agents happen to end in, crashes in between, and has to come to the same.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.engine.facts import facts
from orchestrator.engine.fold import fold, grown
from orchestrator.engine.moves import moves
from orchestrator.engine.state import RunState
from orchestrator.events import Body, Json, Problem, RunEvent, RunStarted, StepEnded, StepFailed, StepStarted
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import problems
from tests.builders import NOW, RUN, created

Fate = Literal["well", "badly"]


@dataclass
class Graph:
    """A graph with what its agents are going to do."""

    workflow: Workflow
    fates: dict[str, Fate]
    stumbles: dict[str, int]  # attempts that fail before the last one
    flags: dict[str, int]  # what conditions read


def drawn(seed: int, size: int, *, keep_on: bool) -> Graph:
    """A graph whose nodes are `n0`, `n1`, … in topological order; every one is reachable."""
    dice = random.Random(seed)
    flags = {f"n{i}": dice.randint(0, 9) for i in range(size)}
    edges: list[Json] = []
    for i in range(1, size):
        near = dice.random() < 0.7
        sources = {dice.randrange(max(0, i - 6), i) if near else dice.randrange(i)}
        sources |= {dice.randrange(i) for _ in range(dice.choice([0, 0, 0, 1, 1, 3]))}
        edges += [{"from": f"n{s}", "to": f"n{i}"} for s in sorted(sources)]
    conditional = {f"n{i}" for i in range(size) if dice.random() < 0.15}
    for one in edges:  # of one node all ways have a condition, or none
        if one["from"] in conditional:
            one["when"] = f"{one['from']}.flag > {dice.randint(0, 8)}"
    dice.shuffle(edges)
    retry = {"max_retries": 3, "initial_delay": 0}
    nodes: dict[str, Json] = {
        f"n{i}": {"kind": "agent", "agent": "any", "retry": retry if dice.random() < 0.8 else {}}
        for i in range(size)
    }
    fates: dict[str, Fate] = {n: "badly" if keep_on and dice.random() < 0.06 else "well" for n in nodes}
    stumbles = {n: dice.choice([0, 0, 0, 1, 2]) if nodes[n]["retry"] else 0 for n in nodes}
    workflow = Workflow.model_validate(
        {
            "name": "drawn",
            "start": "n0",
            "nodes": nodes,
            "edges": edges,
            "policies": {"on_failure": "continue" if keep_on else "stop", "max_steps": 10_000},
        }
    )
    assert list(problems(workflow)) == []
    return Graph(workflow, fates, stumbles, flags)


def expected(graph: Graph) -> dict[str, str]:
    """What becomes of each node: "done", "failed", "skipped"; those that no branch comes to are not in it."""
    found: dict[str, str] = {}
    came: dict[str, list[str]] = {"n0": ["alive"]}
    for i in range(len(graph.workflow.nodes)):
        name = f"n{i}"
        arrivals = came.get(name, [])
        if not arrivals:
            continue
        if "dead" in arrivals:
            found[name] = "skipped"
        else:
            found[name] = "done" if graph.fates[name] == "well" else "failed"
        for edge in graph.workflow.outgoing[name]:
            if found[name] != "done":
                came.setdefault(edge.target, []).append("dead")
            elif edge.when is None or graph.flags[name] > int(edge.when.rpartition(">")[2]):
                came.setdefault(edge.target, []).append("alive")
    return found


@dataclass
class Runner:
    """Runs a graph as the engine does: results and what follows from them commit together, or not at all."""

    graph: Graph
    dice: random.Random
    log: list[RunEvent] = field(default_factory=list[RunEvent])
    worked: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])  # (node, attempt)
    crashes: int = 0

    def play(self) -> RunState:
        start = created(self.graph.workflow)
        self.log = [RunEvent(RUN, 1, NOW, start)]
        state = self.commit([RunStarted()])
        while state.ended is None:
            working = [n for n in state.unended if state.nodes[n].status == "working"]
            assert working, f"the run stands still: {state.frontier}"
            ended = self.dice.sample(working, self.dice.randint(1, min(len(working), 5)))
            results = [self.result(state, name) for name in ended]
            if self.dice.random() < 0.08:
                self.crashes += 1  # before the commit: what was done is lost, and done again
                refolded = fold(self.log)
                assert refolded == state
                continue
            state = self.commit(results)
        return state

    def result(self, state: RunState, name: str) -> Body:
        node = state.nodes[name]
        place: dict[str, Any] = {"node": name, "visit": node.visit, "attempt": node.attempt}
        self.worked[name, node.attempt] += 1
        retry = self.graph.workflow.nodes[name].retry
        if node.attempt <= self.graph.stumbles[name]:
            return StepFailed(**place, problem=Problem(kind="step", message="stumbled"), retry_at=NOW)
        if self.graph.fates[name] == "badly":
            again = NOW if node.attempt <= retry.max_retries else None
            return StepFailed(**place, problem=Problem(kind="step", message="broke"), retry_at=again)
        return StepEnded(**place, output={"flag": self.graph.flags[name]}, seconds=0.0)

    def commit(self, bodies: list[Body]) -> RunState:
        state = fold(self.log)
        assert state is not None
        appended = list(bodies)
        for body in bodies:
            state = grown(state, body, NOW)
        rounds = 0
        while todo := moves(self.graph.workflow, state, NOW):
            rounds += 1
            assert rounds < 2_000
            for move in todo:
                for body in facts(self.graph.workflow, state, move, NOW):
                    appended.append(body)
                    state = grown(state, body, NOW)
        self.log += [RunEvent(RUN, len(self.log) + i, NOW, b) for i, b in enumerate(appended, start=1)]
        return state


def check(graph: Graph, seed: int) -> None:
    runner = Runner(graph, random.Random(seed))
    state = runner.play()
    wanted = expected(graph)
    became = {name: node.status for name, node in state.nodes.items()}
    assert became == wanted
    starts: dict[str, int] = {}
    ends: dict[str, int] = {}
    for event in runner.log:
        body = event.body
        if isinstance(body, StepStarted) and body.attempt == 1:
            assert body.node not in starts, f"{body.node} began twice"
            starts[body.node] = event.seq
        elif isinstance(body, StepEnded):
            assert body.node not in ends, f"{body.node} ended twice"
            ends[body.node] = event.seq
    assert set(starts) == {n for n, what in wanted.items() if what != "skipped"}
    for edge in graph.workflow.links:
        if edge.target in starts and edge.source in ends:
            taken = edge.when is None or graph.flags[edge.source] > int(edge.when.rpartition(">")[2])
            assert not taken or ends[edge.source] < starts[edge.target], f"{edge.key}: out of order"
    attempts = Counter(e.body.node for e in runner.log if isinstance(e.body, StepStarted))
    for name, what in wanted.items():
        most = graph.workflow.nodes[name].retry.max_retries + 1
        need = {"done": graph.stumbles[name] + 1, "failed": most, "skipped": 0}[what]
        assert attempts[name] == need, f"{name} ({what}) was tried {attempts[name]} times"
    assert state.ended is not None
    done = "done" in wanted.values()
    assert state.ended.status == ("completed" if done else "failed")
    if not runner.crashes:
        assert set(runner.worked.values()) == {1}
    assert fold(runner.log) == state


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.booleans())
def test_a_random_graph_runs_each_node_as_often_as_it_means(seed: int, size: int, keep_on: bool) -> None:
    check(drawn(seed, size, keep_on=keep_on), seed)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32), st.integers(150, 200), st.booleans())
def test_a_graph_of_two_hundred_nodes_does_too(seed: int, size: int, keep_on: bool) -> None:
    check(drawn(seed, size, keep_on=keep_on), seed)
