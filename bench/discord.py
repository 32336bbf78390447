"""The bot on a Discord on loopback, with its rate limits: a storm of runs, clicks, first reactions.

Discord and the people are played by this process, the bot is a process of its own; the rules engine plays the
agents. What an approval waits is compared with the best the limits allow (`tests/journey/discord_waits.py`).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil

from bench.report import Figure
from tests.journey.discord_desk import APPROVAL, Desk, desk
from tests.journey.discord_storm import PEOPLE, TYPING, Storm
from tests.journey.discord_waits import CALM_S, FACTOR, quantile
from tests.twins.discord import DiscordTwin
from tests.twins.discord.people import Interaction
from tests.twins.discord.rates import GLOBAL

CHANNELS, EACH, DIRECT, THREADS = 8, 10, 10, 10
RUNS = CHANNELS * EACH + DIRECT + THREADS
CALM_RUNS, CALM_PAUSE_S = 40, 1.0
REACTIONS = 40
READ_S = 2.0  # in which people approve a hundred questions
CLICKS = 100
DEFERRED_MS = 2_000  # later than this nobody is told more than "wait"; Discord itself waits for 3 s


def measure() -> list[Figure]:
    """First reactions, clicks and the storm; each with a bot of its own."""
    figures = [asyncio.run(_at_a_desk(part)) for part in (_reaction, _clicks, _storm)]
    return [figure for several in figures for figure in several]


async def _at_a_desk(part: Callable[[Desk], Awaitable[Sequence[Figure]]]) -> Sequence[Figure]:
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        async with desk(Path(folder), discord=DiscordTwin(time_scale=1.0)) as one:
            return await part(one)


async def _reaction(one: Desk) -> Sequence[Figure]:
    """From a person's message to the first thing that anybody sees of the bot: the thread it begins."""
    storm = Storm(one)
    channels = storm.channels(CHANNELS)
    times: list[float] = []
    for number in range(REACTIONS):
        before = len(one.discord.calls)
        begun = time.monotonic()
        place = storm.ask(channels[number % CHANNELS])

        def reacted(before: int = before) -> float | None:
            mine = (call for call in one.discord.calls[before:] if call.method != "GET")
            return next((call.done_at for call in mine if 200 <= call.status < 300), None)

        times.append(1000 * (await one.until(reacted) - begun))
        await storm.there("answer", within_s=30)
        await one.quiet(place, by=storm.people[0])
    return [Figure("mention to first visible reaction, p95", quantile(times, 0.95), "ms", 300, "less")]


async def _clicks(one: Desk) -> Sequence[Figure]:
    """Ten people press an approval's buttons ten times each, before any of them sees what came of it."""
    people = [one.discord.person(f"person{number}") for number in range(PEOPLE)]
    thread = people[0].mentions(one.general, "What is tea?")
    card = await one.message(thread, APPROVAL, by=people[0])
    clicks = [
        people[number % PEOPLE].clicks(card.id, label=(APPROVAL, "Reject")[number // PEOPLE % 2])
        for number in range(CLICKS)
    ]
    await asyncio.gather(*(click.wait() for click in clicks))
    await one.quiet(thread, by=people[0])
    return _answered(f"{CLICKS} clicks on one approval at once, answered", clicks)


def _answered(name: str, clicks: Sequence[Interaction]) -> list[Figure]:
    times = [1000 * click.answered_within for click in clicks if click.answered_within is not None]
    assert len(times) == len(clicks), "clicks were not answered"
    return [
        Figure(f"{name}, p50", quantile(times, 0.5), "ms"),
        Figure(f"{name}, p99", quantile(times, 0.99), "ms", DEFERRED_MS, "less"),
    ]


async def _storm(one: Desk) -> Sequence[Figure]:
    [bot] = psutil.Process().children()
    idle = bot.memory_info().rss
    storm = Storm(one, approve_at_once=False)
    begun = time.monotonic()
    storm.begin(channels=CHANNELS, each=EACH, direct=DIRECT, threads=THREADS)
    await storm.there("approval", within_s=120)
    await storm.approve_within(READ_S)
    await storm.there("answer", within_s=120)
    answered = time.monotonic() - begun
    grown = bot.memory_info().rss - idle
    await storm.ended(within_s=120)
    approvals, answers = await storm.waits("approval"), await storm.waits("answer")
    calls, room = storm.calls(), storm.crowding()
    clicks = list(storm.clicks)
    storm.approve_at_once = True
    before = len(storm.places)
    await storm.begin_slowly(channels=CHANNELS, runs=CALM_RUNS, pause_s=CALM_PAUSE_S)
    await storm.there("answer", within_s=60)
    calm = await storm.waits("approval", since=before)
    await storm.ended(within_s=60)
    rates = one.discord.rates
    return [
        *_waits("approval", approvals.p(0.95), approvals.p(1.0)),
        Figure("storm: answer, event to Discord, p95", answers.p(0.95)[0], "s", note=answers.line()),
        Figure(f"{CALM_RUNS} runs, one a second: approval, p95", calm.p(0.95)[0], "s", CALM_S, "less"),
        Figure(f"storm: {RUNS} answers after", answered, "s"),
        *_answered(f"storm: {RUNS} approved in {READ_S:g} s, clicks answered", clicks),
        Figure("calls of the API for a run", calls.total() / RUNS, "", 12, "less"),
        Figure("of them signs that we work", calls[TYPING] / RUNS, "", 1, "less"),
        Figure("most calls in any second", rates.busiest, "", GLOBAL[0] + 1, "less"),
        Figure("places left beside a call of progress, p5", quantile(room, 0.05), ""),
        Figure("calls that were answered 429", len(rates.refused), "", 1, "less"),
        Figure("calls before their Retry-After", len(rates.impatient), "", 1, "less"),
        Figure("storm: memory added", grown / 1e6, "MB"),
    ]


def _waits(what: str, *pairs: tuple[float, float]) -> Sequence[Figure]:
    names = ("p95", "longest")
    return [
        Figure(
            f"storm: {what}, event to Discord, {name}",
            real,
            "s",
            max(FACTOR * best, CALM_S),
            "less",
            f"the limits allow {best:.2f} s at best",
        )
        for name, (real, best) in zip(names, pairs, strict=True)
    ]
