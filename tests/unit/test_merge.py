"""The reviewer's edits merge exactly, or not at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import Draft, Edit, ResearchBrief, Review, ReviewFinding, Source
from orchestrator.merge import merge


def review(*edits: tuple[str, str] | None) -> Review:
    findings = [
        ReviewFinding(
            severity="minor",
            where=f"place {n}",
            problem=f"problem {n}",
            edit=Edit(find=edit[0], replace=edit[1]) if edit else None,
        )
        for n, edit in enumerate(edits)
    ]
    return Review(score=8, findings=findings, verdict="accept")


def test_edit_that_fits_once_is_applied_and_no_note_remains() -> None:
    answer = merge(Draft(body="Teh cat."), review(("Teh", "The")), None)
    assert (answer.body, answer.merged, answer.notes) == ("The cat.", 1, [])


def test_edit_whose_words_occur_twice_or_never_stays_a_note() -> None:
    answer = merge(Draft(body="a cat, a dog, aaa"), review(("a ", "the "), ("bird", "x"), ("aa", "b")), None)
    assert answer.body == "a cat, a dog, aaa"
    assert answer.merged == 0
    assert len(answer.notes) == 3
    assert answer.notes[0] == "minor (place 0): problem 0 Proposed: “a ” → “the ”, not applied."


def test_of_overlapping_edits_the_first_in_the_text_wins_and_the_other_is_a_note() -> None:
    answer = merge(Draft(body="one two three"), review(("two three", "2 3"), ("one two", "1 2")), None)
    assert (answer.body, answer.merged) == ("1 2 three", 1)
    assert answer.notes == ["minor (place 0): problem 0 Proposed: “two three” → “2 3”, not applied."]


def test_an_edit_never_sees_what_another_one_put_in() -> None:
    answer = merge(Draft(body="x y"), review(("x", "y"), ("y", "z")), None)
    assert answer.body == "y z"


def test_answer_carries_score_sources_and_findings_without_edit() -> None:
    source = Source(id=1, title="t", url="u", quoted="q")
    answer = merge(Draft(body="b"), review(None), ResearchBrief(summary="", sources=[source]))
    assert (answer.score, answer.sources, answer.notes) == (8, [source], ["minor (place 0): problem 0"])
    assert merge(Draft(body="b"), None, None).body == "b"


text = st.text(alphabet="ab ", max_size=30)


@given(text, st.lists(st.tuples(st.text(alphabet="ab ", min_size=1, max_size=4), text), max_size=6))
def test_every_edit_is_merged_or_noted_and_the_rest_of_the_text_stays(
    body: str, edits: list[tuple[str, str]]
) -> None:
    answer = merge(Draft(body=body), review(*edits), None)
    assert answer.merged + len(answer.notes) == len(edits)
    if answer.merged == 0:
        assert answer.body == body
    # What is applied changes the length by exactly the difference of its words.
    noted = {n.split("problem ")[1].split(" ")[0] for n in answer.notes}
    applied = [e for n, e in enumerate(edits) if str(n) not in noted]
    assert len(answer.body) == len(body) + sum(len(r) - len(f) for f, r in applied)
    assert all(body.count(f) == 1 for f, _ in applied)


@given(text, st.lists(st.tuples(st.text(alphabet="ab ", min_size=1, max_size=4), text), max_size=6))
def test_merging_is_the_same_every_time(body: str, edits: list[tuple[str, str]]) -> None:
    assert merge(Draft(body=body), review(*edits), None) == merge(Draft(body=body), review(*edits), None)
