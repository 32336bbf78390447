"""A plan as a form that people fill in, and back. Pure.

Tasks are lines a person can read: `draft. Write the draft :: has three sections [after outline]`.
What a person leaves alone stays exactly as it was, even where such a line could be read otherwise.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
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
MAX_TITLE = 300  # characters of a task that a person writes
MAX_FIELD = 20_000  # characters; more only where the form itself begins with more
MAX_DEPTH = 40  # of JSON


class FormErrors(Exception):
    """What is wrong, by field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


def edit_form(asked: ApprovalRequested) -> Form:
    """The form behind Edit: a plan in plain lines, anything else as JSON."""
    form_id = f"edit:{asked.approval_id}"
    plan = _plan(asked)
    if plan is None:
        text = json.dumps(asked.arguments, indent=2, ensure_ascii=False)
        return Form(
            id=form_id,
            title="Edit",
            fields=(_field("json", "Arguments (JSON)", text),),
            submit="Approve with edits",
        )
    return Form(
        id=form_id,
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
    limits = {field.name: field.max_length for field in edit_form(asked).fields}
    errors: dict[str, str] = {}
    for name, value in values.items():
        limit = limits.get(name, MAX_FIELD)
        if len(value) > limit:
            errors[name] = f"too long: at most {limit:,} characters"
    before = _plan(asked)
    if before is None:
        if errors:
            raise FormErrors(errors)
        return _json(asked, values.get("json", ""))
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


def _json(asked: ApprovalRequested, text: str) -> Json:
    try:
        value: Any = json.loads(text, parse_constant=_no_number, parse_float=_number)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except RecursionError as error:
        raise FormErrors({"json": "nested too deeply"}) from error
    except ValueError as error:
        raise FormErrors({"json": f"not JSON: {str(error)[:200]}"}) from error
    if not isinstance(value, dict):
        raise FormErrors({"json": "an object is needed: { … }"})
    arguments = cast("Json", value)
    foreign = sorted(arguments.keys() ^ asked.arguments.keys())
    if foreign:
        raise FormErrors({"json": f"keys stay as they are; check {foreign[0][:100]!r}"})
    if not _is_shallow(value, MAX_DEPTH):
        raise FormErrors({"json": f"nested too deeply: at most {MAX_DEPTH} levels"})
    return arguments


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _is_shallow(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels > 0 and all(_is_shallow(v, levels - 1) for v in cast("Json", value).values())
    if isinstance(value, list):
        return levels > 0 and all(_is_shallow(v, levels - 1) for v in cast("list[Any]", value))
    return True


def _plan(asked: ApprovalRequested) -> Plan | None:
    try:
        return Plan.model_validate(asked.arguments)
    except ValidationError:
        return None


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
