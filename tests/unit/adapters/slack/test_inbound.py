"""What Slack sends → what is kept: one key for one thing, nothing for what is not ours, never an error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import ConversationRef, Person
from adapters.slack import meaning
from adapters.slack.inbound import Me, deleted, read, spoken, viewed
from adapters.slack.payload import place, presser, team_of
from tests.unit.adapters.slack.arrivals import (
    ME,
    Json,
    arrived,
    event,
    mention,
    message,
    pressed,
    submitted,
)

ADA = Person(platform="slack", id="UADA", name="Ada")


def test_mention_and_message_twin_and_retries_have_one_key() -> None:
    bodies = [
        event(mention(), event_id="Ev1"),
        event(message("<@UBOT> hello"), event_id="Ev2"),
        event(message("<@UBOT|quartet> hello"), event_id="Ev3"),
    ]
    arrivals = [arrived(body) for body in bodies]
    assert {(a.key, a.kind, a.lane) for a in arrivals} == {
        ("slack:T1:C1:100.000100", "mention", "slack:T1:C1:100.000100")
    }


def test_the_verification_token_is_not_kept() -> None:
    assert "token" not in arrived(event(mention())).payload


@pytest.mark.parametrize(
    ("inner", "kind", "thread"),
    [
        (message(channel="D1", channel_type="im"), "direct", ""),
        (message(channel="D1", channel_type="im", thread_ts="99.000100"), "direct", "99.000100"),
        (message(thread_ts="99.000100"), "reply", "99.000100"),
        (message(thread_ts="99.000100", subtype="thread_broadcast"), "reply", "99.000100"),
        (message(thread_ts="99.000100", subtype="file_share"), "reply", "99.000100"),
        (mention(thread_ts="99.000100"), "mention", "99.000100"),
    ],
)
def test_a_message_stands_in_its_conversation(inner: Json, kind: str, thread: str) -> None:
    arrival = arrived(event(inner))
    assert arrival.kind == kind
    assert ConversationRef.from_key(arrival.lane).thread == thread


@pytest.mark.parametrize(
    "inner",
    [
        message(),  # a channel's own talk
        message("<@UBOT> hi", user="UBOT"),
        message("<@UBOT> hi", bot_id="BBOT"),
        message("<@UBOT> hi", bot_id="BX", app_id="AAPP"),
        message("<@UBOT> hi", bot_id="BX", bot_profile={"app_id": "AAPP"}),
        message("<@UBOT> hi", bot_id="BOTHER", user="UOTHER"),
        message("<@UBOT> hi", subtype="channel_join"),
        message("<@UBOT> hi", subtype="message_changed", message={"text": "<@UBOT> hi"}),
        message("<@UBOT> hi", hidden=True),
        message("<@UBOT> hi", user="USLACKBOT"),
        message("<@UBOT> hi", ts="soon"),
        message("<@UBOT> hi", channel="general:x"),
        {
            "type": "reaction_added",
            "user": "UADA",
            "reaction": "thumbsup",
            "item": {"channel": "C1", "ts": "1.1"},
        },
        {"type": "reaction_added", "user": "UBOT", "reaction": "x", "item": {"channel": "C1", "ts": "1.1"}},
        {"type": "tokens_revoked", "tokens": {"oauth": ["UADA"]}},
        {"type": "team_join"},
    ],
)
def test_what_is_not_for_us_is_nothing(inner: Json) -> None:
    assert read(event(inner), ME) is None


@pytest.mark.parametrize("allowed", ["BOTHER", "UOTHER", "AOTHER", "*"])
def test_another_bot_counts_when_it_is_allowed(allowed: str) -> None:
    body = event(
        message("<@UBOT> hi", bot_id="BOTHER", user="UOTHER", app_id="AOTHER", subtype="bot_message")
    )
    assert read(body, ME) is None
    assert arrived(body, allowed).kind == "mention"


def test_our_own_words_never_count_even_where_every_bot_is_allowed_and_we_do_not_know_ourselves() -> None:
    body = event(message("<@UBOT> hi", bot_id="BBOT", user="UBOT", app_id="AAPP"))
    assert read(body, Me(), ["*"]) is None


@pytest.mark.parametrize(
    ("body", "team"),
    [
        ({"authorizations": [{"team_id": "T2", "enterprise_id": "E1"}], "team_id": "T1"}, ("T2", "E1")),
        ({"authorizations": [{"team_id": None, "enterprise_id": "E1"}], "team_id": "T1"}, ("T1", "E1")),
        ({"team": None, "user": {"id": "U1", "team_id": "T3"}, "enterprise": {"id": "E1"}}, ("T3", "E1")),
        ({"view": {"app_installed_team_id": "T4"}, "team": {"id": "T1"}}, ("T4", "")),
        ({"team_id": "T1", "enterprise_id": "E1"}, ("T1", "E1")),
        ({"team": {"id": "E1", "enterprise_id": "E1"}, "user": {"team_id": "T5"}}, ("T5", "E1")),
    ],
)
def test_the_workspace_is_where_the_app_is_installed(body: Json, team: tuple[str, str]) -> None:
    assert team_of(body) == team


def test_a_deleted_message_and_a_tombstone_withdraw_the_same_turn() -> None:
    before = {"user": "UADA", "ts": "100.000100", "text": "<@UBOT> hello"}
    gone = {"type": "message", "channel": "C1", "event_ts": "105.000100", "hidden": True}
    plain = gone | {"subtype": "message_deleted", "deleted_ts": "100.000100", "previous_message": before}
    stone = gone | {
        "subtype": "message_changed",
        "message": {"subtype": "tombstone", "ts": "100.000100"},
        "previous_message": before,
    }
    for inner in (plain, stone):
        arrival = arrived(event(inner))
        given = meaning.withdrawal(arrival, ADA)
        assert arrival.kind == "deleted"
        assert given is not None
        assert given.turn_key == "slack:T1:C1:100.000100"
        assert given.conversation.thread == "100.000100"


def test_a_form_with_errors_sent_again_is_another_try_and_the_same_sent_twice_is_one() -> None:
    first = arrived(submitted({"field:goal": {"value": {"value": "x"}}}))
    twice = arrived(submitted({"field:goal": {"value": {"value": "x"}}}))
    mended = arrived(submitted({"field:goal": {"value": {"value": "longer"}}}))
    assert first.key == twice.key
    assert first.key != mended.key


def test_a_button_names_action_target_place_and_trigger() -> None:
    arrival = arrived(pressed("quartet:approve:1", "a1"))
    button = meaning.pressed(arrival)
    assert button is not None
    assert (button.action, button.target, button.trigger) == ("approve", "a1", "1.2.abc")
    assert button.conversation.key == "slack:T1:C1:100.000100"
    assert button.message is not None
    assert button.message.message_id == "101.000100"


def test_a_button_on_home_brings_its_conversation() -> None:
    view = {"id": "V1", "type": "home"}
    key = "slack:T1:C9:100.000100"
    body = pressed(value=f"a1\n{key}", view=view, container={"type": "view"}, channel=None, message=None)
    button = meaning.pressed(arrived(body))
    assert button is not None
    assert (button.target, button.conversation.key, button.home) == ("a1", key, True)


def test_buttons_of_others_are_nothing() -> None:
    assert read(pressed("approve"), ME) is None
    assert meaning.pressed(arrived(pressed(value=""))) is None


def test_a_slash_command_of_an_organisations_app_finds_its_workspace() -> None:
    body = {
        "command": "/quartet",
        "text": "run quartet feed &lt;all&gt; llamas",
        "team_id": "T1",
        "enterprise_id": "E1",
        "is_enterprise_install": "true",
        "channel_id": "C1",
        "user_id": "UADA",
        "trigger_id": "1.9.z",
    }
    arrival = arrived(body)
    assert (arrival.team, arrival.enterprise, arrival.kind, arrival.key) == (
        "T1",
        "E1",
        "command",
        "slack:1.9.z",
    )
    assert meaning.asked_for(meaning.command_words(arrival.payload)) == ("feed <all> llamas", "quartet")


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("ask why?", ("why?", None)),
        ("ASK  why?", ("why?", None)),
        ("run quartet why?", ("why?", "quartet")),
        ("ask", None),
        ("run quartet", None),
        ("status", None),
        ("asking things", None),
    ],
)
def test_only_ask_and_run_with_words_are_questions(words: str, asked: Any) -> None:
    assert meaning.asked_for(words) == asked


def test_a_turn_is_what_the_person_reads() -> None:
    inner = mention(
        "ask <@UBEN> in <#C2|ops> about <https://x.y/z|the page> &amp; more",
        files=[
            {
                "id": "F1",
                "name": "a/b.md",
                "mimetype": "text/markdown",
                "size": 3,
                "url_private": "https://files.slack.com/x",
            },
            {"id": "F2", "file_access": "check_file_info"},
            "nonsense",
        ],
    )
    turn = meaning.turn(arrived(event(inner)), ADA, names={"UBEN": "Ben"}, own="UBOT", viewing="C7")
    assert turn is not None
    assert turn.text == "ask @Ben in #ops about the page (https://x.y/z) & more"
    assert [(f.id, f.name, f.size) for f in turn.attachments] == [("F1", "a_b.md", 3), ("F2", "F2", 0)]
    assert turn.context == {"viewing": "C7"}
    assert turn.at.timestamp() == pytest.approx(100.0001)


def test_a_forwarded_message_comes_as_an_earlier_line() -> None:
    inner = mention(
        "what of this?", attachments=[{"is_share": True, "author_name": "Cem", "text": "Hay &lt;3"}]
    )
    turn = meaning.turn(arrived(event(inner)), ADA, names={}, own="UBOT")
    assert turn is not None
    assert [(line.author, line.text) for line in turn.earlier] == [("Cem", "Hay <3")]


def test_what_somebody_looks_at_is_told_of_them() -> None:
    entities = [{"type": "slack#/types/channel_id", "value": "C5"}]
    outer: Json = {"authorizations": [{"team_id": "T1", "user_id": "UADA", "is_bot": False}]}
    body = event({"type": "app_context_changed", "context": {"entities": entities}}, **outer)
    assert arrived(body).kind == "viewing"
    assert viewed(body) == ("UADA", "C5")
    assert viewed(event({"type": "app_context_changed", "user": "UADA", "context": {}})) == ("UADA", "")


# ── hostile ──────────────────────────────────────────────────────────────────────────────────

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SHAPES: list[Json] = [
    event(mention()),
    event(message(channel="D1", channel_type="im")),
    event(
        {
            "type": "message",
            "subtype": "message_deleted",
            "channel": "C1",
            "deleted_ts": "1.1",
            "previous_message": {},
        }
    ),
    event(
        {"type": "reaction_added", "user": "UADA", "reaction": "x", "item": {"channel": "C1", "ts": "1.1"}}
    ),
    event({"type": "app_context_changed", "user": "UADA", "context": {"entities": [{"value": "C5"}]}}),
    event({"type": "app_home_opened", "user": "UADA", "tab": "home"}),
    event({"type": "tokens_revoked", "tokens": {"bot": ["UBOT"]}}),
    pressed(),
    pressed(view={"type": "home"}),
    submitted({"field:goal": {"value": {"value": "x"}}}),
    {"command": "/quartet", "text": "status", "team_id": "T1", "user_id": "UADA", "trigger_id": "1"},
]


def spoilt(draw: st.DrawFn, value: Any) -> Any:
    """The value with parts replaced by anything, or left out."""
    if draw(st.integers(0, 9)) == 0:
        return draw(VALUES)
    if isinstance(value, dict):
        return {k: spoilt(draw, v) for k, v in value.items() if draw(st.integers(0, 14)) > 0}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [spoilt(draw, one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return value


@st.composite
def payloads(draw: st.DrawFn) -> Any:
    return spoilt(draw, draw(st.sampled_from(SHAPES)))


@given(payloads() | VALUES)
def test_no_payload_whatever_makes_an_error(body: Any) -> None:
    team_of(body)
    arrival = read(body, ME, ["*"])
    if arrival is None:
        return
    assert arrival.key.startswith("slack:")
    assert arrival.lane
    assert arrival.team or arrival.enterprise
    spoken(arrival.payload)
    deleted(arrival.payload)
    viewed(arrival.payload)
    place(arrival.payload)
    presser(arrival.payload)
    meaning.pressed(arrival)
    meaning.withdrawal(arrival, ADA)
    if arrival.kind in ("mention", "direct", "reply"):
        turn = meaning.turn(arrival, ADA, names={}, own="UBOT")
        assert turn is not None
        assert turn.key == arrival.key
        assert turn.conversation.key == arrival.lane


def test_button_on_a_direct_message_that_has_replies_stands_where_it_was_posted() -> None:
    body = pressed(
        container={"type": "message", "message_ts": "101.000100", "channel_id": "D1"},
        channel={"id": "D1", "name": "directmessage"},
        message={"ts": "101.000100", "thread_ts": "101.000100", "reply_count": 1},
    )
    assert place(body) == ("D1", "", "101.000100")
    assert place(pressed()) == ("C1", "100.000100", "101.000100")


def test_deleted_direct_message_that_had_replies_is_of_the_conversation_it_was_in() -> None:
    before = {"ts": "100.000100", "thread_ts": "100.000100", "user": "UADA", "text": "hello"}
    inner = {
        "type": "message",
        "subtype": "message_changed",
        "channel": "D1",
        "channel_type": "im",
        "message": {"subtype": "tombstone", "ts": "100.000100"},
        "previous_message": before,
        "ts": "101.000100",
    }
    gone = deleted(event(inner))
    assert gone is not None
    assert (gone.channel, gone.thread, gone.ts) == ("D1", "", "100.000100")


@pytest.mark.parametrize(
    ("inner", "lacks"),
    [
        (mention("hello"), False),
        (mention(""), True),
        (mention("hello", upload=True), True),
        (mention("hello", upload=True, files=[{"id": "F1"}]), False),
        (mention("hello", blocks=[{"type": "rich_text", "elements": [{"type": "rich_text_section",
            "elements": [{"type": "file", "file_id": "F1"}]}]}]), True),
        (message("<@UBOT>"), False),
    ],
)  # fmt: skip
def test_mention_that_speaks_of_files_without_them_is_known(inner: dict[str, Any], lacks: bool) -> None:
    assert meaning.lacks_files(arrived(event(inner))) is lacks
