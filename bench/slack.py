"""The bot on a Slack on loopback, with its rate limits: a storm of runs, acknowledgements, first reactions.

Slack and the people are played by this process, the bot is a process of its own; the rules engine plays the
agents. What an approval waits is compared with the best the limits allow (`tests/journey/slack_storm.py`).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil

from bench.report import Figure
from tests.journey.slack_desk import Desk, Mode, desk
from tests.journey.slack_storm import CALM_S, FACTOR, Storm, quantile

CHANNELS, EACH = 20, 10
RUNS = CHANNELS * EACH
CALM_RUNS, CALM_PAUSE_S = 40, 1.0
MENTIONS, MENTIONS_S = 200, 2.0
REACTIONS = 40
SETTLES_S = 900.0  # 200 approvals and 200 status cards are edited 50 times a minute


def measure() -> list[Figure]:
    """First reactions and acknowledgements in both modes, then the storm; each with a bot of its own."""
    modes: tuple[Mode, ...] = ("socket", "http")
    figures = [asyncio.run(_at_a_desk(mode, part)) for mode in modes for part in (_reaction, _acks)]
    figures.append(asyncio.run(_at_a_desk("socket", _storm)))
    return [figure for several in figures for figure in several]


async def _at_a_desk(
    mode: Mode, part: Callable[[Desk, Mode], Awaitable[Sequence[Figure]]]
) -> Sequence[Figure]:
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        async with desk(Path(folder), mode=mode) as one:
            return await part(one, mode)


async def _reaction(one: Desk, mode: Mode) -> Sequence[Figure]:
    """From a person's message to the first thing that anybody sees of the bot: its line, or a card."""
    storm = Storm(one)
    channels = storm.channels(CHANNELS)
    times: list[float] = []
    for number in range(REACTIONS):
        before = len(one.slack.calls)
        begun = time.monotonic()
        thread = storm.ask(channels[number % CHANNELS])

        def reacted(before: int = before, thread: str = thread) -> float | None:
            mine = (call for call in one.slack.calls[before:] if call.arguments.get("thread_ts") == thread)
            return next((call.at for call in mine if call.status == 200 and not call.error), None)

        times.append(1000 * (await one.until(reacted) - begun))
        await storm.there("answer", within_s=30)
        await one.quiet(thread, by=storm.people[0], channel=channels[number % CHANNELS])
    name = f"mention to first visible reaction, {mode}, p95"
    return [Figure(name, quantile(times, 0.95), "ms", 300, "less")]


async def _acks(one: Desk, mode: Mode) -> Sequence[Figure]:
    """Every event of 200 mentions; those that the bot's own messages make are not counted."""
    storm = Storm(one, approve_at_once=False)
    channels = storm.channels(CHANNELS)
    people = {person.id for person in storm.people}
    storm.ask(channels[0])  # what is loaded with the first run is loaded now
    await storm.there("approval", within_s=30)
    await one.settled()
    begun, first = time.monotonic(), len(one.slack.delivery.parcels)
    for number in range(MENTIONS):
        storm.ask(channels[number % CHANNELS])
        await asyncio.sleep(max(0.0, begun + (number + 1) * MENTIONS_S / MENTIONS - time.monotonic()))
    await one.settled()
    sent = [parcel for parcel in one.slack.delivery.parcels[first:] if parcel.event.get("user") in people]
    tries = [attempt for parcel in sent for attempt in parcel.attempts]
    times = [1000 * (each.acked_at - each.sent_at) for each in tries if each.acked_at is not None]
    assert len(sent) == 2 * MENTIONS, "a mention is two events"
    assert len(times) == len(tries), "events were not acknowledged"
    name = f"acknowledging {MENTIONS} mentions in {MENTIONS_S:g} s, {mode}"
    return [Figure(f"{name}, p99", quantile(times, 0.99), "ms", 200, "less")]


async def _storm(one: Desk, mode: Mode) -> Sequence[Figure]:
    [bot] = psutil.Process().children()
    idle = bot.memory_info().rss
    storm = Storm(one, approve_at_once=False)
    begun = time.monotonic()
    storm.begin(channels=CHANNELS, each=EACH)
    await storm.there("approval", within_s=120)
    storm.approve()
    await storm.there("answer", within_s=180)
    answered = time.monotonic() - begun
    grown = bot.memory_info().rss - idle
    approvals, answers = await storm.waits("approval"), await storm.waits("answer")
    storm.approve_at_once = True
    before = len(storm.threads)
    await storm.begin_slowly(channels=CHANNELS, runs=CALM_RUNS, pause_s=CALM_PAUSE_S)
    await storm.there("answer", within_s=60)
    calm = await storm.waits("approval", since=before)
    await storm.ended(within_s=SETTLES_S)
    return [
        *_waits("approval", approvals.p(0.95), approvals.p(1.0)),
        Figure("storm: answer, event to Slack, p95", answers.p(0.95)[0], "s", note=answers.line()),
        Figure(f"{CALM_RUNS} runs, one a second: approval, p95", calm.p(0.95)[0], "s", CALM_S, "less"),
        Figure(f"storm by {mode}: {RUNS} answers after", answered, "s"),
        Figure("calls of the API for a run", storm.calls().total() / len(storm.threads), "", 12, "less"),
        Figure("calls before their Retry-After", len(storm.impatient()), "", 1, "less"),
        Figure("storm: memory added", grown / 1e6, "MB"),
    ]


def _waits(what: str, *pairs: tuple[float, float]) -> Sequence[Figure]:
    names = ("p95", "longest")
    return [
        Figure(
            f"storm: {what}, event to Slack, {name}",
            real,
            "s",
            max(FACTOR * best, CALM_S),
            "less",
            f"the limits allow {best:.2f} s at best",
        )
        for name, (real, best) in zip(names, pairs, strict=True)
    ]
