"""Inputs, priority and deadline out of what people type after a workflow's name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.run_words import WordsError, parse, parse_deadline, parse_priority

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=timezone(timedelta(hours=1), "CET"))  # a Wednesday
KNOWN = ("environment", "version", "dry_run", "approvers")


def read(text: str) -> tuple[dict[str, str], str]:
    words = parse(text, KNOWN, NOW)
    return dict(words.inputs), words.text


@pytest.mark.parametrize(
    ("typed", "inputs", "text"),
    [
        ("", {}, ""),
        ("Ship it", {}, "Ship it"),
        ("environment=staging", {"environment": "staging"}, ""),
        ("environment=staging version=1.2 Ship it", {"environment": "staging", "version": "1.2"}, "Ship it"),
        ("Ship it environment=staging", {"environment": "staging"}, "Ship it"),
        ("version=1 Ship it\nnow environment=prod", {"version": "1", "environment": "prod"}, "Ship it\nnow"),
        ("ENVIRONMENT=Staging", {"environment": "Staging"}, ""),
        ("dry-run=yes", {"dry_run": "yes"}, ""),
        ("version= Ship it", {"version": ""}, "Ship it"),
        ('approvers="Ada, Bob" go', {"approvers": "Ada, Bob"}, "go"),
        ("approvers='Ada Bob'", {"approvers": "Ada Bob"}, ""),
        ("approvers=“Ada Bob” go", {"approvers": "Ada Bob"}, "go"),
        (r'version="a \"b\" \\c"', {"version": 'a "b" \\c'}, ""),
        ('version="a"b"', {"version": 'a"b'}, ""),
        ('version=""', {"version": ""}, ""),
        ("version=a=b=c", {"version": "a=b=c"}, ""),
        ("version=https://x.y/?a=b", {"version": "https://x.y/?a=b"}, ""),
        # What is no input stays text, wherever it stands.
        ("x=1 environment=prod", {"environment": "prod"}, "x=1"),
        ("set version=2 where it says 1", {}, "set version=2 where it says 1"),
        ("Why is a == b?", {}, "Why is a == b?"),
        ("e=mc2", {}, "e=mc2"),
        ("the value of myversion=3", {}, "the value of myversion=3"),
        ("  environment=a   \n  text here  ", {"environment": "a"}, "text here"),
    ],
)
def test_pairs_before_and_after_the_text_are_inputs(typed: str, inputs: dict[str, str], text: str) -> None:
    assert read(typed) == (inputs, text)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("version=1 version=2", "version is given twice"),
        ("version=1 go VERSION=2", "version is given twice"),
        ("verison=1.2", "did you mean version="),
        ("enviroment=prod Ship it", "did you mean environment="),
        ('approvers="Ada, Bob', "not closed"),
        ("approvers=“Ada", "not closed"),
        ("go version='1", "not closed"),
        ("priority=urgent", "priorities are critical, high, medium, low"),
        ("deadline=soon", "is no time; write for example 2h"),
        ("deadline=", "is no time"),
        ("deadline=2020-01-01", "is over already"),
        ("deadline=900d", "more than a year"),
        ("deadline=999999w999999w", "more than a year"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(typed: str, hint: str) -> None:
    with pytest.raises(WordsError, match=hint):
        parse(typed, KNOWN, NOW)


def test_more_pairs_than_anybody_needs_are_refused() -> None:
    with pytest.raises(WordsError, match="More than 100"):
        parse(" ".join(f"k{i}=1" for i in range(200)), [f"k{i}" for i in range(200)], NOW)


def test_priority_and_deadline_are_taken_out() -> None:
    words = parse("priority=HIGH deadline=tomorrow 17:00 version=2 Ship it", KNOWN, NOW)
    assert (words.priority, words.text, dict(words.inputs)) == ("high", "Ship it", {"version": "2"})
    assert words.deadline == datetime(2026, 3, 5, 16, 0, tzinfo=UTC)
    assert parse("Ship it deadline=2h", KNOWN, NOW).deadline == datetime(2026, 3, 4, 16, 30, tzinfo=UTC)
    quoted = parse('deadline="friday 9:30" go', KNOWN, NOW)
    assert (quoted.deadline, quoted.text) == (datetime(2026, 3, 6, 8, 30, tzinfo=UTC), "go")
    assert parse_priority(" low ") == "low"


def test_a_workflows_own_priority_goes_first() -> None:
    words = parse("priority=P1 deadline=never", ["priority", "deadline"], NOW)
    assert (dict(words.inputs), words.priority, words.deadline) == (
        {"priority": "P1", "deadline": "never"},
        None,
        None,
    )


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("30m", "2026-03-04T15:00Z"),
        ("1h30m", "2026-03-04T16:00Z"),
        ("1.5h", "2026-03-04T16:00Z"),
        ("3d", "2026-03-07T14:30Z"),
        ("1w", "2026-03-11T14:30Z"),
        ("17:00", "2026-03-04T16:00Z"),
        ("15:30", "2026-03-05T14:30Z"),  # now: so tomorrow's
        ("9:05", "2026-03-05T08:05Z"),
        ("today 23:00", "2026-03-04T22:00Z"),
        ("today", "2026-03-04T22:59:59Z"),
        ("Tomorrow", "2026-03-05T22:59:59Z"),
        ("tomorrow  17.00", "2026-03-05T16:00Z"),
        ("wednesday", "2026-03-04T22:59:59Z"),
        ("wednesday 9:00", "2026-03-11T08:00Z"),
        ("friday 9:30", "2026-03-06T08:30Z"),
        ("2026-03-05", "2026-03-05T22:59:59Z"),
        ("2026-03-05T17:00", "2026-03-05T16:00Z"),
        ("2026-03-05 17:00", "2026-03-05T16:00Z"),
        ("2026-03-05T17:00Z", "2026-03-05T17:00Z"),
        ("2026-03-05T17:00:00+05:30", "2026-03-05T11:30Z"),
    ],
)
def test_a_deadline_is_said_in_many_ways(text: str, at: str) -> None:
    assert parse_deadline(text, NOW) == datetime.fromisoformat(at)
    assert parse_deadline(text, NOW).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "2", "h", "-2h", "2 h", "25:00", "24:00", "tomorrow tomorrow", "tomorrow 17:00 18:00", "0001-01-01",
     "9999-12-31T23:59:59-14:00", "0001-01-01T00:00+14:00", "now", "today 9:00", "0m", "2026-02-30",
     "x" * 100_000, "\u0663h", "1e5h", "nan", "2026-W10-1T25", "\x00"],
)  # fmt: skip
def test_what_is_no_moment_to_come_is_refused(text: str) -> None:
    with pytest.raises(WordsError) as caught:
        parse_deadline(text, NOW)
    assert len(str(caught.value)) < 250


@given(st.text(max_size=80), st.sampled_from([KNOWN, (), ("a",), ("priority", "x")]))
def test_any_text_is_read_or_refused_and_nothing_is_lost(text: str, known: tuple[str, ...]) -> None:
    try:
        words = parse(text, known, NOW)
    except WordsError:
        return
    assert set(words.inputs) <= set(known)
    if not words.inputs and words.priority is None and words.deadline is None:
        assert words.text == text.strip()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.text("abc =\n\"'", max_size=20))
def test_every_value_can_be_said_in_quotation_marks(value: str, more: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    words = parse(f'version="{quoted}" text {more}x', KNOWN, NOW)
    assert dict(words.inputs) == {"version": value}
    assert words.text == f"text {more}x".strip()


def test_a_very_long_text_is_read_at_once() -> None:
    long = "a=1 version=" * 50_000
    assert parse(f"start {long}x y", KNOWN, NOW).text == f"start {long}x y"
