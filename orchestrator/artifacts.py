"""What agents hand to each other: brief → plan → draft → review. Typed, frozen, JSON.

These are the models' output types too, so each field's description is read by models.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Artifact(BaseModel):
    """Base of the hand-overs: frozen, unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Artifact):
    """Where a claim comes from."""

    id: int = Field(ge=1, description="number by which findings and the answer refer to it: [1]")
    title: str
    url: str = Field(description="http(s) address, or path in the knowledge folder")
    quoted: str = Field(description="the words of the source that carry the claim, verbatim")


class Finding(Artifact):
    """One claim with the sources that carry it."""

    claim: str
    source_ids: list[int] = Field(default_factory=list, description="empty: the claim is unsourced")


class ResearchBrief(Artifact):
    """What the researcher found."""

    summary: str
    findings: list[Finding] = Field(default_factory=list[Finding])
    sources: list[Source] = Field(default_factory=list[Source])
    gaps: list[str] = Field(default_factory=list, description="what could not be found out")


class PlanTask(Artifact):
    """One task of a plan."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")
    title: str = Field(min_length=1)
    depends_on: list[str] = Field(default_factory=list)
    acceptance: str = Field(default="", description="how one sees that it is done")


class Plan(Artifact):
    """What is going to be built."""

    goal: str = Field(min_length=1)
    outline: list[str] = Field(default_factory=list, description="sections of the answer, in order")
    tasks: list[PlanTask] = Field(min_length=1)
    risks: list[str] = Field(default_factory=list)


class MadeFile(Artifact):
    """A text file made by an agent."""

    name: str
    media_type: str = "text/plain"
    text: str


class TaskResult(Artifact):
    """What became of one task of the plan."""

    task_id: str
    done: bool
    note: str = ""


class Draft(Artifact):
    """The answer as the builder wrote it."""

    body: str = Field(description="the whole answer in Markdown, with [n] after sourced claims")
    files: list[MadeFile] = Field(default_factory=list[MadeFile])
    task_results: list[TaskResult] = Field(default_factory=list[TaskResult])


class Edit(Artifact):
    """An exact replacement; applied only where `find` occurs once."""

    find: str = Field(min_length=1)
    replace: str


class ReviewFinding(Artifact):
    """One remark of the reviewer."""

    severity: Literal["minor", "major", "critical"]
    where: str
    problem: str
    edit: Edit | None = None


class Review(Artifact):
    """The reviewer's judgement."""

    score: float = Field(ge=0, le=10)
    findings: list[ReviewFinding] = Field(default_factory=list[ReviewFinding])
    verdict: Literal["accept", "revise"]


class Reviewed(Review):
    """A review as the log keeps it; `repeated` is worked out by us, not by the model."""

    repeated: bool = False  # nothing but findings that an earlier review of this run had


class Answer(Artifact):
    """What the person gets at the end."""

    body: str  # Markdown, the reviewer's edits merged
    sources: list[Source] = Field(default_factory=list[Source])
    notes: list[str] = Field(default_factory=list)  # review notes that were not merged
    merged: int = 0  # how many of the reviewer's edits were applied
    score: float | None = None
    files: list[MadeFile] = Field(default_factory=list[MadeFile])


ARTIFACTS: dict[str, type[Artifact]] = {
    "ResearchBrief": ResearchBrief,
    "Plan": Plan,
    "Draft": Draft,
    "Review": Review,
}
"""Output types that an agent's file may name."""
