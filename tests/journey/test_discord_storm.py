"""Discord under load, with its rate limits on: 100 runs at once, a pause for all calls, a hundred clicks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.journey.discord_desk import APPROVAL, Desk, desk
from tests.journey.discord_storm import PEOPLE, TYPING, Storm, read_log
from tests.journey.discord_waits import CALM_S, FACTOR, Waits, best
from tests.twins.discord import DiscordTwin
from tests.twins.discord.rates import GLOBAL

CHANNELS, EACH, DIRECT, THREADS = 8, 10, 10, 10
RUNS = CHANNELS * EACH + DIRECT + THREADS
CALLS = 12  # of a run, on average
PAUSED_RUNS, PAUSE_S = 70, 15.0  # more than a second's calls; long enough to come to their approvals
CLICKS = 100
BUSY = 3.0  # what is measured beside other tests may take so many times as long
READ_S = 3.0  # in which people approve a hundred questions
WORDS = {"approve": "approved", "reject": "rejected"}


def twin() -> DiscordTwin:
    """A Discord whose limits are as slow as Discord's."""
    return DiscordTwin(time_scale=1.0)


def all_in_time(waits: Waits, slack_s: float) -> None:
    """The absolute bound is for where there is room: then the best is nothing at all, and what is measured is
    the machine, on which bot and Discord share the processors with other tests; `bench` has it to itself."""
    for share in (0.95, 1.0):
        real, best = waits.p(share)
        assert real <= max(FACTOR * best, slack_s) * BUSY, waits.line()


def test_best_is_fifty_in_any_second_and_five_in_five_seconds_of_a_channel() -> None:
    apart = best([(7.0, f"channel {number}") for number in range(120)])
    assert Counter(apart) == {7.0: 50, 8.0: 50, 9.0: 20}
    assert Counter(best([(7.0, "one")] * 11)) == {7.0: 5, 12.0: 5, 17.0: 1}
    assert best([(7.0, "one"), (9.5, "two")], opens=9.0) == [9.0, 9.5]


def within_limits(one: Desk) -> None:
    """Never more calls than are allowed, nothing said 429, and so nothing was ignored."""
    rates = one.discord.rates
    assert rates.busiest <= GLOBAL[0]
    assert rates.impatient == []


def each_once(storm: Storm) -> None:
    """Every run has one card, one approval and one answer."""
    assert Counter((kind, count) for (_, kind), count in storm.kinds().items()) == {
        (kind, 1): len(storm.places) for kind in ("approval", "answer", "status")
    }


@pytest.mark.timeout(300)
async def test_storm_of_100_runs_in_channels_threads_and_direct_messages(tmp_path: Path) -> None:
    async with desk(tmp_path, discord=twin()) as one:
        storm = Storm(one, approve_at_once=False)
        storm.begin(channels=CHANNELS, each=EACH, direct=DIRECT, threads=THREADS)
        await storm.there("approval", within_s=60)
        await storm.approve_within(READ_S)
        await storm.there("answer", within_s=60)
        await storm.ended(within_s=60)
        for kind in ("approval", "answer"):
            all_in_time(await storm.waits(kind), CALM_S)
        each_once(storm)
        within_limits(one)
        assert one.discord.rates.refused == []
        calls = storm.calls()
        assert calls.total() / RUNS < CALLS, calls
        assert calls[TYPING] <= RUNS, calls  # at most once for each, where there is room for it
        assert not any(click.failed for click in storm.clicks)


@pytest.mark.timeout(300)
async def test_after_a_pause_for_all_calls_every_approval_goes_out_before_any_progress(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, discord=twin()) as one:
        storm = Storm(one, approve_at_once=False)
        people = [one.discord.person(f"asker{number}") for number in range(PAUSED_RUNS)]
        # The call is alone: nothing else can be on its way when it is refused.
        one.discord.faults.order("*", retry_after=PAUSE_S, scope="global")
        storm.ask_directly(people[0])
        refused = await one.until(lambda: next((c for c in one.discord.calls if c.status == 429), None))
        opens = refused.done_at + PAUSE_S
        for person in people[1:]:
            storm.ask_directly(person)
        await storm.there("approval", within_s=60)
        await storm.approve_within(READ_S)
        await storm.there("answer", within_s=60)
        epoch = time.time() - time.monotonic()
        waits = await storm.waits("approval", opens=opens + epoch)
        waited = [real for real, ideal in zip(waits.real, waits.best, strict=True) if ideal > 0]
        assert len(waited) > GLOBAL[0], "more than a second's calls waited for the end of the pause"
        all_in_time(waits, CALM_S)
        await storm.ended(within_s=60)
        # Of approvals that waited when Discord opened; what is on its way at once may overtake each other.
        until = await storm.last_of_those("approval", before=opens + epoch) - epoch - 0.1
        assert [call.name for call in storm.progress() if opens < call.at < until] == []
        assert len(storm.progress()) > PAUSED_RUNS, "and there was some"
        each_once(storm)
        within_limits(one)


@pytest.mark.timeout(300)
async def test_100_clicks_by_10_people_are_one_decision_and_99_private_notes(tmp_path: Path) -> None:
    async with desk(tmp_path, discord=twin()) as one:
        people = [one.discord.person(f"person{number}") for number in range(PEOPLE)]
        thread = people[0].mentions(one.general, "What is tea?")
        card = await one.message(thread, APPROVAL, by=people[0])
        clicks = [
            people[number % PEOPLE].clicks(card.id, label=(APPROVAL, "Reject")[number // PEOPLE % 2])
            for number in range(CLICKS)
        ]
        await asyncio.gather(*(click.wait() for click in clicks))
        await one.quiet(thread, by=people[0])
        log = await asyncio.to_thread(read_log, one, (await one.runs())[0]["id"])
        [resolved] = [event["body"] for event in log if event["type"] == "approval_resolved"]
        winner, how = resolved["who"]["name"], WORDS[resolved["outcome"]]
        first = [click for click in clicks if click.outcome == "deferred"]
        notes = [click.message for click in clicks if click.outcome == "message" and click.ephemeral]
        assert (len(first), len(notes)) == (1, CLICKS - 1)
        assert {note.text for note in notes if note is not None} == {
            f"This was already {how} by {winner}; your click changed nothing."
        }
        shown = [each.text for each in one.sees(thread, by=people[0]) if not each.ephemeral]
        assert sum(f"{how} by {winner}" in text for text in shown) == 1, shown
        # A decision makes one builder work; a rejected one none.
        assert sum(event["type"] == "approval_requested" for event in log) == 1
        within_limits(one)
