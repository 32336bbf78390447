"""A plan as a form that people fill in, and back. Pure.

Tasks are lines a person can read: `draft. Write the draft :: has three sections [after outline]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from adapters.contract import Form, FormField
from orchestrator.artifacts import Plan, PlanTask
from orchestrator.events import ApprovalRequested, Json

TASK = re.compile(
    r"^(?:(?P<id>[A-Za-z0-9_-]{1,40})\.\s+)?(?P<title>.+?)"
    r"(?:\s+::\s+(?P<acceptance>.*?))?(?:\s+\[after (?P<after>[^\[\]]*)\])?$"
)
HINT = "One task a line:  id. Title :: how one sees that it is done [after other-id, …]"
MAX_FIELD = 20_000


class FormErrors(Exception):
    """What is wrong, by field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


def edit_form(asked: ApprovalRequested) -> Form:
    """The form behind Edit: a plan in plain lines, anything else as JSON."""
    form_id = f"edit:{asked.approval_id}"
    try:
        plan = Plan.model_validate(asked.arguments)
    except ValidationError:
        text = json.dumps(asked.arguments, indent=2, ensure_ascii=False)
        field = FormField(
            name="json", label="Arguments (JSON)", value=text, multiline=True, max_length=MAX_FIELD
        )
        return Form(id=form_id, title="Edit", fields=(field,), submit="Approve with edits")
    return Form(
        id=form_id,
        title="Edit the plan",
        fields=(
            FormField(name="goal", label="Goal", value=_line(plan.goal), max_length=2_000),
            FormField(
                name="outline",
                label="Outline",
                hint="One section a line",
                value="\n".join(map(_line, plan.outline)),
                multiline=True,
                required=False,
                max_length=MAX_FIELD,
            ),
            FormField(
                name="tasks",
                label="Tasks",
                hint=HINT,
                value="\n".join(task_line(t) for t in plan.tasks),
                multiline=True,
                max_length=MAX_FIELD,
            ),
            FormField(
                name="risks",
                label="Risks",
                hint="One a line",
                value="\n".join(map(_line, plan.risks)),
                multiline=True,
                required=False,
                max_length=MAX_FIELD,
            ),
        ),
        submit="Approve with edits",
        note="What you send is what the builder gets.",
    )


def changes_form(asked: ApprovalRequested) -> Form:
    """The form behind Ask for changes."""
    field = FormField(name="comment", label="What should be different?", multiline=True, max_length=4_000)
    return Form(
        id=f"changes:{asked.approval_id}", title="Ask for changes", fields=(field,), submit="Plan again"
    )


def edited_arguments(asked: ApprovalRequested, values: Mapping[str, str]) -> Json:
    """What a sent Edit form means.

    Raises:
        FormErrors: by field, each saying how to mend it.
    """
    for name, value in values.items():
        if len(value) > MAX_FIELD:
            raise FormErrors({name: f"too long: at most {MAX_FIELD:,} characters"})
    if "json" in values:
        return _json(asked, values["json"])
    errors: dict[str, str] = {}
    goal = _line(values.get("goal", ""))
    if not goal:
        errors["goal"] = "say what the plan is for"
    tasks: list[PlanTask] = []
    try:
        tasks = read_tasks(values.get("tasks", ""))
    except ValueError as error:
        errors["tasks"] = str(error)
    if errors:
        raise FormErrors(errors)
    plan = Plan(
        goal=goal,
        outline=_lines(values.get("outline", "")),
        tasks=tasks,
        risks=_lines(values.get("risks", "")),
    )
    return plan.model_dump(mode="json")


def check_plan(plan: Plan) -> str:
    """What is wrong with a plan's tasks; "" if nothing."""
    ids = [t.id for t in plan.tasks]
    doubles = sorted({i for i in ids if ids.count(i) > 1})
    if doubles:
        return f"two tasks are called {doubles[0]!r}: give one of them another id"
    for task in plan.tasks:
        for needed in task.depends_on:
            if needed not in ids:
                known = ", ".join(ids)
                return f"task {task.id!r} comes after {needed!r}, which is not a task; tasks are {known}"
    left = {t.id: set(t.depends_on) for t in plan.tasks}
    while ready := [i for i, needs in left.items() if not needs & left.keys()]:
        for i in ready:
            del left[i]
    if left:
        return f"tasks wait for each other: {', '.join(left)}"
    return ""


def task_line(task: PlanTask) -> str:
    """A task as one line."""
    text = f"{task.id}. {_line(task.title)}"
    if task.acceptance:
        text += f" :: {_line(task.acceptance)}"
    if task.depends_on:
        text += f" [after {', '.join(task.depends_on)}]"
    return text


def read_tasks(text: str) -> list[PlanTask]:
    """Tasks from lines. Lines without an id get one.

    Raises:
        ValueError: says which line and how to mend it.
    """
    tasks: list[PlanTask] = []
    for number, line in enumerate(_lines(text), start=1):
        match = TASK.match(line)
        if match is None or not match["title"].strip():
            raise ValueError(f"line {number} is not a task. {HINT}")
        after = [a.strip() for a in (match["after"] or "").split(",") if a.strip()]
        try:
            tasks.append(
                PlanTask(
                    id=match["id"] or f"task-{number}",
                    title=match["title"].strip(),
                    acceptance=(match["acceptance"] or "").strip(),
                    depends_on=after,
                )
            )
        except ValidationError as error:
            raise ValueError(f"line {number}: {error.errors()[0]['msg']}") from error
    if not tasks:
        raise ValueError(f"a plan needs a task. {HINT}")
    wrong = check_plan(Plan(goal="-", tasks=tasks))
    if wrong:
        raise ValueError(wrong)
    return tasks


def _json(asked: ApprovalRequested, text: str) -> Json:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormErrors({"json": f"not JSON: {error}"}) from error
    if not isinstance(value, dict):
        raise FormErrors({"json": "an object is needed: { … }"})
    arguments = cast("Json", value)
    foreign = sorted(arguments.keys() ^ asked.arguments.keys())
    if foreign:
        raise FormErrors({"json": f"keys stay as they are; check {foreign[0]!r}"})
    return arguments


def _line(text: str) -> str:
    return " ".join(text.split())


def _lines(text: str) -> list[str]:
    return [line for raw in text.splitlines() if (line := _line(raw))]
