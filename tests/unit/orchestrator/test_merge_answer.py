"""The answer: a draft with the reviewer's exact edits; what cannot be merged is kept as a note."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import Draft, ResearchBrief, Review
from orchestrator.engine.answer import answer_of
from orchestrator.events import Json
from orchestrator.merge import merge
from tests.builders import Play, brief, draft, edge, flow, remark, review


def merged(body: str, *findings: Json) -> Any:
    judged = review(9, findings=list(findings))
    judged.pop("repeated")
    return merge(Draft(body=body), Review.model_validate(judged), None)


def test_edit_whose_text_stands_once_is_applied() -> None:
    answer = merged("Tea is hot. Drink it.", remark(find="hot", replace="warm"))
    assert answer.body == "Tea is warm. Drink it."
    assert answer.merged == 1
    assert answer.notes == []


@pytest.mark.parametrize("body", ["no such thing", "hot hot", "hothot"])
def test_edit_whose_text_stands_nowhere_or_twice_is_a_note(body: str) -> None:
    answer = merged(body, remark("too hot", find="hot", replace="warm"))
    assert answer.body == body
    assert answer.merged == 0
    assert answer.notes == ["major (body): too hot Proposed: “hot” → “warm”, not applied."]


def test_overlapping_occurrences_count_as_two() -> None:
    assert merged("aaa", remark(find="aa", replace="b")).body == "aaa"


def test_of_overlapping_edits_the_first_wins_and_the_other_is_a_note() -> None:
    answer = merged("one two three", remark("x", "one two", "1 2"), remark("y", "two three", "2 3"))
    assert answer.body == "1 2 three"
    assert answer.merged == 1
    assert len(answer.notes) == 1


def test_edits_do_not_see_what_other_edits_wrote() -> None:
    answer = merged("alpha beta", remark(find="alpha", replace="beta"), remark(find="beta", replace="gamma"))
    assert answer.body == "beta gamma"
    assert answer.merged == 2


def test_edit_may_delete_and_is_literal() -> None:
    assert merged(r"a \1 .* b", remark(find=r" \1 .*", replace="")).body == "a b"
    assert merged("x", remark(find="x", replace=r"\g<0>$&")).body == r"\g<0>$&"


def test_remarks_without_an_edit_are_notes_in_order() -> None:
    answer = merged("body", remark("first", where=""), remark("second", severity="minor"))
    assert answer.notes == ["major: first", "minor (body): second"]


def test_answer_without_a_review_is_the_draft() -> None:
    answer = merge(Draft(body="text"), None, None)
    assert (answer.body, answer.score, answer.notes, answer.merged) == ("text", None, [], 0)


def test_sources_come_from_the_brief() -> None:
    answer = merge(Draft(body="text"), None, ResearchBrief.model_validate(brief()))
    assert [s.title for s in answer.sources] == ["Tea"]


EDITS = st.tuples(st.text("ab ", min_size=1, max_size=3), st.text("abX", max_size=3))


@given(st.text("ab \n", max_size=30), st.lists(EDITS, max_size=5))
def test_every_remark_is_either_merged_or_noted(body: str, edits: list[tuple[str, str]]) -> None:
    answer = merged(body, *[remark(str(i), find, replace) for i, (find, replace) in enumerate(edits)])
    assert answer.merged + len(answer.notes) == len(edits)
    if answer.merged == 0:
        assert answer.body == body
    removed = sum(
        len(f) for i, (f, _) in enumerate(edits) if not any(f": {i} Proposed" in n for n in answer.notes)
    )
    added = sum(
        len(r) for i, (_, r) in enumerate(edits) if not any(f": {i} Proposed" in n for n in answer.notes)
    )
    assert len(answer.body) == len(body) - removed + added


@given(st.text("ab ", max_size=20), EDITS)
def test_one_edit_does_what_replace_does(body: str, given_edit: tuple[str, str]) -> None:
    find, replace = given_edit
    occurrences = sum(body.startswith(find, i) for i in range(len(body)))
    wanted = body.replace(find, replace) if occurrences == 1 else body
    assert merged(body, remark("p", find, replace)).body == wanted


# ── the answer of a run ──────────────────────────────────────────────────────────────────────


def test_answer_of_the_default_workflow_merges_the_review() -> None:
    play = Play().to_building().done("builder", draft("Tea is hot."))
    play.done("reviewer", review(8, findings=[remark(find="hot", replace="warm"), remark("add milk")]))
    answer = answer_of(play.workflow, play.state)
    assert answer.body == "Tea is warm."
    assert answer.merged == 1
    assert answer.notes == ["major (body): add milk"]
    assert answer.score == 8


def test_workflow_without_an_answer_section_shows_the_last_output() -> None:
    workflow = flow({"a": "agent", "b": "agent"}, "a > b")
    play = Play(workflow).done("a", {"body": "first"}).done("b", {"summary": "second"})
    assert answer_of(workflow, play.state).body == "second"


def test_output_without_a_text_is_shown_as_json() -> None:
    play = Play(flow({"a": "agent"})).done("a", {"n": "é", "body": 5})
    assert answer_of(play.workflow, play.state).body == '```json\n{\n  "n": "é",\n  "body": 5\n}\n```'


def test_run_that_went_round_the_builder_shows_what_there_is() -> None:
    nodes = {"a": "agent", "b": "agent", "mend": {"kind": "error_handler"}}
    workflow = flow(nodes, "a > b", edge("b > mend", on="error"), answer={"draft": "b"})
    play = (
        Play(workflow).done("a", {"body": "half"}).fail("b").done("mend", {"handled": {"message": "broke"}})
    )
    assert play.state.status == "completed"
    assert "broke" in answer_of(workflow, play.state).body


@pytest.mark.parametrize("odd", [{"body": 5}, {"body": "text", "files": "none"}, {"text": "x"}, {}])
def test_draft_of_another_shape_is_shown_as_it_is(odd: Json) -> None:
    workflow = flow({"a": "agent"}, answer={"draft": "a"})
    play = Play(workflow).done("a", odd)
    assert play.state.status == "completed"
    assert answer_of(workflow, play.state).body


def test_backticks_in_an_output_do_not_end_the_json_block() -> None:
    play = Play(flow({"a": "agent"})).done("a", {"n": "```\n# heading"})
    body = answer_of(play.workflow, play.state).body
    assert body.count("\n```") == 1  # the newline inside the value is escaped
