"""What Discord's codes become: one of our errors, with the remedy in one line and nobody's text in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.ports import DiscordRefused
from adapters.discord.refusals import BodyRefused, ThreadArchived, bad_fields, refusal
from adapters.errors import AdapterError, CardRefused, ConversationGone, MessageGone, NotAllowed, PlatformDown

SEND = "POST /channels/{}/messages"


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (10003, ConversationGone, "deleted"),
        (10004, ConversationGone, "invite"),
        (10008, MessageGone, "deleted"),
        (10062, DiscordRefused, "3 seconds"),
        (30007, DiscordRefused, "webhooks"),
        (40005, CardRefused, "send less"),
        (40060, DiscordRefused, "answered already"),
        (50001, NotAllowed, "`View Channel`"),
        (50005, MessageGone, "not the bot's own"),
        (50007, NotAllowed, "direct messages"),
        (50013, NotAllowed, "`Send Messages in Threads`"),
        (50027, DiscordRefused, "15 minutes"),
        (50035, CardRefused, "refused the message"),
        (50083, ThreadArchived, "`Manage Threads`"),
        (130000, PlatformDown, "tried again"),
        (160004, DiscordRefused, "thread already"),
        (160005, NotAllowed, "`Manage Threads`"),
        (160006, NotAllowed, "close some"),
        (200000, NotAllowed, "AutoMod"),
        (999999, DiscordRefused, "999999"),
    ],
)
def test_code_becomes_our_error_with_its_remedy(code: int, kind: type[AdapterError], word: str) -> None:
    error = refusal(code, status=400, route=SEND)
    assert isinstance(error, kind)
    assert word in str(error)
    assert str(code) in str(error)
    assert "\n" not in str(error)
    if isinstance(error, DiscordRefused):
        assert (error.code, error.status) == (code, 400)


@pytest.mark.parametrize(
    ("route", "permission"),
    [
        ("POST /channels/{}/messages", "`Attach Files`"),
        ("POST /channels/{}/messages/{}/threads", "`Create Public Threads`"),
        ("PUT /channels/{}/messages/{}/reactions/{}/@me", "`Add Reactions`"),
        ("GET /channels/{}/messages", "`Read Message History`"),
        ("PATCH /channels/{}", "`Manage Threads`"),
        ("POST /channels/{}/typing", "`Send Messages`"),
        ("GET /somewhere/new", "a permission"),
    ],
)
def test_missing_permission_is_named_by_what_was_tried(route: str, permission: str) -> None:
    error = refusal(50013, status=403, route=route)
    assert isinstance(error, NotAllowed)
    assert permission in str(error)


def test_bad_body_names_the_fields_and_is_a_card_only_where_it_is_a_message() -> None:
    length = {"_errors": [{"code": "BASE_TYPE_BAD_LENGTH", "message": "Must be between 1 and 80: secret"}]}
    errors = {"components": {"0": {"components": {"1": {"label": length}}}}}
    for route in (SEND, "PATCH /channels/{}/messages/{}", "PATCH /webhooks/{}/{}/messages/@original"):
        error = refusal(50035, status=400, route=route, errors=errors)
        assert isinstance(error, BodyRefused)
        assert "components.0.components.1.label BASE_TYPE_BAD_LENGTH" in str(error)
        assert "secret" not in str(error)
    other = refusal(50035, status=400, route="POST /channels/{}/messages/{}/threads", errors=errors)
    assert isinstance(other, DiscordRefused)


def test_large_body_and_a_403_without_a_word() -> None:
    assert isinstance(refusal(0, status=413, route=SEND), CardRefused)
    assert isinstance(refusal(0, status=403, route=SEND), NotAllowed)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "_errors", "0", "x\ny"]), inner)
    ),
    max_leaves=20,
)


@given(errors=json, code=st.integers(0, 300_000), status=st.integers(400, 499))
def test_whatever_discord_says_becomes_one_line(errors: object, code: int, status: int) -> None:
    assert "\n" not in str(refusal(code, status=status, route=SEND, errors=errors))


def test_many_bad_fields_and_deep_ones_stay_short() -> None:
    wrong: dict[str, object] = {"_errors": [{"code": "X" * 500}, {"code": "Y"}, "odd"]}
    assert len(bad_fields({str(n): wrong for n in range(500)})) < 200
    deep = wrong
    for _ in range(500):
        deep = {"a": deep}
    assert bad_fields(deep) == ""
