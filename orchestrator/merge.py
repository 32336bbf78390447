"""The reviewer's edits merged into the draft, exactly. Pure.

An edit is applied only where its `find` occurs once in the draft, and only as a whole: of edits that
overlap, the one that begins first wins (at the same place the longer one, then the earlier finding).
Everything that is not applied stays as a note, so that nothing of the review is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.artifacts import Answer, Draft, ResearchBrief, Review, ReviewFinding


@dataclass(frozen=True, slots=True)
class _Place:
    start: int
    end: int
    order: int  # of the finding in the review
    replace: str


def merge(draft: Draft, review: Review | None, brief: ResearchBrief | None) -> Answer:
    """The answer: the draft with the review's exact edits, sources, and the rest of the review as notes."""
    findings = review.findings if review else []
    applied = _applicable(draft.body, findings)
    body = draft.body
    for place in sorted(applied, key=lambda p: p.start, reverse=True):
        body = body[: place.start] + place.replace + body[place.end :]
    done = {place.order for place in applied}
    return Answer(
        body=body,
        sources=list(brief.sources) if brief else [],
        notes=[note(finding) for order, finding in enumerate(findings) if order not in done],
        merged=len(applied),
        score=review.score if review else None,
        files=list(draft.files),
    )


def _applicable(body: str, findings: list[ReviewFinding]) -> list[_Place]:
    places: list[_Place] = []
    for order, finding in enumerate(findings):
        edit = finding.edit
        if edit is None:
            continue
        start = body.find(edit.find)
        # Overlapping occurrences count too: "aa" stands twice in "aaa".
        if start >= 0 and body.find(edit.find, start + 1) < 0:
            places.append(_Place(start, start + len(edit.find), order, edit.replace))
    chosen: list[_Place] = []
    for place in sorted(places, key=lambda p: (p.start, p.start - p.end, p.order)):
        if not chosen or place.start >= chosen[-1].end:
            chosen.append(place)
    return chosen


def note(finding: ReviewFinding) -> str:
    """A finding in one line for people."""
    where = f" ({finding.where})" if finding.where else ""
    text = f"{finding.severity}{where}: {finding.problem}"
    if finding.edit is not None:
        text += f" Proposed: “{finding.edit.find}” → “{finding.edit.replace}”, not applied."
    return text
