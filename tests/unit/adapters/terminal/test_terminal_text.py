"""Text on its way to and from a terminal: cleaned, told once, edited in a file and read back."""

from __future__ import annotations

import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardId,
    FactsPart,
    Form,
    FormField,
    MarkdownPart,
    NotesPart,
    RowsPart,
)
from adapters.terminal import outbound
from adapters.terminal.clean import clean
from adapters.terminal.inbound import HOW_TO_ANSWER, at_prompt, parse_choice, parse_form_file

OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ANY_TEXT = st.text(st.characters(exclude_categories=()))  # surrogates too
EDITED = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=200)


@given(ANY_TEXT)
def test_cleaned_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    assert not OBEYED.search(clean(text))
    clean(text).encode("utf-8")


@given(ANY_TEXT)
def test_cleaning_keeps_every_harmless_character_in_order(text: str) -> None:
    kept = [c for c in text if not OBEYED.match(c) and c not in "\u2028\u2029"]
    cleaned = iter(clean(text))
    assert all(any(c == k for c in cleaned) for k in kept)  # a subsequence


@given(st.text(max_size=300))
def test_markdown_never_breaks_the_screen(text: str) -> None:
    file = io.StringIO()
    Console(file=file, width=40).print(outbound.markdown_view(text))
    assert not OBEYED.search(file.getvalue())


def _status(row: AgentRow, *, tokens: str = "0", status: str = "working") -> Card:
    stop = (Button(action="stop", target="run-1", label="Stop"),) if status == "working" else ()
    return Card(
        id=CardId("run-1:status"),
        kind="status",
        title="Bridge",
        status=status,
        parts=(RowsPart(rows=(row,)), FactsPart(facts=(("Tokens", tokens),))),
        buttons=stop,
    )


def test_counting_on_is_no_news() -> None:
    first = _status(AgentRow(name="planner", state="working", doing="thinking", seconds=1, tokens=5))
    later = _status(
        AgentRow(name="planner", state="working", doing="thinking", seconds=9, tokens=50), tokens="50"
    )
    assert outbound.news(first, later) == []


def test_news_are_the_changed_lines_and_the_totals_at_the_end() -> None:
    first = _status(AgentRow(name="planner", state="working", doing="thinking"))
    done = _status(AgentRow(name="planner", state="done", seconds=3, tokens=70), tokens="70", status="done")
    assert outbound.news(first, done) == ["Bridge · done", "- planner: done (3 s, 70 tokens)", "Tokens: 70"]


def test_answer_for_a_pipe_is_markdown_and_keeps_a_fence_inside_a_file() -> None:
    from adapters.contract import FilePart

    card = Card(
        id=CardId("a"), kind="answer", title="Answer",
        parts=(
            MarkdownPart(text="# Yes\n\n*so*"),
            FilePart(name="a.md", media_type="text/markdown", text="```\nx\n```"),
        ),
        label="engine: rules",
    )  # fmt: skip
    text = outbound.answer_markdown(card)
    assert text.startswith("# Yes\n\n*so*\n\n## a.md (text/markdown)\n\n````\n```\nx\n```\n````\n")
    assert text.endswith("_engine: rules_\n")


def test_choice_is_a_letter_a_word_or_the_label_and_nothing_else() -> None:
    buttons = (
        Button(action="approve", target="a", label="Approve"),
        Button(action="changes", target="a", label="Ask for changes"),
    )
    for said in ("a", " A ", "approve", "APPROVE"):
        assert parse_choice(said, buttons) == "approve"
    assert parse_choice("ask for changes", buttons) == "changes"
    for said in ("", " ", "r", "reject", "yes", "aa"):
        assert parse_choice(said, buttons) is None


@given(EDITED, EDITED)
def test_form_comes_back_from_its_file_unchanged(goal: str, tasks: str) -> None:
    form = Form(
        id="edit:1",
        title="Plan # with: marks",
        fields=(
            FormField(name="goal", label="Goal", value=goal, hint="- a\nb"),
            FormField(name="tasks", label="Tasks", value=tasks, multiline=True),
        ),
    )
    values, wrong = parse_form_file(form, outbound.form_file(form, {"goal": "too\nshort"}))
    assert wrong == {}
    assert values == {"goal": goal, "tasks": tasks}


def test_choices_of_a_field_stand_above_it() -> None:
    field = FormField(
        name="busy", label="Busy", value="queue", choices=(("queue", "wait"), ("steer", "hand on"))
    )
    text = outbound.form_file(Form(id="f", title="F", fields=(field,)), {})
    assert "# One of: queue, steer" in text
    assert parse_form_file(Form(id="f", title="F", fields=(field,)), text) == ({"busy": "queue"}, {})


def test_form_file_that_was_broken_says_where() -> None:
    form = Form(id="edit:1", title="Plan", fields=(FormField(name="goal", label="Goal"),))
    assert parse_form_file(form, "goal: [")[1][""].startswith("this is not YAML")
    assert "there is no field 'gaol'" in parse_form_file(form, "gaol: x")[1][""]
    assert parse_form_file(form, "goal:\n  - x")[1] == {
        "goal": "this must be text; put it behind '|' on lines of its own"
    }
    assert "empty" in parse_form_file(form, "# nothing\n")[1][""]
    assert "name: value" in parse_form_file(form, "just words")[1][""]


def test_a_question_tells_what_to_do_at_a_prompt_and_nothing_where_nobody_sits() -> None:
    told = NotesPart(title=HOW_TO_ANSWER, notes=("Press Answer, or simply reply here",))
    other = NotesPart(title="The plan", notes=("Press on",))
    answer = (Button(action="answer", target="a1", label="Answer"),)
    card = Card(id=CardId("a1"), kind="approval", title="Ask", parts=(other, told), buttons=answer)
    shown = outbound.lines(at_prompt(card, is_asked=True))
    assert "- Type a at the prompt, Enter, and then the answer." in shown
    assert "- Press on" in shown
    assert not any("Press Answer" in line for line in shown)
    assert parse_choice("a", answer) == "answer"
    assert at_prompt(card, is_asked=False).parts == (other,)
    plain = card.model_copy(update={"buttons": ()})
    assert at_prompt(plain, is_asked=True) == plain


def test_plain_text_shows_no_escapes_of_markdown_and_leaves_code_alone() -> None:
    card = Card(
        id=CardId("r:error"),
        kind="error",
        title="Not done",
        parts=(
            MarkdownPart(
                text="no package \\(group quartet\\.agents\\), see `a\\.b`\n~~~\n\\*\n~~~\nC:\\dir\\\\x"
            ),
        ),
    )
    told = outbound.lines(card)
    assert told[1:] == ["no package (group quartet.agents), see `a\\.b`", "~~~", "\\*", "~~~", "C:\\dir\\x"]
    assert outbound.answer_markdown(card).startswith("no package \\(group")  # a pipe gets the source


@given(ANY_TEXT)
def test_escaped_words_come_out_as_they_went_in(text: str) -> None:
    escaped = "".join("\\" + c if c in r"\`*_{}[]()<>#+-!|~" else c for c in text)
    assert outbound.part_text(MarkdownPart(text=escaped)) == clean(text)
