"""Deployment, security audit, supervised and team on the web page: by rules, and with scripted models.

Ada asks and bob decides with her; cem may not. Every question is answered on the page, as people do it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.journey.desks.web import WebDesk, WebTalk

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


async def begins(desk: WebDesk, words: str) -> WebTalk:
    """Ada starts a workflow in a new conversation."""
    return WebTalk(desk, await desk.writes("", f"/quartet run {words}"))


async def answers(talk: WebTalk, question: str, text: str, *, asked: int) -> None:
    """Ada answers the newest question, which is the run's `asked`th."""
    await talk.waits(asked=asked)
    await talk.sees(question)
    await talk.presses("Answer")
    await talk.fills({"text": text})


def answer(talk: WebTalk) -> str:
    """The answer of the run that has ended."""
    [ended] = talk.facts("run_ended")
    return str(ended["answer"]["body"])


def undone(talk: WebTalk) -> list[str]:
    """What the rollback took back, in its order."""
    groups = [fact for fact in talk.facts("group_started") if fact["kind"] == "undo"]
    return [item["node"] for group in groups for item in group["items"]]


def begun(talk: WebTalk) -> list[str]:
    """Every step that began, oldest first."""
    return [fact["node"] for fact in talk.facts("step_started")]


def says(outcome: str = "done", body: str = "Done.", **more: Any) -> dict[str, Any]:
    """What a model answers for an agent that writes reports."""
    empty: dict[str, Any] = {"issues": [], "items": [], "files": []}
    return {"output": {"body": body, "outcome": outcome, **empty, **more}}


# ── deployment ───────────────────────────────────────────────────────────────────────────────

PRODUCTION = "environment=production version=1.4.2 approvers=web:bob skip_approval=yes"


async def test_production_asks_the_named_approvers_and_nobody_else_can_approve(rules: WebDesk) -> None:
    talk = await begins(rules, f"deployment {PRODUCTION} strategy=canary canary_stages=20,100 Deploy tea")
    await talk.waits()
    await talk.sees("Approve the deployment")
    await talk.presses("Approve", by=["ada"])
    await talk.sees("Only web:bob may decide here")
    await talk.presses("Approve", by=["cem"])
    await talk.sees("Only web:bob may decide here", by="cem")
    assert "canary" not in begun(talk)
    await talk.presses("Approve", by=["bob"])
    await talk.sees("approved by bob")
    await answers(talk, "Stage of 20 per cent on production", "healthy", asked=2)
    await answers(talk, "Stage of 100 per cent on production", "healthy", asked=3)
    await answers(talk, "Is it deployed and healthy?", "healthy", asked=4)
    await talk.ended("completed")
    await talk.sees("Nothing was run", "Is it deployed and healthy?")
    assert "NOT DEPLOYED" not in answer(talk)
    assert undone(talk) == []


@pytest.mark.parametrize("strategy", ["canary", "blue_green", "rolling", "recreate"])
async def test_not_healthy_is_rolled_back_newest_first_and_the_answer_says_so(
    rules: WebDesk, strategy: str
) -> None:
    talk = await begins(
        rules,
        "deployment environment=staging version=1.4.2 skip_approval=yes run_migrations=yes "
        f"strategy={strategy} canary_stages=100 batches=all Deploy tea",
    )
    await answers(talk, "Have the migrations run?", "done", asked=1)
    questions = {
        "canary": ["How is the stage?"],
        "blue_green": ["How is the idle side?"],
        "rolling": ["How is the batch?"],
        "recreate": [],
    }[strategy]
    for question in questions:
        await answers(talk, question, "healthy", asked=1 + len(questions))
    asked = 2 + len(questions)
    await answers(talk, "Is it deployed and healthy?", "503 on every page", asked=asked)
    await answers(talk, "Is it rolled back?", "done", asked=asked + 1)
    await talk.ended("completed")
    assert "NOT DEPLOYED" in answer(talk)
    assert "## Rollback" in answer(talk)
    assert "503 on every page" in answer(talk)
    newest_first = {
        "canary": ["canary", "migrations"],
        "blue_green": ["switch", "idle", "migrations"],
        "rolling": ["rolling", "migrations"],
        "recreate": ["recreate", "migrations"],
    }[strategy]
    assert undone(talk) == newest_first
    steps = [node for node in begun(talk) if node.startswith("rollback[")]
    assert steps == [f"rollback[{number}]" for number in range(len(newest_first))]


