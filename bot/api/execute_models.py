"""What `/api/execute` takes and answers."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationError, field_validator

from bot.api.errors import field_errors, invalid, wrong
from bot.api.execute_strategy import Strategy
from bot.api.json_values import Text, clean_text
from bot.intake import MAX_TEXT
from orchestrator.artifacts import MadeFile, Source
from orchestrator.events import Engine, Priority

MAX_POINTS: Final = 100  # constraints, or criteria of success
WAIT_S: Final = 600.0  # a call waits this long if it does not say otherwise
Status = Literal["pending", "running", "completed", "failed"]
Points = Annotated[list[Annotated[Text, Field(max_length=4_000)]], Field(max_length=MAX_POINTS)]


class GoalIn(BaseModel):
    """A goal in parts. Further fields are ignored."""

    title: Text = Field(min_length=1, max_length=1_000, examples=["Explain what Quartet is"])
    description: Text = Field(default="", max_length=MAX_TEXT // 2)
    constraints: Points = Field(
        default_factory=list[str], description="what has to be kept to; a text counts as one"
    )
    success_criteria: Points = Field(
        default_factory=list[str], description="how one sees that it is reached; a text counts as one"
    )

    @field_validator("title")
    @classmethod
    def _said(cls, title: str) -> str:
        return _not_empty(title)

    @field_validator("description", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return "" if value is None else value

    @field_validator("constraints", "success_criteria", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        if value is None:
            return []
        return [value] if isinstance(value, str) else value

    def text(self) -> str:
        """The goal as agents read it."""
        parts = [self.title.strip(), self.description.strip()]
        for title, points in (("Constraints", self.constraints), ("Success criteria", self.success_criteria)):
            said = [f"- {point.strip()}" for point in points if point.strip()]
            if said:
                parts.append("\n".join([f"{title}:", *said]))
        return "\n\n".join(part for part in parts if part)


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty: say what is to be reached")
    return text


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "text"
    return "parts" if isinstance(value, dict | GoalIn) else None


Goal = Annotated[
    Annotated[Text, Field(min_length=1, max_length=MAX_TEXT), Tag("text")] | Annotated[GoalIn, Tag("parts")],
    Discriminator(
        _kind,
        custom_error_type="goal",
        custom_error_message="a text is due, or an object with `title` (description, constraints, …)",
    ),
]


class ExecuteIn(BaseModel):
    """A goal to be reached. Fields that are not named here are ignored."""

    goal: Goal = Field(examples=["What is Quartet?"])
    strategy: Strategy = Field(default="simple", description="how many tasks at once, and which models")
    timeout_s: float = Field(
        default=WAIT_S, ge=0, le=3600, description="how long this call waits for the end; then it answers 202"
    )

    @field_validator("goal")
    @classmethod
    def _said(cls, goal: str | GoalIn) -> str | GoalIn:
        return _not_empty(goal) if isinstance(goal, str) else goal

    @field_validator("timeout_s", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("a number of seconds is due")  # noqa: TRY004 - pydantic wants ValueError
        return value


def read_goal(text: str) -> str | GoalIn:
    """The goal of a stream's address: text, or JSON of an object with the parts (or of a text).

    Raises:
        ProblemError: 422.
    """
    try:
        clean_text(text)
        given: Any = json.loads(text) if text.lstrip()[:1] in ("{", "[", '"') else text
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{"):
            said = f"begins like a JSON object and is none: {error.msg} at character {error.pos + 1}"
            raise wrong("goal", f"{said}; mend it, or send plain words") from error
        given = text  # words that only begin like JSON
    except (ValueError, RecursionError) as error:
        said = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise wrong("goal", said) from error
    try:
        return ExecuteIn.model_validate({"goal": given}).goal
    except ValidationError as error:
        raise invalid(field_errors(cast("list[Any]", error.errors()))) from error


# ── answers ──────────────────────────────────────────────────────────────────────────────────


class PlanStep(BaseModel):
    """A task of the plan."""

    id: str
    title: str
    description: str = Field(description="how one sees that it is done, and what it depends on")
    status: Status


class PlanOut(BaseModel):
    """What is going to be done."""

    strategy: Strategy
    parallelism: int = Field(ge=1, description="tasks that are worked on at once, at most")
    title: str = Field(description="the goal as the planner understood it; before that, its first words")
    summary: str
    steps: list[PlanStep] = Field(description="empty until the planner is done")


class TaskOut(BaseModel):
    """One agent's step; a step that is tried again stays one."""

    id: str = Field(description="`node:visit`")
    name: str
    tool: str = Field(description="name of the agent; empty until one is chosen")
    status: Status
    priority: Priority


class Execution(BaseModel):
    """A goal on its way. Names are those that clients of this kind of route know."""

    id: str
    runId: str = Field(description="the run in `/v1/runs`; there it can be stopped")
    status: Status = Field(description="stopped, rejected and expired runs are failed; `error` says which")
    executionTime: int = Field(ge=0, description="milliseconds from its start until now, or to its end")
    tokensUsed: int = Field(ge=0, description="of all model calls, input and output")
    goal: str | GoalIn = Field(description="as it was sent")
    plan: PlanOut
    tasks: list[TaskOut]
    engine: Engine = Field(description="`rules`: no language model worked")
    cost: float | None = Field(description="US dollars; null: no price is known")
    error: str | None = Field(description="why it failed")
    createdAt: datetime
    startedAt: datetime | None
    completedAt: datetime | None


class Outcome(BaseModel):
    """An execution, and what came of it."""

    execution: Execution
    result: str | None = Field(description="the answer in Markdown; untrusted. null: there is none (yet)")
    files: list[MadeFile] = Field(default_factory=list[MadeFile], description="that agents made")
    sources: list[Source] = Field(
        default_factory=list[Source], description="to which [n] in the result refers"
    )
