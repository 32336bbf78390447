"""The engine over a real store: what people do meanwhile, what fails, what a crash costs."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.contract import NotesPart
from bot.presenter import present
from config.documents import read_model
from config.paths import WORKFLOWS_DIR
from orchestrator import approvals, events
from orchestrator.engine.fold import fold
from orchestrator.errors import ModelRefused, ModelUnavailable, NotFound, Refused, StoreFailed
from orchestrator.events import ENDED, Json, RunId
from orchestrator.ids import approval_id
from orchestrator.ports import StepInput, StepSink
from orchestrator.workflow import Workflow
from tests.calm import Watch
from tests.house import ADA, BOB, BRIEF, DRAFT, GOOD, PLAN, REVIEW, Gate, House, ScriptedAgents, house

QUARTET = read_model(WORKFLOWS_DIR / "quartet.yaml", Workflow)
WORKFLOWS = {"quartet": QUARTET}


def workflow(**changes: object) -> Workflow:
    """A small workflow: one agent, unless told otherwise."""
    base: dict[str, object] = {"name": "small", "nodes": {"one": {"kind": "agent", "agent": "builder"}}}
    return Workflow.model_validate({**base, **changes})


async def asked_id(h: House, run_id: RunId) -> events.ApprovalId:
    return (await h.asked(run_id)).open_approvals()[0].asked.approval_id


async def test_a_turn_goes_through_four_agents_and_an_approval_to_an_answer(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say_all_good()
        run_id = await h.turn()
        question = await asked_id(h, run_id)
        assert (await h.store.run(run_id)).status == "waiting"  # type: ignore[union-attr]
        decided = await h.service.decide(question, decision="approve", who=BOB)
        assert decided.counted
        state = await h.ended(run_id)
        h.agents.check()
    assert state.status == "completed"
    assert state.ended is not None
    assert state.ended.answer is not None
    assert state.ended.answer["body"] == "Tea is warm [1]."
    assert [s.node for s in state.steps] == ["researcher", "planner", "plan_approval", "builder", "reviewer"]


async def test_without_approvals_nobody_is_asked_and_the_record_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say_all_good()
        state = await h.ended(await h.turn(approvals="auto"))
    [approval] = state.approvals.values()
    assert approval.resolved is not None
    assert approval.resolved.who is not None
    assert approval.resolved.who.key == "policy:auto"


async def test_an_edited_plan_is_what_the_builder_gets(tmp_path: Path) -> None:
    edited = {**PLAN, "goal": "Explain cold tea"}
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say_all_good()
        run_id = await h.turn()
        await h.service.decide(await asked_id(h, run_id), decision="edit", who=BOB, edited=edited)
        state = await h.ended(run_id)
        [built] = h.agents.called("builder")
    assert built.outputs["planner"]["goal"] == "Explain cold tea"
    [approval] = state.approvals.values()
    assert approval.resolved is not None
    assert any("cold tea" in line for line in approval.resolved.changes)


async def test_changes_plan_again_with_the_comment_and_ask_anew(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say_all_good()
        h.agents.say("planner", {**PLAN, "goal": "Second plan"})
        run_id = await h.turn()
        first = await asked_id(h, run_id)
        await h.service.decide(first, decision="changes", who=BOB, comment="shorter")
        await h.until(run_id, lambda s: len(s.approvals) == 2 and bool(s.open_approvals()))
        second = await asked_id(h, run_id)
        assert second != first
        await h.service.decide(second, decision="approve", who=BOB)
        await h.ended(run_id)
        h.agents.check()
        assert h.agents.called("planner")[1].comments == ("shorter",)


async def test_reject_ends_the_run_and_names_who(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", BRIEF)
        h.agents.say("planner", PLAN)
        run_id = await h.turn()
        await h.service.decide(await asked_id(h, run_id), decision="reject", who=BOB, comment="no need")
        state = await h.ended(run_id)
    assert state.status == "rejected"
    assert state.ended is not None
    assert "Bob" in state.ended.reason


async def test_a_low_score_builds_again_twice_and_a_repeated_finding_ends_it(tmp_path: Path) -> None:
    low = {**REVIEW, "score": 3.0, "verdict": "revise"}
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", BRIEF)
        h.agents.say("planner", PLAN)
        h.agents.say("builder", DRAFT, DRAFT, DRAFT)
        h.agents.say("reviewer", low, low, low)
        state = await h.ended(await h.turn(approvals="auto"))
        h.agents.check()
        assert state.status == "completed"
        assert [len(c.previous_reviews) for c in h.agents.called("reviewer")] == [0, 1, 2]
        h.agents.say("researcher", BRIEF)
        h.agents.say("planner", PLAN)
        h.agents.say("builder", DRAFT, DRAFT)
        h.agents.say("reviewer", low, {**low, "repeated": True})
        state = await h.ended(await h.turn(key="k2", approvals="auto"))
        h.agents.check()
        assert state.status == "completed"


async def test_stop_reaches_a_step_in_flight(tmp_path: Path) -> None:
    gate = Gate(BRIEF)
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", gate)
        run_id = await h.turn()
        await gate.entered.wait()
        watch = Watch()
        await h.service.stop(run_id, who=BOB, reason="wrong question")
        state = await h.ended(run_id)
        assert gate.cancelled.is_set()
    assert watch.calm_s < 2
    assert state.status == "stopped"
    assert state.ended is not None
    assert state.ended.reason == "stopped by Bob: wrong question"


async def test_a_step_that_does_not_listen_cannot_keep_a_run_from_stopping(tmp_path: Path) -> None:
    deaf = asyncio.Event()

    async def stubborn(step: StepInput, sink: StepSink) -> Json:
        deaf.set()
        end = time.monotonic() + 4
        while time.monotonic() < end:
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue
        return BRIEF

    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", stubborn)
        run_id = await h.turn()
        await deaf.wait()
        watch = Watch()
        await h.service.stop(run_id, who=BOB)
        state = await h.ended(run_id)
        assert watch.calm_s < 2.5
        assert state.status == "stopped"


async def test_a_queued_run_can_be_stopped_and_the_next_one_starts(tmp_path: Path) -> None:
    gate = Gate(DRAFT)
    async with house(tmp_path, {"small": workflow()}) as h:
        h.agents.say("builder", gate, DRAFT)
        first = await h.turn(workflow="small", key="a")
        second = await h.turn(workflow="small", key="b")
        third = await h.turn(workflow="small", key="c")
        await gate.entered.wait()
        await h.service.stop(second, who=ADA)
        assert (await h.ended(second)).status == "stopped"
        assert (await h.service.state(third)).status == "queued"
        gate.let_go.set()
        assert (await h.ended(first)).status == "completed"
        assert (await h.ended(third)).status == "completed"
        h.agents.check()


async def test_a_stop_from_another_process_reaches_a_queued_run(tmp_path: Path) -> None:
    gate = Gate(DRAFT)
    async with house(tmp_path, {"small": workflow()}) as h:
        h.agents.say("builder", gate)
        first = await h.turn(workflow="small", key="a")
        second = await h.turn(workflow="small", key="b")
        await gate.entered.wait()
        await h.store.append(second, [events.StopRequested(who=BOB)], epoch=None)  # no wake here
        assert (await h.ended(second)).status == "stopped"
        assert (await h.service.state(first)).status == "running"
        gate.let_go.set()
        await h.ended(first)


async def test_a_message_for_a_run_that_has_ended_is_refused_and_not_swallowed(tmp_path: Path) -> None:
    async with house(tmp_path, {"small": workflow()}) as h:
        h.agents.say("builder", DRAFT)
        run_id = await h.turn(workflow="small", key="a")
        await h.ended(run_id)
        with pytest.raises(Refused):
            await h.store.append(run_id, [events.Steered(key="m2", text="wait", who=ADA)], epoch=None)
        assert await h.store.known("m2") is None


async def test_a_failing_database_does_not_fail_the_run(tmp_path: Path) -> None:
    async def unlucky(step: StepInput, sink: StepSink) -> Json:
        raise StoreFailed("the disk is full; make room")

    async with house(tmp_path, {"small": workflow()}) as h:
        h.agents.say("builder", unlucky, DRAFT)
        state = await h.ended(await h.turn(workflow="small", key="a"))
        h.agents.check()
    assert state.status == "completed"
    assert [s.status for s in state.steps] == ["done"]


async def test_a_time_out_inside_an_agent_is_not_taken_for_the_limit_of_its_node(tmp_path: Path) -> None:
    async with house(tmp_path, {"small": workflow()}) as h:
        h.agents.say("builder", TimeoutError())
        state = await h.ended(await h.turn(workflow="small", key="a"))
    assert state.status == "failed"
    assert state.ended is not None
    assert state.ended.problem is not None
    assert state.ended.problem.kind == "engine"


async def test_paused_runs_start_no_step_until_resumed(tmp_path: Path) -> None:
    gate = Gate(BRIEF)
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", gate)
        h.agents.say("planner", PLAN)
        run_id = await h.turn()
        await gate.entered.wait()
        await h.service.pause(run_id, who=BOB)
        await h.until(run_id, lambda s: s.paused)
        gate.let_go.set()
        await h.until(run_id, lambda s: s.nodes["researcher"].status == "done")
        assert (await h.service.state(run_id)).status == "paused"
        assert "planner" not in (await h.service.state(run_id)).nodes
        await h.service.resume(run_id, who=BOB)
        await h.asked(run_id)
        h.agents.check()


async def test_steering_reaches_the_agent_at_work_and_the_next_one(tmp_path: Path) -> None:
    gate = Gate(BRIEF)
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", gate)
        h.agents.say("planner", PLAN)
        run_id = await h.turn()
        await gate.entered.wait()
        await h.service.steer(run_id, key="m2", text="green tea only", who=ADA)
        await h.service.steer(run_id, key="m2", text="green tea only", who=ADA)
        await h.until(run_id, lambda s: bool(s.steered))
        gate.let_go.set()
        await h.asked(run_id)
        assert gate.steering == ("green tea only",)
        assert h.agents.called("planner")[0].steering == ("green tea only",)


async def test_a_message_during_the_last_agent_is_named_with_the_answer(
    tmp_path: Path,
) -> None:
    gate = Gate(REVIEW)
    async with house(tmp_path, WORKFLOWS) as h:
        for agent, output in GOOD.items():
            h.agents.say(agent, gate if agent == "reviewer" else output)
        run_id = await h.turn(approvals="auto")
        await gate.entered.wait()
        await h.service.steer(run_id, key="m2", text="and cold tea?", who=ADA)
        gate.let_go.set()
        state = await h.ended(run_id)
    answer = present(QUARTET, state, titles={}, doing={})[-1]
    [notes] = [p for p in answer.parts if isinstance(p, NotesPart)]
    assert notes.notes == ("and cold tea?",)
    assert "may not be in the answer" in notes.title


async def test_a_decision_given_while_another_branch_works_is_not_lost(tmp_path: Path) -> None:
    """Built by hand, as a parallel workflow would leave it: one node asks while another works."""
    graph = workflow(
        nodes={
            "one": {"kind": "agent", "agent": "builder"},
            "ask": {"kind": "approval", "of": "plan"},
            "plan": {"kind": "agent", "agent": "planner"},
            "after": {"kind": "agent", "agent": "reviewer"},
        },
        edges=[
            {"from": "one", "to": "plan", "when": "visits.one > 99"},
            {"from": "plan", "to": "ask"},
            {"from": "ask", "to": "after"},
        ],
    )
    gate = Gate(DRAFT)
    async with house(tmp_path, {"small": graph}) as h:
        h.agents.say("builder", gate)
        h.agents.say("reviewer", REVIEW)
        run_id = await h.turn(workflow="small")
        await gate.entered.wait()
        # The owner is at work; another hand writes what a second branch would have written.
        node = graph.nodes["ask"]
        asked = approvals.request(run_id, "ask", 1, node, PLAN, events.RunSettings(), datetime.now(UTC))  # type: ignore[arg-type]
        await h.store.append(
            run_id,
            [
                events.StepStarted(node="plan", visit=1, attempt=1),
                events.StepEnded(node="plan", visit=1, attempt=1, output=PLAN),
                events.StepStarted(node="ask", visit=1, attempt=1, after=("plan",)),
                asked,
            ],
            epoch=None,
        )
        decided = await h.service.decide(asked.approval_id, decision="approve", who=BOB)
        assert decided.counted
        await h.until(run_id, lambda s: "after" in s.nodes)
        assert not gate.let_go.is_set()
        gate.let_go.set()
        state = await h.ended(run_id)
    assert state.status == "completed"
    assert state.approvals[asked.approval_id].decision is not None


async def test_lanes_that_end_in_the_same_moment_are_each_recorded_once(tmp_path: Path) -> None:
    """Built by hand, as a parallel workflow would. The first to write goes alone, the next takes both."""
    agents = {"one": "builder", "two": "planner", "three": "reviewer"}
    graph = workflow(
        nodes={name: {"kind": "agent", "agent": agent} for name, agent in agents.items()},
        edges=[{"from": "one", "to": name, "when": "visits.one > 99"} for name in ("two", "three")],
    )
    gates = {name: Gate(GOOD[agent]) for name, agent in agents.items()}
    async with house(tmp_path, {"small": graph}) as h:
        for name, agent in agents.items():
            h.agents.say(agent, gates[name])
        run_id = await h.turn(workflow="small")
        await gates["one"].entered.wait()
        others = [events.StepStarted(node=name, visit=1, attempt=1) for name in ("two", "three")]
        await h.store.append(run_id, others, epoch=None)
        for gate in gates.values():
            await gate.entered.wait()
        for gate in gates.values():
            gate.let_go.set()
        state = await h.ended(run_id)
        log = await h.store.events(run_id)
        h.agents.check()
    assert state.status == "completed"
    assert {name: state.latest(name) for name in agents} == {n: GOOD[agent] for n, agent in agents.items()}
    ends = {e.body.node: e.at for e in log if isinstance(e.body, events.StepEnded)}
    assert len([e for e in log if isinstance(e.body, events.StepEnded)]) == 3
    assert ends["one"] < ends["two"] == ends["three"] == log[-1].at
    assert isinstance(log[-1].body, events.RunEnded)


async def test_only_the_first_of_many_decisions_counts(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say_all_good()
        run_id = await h.turn()
        question = await asked_id(h, run_id)
        decided = await asyncio.gather(
            *(
                h.service.decide(question, decision="approve" if i % 2 else "reject", who=BOB)
                for i in range(100)
            )
        )
        assert sum(d.counted for d in decided) == 1
        state = await h.ended(run_id)
        late = await h.service.decide(question, decision="reject", who=ADA)
        assert not late.counted
        [approval] = (await h.service.state(run_id)).approvals.values()
        # Those that raced are on record, and one late word of each person afterwards.
        assert [d.who for d in approval.late][-1] == ADA
        assert len(approval.late) <= 100
        assert (await h.service.state(run_id)).status == state.status


async def test_decisions_are_refused_before_they_are_recorded(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", BRIEF)
        h.agents.say("planner", PLAN)
        run_id = await h.turn(approvers=("web:bob",), allow_requester=False)
        question = await asked_id(h, run_id)
        before = (await h.service.state(run_id)).seq
        with pytest.raises(Refused, match="person who asked"):
            await h.service.decide(question, decision="approve", who=ADA)
        with pytest.raises(Refused, match="look at the card"):
            await h.service.decide(question, decision="approve", who=BOB, digest="0" * 64)
        with pytest.raises(Refused, match="edited text"):
            await h.service.decide(question, decision="edit", who=BOB)
        with pytest.raises(NotFound):
            await h.service.decide(approval_id(run_id, "nothing", 1), decision="approve", who=BOB)
        assert (await h.service.state(run_id)).seq == before


async def test_an_approval_that_nobody_decides_expires(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", BRIEF)
        h.agents.say("planner", PLAN)
        run_id = await h.turn(expires_after_s=0.3)
        state = await h.ended(run_id)
        assert state.status == "expired"
        assert (await h.store.waiting()).items == ()


async def test_an_expiry_that_fell_due_while_nothing_ran_is_made_up_for(tmp_path: Path) -> None:
    agents = ScriptedAgents()
    agents.say("researcher", BRIEF)
    agents.say("planner", PLAN)
    async with house(tmp_path, WORKFLOWS, agents) as h:
        run_id = await h.turn(expires_after_s=0.6)
        await h.asked(run_id)
    await asyncio.sleep(0.7)
    async with house(tmp_path, WORKFLOWS, agents) as h:
        assert (await h.ended(run_id)).status == "expired"


async def test_a_failure_that_may_pass_is_tried_again_after_its_delay(tmp_path: Path) -> None:
    retry = {"max_retries": 2, "initial_delay": 0.2, "backoff": 1}
    graph = workflow(nodes={"one": {"kind": "agent", "agent": "builder", "retry": retry}})
    async with house(tmp_path, {"small": graph}) as h:
        h.agents.say("builder", ModelUnavailable("try later", retryable=True), DRAFT)
        begun = time.monotonic()
        state = await h.ended(await h.turn(workflow="small"))
        h.agents.check()
    assert state.status == "completed"
    assert time.monotonic() - begun >= 0.2
    assert [s.status for s in state.steps] == ["failed", "done"]


async def test_a_failure_for_good_ends_the_run_with_its_remedy(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", ModelRefused("The key was refused: check OPENAI_API_KEY"))
        state = await h.ended(await h.turn())
    assert state.status == "failed"
    assert state.ended is not None
    assert state.ended.problem is not None
    assert state.ended.problem.message == "The key was refused: check OPENAI_API_KEY"


async def test_a_broken_agent_fails_the_run_and_not_the_bot(tmp_path: Path) -> None:
    async with house(tmp_path, {"small": workflow()}) as h:
        h.agents.say("builder", RuntimeError("secret inside"), DRAFT)
        state = await h.ended(await h.turn(workflow="small"))
        assert state.status == "failed"
        assert state.ended is not None
        assert state.ended.problem is not None
        assert "secret inside" not in state.ended.problem.message
        assert (await h.ended(await h.turn(workflow="small", key="k2"))).status == "completed"


async def test_an_error_edge_leads_to_its_handler(tmp_path: Path) -> None:
    graph = workflow(
        nodes={
            "one": {"kind": "agent", "agent": "builder"},
            "mend": {"kind": "error_handler"},
            "two": {"kind": "agent", "agent": "planner"},
        },
        edges=[{"from": "one", "to": "mend", "on": "error"}, {"from": "mend", "to": "two"}],
    )
    async with house(tmp_path, {"small": graph}) as h:
        h.agents.say("builder", ModelRefused("no"))
        h.agents.say("planner", PLAN)
        state = await h.ended(await h.turn(workflow="small"))
        assert state.status == "completed"
        assert state.outputs["mend"][0]["handled"]["problem"]["message"] == "no"


async def test_a_step_over_its_time_fails(tmp_path: Path) -> None:
    graph = workflow(nodes={"one": {"kind": "agent", "agent": "builder", "timeout": 0.1}})
    async with house(tmp_path, {"small": graph}) as h:
        h.agents.say("builder", Gate(DRAFT))
        state = await h.ended(await h.turn(workflow="small"))
        assert state.ended is not None
        assert state.ended.problem is not None
        assert state.ended.problem.kind == "timeout"


async def test_turns_of_a_conversation_run_in_order_and_see_each_other(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        for _ in range(3):
            h.agents.say_all_good()
        runs = [await h.turn(f"question {i}", key=f"k{i}", approvals="auto") for i in range(3)]
        ended = [await h.ended(r) for r in runs]
        h.agents.check()
        seen = [c.exchanges for c in h.agents.called("researcher")]
    starts = [s.started_at for s in ended]
    ends = [s.ended_at for s in ended]
    assert all(e is not None and s is not None and e <= s for e, s in zip(ends, starts[1:], strict=False))
    assert [[line.text for line in lines] for lines in seen] == [
        [],
        ["question 0", "Tea is warm [1]."],
        ["question 0", "Tea is warm [1].", "question 1", "Tea is warm [1]."],
    ]


async def test_the_same_message_again_is_the_same_run(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say_all_good()
        runs = await asyncio.gather(*(h.turn(key="same", approvals="auto") for _ in range(20)))
        assert len(set(runs)) == 1
        await h.ended(runs[0])
        h.agents.check()


@pytest.mark.parametrize("agent", GOOD)
async def test_a_shutdown_during_an_agent_costs_that_step_only(tmp_path: Path, agent: str) -> None:
    agents = ScriptedAgents()
    gate = Gate(GOOD[agent])
    for name, answer in GOOD.items():
        agents.say(name, gate if name == agent else answer)
    async with house(tmp_path, WORKFLOWS, agents) as h:
        run_id = await h.turn(approvals="auto")
        await gate.entered.wait()
    agents.say(agent, GOOD[agent])
    async with house(tmp_path, WORKFLOWS, agents) as h:
        state = await h.ended(run_id)
        agents.check()
    assert state.status == "completed"
    assert {name: len(agents.called(name)) for name in GOOD} == {n: 2 if n == agent else 1 for n in GOOD}
    # The step in flight went on as the same attempt: what it had recorded still counts.
    assert [s.attempt for s in state.steps] == [1, 1, 1, 1, 1]


async def test_an_approval_given_while_nothing_runs_takes_effect_at_the_next_start(tmp_path: Path) -> None:
    agents = ScriptedAgents()
    agents.say_all_good()
    async with house(tmp_path, WORKFLOWS, agents) as h:
        run_id = await h.turn()
        question = await asked_id(h, run_id)
    fact = events.DecisionGiven(approval_id=question, decision="approve", who=BOB)
    async with house(tmp_path, WORKFLOWS, agents) as h:
        await h.store.append(run_id, [fact], epoch=None)  # as another process would, without a wake
        assert (await h.ended(run_id)).status == "completed"
        agents.check()


async def test_followers_get_every_event_once_and_in_order(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say_all_good()
        run_id = await h.turn(approvals="auto")
        followed = [e async for e in h.service.follow(run_id)]
        again = [e async for e in h.service.follow(run_id, after=5)]
        log = await h.store.events(run_id)
    assert followed == log
    assert again == log[5:]
    assert fold(followed) == fold(log)


async def test_a_run_that_only_waits_is_owned_by_nobody(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as h:
        h.agents.say("researcher", BRIEF)
        h.agents.say("planner", PLAN)
        run_id = await h.turn()
        await h.asked(run_id)
        async with asyncio.timeout(60):
            while await h.store.to_wake():  # noqa: ASYNC110 - the database has no events to wait for
                await asyncio.sleep(0.01)
        state = await h.service.state(run_id)
        assert state.status not in ENDED
        assert state.open_approvals()[0].asked.expires_at > datetime.now(UTC) + timedelta(hours=23)
