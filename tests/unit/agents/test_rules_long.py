"""A long message must not stop the bot: searching holds the interpreter's lock, thread or not."""

from __future__ import annotations

import time

import pytest

from orchestrator.agents.rules_turn import compared

LONG = 200_000  # characters: the longest message that is taken


@pytest.mark.parametrize("words", ["a ", "x", "compare a and ", "vs ", "differences between ", "\n"])
def test_looking_for_a_comparison_takes_no_time_in_the_longest_message(words: str) -> None:
    text = (words * LONG)[:LONG]
    begun = time.process_time()
    compared(text)
    assert time.process_time() - begun < 5.0


def test_a_comparison_at_the_start_of_a_long_message_is_found() -> None:
    sides = compared("compare queue and steer " + "x" * LONG)
    assert sides is not None
    assert sides[0] == "queue"
