"""A plan as a form that people fill in, and back. Pure.

Tasks are lines a person can read: `draft. Write the draft :: has three sections [after outline]`.
What a person leaves alone stays exactly as it was, even where such a line could be read otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from pydantic import ValidationError

from adapters.contract import Form, FormField
from bot.form_errors import MAX_FIELD, FormErrors
from orchestrator.artifacts import Plan, PlanTask
from orchestrator.events import Json

TASK = re.compile(
    r"^(?:(?P<id>[A-Za-z0-9_-]{1,40})\.\s+)?(?P<title>.+?)"
    r"(?:\s+::\s+(?P<acceptance>.*?))?(?:\s+\[after (?P<after>[^\[\]]*)\])?$"
)
HINT = "One task a line:  id. Title :: how one sees that it is done [after other-id, …]"
MAX_TITLE = 300  # characters of a task that a person writes


def plan_form(approval_id: str, plan: Plan) -> Form:
    """The form behind Edit for a plan."""
    return Form(
        id=f"edit:{approval_id}",
        title="Edit the plan",
        fields=(
            _field("goal", "Goal", _line(plan.goal), multiline=False),
            _field("outline", "Outline", _text(plan.outline), hint="One section a line", required=False),
            _field("tasks", "Tasks", "\n".join(task_line(t) for t in plan.tasks), hint=HINT),
            _field("risks", "Risks", _text(plan.risks), hint="One a line", required=False),
        ),
        submit="Approve with edits",
        note="What you send is what the builder gets.",
    )


def _field(
    name: str, label: str, value: str, *, hint: str = "", multiline: bool = True, required: bool = True
) -> FormField:
    return FormField(
        name=name,
        label=label,
        value=value,
        hint=hint,
        multiline=multiline,
        required=required,
        max_length=max(MAX_FIELD, len(value) + 2_000),  # what was shown can be sent back
    )


def edited_plan(before: Plan, values: Mapping[str, str], errors: dict[str, str]) -> Json:
    """What a sent form means.

    Args:
        before: the plan that the form began with.
        values: by field.
        errors: what was found to be wrong already, by field.

    Raises:
        FormErrors: by field, each saying how to mend it.
    """
    goal = _line(values.get("goal", ""))
    if not goal and "goal" not in errors:
        errors["goal"] = "say what the plan is for"
    tasks: list[PlanTask] = []
    try:
        if "tasks" not in errors:
            tasks = read_tasks(values.get("tasks", ""), before.tasks)
    except ValueError as error:
        errors["tasks"] = str(error)
    if errors:
        raise FormErrors(errors)
    plan = Plan(
        goal=before.goal if goal == _line(before.goal) else goal,
        outline=_kept(before.outline, values.get("outline", "")),
        tasks=tasks,
        risks=_kept(before.risks, values.get("risks", "")),
    )
    return plan.model_dump(mode="json")


def check_plan(plan: Plan) -> str:
    """What is wrong with a plan's tasks; "" if nothing."""
    ids = Counter(t.id for t in plan.tasks)
    double, times = ids.most_common(1)[0]
    if times > 1:
        return f"two tasks are called {double!r}: give one of them another id"
    for task in plan.tasks:
        for needed in task.depends_on:
            if needed not in ids:
                known = ", ".join(list(ids)[:20])
                return f"task {task.id!r} comes after {needed!r}, which is not a task; tasks are {known}"
    try:
        TopologicalSorter({t.id: t.depends_on for t in plan.tasks}).prepare()
    except CycleError as error:
        circle: list[str] = sorted(set(error.args[1]))
        return f"tasks wait for each other: {', '.join(circle[:20])}"
    return ""


def task_line(task: PlanTask) -> str:
    """A task as one line."""
    text = f"{task.id}. {_line(task.title)}"
    if task.acceptance:
        text += f" :: {_line(task.acceptance)}"
    if task.depends_on:
        text += f" [after {', '.join(task.depends_on)}]"
    return text


def read_tasks(text: str, before: Sequence[PlanTask] = ()) -> list[PlanTask]:
    """Tasks from lines. Lines without an id get one.

    Args:
        text: as a person sent it.
        before: the tasks that the form began with; a line that is still there means the same task.

    Raises:
        ValueError: says which line and how to mend it.
    """
    tasks: list[PlanTask] = []
    known = {_line(task_line(t)): t for t in before}
    lines = _lines(text)
    given = {t.id for line, t in known.items() if line in lines}
    matches = [TASK.match(line) for line in lines]
    given |= {m["id"] for m in matches if m and m["id"]}
    for number, (line, match) in enumerate(zip(lines, matches, strict=True), start=1):
        if line in known:
            tasks.append(known[line])
            continue
        if match is None or not match["title"].strip():
            raise ValueError(f"line {number} is not a task. {HINT}")
        if not any(c.isalnum() for c in match["title"]):
            raise ValueError(f"line {number} says nothing: a task needs words. {HINT}")
        if len(match["title"].strip()) > MAX_TITLE:
            raise ValueError(
                f"line {number}: a task's title has at most {MAX_TITLE} characters; the rest goes after ::"
            )
        after = [a.strip() for a in (match["after"] or "").split(",") if a.strip()]
        try:
            tasks.append(
                PlanTask(
                    id=match["id"] or _free_id(number, given),
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


def _free_id(number: int, given: set[str]) -> str:
    while (name := f"task-{number}") in given:
        number += 1
    given.add(name)
    return name


def _text(lines: Sequence[str]) -> str:
    return "\n".join(map(_line, lines))


def _kept(before: list[str], text: str) -> list[str]:
    """The lines that were sent; exactly those from before where a person changed nothing."""
    lines = _lines(text)
    return before if lines == _lines(_text(before)) else lines


def _line(text: str) -> str:
    return " ".join(text.split())


def _lines(text: str) -> list[str]:
    return [line for raw in text.splitlines() if (line := _line(raw))]
