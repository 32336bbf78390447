"""What people see of a run: every state gives cards, the same state the same cards, one of each kind."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adapters.contract import (
    Card,
    CardId,
    FactsPart,
    FilePart,
    MarkdownPart,
    NotesPart,
    PlanPart,
    RowsPart,
    SourcesPart,
)
from bot.presenter import QUOTE_LENGTH, doing_line, present
from bot.run_facts import duration, label, money
from orchestrator.engine.state import RunState
from orchestrator.events import (
    WITHDRAWN,
    FeedbackGiven,
    PauseRequested,
    ResumeRequested,
    RunEnded,
    RunSettings,
    Who,
)
from orchestrator.workflow import Workflow
from tests.builders import ADA, BOB, Play, brief, draft, edge, flow, plan, quartet, remark, review, task
from tests.unit.orchestrator.test_fold import RUN_SETTINGS, SEEDS, played, workflows

TITLES = {"researcher": "Researcher", "planner": "Planner", "builder": "Builder", "reviewer": "Reviewer"}
HOSTILE = (
    "<script>alert(1)</script> *b* [x](javascript:1) `c` \x00\u202e @everyone <!channel> ```\n# big\n| a |"
)


def cards(play: Play, **doing: str) -> list[Card]:
    return present(play.workflow, play.state, titles=TITLES, doing=doing)


def card(play: Play, kind: str, **doing: str) -> Card:
    (found,) = [c for c in cards(play, **doing) if c.kind == kind]
    return found


def part(of: Card, kind: type[Any]) -> Any:
    found = [p for p in of.parts if isinstance(p, kind)]
    assert len(found) == 1, f"{len(found)} parts {kind.__name__}"
    return found[0]


def facts(of: Card) -> dict[str, str]:
    return dict(part(of, FactsPart).facts)


def rows(play: Play, **doing: str) -> dict[str, Any]:
    return {r.name: r for r in part(card(play, "status", **doing), RowsPart).rows}


def actions(of: Card) -> list[str]:
    return [b.action for b in of.buttons]


# ── properties ───────────────────────────────────────────────────────────────────────────────


@settings(max_examples=100, deadline=None)
@given(workflows(), RUN_SETTINGS, SEEDS, st.integers(0, 25))
def test_every_state_has_cards_and_the_same_state_the_same_ones(
    workflow: Workflow, run_settings: RunSettings, seed: int, acts: int
) -> None:
    world = played(workflow, run_settings, seed, acts)
    if seed % 2:
        world.finish()
    for state in world.play.states:
        shown = present(workflow, state, titles=TITLES, doing={})
        assert shown == present(workflow, state, titles=TITLES, doing={})
        check_cards(state, shown)


def check_cards(state: RunState, shown: list[Card]) -> None:
    assert max(Counter(c.id for c in shown).values()) == 1
    assert [c.kind for c in shown].count("status") == 1
    assert sum(c.kind in ("answer", "error", "reply") for c in shown) == (1 if state.ended else 0)
    asked = [
        a for a in state.approvals.values() if a.resolved is None or a.resolved.who is None or a.decision
    ]
    assert [c.kind for c in shown].count("approval") == len(asked)
    for one in shown:
        assert one.id.startswith(f"{state.run_id}:")
        assert one.label == "engine: rules"
        assert one.title
        assert one.status
        assert one.parts
    open_ids = {a.asked.approval_id for a in state.open_approvals()}
    assert {b.target for c in shown for b in c.buttons if c.kind == "approval"} == open_ids
    if state.ended:
        assert all(not c.buttons for c in shown if c.kind != "error")


@pytest.mark.parametrize("seed", range(5))
def test_cards_of_a_run_keep_their_ids_and_their_order(seed: int) -> None:
    world = played(quartet(), RunSettings(), random.Random(seed).randrange(2**32), 30)
    world.finish()
    before: list[CardId] = []
    for state in world.play.states:
        now = [c.id for c in present(quartet(), state, titles=TITLES, doing={})]
        assert now[: len(before)] == before  # nothing disappears, nothing comes in between
        before = now


# ── the status card ──────────────────────────────────────────────────────────────────────────


def test_queued_run_says_so_and_can_be_stopped() -> None:
    status = card(Play(started=False), "status")
    assert status.status == "queued behind an earlier turn"
    assert "may be waiting for a decision" in part(status, MarkdownPart).text
    assert "`stop` ends it" in part(status, MarkdownPart).text
    assert not [p for p in card(Play(), "status").parts if isinstance(p, MarkdownPart)]
    assert actions(status) == ["stop"]
    assert {r.state for r in part(status, RowsPart).rows} == {"waiting"}


def test_working_agent_says_what_it_does_and_since_when() -> None:
    play = Play()
    row = rows(play, researcher="searching for tea")["Researcher"]
    assert (row.state, row.doing) == ("working", "searching for tea")
    assert row.since == play.now
    assert row.seconds is None
    assert rows(play)["Researcher"].doing == ""  # its state says that it works
    assert [r.state for r in rows(play).values()] == ["working", "waiting", "waiting", "waiting"]
    assert actions(card(play, "status")) == ["pause", "stop"]


def test_time_passing_alone_changes_no_card() -> None:
    play = Play().called("researcher")
    before = cards(play)
    play.now += timedelta(hours=1)
    assert cards(play) == before


def test_done_agent_shows_seconds_tokens_and_cost() -> None:
    play = Play().called("researcher", tokens=10, cost=0.25).done("researcher", brief())
    row = rows(play)["Researcher"]
    assert (row.state, row.seconds, row.tokens, row.cost_usd, row.since) == ("done", 1.0, 20, 0.25, None)


def test_unknown_price_is_not_zero() -> None:
    play = Play().called("researcher", tokens=10, cost=None)
    assert facts(card(play, "status"))["Cost"] == "no known price"
    assert facts(card(Play(), "status"))["Cost"] == "nothing, no model was asked"
    broken_off = Play(engine="models").stop()
    assert facts(card(broken_off, "status"))["Cost"] == "nothing, no model has answered"


def test_second_round_and_retries_are_named() -> None:
    play = Play().to_building().done("builder", draft()).done("reviewer", review(3))
    assert rows(play)["Builder"].doing == "round 2"


def test_waiting_paused_and_resumed_run_say_so() -> None:
    play = Play().to_approval()
    assert card(play, "status").status == "waiting for approval"
    play.say(PauseRequested(who=ADA))
    assert card(play, "status").status == "paused"
    assert actions(card(play, "status")) == ["resume", "stop"]
    play.say(ResumeRequested(who=ADA))
    assert card(play, "status").status == "waiting for approval"


def test_pause_shows_resume_before_the_engine_has_looked() -> None:
    assert actions(card(Play().add(PauseRequested(who=ADA)), "status")) == ["resume", "stop"]


def test_plan_is_on_the_status_card_with_what_is_done() -> None:
    play = Play().to_approval(plan("goal", task("draft"), task("more")))
    assert [t.state for t in part(card(play, "status"), PlanPart).tasks] == ["waiting", "waiting"]
    play.decide("approve").done("builder", draft())
    assert [t.state for t in part(card(play, "status"), PlanPart).tasks] == ["done", "waiting"]


def test_tasks_of_a_run_that_was_stopped_wait_for_nothing() -> None:
    play = Play().to_approval(plan("goal", task("draft"))).stop()
    assert [t.state for t in part(card(play, "status"), PlanPart).tasks] == [None]


def test_edited_plan_is_the_one_that_is_shown() -> None:
    play = Play().to_approval().decide("edit", edited=plan("edited goal"))
    assert part(card(play, "status"), PlanPart).goal == "edited goal"


def test_steering_is_shown() -> None:
    notes = part(card(Play().steer("hurry"), "status"), NotesPart)
    assert (notes.title, notes.notes) == ("Handed to the agents", ("hurry",))


def test_stopped_agents_are_skipped_and_failed_ones_failed() -> None:
    assert [r.state for r in rows(Play().stop()).values()] == ["skipped"] * 4
    failed = rows(Play().fail("researcher", "no key"))
    assert (failed["Researcher"].state, failed["Researcher"].doing) == ("failed", "no key")
    assert failed["Builder"].state == "skipped"


def test_long_turn_is_cut_in_the_title_and_a_file_alone_names_itself() -> None:
    title = card(Play(text="word " * 100), "status").title
    assert len(title) <= 80
    assert title.endswith("…")
    assert card(Play(text="one\n two\tthree"), "status").title == "one two three"


# ── approvals ────────────────────────────────────────────────────────────────────────────────


def test_open_approval_shows_the_plan_and_four_buttons() -> None:
    play = Play().to_approval(plan("Explain tea", task(acceptance="short"), risks=["time"]))
    asked = card(play, "approval")
    assert asked.title == "Approve the plan"
    assert asked.status == "waiting for your decision"
    assert actions(asked) == ["approve", "edit", "changes", "reject"]
    assert [b.needs_form for b in asked.buttons] == [False, True, True, False]
    assert {b.target for b in asked.buttons} == {play.approval().asked.approval_id}
    shown = part(asked, PlanPart)
    assert (shown.goal, shown.outline, shown.risks) == ("Explain tea", ("Intro",), ("time",))
    assert [(t.id, t.title, t.acceptance) for t in shown.tasks] == [("draft", "Write it", "short")]
    assert facts(asked)["Open until"] == "2026-01-03 03:04 UTC"


@pytest.mark.parametrize(
    ("kind", "more", "status"),
    [
        ("approve", {}, "approved by Bob"),
        ("edit", {"edited": plan("new")}, "approved with edits by Bob"),
        ("changes", {"comment": "shorter"}, "changes asked for by Bob"),
        ("reject", {"comment": "no"}, "rejected by Bob"),
    ],
)
def test_decided_approval_says_what_by_whom_and_has_no_buttons(kind: Any, more: Any, status: str) -> None:
    play = Play().to_approval()
    play.add(play.decision(kind, who=BOB, **more))  # the engine has not looked yet
    for _ in range(2):
        decided = card(play, "approval")
        assert decided.status == status
        assert decided.buttons == ()
        play.say()


def test_edit_shows_what_it_changed_and_changes_show_the_comment() -> None:
    edited = card(Play().to_approval().decide("edit", edited=plan("new goal")), "approval")
    assert part(edited, NotesPart).notes[0].endswith('→ "new goal"')
    assert {task.state for task in part(edited, PlanPart).tasks} == {None}
    assert part(edited, PlanPart).goal == "new goal", "what was approved, not what was asked about"
    kinds = [type(p) for p in edited.parts]
    assert kinds.index(NotesPart) == kinds.index(PlanPart) + 1
    play = Play().to_approval()
    asked = card(play, "approval")
    play.add(play.decision("edit", edited=plan("new goal")))
    assert part(card(play, "approval"), PlanPart).goal == "new goal", "before the engine took note, too"
    assert part(asked, PlanPart).goal != "new goal"
    changed = card(Play().to_approval().decide("changes", comment="shorter"), "approval")
    assert part(changed, NotesPart).notes == ("shorter",)


def test_second_question_is_a_second_card() -> None:
    play = Play().to_approval().decide("changes", comment="x").done("planner", plan("second"))
    first, second = [c for c in cards(play) if c.kind == "approval"]
    assert first.id != second.id
    assert first.buttons == ()
    assert actions(second) == ["approve", "edit", "changes", "reject"]


def test_automatic_approval_shows_no_card() -> None:
    play = Play(settings=RunSettings(approvals="auto")).to_approval()
    assert [c.kind for c in cards(play)] == ["status"]


@pytest.mark.parametrize(
    ("on_expiry", "status"),
    [
        ("expire", "expired: nobody decided in time"),
        ("reject", "rejected: nobody decided in time"),
        ("approve", "approved: nobody decided in time"),
    ],
)
def test_expired_approval_says_what_came_of_it(on_expiry: str, status: str) -> None:
    node: dict[str, Any] = {"kind": "approval", "of": "planner", "expires_after": 60, "on_expiry": on_expiry}
    workflow = flow({"planner": "agent", "ok": node, "builder": "agent"}, "planner > ok", "ok > builder")
    expired = card(Play(workflow).done("planner", plan()).wait(60), "approval")
    assert expired.status == status
    assert expired.buttons == ()


def test_open_approval_of_a_stopped_run_is_withdrawn() -> None:
    asked = card(Play().to_approval().stop(), "approval")
    assert asked.status == "withdrawn: the run was stopped"
    assert asked.buttons == ()


def test_approvers_are_named() -> None:
    settings_ = RunSettings(approvers=("web:bob", "g1"), allow_requester=False)
    asked = facts(card(Play(settings=settings_).to_approval(), "approval"))
    assert asked["May decide"] == "web:bob, g1"
    assert asked["Not"] == "the person who asked"


def test_question_about_something_else_than_a_plan_shows_its_arguments() -> None:
    workflow = flow({"a": "agent", "ok": {"kind": "approval", "of": "a", "body": "Run *this*?"}}, "a > ok")
    asked = card(Play(workflow).done("a", {"command": "rm -rf", "times": 3}), "approval")
    assert part(asked, MarkdownPart).text == "Run *this*?"
    first = next(p for p in asked.parts if isinstance(p, FactsPart))
    assert first.facts == (("command", "rm -rf"), ("times", "3"))


# ── the end ──────────────────────────────────────────────────────────────────────────────────


def test_answer_has_sources_notes_files_review_and_cost() -> None:
    play = Play().to_building().called("builder", 1_000, 0.5)
    play.done(
        "builder", draft("Tea is hot.", files=[{"name": "a.md", "media_type": "text/markdown", "text": "A"}])
    )
    play.done("reviewer", review(8.5, findings=[remark(find="hot", replace="warm"), remark("add milk")]))
    answer = card(play, "answer")
    assert part(answer, MarkdownPart).text == "Tea is warm."
    assert [(s.number, s.title, s.url) for s in part(answer, SourcesPart).sources] == [(1, "Tea", "tea.md")]
    assert part(answer, NotesPart).notes == ("major (body): add milk",)
    assert part(answer, FilePart).name == "a.md"
    assert facts(answer) == {
        "Review": "8.5 of 10",
        "Edits merged": "1",
        "Workflow": "quartet",
        "Run": "rtest",
        "Tokens": "2,000 (1,000 in, 1,000 out)",
        "Cost": "$0.5000",
        "Time": "0.0 s",
    }
    assert answer.status == "done"


def test_sources_that_are_cited_come_first_and_their_quotes_are_cut_at_a_word() -> None:
    words = "tea " * 200
    sources = [
        {"id": n, "title": f"S{n}", "url": f"s{n}.md", "quoted": quoted}
        for n, quoted in enumerate(["not cited", words, "short\nquote", "x" * 900, "too"], start=1)
    ]
    play = Play().done("researcher", brief(sources=sources)).done("planner", plan()).decide("approve")
    play.done("builder", draft("Tea [2] is [3, 4] warm [22]."))
    play.done("reviewer", review())
    lines = part(card(play, "answer"), SourcesPart).sources
    assert [s.number for s in lines] == [2, 3, 4, 1, 5]
    assert [s.quoted for s in lines] == [
        " ".join(["tea"] * 75) + "…",
        "short\nquote",
        "x" * 299 + "…",
        "",
        "",
    ]
    assert all(len(s.quoted) <= QUOTE_LENGTH for s in lines)
    assert play.state.ended is not None
    assert play.state.ended.answer is not None
    assert play.state.ended.answer["sources"] == sources, "the whole stays in the record"


def test_failed_run_has_an_error_card_with_the_remedy_and_a_way_on() -> None:
    play = Play().fail("researcher", "wrong key: set OPENAI_API_KEY")
    error = card(play, "error")
    text = MarkdownIt().render(part(error, MarkdownPart).text)
    assert "wrong key: set OPENAI_API_KEY" in text
    assert actions(error) == ["retry"]
    assert error.status == "failed"
    assert card(play, "status").status == "failed"


@pytest.mark.parametrize(
    ("play", "title", "words"),
    [
        (
            lambda: Play().to_approval().decide("reject", comment="no *way*", who=BOB),
            "Rejected",
            "Rejected by Bob: no *way*.",
        ),
        (lambda: Play().stop(BOB), "Stopped", "Stopped by Bob."),
        (lambda: Play().to_approval().wait(90_000), "Expired", "Nobody decided in time."),
    ],
)  # fmt: skip
def test_run_that_ended_without_an_answer_says_why_and_what_to_do(play: Any, title: str, words: str) -> None:
    end = card(play(), "reply")
    assert end.title == title
    text = MarkdownIt().render(part(end, MarkdownPart).text)
    assert words in text
    assert "Write again" in text


# ── hostile text ─────────────────────────────────────────────────────────────────────────────


def hostile_play() -> Play:
    eve = Who(key=f"web:{HOSTILE}", name=HOSTILE)
    nodes = {
        "planner": "agent",
        "ok": {"kind": "approval", "of": "planner", "title": HOSTILE, "body": HOSTILE},
    }
    workflow = flow(
        nodes | {"builder": "agent"},
        "planner > ok",
        "ok > builder",
        edge("ok > planner", on="changes", max_visits=9),
    )
    play = Play(workflow, text=HOSTILE, who=eve).steer(HOSTILE)
    evil = plan(HOSTILE, task("t", HOSTILE, acceptance=HOSTILE), outline=[HOSTILE], risks=[HOSTILE])
    return play.done("planner", evil).decide("changes", comment=HOSTILE, who=eve).done("planner", evil)


def test_hostile_text_stays_text() -> None:
    play = hostile_play()
    doing = {"planner": HOSTILE, "builder": HOSTILE}
    for state in play.states:
        check_cards(state, present(play.workflow, state, titles={"builder": HOSTILE}, doing=doing))
    rejected = Play().to_approval().decide("reject", comment=HOSTILE, who=Who(key="web:e", name=HOSTILE))
    failed = Play().fail("researcher", HOSTILE)
    for one in (card(rejected, "reply"), card(failed, "error")):
        html = MarkdownIt("commonmark").enable("table").render(part(one, MarkdownPart).text)
        for markup in ("<script", "<em>", "<a ", "<code>", "<h1>", "<pre>", "<table", "<img"):
            assert markup not in html
        assert "alert(1)" in html


@given(st.text())
def test_any_error_message_is_shown_as_it_is(message: str) -> None:
    text = part(card(Play().fail("researcher", message), "error"), MarkdownPart).text
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<em>" not in html
    assert "<h" not in html
    assert "<a " not in html


@pytest.mark.parametrize("odd", [5, "abc", [1, "x", None], [{"done": True}], {"a": 1}, None])
def test_edited_draft_of_another_shape_does_not_break_the_status_card(odd: Any) -> None:
    nodes = {"planner": "agent", "builder": "agent", "ok": "approval of builder", "last": "agent"}
    answer = {"draft": "builder", "plan": "planner"}
    workflow = flow(nodes, "planner > builder", "builder > ok", "ok > last", answer=answer)
    play = Play(workflow).done("planner", plan()).done("builder", draft())
    play.decide("edit", edited=draft(task_results=odd))
    assert card(play, "status").status == "working"


# ── words ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (60, "1 min 0 s"),
        (3_599.6, "1 h 0 min"),
        (7_260, "2 h 1 min"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("usd", "words"),
    [(None, "no known price"), (0, "$0.0000"), (0.00004, "$0.0000"), (0.5, "$0.5000"), (12.345, "$12.35")],
)
def test_costs_in_words(usd: float | None, words: str) -> None:
    assert money(usd) == words


def test_runs_with_models_carry_no_label() -> None:
    play = Play(engine="models").to_end()
    assert label(play.state) == ""
    assert {c.label for c in cards(play)} == {""}


def test_failed_run_without_a_problem_still_says_something() -> None:
    play = Play().add(RunEnded(status="failed"))
    assert "failed" in part(card(play, "error"), MarkdownPart).text


# ── for chat platforms ───────────────────────────────────────────────────────────────────────


def test_answer_can_be_judged_and_is_the_same_card_whatever_people_think_of_it() -> None:
    play = Play().to_end()
    answer = card(play, "answer")
    assert answer.feedback == play.run_id
    play.add(FeedbackGiven(who=BOB, good=False, comment="too long"))
    assert card(play, "answer") == answer
    assert all(c.feedback == "" for c in cards(play) if c.kind != "answer")


def test_approvers_are_called_by_name_where_the_run_knows_them() -> None:
    settings = RunSettings(approvers=("web:ada", "web:bob", "S123"))
    play = Play(settings=settings).to_approval()
    assert facts(card(play, "approval"))["May decide"] == "Ada, web:bob, S123"
    play.decide("approve", who=BOB)
    assert facts(card(play, "approval"))["May decide"] == "Ada, Bob, S123"


def test_withdrawn_turn_shows_its_status_card_alone() -> None:
    play = Play(started=False).stop(reason=WITHDRAWN)
    assert [(c.kind, c.status, c.buttons) for c in cards(play)] == [("status", WITHDRAWN, ())]
    stopped = Play(started=False).stop()
    assert [c.kind for c in cards(stopped)] == ["status", "reply"]


def line(play: Play, **doing: str) -> str:
    return doing_line(play.workflow, play.state, titles=TITLES, doing=doing)


def test_line_says_who_works_and_nothing_while_people_are_waited_for() -> None:
    play = Play()
    assert line(play) == "Researcher works"
    assert line(play, researcher="reads a page", planner="old") == "Researcher: reads a page"
    assert len(line(play, researcher="x" * 1_000)) <= 120
    assert line(play.to_approval()) == ""
    assert line(play.decide("approve")) == "Builder works"
    assert line(play.say(PauseRequested(who=ADA))) == ""
    assert line(Play(started=False)) == ""
    assert line(Play().to_end()) == ""
