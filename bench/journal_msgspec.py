"""The bare journal with the JSON encoder of Quartet's log: what of the difference is not JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench import journal
from bench.load import Done

_encode = msgspec.json.Encoder().encode


async def measure(folder: Path, runs: int) -> Done:
    """Do `runs` runs, `AT_ONCE` at a time."""
    return await journal.measure(folder, runs, lambda fact: _encode(fact).decode())
