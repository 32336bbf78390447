"""Workflows that come with the bot, run through on the web page: by rules, and by scripted models.

With their approvals and their branches: what inputs skip, what is asked back, loops that end, rejection.
"""

from __future__ import annotations

import pytest

from tests.journey.shipped import (
    ModelsDesk,
    RulesDesk,
    answers,
    approves,
    created,
    issue,
    said,
    skipped,
    visits,
)

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

REFUSED = {"status": 400, "error": {"message": "scripted refusal", "type": "invalid_request_error"}}
SKIPPED = ("design_review", "tests", "code_review", "documentation", "approval")
SKIPS = " ".join(f"skip_{step}=yes" for step in SKIPPED)
SECRET = "hunter2hunter2"
DIFF = f"""Is this safe?

--- a/app.py
+++ b/app.py
@@ -1,2 +10,4 @@
 import db
+password = "{SECRET}"
+for row in rows:
+    db.execute("select * from t where id=" + row)
"""


# ── by rules ─────────────────────────────────────────────────────────────────────────────────


async def test_development_by_rules_goes_from_requirements_to_an_approved_result(rules: RulesDesk) -> None:
    talk = await rules.begins(
        "/quartet run development language=Python A shop. It must list goods. It must take orders."
    )
    await talk.waits()
    await talk.sees("Approve the development", "Tests: not_run", "code review: not_judged")
    await talk.presses("Approve")
    await talk.ended("completed")
    await talk.sees(
        "It must take orders", "Check: It must list goods", "engine: rules", "no code was written"
    )
    begun = visits(talk)
    assert begun["implementation"] == begun["implementation[2]"] == begun["design_review"] == 1
    assert skipped(talk, "deployment", "implementation[3]")


async def test_development_skips_every_step_that_its_inputs_skip(rules: RulesDesk) -> None:
    talk = await rules.begins(f"/quartet run development {SKIPS} A clock that ticks")
    await talk.ended("completed")
    assert skipped(talk, *SKIPPED, "deployment")
    assert visits(talk)["integration"] == 1
    assert (await talk.cards())["approval"] == 0


async def test_development_is_deployed_by_the_deployment_workflow(rules: RulesDesk) -> None:
    talk = await rules.begins(
        f"/quartet run development deploy_to=staging version=1.2 strategy=recreate {SKIPS} A clock"
    )
    await approves(talk, asked=1)  # the deployment's own
    await answers(talk, "healthy", asked=2)
    await talk.ended("completed")
    begun = visits(talk)
    assert begun["deployment/recreate"] == begun["deployment/report"] == 1
    [group] = [fact for fact in talk.facts("group_started") if fact["node"] == "deployment"]
    assert group["inputs"]["environment"] == "staging"
    assert group["inputs"]["version"] == "1.2"


async def test_production_is_asked_about_whatever_is_skipped(rules: RulesDesk) -> None:
    talk = await rules.begins(
        "/quartet run development deploy_to=production skip_approval=yes version=3 skip_tests=yes A clock"
    )
    await talk.waits()
    await talk.sees("Approve the development", "Goes to: production")
    await talk.presses("Reject")
    await talk.ended("rejected")
    assert skipped(talk, "deployment")


async def test_bugfix_asks_the_reporter_and_goes_on_with_the_answer(rules: RulesDesk) -> None:
    talk = await rules.begins("/quartet run bugfix severity=critical The page is white")
    await talk.waits()
    await talk.sees("could not be reproduced", "Which steps show it")
    assert created(talk)["priority"] == "critical"
    assert visits(talk)["containment"] == 1
    await answers(talk, "1. Open the page\n2. Press Pay\n\nTypeError: x is undefined", asked=1)
    await talk.waits(asked=2)
    await talk.sees("Approve the fix", "Severity: critical")
    await talk.presses("Approve")
    await talk.ended("completed")
    await talk.sees("TypeError: x is undefined", "Press Pay")
    assert visits(talk)["reproduction"] == 2
    assert skipped(talk, "cannot_reproduce", "deployment")


async def test_bugfix_that_nobody_can_reproduce_asks_twice_and_ends(rules: RulesDesk) -> None:
    talk = await rules.begins("/quartet run bugfix severity=low It looks odd")
    await answers(talk, "no idea", asked=1)
    await answers(talk, "still none", asked=2)
    await talk.ended("completed")
    await talk.sees("Cannot reproduce")
    assert visits(talk)["reproduction"] == 3
    assert skipped(talk, "root_cause", "fix", "containment")
    assert created(talk)["priority"] == "low"


