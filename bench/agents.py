"""Choosing an agent among 10,000, and what a place to work costs a step.

Published for the field's own registry: 5 ms for a choice among 100 agents. Here every choice is
followed by what the registry does when a step begins and ends: loads and records change all the time.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from random import Random

from bench.report import Figure
from orchestrator.agents.matching import Matcher
from orchestrator.agents.record import AgentRecord
from orchestrator.engine.places import Place, Places
from orchestrator.events import Priority

AGENTS = 10_000
CAPABILITIES = 200  # there are; an agent has three to eight of them
CHOICES = 1_000  # in a round
ROUNDS = 5  # the median of them counts: other work on the machine disturbs some
TURNS = 100_000  # of a place
PUBLISHED = "published for the field's registry: 5 ms among 100"
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "medium", "low")


def crowd(random: Random, *, known: bool) -> tuple[Matcher, dict[str, AgentRecord]]:
    """Agents of all kinds; `known`: most have a record, else none has and they are all alike."""
    matcher = Matcher(random)
    records: dict[str, AgentRecord] = {}
    for number in range(AGENTS):
        name = f"agent{number}"
        records[name] = record = AgentRecord()
        has = {"work", *(f"c{random.randrange(CAPABILITIES)}" for _ in range(random.randint(3, 8)))}
        priority = random.choice(PRIORITIES) if known else "medium"
        limit = random.choice((None, 1, 2, 4, 8)) if known else None
        matcher.add(name, has, priority=priority, max_concurrent=limit)
        if known:
            skill = random.random()
            for _ in range(random.randrange(40)):
                record.learn(random.random() < skill, random.uniform(1, 60))
            matcher.update(
                name,
                load=random.randrange(3),
                trouble="offline" if random.random() < 0.05 else "",
                grade=record.grade,
                mean_s=record.mean_s,
            )
    return matcher, records


def timed(
    matcher: Matcher, records: dict[str, AgentRecord], wanted: Callable[[], tuple[list[str], list[str]]]
):
    """Milliseconds of each choice, sorted. Between choices, agents begin and end steps."""
    taken: list[float] = []
    at_work: list[str] = []
    load = dict.fromkeys(records, 0)
    for _ in range(CHOICES):
        requires, prefers = wanted()
        begun = time.perf_counter()
        chosen = matcher.choose(requires, prefers).agent
        taken.append((time.perf_counter() - begun) * 1e3)
        load[chosen] += 1
        matcher.update(chosen, load=load[chosen])
        at_work.append(chosen)
        if len(at_work) > 50:
            ended = at_work.pop(0)
            load[ended] -= 1
            records[ended].learn(True, 2.0)
            matcher.update(ended, load=load[ended], grade=records[ended].grade, mean_s=records[ended].mean_s)
    return sorted(taken)


def measure() -> list[Figure]:
    """Choices of three kinds among two crowds, then the cost of a place."""
    random = Random(1)

    def some() -> str:
        return f"c{random.randrange(CAPABILITIES)}"

    kinds: dict[str, Callable[[], tuple[list[str], list[str]]]] = {
        "one capability, two wishes": lambda: ([some()], [some(), some()]),
        "what all of them can, four wishes": lambda: (["work"], [some() for _ in range(4)]),
        "what all of them can": lambda: (["work"], []),
    }
    figures: list[Figure] = []
    for known, crowded in ((True, "of all kinds"), (False, "all alike")):
        matcher, records = crowd(random, known=known)
        for kind, wanted in kinds.items():
            rounds = [timed(matcher, records, wanted) for _ in range(ROUNDS)]
            half = statistics.median(taken[CHOICES // 2] for taken in rounds)
            most = statistics.median(taken[CHOICES * 99 // 100] for taken in rounds)
            name = f"{AGENTS:,} agents {crowded}: {kind}"
            print(f"  {name}: p50 {half:.3f} ms, p99 {most:.3f} ms")
            figures.append(Figure(f"choice, p99, {crowded}: {kind}", most, "ms", 1.0, "less", PUBLISHED))
    figures.append(Figure("a place taken and given back", asyncio.run(_place()), "µs", note="nobody waits"))
    figures.append(Figure("a semaphore for comparison", asyncio.run(_semaphore()), "µs"))
    return figures


async def _place() -> float:
    places, place = Places(50), Place("r1", 20, "builder", 4, "openai", 10)
    begun = time.perf_counter()
    for _ in range(TURNS):
        await places.take(place)
        places.give(place)
    return (time.perf_counter() - begun) / TURNS * 1e6


async def _semaphore() -> float:
    slots = asyncio.Semaphore(50)
    begun = time.perf_counter()
    for _ in range(TURNS):
        await slots.acquire()
        slots.release()
    return (time.perf_counter() - begun) / TURNS * 1e6
