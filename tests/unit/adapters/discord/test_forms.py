"""Forms as modals: they fit or say that they do not, and what comes back is what stood there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from adapters.contract import Form, FormField
from adapters.discord.forms import (
    FormTooLarge,
    FormUnreadable,
    ask_form,
    draw_form,
    errors_note,
    read_form,
)
from adapters.plain import clean_text
from tests.unit.adapters.discord.drawing import (
    Json,
    buttons,
    check,
    components,
    rings,
    seen,
    units,
    values,
    violations,
)
from tests.unit.adapters.strategies import forms


def check_modal(modal: Json) -> None:
    """Discord's description, and the limits that it leaves to words."""
    assert violations("POST", "/interactions/1/token/callback", {"type": 9, "data": modal}) == []
    assert 1 <= len(modal["components"]) <= 5
    assert units(modal["title"]) <= 45
    ids = [part["custom_id"] for part in components(modal["components"]) if "custom_id" in part]
    assert len(set(ids)) == len(ids)
    for part in components(modal["components"]):
        assert units(part.get("label") or "") <= 45
        assert units(part.get("description") or "") <= 100
        assert units(part.get("value") or "") <= part.get("max_length", 4_000) <= 4_000
        given_values = [option["value"] for option in part.get("options", ())]
        assert len(set(given_values)) == len(given_values) <= 25
        assert all(units(option["label"]) <= 100 for option in part.get("options", ()))


def sent(modal: Json, typed: Mapping[str, str] | None = None) -> Json:
    """The modal as it comes back when a person sends it, with what they typed over the inputs."""
    back: list[Json] = []
    for number, (custom_id, value) in enumerate(values(modal).items()):
        given_value = (typed or {}).get(custom_id, value)
        one: Json = {"custom_id": custom_id, "id": number + 1}
        one |= {"type": 3, "values": value} if isinstance(value, list) else {"type": 4, "value": given_value}
        back.append({"type": 18, "id": 50 + number, "component": one})
    return {"custom_id": modal["custom_id"], "components": back}


def form(*fields: FormField, **more: Any) -> Form:
    return Form.model_validate({"id": "edit:a1", "title": "Edit the plan", "fields": fields, **more})


# ── drawing ──────────────────────────────────────────────────────────────────────────────────


def test_a_form_as_a_modal(snapshot: SnapshotAssertion) -> None:
    fields = (
        FormField(name="goal", label="Goal", value="Cross"),
        FormField(name="tasks", label="Tasks", value="a\nb", hint="One a line " * 30, multiline=True),
        FormField(
            name="tone", label="Tone", value="dry", required=False, choices=(("", "Usual"), ("dry", "Dry"))
        ),
    )
    modal = draw_form(form(*fields, note="What you send is what the builder gets, <@1>."))
    check_modal(modal)
    assert modal == snapshot


TEXT = st.one_of(st.text(max_size=60), st.text(max_size=40).map(lambda text: text * 300))


@settings(deadline=None, max_examples=200)
@given(given_form=forms(TEXT))
def test_every_form_fits_or_is_refused_in_words_and_comes_back_unchanged(given_form: Form) -> None:
    try:
        modal = draw_form(given_form)
    except FormTooLarge as error:
        assert "web page" in str(error)  # noqa: PT017 - only if it is refused
        return
    check_modal(modal)
    form_id, found = read_form(sent(modal))
    assert form_id == clean_text(given_form.id)
    assert found == {field.name: clean_text(field.value) for field in given_form.fields}


LINES = st.lists(st.text(alphabet="ab 漢😀", max_size=900), max_size=30).map("\n".join)


@settings(deadline=None)
@given(value=st.one_of(LINES, st.text(alphabet="ab \n\t😀", max_size=200).map(lambda text: text * 60)))
@example(value="x" * 18_000)
@example(value=("- a step\n  - below it\n\n") * 600)
@example(value="\n" * 17_000)
@example(value="😀" * 9_000)
def test_long_texts_stand_in_several_inputs_and_come_back_exactly(value: str) -> None:
    value = value[:9_000] if "😀" in value else value[:18_000]
    modal = draw_form(form(FormField(name="tasks", label="Tasks", value=value, multiline=True)))
    check_modal(modal)
    assert read_form(sent(modal)) == ("edit:a1", {"tasks": value})


