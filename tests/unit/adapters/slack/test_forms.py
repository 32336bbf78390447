"""Forms as modals: they fit or say that they do not, and what comes back is what stood there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from slack_sdk.models.views import View as SdkView
from syrupy.assertion import SnapshotAssertion

from adapters.contract import ConversationRef, Form, FormField
from adapters.plain import clean_text
from adapters.slack.forms import (
    FormUnreadable,
    View,
    ask_form,
    draw_form,
    errors,
    loading,
    read_ask,
    read_form,
    refusal,
)
from tests.twins.slack.blocks import check_view
from tests.unit.adapters.strategies import forms

HERE = ConversationRef(platform="slack", workspace="T1", channel="C1", thread="1.5")


def check(view: View) -> None:
    check_view(view, wanted="modal")
    cast("Callable[[], object]", SdkView(**json.loads(json.dumps(view))).to_dict)()
    assert len(view["blocks"]) <= 100


def sent(view: View, typed: Mapping[str, str | None] | None = None) -> View:
    """The view as it comes back when a person sends it, with what they typed over the inputs."""
    values: dict[str, dict[str, Any]] = {}
    for block in view["blocks"]:
        if block["type"] != "input":
            continue
        element = block["element"]
        value: dict[str, Any] = {"type": element["type"]}
        if element["type"] == "static_select":
            value["selected_option"] = element.get("initial_option")
        elif element["type"] == "conversations_select":
            value["selected_conversation"] = "C7"
        else:
            value["value"] = element.get("initial_value")
            if typed and block["block_id"] in typed:
                value["value"] = typed[block["block_id"]]
        values[block["block_id"]] = {element["action_id"]: value}
    return {**view, "state": {"values": values}}


def form(*fields: FormField, **more: Any) -> Form:
    return Form.model_validate({"id": "edit:a1", "title": "Edit the plan", "fields": fields, **more})


def test_a_note_shows_its_channel_as_slack_does() -> None:
    view = draw_form(form(FormField(name="a", label="A"), note="Of the channel C1 (slack), not C12."), HERE)
    check(view)
    assert view["blocks"][0]["elements"][0]["elements"] == [
        {"type": "text", "text": "Of the channel "},
        {"type": "channel", "channel_id": "C1"},
        {"type": "text", "text": " (slack), not C12."},
    ]


# ── drawing ──────────────────────────────────────────────────────────────────────────────────


def test_a_form_as_a_modal(snapshot: SnapshotAssertion) -> None:
    fields = (
        FormField(name="goal", label="Goal", value="Cross"),
        FormField(name="tasks", label="Tasks", value="a\nb", hint="One a line " * 30, multiline=True),
        FormField(
            name="tone", label="Tone", value="dry", required=False, choices=(("", "Usual"), ("dry", "Dry"))
        ),
    )
    view = draw_form(form(*fields, note="What you send is what the builder gets."), HERE)
    check(view)
    assert view == snapshot


@settings(deadline=None, max_examples=200)
@given(given_form=forms(st.one_of(st.text(max_size=60), st.text(max_size=40).map(lambda text: text * 300))))
def test_every_form_fits_or_is_refused_in_words_and_comes_back_unchanged(given_form: Form) -> None:
    view = draw_form(given_form, HERE)
    check(view)
    if view.get("callback_id") != "quartet:form":
        return
    form_id, conversation, values = read_form(sent(view))
    assert (form_id, conversation) == (given_form.id, HERE)
    assert values == {field.name: clean_text(field.value) for field in given_form.fields}


LINES = st.lists(st.text(alphabet="ab 漢😀", max_size=900), max_size=60).map("\n".join)


@settings(deadline=None)
@given(value=st.one_of(LINES, st.text(alphabet="ab \n\t", max_size=200).map(lambda text: text * 150)))
@example(value="x" * 20_000)
@example(value=("- a step\n  - below it\n\n") * 900)
@example(value="\n" * 20_000)
def test_long_texts_stand_in_several_inputs_and_come_back_exactly(value: str) -> None:
    value = value[:20_000]
    view = draw_form(form(FormField(name="tasks", label="Tasks", value=value, multiline=True)), HERE)
    check(view)
    _, _, values = read_form(sent(view))
    assert values == {"tasks": value}
    assert len(view["blocks"]) == 1 or all(
        len(block["element"].get("initial_value", "")) <= 2_700 for block in view["blocks"]
    )


def test_a_plan_of_twenty_thousand_characters_survives_an_input_that_trims() -> None:
    value = "\n".join(f"t{n}. Do the thing number {n} :: it is done [after t{n - 1}]" for n in range(300))
    assert len(value) > 15_000
    view = draw_form(form(FormField(name="tasks", label="Tasks", value=value, multiline=True)), HERE)
    ids = [block["block_id"] for block in view["blocks"]]
    assert ids[:3] == ["field:tasks", "field:tasks:2", "field:tasks:3"]
    assert view["blocks"][1]["label"]["text"] == "Tasks (part 2)"
    assert view["blocks"][1]["optional"] is True
    trimmed = {b["block_id"]: b["element"]["initial_value"].strip() for b in view["blocks"]}
    assert read_form(sent(view, trimmed))[2] == {"tasks": value}


def test_an_emptied_part_leaves_no_line_behind() -> None:
    value = "\n".join(f"line {n} " + "x" * 90 for n in range(60))
    view = draw_form(form(FormField(name="tasks", label="Tasks", value=value, multiline=True)), HERE)
    assert len(view["blocks"]) == 3
    first = view["blocks"][0]["element"]["initial_value"]
    third = view["blocks"][2]["element"]["initial_value"]
    assert read_form(sent(view, {"field:tasks:2": None}))[2] == {"tasks": f"{first}\n{third}"}


@pytest.mark.parametrize(
    "given_form",
    [
        form(FormField(name="plan", label="Plan", value="x" * 400_000)),
        form(*(FormField(name=f"f{n}", label="F") for n in range(120))),
        form(FormField(name="n" * 300, label="F")),
        form(FormField(name="c", label="C", choices=tuple((str(n), str(n)) for n in range(101)))),
        form(FormField(name="c", label="C", choices=(("v" * 151, "V"),))),
        form(id="x" * 4_000),
        form(FormField(name="a", label="A", value="x" * 5_000), FormField(name="a:2", label="B")),
    ],
)
def test_a_form_that_cannot_fit_says_what_to_do_instead(given_form: Form) -> None:
    view = draw_form(given_form, HERE)
    check(view)
    assert "submit" not in view
    assert "Ask for changes" in json.dumps(view)


def test_texts_of_control_characters_alone_leave_no_empty_texts() -> None:
    odd = "\x1b\x00"
    fields = (
        FormField(name="a", label=odd, value=odd, hint=odd),
        FormField(name="b", label=odd, hint=odd, choices=(("v", odd),)),
    )
    check(draw_form(form(*fields, title=odd, submit=odd, note=odd), HERE))
    check(loading(odd))
    check(refusal(odd))
    check(ask_form({"team": "T1"}, quoted=odd, text=odd))


def test_titles_are_cut_after_a_word() -> None:
    view = draw_form(form(FormField(name="a", label="A"), title="Edit the arguments of the call"), HERE)
    assert view["title"]["text"] == "Edit the arguments of…"


def test_loading_and_refusal_are_modals_of_their_own() -> None:
    for view in (
        loading("Edit the plan"),
        loading("t" * 99),
        refusal("No."),
        refusal(""),
        refusal("x" * 9_000),
    ):
        check(view)
        assert "submit" not in view


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def test_choices_come_back_as_values_and_the_empty_one_as_empty() -> None:
    fields = (
        FormField(name="tone", label="Tone", value="", choices=(("", "Usual"), ("dry", "Dry"))),
        FormField(name="size", label="Size", value="none of them", choices=(("s", "Small"),)),
    )
    view = draw_form(form(*fields), HERE)
    check(view)
    assert "initial_option" not in view["blocks"][1]["element"]
    assert read_form(sent(view))[2] == {"tone": "", "size": ""}


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["values", "value", "field:a", "field:a:2", "selected_option", "breaks", "form", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    metadata=st.one_of(JUNK, JUNK.map(json.dumps), st.just('{"form":"edit:a","conversation":"slack:T:C:1"}')),
    state=JUNK,
    blocks=JUNK,
)
@example(metadata="[" * 100_000, state=None, blocks=None)
@example(metadata='{"form":"f","conversation":"slack:T:C:","breaks":[1]}', state=None, blocks=None)
@example(metadata='{"form":"f","conversation":"nowhere:T:C:"}', state=None, blocks=None)
def test_forged_forms_are_read_or_refused_and_nothing_else(metadata: Any, state: Any, blocks: Any) -> None:
    view = {"private_metadata": metadata, "state": state, "blocks": blocks}
    for read in (read_form, read_ask):
        try:
            read(view)
        except FormUnreadable as error:
            assert "press the button again" in str(error)  # noqa: PT017 - only if it is refused
    assert isinstance(errors({"a": "wrong"}, view), dict)


def test_form_that_names_another_platforms_conversation_is_none_of_ours() -> None:
    elsewhere = ConversationRef(platform="web", workspace="local", channel="general", thread="c1")
    view = draw_form(form(FormField(name="a", label="A")), elsewhere)
    with pytest.raises(FormUnreadable, match="press the button again"):
        read_form(view)


def test_missing_state_gives_what_is_there() -> None:
    view = draw_form(form(FormField(name="a", label="A"), FormField(name="b", label="B")), HERE)
    back = sent(view, {"field:a": "typed"})
    del back["state"]["values"]["field:b"]
    assert read_form(back)[2] == {"a": "typed"}
    assert read_form({**view, "state": None})[2] == {}


# ── errors ───────────────────────────────────────────────────────────────────────────────────


def test_errors_stand_at_their_fields_and_the_rest_at_the_first() -> None:
    fields = (
        FormField(name="goal", label="Goal"),
        FormField(name="tasks", label="Tasks", value="x\n" * 4_000),
    )
    view = draw_form(form(*fields, note="Note"), HERE)
    found = errors({"tasks": "no such task", "": "closed", "elsewhere": "odd"}, view)
    assert found == {"field:tasks": "no such task", "field:goal": "closed odd"}


def test_errors_of_a_view_without_inputs_are_none() -> None:
    assert errors({"a": "wrong"}, refusal("No.")) == {}


# ── the modal of the shortcuts ───────────────────────────────────────────────────────────────


def test_ask_modal_carries_where_it_came_from(snapshot: SnapshotAssertion) -> None:
    metadata = {"team": "T1", "channel": "C1", "thread": "1.5", "quoted": "Shall we?"}
    view = ask_form(metadata, quoted="Shall we?")
    check(view)
    assert view == snapshot
    assert read_ask(sent(view, {"field:text": "Answer it"})) == (metadata, "Answer it", "")


def test_ask_modal_lets_people_choose_a_channel() -> None:
    view = ask_form({"team": "T1"}, text="So far", pick_channel=True)
    check(view)
    assert read_ask(sent(view)) == ({"team": "T1"}, "So far", "C7")


@given(quoted=st.text(max_size=4_000), text=st.text(max_size=4_000))
@example(quoted="\x00\ud800" + "漢" * 50_000, text="y" * 50_000)
def test_ask_modal_fits_whatever_is_quoted(quoted: str, text: str) -> None:
    view = ask_form({"team": "T1", "quoted": quoted}, quoted=quoted, text=text)
    check(view)
    assert read_ask(sent(view))[0]["team"] == "T1"
    assert clean_text(quoted).startswith(read_ask(sent(view))[0]["quoted"].rstrip("…"))
