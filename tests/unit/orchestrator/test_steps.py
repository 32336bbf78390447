"""Facts made without checks are what pydantic would have made."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.steps import completed, ended, started
from orchestrator.engine.steps import created as run_created
from orchestrator.events import (
    Fact,
    Json,
    RunCreated,
    RunEnded,
    RunSettings,
    StepEnded,
    StepStarted,
    TurnRecord,
)
from tests.builders import ADA, NOW, quartet

NAMES = st.text(min_size=1, max_size=20)
COUNTS = st.integers(1, 1000)
OUTPUTS = st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text())


def same(made: Fact, checked: Fact) -> None:
    assert made == checked
    assert (repr(made), hash(type(made))) == (repr(checked), hash(type(checked)))
    assert made.model_dump_json() == checked.model_dump_json()
    assert made.model_fields_set == checked.model_fields_set
    assert type(made).model_validate_json(made.model_dump_json()) == made
    copied = made.model_copy(update={"visit": 7})
    assert copied == checked.model_copy(update={"visit": 7})
    assert made.model_fields_set == checked.model_fields_set, "a copy leaves the others as they are"


@given(NAMES, COUNTS, COUNTS, st.lists(NAMES).map(tuple))
def test_a_started_step(node: str, visit: int, attempt: int, after: tuple[str, ...]) -> None:
    same(
        started(node, visit, attempt, after),
        StepStarted(node=node, visit=visit, attempt=attempt, after=after),
    )


@given(NAMES, COUNTS, COUNTS, OUTPUTS, st.floats(0, 1e6))
def test_an_ended_step(node: str, visit: int, attempt: int, output: Json, seconds: float) -> None:
    same(
        ended(node, visit, attempt, output, seconds),
        StepEnded(node=node, visit=visit, attempt=attempt, output=output, seconds=seconds),
    )


@given(OUTPUTS)
def test_a_run_that_came_to_its_end(answer: Json) -> None:
    same(completed(answer), RunEnded(status="completed", answer=answer, problem=None, reason=""))


@given(OUTPUTS, st.none() | st.datetimes(timezones=st.just(UTC)))
def test_a_created_run(inputs: Json, deadline: datetime | None) -> None:
    turn = TurnRecord(key="k", text="go", who=ADA, at=NOW)
    settings = RunSettings(approvals="auto")
    workflow = quartet()
    same(
        run_created("web:1", workflow, "models", turn, settings, inputs, "high", deadline),
        RunCreated(
            conversation_id="web:1",
            workflow=workflow.name,
            workflow_version=workflow.version,
            workflow_digest=workflow.digest,
            engine="models",
            turn=turn,
            settings=settings,
            inputs=inputs,
            priority="high",
            deadline=deadline,
        ),
    )


def test_every_field_is_there() -> None:
    turn = TurnRecord(key="k", text="go", who=ADA, at=NOW)
    begun = run_created("web:1", quartet(), "rules", turn, RunSettings(), {}, "low", None)
    for made in (started("n", 1, 1), ended("n", 1, 1, {}, 0.0), completed({}), begun):
        assert list(made.__dict__) == list(type(made).model_fields)
