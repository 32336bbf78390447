"""Any log folds, and no order of facts from outside breaks a run: hypothesis plays runs against moves."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from orchestrator.engine.fold import apply, fold
from orchestrator.engine.moves import next_time
from orchestrator.engine.state import RunState
from orchestrator.events import (
    ENDED,
    ApprovalId,
    Body,
    DecisionGiven,
    FeedbackGiven,
    Json,
    ModelRetried,
    OutputSentBack,
    PauseRequested,
    Problem,
    ResumeRequested,
    RunCreated,
    RunEnded,
    RunEvent,
    RunSettings,
    RunStarted,
    Steered,
    StepEnded,
    StepFailed,
    StepStarted,
    StopRequested,
    ToolReturned,
    Who,
    body_adapter,
)
from orchestrator.infra.sqlite_codec import decode, encode
from orchestrator.workflow import ApprovalNode, Workflow
from orchestrator.workflow_checks import problems
from tests.builders import ADA, BOB, NOW, RUN, Play, brief, draft, edge, flow, plan, quartet, review

PEOPLE = (ADA, BOB, Who(key="web:eve", name="Eve"))
CONDITIONS = (
    "visits.n0 < 2",
    "n0.score < policies.min_score",
    "n0.score < 7 and not n0.repeated",
    "inputs.text == ''",
    "n1.missing > 1",
)


# ── random workflows and random people ───────────────────────────────────────────────────────


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    """Small graphs with loops, error edges and approvals, all without flaws."""
    if draw(st.integers(0, 3)) == 0:
        return quartet()
    dice = random.Random(draw(st.integers(0, 2**32)))
    size = dice.randint(1, 6)
    nodes: dict[str, Any] = {"n0": _agent(dice)}
    for i in range(1, size):
        kind = dice.choice(["agent", "agent", "decision", "approval", "error_handler"])
        nodes[f"n{i}"] = {
            "agent": _agent(dice),
            "decision": "decision",
            "error_handler": "error_handler",
            "approval": {
                "kind": "approval",
                "of": dice.choice(["n0", f"n{dice.randrange(size)}"]),
                "expires_after": dice.choice([None, 60, 3600]),
                "on_expiry": dice.choice(["expire", "reject", "approve"]),
            },
        }[kind]
    edges: list[Json] = []
    pairs: set[tuple[int, int]] = set()  # edges between the same two nodes share a count
    for i in range(size - 1):
        edges.append(_between(dice, nodes, i, i + 1, pairs))
    for _ in range(dice.randint(0, 6)):
        edges.append(_between(dice, nodes, dice.randrange(size), dice.randrange(size), pairs))
    dice.shuffle(edges)
    policies = {"max_steps": dice.choice([3, 8, 60]), "max_model_calls": dice.choice([2, 60])}
    workflow = flow(nodes, *[e for e in edges if e], policies=policies)
    assume(not list(problems(workflow)))
    return workflow


def _agent(dice: random.Random) -> Json:
    retry = {"max_retries": dice.randint(0, 2), "initial_delay": dice.choice([0, 1, 30])}
    return {"kind": "agent", "agent": "any", "retry": retry}


def _between(dice: random.Random, nodes: dict[str, Any], a: int, b: int, pairs: set[tuple[int, int]]) -> Json:
    if (a, b) in pairs:
        return {}
    pairs.add((a, b))
    is_approval = isinstance(nodes[f"n{a}"], dict) and nodes[f"n{a}"]["kind"] == "approval"
    more: Json = {}
    more["on"] = dice.choice(
        ["success", "success", "error", *(["changes", "rejected"] if is_approval else [])]
    )
    if b <= a or dice.random() < 0.2:
        more["max_visits"] = dice.randint(1, 3)
    if dice.random() < 0.3:
        more["when"] = dice.choice(CONDITIONS[: 4 if len(nodes) < 2 else 5])
    return edge(f"n{a} > n{b}", **more)


OUTPUTS = {"researcher": brief(), "planner": plan(), "builder": draft()}


class World:
    """Does one random thing after the other to a run, and looks after each whether all is as it must be."""

    def __init__(self, workflow: Workflow, run_settings: RunSettings, seed: int) -> None:
        self.dice = random.Random(seed)
        self.play = Play(workflow, settings=run_settings, started=False)
        self.asked_before: list[DecisionGiven] = []
        self.steered: set[str] = set()

    def any_act(self) -> None:
        acts = [self.work] * 6 + [self.wait, self.decide, self.decide, self.again, self.outside, self.inside]
        if self.play.state.started_at is None:
            acts.append(self.begin)
        self.dice.choice(acts)()

    def begin(self) -> None:
        self.play.say(RunStarted())

    def work(self) -> None:
        working = self.play.working()
        if not working:
            return
        node = self.dice.choice(working)
        luck = self.dice.random()
        if luck < 0.2:
            self.play.fail(node, retryable=luck < 0.15)
        elif luck < 0.3:
            self.play.called(node)
        else:
            score = self.dice.choice([1, 5, 9])
            given = OUTPUTS.get(node) or review(score, repeated=self.dice.random() < 0.3)
            self.play.done(node, given | ({"score": score} if node == "n0" else {}))

    def wait(self) -> None:
        self.play.wait(self.dice.choice([0.5, 30, 61, 4_000, 90_000]))

    def decide(self) -> None:
        known = list(self.play.state.approvals) or [ApprovalId("unknown")]
        approval_id = self.dice.choice([*known[-2:], ApprovalId("unknown")])
        approval = self.play.state.approvals.get(approval_id)
        seal = approval.asked.digest if approval else ""
        fact = DecisionGiven(
            approval_id=approval_id,
            decision=self.dice.choice(["approve", "approve", "edit", "changes", "reject"]),
            who=self.dice.choice(PEOPLE),
            comment=self.dice.choice(["", "shorter"]),
            edited=self.dice.choice([None, plan("edited"), {}]),
            digest=self.dice.choice(["", seal, "0" * 64]),
        )
        self.asked_before.append(fact)
        self.play.say(fact)

    def again(self) -> None:
        """The same click once more, or many at once before the engine has looked."""
        if self.asked_before:
            self.play.add(*self.dice.choices(self.asked_before, k=self.dice.randint(1, 4)))
            if self.dice.random() < 0.7:
                self.play.say()

    def outside(self) -> None:
        who = self.dice.choice(PEOPLE)
        key = f"k{self.dice.randrange(3)}"
        facts: list[Body] = [
            PauseRequested(who=who),
            ResumeRequested(who=who),
            ResumeRequested(who=who),
            Steered(key=key, text=f"{key} {self.dice.random()}", who=who),
            Steered(key=key, text="again", who=who),
            FeedbackGiven(who=who, good=self.dice.random() < 0.5),
            *([StopRequested(who=who)] if self.dice.random() < 0.15 else []),
        ]
        fact = self.dice.choice(facts)
        if self.dice.random() < 0.3:
            self.play.add(fact)
        else:
            self.play.say(fact)

    def inside(self) -> None:
        """What a step left behind, or one that has been fenced, still tells."""
        node = self.dice.choice([*self.play.state.nodes, "nowhere"])
        visit, attempt = self.dice.randint(1, 3), self.dice.randint(1, 3)
        where: Json = {"node": node, "visit": visit, "attempt": attempt}
        now = self.play.state.nodes.get(node)
        if now is not None and (now.visit, now.attempt) == (visit, attempt):
            return
        self.play.say(
            self.dice.choice(
                [
                    ToolReturned(**where, call_id="c", tool="search", ok=True, result=[1]),
                    OutputSentBack(**where, call_id=None, reason="no JSON"),
                    ModelRetried(**where, tries=1, status=429, delay_s=1),
                    StepEnded(**where, output={"stale": True}),
                ]
            )
        )

    def finish(self) -> None:
        """Everybody goes home: steps end, time passes. The run must end by itself."""
        self.play.say(RunStarted(), ResumeRequested(who=ADA))
        for _ in range(400):
            if self.play.state.ended is not None:
                return
            working = self.play.working()
            if working:
                self.play.done(working[0], OUTPUTS.get(working[0]) or review(9))
                continue
            at = next_time(self.play.state)
            assert at is not None, f"the run neither works nor waits: {self.play.state}"
            self.play.now = max(self.play.now, at)
            self.play.say()
        raise AssertionError("the run never ends")


def check_each(play: Play) -> None:
    """What holds after every single event."""
    limits = {e.key: e.max_visits for e in play.workflow.edges if e.max_visits is not None}
    before: RunState | None = None
    for state, event in zip(play.states, play.events, strict=True):
        assert state.seq == event.seq
        for key, limit in limits.items():
            assert state.edges.get(key, 0) <= limit
        assert len(state.steps) <= play.workflow.policies.max_steps
        assert (state.status in ENDED) == (state.ended is not None)
        assert len({s.key for s in state.steered}) == len(state.steered)
        unended = {
            n for n, node in state.nodes.items() if node.status in ("working", "asking", "retrying", "open")
        }
        assert len(state.unended) == len(set(state.unended))
        assert state.ended is not None or set(state.unended) == unended
        assert state.ended is None or not state.unended
        for step in state.steps:
            node = state.nodes[step.node]
            at_work = node.status in ("working", "asking") and (node.visit, node.attempt) == (
                step.visit,
                step.attempt,
            )
            assert (step.ended_at is not None) or at_work
        if before is not None:
            check_pair(before, state)
        before = state
    starts = Counter(
        (e.body.node, e.body.visit, e.body.attempt) for e in play.events if isinstance(e.body, StepStarted)
    )
    assert set(starts.values()) <= {1}, "a step began twice"
    assert len([e for e in play.events if isinstance(e.body, RunEnded)]) <= 1


def check_pair(before: RunState, after: RunState) -> None:
    for approval_id, was in before.approvals.items():
        now = after.approvals[approval_id]
        assert was.decision in (None, now.decision), "another decision counts now"
        assert was.resolved in (None, now.resolved)
        assert now.late[: len(was.late)] == was.late
        if now.resolved is not None and now.decision is not None and was.resolved is None:
            assert now.resolved.outcome == now.decision.decision
    if before.ended is not None:
        late_free = {i: replace(a, late=()) for i, a in after.approvals.items()}
        was_free = {i: replace(a, late=()) for i, a in before.approvals.items()}
        # What people think of the answer comes after it.
        same = replace(after, seq=0, approvals=late_free, feedback=before.feedback)
        assert same == replace(before, seq=0, approvals=was_free)


RUN_SETTINGS = st.sampled_from(
    [RunSettings(), RunSettings(approvals="auto"), RunSettings(expires_after_s=50)]
)
SEEDS = st.integers(0, 2**32)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


def played(workflow: Workflow, run_settings: RunSettings, seed: int, acts: int) -> World:
    world = World(workflow, run_settings, seed)
    for _ in range(acts):
        world.any_act()
    return world


def test_random_runs_go_the_short_way_too() -> None:
    line = flow({"n0": "agent", "n1": "agent", "n2": "agent"}, "n0 > n1", "n1 > n2")
    worlds = [played(w, RunSettings(), seed, 40) for w in (line, quartet()) for seed in range(10)]
    assert sum(world.play.short for world in worlds) > 10


@MANY
@given(workflows(), RUN_SETTINGS, SEEDS, st.integers(0, 40))
def test_whatever_people_and_agents_do_a_run_stays_in_order_and_ends(
    workflow: Workflow, run_settings: RunSettings, seed: int, acts: int
) -> None:
    world = played(workflow, run_settings, seed, acts)
    world.finish()
    world.again()  # clicks after the end
    world.outside()
    check_each(world.play)


@MANY
@given(workflows(), RUN_SETTINGS, SEEDS, st.integers(0, 25), SEEDS)
def test_any_prefix_folds_and_folding_goes_on_from_anywhere(
    workflow: Workflow, run_settings: RunSettings, seed: int, acts: int, cut_seed: int
) -> None:
    play = played(workflow, run_settings, seed, acts).play
    events = play.events
    for cut in {1, len(events), *random.Random(cut_seed).choices(range(1, len(events) + 1), k=4)}:
        state = fold(events[:cut])
        assert state == play.states[cut - 1]
        assert fold(events[:cut]) == state
        for event in events[cut:]:
            state = apply(state, event)
        assert state == play.state


@MANY
@given(workflows(), RUN_SETTINGS, SEEDS, st.integers(0, 25))
def test_log_survives_json(workflow: Workflow, run_settings: RunSettings, seed: int, acts: int) -> None:
    play = played(workflow, run_settings, seed, acts).play
    read: list[RunEvent] = []
    for event in play.events:
        type_, v, text, large, blobs = encode(event.body)
        assert body_adapter.validate_json(event.body.model_dump_json()) == event.body
        read.append(event._replace(body=decode(type_, v, text, large, blob=dict(blobs).get, where="here")))
    assert read == play.events
    assert fold(read) == play.state


@MANY
@given(workflows(), RUN_SETTINGS, SEEDS, st.integers(0, 25))
def test_stop_ends_a_run_at_once_whatever_else_is_open(
    workflow: Workflow, run_settings: RunSettings, seed: int, acts: int
) -> None:
    play = played(workflow, run_settings, seed, acts).play
    was = play.state.status
    play.say(StopRequested(who=BOB))
    assert play.state.status == (was if was in ENDED else "stopped")
    assert play.working() == []
    assert not play.state.open_approvals()
    assert all(s.ended_at is not None for s in play.state.steps)


@MANY
@given(workflows(), SEEDS, st.integers(0, 30))
def test_with_automatic_approvals_nobody_is_waited_for(workflow: Workflow, seed: int, acts: int) -> None:
    world = played(workflow, RunSettings(approvals="auto"), seed, acts)
    world.finish()
    play = world.play
    for state, event in zip(play.states, play.events, strict=True):
        if event.body.type != "approval_requested":  # resolved by the very next event of the same append
            assert not state.open_approvals()
    assert all(a.decision is None for a in play.state.approvals.values())


@MANY
@given(SEEDS, st.integers(2, 30))
def test_random_clicks_never_make_two_decisions(seed: int, clicks: int) -> None:
    dice = random.Random(seed)
    play = Play().to_approval()
    facts = [
        play.decision(
            dice.choice(["approve", "edit", "changes", "reject"]),
            who=dice.choice(PEOPLE),
            edited=dice.choice([None, plan("edited")]),
            digest=dice.choice(["", play.approval().asked.digest, "wrong"]),
        )
        for _ in range(clicks)
    ]
    fitting = [
        f
        for f in facts
        if f.digest in ("", play.approval().asked.digest) and (f.decision != "edit" or f.edited is not None)
    ]
    play.add(*facts).say()
    approval = play.approval(0)
    assert approval.decision == (fitting[0] if fitting else None)
    assert len(approval.late) == clicks - (1 if fitting else 0)
    resolutions = [e.body for e in play.events if e.body.type == "approval_resolved"]
    assert len(resolutions) == (1 if fitting else 0)


# ── what apply refuses and what it keeps ─────────────────────────────────────────────────────


def test_empty_log_has_no_state() -> None:
    assert fold([]) is None


def test_log_that_does_not_begin_with_its_turn_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with 'run_started'"):
        fold([RunEvent(RUN, 1, NOW, RunStarted())])


@pytest.mark.parametrize("seq", [1, 3, 0, 99])
def test_gap_or_repetition_in_the_numbers_is_refused(seq: int) -> None:
    play = Play(started=False)
    with pytest.raises(ValueError, match="does not follow 1"):
        apply(play.state, RunEvent(RUN, seq, NOW, RunStarted()))


def test_second_creation_changes_nothing() -> None:
    play = Play()
    before = play.state
    assert isinstance(play.events[0].body, RunCreated)
    play.add(play.events[0].body)
    assert replace(play.state, seq=before.seq) == before


def test_steering_twice_with_one_key_counts_once() -> None:
    play = Play().steer("faster", key="m1").steer("faster", key="m1").steer("better", key="m2")
    assert [s.text for s in play.state.steered] == ["faster", "better"]


def test_newest_word_of_each_person_on_an_answer_counts_also_after_the_end() -> None:
    play = Play().to_end()
    before = play.state
    play.add(FeedbackGiven(who=ADA, good=True), FeedbackGiven(who=BOB, good=True))
    play.add(FeedbackGiven(who=ADA, good=False, comment="wrong"))
    said = {key: (given.good, given.comment) for key, given in play.state.feedback.items()}
    assert said == {ADA.key: (False, "wrong"), BOB.key: (True, "")}
    assert replace(play.state, seq=before.seq, feedback={}) == before


def test_second_stop_does_not_change_who_stopped() -> None:
    play = Play().add(StopRequested(who=BOB), StopRequested(who=ADA)).say()
    assert play.state.ended is not None
    assert play.state.ended.reason == "stopped by Bob"


def test_usage_adds_up_for_step_node_and_run() -> None:
    play = Play().called("researcher", 10, 0.5).called("researcher", 5, None).done("researcher", brief())
    play.called("planner", 1, 0.25)
    assert play.state.usage.input_tokens == 16
    assert play.state.usage.calls == play.state.model_calls == 3
    assert play.state.usage.cost_usd == 0.75
    assert play.state.nodes["researcher"].usage.output_tokens == 15
    assert [s.usage.calls for s in play.state.steps] == [2, 1]


def test_what_a_crashed_attempt_did_is_there_for_the_next_one_and_gone_with_the_attempt() -> None:
    play = Play().called("researcher")
    assert len(play.state.nodes["researcher"].recorded) == 1
    assert play.done("researcher", brief()).state.nodes["researcher"].recorded == ()


def test_result_of_an_attempt_that_was_given_up_changes_nothing() -> None:
    retrying = {"kind": "agent", "agent": "a", "retry": {"max_retries": 1, "initial_delay": 0}}
    play = Play(flow({"a": retrying})).fail("a", retryable=True)
    before = play.state
    play.say(StepEnded(node="a", visit=1, attempt=1, output={"stale": True}))
    play.say(StepFailed(node="a", visit=1, attempt=1, problem=Problem(kind="step", message="stale")))
    assert replace(play.state, seq=before.seq) == before


def test_seconds_of_a_step_that_was_stopped_count_once() -> None:
    retrying = {"kind": "agent", "agent": "a", "retry": {"max_retries": 1, "initial_delay": 100}}
    play = Play(flow({"a": retrying})).fail("a", retryable=True)  # after 1 s of work
    play.now += timedelta(seconds=50)
    assert play.stop().state.nodes["a"].seconds == 1.0
    working = Play(flow({"a": "agent"}))
    working.now += timedelta(seconds=50)
    assert working.stop().state.nodes["a"].seconds == 50.0


def test_approval_nodes_of_the_shipped_workflow_ask_about_something() -> None:
    assert [n.of for n in quartet().nodes.values() if isinstance(n, ApprovalNode)] == ["planner"]
