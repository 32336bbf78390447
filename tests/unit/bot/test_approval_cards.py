"""Questions about anything: laid out and edited as what they are, nothing silently left out."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import Card, CardPart, FactsPart, FilePart, MarkdownPart, NotesPart, PlanPart
from adapters.plain import card_text
from bot.artifact_parts import MOST_FILES, MOST_VALUES, artifact_of, parts_of
from bot.edit_forms import changes_form, edit_form, edited_arguments
from bot.form_errors import FormErrors
from bot.presenter import present
from orchestrator.approvals import request
from orchestrator.events import ApprovalRequested, Json, RunSettings
from orchestrator.workflow import ApprovalNode
from tests.builders import BOB, NOW, RUN, Play, draft, flow, plan
from tests.unit.bot.test_presenter import HOSTILE

REPORT: Json = {
    "body": "# Found\n\nTwo things.",
    "outcome": "failed",
    "issues": [
        {"severity": "critical", "where": "login.py", "problem": "no limit of tries", "remedy": "count them"},
        {"severity": "minor", "where": "", "problem": "a typo", "remedy": ""},
    ],
    "items": ["login", "mail"],
    "files": [{"name": "patch.diff", "media_type": "text/x-diff", "text": "+ count"}],
}
TEAM: Json = {
    "goal": "Ship it",
    "members": [{"name": "Ada", "agent": "builder", "role": "writes", "instructions": "Write.", "tools": []}],
    "speaking": "in_turn",
    "rounds": 3,
    "done_when": "it runs",
}


def said(arguments: Json) -> str:
    return card_text(
        Card.model_construct(title="", status="", label="", parts=tuple(parts_of(arguments)), buttons=())
    )


def kinds(arguments: Json) -> list[type[CardPart]]:
    return [type(part) for part in parts_of(arguments)]


def asked(arguments: Json) -> ApprovalRequested:
    node = ApprovalNode(kind="approval", of="a")
    return request(RUN, "ok", 1, node, arguments, RunSettings(), NOW)


def filled(arguments: Json, **changes: str) -> Json:
    question = asked(arguments)
    values = {field.name: field.value for field in edit_form(question).fields}
    return edited_arguments(question, values | changes)


def errors(arguments: Json, **changes: str) -> dict[str, str]:
    with pytest.raises(FormErrors) as caught:
        filled(arguments, **changes)
    return caught.value.errors


# ── what is shown ────────────────────────────────────────────────────────────────────────────


def test_report_is_text_issues_items_and_files() -> None:
    body, outcome, issues, items, file = parts_of(REPORT)
    assert body == MarkdownPart(text=REPORT["body"])
    assert outcome == FactsPart(facts=(("Outcome", "failed"),))
    assert issues == NotesPart(
        title="Issues",
        notes=("critical (login.py): no limit of tries\nRemedy: count them", "minor: a typo"),
    )
    assert items == NotesPart(title="Items", notes=("login", "mail"))
    assert file == FilePart(name="patch.diff", media_type="text/x-diff", text="+ count")


def test_hand_overs_are_laid_out_as_what_they_are() -> None:
    assert kinds(plan()) == [PlanPart]
    assert kinds(draft("Tea.")) == [MarkdownPart]
    assert "builder" in said(TEAM)
    assert "it runs" in said(TEAM)
    workflow = said({"yaml": "name: x", "explanation": "It does.", "schedule": "0 9 * * 5", "time_zone": ""})
    for word in ("It does.", "workflow.yaml", "name: x", "0 9 * * 5 (the default time zone)"):
        assert word in workflow


def test_more_files_than_are_attached_are_named_with_their_size() -> None:
    files = [{"name": f"f{n}.txt", "media_type": "text/plain", "text": "x" * n} for n in range(1, 9)]
    parts = parts_of({"body": "b", "files": files})
    assert sum(isinstance(part, FilePart) for part in parts) == MOST_FILES
    last = parts[-1]
    assert isinstance(last, NotesPart)
    assert last.notes == ("f6.txt, 6 characters", "f7.txt, 7 characters", "f8.txt, 8 characters")


def test_other_json_is_labelled_values_and_lists_never_a_dump() -> None:
    arguments: Json = {
        "command": "rm -rf *build*",
        "times": 3,
        "force": True,
        "note": None,
        "hosts": ["a", "b"],
        "target": {"zone": "eu", "nodes": [{"name": "n1"}, {"name": "n2"}]},
    }
    text = said(arguments)
    assert "{" not in text
    assert "[" not in text
    first = parts_of(arguments)[0]
    assert isinstance(first, FactsPart)
    assert first.facts == (
        ("command", "rm -rf *build*"), ("times", "3"), ("force", "yes"), ("note", "nothing"),
    )  # fmt: skip
    assert "target › nodes › 2 › name: n2" in text
    assert parts_of({}) != []


def test_too_much_json_says_what_is_left_out_and_is_there_as_a_file() -> None:
    arguments: Json = {f"key{n}": f"value {n}" for n in range(MOST_VALUES + 40)}
    text = said(arguments)
    assert "40 further values" in text
    file = parts_of(arguments)[-1]
    assert isinstance(file, FilePart)
    assert json.loads(file.text) == arguments
    long_list: Json = {"hosts": [f"host {n}" for n in range(1_000)]}
    assert "900 more, left out here" in said(long_list)
    assert "host 999" in said(long_list)  # in the file


def test_long_output_is_whole_on_its_card() -> None:
    body = "word " * 2_000
    assert body.strip() in said({"body": body})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=6))
def test_any_json_is_shown_with_every_text_in_it(arguments: Json) -> None:
    text = said(arguments)

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [t for inner in cast("Json", value).values() for t in texts(inner)]
        if isinstance(value, list):
            return [t for inner in cast("list[Any]", value) for t in texts(inner)]
        return [value] if isinstance(value, str) and value.strip() else []

    for each in texts(arguments):
        assert each in text


def test_hostile_words_of_a_report_stay_words() -> None:
    workflow = flow({"a": "agent", "ok": {"kind": "approval", "of": "a"}}, "a > ok")
    issue = {"severity": "info", "where": HOSTILE, "problem": HOSTILE, "remedy": HOSTILE}
    play = Play(workflow).done("a", {"body": HOSTILE, "issues": [issue]})
    (card,) = [c for c in present(workflow, play.state, titles={}, doing={}) if c.kind == "approval"]
    assert card_text(card).count(HOSTILE) == 4


# ── what is edited ───────────────────────────────────────────────────────────────────────────


def test_text_of_a_report_is_edited_as_text_and_the_rest_stays() -> None:
    form = edit_form(asked(REPORT))
    assert [(f.name, f.value, f.multiline) for f in form.fields] == [("body", REPORT["body"], True)]
    assert "issues" in form.note
    assert filled(REPORT) == REPORT
    assert filled(REPORT, body=REPORT["body"].replace("\n", "\r\n") + "\r\n") == REPORT
    assert filled(REPORT, body="New\r\ntext") == REPORT | {"body": "New\ntext"}
    assert "body" in errors(REPORT, body=" \n ")
    assert "too long" in errors(REPORT, body="x" * 30_000)["body"]
    assert changes_form(asked(REPORT)).submit == "Send back"


def test_hand_over_edited_as_json_stays_of_its_kind() -> None:
    review: Json = {"score": 8.0, "findings": [], "verdict": "accept", "repeated": False}
    assert filled(review, json=json.dumps(review | {"score": 9.5}))["score"] == 9.5
    assert errors(review, json=json.dumps(review | {"score": 11}))["json"].startswith("score: ")
    assert "verdict" in errors(review, json=json.dumps({"score": 1}))["json"]
    assert artifact_of(review) is not None


def test_team_is_edited_by_its_own_form() -> None:
    assert [field.name for field in edit_form(asked(TEAM)).fields] == ["goal", "member_1"]
    assert filled(TEAM, goal="Ship it well")["goal"] == "Ship it well"
    assert filled(TEAM) == TEAM
    assert "goal" in errors(TEAM, goal="")


# ── questions that want words ────────────────────────────────────────────────────────────────

QUESTION = {"kind": "input", "title": "Version", "question": "Which *version*?"}


def question(play: Play) -> Card:
    (found,) = [c for c in present(play.workflow, play.state, titles={}, doing={}) if c.kind == "approval"]
    return found


def test_question_asks_and_says_how_to_answer() -> None:
    play = Play(flow({"ask": QUESTION | {"approvers": ["web:bob"]}}))
    card = question(play)
    assert (card.title, card.status) == ("Version", "waiting for your answer")
    assert [(b.action, b.needs_form) for b in card.buttons] == [("answer", True), ("reject", False)]
    text = card_text(card)
    for words in ("Which *version*?", "simply reply here", "May answer: web:bob", "Open until"):
        assert words in text
    status = present(play.workflow, play.state, titles={}, doing={})[0]
    assert status.status == "waiting for an answer"


def test_answered_question_shows_the_answer_and_by_whom() -> None:
    play = Play(flow({"ask": QUESTION, "a": "agent"}, "ask > a"))
    play.add(play.decision("edit", who=BOB, edited={"text": "1.4 <b>"}))  # the engine has not looked yet
    for _ in range(2):
        card = question(play)
        assert (card.status, card.buttons) == ("answered by Bob", ())
        assert "1.4 <b>" in card_text(card)
        play.say()


def test_default_counts_when_nobody_answers() -> None:
    play = Play(flow({"ask": QUESTION | {"default": "1.0", "expires_after": 60}, "a": "agent"}, "ask > a"))
    assert "Without an answer: 1.0" in card_text(question(play))
    card = question(play.wait(60))
    assert card.status == "done: nobody answered in time, so the default counts"
    assert "1.0" in card_text(card)
    assert play.state.latest("ask") == {"text": "1.0"}


def test_question_that_expired_says_so() -> None:
    card = question(Play(flow({"ask": QUESTION | {"expires_after": 60}})).wait(60))
    assert (card.status, card.buttons) == ("expired: nobody answered in time", ())
