"""From starting the process to the first answered health check."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.bot_under_test import bot
from bench.report import Figure

STARTS = 5


def measure() -> list[Figure]:
    """The median of a few starts, each with an empty home."""
    answered: list[float] = []
    healthy: list[float] = []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="quartet-bench-") as home, bot(Path(home)) as started:
            answered.append(started.answered_s)
            healthy.append(started.healthy_s)
    return [
        Figure("process start to first answered /health", statistics.median(answered), "s", 1.5, "less"),
        Figure("process start to healthy", statistics.median(healthy), "s"),
    ]
