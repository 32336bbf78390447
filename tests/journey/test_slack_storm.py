"""Slack under load, with its rate limits on: 200 runs at once, and 100 clicks on one approval."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.journey.slack_desk import APPROVAL, Mode, desk
from tests.journey.slack_scripts import script
from tests.journey.slack_storm import CALM_S, FACTOR, PEOPLE, Storm, read_log
from tests.twins.slack.workspace import Ephemeral

CHANNELS, EACH = 20, 10
RUNS = CHANNELS * EACH
LEFT = (
    3  # calls that a run may still make once it has answered: approval edited, status card posted and edited
)
CALLS = 12  # of a run, on average
CLICKS = 100
BUSY = 3.0  # what is measured beside other tests may take so many times as long; `bench` measures it alone
WORDS = {"approve": "approved", "reject": "rejected"}


@pytest.mark.timeout(420)
async def test_storm_of_200_runs_in_20_channels_then_a_calm_hour(tmp_path: Path) -> None:
    async with desk(tmp_path) as one:
        storm = Storm(one, approve_at_once=False)
        storm.begin(channels=CHANNELS, each=EACH)
        await storm.there("approval", within_s=120)
        storm.approve()
        await storm.there("answer", within_s=180)
        calls = storm.calls()
        approvals = await storm.waits("approval")
        for share in (0.95, 1.0):
            real, best = approvals.p(share)
            assert real <= max(FACTOR * best, CALM_S) * BUSY, approvals.line()
        assert calls.total() / RUNS + LEFT < CALLS, calls
        # There are too few streams for all, so status cards fall back to messages; nobody gets two.
        assert one.slack.faults.count("chat.startStream", ok=True) < RUNS / 2
        await storm.there("status", within_s=60)
        assert Counter((kind, count) for (_, kind), count in storm.kinds().items()) == {
            ("approval", 1): RUNS,
            ("answer", 1): RUNS,
            ("status", 1): RUNS,
        }
        assert storm.impatient() == []

        storm.approve_at_once = True
        before = len(storm.threads)
        await storm.begin_slowly(channels=CHANNELS, runs=12, pause_s=1.0)
        await storm.there("answer", within_s=60)
        calm = await storm.waits("approval", since=before)
        assert calm.p(0.95)[0] < CALM_S * BUSY, calm.line()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["socket", "http"])
async def test_100_clicks_by_10_people_are_one_decision_and_99_private_notes(
    tmp_path: Path, mode: Mode
) -> None:
    async with desk(tmp_path, mode=mode, script=script()) as one:
        people = [one.slack.person(f"person{number}") for number in range(PEOPLE)]
        channel = one.slack.channel("plans", *(each.user.name for each in people))
        thread = people[0].mentions(channel, "What is tea?")
        card = await one.message(thread, APPROVAL, by=people[0], channel=channel)
        for number in range(CLICKS):
            people[number % PEOPLE].clicks(channel, card.ts, (APPROVAL, "Reject")[number // PEOPLE % 2])

        def notes() -> list[Ephemeral] | None:
            told = [n for n in one.slack.world.ephemerals if (n.channel, n.thread_ts) == (channel, thread)]
            return told if len(told) >= CLICKS - 1 else None

        told = await one.until(notes)
        await one.quiet(thread, by=people[0], channel=channel)
        await one.settled()
        log = await asyncio.to_thread(read_log, one, (await one.runs())[0]["id"])
        [resolved] = [event["body"] for event in log if event["type"] == "approval_resolved"]
        assert resolved["outcome"] in ("approve", "reject")
        assert len(one.prompts("builder")) == (1 if resolved["outcome"] == "approve" else 0)
        winner = resolved["who"]["name"]
        assert {note.text for note in told} == {
            f"This was already {WORDS[resolved['outcome']]} by {winner}; your click changed nothing."
        }
        answered = Counter(note.user for note in told)
        of_winner = next(each for each in people if each.user.name == winner or winner in each.user.name)
        assert answered == {each.id: CLICKS // PEOPLE - (each is of_winner) for each in people}
        assert f"{WORDS[resolved['outcome']]} by {winner}" in one.read(thread, by=people[0], channel=channel)