async def test_a_deployment_agent_that_sees_itself_asks_nobody(models: WebDesk) -> None:
    models.models.twin.load(
        {
            "answers": {
                "operator": [
                    says("ready"),
                    says("planned", "Runbook: restart tea."),
                    says("deployed", "Idle side is on 1.4.2."),
                    says("healthy"),
                    says("deployed", "Switched."),
                    says("healthy", "All well: 0 errors."),
                ],
                "technical_writer": [says("done", "Version 1.4.2 runs on staging.")],
            }
        }
    )
    talk = await begins(models, "deployment environment=staging version=1.4.2 strategy=blue_green Deploy tea")
    await talk.waits()
    await talk.sees("Runbook: restart tea.")
    await talk.presses("Approve", by=["bob"])
    await talk.ended("completed")
    await talk.sees("Version 1.4.2 runs on staging.", "All well: 0 errors.")
    assert "switch" in begun(talk)


async def test_a_deployment_agent_that_sees_errors_takes_back_what_it_did(models: WebDesk) -> None:
    models.models.twin.load(
        {
            "answers": {
                "operator": [
                    says("ready"),
                    says("planned"),
                    says("deployed", "Idle side is on 1.4.2."),
                    says("healthy"),
                    says("deployed", "Switched."),
                    says("unhealthy", "40 % errors."),
                    says("rolled_back", "Traffic is back."),
                    says("rolled_back", "Idle side is empty."),
                    says("rolled_back", "1.4.1 serves everybody."),
                ],
                "technical_writer": [says("done", "NOT DEPLOYED: 40 % errors, rolled back.")],
            }
        }
    )
    talk = await begins(
        models,
        "deployment environment=development version=1.4.2 strategy=blue_green skip_approval=yes Deploy tea",
    )
    await talk.ended("completed")
    await talk.sees("NOT DEPLOYED: 40 % errors, rolled back.", "1.4.1 serves everybody.")
    assert undone(talk) == ["switch", "idle"]
    assert "Switched." in models.prompts("operator")[6]  # what is taken back first
    assert "Idle side is on 1.4.2." in models.prompts("operator")[7]
    for undoing in ("Traffic is back.", "Idle side is empty."):
        assert undoing in models.prompts("operator")[8]  # whoever sums it up knows what was taken back


# ── security audit ───────────────────────────────────────────────────────────────────────────


async def test_an_audit_by_rules_asks_about_its_scope_and_claims_no_scan(rules: WebDesk) -> None:
    talk = await begins(rules, 'security_audit standards="PCI DSS,GDPR" target=shop Audit the shop')
    await talk.waits()
    await talk.sees("Approve the scope")
    await talk.presses("Approve", by=["bob"])
    await talk.ended("completed")
    await talk.sees("PCI DSS", "GDPR", "Penetration test plan")
    assert {"code_scan", "dependency_scan", "compliance[0]", "compliance[1]"} <= set(begun(talk))
    outputs = {fact["node"]: fact["output"] for fact in talk.facts("step_ended")}
    assert outputs["code_scan"]["outcome"] == "not_run"


