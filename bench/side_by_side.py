"""Quartet beside LangGraph and a bare journal: rounds in turn, medians, both ratios.

Taken in turn, so that what else the machine does hits all alike, and each in a process of its own,
so that none pays for the modules and the garbage of another. The ratios count; runs per
second depend on the disk.
"""

from __future__ import annotations

import asyncio
import importlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bench.report import Figure

ROUNDS = 5
PEERS: dict[str, tuple[str, int]] = {  # name → module, runs in a round
    "journal": ("bench.journal", 1000),
    "engine": ("bench.engine_steps", 1000),
    "langgraph": ("bench.langgraph_steps", 100),
}


def measure(names: Iterable[str], rounds: int = ROUNDS) -> list[Figure]:
    """The median of each named peer, and the ratios of those that were measured."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name, values in found.items():
            values.append(_once(name, PEERS[name][1]))
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


def _once(name: str, runs: int) -> float:
    command = [sys.executable, "-m", "bench.side_by_side", name, str(runs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def _main(name: str, runs: int) -> None:
    measure = importlib.import_module(PEERS[name][0]).runs_per_second
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        print(asyncio.run(measure(Path(folder), runs)))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
