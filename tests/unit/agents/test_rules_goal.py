"""A task of a plan by rules: the builder writes its own part, and the whole where it has no part."""

from __future__ import annotations

from orchestrator.agents.rules_engine import worked
from orchestrator.artifacts import Draft
from orchestrator.events import Json
from tests.builders import brief, plan, task
from tests.unit.agents.steps import specs, step

PLAN = plan("Explain tea", task("first", "Tea"), task("second", "Leaves"))


def drafted(item: Json | None) -> list[str]:
    [builder] = [spec for spec in specs() if spec.name == "builder"]
    given = step("builder", "What is tea?", outputs={"r": brief(), "p": PLAN}, item=item)
    made = Draft.model_validate(worked(builder, given, []).made)
    return [result.task_id for result in made.task_results]


def test_a_builder_that_works_on_one_task_writes_that_one() -> None:
    assert drafted(task("second", "Leaves")) == ["second"]


def test_a_builder_without_a_task_of_the_plan_writes_all_of_it() -> None:
    assert drafted(None) == drafted({"id": "other"}) == ["first", "second"]
