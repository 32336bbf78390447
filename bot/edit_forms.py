"""The forms behind a question's buttons, and what comes back of them. Pure.

A plan is edited in plain lines (`plan_form`), a hand-over that is a text as that text, anything else as JSON
that has to stay of its kind. What a person leaves alone stays exactly as it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import ValidationError

from adapters.contract import Form, FormField
from bot.approval_cards import default_answer, question_of
from bot.artifact_parts import artifact_of
from bot.form_errors import MAX_FIELD, FormErrors, too_long
from bot.plan_form import edited_plan, plan_form
from bot.team_cards import edited_team, team_fields
from orchestrator.artifacts import Artifact, Draft, Plan, Report, TeamPlan, WorkflowDraft
from orchestrator.events import ApprovalRequested, Json

MAX_ANSWER: Final = 20_000  # characters of an answer to a question
MAX_DEPTH: Final = 40  # of JSON
# Hand-overs that are edited as one text: which field it is, and what people call it.
_TEXTS: Final[dict[type[Artifact], tuple[str, str]]] = {
    Report: ("body", "The text (Markdown)"),
    Draft: ("body", "The text (Markdown)"),
    WorkflowDraft: ("yaml", "The workflow (YAML)"),
}


def answer_form(asked: ApprovalRequested) -> Form:
    """The form behind Answer: one field for the words."""
    field = FormField(
        name="text",
        label="Your answer",
        value=default_answer(asked) or "",
        multiline=True,
        max_length=MAX_ANSWER,
    )
    return Form(id=f"answer:{asked.approval_id}", title="Answer", fields=(field,), note=question_of(asked))


def changes_form(asked: ApprovalRequested) -> Form:
    """The form behind Ask for changes."""
    field = FormField(name="comment", label="What should be different?", multiline=True, max_length=4_000)
    submit = "Plan again" if isinstance(artifact_of(asked.arguments), Plan) else "Send back"
    return Form(id=f"changes:{asked.approval_id}", title="Ask for changes", fields=(field,), submit=submit)


def edit_form(asked: ApprovalRequested) -> Form:
    """The form behind Edit: a plan in plain lines, a text as text, anything else as JSON."""
    found = artifact_of(asked.arguments)
    if isinstance(found, Plan):
        return plan_form(asked.approval_id, found)
    if isinstance(found, TeamPlan):
        fields = team_fields(asked.arguments) or ()
        return Form(
            id=f"edit:{asked.approval_id}", title="Edit the team", fields=fields, submit="Approve with edits"
        )
    name, label, text, note = "json", "Arguments (JSON)", "", ""
    if found is not None and type(found) in _TEXTS:
        name, label = _TEXTS[type(found)]
        text = str(asked.arguments[name])
        others = [key for key, value in asked.arguments.items() if key != name and value]
        note = f"What else belongs to it stays as it is: {', '.join(others)}." if others else ""
    else:
        text = json.dumps(asked.arguments, indent=2, ensure_ascii=False)
    field = FormField(
        name=name,
        label=label,
        value=text,
        multiline=True,
        max_length=max(MAX_FIELD, len(text) + 2_000),  # what was shown can be sent back
    )
    return Form(
        id=f"edit:{asked.approval_id}", title="Edit", fields=(field,), submit="Approve with edits", note=note
    )


def edited_arguments(asked: ApprovalRequested, values: Mapping[str, str]) -> Json:
    """What a sent Edit form means.

    Raises:
        FormErrors: by field, each saying how to mend it.
    """
    errors = too_long(edit_form(asked), values)
    found = artifact_of(asked.arguments)
    if isinstance(found, Plan):
        return edited_plan(found, values, errors)
    if isinstance(found, TeamPlan):
        team, wrong = edited_team(asked.arguments, values)
        if team is None:
            raise FormErrors(wrong)
        return team
    if errors:
        raise FormErrors(errors)
    if found is not None and type(found) in _TEXTS:
        return _text(asked, _TEXTS[type(found)][0], values)
    arguments = _json(asked, values.get("json", ""))
    if found is not None:
        try:
            return type(found).model_validate(arguments).model_dump(mode="json")
        except ValidationError as error:
            raise FormErrors({"json": _said(error)}) from error
    foreign = sorted(arguments.keys() ^ asked.arguments.keys())
    if foreign:
        raise FormErrors({"json": f"keys stay as they are; check {foreign[0][:100]!r}"})
    return arguments


def answer_given(values: Mapping[str, str]) -> Json:
    """What a sent Answer form means.

    Raises:
        FormErrors: there is no answer in it, or too much.
    """
    text = values.get("text", "").strip()
    if not text:
        raise FormErrors({"text": "write an answer, or press Reject"})
    if len(text) > MAX_ANSWER:
        raise FormErrors({"text": f"too long: at most {MAX_ANSWER:,} characters"})
    return {"text": text}


def _text(asked: ApprovalRequested, name: str, values: Mapping[str, str]) -> Json:
    before = str(asked.arguments[name])
    text = values.get(name, "")
    if not text.strip():
        raise FormErrors({name: "nothing is left of it; write something, or press Reject on the card"})
    # Forms change the ends of lines and trim texts; what was left alone is exactly what it was.
    same = _lines(text) == _lines(before)
    return {**asked.arguments, name: before if same else text.replace("\r\n", "\n")}


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


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
    if not _is_shallow(value, MAX_DEPTH):
        raise FormErrors({"json": f"nested too deeply: at most {MAX_DEPTH} levels"})
    return cast("Json", value)


def _said(error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    where = " › ".join(str(step) for step in first["loc"])
    return f"{where or 'the whole'}: {first['msg']}"[:300]


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
