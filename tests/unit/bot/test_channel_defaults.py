"""What the configuration takes for channels without settings is what a channel's settings take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.channel_settings import ChannelPolicy
from config.sections import ChatDefaults

SHARED = sorted(set(ChatDefaults.model_fields) & set(ChannelPolicy.model_fields))


def properties(model: type[ChatDefaults] | type[ChannelPolicy]) -> dict[str, Any]:
    return model.model_json_schema()["properties"]


def test_every_setting_of_chats_but_the_exchanges_is_one_of_channels() -> None:
    assert set(ChatDefaults.model_fields) - set(SHARED) == {"exchanges"}


@pytest.mark.parametrize("name", SHARED)
def test_shared_settings_have_one_schema(name: str) -> None:
    assert properties(ChatDefaults)[name] == properties(ChannelPolicy)[name]


def takes(model: type[ChatDefaults] | type[ChannelPolicy], values: dict[str, Any]) -> bool:
    try:
        model.model_validate(values)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "values",
    [
        {"expires_after_s": 7_776_000},
        {"expires_after_s": 0.5},
        {"expires_after_s": True},
        {"expires_after_s": float("nan")},
        {"language": "de_DE"},
        {"language": "German\n"},
        {"approvers": ["web: bob"]},
        {"approvers": [""]},
    ],
)
def test_what_a_channel_refuses_the_configuration_refuses(values: dict[str, Any]) -> None:
    assert not takes(ChannelPolicy, values)
    assert not takes(ChatDefaults, values)


@given(
    st.one_of(
        st.fixed_dictionaries({"language": st.text(max_size=45)}),
        st.fixed_dictionaries({"approvers": st.lists(st.text(max_size=5), max_size=2)}),
        st.fixed_dictionaries({"expires_after_s": st.floats() | st.booleans() | st.integers()}),
    )
)
def test_both_take_the_same(values: dict[str, Any]) -> None:
    assert takes(ChatDefaults, values) == takes(ChannelPolicy, values)
