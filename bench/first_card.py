"""From posting a turn on the web page to the first visible card, over HTTP and server-sent events.

Each sample is a conversation of its own: the form is posted, the stream of the new conversation is
opened as the page does, and the clock stops when the status card arrives in it. The run then goes
on to its approval and waits there, so that samples do not work beside each other.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import httpx2

from bench.bot_under_test import bot
from bench.report import Figure

SAMPLES = 40
WARM_UP = 5
PATIENCE_S = 30.0
STATUS, APPROVAL = 'class="card status', 'class="card approval'


def measure() -> list[Figure]:
    """The 95th percentile and the median."""
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as home, bot(Path(home)) as started:
        times = asyncio.run(_samples(started.address))
    return [
        Figure(
            "turn posted to first visible card, p95", statistics.quantiles(times, n=20)[-1], "ms", 50, "less"
        ),
        Figure("turn posted to first visible card, median", statistics.median(times), "ms"),
    ]


async def _samples(address: str) -> list[float]:
    async with httpx2.AsyncClient(base_url=address, timeout=PATIENCE_S, trust_env=False) as client:
        times = [await _sample(client, number) for number in range(WARM_UP + SAMPLES)]
    return times[WARM_UP:]


async def _sample(client: httpx2.AsyncClient, number: int) -> float:
    """Milliseconds of one turn."""
    begun = time.perf_counter()
    posted = await client.post("/c", data={"text": f"What is an approval? ({number})"})
    assert posted.status_code == 303, posted.text
    seen: float | None = None
    async with (
        asyncio.timeout(PATIENCE_S),
        client.stream("GET", f"{posted.headers['location']}/events") as stream,
    ):
        async for line in stream.aiter_lines():
            if STATUS in line and seen is None:
                seen = (time.perf_counter() - begun) * 1000
            if APPROVAL in line and seen is not None:
                return seen
    raise AssertionError("the stream ended before the approval")
