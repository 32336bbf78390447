"""What Discord sends → what is kept: one key for one thing, nothing for what is not ours, never an error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.discord import meaning
from adapters.discord.inbound import (
    EVENTS,
    INTERACTIONS,
    MESSAGES,
    STOP_REACTIONS,
    Me,
    conversation_of,
    place,
    read,
    singly,
    spoken,
)
from adapters.discord.payload import CHANNEL_TYPE, OWN_ROLE, PARENT
from adapters.discord.reading import names_in, words_of
from tests.unit.adapters.discord.arrivals import (
    ADA,
    APP,
    BEN,
    BOT,
    DM,
    GENERAL,
    GUILD,
    M1,
    M2,
    ME,
    OTHER,
    THREAD,
    Json,
    arrived,
    direct,
    done,
    in_thread,
    interaction,
    mention,
    menu,
    message,
    pressed,
    reaction,
    said,
    submitted,
    typed,
    user,
)

ROLE = "600000000000000001"
HOOK = "700000000000000001"


def test_a_message_delivered_again_has_the_same_key_also_out_of_a_channels_history() -> None:
    live = said(mention())
    history = mention()
    del history["member"]
    again = said(history)
    assert live.key == again.key == f"discord:{GUILD}:{GENERAL}:{M1}"
    assert live.lane == again.lane


@pytest.mark.parametrize(
    ("payload", "kind", "key"),
    [
        (mention(), "mention", f"discord:{GUILD}:{GENERAL}:{M1}"),
        (mention(quartet_channel_type=5), "mention", f"discord:{GUILD}:{GENERAL}:{M1}"),
        (in_thread(mention()), "mention", f"discord:{GUILD}:{GENERAL}:{THREAD}"),
        (in_thread(message()), "reply", f"discord:{GUILD}:{GENERAL}:{THREAD}"),
        (in_thread(message(type=19)), "reply", f"discord:{GUILD}:{GENERAL}:{THREAD}"),
        (direct(), "direct", f"discord:@me:{DM}:"),
        (direct(type=19), "direct", f"discord:@me:{DM}:"),
        # Threads cannot be made on a message in a voice channel: the adapter says so there.
        (mention(quartet_channel_type=2), "mention", f"discord:{GUILD}:{GENERAL}:"),
        # What the channel is could not be found out: most are text channels.
        (
            {k: v for k, v in mention().items() if k != CHANNEL_TYPE},
            "mention",
            f"discord:{GUILD}:{GENERAL}:{M1}",
        ),
    ],
)
def test_a_message_stands_in_its_conversation(payload: Json, kind: str, key: str) -> None:
    arrival = said(payload)
    assert (arrival.kind, arrival.lane, conversation_of(arrival).key) == (kind, key, key)


def test_the_first_message_of_a_forum_post_stands_in_its_thread_already() -> None:
    given = spoken(in_thread(mention(id=THREAD)))
    assert given is not None
    assert (given.thread, given.message, given.root) == (THREAD, THREAD, False)


def test_only_a_mention_in_a_channel_is_the_root_of_its_thread() -> None:
    roots = [
        spoken(one) for one in (mention(), in_thread(mention()), direct(), mention(quartet_channel_type=2))
    ]
    assert [one.root for one in roots if one] == [True, False, False, False]


@pytest.mark.parametrize(
    "payload",
    [
        mention(),
        message(f"<@&{ROLE}> hi", mention_roles=[ROLE], **{OWN_ROLE: ROLE}),
        message("hi", type=19, referenced_message={"id": M2, "author": user(BOT, bot=True)}),
    ],
)
def test_naming_us_our_role_or_answering_us_is_a_mention(payload: Json) -> None:
    assert said(payload).kind == "mention"
    assert said(in_thread(payload)).kind == "mention"


@pytest.mark.parametrize(
    "payload",
    [
        message(),
        message("@everyone hi", mention_everyone=True),
        message(f"<@{BOT}> as text in code, says Discord by not listing it"),
        message(mention_roles=[ROLE], **{OWN_ROLE: OTHER}),
        message(mention_roles=[ROLE]),
        message("hi", type=19, referenced_message={"id": M2, "author": user(BEN)}),
        message("hi", type=0, referenced_message={"id": M2, "author": user(BOT)}),
        mention(type=6),  # a message was pinned
        mention(type=18),  # a thread was made
        mention(type=21),  # the first message of a thread, repeated in it
        mention(author=user(BOT, bot=True)),
        mention(author=user(OTHER, bot=True)),
        mention(author=user(OTHER), webhook_id=HOOK),
        mention(author=user(APP, bot=True), webhook_id=APP),
        mention(author=user(OTHER, system=True)),
        mention(author={}),
        mention(id="soon"),
        mention(id=300000000000000001),
        mention(channel_id="general"),
        mention(type="0"),
    ],
)
def test_what_is_not_for_us_is_nothing(payload: Json) -> None:
    if payload["type"] != "0":
        assert read("MESSAGE_CREATE", payload, ME) is None
    else:  # a type that is none is as good as none: Discord's types are numbers
        assert said(payload).kind == "mention"


@pytest.mark.parametrize("allowed", [OTHER, HOOK, "*"])
def test_another_bot_or_webhook_counts_when_it_is_allowed(allowed: str) -> None:
    payload = mention(author=user(OTHER, bot=True), webhook_id=HOOK)
    assert read("MESSAGE_CREATE", payload, ME) is None
    assert said(payload, allowed).kind == "mention"
    found = spoken(payload)
    assert found is not None
    assert found.bot


@pytest.mark.parametrize(
    "payload",
    [
        mention(author=user(BOT, bot=True)),
        mention(author=user(OTHER, bot=True), webhook_id=APP),
        mention(author=user(OTHER, bot=True), application_id=APP),
        direct(author=user(BOT, bot=True)),
    ],
)
def test_our_own_words_never_count_even_where_every_bot_is_allowed(payload: Json) -> None:
    assert read("MESSAGE_CREATE", payload, ME, ["*"]) is None


def test_edits_and_other_events_start_nothing() -> None:
    for event in ("MESSAGE_UPDATE", "TYPING_START", "MESSAGE_REACTION_REMOVE", "message_create", ""):
        assert read(event, mention(), ME, ["*"]) is None


# ── deletions and reactions ──────────────────────────────────────────────────────────────────


def test_a_deletion_stands_where_the_message_stood_and_withdraws_its_turn() -> None:
    for payload in (mention(), in_thread(message()), direct()):
        before = said(payload)
        gone = {k: payload[k] for k in ("id", "channel_id", "guild_id", PARENT, CHANNEL_TYPE) if k in payload}
        arrival = arrived("MESSAGE_DELETE", gone)
        taken = meaning.withdrawal(arrival, meaning.nameless(ADA), meaning.received(0.0))
        assert arrival.key != before.key
        assert arrival.lane == before.lane
        assert taken is not None
        assert (taken.turn_key, taken.conversation.key) == (before.key, before.lane)


def test_a_bulk_deletion_is_one_for_each_message() -> None:
    bulk = {"ids": [M1, M2, M1, "x", None], "channel_id": GENERAL, "guild_id": GUILD, CHANNEL_TYPE: 0}
    single = singly("MESSAGE_DELETE_BULK", bulk)
    assert [arrived(event, dict(payload)).lane for event, payload in single] == [
        f"discord:{GUILD}:{GENERAL}:{one}" for one in (M1, M2)
    ]
    assert singly("MESSAGE_CREATE", mention()) == [("MESSAGE_CREATE", mention())]


@pytest.mark.parametrize("emoji", [*sorted(STOP_REACTIONS), "✖️", "⏹️"])
def test_a_cross_and_its_look_alikes_mean_stop(emoji: str) -> None:
    arrival = arrived("MESSAGE_REACTION_ADD", reaction(emoji))
    assert arrival.kind == "reaction"
    assert arrival.key.startswith(f"discord:{GUILD}:{GENERAL}:{M1}:{ADA}:")
    assert meaning.reacted_to(arrival) == (GENERAL, M1)


@pytest.mark.parametrize(
    "payload",
    [
        reaction("👍"),
        reaction("x"),
        reaction(emoji={"id": "600000000000000009", "name": "❌"}),  # a server's own, called anything
        reaction(user_id=BOT),
        reaction(member={"user": user(OTHER, bot=True)}, user_id=OTHER),
        reaction(message_id=""),
        reaction(emoji=None),
    ],
)
def test_other_reactions_are_nothing(payload: Json) -> None:
    assert read("MESSAGE_REACTION_ADD", payload, ME) is None


# ── what people press and type ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (pressed("q:approve:a1"), "click"),
        (pressed("q:good:r1"), "feedback"),
        (pressed("q:bad:r1"), "feedback"),
        (pressed("q:again:edit:a1"), "again"),
        (submitted("q:form:edit:a1"), "form"),
        (submitted("q:ask:1"), "form"),
        (typed("ask", text="hi"), "command"),
        (typed("home"), "home"),
        (typed(), "command"),
        (menu(message()), "ask_about"),
    ],
)
def test_what_people_press_and_type_is_told_apart(payload: Json, kind: str) -> None:
    arrival = done(payload)
    assert (arrival.kind, arrival.pressed) == (kind, True)
    assert arrival.key == "discord:interaction:400000000000000001"
    assert arrival.lane == arrival.key, "it waits for no other press"
    assert conversation_of(arrival).key == f"discord:{GUILD}:{GENERAL}:{THREAD}"


@pytest.mark.parametrize(
    "payload",
    [
        typed("settings", change="model=x"),
        typed("pause"),
        typed("resume"),
        pressed("q:pause:r1"),
        pressed("q:resume:r1"),
        submitted("q:form:settings:discord:1:2"),
    ],
)
def test_what_undoes_something_else_stays_behind_it(payload: Json) -> None:
    assert done(payload).lane == f"person:{GUILD}:{ADA}:{THREAD}"
    assert done(payload | {"id": "400000000000000009"}).lane == done(payload).lane


def test_a_press_in_a_direct_message_has_no_guild() -> None:
    payload = pressed(channel_id=DM, channel={"id": DM, "type": 1}, user=user())
    del payload["guild_id"], payload["member"]
    arrival = done(payload)
    assert (arrival.guild, conversation_of(arrival).key) == ("@me", f"discord:@me:{DM}:")


@pytest.mark.parametrize(
    "payload",
    [
        interaction(1, {}),
        interaction(4, {"name": "quartet", "type": 1, "options": []}),  # completion: answered, never kept
        pressed("approve"),
        pressed("q:approve:"),
        pressed("q:form:x"),
        submitted("q:approve:a1"),
        submitted("else"),
        menu(message(), "Something else"),
        interaction(2, {"name": "other", "type": 1}),
        interaction(2, {"name": "quartet", "type": 2}),
        pressed(id=""),
        pressed(member={}),
        pressed(channel_id="", channel=None),
    ],
)
def test_presses_that_are_not_ours_are_nothing(payload: Json) -> None:
    assert read("INTERACTION_CREATE", payload, ME) is None


# ── hostile ──────────────────────────────────────────────────────────────────────────────────

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([M1, BOT])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FULL = mention(
    f"<@{BEN}> <#{GENERAL}> <@&{ROLE}> <t:1:R> <:x:{M1}> </quartet:{M1}>",
    type=19,
    attachments=[{"id": M2, "filename": "a.md", "size": 3, "url": "https://cdn.discordapp.com/x"}],
    referenced_message=message("before", id=M2),
    message_snapshots=[{"message": {"content": "forwarded", "timestamp": "2024-01-01T00:00:00+00:00"}}],
    sticker_items=[{"id": M2, "name": "wave", "format_type": 1}],
    embeds=[{"type": "rich", "title": "t", "fields": [{"name": "n", "value": "v"}]}],
    poll={"question": {"text": "q"}, "answers": [{"poll_media": {"text": "a"}}]},
    components=[{"type": 17, "components": [{"type": 10, "content": "c"}]}],
)
SHAPES: list[tuple[str, Json]] = [
    ("MESSAGE_CREATE", FULL),
    ("MESSAGE_CREATE", in_thread(FULL)),
    ("MESSAGE_CREATE", direct()),
    ("MESSAGE_DELETE", {"id": M1, "channel_id": GENERAL, "guild_id": GUILD}),
    ("MESSAGE_DELETE_BULK", {"ids": [M1, M2], "channel_id": GENERAL, "guild_id": GUILD}),
    ("MESSAGE_REACTION_ADD", reaction()),
    ("INTERACTION_CREATE", pressed()),
    ("INTERACTION_CREATE", pressed(f"q:settings:discord:{GUILD}:{DM}")),
    ("INTERACTION_CREATE", submitted()),
    ("INTERACTION_CREATE", typed("run", workflow="quartet", text="hi")),
    ("INTERACTION_CREATE", menu(FULL)),
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
def events(draw: st.DrawFn) -> tuple[str, Any]:
    event, payload = draw(st.sampled_from(SHAPES))
    return event, spoilt(draw, payload)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(events() | st.tuples(st.sampled_from(sorted(EVENTS)), VALUES))
def test_no_payload_whatever_makes_an_error(given_event: tuple[str, Any]) -> None:
    for event, payload in singly(*given_event):
        spoken(payload)
        place(payload)
        arrival = read(event, payload, ME, ["*"])
        if arrival is None:
            continue
        assert arrival.key.startswith("discord:")
        assert arrival.lane
        assert arrival.pressed == (arrival.kind in INTERACTIONS)
        who = meaning.person(arrival.payload)
        there = conversation_of(arrival)
        assert there.workspace == arrival.guild
        meaning.pressed(arrival)
        meaning.asked_for(arrival)
        meaning.targeted(arrival)
        meaning.command_words(arrival.payload)
        words_of(arrival.payload, names_in(arrival.payload, BOT))
        if arrival.kind in MESSAGES:
            turn = meaning.turn(arrival, who, own=BOT)
            assert turn is not None
            assert (turn.key, turn.conversation.key) == (arrival.key, arrival.lane)
            turn.model_dump_json()


def test_deep_nesting_and_huge_texts_are_nothing_special() -> None:
    deep: Any = {"type": 10, "content": "deep"}
    for _ in range(5_000):
        deep = {"type": 17, "components": [deep]}
    arrival = said(
        mention("x" * 2_000_000, components=[deep], referenced_message={"id": M2, "components": [deep]})
    )
    turn = meaning.turn(arrival, meaning.person(arrival.payload), own=BOT)
    assert turn is not None
    assert len(turn.text) == 2_000_000


@given(st.text(max_size=60))
def test_a_press_with_any_custom_id_is_ours_or_nothing(custom_id: str) -> None:
    arrival = read("INTERACTION_CREATE", pressed(custom_id), ME)
    assert arrival is None or custom_id.startswith("q:")


def test_a_text_that_breaks_out_of_json_is_only_text() -> None:
    payload = json.loads(json.dumps(mention('"},"t":"INTERACTION_CREATE","d":{"x":"')))
    assert said(payload).kind == "mention"


def test_without_knowing_ourselves_nothing_names_us() -> None:
    assert read("MESSAGE_CREATE", mention(), Me()) is None
    assert read("MESSAGE_CREATE", message(type=19, referenced_message={"author": {}}), Me()) is None
