"""What the page's forms send becomes Turns, Commands, Clicks and FormInputs, or a clear refusal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import (
    Button,
    Card,
    CardId,
    Click,
    Command,
    ConversationRef,
    Feedback,
    Form,
    FormField,
    Person,
    Turn,
)
from adapters.web.inbound import (
    COMMANDS,
    MOST_CHARACTERS,
    MOST_FILES,
    GivenFile,
    Refusal,
    Written,
    file_name,
    media_type,
    parse_click,
    parse_feedback,
    parse_form,
    parse_message,
    parse_said,
    person_named,
)
from adapters.web.messages import Said

HERE = ConversationRef(platform="web", workspace="local", channel="general", thread="c1")
ADA = Person(platform="web", id="ada", name="Ada")
AT = datetime(2026, 5, 4, tzinfo=UTC)


def message(text: str, *files: GivenFile, **more: str) -> Written | Refusal:
    fields = {"text": text, "nonce": "nonce-1234"} | {name.replace("__", "."): v for name, v in more.items()}
    return parse_message(fields.items(), files, nonce="fresh-nonce", file_bytes=1000)


def said(text: str, card: Card | None = None) -> Said:
    person = None if card else ADA
    return Said("m1", 1, 1, AT, person, text, {"tone": "plain"}, (), card, len(text))


def test_a_message_keeps_its_words_options_and_nonce() -> None:
    assert message(" one\r\ntwo ", option__tone="formal", option__length="", other="x") == Written(
        "one\ntwo", {"tone": "formal"}, "nonce-1234"
    )


@pytest.mark.parametrize("nonce", ["", "short", "x" * 65, "with space!", "ünicode-nonce"])
def test_a_nonce_that_is_not_ours_is_replaced(nonce: str) -> None:
    written = message("hello", nonce=nonce)
    assert isinstance(written, Written)
    assert written.nonce == "fresh-nonce"


@pytest.mark.parametrize("text", ["", "   \n\t ", "\x00\x1b"])
def test_an_empty_message_is_refused(text: str) -> None:
    assert message(text) == Refusal(422, "Write something first, or attach a file.")


def test_a_file_without_words_is_a_message() -> None:
    assert isinstance(message("", GivenFile("a", "text/plain", 3)), Written)


def test_the_longest_message_fits_and_one_more_character_does_not() -> None:
    assert isinstance(message("x" * MOST_CHARACTERS), Written)
    refusal = message("x" * (MOST_CHARACTERS + 1))
    assert refusal == Refusal(
        413, "Too long: at most 200,000 characters, this is 200,001. Attach it as a file instead."
    )


def test_too_many_and_too_large_files_are_refused_by_name() -> None:
    small = GivenFile("a", "text/plain", 3)
    assert message("x", *[small] * (MOST_FILES + 1)) == Refusal(
        413, "Too many files: at most 10 with one message, these are 11."
    )
    large = message("x", small, GivenFile("big.iso", "x/y", 1001))
    assert isinstance(large, Refusal)
    assert "big.iso is too large" in large.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/quartet", "help"),
        ("/quartet runs", "runs"),
        ("/quartet  ask what is it\nnow?", "ask what is it\nnow?"),
        ("/Quartet help", "help"),
        ("/QUARTET Runs failed", "Runs failed"),
        ("/status", "status"),
        ("/Status", "Status"),
        ("/pause", "pause"),
        ("/resume", "resume"),
        ("/run quartet Write it", "run quartet Write it"),
    ],
)
def test_words_of_commands_are_commands(text: str, words: str) -> None:
    given_ = parse_said(said(text), ADA, HERE, COMMANDS)
    assert isinstance(given_, Command)
    assert (given_.text, given_.key, given_.person) == (words, "m1", ADA)


@pytest.mark.parametrize(
    "text", ["/etc/hosts is empty", "/quartets", "/statusbar", "say /status", "/", "/unknown x"]
)
def test_other_words_are_turns(text: str) -> None:
    given_ = parse_said(said(text), ADA, HERE, COMMANDS)
    assert isinstance(given_, Turn)
    assert (given_.text, given_.key, dict(given_.context)) == (text, "m1", {"tone": "plain"})


CARD = Card(
    id=CardId("r:status"),
    kind="status",
    title="T",
    buttons=(
        Button(action="approve", target="ap 1", label="Approve"),
        Button(action="stop", target="r1", label="Stop"),
    ),
)


def click(press: str, on: Said | None) -> Click | Refusal:
    return parse_click({"press": press}.items(), on, key="k", person=ADA, conversation=HERE, at=AT)


def test_a_click_names_its_action_target_and_card() -> None:
    given_ = click("approve ap 1", said("", CARD))
    assert isinstance(given_, Click)
    assert (given_.action, given_.target) == ("approve", "ap 1")
    assert given_.message is not None
    assert given_.message.message_id == "m1"


@pytest.mark.parametrize(
    "press", ["", "approve", "approve ", "explode ap-1", " ap-1", "approve " + "x" * 501]
)
def test_a_button_that_there_is_not_is_refused(press: str) -> None:
    refusal = click(press, said("", CARD))
    assert isinstance(refusal, Refusal)
    assert refusal.status == 422


@pytest.mark.parametrize("press", ["approve ap 2", "reject ap 1", "stop ap 1", "approve r1", "stop r1 "])
def test_a_button_that_is_not_on_the_card_is_refused(press: str) -> None:
    refusal = click(press, said("", CARD))
    assert isinstance(refusal, Refusal)
    assert refusal.status == 409
    assert "not on the card any more" in refusal.text


@pytest.mark.parametrize("on", [None, said("words of a person")])
def test_a_click_on_no_card_is_refused(on: Said | None) -> None:
    refusal = click("approve ap-1", on)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 404


ANSWER = Card(id=CardId("r1:answer"), kind="answer", title="Answer", feedback="r1")


def rating(press: str, on: Said | None) -> Feedback | None:
    return parse_feedback({"press": press}.items(), on, key="k", person=ADA, conversation=HERE, at=AT)


@pytest.mark.parametrize(("press", "good"), [("good r1", True), ("bad r1", False)])
def test_what_somebody_thinks_of_an_answer_names_its_run(press: str, good: bool) -> None:
    given_ = rating(press, said("", ANSWER))
    assert given_ is not None
    assert (given_.target, given_.good, given_.person, given_.conversation) == ("r1", good, ADA, HERE)


@pytest.mark.parametrize("press", ["", "good", "good ", "good r2", "better r1", "approve r1"])
def test_what_is_no_button_of_the_answer_is_no_rating(press: str) -> None:
    assert rating(press, said("", ANSWER)) is None
    assert rating("good r1", said("", CARD)) is None
    assert rating("good ", said("", CARD)) is None
    assert rating("good r1", None) is None


def test_a_form_is_checked_at_its_fields_and_strange_fields_are_left_out() -> None:
    form = Form(
        id="edit:1",
        title="T",
        fields=(
            FormField(name="goal", label="G", max_length=5),
            FormField(name="why", label="W", required=False),
        ),
    )
    fields = {"field.goal": "123456", "field.evil": "x", "nonce": "nonce-1234"}
    given_, errors = parse_form(fields.items(), form, key="k", person=ADA, conversation=HERE, at=AT)
    assert dict(given_.values) == {"goal": "123456", "why": ""}
    assert errors == {"goal": "Too long: at most 5 characters, this is 6."}
    assert (given_.key, given_.form_id) == ("nonce-1234", "edit:1")
    _, errors = parse_form([], form, key="k", person=ADA, conversation=HERE, at=AT)
    assert errors == {"goal": "This is needed."}


@given(st.text(max_size=300))
def test_names_of_files_are_harmless(name: str) -> None:
    kept = file_name(name)
    assert 1 <= len(kept) <= 150
    assert "/" not in kept
    assert "\\" not in kept
    assert kept.encode()


def test_types_of_files_have_the_shape_of_types() -> None:
    given_ = ["text/HTML; charset=x", "image/svg+xml", None, "", "x", "a/b\r\nset-cookie: x", "<script>/x"]
    other = "application/octet-stream"
    assert [media_type(one) for one in given_] == ["text/html", "image/svg+xml", *[other] * 5]


def test_the_same_name_is_the_same_person() -> None:
    assert person_named("  Ada   Lovelace ") == Person(
        platform="web", id="ada-lovelace", name="Ada Lovelace", is_admin=True
    )
    assert person_named("ADA lovelace").id == "ada-lovelace"  # pyright: ignore[reportOptionalMemberAccess]
    assert person_named(" \x00 --- ") is None
