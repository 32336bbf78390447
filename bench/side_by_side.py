"""Quartet beside LangGraph and a bare journal: rounds in turn, medians, both ratios.

Taken in turn, so that what else the machine does hits all alike, and each in a process of its own,
so that none pays for the modules and the garbage of another; all with the settings of Python's
garbage collector that the server has. The ratios count; runs per second depend on the disk. A ratio is
the median of what each round's peers, measured within seconds of each other, are to each other.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import Done
from bench.report import Figure
from orchestrator.infra.garbage import settle

ROUNDS = 11
PEERS: dict[str, tuple[str, int]] = {  # name → module, runs in a round
    "journal": ("bench.journal", 2000),
    "journal, msgspec": ("bench.journal_msgspec", 2000),
    "engine": ("bench.engine_steps", 1000),
    "langgraph": ("bench.langgraph_steps", 100),
    "fan": ("bench.fan_out", 10),
    "langgraph fan": ("bench.langgraph_fan_out", 3),
}
FANS = ("fan", "langgraph fan")


@dataclass(frozen=True, slots=True)
class Round:
    """One peer in one round."""

    runs_per_s: float
    cpu_ms: float  # user and system time of the whole process for a run
    rows: float | None  # facts in the log for a run
    size: float | None  # their bytes of JSON for a run

    def __str__(self) -> str:
        log = "" if self.rows is None else f", {self.rows:g} rows of {self.size:,.0f} bytes"
        return f"{self.runs_per_s:7,.0f} runs/s, {self.cpu_ms:6.2f} ms CPU a run{log}"


def measure(names: Iterable[str], rounds: int = ROUNDS) -> list[Figure]:
    """The median of each named peer, and the ratios of those that were measured."""
    found: dict[str, list[Round]] = {name: [] for name in names}
    for number in range(rounds):
        print(f"  round {number + 1} of {rounds}", flush=True)
        for name, values in found.items():
            values.append(_once(name, PEERS[name][1]))
            print(f"    {name:<16} {values[-1]}", flush=True)
    figures: list[Figure] = []
    for name, values in found.items():
        fan = name in FANS
        what, unit = (
            ("500 nodes side by side", "nodes/s") if fan else ("ten recorded steps, 50 at once", "runs/s")
        )
        figures += [
            Figure(f"{name}, {what}", _speed(values), unit),
            Figure(f"{name}, CPU", statistics.median(v.cpu_ms for v in values), f"ms/{unit[:-3]}"),
        ]
    if found.keys() >= set(FANS):
        figures.append(_ratio("fan / langgraph fan", found["fan"], found["langgraph fan"], 5))
    if found.keys() >= {"engine", "langgraph"}:
        figures.append(_ratio("engine / langgraph", found["engine"], found["langgraph"], 10))
    if found.keys() >= {"engine", "journal"}:
        figures.append(_ratio("engine / journal", found["engine"], found["journal"], 0.5))
    if found.keys() >= {"engine", "journal, msgspec"}:
        figures.append(_ratio("engine / journal, msgspec", found["engine"], found["journal, msgspec"], None))
    return figures


def _speed(values: Sequence[Round]) -> float:
    return statistics.median(v.runs_per_s for v in values)


def _ratio(name: str, mine: Sequence[Round], other: Sequence[Round], target: float | None) -> Figure:
    ratios = [a.runs_per_s / b.runs_per_s for a, b in zip(mine, other, strict=True)]
    return Figure(name, statistics.median(ratios), "×", target)


def _once(name: str, runs: int) -> Round:
    command = [sys.executable, "-m", "bench.side_by_side", name, str(runs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Round(**json.loads(done.stdout))


def _main(name: str, runs: int) -> None:
    peer = importlib.import_module(PEERS[name][0])
    settle()
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        before = _cpu_s()
        done: Done = asyncio.run(peer.measure(Path(folder), runs))
        cpu_s = _cpu_s() - before
    measured = Round(
        runs_per_s=done.runs / done.seconds,
        cpu_ms=cpu_s * 1000 / done.runs,
        rows=None if done.rows is None else done.rows / done.runs,
        size=None if done.size is None else done.size / done.runs,
    )
    print(json.dumps(asdict(measured)))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
