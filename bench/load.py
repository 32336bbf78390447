"""The load that every peer carries: ten recorded steps a run, fifty runs at once, no model time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

STEPS = 10
AT_ONCE = 50
FAN = 500  # nodes side by side in a fan
RESULT: dict[str, Any] = {"body": "x" * 100, "files": [], "task_results": []}  # a draft: what each step makes


@dataclass(frozen=True, slots=True)
class Done:
    """What a peer did with the load."""

    runs: int
    seconds: float
    rows: int | None = None  # facts that are in its log now; None: it has no such log
    size: int | None = None  # their bytes of JSON


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
