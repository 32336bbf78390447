"""What is kept has a limit, and what is used stays."""

from __future__ import annotations

from bot.api.newest import Newest


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    kept = Newest[str, int](2)
    kept.keep("a", 1)
    kept.keep("b", 2)
    assert kept.get("a") == 1
    kept.keep("c", 3)
    assert [kept.get(key) for key in "abc"] == [1, None, 3]
    assert len(kept) == 2


def test_a_value_takes_the_place_of_an_earlier_one() -> None:
    kept = Newest[str, int](1)
    kept.keep("a", 1)
    kept.keep("a", 2)
    assert kept.get("a") == 2
    assert len(kept) == 1