def test_a_long_plan_survives_an_input_that_trims() -> None:
    value = "\n".join(f"t{n}. Do the thing number {n} :: it is done [after t{n - 1}]" for n in range(110))
    assert len(value) > 5_000
    goal = FormField(name="goal", label="Goal", value="Cross")
    modal = draw_form(form(goal, FormField(name="tasks", label="Tasks", value=value, multiline=True)))
    check_modal(modal)
    assert list(values(modal)) == ["f:goal", "f:tasks", "f:tasks:2"]
    assert modal["components"][2]["label"] == "Tasks (part 2)"
    assert modal["components"][2]["component"]["required"] is False
    trimmed = {custom_id: text.strip() for custom_id, text in values(modal).items()}
    assert read_form(sent(modal, trimmed))[1] == {"goal": "Cross", "tasks": value}


def test_an_emptied_part_leaves_no_line_behind() -> None:
    value = "\n".join(f"line {n} " + "x" * 90 for n in range(90))
    modal = draw_form(form(FormField(name="tasks", label="Tasks", value=value, multiline=True)))
    parts = values(modal)
    assert len(parts) == 3
    emptied = read_form(sent(modal, {"f:tasks:2": ""}))[1]
    assert emptied == {"tasks": f"{parts['f:tasks']}\n{parts['f:tasks:3']}"}


def test_what_was_typed_stands_there_again() -> None:
    fields = (FormField(name="goal", label="Goal", value="Cross"), FormField(name="b", label="B", value="x"))
    modal = draw_form(form(*fields), {"goal": "Swim\nover", "elsewhere": "y"})
    check_modal(modal)
    assert values(modal) == {"f:goal": "Swim\nover", "f:b": "x"}
    assert modal["components"][0]["component"]["style"] == 2


@pytest.mark.parametrize(
    "given_form",
    [
        form(FormField(name="plan", label="Plan", value="x" * 40_000)),
        form(*(FormField(name=f"f{n}", label="F", multiline=True) for n in range(6))),
        form(*(FormField(name=f"f{n}", label="F", value="x" * 900) for n in range(6))),
        form(*(FormField(name=f"f = {n}", label="F") for n in range(6))),
        form(FormField(name="n" * 100, label="F")),
        form(id="x" * 100),
        form(FormField(name="a", label="A", value="x" * 5_000), FormField(name="a:2+", label="B")),
    ],
)
def test_a_form_that_cannot_fit_says_what_to_do_instead(given_form: Form) -> None:
    with pytest.raises(FormTooLarge, match=r"Ask for changes|/quartet settings"):
        draw_form(given_form)


def test_a_form_of_many_short_fields_shows_the_rest_as_lines(snapshot: SnapshotAssertion) -> None:
    choices = (("", "default: ask"), ("ask", "ask"), ("auto", "auto"))
    fields = (
        FormField(name="workflow", label="Workflow", value="quartet", choices=(("quartet", "quartet"),)),
        FormField(name="approvals", label="Approvals", value="ask", choices=choices),
        FormField(name="approvers", label="Approvers", value="discord:1", hint="Keys.", required=False),
        FormField(name="busy", label="When busy", value="queue", choices=(("queue", "queue"),)),
        FormField(name="verbosity", label="How much", value="", choices=(("", "default"), ("full", "full"))),
        FormField(name="language", label="Language", value="", hint="Such as <@1>.", required=False),
        FormField(name="tools", label="Tools", value="all", required=False),
    )
    note = "Of the channel #general, <#100000000000000002>."
    modal = draw_form(form(*fields, id="settings:x", title="Settings", note=note))
    check_modal(modal)
    assert modal == snapshot
    wanted = {field.name: field.value for field in fields}
    assert read_form(sent(modal)) == ("settings:x", wanted)
    typed = "language = Deutsch = ja\n\n  tools=\n"
    found = read_form(sent(modal, {"l:lines": typed}))[1]
    assert found["language"] == "Deutsch = ja"
    assert found["tools"] == ""
    assert "approvers" not in found
    with pytest.raises(FormUnreadable, match=r"'nonsense' .* NAME = VALUE"):
        read_form(sent(modal, {"l:lines": "nonsense"}))


def test_more_choices_than_discord_shows_are_typed() -> None:
    choices = tuple((f"w{n}", f"Workflow {n}") for n in range(26))
    modal = draw_form(form(FormField(name="w", label="W", value="w3", choices=choices)))
    check_modal(modal)
    assert modal["components"][0]["component"]["type"] == 4
    assert values(modal) == {"f:w": "w3"}


def test_choices_come_back_as_values_and_the_empty_one_as_empty() -> None:
    fields = (
        FormField(name="tone", label="Tone", value="", choices=(("", "Usual"), ("dry", "Dry"))),
        FormField(name="size", label="Size", value="none of them", choices=(("s", "Small"), ("s", "Twice"))),
    )
    modal = draw_form(form(*fields))
    check_modal(modal)
    assert values(modal) == {"f:tone": ["quartet:empty"], "f:size": []}
    assert read_form(sent(modal))[1] == {"tone": "", "size": ""}


