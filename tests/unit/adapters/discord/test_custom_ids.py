"""What a press means comes back as it went out, and what is forged means nothing or only words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.discord.custom_ids import MOST, PATTERN, Pressed, press, read
from adapters.errors import CardRefused

ACTIONS = ("approve", "edit", "changes", "reject", "stop", "settings", "good", "bad", "form", "again", "ask")


@given(action=st.sampled_from(ACTIONS), target=st.text(max_size=80))
@example(action="form", target="edit:01J:\n:x")
def test_an_action_and_its_target_come_back(action: str, target: str) -> None:
    custom_id = press(action, target)
    assert len(custom_id) <= MOST
    assert read(custom_id) == Pressed(action, target)
    assert PATTERN.fullmatch(custom_id)


def test_a_channels_settings_fit() -> None:
    snowflake = "9" * 20
    assert read(press("settings", f"discord:{snowflake}:{snowflake}"))


def test_a_target_that_is_too_long_is_refused() -> None:
    press("approve", "x" * 90)
    with pytest.raises(CardRefused, match="longer than 100 characters"):
        press("approve", "x" * 91)


@given(
    custom_id=st.one_of(
        st.none(), st.integers(), st.text(max_size=12), st.from_regex(r"\Aq:[a-zA-Z]*:.*\Z", fullmatch=True)
    )
)
@example(custom_id="q:approve:" + "x" * 91)
@example(custom_id="Q:approve:a")
@example(custom_id="q:APPROVE:a")
@example(custom_id="q::a")
@example(custom_id="f:goal")
def test_forged_ids_are_ours_in_form_or_none(custom_id: object) -> None:
    found = read(custom_id)
    if found is not None:
        assert custom_id == press(found.action, found.target)
