"""The plain text of a card holds every text that is on it."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from adapters.contract import Card, SourceLine, SourcesPart
from adapters.plain import card_text, clean_text, cost_text, seconds_text
from tests.unit.adapters.strategies import cards

# What people do not read (ids of tasks they do); a picture says in its words what it shows.
NOT_SHOWN = {"kind", "action", "target", "style", "id", "svg", "png"}


def texts(value: object, name: str = "") -> list[str]:
    """Every text in a card that people read."""
    if isinstance(value, BaseModel):
        return [text for key, inner in value for text in texts(inner, key)]
    if isinstance(value, tuple):
        value = cast("tuple[object, ...]", value)
        return [text for inner in value for text in texts(inner, name)]
    return [value] if isinstance(value, str) and name not in NOT_SHOWN else []


@given(card=cards(st.text(max_size=30)))
def test_no_text_of_a_card_is_missing(card: Card) -> None:
    shown = card_text(card)
    unquoted = shown.replace("\n    > ", "\n")
    for text in texts(card):
        assert text in shown or text in unquoted


def test_a_quotation_of_several_lines_stays_one_quotation() -> None:
    source = SourceLine(number=3, title="Tides", url="knowledge/tides.md", quoted="one\ntwo")
    card = Card.model_validate(
        {"id": "c", "kind": "answer", "title": "T", "parts": [SourcesPart(sources=(source,))]}
    )
    assert card_text(card) == "T\n\nSources:\n[3] Tides (knowledge/tides.md)\n    > one\n    > two"


def test_seconds_and_sums_read_well() -> None:
    assert [seconds_text(s) for s in (0.0, 0.42, 12.3, 59.7, 185)] == ["0.0 s", "0.4 s", "12 s", "1 min 00 s", "3 min 05 s"]  # fmt: skip  # noqa: E501
    assert [cost_text(c) for c in (0, 0.0042, 1.2)] == ["$0.00", "$0.0042", "$1.20"]


def test_controls_and_halves_of_characters_are_left_out() -> None:
    assert clean_text("a\x00b\x1b[2J\x9bc\ud800d\r\ne\tf\rg 👩‍👧 é") == "ab[2Jcd\ne\tf\ng 👩‍👧 é"
