"""What a thread is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.threads import NAME, name


@pytest.mark.parametrize(
    "words",
    [
        *("", "   ", "** **", "\n\t", "\x00"),
        *("\N{LEFT-TO-RIGHT MARK}", "\N{ZERO WIDTH SPACE}", "\N{HANGUL FILLER}", "\N{BRAILLE PATTERN BLANK}"),
        *(
            "\N{ZERO WIDTH JOINER} \N{HANGUL FILLER}",
            "\N{COMBINING ACUTE ACCENT}",
            "\N{VARIATION SELECTOR-16}",
        ),
    ],
)
def test_a_name_that_nobody_could_see_is_another(words: str) -> None:
    assert name(words) == "Question"


@pytest.mark.parametrize("words", ["what do llamas eat?", "ラマ", "?", "🦙", "e\N{COMBINING ACUTE ACCENT}"])
def test_what_can_be_seen_stays(words: str) -> None:
    assert name(words) == words


@given(st.text())
def test_every_question_gives_a_name_that_discord_takes(words: str) -> None:
    assert 0 < len(name(words).strip()) <= NAME


def test_marks_that_turn_the_order_of_letters_are_no_part_of_a_name() -> None:
    assert name("a\u202eb\u2066c\u202c") == "abc"
