"""From plain words to a workflow that runs, on the web page: by rules, and with a model that errs."""

from __future__ import annotations

import pytest

from tests.journey.desks.web import WebTalk
from tests.journey.shipped import ModelsDesk, RulesDesk, approves, said

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

FRIDAY = (
    "every Friday at 16:00 Europe/Berlin collect the merged changes, write release notes, "
    "let two leads approve"
)
BROKEN = """\
name: release_notes
nodes:
  notes: {kind: agent, requires: [documentation], title: Notes, task: Write the release notes}
  approval: {kind: approval, of: note}
edges:
  - {from: notes, to: approval}
answer: {draft: notes}
"""
MENDED = BROKEN.replace("of: note}", "of: notes}")


async def test_plain_words_become_a_workflow_that_is_shown_approved_saved_and_run(rules: RulesDesk) -> None:
    talk = await rules.begins(f"/quartet design {FRIDAY}, and call it friday notes")
    await talk.waits()
    await talk.sees(
        "saved as friday_notes", "first Fri ", "16:00 Europe/Berlin", "without a language model",
        "kind: approval", "The drafted workflow friday_notes",
    )  # fmt: skip
    assert isinstance(talk, WebTalk)
    page = await rules.page(talk.path, "ada")
    assert page.all("svg"), "the picture is not there"
    await talk.presses("Approve")
    await talk.ended("completed")
    await talk.sees("Saved friday_notes as version 1", "schedule s")
    await talk.commands("schedules")
    await talk.sees("0 16 * * 5", "16:00 Europe/Berlin", "friday_notes")

    run = await rules.begins("/quartet run friday_notes Notes for version 2")
    await approves(run, asked=1)
    await approves(run, asked=2)
    await run.ended("completed")


async def test_a_schedule_that_is_run_by_hand_makes_a_run_where_it_was_made(rules: RulesDesk) -> None:
    talk = await rules.begins('/quartet schedules add "0 16 * * 5" Europe/Berlin quartet What is tea?')
    await talk.sees("starts Fri", "for the first time")
    schedule = (await talk.screen()).split("schedules remove ")[1].split()[0].strip("`.")
    await talk.commands(f"schedules run {schedule}")
    await talk.waits()
    await talk.presses("Approve")
    await talk.ended("completed")
    await talk.commands(f"schedules pause {schedule}")
    await talk.sees(f"Schedule {schedule} starts nothing")


async def test_a_shipped_name_is_refused_in_the_form_and_a_free_one_is_named(rules: RulesDesk) -> None:
    talk = await rules.begins("/quartet design then=run write a short poem about tea")
    await talk.waits()
    await talk.presses("Edit")
    await talk.fills({"yaml": MENDED.replace("release_notes", "deployment")})
    await talk.sees("is the name of a shipped workflow", "deployment_2")
    await talk.fills({"yaml": MENDED.replace("of: notes", "of: nobody")})
    await talk.sees("draft:4:", "there is no node 'nobody'")
    await talk.fills({"yaml": MENDED.replace("release_notes", "tea_poem")})
    await talk.waits(asked=2)
    await talk.sees("Saved tea_poem as version 1", "Its first run is")
    await talk.presses("Approve")
    await talk.ended("completed", "completed")


async def test_a_models_broken_draft_comes_back_to_it_with_line_and_reason(scripted: ModelsDesk) -> None:
    draft = {"explanation": "Writes notes and asks.", "schedule": "", "time_zone": ""}
    scripted.script(
        workflow_designer=[
            {"output": {**draft, "yaml": BROKEN}},
            {"output": {**draft, "yaml": MENDED, "schedule": "61 * * * *"}},
            {"output": {**draft, "yaml": MENDED}},
        ],
        technical_writer=[said("# Notes\n\nAll is new.")],
    )
    talk = await scripted.begins("/quartet design write release notes and let me approve")
    await talk.waits()
    reasons = [fact["reason"] for fact in talk.facts("output_sent_back")]
    assert "draft:4:" in reasons[0]
    assert "did you mean 'notes'?" in reasons[0]
    assert "the minute cannot be read" in reasons[1]
    await talk.presses("Approve")
    await talk.ended("completed")
    run = await scripted.begins("/quartet run release_notes For version 3")
    await approves(run, asked=1)
    await run.ended("completed")
    await run.sees("All is new.")
    scripted.settled()


async def test_a_model_that_never_mends_its_draft_is_given_up(scripted: ModelsDesk) -> None:
    draft = {"explanation": "Writes notes.", "schedule": "", "time_zone": "", "yaml": BROKEN}
    scripted.script(workflow_designer=[{"output": draft}] * 8)
    talk = await scripted.begins("/quartet design write release notes")
    await talk.ended("failed")
    started = [fact for fact in talk.facts("step_started") if fact["node"] == "design"]
    sent_back = talk.facts("output_sent_back")
    assert len(sent_back) == 3 * len(started)
    await talk.sees("there is no node 'note'")
