"""Between two rows: a track for each arrow that goes sideways; few cross, none run on top of each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

NEAR = 7.0  # pixels that must be between two arrows on one track
STRAIGHT = 0.6  # pixels sideways that nobody sees
Key = tuple[int, int, str]  # cell above, cell below, kind


@dataclass(frozen=True, slots=True)
class Piece:
    """One arrow's way from a row to the next."""

    start: float  # x at the row above
    end: float  # x at the row below
    above: int
    below: int


@dataclass(slots=True)
class _Net:
    """Pieces that share an end, so that they may share a track."""

    tops: list[float] = field(default_factory=list[float])
    lows: list[float] = field(default_factory=list[float])
    keys: list[Key] = field(default_factory=list[Key])
    low: float = 0.0
    high: float = 0.0

    def measure(self) -> None:
        self.low = min(*self.tops, *self.lows)
        self.high = max(*self.tops, *self.lows)


def tracks(pieces: dict[Key, Piece]) -> tuple[int, dict[Key, int]]:
    """How many tracks there are, and on which each piece goes; one that goes straight down is on none."""
    nets = [net for net in _nets(pieces) if net.high - net.low > STRAIGHT]
    # Those that go right: the rightmost on top; those that go left: the leftmost on top.
    nets.sort(key=lambda n: (-max(n.tops) if sum(n.lows) / len(n.lows) > n.tops[0] else min(n.tops), n.keys))
    for _ in range(len(nets) if len(nets) < 40 else 8):
        changed = False
        for i in range(len(nets) - 1):
            upper, lower = nets[i], nets[i + 1]
            if _overlap(upper, lower) and _cost(lower, upper) < _cost(upper, lower):
                nets[i], nets[i + 1] = lower, upper
                changed = True
        if not changed:
            break
    level: list[int] = []
    placed: dict[Key, int] = {}
    for i, net in enumerate(nets):
        track = max((level[j] + 1 for j in range(i) if _overlap(nets[j], net)), default=0)
        level.append(track)
        for key in net.keys:
            placed[key] = track
    straight = {k for k, p in pieces.items() if abs(p.start - p.end) <= STRAIGHT}
    return max(level, default=-1) + 1, {k: t for k, t in placed.items() if k not in straight}


def _nets(pieces: dict[Key, Piece]) -> list[_Net]:
    by_top: dict[tuple[float, str], list[Key]] = defaultdict(list)
    for key, piece in pieces.items():
        by_top[piece.start, key[2]].append(key)
    by_low: dict[tuple[float, str], list[Key]] = defaultdict(list)
    nets: list[_Net] = []
    for keys in by_top.values():
        if len(keys) == 1:  # with others that lead to the same place
            by_low[pieces[keys[0]].end, keys[0][2]].append(keys[0])
        else:
            nets.append(_Net([pieces[keys[0]].start], [pieces[k].end for k in keys], keys))
    for keys in by_low.values():
        nets.append(_Net([pieces[k].start for k in keys], [pieces[keys[0]].end], keys))
    for net in nets:
        net.measure()
    return nets


def _overlap(a: _Net, b: _Net) -> bool:
    return a.low - NEAR < b.high and b.low - NEAR < a.high


def _cost(upper: _Net, lower: _Net) -> int:
    """Crossings if one runs above the other; running on top of each other counts for many."""
    total = sum(lower.low < x < lower.high for x in upper.lows)
    total += sum(upper.low < x < upper.high for x in lower.tops)
    return total + 10 * sum(abs(x - y) < 4 for x in upper.lows for y in lower.tops)
