"""Long texts arrive whole: cut on good borders, fences closed and opened again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adapters.splitting import SMALLEST_LIMIT, split_pieces, split_text

WORDS = st.text(alphabet="abcdefg hij.,é漢\t", min_size=0, max_size=50)
MARKDOWN_LINES = st.lists(
    st.one_of(
        WORDS, st.just(""), st.sampled_from(["```", "```python", "~~~", "````", "- item", "| a | b |"])
    ),
    max_size=60,
).map("\n".join)
LIMITS = st.integers(SMALLEST_LIMIT, 400)


@given(text=st.one_of(MARKDOWN_LINES, st.text(max_size=2000)), limit=LIMITS)
def test_nothing_is_lost_and_no_piece_is_too_long(text: str, limit: int) -> None:
    pieces = split_pieces(text, limit)
    assert "".join(piece.body for piece in pieces) == text
    assert all(len(str(piece)) <= limit for piece in pieces)
    assert [str(piece) for piece in pieces] == split_text(text, limit)
    assert all(piece.body for piece in pieces)


CODE = st.lists(st.text(alphabet="xyz =()", max_size=40), min_size=20, max_size=60)


@given(code=CODE, limit=st.integers(80, 300))
def test_each_piece_of_a_cut_fence_is_a_whole_fence(code: list[str], limit: int) -> None:
    text = "Before.\n\n```python\n" + "\n".join(code) + "\n```\n\nAfter."
    shown: list[str] = []
    for piece in split_text(text, limit):
        for token in MarkdownIt().parse(piece):
            if token.type == "fence":
                assert token.info == "python"
                shown += token.content.splitlines()
            elif token.type == "inline":
                assert token.content in ("Before.", "After.")
    assert _stripped(shown) == _stripped(code)


def _stripped(lines: list[str]) -> list[str]:
    return [line.rstrip() for line in lines if line.strip()]


def test_cuts_fall_on_paragraph_borders() -> None:
    paragraphs = [f"Paragraph {n} " + "word " * 12 for n in range(10)]
    text = "\n\n".join(paragraphs)
    pieces = split_text(text, 200)
    assert len(pieces) > 3
    assert all(piece.startswith("Paragraph") for piece in pieces)


def test_a_fence_that_fits_is_moved_whole_to_the_next_message() -> None:
    text = "word " * 30 + "\n```\n" + "code\n" * 20 + "```\n"
    first, second = split_text(text, 200)
    assert "```" not in first
    assert second.startswith("```\ncode")
    assert second.endswith("code\n```\n")


def test_long_lines_are_cut_after_sentences_and_words() -> None:
    text = "One sentence here. " * 40
    assert all(re.fullmatch(r"(One sentence here\. )+", piece) for piece in split_text(text, 100))
    assert all(piece.endswith(" ") for piece in split_text("word " * 100, 100)[:-1])


def test_text_without_any_border_is_cut_at_the_limit() -> None:
    assert [len(piece) for piece in split_text("x" * 250, 100)] == [100, 100, 50]


def test_short_and_empty_texts_stay_as_they_are() -> None:
    assert split_text("hello", 100) == ["hello"]
    assert split_text("", 100) == []


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        split_text("hello", 10)
