"""What was kept → what the bot is told: who it was, what they may do, and words as a person reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import ConversationRef, Person, ThreadLine
from adapters.discord import meaning
from adapters.discord.payload import CHANNELS, OWN_ROLE, ROLES, at
from adapters.discord.reading import Names, readable
from bot import command_words
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
    THREAD,
    Json,
    direct,
    done,
    in_thread,
    member,
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

ROLE, OWN = "600000000000000001", "600000000000000002"
WHO = Person(platform="discord", id=ADA, name="Ada")
NOW = meaning.received(1_700_000_000.0)


# ── who ──────────────────────────────────────────────────────────────────────────────────────


def test_a_person_brings_roles_and_permissions_as_groups() -> None:
    bits = str(meaning.PERMISSIONS["manage_messages"] | 1 << 0 | 1 << 60)
    payload = pressed(member=member(ROLE, permissions=bits, nick="  Ada\nL. ") | {"user": user()})
    who = meaning.person(payload)
    assert who == Person(
        platform="discord", id=ADA, name="Ada L.", groups=(ROLE, "permission:manage_messages"), is_admin=False
    )


@pytest.mark.parametrize("name", sorted(meaning.PERMISSIONS))
def test_who_manages_the_server_or_its_channels_may_change_settings(name: str) -> None:
    who = meaning.person(message(), [name])
    assert who.is_admin == (name in ("administrator", "manage_guild", "manage_channels"))
    assert f"permission:{name}" in who.groups


def test_an_administrator_holds_every_permission() -> None:
    assert meaning.permissions_of(str(1 << 3)) == frozenset(meaning.PERMISSIONS)


@pytest.mark.parametrize("bits", [None, 8, "", "-1", "0x8", "8.0", "٨", "9" * 5_000, [], "abc"])
def test_permissions_that_cannot_be_read_are_none(bits: Any) -> None:
    assert meaning.permissions_of(bits) == frozenset()


def test_our_bits_are_discords() -> None:
    import discord

    for name, bit in meaning.PERMISSIONS.items():
        assert getattr(discord.Permissions(bit), name) is True


def test_who_talks_with_the_bot_alone_may_change_the_settings_there() -> None:
    assert meaning.person(direct()).is_admin
    assert not meaning.person(message()).is_admin


@pytest.mark.parametrize(
    ("given_user", "name"),
    [
        (user(name="ada"), "Ada"),
        (user(global_name=None), "ada"),
        (user(global_name=None, username=""), ADA),
        (user(global_name=" \n\t "), "ada"),
        (user(global_name="A\x00d\na"), "Ad a"),
        (user(global_name="x" * 500), "x" * 100),
    ],
)
def test_a_name_is_one_short_line(given_user: Json, name: str) -> None:
    assert meaning.person(message(author=given_user)).name == name


def test_the_member_of_a_reaction_is_who_put_it_there() -> None:
    assert meaning.person(reaction()).name == "Ada"


# ── messages ─────────────────────────────────────────────────────────────────────────────────


def test_a_turn_is_what_the_person_reads() -> None:
    payload = mention(
        f"ask <@{BEN}> and <@&{ROLE}> in <#{GENERAL}> at <t:1700000000:F> <a:party:{M1}> "
        f"see <https://x.y/z?a=1> or </quartet ask:{M1}>",
        mentions=[user(BOT, bot=True), user(BEN, "ben", member=member(nick="Benny"))],
        **{CHANNELS: {GENERAL: "general"}, ROLES: {ROLE: "Keepers"}},
    )
    turn = meaning.turn(said(payload), WHO, own=BOT)
    assert turn is not None
    assert turn.text == (
        "ask @Benny and @Keepers in #general at 2023-11-14T22:13:20+00:00 :party: "
        "see https://x.y/z?a=1 or /quartet ask"
    )
    assert turn.at == at(M1)
    assert turn.conversation.key == f"discord:{GUILD}:{GENERAL}:{M1}"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (f"<@{BOT}> hello", "hello"),
        (f"<@!{BOT}>, hello", "hello"),
        (f"hello <@{BOT}>", "hello"),
        (f"hello <@{BOT}>!", "hello!"),
        (f"say <@{BOT}> what", "say what"),
        (f"<@&{OWN}>: hello", "hello"),
        (f"<@{BOT}>", ""),
        (f"<@{BEN}> hello", f"@{BEN} hello"),
        ("<t:99999999999999:R>", "<t:99999999999999:R>"),
        ("<t:9999999999999:R>", "<t:9999999999999:R>"),
        ("<t:0:d> <t:0:t>", "1970-01-01 00:00:00 UTC"),
        ("a < b > c & d", "a < b > c & d"),
        ("**bold** `<@1`", "**bold** `<@1`"),
    ],
)
def test_discords_markup_becomes_words(markup: str, text: str) -> None:
    assert readable(markup, Names(own=BOT, own_role=OWN)) == text


@given(st.text(max_size=80) | st.from_regex(r"<(@[!&]?|#|t:|a?:x:|/x:)?[0-9]{0,22}(:R)?>", fullmatch=True))
def test_any_text_is_read_and_our_mention_never_stays(markup: str) -> None:
    found = readable(f"<@{BOT}> {markup} <@{BOT}>", Names(own=BOT))
    assert f"<@{BOT}>" not in found
    assert found == found.strip()


def test_who_is_named_in_a_setting_stands_there_by_key() -> None:
    payload = mention(
        f"settings approvers=<@{BEN}> <@&{ROLE}> permission:manage_guild",
        mentions=[user(BOT, bot=True), user(BEN, "ben")],
        **{ROLES: {ROLE: "Keepers"}},
    )
    turn = meaning.turn(said(payload), WHO, own=BOT)
    assert turn is not None
    assert turn.text == f"settings approvers=discord:{BEN} {ROLE} permission:manage_guild"


def test_our_own_role_in_a_message_is_left_out_as_we_are() -> None:
    payload = message(f"<@&{OWN}> hello", mention_roles=[OWN], **{OWN_ROLE: OWN})
    turn = meaning.turn(said(payload), WHO, own=BOT)
    assert turn is not None
    assert turn.text == "hello"


def test_files_come_with_where_they_lie() -> None:
    files = [
        {
            "id": M2,
            "filename": "a/b\\c.md",
            "content_type": "text/markdown",
            "size": 3,
            "url": "https://cdn/x",
        },
        {"id": BEN, "size": -5},
        {"filename": "no id"},
        "nonsense",
    ]
    turn = meaning.turn(said(mention(attachments=files)), WHO, own=BOT)
    assert turn is not None
    assert [(f.id, f.name, f.media_type, f.size) for f in turn.attachments] == [
        (M2, "a_b_c.md", "text/markdown", 3),
        (BEN, BEN, "application/octet-stream", 0),
    ]
    assert json.loads(turn.attachments[0].locator) == {
        "url": "https://cdn/x",
        "channel": GENERAL,
        "message": M1,
    }


def test_a_forwarded_message_and_its_files_come_as_another_persons_words() -> None:
    snapshot = {
        "content": f"Hay <@{BEN}> **now**",
        "timestamp": "2024-02-01T10:00:00+01:00",
        "attachments": [{"id": M2, "filename": "hay.txt", "size": 1, "url": "https://cdn/hay"}],
    }
    turn = meaning.turn(said(direct("", message_snapshots=[{"message": snapshot}])), WHO, own=BOT)
    assert turn is not None
    assert [(line.author, line.text, line.at.hour, line.by_bot) for line in turn.earlier] == [
        (meaning.FORWARDED, f"Hay @{BEN} **now**", 9, False)
    ]
    assert [file.name for file in turn.attachments] == ["hay.txt"]
    assert not meaning.says_nothing(turn)


def test_the_message_that_is_answered_comes_along_once() -> None:
    before = message("Llamas eat <:hay:1>", id=M2, author=user(BEN, "ben"))
    arrival = said(in_thread(mention("is that so?", type=19, referenced_message=before)))
    turn = meaning.turn(arrival, WHO, own=BOT)
    assert turn is not None
    known = ThreadLine(author="Ben", text="Llamas eat :hay:", at=at(M2))
    assert turn.earlier == (known,)
    again = meaning.turn(arrival, WHO, own=BOT, earlier=[known])
    assert again is not None
    assert again.earlier == (known,)


def test_our_own_card_that_is_answered_is_read_out_of_its_components() -> None:
    card = message("", id=M2, author=user(BOT, "quartet", bot=True))
    card["components"] = [
        {"type": 17, "components": [{"type": 10, "content": "Grass and hay."}, {"type": 14}]}
    ]
    turn = meaning.turn(said(message("why?", type=19, referenced_message=card)), WHO, own=BOT)
    assert turn is not None
    assert [(line.text, line.by_bot) for line in turn.earlier] == [("Grass and hay.", True)]


def test_stickers_polls_and_embeds_of_apps_are_named_and_previews_of_addresses_are_not() -> None:
    payload = direct(
        "",
        sticker_items=[{"id": M2, "name": "wave"}],
        poll={"question": {"text": "Hay?"}, "answers": [{"poll_media": {"text": "yes"}}, {}]},
        embeds=[
            {
                "type": "rich",
                "title": "Build 7",
                "description": "failed",
                "fields": [{"name": "Step", "value": "3"}],
            },
            {"type": "link", "title": "A page"},
        ],
    )
    turn = meaning.turn(said(payload), WHO, own=BOT)
    assert turn is not None
    assert turn.text == "[sticker: wave]\n[poll: Hay?; yes]\n[embed: Build 7 · failed · Step: 3]"


def test_a_mention_alone_says_nothing() -> None:
    turn = meaning.turn(said(mention("")), WHO, own=BOT)
    assert turn is not None
    assert meaning.says_nothing(turn)


def test_lines_of_a_thread_are_those_with_words_of_people_and_apps() -> None:
    assert meaning.line(message(f"<@{BOT}> hi", mentions=[user(BOT, "quartet")]), own=BOT) == ThreadLine(
        author="Ada", text="@Quartet hi", at=at(M1)
    )
    assert meaning.line(message("", id=M2), own=BOT) is None
    assert meaning.line(message("x joined", type=7), own=BOT) is None
    assert meaning.line({}, own=BOT) is None


# ── presses ──────────────────────────────────────────────────────────────────────────────────


def test_a_button_names_action_target_and_place() -> None:
    arrival = done(pressed("q:approve:a1"))
    button = meaning.pressed(arrival)
    assert button is not None
    click = meaning.click(arrival, button, WHO, NOW)
    assert (click.action, click.target, click.trigger) == ("approve", "a1", "400000000000000001")
    assert click.conversation.key == f"discord:{GUILD}:{GENERAL}:{THREAD}"
    assert click.message is not None
    assert click.message.message_id == M2


@pytest.mark.parametrize(("custom_id", "good"), [("q:good:r1", True), ("q:bad:r1", False)])
def test_feedback_names_the_run(custom_id: str, good: bool) -> None:
    arrival = done(pressed(custom_id))
    button = meaning.pressed(arrival)
    assert button is not None
    found = meaning.feedback(arrival, button, WHO, NOW)
    assert found is not None
    assert (found.target, found.good) == ("r1", good)


def test_a_settings_button_of_this_channel_stands_here_and_one_of_another_stands_there() -> None:
    here = meaning.pressed(done(pressed(f"q:settings:discord:{GUILD}:{GENERAL}")))
    there = meaning.pressed(done(pressed(f"q:settings:discord:{GUILD}:{DM}")))
    assert here is not None
    assert there is not None
    assert (here.elsewhere, here.conversation.thread) == (False, THREAD)
    assert (there.elsewhere, there.conversation.key) == (True, f"discord:{GUILD}:{DM}:")


@pytest.mark.parametrize(
    "target", ["discord:1", "slack:T1:C1", f"discord:x:{GENERAL}", f"discord:{GUILD}:{GENERAL}:{THREAD}", "x"]
)
def test_a_settings_button_of_no_place_is_nothing(target: str) -> None:
    assert meaning.pressed(done(pressed(f"q:settings:{target}"))) is None


def test_a_reaction_is_a_quiet_stop() -> None:
    there = ConversationRef(platform="discord", workspace=GUILD, channel=GENERAL, thread=THREAD)
    arrival = done(pressed())
    click = meaning.stop(arrival, there, WHO, "r1", NOW)
    assert (click.action, click.target, click.quiet) == ("stop", "r1", True)


def test_a_form_brings_its_values_cleaned() -> None:
    there = ConversationRef(platform="discord", workspace=GUILD, channel=GENERAL)
    found = meaning.form_input(done(submitted()), "edit:a1", there, {"goal": "a\r\nb\x00"}, WHO, NOW)
    assert (found.form_id, found.values) == ("edit:a1", {"goal": "a\nb"})


# ── /quartet ─────────────────────────────────────────────────────────────────────────────────

GIVEN: list[tuple[Json, str]] = [
    (typed("ask", text="why?"), "ask why?"),
    (typed("ask", text="why?", workflow="quartet"), "run quartet why?"),
    (typed("run", workflow="quartet", text="why?"), "run quartet why?"),
    (typed("status"), "status"),
    (typed("status", run="rabcdefghj234"), "status rabcdefghj234"),
    (typed("stop", run="rabcdefghj234"), "stop rabcdefghj234"),
    (typed("pause"), "pause"),
    (typed("resume"), "resume"),
    (typed("runs", status="failed"), "runs failed"),
    (typed("workflows"), "workflows"),
    (typed("workflows", about="rollback quartet 1"), "workflows rollback quartet 1"),
    (typed("run", workflow="deployment"), "run deployment"),
    (typed("team", text="Build it"), "team Build it"),
    (typed("fork", run="rabcdefghj234", step="build"), "fork rabcdefghj234 build"),
    (typed("fork", run="rabcdefghj234", step="build", inputs="a=1"), "fork rabcdefghj234 build a=1"),
    (typed("agents", agent="reviewer"), "agents reviewer"),
    (typed("usage"), "usage"),
    (typed("settings", change="busy=steer"), "settings busy=steer"),
    (typed("settings", change=f"approvers=<@{BEN}>"), f"settings approvers=discord:{BEN}"),
    (typed("why"), "why"),
    (typed("help", word="ask"), "help ask"),
    (typed(), "help"),
]


@pytest.mark.parametrize(("payload", "words"), GIVEN)
def test_every_command_becomes_the_words_that_the_bot_reads(payload: Json, words: str) -> None:
    command = meaning.command(done(payload), WHO, NOW)
    assert command.text == words
    assert command_words.read(command.text).word in command_words.WORDS


def test_every_word_of_the_bot_is_a_command_here() -> None:
    assert {words.split()[0] for _, words in GIVEN} == set(command_words.WORDS)


@pytest.mark.parametrize(
    ("payload", "asked"),
    [
        (typed("ask", text=" why? "), meaning.Asked("why?", None)),
        (typed("ask", text="why?", workflow="Quartet"), meaning.Asked("why?", "quartet")),
        (typed("run", workflow="quartet", text="why?"), meaning.Asked("why?", "quartet")),
        (typed("run", text="why?"), None),
        (typed("run", workflow="deployment"), None),
        (typed("team", text="Build it"), meaning.Asked("Build it", "team")),
        (typed("team", text=" "), None),
        (typed("ask", text=" "), None),
        (typed("status"), None),
    ],
)
def test_only_ask_and_run_with_words_are_questions(payload: Json, asked: meaning.Asked | None) -> None:
    assert meaning.asked_for(done(payload)) == asked


def test_the_message_of_the_menu_comes_with_its_author_its_words_and_its_files() -> None:
    target = message(
        "Hay <3",
        id=M2,
        author=user(BEN, "ben"),
        attachments=[{"id": M1, "filename": "a.md", "url": "https://cdn/a"}],
    )
    found = meaning.targeted(done(menu(target)), own=BOT)
    assert found is not None
    assert (found.message, found.author, found.text, found.by_us) == (M2, "Ben", "Hay <3", False)
    assert json.loads(found.attachments[0].locator)["channel"] == THREAD
    ours = meaning.targeted(done(menu(message(author=user(BOT, "quartet", bot=True)))), own=BOT)
    assert ours is not None
    assert ours.by_us


def test_a_menu_without_its_message_is_nothing() -> None:
    payload = menu(message())
    payload["data"]["resolved"] = {"messages": {}}
    assert meaning.targeted(done(payload), own=APP) is None