async def test_bugfix_ends_when_the_question_is_turned_down(rules: RulesDesk) -> None:
    talk = await rules.begins("/quartet run bugfix It looks odd")
    await talk.waits()
    await talk.presses("Reject")
    await talk.ended("completed")
    assert visits(talk)["cannot_reproduce"] == 1
    assert skipped(talk, "root_cause")


async def test_full_stack_by_rules_approves_the_contract_and_the_delivery(rules: RulesDesk) -> None:
    talk = await rules.begins("/quartet run full_stack database=PostgreSQL A guest book. Guests must sign.")
    await talk.waits()
    await talk.sees("Approve the contract")
    assert skipped(talk, "frontend", "backend")
    await talk.presses("Approve")
    await approves(talk, asked=2)
    await talk.ended("completed")
    begun = visits(talk)
    assert begun["frontend"] == begun["backend"] == begun["qa"] == begun["delivery"] == 1
    await talk.sees("PostgreSQL", "Guests must sign")


async def test_code_review_by_rules_finds_by_patterns_and_never_quotes_a_secret(rules: RulesDesk) -> None:
    talk = await rules.begins(f"/quartet run code_review {DIFF}")
    await talk.ended("completed")
    await talk.sees("critical (app.py:11)", "secret in the code", "app.py:13", "put together from text")
    assert visits(talk)["merged"] == 1
    [merged] = [fact["output"] for fact in talk.facts("step_ended") if fact["node"] == "merged"]
    assert merged["outcome"] == "changes_requested"
    assert [one["severity"] for one in merged["issues"]] == ["critical", "major", "major", "minor"]
    assert SECRET not in str(merged)


async def test_code_review_looks_only_where_it_is_told_to(rules: RulesDesk) -> None:
    talk = await rules.begins(f"/quartet run code_review focus=style {DIFF}")
    await talk.ended("completed")
    assert skipped(talk, "security", "performance")
    assert visits(talk)["style"] == visits(talk)["merged"] == 1


async def test_wrong_input_is_refused_with_what_is_allowed(rules: RulesDesk) -> None:
    talk = await rules.begins("/quartet run bugfix severity=terrible The page is white")
    await talk.sees("severity", "is not allowed", "critical, high, medium, low")
    assert talk.statuses() == []


# ── by models ────────────────────────────────────────────────────────────────────────────────


async def test_development_goes_round_until_design_tests_and_review_are_good(models: ModelsDesk) -> None:
    models.script(
        analyst=[said("REQUIREMENTS", items=["ticks"])],
        architect=[said("DESIGN 1", items=["all"]), said("DESIGN 2", items=["hand", "face"])],
        developer=[said(f"CODE {n}", files=[{"name": "clock.py", "text": f"v{n}"}]) for n in range(12)],
        qa=[said("T1", "failed", issues=[issue("it stands still")]), *[said("T2", "passed")] * 3],
        code_reviewer=[
            said("D1", "changes_needed", issues=[issue("one part only")]),
            said("D2", "approved"),
            said("C1", "changes_requested", issues=[issue("name the hand")]),
            *[said("C2", "approved")] * 2,
        ],
        technical_writer=[said("README 1"), said("README 2")],
    )
    talk = await models.begins("/quartet run development language=Python A clock that ticks")
    await talk.waits()
    await talk.sees("Tests: passed", "code review: approved")
    await talk.presses("Ask for changes")
    await talk.fills({"comment": "Make it round."})
    await approves(talk, asked=2)
    await talk.ended("completed")
    await talk.sees("README 2", "REQUIREMENTS", "DESIGN 2", "T2")
    begun = visits(talk)
    assert begun["design"] == 2
    assert begun["implementation"] == begun["integration"] == begun["tests"] == 4
    assert begun["implementation[1]"] == 4
    built = models.prompts("developer")
    assert "one part only" in models.prompts("architect")[1]
    assert any("it stands still" in prompt for prompt in built)
    assert any("name the hand" in prompt for prompt in built)
    assert "Make it round." in built[-1]