def test_a_note_without_room_stands_beside_the_first_field() -> None:
    fields = tuple(FormField(name=f"f{n}", label="F", value="x") for n in range(5))
    modal = draw_form(form(*fields, note="Mind the gap."))
    check_modal(modal)
    assert modal["components"][0]["description"] == "Mind the gap."


def test_texts_that_cannot_be_seen_leave_no_empty_texts() -> None:
    odd = "\x1b\x00\u200b \u2060"
    fields = (
        FormField(name="a", label=odd, value=odd, hint=odd),
        FormField(name="b", label=odd, hint=odd, choices=(("v", odd), (odd, odd))),
    )
    check_modal(draw_form(form(*fields, title=odd, note=odd)))
    check_modal(draw_form(form(title=odd)))
    check_modal(ask_form("1:2", quoted=odd, text=odd))


# ── reading ──────────────────────────────────────────────────────────────────────────────────


WORDS = st.sampled_from(["q:form:x", "f:a", "f:a:2", "l:lines", "a=b", "x"])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["custom_id", "components", "component", "value", "values", "type"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=14,
)


def nested(depth: int) -> Json:
    found: Json = {"custom_id": "f:deep", "value": "x"}
    for _ in range(depth):
        found = {"type": 18, "component": found}
    return {"custom_id": "q:form:x", "components": [found]}


@given(submitted=st.dictionaries(st.sampled_from(["custom_id", "components"]), JUNK, max_size=2))
@example(submitted={"custom_id": "q:form:x", "components": [{"custom_id": "f:a", "values": []}] * 5_000})
@example(submitted={"custom_id": "q:approve:a1", "components": []})
def test_forged_forms_are_read_or_refused_and_nothing_else(submitted: Json) -> None:
    try:
        form_id, found = read_form(submitted)
    except FormUnreadable as error:
        assert "press the button again" in str(error) or "NAME = VALUE" in str(error)  # noqa: PT017
        return
    assert isinstance(form_id, str)
    assert all(isinstance(value, str) for value in found.values())


def test_inputs_wrapped_without_end_are_not_looked_for() -> None:
    assert read_form(nested(900)) == ("x", {})
    assert read_form(nested(1)) == ("x", {"deep": "x"})


def test_rows_of_older_modals_are_read_too() -> None:
    row = {"type": 1, "components": [{"type": 4, "custom_id": "f:goal", "value": "Cross"}]}
    assert read_form({"custom_id": "q:form:edit:a1", "components": [row]}) == ("edit:a1", {"goal": "Cross"})


# ── errors ───────────────────────────────────────────────────────────────────────────────────


def test_errors_are_named_with_a_button_that_opens_the_form_again() -> None:
    given_form = form(FormField(name="goal", label="Goal"), FormField(name="tasks", label="Tasks"))
    message = errors_note(given_form, {"tasks": "no such task <@1>", "": "closed", "elsewhere": "odd"})
    check([message])
    said = seen([message])
    assert "### Edit the plan" in said
    assert "- **Tasks:** no such task <@1>" in said
    assert "- closed\n- odd" in said
    assert rings(message.body["components"][0]["components"][0]["content"]) == []
    assert [(b["label"], b["custom_id"]) for b in buttons([message])] == [("Correct", "q:again:edit:a1")]


@settings(deadline=None)
@given(given_form=forms(st.text(max_size=200)), errors=st.dictionaries(st.text(), st.text(max_size=900)))
def test_errors_of_any_form_fit(given_form: Form, errors: Mapping[str, str]) -> None:
    check([errors_note(given_form, errors)])


# ── the modal of the context menu ────────────────────────────────────────────────────────────


def test_ask_modal_carries_where_it_came_from(snapshot: SnapshotAssertion) -> None:
    modal = ask_form("100000000000000002:100000000000000003", quoted="Shall we?\n@everyone", text="So far")
    check_modal(modal)
    assert modal == snapshot
    back = read_form(sent(modal, {"f:text": "Answer it"}))
    assert back == ("100000000000000002:100000000000000003", {"text": "Answer it"})


@settings(deadline=None)
@given(quoted=st.text(max_size=4_000), text=st.text(max_size=4_000))
@example(quoted="\x00\ud800" + "漢" * 50_000, text="y" * 50_000)
@example(quoted="\\" * 9_000, text="😀" * 9_000)
def test_ask_modal_fits_whatever_is_quoted(quoted: str, text: str) -> None:
    check_modal(ask_form("1:2", quoted=quoted, text=text))


def test_ask_modal_that_cannot_say_where_it_came_from_is_refused() -> None:
    with pytest.raises(FormTooLarge):
        ask_form("x" * 100)
