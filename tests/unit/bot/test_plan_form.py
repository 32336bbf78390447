"""A plan as a form and back: nothing is lost, errors name the line, nothing hostile gets through."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.edit_forms import changes_form, edit_form, edited_arguments
from bot.form_errors import MAX_FIELD, FormErrors
from bot.plan_form import check_plan, read_tasks
from orchestrator.approvals import request
from orchestrator.artifacts import Plan
from orchestrator.events import ApprovalRequested, Json, RunSettings
from orchestrator.workflow import ApprovalNode
from tests.builders import NOW, RUN, plan, task


def asked(arguments: Json) -> ApprovalRequested:
    node = ApprovalNode(kind="approval", of="planner")
    return request(RUN, "ok", 1, node, arguments, RunSettings(), NOW)


def values(question: ApprovalRequested, **changes: str) -> dict[str, str]:
    return {f.name: f.value for f in edit_form(question).fields} | changes


def edited(the_plan: Json, **changes: str) -> Json:
    question = asked(the_plan)
    return edited_arguments(question, values(question, **changes))


def errors(the_plan: Json, **changes: str) -> dict[str, str]:
    with pytest.raises(FormErrors) as caught:
        edited(the_plan, **changes)
    return caught.value.errors


def outcome(before: Json, sent: dict[str, str]) -> tuple[Json | None, dict[str, str]]:
    """What the form means, or what is wrong with it."""
    try:
        return edited_arguments(asked(before), sent), {}
    except FormErrors as error:
        return None, error.errors


THREE = plan(
    "Explain tea",
    task("find", "Find out", acceptance="three sources"),
    task("draft", "Write it", "find"),
    task("check", "Check it", "find", "draft", acceptance="no typos"),
    risks=["time"],
)

# ── there and back ───────────────────────────────────────────────────────────────────────────

TEXT = st.text(min_size=1, max_size=40).filter(lambda t: bool(t.split()))
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)


@st.composite
def plans(draw: st.DrawFn) -> Json:
    ids = draw(st.lists(IDS, min_size=1, max_size=5, unique=True))
    hostile = st.sampled_from(
        ["a :: b", "x [after y]", "1. one", "t1.", "- item", "a\nb", " x ", "<b>", "::", "[after ]"]
    )
    tasks = [
        task(
            name,
            draw(TEXT | hostile),
            *draw(st.lists(st.sampled_from(ids[:i]), unique=True) if i else st.just([])),
            acceptance=draw(st.just("") | TEXT | hostile),
        )
        for i, name in enumerate(ids)
    ]
    lines = st.lists(TEXT | st.just("") | hostile, max_size=4)
    return plan(draw(TEXT), *tasks, outline=draw(lines), risks=draw(lines))


@given(plans())
def test_form_that_is_sent_unchanged_gives_the_plan_back(the_plan: Json) -> None:
    assert edited(the_plan) == the_plan


@given(plans(), TEXT)
def test_change_in_one_field_leaves_the_others_alone(the_plan: Json, goal: str) -> None:
    changed = edited(the_plan, goal=goal)
    assert changed["goal"].split() == goal.split()
    assert {k: v for k, v in changed.items() if k != "goal"} == {
        k: v for k, v in the_plan.items() if k != "goal"
    }


def test_form_shows_tasks_as_lines_that_people_can_read() -> None:
    (goal, outline, tasks, risks) = edit_form(asked(THREE)).fields
    assert goal.value == "Explain tea"
    assert outline.value == "Intro"
    assert tasks.value.splitlines() == [
        "find. Find out :: three sources",
        "draft. Write it [after find]",
        "check. Check it :: no typos [after find, draft]",
    ]
    assert risks.value == "time"
    assert edit_form(asked(THREE)).id == f"edit:{asked(THREE).approval_id}"


def test_platform_line_ends_and_blank_lines_change_nothing() -> None:
    text = values(asked(THREE))["tasks"].replace("\n", "\r\n\r\n  ")
    assert edited(THREE, tasks=f"\n{text}\r\n \t\r\n") == THREE


def test_edited_line_is_read_anew() -> None:
    changed = edited(THREE, tasks="find. Look it up :: two sources\ndraft. Write it [after find]")
    assert changed["tasks"] == [
        task("find", "Look it up", acceptance="two sources"),
        task("draft", "Write it", "find"),
    ]


def test_line_without_an_id_gets_one() -> None:
    found = read_tasks("Buy milk\nsecond. Drink it [after task-1]")
    assert [(t.id, t.depends_on) for t in found] == [("task-1", []), ("second", ["task-1"])]


def test_made_id_does_not_take_one_that_a_person_gave() -> None:
    found = read_tasks("task-2. First\nSecond\nThird")
    assert len({t.id for t in found}) == 3
    assert found[0].id == "task-2"


def test_emptied_optional_fields_are_empty() -> None:
    changed = edited(THREE, outline=" \n ", risks="")
    assert changed["outline"] == []
    assert changed["risks"] == []


# ── what is wrong ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ("", "a plan needs a task"),
        (" \n\t\n", "a plan needs a task"),
        ("a. A\na. B", "two tasks are called 'a'"),
        ("a. A [after b]", "'b', which is not a task; tasks are a"),
        ("a. A [after a]", "wait for each other: a"),
        (":: ::", "line 1 says nothing: a task needs words"),
        ("a. A\nb. … [after a]", "line 2 says nothing"),
        ("a. " + "x" * 301, "line 1: a task's title has at most 300 characters"),
        ("a. A [after b]\nb. B [after a]", "wait for each other: a, b"),
        ("a. A\nb. B [after c]\nc. C [after b]", "wait for each other: b, c"),
    ],
)
def test_wrong_tasks_are_refused_at_their_field(tasks: str, words: str) -> None:
    assert words in errors(THREE, tasks=tasks)["tasks"]


def test_long_title_that_was_there_before_can_be_sent_back() -> None:
    long = plan("Goal", task("a", "x" * 400))
    assert edited(long, goal="New")["tasks"] == long["tasks"]
    assert edited(long, tasks="b. " + "y" * 300 + " :: " + "z" * 400)["tasks"][0]["acceptance"] == "z" * 400


def test_all_wrong_fields_are_told_at_once() -> None:
    found = errors(THREE, goal="  ", tasks="")
    assert set(found) == {"goal", "tasks"}
    found = errors(THREE, goal="", outline="x" * (MAX_FIELD + 1), tasks="one. One [after two]")
    assert set(found) == {"goal", "outline", "tasks"}


def test_missing_fields_are_wrong_fields() -> None:
    with pytest.raises(FormErrors) as caught:
        edited_arguments(asked(THREE), {})
    assert set(caught.value.errors) == {"goal", "tasks"}


@pytest.mark.parametrize("field", ["goal", "outline", "tasks", "risks", "foreign"])
def test_text_that_is_too_long_is_refused_at_its_field(field: str) -> None:
    found = errors(THREE, **{field: "x" * (MAX_FIELD + 1)})
    assert found == {field: "too long: at most 20,000 characters"}


@pytest.mark.parametrize(
    "tasks",
    [
        "<script>alert(1)</script>",
        "a. A :: :: :: [after",
        "\u202etxet desrever",
        "[after x]",
        "﷽" * 500,
        "x" * 20_000,
        "a. " + "b :: " * 3_000,
        "a. " + "[after " * 2_500,
        "a. x" + " [after a" * 2_000 + "]",
        "\n".join(f"t{i}. T" for i in range(2_200)),
        "\n".join(["t"] * 10_000),
        "\n".join([f"t{i}. T [after t{i + 1}]" for i in range(700)] + ["t700. T"]),
        "\n".join(f"t{i}. T [after t{(i + 1) % 700}]" for i in range(700)),
        "a. A [after " + "b, " * 6_000 + "b]",
        "\n".join(["a. A"] * 3_500),
    ],
    ids=lambda t: f"{t[:12]!r}x{len(t)}",
)
def test_hostile_tasks_are_read_or_refused_and_never_hang(tasks: str) -> None:
    begun = time.process_time()
    found, wrong = outcome(THREE, values(asked(THREE), tasks=tasks))
    if found is None:
        assert set(wrong) == {"tasks"}
        assert len(wrong["tasks"]) < 1_000
    else:
        assert check_plan(Plan.model_validate(found)) == ""
    assert time.process_time() - begun < 3.0  # quadratic readers took far longer


@given(
    st.dictionaries(
        st.sampled_from(["goal", "outline", "tasks", "risks", "json", "x"]), st.text(max_size=200)
    )
)
def test_any_form_is_a_sound_plan_or_refused(given_values: dict[str, str]) -> None:
    found, wrong = outcome(THREE, given_values)
    if found is None:
        assert wrong
        assert all(wrong.values())
    else:
        assert check_plan(Plan.model_validate(found)) == ""


def test_plan_cannot_be_smuggled_past_the_form_as_json() -> None:
    forged = json.dumps({"goal": 5, "outline": None, "tasks": "all", "risks": {}})
    assert "goal" in errors(THREE, json=forged, goal="")
    assert edited(THREE, json=forged) == THREE


# ── anything that is not a plan ──────────────────────────────────────────────────────────────

ARGUMENTS: Json = {"command": "deploy", "times": 3}


def test_other_arguments_are_edited_as_json() -> None:
    (field,) = edit_form(asked(ARGUMENTS)).fields
    assert field.name == "json"
    assert json.loads(field.value) == ARGUMENTS
    assert edited(ARGUMENTS, json='{"command": "test", "times": 1}') == {"command": "test", "times": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "an object is needed"),
        ("null", "an object is needed"),
        ('{"command": "x"}', "keys stay as they are; check 'times'"),
        ('{"command": "x", "times": 1, "sudo": true}', "check 'sudo'"),
        ('{"command": NaN, "times": 1}', "NaN"),
        ('{"command": -Infinity, "times": 1}', "Infinity"),
        ('{"command": 1e999, "times": 1}', "number"),
        ('{"command": "\\ud800", "times": 1}', "not JSON"),
        ('{"\\ud800": 1, "times": 1}', "not JSON"),
        ('{"command": ' + "[" * 300 + "]" * 300 + ', "times": 1}', "nested too deeply"),
        ('{"command": ' + "[" * 9_000 + "]" * 9_000 + ', "times": 1}', "nested too deeply"),
        ('{"command": ' + "1" * 5_000 + ', "times": 1}', "4300 digits"),
    ],
    ids=lambda t: t[:24],
)
def test_wrong_json_is_refused_with_the_reason(text: str, words: str) -> None:
    found = errors(ARGUMENTS, json=text)
    assert set(found) == {"json"}
    assert words in found["json"]


def test_missing_json_is_refused_at_its_field() -> None:
    with pytest.raises(FormErrors) as caught:
        edited_arguments(asked(ARGUMENTS), {"goal": "x"})
    assert set(caught.value.errors) == {"json"}


@given(
    st.text(max_size=100)
    | st.recursive(
        st.none() | st.floats() | st.text(), lambda i: st.lists(i) | st.dictionaries(st.text(), i)
    ).map(json.dumps)
)
def test_any_json_text_is_an_object_with_the_same_keys_or_refused(text: str) -> None:
    found, wrong = outcome(ARGUMENTS, {"json": text})
    if found is None:
        assert set(wrong) == {"json"}
    else:
        assert found.keys() == ARGUMENTS.keys()
        assert json.dumps(found, allow_nan=False).encode("ascii")


def test_arguments_that_are_too_long_for_the_form_can_be_sent_back() -> None:
    long = {"body": "x" * 30_000}
    (field,) = edit_form(asked(long)).fields
    assert field.max_length >= len(field.value)
    assert edited(long) == long


def test_ask_for_changes_wants_a_comment() -> None:
    form = changes_form(asked(THREE))
    assert form.id.startswith("changes:")
    (field,) = form.fields
    assert field.name == "comment"
    assert field.required
