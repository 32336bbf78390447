"""What 1,000 runs that wait for approval add to the memory of a process."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from pathlib import Path

import psutil

from bench.engine_steps import running, starter, workflow
from bench.load import AT_ONCE, in_parallel
from bench.report import Figure

RUNS = 1000
WARM_UP = 100


def measure() -> list[Figure]:
    """Resident memory with the runs waiting, less what it was before them."""
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        return asyncio.run(_measured(Path(folder)))


async def _measured(folder: Path) -> list[Figure]:
    async with running(folder, workflow(2, approval=True)) as quartet:
        one = starter(quartet)

        async def warm_up(number: int) -> None:
            await one(RUNS + number)

        await in_parallel(warm_up, WARM_UP, AT_ONCE)
        before = _resident()
        await in_parallel(one, RUNS, AT_ONCE)
        quartet.advanced.clear()
        after = _resident()
        waiting = 0
        cursor: str | None = None
        while True:
            page = await quartet.store.waiting(limit=1000, cursor=cursor)
            waiting += len(page.items)
            cursor = page.next
            if cursor is None:
                break
        assert waiting == RUNS + WARM_UP, f"{waiting} runs wait"
    return [Figure("1,000 runs waiting for approval add", (after - before) / 1e6, "MB", 20, "less")]


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)
