"""What becomes of agents' outputs before they count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents import checks
from orchestrator.artifacts import (
    Draft,
    Finding,
    Plan,
    PlanTask,
    ResearchBrief,
    Review,
    ReviewFinding,
    Source,
)


def source(number: int, quoted: str = "cats purr", url: str = "u") -> Source:
    return Source(id=number, title="T", url=url, quoted=quoted)


def test_sources_are_numbered_from_one_and_findings_follow() -> None:
    brief = ResearchBrief(
        summary="So [9] and [3, 5] and [4].",
        findings=[Finding(claim="a", source_ids=[9, 3, 3, 77]), Finding(claim="b", source_ids=[77])],
        sources=[source(9, url="x"), source(3, url="y")],
    )
    tidy = checks.tidy_brief(brief, ["Cats PURR."])
    assert [s.id for s in tidy.sources] == [1, 2]
    assert [(f.claim, f.source_ids) for f in tidy.findings] == [("a", [1, 2]), ("b (unsourced)", [])]
    assert tidy.summary == "So [1] and [2] and ."


def test_same_source_twice_is_one_source() -> None:
    brief = ResearchBrief(
        summary="", findings=[Finding(claim="a", source_ids=[1, 2])], sources=[source(1), source(2)]
    )
    tidy = checks.tidy_brief(brief, ["cats purr"])
    assert len(tidy.sources) == 1
    assert tidy.findings[0].source_ids == [1]


def test_quote_that_no_tool_returned_is_marked() -> None:
    brief = ResearchBrief(
        summary="", sources=[source(1, "cats bark"), source(2, ""), source(3, "Cats — *purr*!")]
    )
    titles = [s.title for s in checks.tidy_brief(brief, ["Some cats purr at night."]).sources]
    assert titles == ["T (quote not verified)", "T (quote not verified)", "T"]


@given(st.lists(st.integers(1, 6), max_size=6), st.lists(st.lists(st.integers(0, 8), max_size=4), max_size=5))
def test_no_dangling_number_survives(sources: list[int], findings: list[list[int]]) -> None:
    brief = ResearchBrief(
        summary="",
        findings=[Finding(claim="c", source_ids=ids) for ids in findings],
        sources=[source(n, url=str(i)) for i, n in enumerate(sources)],
    )
    tidy = checks.tidy_brief(brief, [])
    known = [s.id for s in tidy.sources]
    assert known == list(range(1, len(sources) + 1))
    for finding in tidy.findings:
        assert set(finding.source_ids) <= set(known)
        assert bool(finding.source_ids) != finding.claim.endswith("(unsourced)")


def plan(*tasks: tuple[str, list[str]]) -> Plan:
    return Plan(goal="g", tasks=[PlanTask(id=i, title="t", depends_on=d) for i, d in tasks])


def test_plan_that_hangs_together_has_no_flaw() -> None:
    assert checks.plan_flaw(plan(("a", []), ("b", ["a"]), ("c", ["a", "b"]))) is None


def test_flaws_of_plans_are_named() -> None:
    assert "more than once: a" in (checks.plan_flaw(plan(("a", []), ("a", []))) or "")
    assert "unknown tasks: z" in (checks.plan_flaw(plan(("a", ["z"]))) or "")
    assert "in a circle: a, b" in (checks.plan_flaw(plan(("a", ["b"]), ("b", ["a"]), ("c", []))) or "")
    assert "in a circle: a" in (checks.plan_flaw(plan(("a", ["a"]))) or "")


def test_citation_without_source_is_marked_but_links_and_code_are_left_alone() -> None:
    body = "One [1]. Two [7]. Both [1, 7]. A [3](http://x) `a[5]` x[2]\n```\ny = z [9]\n```"
    marked = checks.mark_citations(Draft(body=body), [1]).body
    assert marked == (
        "One [1]. Two (no source 7). Both [1] (no source 7). A [3](http://x) `a[5]` x[2]\n```\ny = z [9]\n```"
    )


def review(*problems: str) -> Review:
    findings = [ReviewFinding(severity="minor", where="w", problem=p) for p in problems]
    return Review(score=5, findings=findings, verdict="revise")


def test_review_is_repeated_only_if_nothing_in_it_is_new() -> None:
    earlier = [review("No source!", "Too long").model_dump()]
    assert checks.reviewed(review("no source"), earlier).repeated
    assert not checks.reviewed(review("no source", "too short"), earlier).repeated
    assert not checks.reviewed(review("no source"), []).repeated
