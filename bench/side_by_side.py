"""Quartet beside LangGraph and a bare journal: rounds in turn, medians, both ratios.

Taken in turn, so that what else the machine does hits all alike. The ratios count; runs per
second depend on the disk.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from bench import engine_steps, journal, langgraph_steps
from bench.report import Figure

ROUNDS = 5
Measure = Callable[[Path, int], Awaitable[float]]
PEERS: dict[str, tuple[Measure, int]] = {  # name → measurement, runs in a round
    "journal": (journal.runs_per_second, 1000),
    "engine": (engine_steps.runs_per_second, 1000),
    "langgraph": (langgraph_steps.runs_per_second, 100),
}


def measure(names: Iterable[str], rounds: int = ROUNDS) -> list[Figure]:
    """The median of each named peer, and the ratios of those that were measured."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name, values in found.items():
            values.append(_once(*PEERS[name]))
        shown = ", ".join(f"{name} {values[-1]:,.0f}" for name, values in found.items())
        print(f"  round {number + 1} of {rounds}, runs/s: {shown}", flush=True)
    medians = {name: statistics.median(values) for name, values in found.items()}
    figures = [
        Figure(f"{name}, ten recorded steps, 50 at once", value, "runs/s") for name, value in medians.items()
    ]
    if medians.keys() >= {"engine", "langgraph"}:
        figures.append(Figure("engine / langgraph", medians["engine"] / medians["langgraph"], "×", 10))
    if medians.keys() >= {"engine", "journal"}:
        figures.append(Figure("engine / journal", medians["engine"] / medians["journal"], "×", 0.5))
    return figures


def _once(measurement: Measure, runs: int) -> float:
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        return asyncio.run(_measured(measurement, Path(folder), runs))


async def _measured(measurement: Measure, folder: Path, runs: int) -> float:
    return await measurement(folder, runs)
