"""The load that every peer carries: ten recorded steps a run, fifty runs at once, no model time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

STEPS = 10
AT_ONCE = 50
RESULT = {"body": "x" * 100, "sources": [1, 2, 3]}  # what each step makes


async def in_parallel(one: Callable[[int], Awaitable[None]], runs: int, at_once: int) -> float:
    """Do `runs` runs, `at_once` at a time. Returns the seconds it took."""
    numbers: Iterator[int] = iter(range(runs))

    async def lane() -> None:
        for number in numbers:
            await one(number)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as lanes:
        for _ in range(at_once):
            lanes.create_task(lane())
    return time.perf_counter() - begun