async def test_findings_are_merged_and_remedied_once_a_person_agrees(models: WebDesk) -> None:
    issue = {"severity": "major", "where": "shop.py", "problem": "SQL from input", "remedy": "parameters"}
    models.models.twin.load(
        {
            "answers": {
                "security": [
                    says("scoped", "The shop."),
                    # Three scans at once take whichever comes first: all of them may say this.
                    *[says("not_run", "Looked at.") for _ in range(3)],
                    says("planned", "Ask the owner first."),
                    says("findings", "One finding.", issues=[issue]),
                    says("proposed", "Use parameters.", files=[{"name": "shop.py", "text": "safe()"}]),
                ],
            }
        }
    )
    talk = await begins(models, "security_audit standards=GDPR Audit the shop")
    await talk.presses("Approve", by=["bob"])
    await talk.waits(asked=2)
    await talk.sees("Propose remedies?", "SQL from input")
    await talk.presses("Approve", by=["bob"])
    await talk.ended("completed")
    await talk.sees("One finding.", "SQL from input", "Ask the owner first.", "Use parameters.")


# ── supervised ───────────────────────────────────────────────────────────────────────────────


def gives(member: str = "", task: str = "", *, done: bool = False) -> dict[str, Any]:
    """What a model answers for a coordinator."""
    return {"output": {"member": member, "task": task, "done": done, "reason": "it is there" if done else ""}}


async def test_by_rules_everybody_who_is_needed_works_once(rules: WebDesk) -> None:
    talk = await begins(rules, "supervised Fix the bug that crashes the import")
    await talk.ended("completed")
    assert [fact["agent"] for fact in talk.facts("agent_assigned") if fact["node"] == "worker"] == [
        "debugger",
        "developer",
        "qa",
    ]


async def test_a_coordinator_that_is_never_done_ends_at_its_bound(models: WebDesk) -> None:
    models.models.twin.load(
        {
            "answers": {
                "coordinator": [gives("qa", f"Test part {n}.") for n in (1, 2, 3)],
                "qa": [says(body="Part 1 works."), says(body="Part 2 works.")],
                "technical_writer": [says(body="Two parts work; the third was not tried.")],
            }
        }
    )
    talk = await begins(models, "supervised max_rounds=2 Test the shop")
    await talk.ended("completed")
    await talk.sees("Two parts work; the third was not tried.")
    assert begun(talk).count("worker") == 2
    assert "Test part 2." in models.prompts("qa")[1]
    summary = models.prompts("technical_writer")[0]
    assert "not done when the rounds were used up" in summary
    assert "Part 1 works." in summary  # not only the last piece of work
    assert "Part 2 works." in summary


# ── team ─────────────────────────────────────────────────────────────────────────────────────

TEAM: dict[str, Any] = {
    "goal": "Explain tea",
    "members": [
        {"name": "Ann", "agent": "qa", "role": "asks", "instructions": "Ask what is unclear.", "tools": []},
        {"name": "Ben", "agent": "backend", "role": "builds", "instructions": "Make it.", "tools": []},
        {"name": "Cem", "agent": "security", "role": "doubts", "instructions": "Doubt it.", "tools": []},
    ],
    "speaking": "as_needed",
    "rounds": 6,
    "done_when": "nobody doubts any more",
}


async def test_a_team_of_three_is_shown_and_once_rejected_does_nothing(models: WebDesk) -> None:
    models.models.twin.load({"answers": {"team_builder": [{"output": TEAM}]}})
    talk = await begins(models, "team Explain tea")
    await talk.waits()
    await talk.sees("Approve the team", "Ann (qa): asks", "Ask what is unclear.", "Cem (security): doubts")
    await talk.presses("Reject", by=["bob"])
    await talk.ended("rejected")
    assert "member" not in begun(talk)


