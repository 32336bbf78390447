"""The workflow `goal` on the web page: by rules, and by scripted models, with tasks and reviews that fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import brief, draft, plan, review, task
from tests.journey.shipped import ModelsDesk, RulesDesk, said, skipped, visits

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]
REFUSED = {"status": 400, "error": {"message": "scripted refusal", "type": "invalid_request_error"}}


def made(output: Any) -> dict[str, Any]:
    return {"output": output}


def judged(score: float) -> dict[str, Any]:
    """A review as a model gives it."""
    return {key: value for key, value in review(score).items() if key != "repeated"}


async def test_a_goal_by_rules_is_answered_from_the_knowledge_folder(rules: RulesDesk) -> None:
    talk = await rules.begins("/quartet run goal What is tea?")
    await talk.ended("completed")
    await talk.sees("a warm drink made of leaves", "engine: rules")
    begun = visits(talk)
    assert begun["work"] == begun["work[0]"] == begun["review"] == 1


async def test_a_goal_without_sources_says_what_is_missing(rules: RulesDesk) -> None:
    talk = await rules.begins("/quartet run goal Zyxwv qwpqlm?")
    await talk.ended("completed")
    await talk.sees("could not be found")


async def test_tasks_go_to_agents_by_their_kind_and_know_what_they_build_on(models: ModelsDesk) -> None:
    tasks = (
        task("text-end", "Sum up", "code-x"),
        task("code-x", "Write it", "research-y"),
        task("research-y", "Look"),
    )
    models.script(
        researcher=[made(brief()), made(brief("FOUND MORE"))],
        planner=[made(plan("G", *tasks))],
        developer=[said("THE CODE")],
        builder=[made(draft("SUMMED UP")), made(draft("FIRST ANSWER")), made(draft("MERGED ANSWER"))],
        reviewer=[made(judged(3.0)), made(judged(9.0))],
    )
    talk = await models.begins("/quartet run goal Build it")
    await talk.ended("completed")
    await talk.sees("MERGED ANSWER")
    assert "FOUND MORE" in models.prompts("developer")[0]
    end, merge, _ = models.prompts("builder")
    assert "THE CODE" in end
    assert "FOUND MORE" not in end
    assert all(word in merge for word in ("SUMMED UP", "THE CODE", "FOUND MORE", "0 of 3 tasks failed"))
    assert visits(talk)["answer"] == 2


async def test_a_task_and_a_review_that_fail_lose_nothing_else(models: ModelsDesk) -> None:
    tasks = (task("text-a", "One"), task("code-b", "Two"))
    models.script(
        researcher=[REFUSED],
        planner=[made(plan("G", *tasks))],
        developer=[REFUSED],
        builder=[made(draft("ONE IS THERE")), made(draft("ANSWER WITHOUT TWO"))],
        reviewer=[REFUSED],
    )
    talk = await models.begins("/quartet run goal Build it")
    await talk.ended("completed")
    await talk.sees("ANSWER WITHOUT TWO")
    assert "1 of 2 tasks failed" in models.prompts("builder")[-1]
    assert visits(talk)["not_researched"] == visits(talk)["not_reviewed"] == 1
    assert skipped(talk, "good")
