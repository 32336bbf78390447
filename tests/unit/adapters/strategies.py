"""Cards and forms for hypothesis, with any text in every field."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardId,
    CardKind,
    CardPart,
    FactsPart,
    FilePart,
    Form,
    FormField,
    ImagePart,
    MarkdownPart,
    NotesPart,
    PlanPart,
    RowsPart,
    RowState,
    SourceLine,
    SourcesPart,
    TaskLine,
)

# A picture of one pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def cards(text: SearchStrategy[str]) -> SearchStrategy[Card]:
    """Cards of every kind with every kind of part."""
    some = st.lists(text, max_size=3).map(tuple)
    states = st.sampled_from(get_args(RowState))
    sums = st.none() | st.floats(0, 1e6)
    row = st.builds(
        AgentRow,
        name=text,
        state=states,
        doing=text,
        seconds=sums,
        since=st.none(),
        tokens=st.integers(0, 10**9),
        cost_usd=sums,
    )
    task = st.builds(TaskLine, id=text, title=text, acceptance=text, depends_on=some, state=states)
    source = st.builds(SourceLine, number=st.integers(1, 99), title=text, url=text, quoted=text)
    part: SearchStrategy[CardPart] = st.one_of(
        st.builds(MarkdownPart, text=text),
        st.builds(RowsPart, rows=st.lists(row, max_size=3).map(tuple)),
        st.builds(PlanPart, goal=text, tasks=st.lists(task, max_size=3).map(tuple), outline=some, risks=some),
        st.builds(SourcesPart, sources=st.lists(source, max_size=3).map(tuple)),
        st.builds(FactsPart, facts=st.lists(st.tuples(text, text), max_size=3).map(tuple)),
        st.builds(NotesPart, title=text, notes=some),
        st.builds(FilePart, name=text, media_type=text, text=text),
        st.builds(ImagePart, name=st.just(""), alt=text, svg=text, png=text | st.just(PNG)),
    )
    button = st.builds(
        Button,
        action=st.sampled_from(["approve", "edit", "stop"]),
        target=text,
        label=text,
        style=st.sampled_from(["primary", "danger", "plain"]),
        needs_form=st.booleans(),
    )
    return st.builds(
        Card,
        id=text.map(CardId),
        kind=st.sampled_from(get_args(CardKind)),
        title=text,
        status=text,
        parts=st.lists(part, max_size=4).map(tuple),
        buttons=st.lists(button, max_size=3).map(tuple),
        label=text,
    )


def forms(text: SearchStrategy[str]) -> SearchStrategy[Form]:
    """Forms with fields of both kinds; names of fields differ."""
    field = st.builds(
        FormField,
        name=text,
        label=text,
        value=text,
        hint=text,
        multiline=st.booleans(),
        required=st.booleans(),
    )
    fields = st.lists(field, max_size=4, unique_by=lambda one: one.name).map(tuple)
    return st.builds(Form, id=text, title=text, fields=fields, submit=text, note=text)
