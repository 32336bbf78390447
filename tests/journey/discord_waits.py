"""What waits on Discord were, and what they could have been at best: arithmetic for `discord_storm.py`. Pure.

The best that the limits allow comes from the twin's own figures (`rates.py`): messages go out in the order of
their events, none later than the limits demand, and nothing else is ever sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from tests.twins.discord.rates import GLOBAL, LIMITS
from tests.twins.discord.strict import SEND

FACTOR = 1.2  # an approval takes at most so many times what the limits allow at best
CALM_S = 3.0  # and less than this where there is room: then bot and machine are measured, not the limits


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from events to the messages that show them, beside the best that the limits allow."""

    real: Sequence[float]
    best: Sequence[float]

    def p(self, share: float) -> tuple[float, float]:
        """Real and best wait that so large a share stays below; 1.0 is the longest."""
        return quantile(self.real, share), quantile(self.best, share)

    def line(self) -> str:
        """One line for people."""
        parts = [
            ("mean", (mean(self.real), mean(self.best))),
            *((name, self.p(share)) for name, share in (("p50", 0.5), ("p95", 0.95), ("longest", 1.0))),
        ]
        return ", ".join(f"{name} {real:.2f} s (best {best:.2f} s)" for name, (real, best) in parts)


class _Sliding:
    """So many calls in any so many seconds, and none before a time."""

    def __init__(self, limit: int, seconds: float, opens: float = float("-inf")) -> None:
        self._seconds = seconds
        self._opens = opens
        self._times: deque[float] = deque(maxlen=limit)

    def ready_at(self) -> float:
        full = len(self._times) == self._times.maxlen
        return max(self._opens, self._times[0] + self._seconds if full else self._opens)

    def take(self, now: float) -> None:
        self._times.append(now)


def best(posts: Sequence[tuple[float, str]], opens: float = float("-inf")) -> list[float]:
    """When each of these messages can be there at best.

    Args:
        posts: the time of the event, and the channel, of everything that has to be posted.
        opens: Discord lets nothing through before.
    """
    _, calls, seconds = LIMITS[SEND]
    shared = _Sliding(*GLOBAL, opens)
    channels = {channel: _Sliding(calls, seconds) for _, channel in posts}
    at = [0.0] * len(posts)
    left = sorted(range(len(posts)), key=lambda number: posts[number][0])
    while left:

        def ready(number: int) -> float:
            event, channel = posts[number]
            return max(event, shared.ready_at(), channels[channel].ready_at())

        chosen = min(left, key=ready)  # of those that are ready at once, the oldest
        at[chosen] = ready(chosen)
        shared.take(at[chosen])
        channels[posts[chosen][1]].take(at[chosen])
        left.remove(chosen)
    return at


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share stays below; 1.0 is the largest."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]
