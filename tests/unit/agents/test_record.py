"""What is learnt of an agent, and that it is forgotten in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import errors
from orchestrator.agents.record import FAULTS, MEMORY, AgentRecord, records
from orchestrator.ports import AgentOutcome


def test_agent_without_steps_has_no_figures() -> None:
    record = AgentRecord()
    assert (record.success_rate, record.mean_s, record.steps, record.grade) == (None, None, 0, (0, 0))


def test_few_steps_count_alike() -> None:
    record = AgentRecord()
    for ok, seconds in ((True, 2.0), (False, 99.0), (True, 4.0)):
        record.learn(ok, seconds)
    assert record.grade == (2, 1)
    assert record.mean_s == pytest.approx(3.0, abs=0.1)  # of those that ended well


def test_mended_agent_has_a_good_record_again() -> None:
    record = AgentRecord()
    for _ in range(500):
        record.learn(False, 1.0)
    assert record.success_rate == 0
    for _ in range(3 * MEMORY):
        record.learn(True, 1.0)
    assert record.success_rate is not None
    assert record.success_rate > 0.9


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e5)), max_size=300))
def test_figures_stay_within_their_bounds(ends: list[tuple[bool, float]]) -> None:
    record = AgentRecord()
    for ok, seconds in ends:
        record.learn(ok, seconds)
    assert record.steps == len(ends)
    assert 0 <= sum(record.grade) <= MEMORY + 1
    times = [seconds for ok, seconds in ends if ok]
    if times:
        assert record.mean_s is not None
        assert min(times) - 1e-6 <= record.mean_s <= max(times) + 1e-6
    if ends:
        assert record.success_rate is not None
        assert 0 <= record.success_rate <= 1


def test_what_is_not_the_agents_fault_is_not_held_against_it() -> None:
    found = records(
        [
            AgentOutcome("a", "engine", 1.0),
            AgentOutcome("a", "timeout", 1.0),
            AgentOutcome("a", "no_agent", 1.0),
            AgentOutcome("a", "unknown", 1.0),
            AgentOutcome("b", "model_unavailable", 1.0),
            AgentOutcome("b", "", 1.0),
        ]
    )
    assert set(found) == {"b"}
    assert found["b"].grade == (1, 1)


def test_every_kind_of_step_error_is_either_a_fault_or_meant_to_be_none() -> None:
    def kinds(kind: type[errors.StepError]) -> set[str]:
        return {kind.kind}.union(*(kinds(k) for k in kind.__subclasses__()))

    assert kinds(errors.StepError) - FAULTS == {"no_agent"}
