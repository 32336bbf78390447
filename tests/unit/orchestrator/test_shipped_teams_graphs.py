"""The graphs of deployment, security_audit, supervised and team, walked in memory: who comes after what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from config.documents import read_model
from orchestrator.engine.scopes import local
from orchestrator.events import Json, RunSettings, RunStarted, StepStarted
from orchestrator.inputs import checked
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import problems
from tests.builders import BOB, ROOT, Play, created

NAMES = ("deployment", "security_audit", "supervised", "team")
Outcomes = Mapping[str, Any]  # node → outcome, a list of them for its visits, a whole output, or an exception


def shipped(name: str) -> Workflow:
    return read_model(ROOT / "config" / "workflows" / f"{name}.yaml", Workflow)


class Walk(Play):
    """A run whose agents say at once what they are told to; people are asked."""

    def __init__(self, name: str, outcomes: Outcomes | None = None, **inputs: Any) -> None:
        workflow = shipped(name)
        super().__init__(workflow, started=False)
        self.events.clear()
        self.states.clear()
        self.outcomes = dict(outcomes or {})
        self.order: list[str] = []  # steps of agents, as they ended
        self.add(created(workflow).model_copy(update={"inputs": checked(workflow, inputs)}))
        self.say(RunStarted())
        self.work()

    def work(self) -> Walk:
        """Let agents work until people are asked, or it ends."""
        while working := self.working():
            name = working[0]
            said = self._said(name)
            self.order.append(name)
            if isinstance(said, Exception):
                self.fail(name, str(said))
            else:
                self.done(name, said)
        return self

    def _said(self, name: str) -> Any:
        given = self.outcomes.get(name, self.outcomes.get(local(name)))
        if isinstance(given, list):
            visits = cast("list[Any]", given)
            given = visits[min(self.state.nodes[name].visit, len(visits)) - 1]
        if isinstance(given, dict | Exception):
            return cast("Any", given)
        node = self.workflow.nodes[local(name)]
        words = getattr(node, "outcomes", ()) or ("done",)
        outcome = given or words[0]
        assert outcome in words or name.endswith("]"), f"{name}: {outcome} is not offered"
        return report(outcome, body=f"{name} says {outcome}.")

    def answers(self, text: str) -> Walk:
        """Bob answers the open question with words."""
        [asked] = self.state.open_approvals()
        assert asked.asked.wants == "text"
        self.decide("edit", who=BOB, edited={"text": text})
        return self.work()

    def decides(self, kind: Any, **more: Any) -> Walk:
        [asked] = self.state.open_approvals()
        assert asked.asked.wants == "decision"
        self.decide(kind, who=BOB, **more)
        return self.work()

    def rejects(self) -> Walk:
        """Bob presses Reject on the open question."""
        self.decide("reject", who=BOB)
        return self.work()

    @property
    def asked(self) -> str:
        """The node that asks now."""
        return ", ".join(a.asked.node for a in self.state.open_approvals())

    @property
    def body(self) -> str:
        ended = self.state.ended
        assert ended is not None
        assert ended.answer is not None, ended
        return str(ended.answer["body"])


def report(outcome: str = "done", body: str = "Done.", **more: Any) -> Json:
    empty: Json = {"issues": [], "items": [], "files": []}
    return {"body": body, "outcome": outcome, **empty, **more}


def deployed(strategy: str, outcomes: Outcomes | None = None, **inputs: Any) -> Walk:
    given = {
        "strategy": strategy,
        "version": "1.4.2",
        "skip_approval": True,
        "environment": "staging",
    } | inputs
    return Walk("deployment", outcomes, **given)


CHANGING = ("migrations", "canary", "idle", "switch", "rolling", "recreate", "rollback", "take_back")
LOOKING = ("canary_check", "idle_check", "health")
BY_HAND: Outcomes = {**dict.fromkeys(CHANGING, "by_hand"), **dict.fromkeys(LOOKING, "not_run")}


@pytest.mark.parametrize("name", NAMES)
def test_there_is_nothing_wrong_with_it(name: str) -> None:
    agents = frozenset(path.stem for path in (ROOT / "config" / "agents").glob("*.yaml"))
    assert list(problems(shipped(name), agents=agents)) == []


# ── deployment ───────────────────────────────────────────────────────────────────────────────

STRATEGIES = {
    "canary": ["canary", "canary_check"] * 4 + ["health"],
    "blue_green": ["idle", "idle_check", "switch", "health"],
    "rolling": ["rolling"] * 4 + ["health"],
    "recreate": ["recreate", "health"],
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_with_a_deployment_agent_each_strategy_runs_through_by_itself(strategy: str) -> None:
    walk = deployed(strategy)
    assert walk.order == ["checks", "runbook", *STRATEGIES[strategy], "report"]
    assert walk.state.status == "completed"
    assert "## Rollback" not in walk.body


@pytest.mark.parametrize(
    ("strategy", "questions"),
    [
        ("canary", ["canary_said"] * 4 + ["health_said"]),
        ("blue_green", ["idle_said", "health_said"]),
        ("rolling", ["rolling_said"] * 4 + ["health_said"]),
        ("recreate", ["health_said"]),
    ],
)
def test_what_was_only_prepared_counts_once_people_say_so(strategy: str, questions: list[str]) -> None:
    walk = deployed(strategy, BY_HAND)
    asked: list[str] = []
    while walk.asked:
        asked.append(walk.asked)
        walk.answers("Healthy")
    assert asked == questions
    assert walk.state.status == "completed"
    assert "rollback" not in walk.order


def test_the_question_shows_the_commands_that_people_are_to_run() -> None:
    walk = deployed(
        "recreate", {**BY_HAND, "recreate": report("by_hand", "`kubectl rollout restart deploy/tea`")}
    )
    assert "`kubectl rollout restart deploy/tea`" in walk.approval().asked.body


def test_a_healthy_check_does_not_stand_for_a_switch_that_nobody_made() -> None:
    walk = deployed("blue_green", {"switch": "by_hand"})
    assert walk.asked == "health_said"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("said", ["503 everywhere", "reject"])
def test_not_healthy_is_rolled_back_newest_first_and_the_answer_says_so(strategy: str, said: str) -> None:
    walk = deployed(strategy, BY_HAND, run_migrations=True)
    assert walk.asked == "migrations_said"
    walk.answers("done")
    while "health_said" not in walk.asked:
        walk.answers("healthy")
    walk = walk.answers(said) if said != "reject" else walk.rejects()
    undone = [str(item["node"]) for item in walk.state.groups["rollback"].items]
    assert undone == list(dict.fromkeys(reversed([n for n in walk.order if n in
        ("migrations", "canary", "idle", "switch", "rolling", "recreate")])))  # fmt: skip
    assert undone[-1] == "migrations"
    begun = [
        e.body.node for e in walk.events if isinstance(e.body, StepStarted) and "rollback[" in e.body.node
    ]
    assert begun == [f"rollback[{n}]" for n in range(len(undone))]
    assert walk.asked == "rollback_said"
    walk.answers("done")
    assert walk.state.status == "completed"
    assert "## Rollback" in walk.body
    assert walk.order[-1] == "report"


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
@pytest.mark.parametrize("skip", [True, False])
def test_production_is_always_asked_about(environment: str, skip: bool) -> None:
    walk = deployed("recreate", environment=environment, skip_approval=skip, approvers=["web:bob", "S123"])
    if environment != "production" and skip:
        assert walk.state.status == "completed"
        return
    assert walk.asked == "approval"
    assert walk.approval().asked.approvers == ("web:bob", "S123")
    assert walk.order == ["checks", "runbook"]
    assert walk.decides("approve").state.status == "completed"


def test_what_the_checks_speak_against_is_asked_about_everywhere() -> None:
    walk = deployed("recreate", {"checks": "blocked"}, environment="development")
    assert walk.asked == "approval"
    assert "blocked" in walk.approval().asked.body
    assert walk.decides("reject").state.status == "rejected"
    assert "recreate" not in walk.order


def test_asked_for_changes_the_runbook_is_written_again() -> None:
    walk = deployed("recreate", skip_approval=False).decides("changes", comment="at night")
    assert walk.order == ["checks", "runbook", "runbook"]
    assert walk.decides("approve").state.status == "completed"


def test_a_version_that_nobody_named_is_asked_for() -> None:
    walk = deployed("recreate", version="")
    assert walk.asked == "which"
    assert walk.answers("1.4.3").state.status == "completed"


@pytest.mark.parametrize(
    ("strategy", "outcomes", "undone"),
    [
        ("canary", {"canary_check": ["healthy", "unhealthy"]}, ["canary"]),
        ("canary", {"canary": ["deployed", "failed"]}, ["canary"]),
        ("blue_green", {"idle_check": "unhealthy"}, ["idle"]),
        ("blue_green", {"switch": "failed"}, ["switch", "idle"]),
        ("blue_green", {"switch": RuntimeError("the lines are cut")}, ["idle"]),
        ("rolling", {"rolling": ["deployed", RuntimeError("no room")]}, ["rolling"]),
        ("rolling", {"rolling": ["deployed", "failed"]}, ["rolling"]),
        ("recreate", {"health": "unhealthy"}, ["recreate"]),
        ("recreate", {"health": RuntimeError("no answer")}, ["recreate"]),
        ("recreate", {"recreate": RuntimeError("no answer")}, []),
    ],
)
def test_a_step_that_fails_stops_it_there_and_what_was_done_is_taken_back(
    strategy: str, outcomes: Outcomes, undone: list[str]
) -> None:
    walk = deployed(strategy, {**outcomes, "rollback": "rolled_back"})
    assert walk.state.status == "completed"
    group = walk.state.groups.get("rollback")
    assert [item["node"] for item in group.items] == undone if group else undone == []
    assert walk.order[-2:] == ["rollback", "report"]
    assert "## Rollback" in walk.body
    assert walk.order.count("rolling") <= 2


def test_without_auto_rollback_people_decide_whether_it_is_taken_back() -> None:
    outcomes = {"health": "unhealthy", "rollback": "rolled_back"}
    walk = deployed("recreate", outcomes, auto_rollback=False, approvers=["web:bob"])
    assert walk.asked == "back_approval"
    assert walk.approval().asked.approvers == ("web:bob",)
    assert "rollback" in walk.decides("approve").order
    walk = deployed("recreate", outcomes, auto_rollback=False).decides("reject")
    assert walk.state.status == "completed"
    assert "rollback" not in walk.order
    assert walk.order[-1] == "report"


def test_nobody_is_taken_to_have_said_healthy_by_a_policy() -> None:
    workflow = shipped("deployment")
    settings = RunSettings(approvals="auto")
    play = Play(workflow, settings=settings, started=False)
    play.events.clear()
    play.states.clear()
    inputs = checked(workflow, {"strategy": "recreate", "version": "1", "environment": "staging"})
    play.add(created(workflow, settings=settings).model_copy(update={"inputs": inputs}))
    play.say(RunStarted()).done("checks", report("not_run")).done("runbook", report("planned"))
    play.done("recreate", report("by_hand")).done("health", report("not_run"))
    assert [a.asked.node for a in play.state.open_approvals()] == ["health_said"]


# ── security_audit ───────────────────────────────────────────────────────────────────────────

ISSUE = {"severity": "major", "where": "a.py", "problem": "SQL from input", "remedy": "parameters"}
FOUND = {"report": report("findings", issues=[ISSUE])}


def test_after_the_scope_is_approved_the_scans_run_side_by_side() -> None:
    walk = Walk("security_audit", standards=["PCI DSS", "GDPR"])
    assert walk.asked == "scope_approval"
    walk.decide("approve", who=BOB)
    assert set(walk.working()) == {"code_scan", "dependency_scan", "compliance[0]", "compliance[1]"}
    walk.work()
    assert walk.state.status == "completed"
    assert walk.order[-2:] == ["pentest_plan", "report"]
    assert "compliance[0] says met.\n\ncompliance[1] says met." in walk.body


def test_parts_of_the_audit_can_be_left_out() -> None:
    walk = Walk("security_audit", include_dependencies=False, include_pentest_plan=False, standards=[])
    assert walk.decides("approve").order == ["scoping", "code_scan", "report"]


def test_remedies_are_proposed_once_a_person_agrees() -> None:
    walk = Walk("security_audit", FOUND, approvers=["web:bob"]).decides("approve")
    assert walk.asked == "remediation_approval"
    assert walk.approval().asked.approvers == ("web:bob",)
    assert "remediation" not in walk.order
    assert walk.decides("approve").order[-1] == "remediation"
    assert "## Remedies" in walk.body


def test_the_report_stands_where_remedies_are_rejected() -> None:
    walk = Walk("security_audit", FOUND).decides("approve").decides("reject")
    assert walk.state.status == "completed"
    assert "SQL from input" in walk.body
    assert "remediation" not in walk.order


@pytest.mark.parametrize(("auto", "remediate", "there"), [(True, True, True), (False, False, False)])
def test_remedies_by_themselves_or_not_at_all(auto: bool, remediate: bool, there: bool) -> None:
    walk = Walk("security_audit", FOUND, auto_remediate=auto, remediate=remediate).decides("approve")
    assert walk.state.status == "completed"
    assert ("remediation" in walk.order) is there


def test_a_scan_that_fails_does_not_cost_the_others() -> None:
    walk = Walk("security_audit", {"dependency_scan": RuntimeError("no list")}).decides("approve")
    assert walk.state.status == "completed"
    assert {"code_scan", "compliance[0]", "report"} <= set(walk.order)
    assert walk.order.count("report") == 1


# ── supervised ───────────────────────────────────────────────────────────────────────────────


def delegates(member: str = "", *, done: bool = False) -> Json:
    return {"member": member, "task": f"work, {member}" if member else "", "done": done, "reason": ""}


def test_the_coordinator_delegates_until_it_is_done() -> None:
    walk = Walk("supervised", {"coordinator": [delegates("qa"), delegates("builder"), delegates(done=True)]})
    assert walk.order == ["coordinator", "worker", "coordinator", "worker", "coordinator", "summary"]
    assert walk.state.status == "completed"


@pytest.mark.parametrize("rounds", [1, 3, 100])
def test_who_is_never_done_ends_at_the_bound(rounds: int) -> None:
    walk = Walk("supervised", {"coordinator": delegates("qa")}, max_rounds=rounds)
    assert walk.order.count("worker") == rounds
    assert walk.order[-1] == "summary"
    assert walk.state.status == "completed"


# ── team ─────────────────────────────────────────────────────────────────────────────────────


def members(*names: str, speaking: str = "as_needed", rounds: int = 6) -> Json:
    made: list[Json] = [
        {"name": n, "agent": "builder", "role": "r", "instructions": "i", "tools": []} for n in names
    ]
    return {"goal": "g", "members": made, "speaking": speaking, "rounds": rounds, "done_when": ""}


THREE = members("Ann", "Ben", "Cem")


def test_a_team_that_is_rejected_does_nothing() -> None:
    walk = Walk("team", {"assemble": THREE})
    assert walk.asked == "team_approval"
    assert walk.decides("reject").state.status == "rejected"
    assert walk.order == ["assemble"]


def test_asked_for_changes_another_team_is_shown() -> None:
    walk = Walk("team", {"assemble": [THREE, members("Zoe")], "next": delegates(done=True)})
    walk.decides("changes", comment="smaller")
    assert walk.asked == "team_approval"
    assert walk.approval().asked.arguments == members("Zoe")


def test_the_coordinator_of_the_team_chooses_until_it_is_done() -> None:
    nexts = [delegates("Ben"), delegates("Ann"), delegates(done=True)]
    walk = Walk("team", {"assemble": THREE, "next": nexts}, approve_team="auto")
    assert walk.order == ["assemble", "next", "member", "next", "member", "next", "wrap_up"]


@pytest.mark.parametrize("speaking", ["as_needed", "in_turn"])
@pytest.mark.parametrize(("planned", "allowed", "turns"), [(6, 12, 6), (50, 4, 4), (100, 100, 100)])
def test_a_team_speaks_no_more_often_than_it_planned_and_may(
    speaking: str, planned: int, allowed: int, turns: int
) -> None:
    team = members("Ann", "Ben", "Cem", speaking=speaking, rounds=planned)
    walk = Walk("team", {"assemble": team, "next": delegates("Ann")}, approve_team="auto", max_rounds=allowed)
    assert walk.order.count("member") + walk.order.count("in_turn") == turns
    assert walk.order[-1] == "wrap_up"
    assert walk.state.status == "completed"
