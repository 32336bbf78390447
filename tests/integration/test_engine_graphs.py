"""Graphs on a real store: branches at work side by side, places, giving up, checkpoints, forks, restarts."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.fold import fold
from orchestrator.engine.state import RunState
from orchestrator.errors import Refused, StepError
from orchestrator.events import AgentAssigned, Json, Priority
from orchestrator.ports import StepInput, StepSink
from orchestrator.workflow import Workflow
from tests import house as houses
from tests.builders import edge, flow
from tests.house import ADA, BOB, House, ScriptedAgents, house
from tests.unit.orchestrator.test_random_graphs import drawn, expected


def agent(name: str = "worker", **more: Any) -> Json:
    return {"kind": "agent", "agent": name, **more}


class Gate:
    """Agents that wait until they are let go."""

    def __init__(self) -> None:
        self.at_work: list[str] = []
        self.came = asyncio.Condition()
        self.let_go = asyncio.Event()
        self.cancelled: list[str] = []

    async def __call__(self, step: StepInput, sink: StepSink) -> Json:
        async with self.came:
            self.at_work.append(step.node)
            self.came.notify_all()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(step.node)
            raise
        return {"body": step.node}


async def begun(gate: Gate, count: int) -> None:
    async with asyncio.timeout(10), gate.came:
        await gate.came.wait_for(lambda: len(gate.at_work) >= count)


async def test_branches_work_side_by_side(tmp_path: Path) -> None:
    workflow = flow({n: agent() for n in "abcd"}, "a > b", "a > c", "b > d", "c > d")
    async with house(tmp_path, {"flow": workflow}) as h:
        gate = Gate()
        h.agents.say("worker", {"body": "a"}, gate, gate, {"body": "d"})
        run_id = await h.turn(workflow="flow")
        await begun(gate, 2)
        gate.let_go.set()
        state = await h.ended(run_id)
        assert state.status == "completed"
        assert sorted(gate.at_work) == ["b", "c"]
        h.agents.check()


async def test_no_more_steps_of_a_run_work_at_once_than_it_allows(tmp_path: Path) -> None:
    nodes = {"a": agent(), **{f"n{i}": agent() for i in range(9)}}
    workflow = flow(nodes, *(f"a > n{i}" for i in range(9)), policies={"max_concurrent": 3})
    at_work: list[int] = []
    now = 0

    async def counted(step: StepInput, sink: StepSink) -> Json:
        nonlocal now
        now += 1
        at_work.append(now)
        for _ in range(5):
            await asyncio.sleep(0)
        now -= 1
        return {}

    async with house(tmp_path, {"flow": workflow}) as h:
        h.agents.say("worker", {}, *[counted] * 9)
        state = await h.ended(await h.turn(workflow="flow"))
        assert state.status == "completed"
    assert max(at_work) == 3


async def test_a_waiting_critical_step_begins_before_a_waiting_low_one(tmp_path: Path) -> None:
    wanted: list[Priority] = ["low", "medium", "critical", "high"]
    nodes = {"a": agent(), "b": agent(), **{p: agent(priority=p) for p in wanted}}
    ways = ("a > b", *(f"a > {p}" for p in wanted))
    workflow = flow(nodes, *ways, policies={"max_concurrent": 1})
    order: list[str] = []

    async def noted(step: StepInput, sink: StepSink) -> Json:
        order.append(step.node)
        await asyncio.sleep(0.01)  # long enough for all others to stand in line
        return {}

    async with house(tmp_path, {"flow": workflow}) as h:
        h.agents.say("worker", {}, *[noted] * 5)
        assert (await h.ended(await h.turn(workflow="flow"))).status == "completed"
    assert order == ["b", "critical", "high", "medium", "low"]


async def test_what_nobody_waits_for_any_more_is_ended(tmp_path: Path) -> None:
    nodes: dict[str, Any] = {n: agent(n) for n in "abc"} | {"d": agent("d", join="any")}
    workflow = flow(nodes, "a > b", "a > c", "b > d", "c > d")
    async with house(tmp_path, {"flow": workflow}) as h:
        gate = Gate()
        h.agents.say("a", {})
        h.agents.say("c", gate)

        async def quick(step: StepInput, sink: StepSink) -> Json:
            await begun(gate, 1)
            return {"body": "first"}

        h.agents.say("b", quick)
        h.agents.say("d", {"body": "answer"})
        state = await h.ended(await h.turn(workflow="flow"))
        assert state.status == "completed"
        assert gate.cancelled == ["c"]
        assert state.nodes["c"].status == "skipped"
        assert state.ended is not None
        assert state.ended.answer is not None
        assert state.ended.answer["body"] == "answer"


async def test_an_agent_is_chosen_by_what_it_can_do_and_the_log_says_who(tmp_path: Path) -> None:
    nodes = {
        "a": {"kind": "agent", "requires": ["backend"], "task": "Build {{ inputs.text }}"},
        "b": {"kind": "agent", "agent_from": "a.next", "outcomes": ["good", "bad"]},
    }
    async with house(tmp_path, {"flow": flow(nodes, "a > b")}) as h:
        h.agents.say("backend", {"next": "qa"})
        h.agents.say("qa", {"body": "x"})
        run_id = await h.turn(workflow="flow")
        assert (await h.ended(run_id)).status == "completed"
        assert h.agents.called("backend")[0].task == "Build What is tea?"
        [one] = h.agents.called("qa")
        assert one.outcomes == ("good", "bad")
        said = [e.body for e in await h.store.events(run_id) if isinstance(e.body, AgentAssigned)]
        assert [(s.node, s.agent) for s in said] == [("a", "backend"), ("b", "qa")]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"kind": "agent", "requires": ["telepathy"]}, "nobody has telepathy"),
        ({"kind": "agent", "agent_from": "inputs.who"}, "no agent 'nobody'"),
        ({"kind": "agent", "agent_from": "inputs.text", "team": "a"}, "has no member"),
        ({"kind": "agent", "agent_from": "visits.a"}, "names nobody"),
        ({"kind": "agent", "agent": "a", "task": "{{ inputs.missing }}"}, "there is no 'missing'"),
    ],
)
async def test_a_step_for_which_there_is_nobody_says_why(tmp_path: Path, node: Json, message: str) -> None:
    inputs = {"type": "object", "properties": {"who": {"type": "string"}}}
    workflow = flow({"a": agent("a"), "b": node}, "a > b", inputs=inputs)
    async with house(tmp_path, {"flow": workflow}) as h:
        h.agents.say("a", {"members": [{"name": "Ada", "agent": "gone"}]})
        turn = {"who": "nobody"}
        run_id = await start(h, "flow", inputs=turn)
        state = await h.ended(run_id)
        assert state.status == "failed"
        assert state.ended is not None
        assert state.ended.problem is not None
        assert message in state.ended.problem.message


async def start(h: House, workflow: str, *, key: str = "k1", **more: Any) -> Any:
    from orchestrator.events import TurnRecord

    record = TurnRecord(key=key, text="What is tea?", who=ADA, at=datetime.now(UTC))
    conversation = f"web:local:general:{key}"
    return (
        await h.service.start(conversation_id=conversation, turn=record, workflow=workflow, **more)
    ).run_id


async def test_an_agent_goes_on_from_its_checkpoint_after_a_failure_and_after_a_restart(
    tmp_path: Path,
) -> None:
    retry = {"max_retries": 1, "initial_delay": 0}
    workflow = flow({"scan": agent(retry=retry, checkpoint=True)})
    seen: list[Json | None] = []
    stuck = asyncio.Event()

    async def saves_and_fails(step: StepInput, sink: StepSink) -> Json:
        seen.append(step.checkpoint)
        await sink.checkpoint({"page": 7})
        raise StepError("no luck", retryable=True)

    async def saves_and_hangs(step: StepInput, sink: StepSink) -> Json:
        seen.append(step.checkpoint)
        await sink.checkpoint({"page": 9})
        stuck.set()
        await asyncio.Event().wait()
        return {}

    async def ends(step: StepInput, sink: StepSink) -> Json:
        seen.append(step.checkpoint)
        return {"body": "all pages"}

    agents = ScriptedAgents()
    agents.say("worker", saves_and_fails, saves_and_hangs, ends)
    async with house(tmp_path, {"flow": workflow}, agents) as h:
        run_id = await h.turn(workflow="flow")
        async with asyncio.timeout(10):
            await stuck.wait()
    async with house(tmp_path, {"flow": workflow}, agents) as h:
        assert (await h.ended(run_id)).status == "completed"
    assert seen == [None, {"page": 7}, {"page": 9}]


async def test_a_run_is_forked_from_a_step_with_other_inputs(tmp_path: Path) -> None:
    workflow = flow(
        {"look": agent("look"), "ok": "approval of look", "act": agent("act", task="in {{ inputs.where }}")},
        "look > ok",
        "ok > act",
        inputs={"type": "object", "properties": {"where": {"type": "string"}}},
    )
    async with house(tmp_path, {"flow": workflow}) as h:
        h.agents.say("look", {"body": "seen"})
        h.agents.say("act", {"body": "one"}, {"body": "two"}, {"body": "three"})
        first = await start(h, "flow", inputs={"where": "here"})
        asked = (await h.asked(first)).open_approvals()[0].asked
        await h.service.decide(asked.approval_id, decision="approve", who=ADA)
        await h.ended(first)

        with pytest.raises(Refused, match="Ada decided at 'ok' about the inputs as they were"):
            await h.service.fork(first, "act", key="fork-0", who=BOB, inputs={"where": "there"})
        forked = await h.service.fork(first, "act", key="fork-1", who=BOB)
        again = await h.service.fork(first, "act", key="fork-1", who=BOB)
        assert again.duplicate
        assert again.run_id == forked.run_id
        state = await h.ended(forked.run_id)
        assert state.ended is not None
        assert state.ended.answer is not None
        assert state.ended.answer["body"] == "two"
        assert state.created.forked is not None
        assert (state.created.forked.run_id, state.created.forked.node) == (first, "act")
        assert [c.task for c in h.agents.called("act")] == ["in here", "in here"]

        from_question = await h.service.fork(first, "ok", key="fork-2", who=BOB, inputs={"where": "there"})
        open_ = (await h.asked(from_question.run_id)).open_approvals()[0].asked
        assert open_.approval_id != asked.approval_id
        await h.service.decide(open_.approval_id, decision="approve", who=ADA)
        assert (await h.ended(from_question.run_id)).status == "completed"
        assert h.agents.called("act")[-1].task == "in there"
        with pytest.raises(Refused, match="has not come to the step 'nowhere'; its steps are look, ok, act"):
            await h.service.fork(first, "nowhere", key="fork-3", who=BOB)
        h.agents.check()


@pytest.mark.parametrize("first", ["a", "b", "inner/x", "inner/y"])
async def test_a_run_is_forked_from_one_of_several_beginnings(tmp_path: Path, first: str) -> None:
    inner = {
        "name": "pair",
        "start": ["x", "y"],
        "nodes": {"x": {"kind": "agent", "agent": "x"}, "y": {"kind": "agent", "agent": "y"}},
    }
    workflow = flow(
        {
            "a": agent("a"),
            "b": agent("b"),
            "inner": {"kind": "workflow", "workflow": "pair"},
            "c": agent("c"),
        },
        "a > c",
        "b > c",
        "inner > c",
        workflows={"pair": inner},
        start=["a", "b", "inner"],
    )
    async with house(tmp_path, {"flow": workflow}) as h:
        for name in ("a", "b", "x", "y", "c"):
            h.agents.say(name, {"body": name}, {"body": f"{name} again"})
        run_id = await start(h, "flow")
        assert (await h.ended(run_id)).status == "completed"
        forked = await h.service.fork(run_id, first, key="fork", who=BOB)
        state = await h.ended(forked.run_id)
        assert state.status == "completed"
        assert {name for name, node in state.nodes.items() if node.status == "done"} == {
            *("a", "b", "inner", "inner/x", "inner/y", "c")
        }
        assert [len(outputs) for outputs in state.outputs.values()] == [1] * 6
        h.agents.check()


async def test_a_fork_in_the_queue_does_nothing_before_its_turn(tmp_path: Path) -> None:
    workflow = flow({"a": agent("a"), "b": agent("b"), "c": agent("c")}, "a > c", start=["a", "b"])
    async with house(tmp_path, {"flow": workflow}) as h:
        slow, gate = houses.Gate({"body": "b"}), houses.Gate({"body": "a"})
        h.agents.say("a", {"body": "a"}, gate)
        h.agents.say("b", slow, {"body": "b"}, {"body": "b"})
        h.agents.say("c", {"body": "c"}, {"body": "c"}, {"body": "c"})
        first = await start(h, "flow")
        await h.until(first, lambda state: "c" in state.outputs)
        slow.let_go.set()
        await h.ended(first)
        second = await h.turn(key="k2", conversation="web:local:general:k1", workflow="flow")
        await h.until(second, lambda state: "b" in state.outputs)  # its `a` works on
        forked = await h.service.fork(first, "c", key="fork", who=BOB)  # `b` was at work then
        assert forked.queued_behind == 1
        await h.engine.advance(forked.run_id)
        assert (len(h.agents.called("b")), len(h.agents.called("c"))) == (2, 1)
        gate.let_go.set()
        assert (await h.ended(second)).status == "completed"
        assert (await h.ended(forked.run_id)).status == "completed"
        h.agents.check()


async def test_a_deadline_ends_a_run_that_waits_for_people_also_after_a_restart(tmp_path: Path) -> None:
    workflow = flow({"look": agent("look"), "ok": "approval of look"}, "look > ok")
    agents = ScriptedAgents()
    agents.say("look", {"body": "seen"})
    async with house(tmp_path, {"flow": workflow}, agents) as h:
        deadline = datetime.now(UTC) + timedelta(seconds=1.5)
        run_id = await start(h, "flow", deadline=deadline)
        await h.asked(run_id)
    async with house(tmp_path, {"flow": workflow}, agents) as h:
        state = await h.ended(run_id)
        assert state.status == "expired"
        assert state.ended_at is not None
        assert state.ended_at >= deadline


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_random_graph_ends_as_it_means_though_the_process_dies_again_and_again(
    tmp_path: Path, seed: int
) -> None:
    graph = drawn(seed, 60, keep_on=True)
    dice = random.Random(seed)
    done: Counter[str] = Counter()

    class Agents(ScriptedAgents):
        async def run(self, step: StepInput, sink: StepSink) -> Json:
            for _ in range(dice.randint(0, 4)):
                await asyncio.sleep(0)
            if step.attempt <= graph.stumbles[step.node]:
                raise StepError("stumbled", retryable=True)
            if graph.fates[step.node] == "badly":
                raise StepError("broke", retryable=True)
            done[step.node] += 1
            return {"flag": graph.flags[step.node]}

    run_id = None
    state: RunState | None = None
    for _ in range(40):
        async with house(tmp_path, {"drawn": graph.workflow}, Agents()) as h:
            if run_id is None:
                run_id = await h.turn(workflow="drawn")
            for _ in range(dice.randint(1, 60)):
                await asyncio.sleep(0.001)
            state = fold(await h.store.events(run_id))
            if state is not None and state.ended is not None:
                break
    else:
        async with house(tmp_path, {"drawn": graph.workflow}, Agents()) as h:
            assert run_id is not None
            state = await h.ended(run_id)
    assert state is not None
    assert {name: node.status for name, node in state.nodes.items()} == expected(graph)
    ended = [s.node for s in state.steps if s.status == "done"]
    assert len(ended) == len(set(ended))


def test_a_definition_of_an_earlier_version_is_still_read() -> None:
    stored = {
        "name": "old",
        "version": "1",
        "description": "",
        "inputs": {},
        "start": None,
        "nodes": {
            "a": {
                "title": "",
                "retry": {"max_retries": 0, "initial_delay": 1.0, "backoff": 2.0},
                "timeout": None,
                "kind": "agent",
                "agent": "x",
            }
        },
        "edges": [{"from": "a", "to": "a", "on": "success", "when": None, "max_visits": 1}],
        "answer": None,
        "policies": {"min_score": 7.0, "max_steps": 100, "max_model_calls": 60},
    }
    workflow = Workflow.model_validate(stored)
    assert workflow.entries == ("a",)
    assert edge("a > a")["from"] == workflow.links[0].source
