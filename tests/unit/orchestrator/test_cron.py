"""Cron in time zones: both changes of the clock, times that were missed, and words that are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cron import (
    CronError,
    checked_cron,
    checked_zone,
    latest_time,
    next_time,
    schedule_flaw,
    zones,
)

BERLIN = "Europe/Berlin"
HOUR = timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(cron: str, zone: str, after: str, count: int) -> list[str]:
    at, found = utc(after), list[str]()
    for _ in range(count):
        at = next_time(cron, zone, at)
        found.append(f"{at:%m-%d %H:%M}")
    return found


def test_a_time_that_the_clock_skips_in_spring_is_due_right_after() -> None:
    # 29 March 2026: 02:00 becomes 03:00 (01:00 UTC) in Berlin.
    assert following("30 2 * * *", BERLIN, "2026-03-28T00:00", 3) == [
        "03-28 01:30",
        "03-29 01:00",
        "03-30 00:30",
    ]


def test_a_time_that_comes_twice_in_autumn_is_due_once() -> None:
    # 25 October 2026: 03:00 becomes 02:00 (01:00 UTC) in Berlin.
    assert following("30 2 * * *", BERLIN, "2026-10-24T00:00", 3) == [
        "10-24 00:30",
        "10-25 00:30",
        "10-26 01:30",
    ]


@pytest.mark.parametrize(
    "after", ["2026-10-25T00:31", "2026-10-25T01:10", "2026-10-25T01:29", "2026-10-25T01:45"]
)
def test_within_the_hour_that_is_repeated_nothing_that_has_been_is_due_again(after: str) -> None:
    assert following("30 2 * * *", BERLIN, after, 1) == ["10-26 01:30"]


def test_every_half_hour_goes_on_in_real_time_through_both_changes() -> None:
    for day in ("2026-03-29T00:10", "2026-10-25T00:10"):
        at = [utc(f"2026-{each.replace(' ', 'T')}") for each in following("*/30 * * * *", BERLIN, day, 6)]
        assert {b - a for a, b in pairwise(at)} == {timedelta(minutes=30)}


def test_sixteen_oclock_stays_sixteen_oclock_there() -> None:
    assert following("0 16 * * 5", BERLIN, "2026-03-21T00:00", 2) == ["03-27 15:00", "04-03 14:00"]
    assert following("0 16 * * 5", "America/New_York", "2026-03-01T00:00", 2) == [
        "03-06 21:00",
        "03-13 20:00",
    ]


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        ("2026-01-02T10:00", "2026-01-02T10:00"),  # on time
        ("2026-01-02T10:40", "2026-01-02T10:30"),  # the newest one alone
        ("2026-01-02T23:05", "2026-01-02T23:00"),
        ("2026-12-02T23:05", "2026-12-02T23:00"),  # after months, at once
    ],
)
def test_of_what_was_missed_the_newest_is_made_up_for(now: str, wanted: str) -> None:
    found = latest_time("*/30 * * * *", "UTC", utc("2026-01-02T10:00"), utc(now), HOUR)
    assert found == utc(wanted)


def test_what_is_longer_ago_than_the_grace_is_not_made_up_for() -> None:
    due = utc("2026-01-02T10:00")
    assert latest_time("0 10 * * *", "UTC", due, due + HOUR, HOUR) == due
    assert latest_time("0 10 * * *", "UTC", due, due + HOUR + timedelta(seconds=1), HOUR) is None


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "61 * * * *", "0 25 * * *", "*/0 * * * *", "5-1 * * * *", "a b c d e",
     "0 0 30 2 *", "٣ * * * *", "0 0 * * 9", "; rm -rf /", "1" * 5_000, "* " * 5_000, "\x00 * * * *",
     f"*/{'9' * 90} * * * *x"],
)  # fmt: skip
def test_what_is_no_cron_expression_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(CronError, match="for example") as told:
        checked_cron(text)
    assert len(str(told.value)) < 400


@pytest.mark.parametrize(
    ("name", "near"),
    [("berlin", "Europe/Berlin"), ("Europe/Berln", "Europe/Berlin"), ("New York", "America/New_York"),
     ("../../etc/passwd", "IANA"), ("x" * 5_000, "IANA"), ("", "IANA"), ("a\x00b", "IANA")],
)  # fmt: skip
def test_an_unknown_zone_is_refused_with_the_nearest_one(name: str, near: str) -> None:
    with pytest.raises(CronError, match=near):
        checked_zone(name)


def test_zones_may_be_written_in_small_letters() -> None:
    assert checked_zone("europe/berlin") == BERLIN
    assert checked_zone("utc") == "UTC"


def test_a_drafts_schedule_is_refused_with_the_reason() -> None:
    assert (
        schedule_flaw("", "") == schedule_flaw("0 16 * * 5", BERLIN) == schedule_flaw("0 16 * * 5", "") == ""
    )
    assert "the hour cannot be read" in schedule_flaw("0 99 * * *", BERLIN)
    assert "Europe/Berlin" in schedule_flaw("0 9 * * *", "Berlin")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["30 2 * * *", "0 3 * * *", "*/7 * * * *", "0 0 29 2 *", "15 1-3 * * 0", "0 16 * * 5"]),
    st.sampled_from(sorted(zones().values())),
    st.datetimes(
        utc("2024-01-01T00:00").replace(tzinfo=None),
        utc("2030-01-01T00:00").replace(tzinfo=None),
        timezones=st.just(UTC),
    ),
)
def test_the_next_time_is_always_later_and_known_as_such(cron: str, zone: str, after: datetime) -> None:
    due = next_time(cron, zone, after)
    assert due > after
    assert next_time(cron, zone, due - timedelta(seconds=1)) == due
    assert latest_time(cron, zone, due, due, HOUR) == due


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"([0-9*,/-]{1,6} ){4}[0-9*,/-]{1,6}", fullmatch=True))
def test_any_text_is_an_expression_that_comes_true_or_is_refused(text: str) -> None:
    try:
        cron = checked_cron(text)
    except CronError:
        return
    assert next_time(cron, "UTC", utc("2026-01-01T00:00")) > utc("2026-01-01T00:00")