async def test_bugfix_is_reproduced_after_the_reporter_answered(models: ModelsDesk) -> None:
    models.script(
        debugger=[
            said("TRIAGE"),
            said("WHICH BROWSER?", "not_reproduced", items=["Which browser?"]),
            said("SEEN", "reproduced"),
            said("CAUSE: a null"),
        ],
        developer=[said("FIX 1"), said("FIX 2")],
        qa=[said("RED", "failed", issues=[issue("still white")]), said("GREEN", "passed")],
    )
    talk = await models.begins("/quartet run bugfix severity=high The page is white")
    await talk.waits()
    await talk.sees("WHICH BROWSER?")
    await answers(talk, "Firefox, of course", asked=1)
    await approves(talk, asked=2)
    await talk.ended("completed")
    await talk.sees("FIX 2", "GREEN", "CAUSE: a null")
    assert "Firefox, of course" in models.prompts("debugger")[2]
    assert "still white" in models.prompts("developer")[1]
    assert created(talk)["priority"] == "high"


async def test_bugfix_that_is_rejected_is_not_deployed(models: ModelsDesk) -> None:
    models.script(
        debugger=[said("TRIAGE"), said("CAUSE")], developer=[said("FIX")], qa=[said("GREEN", "passed")]
    )
    talk = await models.begins("/quartet run bugfix skip_reproduction=yes deploy_to=production Wrong sum")
    await talk.waits()
    await talk.sees("goes to: production")
    await talk.presses("Reject")
    await talk.ended("rejected")
    assert skipped(talk, "reproduction", "deployment")


async def test_full_stack_goes_on_when_qa_breaks_down(models: ModelsDesk) -> None:
    models.script(
        analyst=[said("REQUIREMENTS")],
        architect=[said("CONTRACT 1"), said("CONTRACT 2"), said("SPLIT")],
        frontend=[said("VIEWS")],
        backend=[said("SERVICE")],
        qa=[REFUSED],
        technical_writer=[said("DOCUMENTS"), said("DELIVERY, unchecked")],
    )
    talk = await models.begins("/quartet run full_stack A guest book")
    await talk.waits()
    await talk.presses("Ask for changes")
    await talk.fills({"comment": "Add a date."})
    await approves(talk, asked=2)
    await approves(talk, asked=3)
    await talk.ended("completed")
    await talk.sees("DELIVERY, unchecked", "VIEWS", "SERVICE", "CONTRACT 2")
    assert "Add a date." in models.prompts("architect")[1]
    assert "QA broke down" in models.prompts("technical_writer")[1]
    assert visits(talk)["documentation"] == 1


async def test_full_stack_mends_what_qa_finds_and_rejection_ends_it(models: ModelsDesk) -> None:
    models.script(
        analyst=[said("REQUIREMENTS")],
        architect=[said("CONTRACT"), said("SPLIT")],
        frontend=[said("VIEWS")],
        backend=[said("SERVICE")],
        qa=[said("NO FIT", "failed", issues=[issue("date is a number")]), said("FITS", "passed")],
        developer=[said("MENDED")],
        technical_writer=[said("DELIVERY")],
    )
    talk = await models.begins("/quartet run full_stack skip_documentation=yes A guest book")
    await approves(talk, asked=1)
    await talk.waits(asked=2)
    assert "date is a number" in models.prompts("developer")[0]
    assert visits(talk)["qa"] == 2
    await talk.presses("Reject")
    await talk.ended("rejected")


async def test_code_review_merges_what_three_found_and_says_who_is_missing(models: ModelsDesk) -> None:
    models.script(
        technical_writer=[said("ABOUT")],
        security=[said("S", issues=[issue("a hole", "critical")])],
        performance=[REFUSED],
        style=[said("Y", issues=[issue("a name", "minor")])],
        code_reviewer=[
            said("NO", "no_such_word"),
            said(
                "MERGED", "changes_requested", issues=[issue("a name", "minor"), issue("a hole", "critical")]
            ),
        ],
    )
    talk = await models.begins(f"/quartet run code_review {DIFF}")
    await talk.ended("completed")
    await talk.sees("MERGED", "a hole", "ABOUT")
    [_, prompt] = models.prompts("code_reviewer")
    assert "The performance review broke down" in prompt
    assert "a hole" in prompt
    assert "must be one of approved, changes_requested, not_judged" in prompt
    assert visits(talk)["merged"] == 1
    [merged] = [fact["output"] for fact in talk.facts("step_ended") if fact["node"] == "merged"]
    assert [one["severity"] for one in merged["issues"]] == ["critical", "minor"]