async def test_a_team_edited_in_its_form_works_as_it_was_left(models: WebDesk) -> None:
    models.models.twin.load(
        {
            "answers": {
                "team_builder": [{"output": TEAM}],
                "coordinator": [gives("Ben", "Make tea."), gives("Ann", "Ask."), gives(done=True)],
                "backend": [says(body="Tea is made.")],
                "qa": [says(body="What is oolong?")],
                "technical_writer": [says(body="Tea, and what oolong is.")],
            }
        }
    )
    talk = await begins(models, "team Explain tea")
    await talk.waits()
    await talk.presses("Edit")
    await talk.fills({"member_1": "Ask about oolong.", "member_3": ""})
    await talk.ended("completed")
    await talk.sees("Tea, and what oolong is.", "Ann", "Ben")
    assert "Ask about oolong." in models.prompts("qa")[0]
    assert "Tea is made." in models.prompts("qa")[0]  # what the member before made
    for all_of_it in (models.prompts("coordinator")[-1], models.prompts("technical_writer")[0]):
        assert "Tea is made." in all_of_it
        assert "What is oolong?" in all_of_it
    assert [fact["member"] for fact in talk.facts("agent_assigned") if fact["node"] == "member"] == [
        "Ben",
        "Ann",
    ]


async def test_a_coordinator_asks_the_person_and_the_answer_is_part_of_the_talk(models: WebDesk) -> None:
    models.models.twin.load(
        {
            "answers": {
                "team_builder": [{"output": TEAM}],
                "coordinator": [gives("user", "Green or black?"), gives("Ann", "Ask."), gives(done=True)],
                "qa": [says(body="Which leaf?")],
                "technical_writer": [says(body="Green tea, explained.")],
            }
        }
    )
    talk = await begins(models, "team approve_team=auto Explain tea")
    await answers(talk, "Green or black?", "Only green tea.", asked=1)
    await talk.ended("completed")
    await talk.sees("Green tea, explained.")
    assert "You may ask the person" in models.prompts("coordinator")[0]
    for told in (models.prompts("coordinator")[1], models.prompts("qa")[0]):
        assert "Only green tea." in told
        assert "Green or black?" in told


async def test_a_question_that_nobody_wants_to_answer_stops_no_team(models: WebDesk) -> None:
    models.models.twin.load(
        {
            "answers": {
                "team_builder": [{"output": TEAM}],
                "coordinator": [gives("user", "Green or black?"), gives("Ann", "Both."), gives(done=True)],
                "qa": [says(body="Which leaf?")],
                "technical_writer": [says(body="Tea, explained.")],
            }
        }
    )
    talk = await begins(models, "team approve_team=auto Explain tea")
    await talk.waits()
    await talk.sees("Green or black?")
    await talk.presses("Reject")
    await talk.ended("completed")
    assert '\\"answer\\": null' in models.prompts("coordinator")[1]


async def test_members_who_speak_in_turn_go_round_until_their_rounds_are_over(models: WebDesk) -> None:
    in_turn = {**TEAM, "speaking": "in_turn", "rounds": 4}
    models.models.twin.load(
        {
            "answers": {
                "team_builder": [{"output": in_turn}],
                "qa": [says(body="Why?"), says(body="And how?")],
                "backend": [says(body="So.")],
                "security": [says(body="Really?")],
                "technical_writer": [says(body="Tea, explained.")],
            }
        }
    )
    talk = await begins(models, "team approve_team=auto Explain tea")
    await talk.ended("completed")
    spoke = [fact["member"] for fact in talk.facts("agent_assigned") if fact["node"] == "in_turn"]
    assert spoke == ["Ann", "Ben", "Cem", "Ann"]


async def test_by_rules_the_team_is_shown_and_every_member_works_once(rules: WebDesk) -> None:
    talk = await begins(rules, "team Write an article about tea and check it")
    await talk.waits()
    await talk.sees("Approve the team", "Builder (builder): makes the result", "engine: rules")
    await talk.presses("Approve", by=["bob"])
    await talk.ended("completed")
    spoke = [fact["member"] for fact in talk.facts("agent_assigned") if fact["node"] == "member"]
    assert len(spoke) >= 2
    assert len(set(spoke)) == len(spoke)
    await talk.sees(*spoke)
