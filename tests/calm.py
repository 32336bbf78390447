"""How long something took, less what the machine kept from it: for limits in seconds.

Where others want the processor as well, everything takes longer, and that says nothing about the bot. Linux
counts the time in which anything had to wait for a processor (`/proc/pressure/cpu`); such time counts for
little here. Elsewhere all time counts.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")
MOST = 4.0  # a limit is never stretched to more than so many times


class Watch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._pressed = _pressed_s()

    @property
    def lost_s(self) -> float:
        """Seconds in which somebody had to wait for a processor."""
        return _pressed_s() - self._pressed

    @property
    def calm_s(self) -> float:
        """Seconds that count."""
        took = time.monotonic() - self._began
        return max(took - self.lost_s, took / MOST)


def _pressed_s() -> float:
    try:
        found = re.match(r"some .*total=(\d+)", PRESSURE.read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(found[1]) / 1e6 if found else 0.0
