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


class Issue(Artifact):
    """One thing that an agent found."""

    severity: Literal["info", "minor", "major", "critical"]
    where: str = Field(default="", description="file, component or place")
    problem: str = Field(min_length=1)
    remedy: str = Field(default="", description="what to do about it")


class Report(Artifact):
    """What an agent made or found out, for any kind of work: text, findings, files, and how it came out."""

    body: str = Field(description="the whole result in Markdown")
    outcome: str = Field(
        default="done", description="how it came out, in one word of those that were offered"
    )
    issues: list[Issue] = Field(default_factory=list[Issue])
    items: list[str] = Field(
        default_factory=list, description="the parts of it that others work on one by one"
    )
    files: list[MadeFile] = Field(default_factory=list[MadeFile])


class Member(Artifact):
    """One member of a team."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$", description="short, unique in the team")
    agent: str = Field(description="the agent that plays it: one of those that were offered")
    role: str = Field(min_length=1, description="what this member is for, in a few words")
    instructions: str = Field(min_length=1)
    tools: list[str] = Field(
        default_factory=list, description="of those that its agent has; empty: all of them"
    )


class TeamPlan(Artifact):
    """Who works together on a task, and how they take turns."""

    goal: str = Field(min_length=1)
    members: list[Member] = Field(min_length=1, max_length=8)
    speaking: Literal["in_turn", "as_needed"] = Field(
        default="as_needed",
        description="in_turn: in the order of the list; as_needed: the coordinator chooses",
    )
    rounds: int = Field(default=6, ge=1, le=100, description="turns of members at most")
    done_when: str = Field(default="", description="how the team sees that it is done")


PERSON = "user"  # in a team: the person who asked; a coordinator delegates to it to ask something


class Delegation(Artifact):
    """Who works next and on what, or that it is done."""

    member: str = Field(default="", description="name of the member or agent who works next; empty when done")
    task: str = Field(default="", description="what they are to do now, complete in itself")
    done: bool = Field(description="true: nothing is left to delegate")
    reason: str = ""


class WorkflowDraft(Artifact):
    """A workflow drafted from plain words."""

    yaml: str = Field(description="the whole definition in YAML")
    explanation: str = Field(description="what it does, step by step, for the person who asked")
    schedule: str = Field(
        default="", description="cron expression in five fields when it is to run by the clock"
    )
    time_zone: str = Field(
        default="", description="IANA name, such as Europe/Berlin; empty: the bot's default"
    )


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
    "Report": Report,
    "TeamPlan": TeamPlan,
    "Delegation": Delegation,
    "WorkflowDraft": WorkflowDraft,
}
"""Output types that an agent's file may name."""
