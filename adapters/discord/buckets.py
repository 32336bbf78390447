"""What Discord's limits allow now: one bucket, the global limit, the limit on refused calls. Pure arithmetic.

Every method is told the time, in seconds that never go back. What was sent is counted here before Discord
says so, and what Discord says counts where it leaves less.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

GLOBAL_CALLS = 50  # a second, for a bot: https://docs.discord.com/developers/topics/rate-limits
GLOBAL_RESERVE = 15  # of them progress leaves to what is more urgent
# A call that is not answered arrived at the latest so long after it was sent. Of calls that go out at once on
# a machine that has much to do, the last one is on its way for a second and more.
LATE_S = 3.0
RESERVE = 0.4  # of a bucket progress leaves to what is more urgent
WINDOW_S = 5.0  # of a bucket, where Discord has not said it yet
MOVED_S = 0.25  # a window that ends so much later than we thought is a new one
LONGEST_S = 86_400.0  # what Discord says beyond this is not believed

INVALID_S = 600.0  # 10,000 answers of 401, 403 and 429 in this time ban the address
INVALID_PROGRESS = 5_000  # from here on there is no progress
INVALID_SLOW = 9_000  # from here on calls go out one by one
INVALID_APART_S = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """What Discord said of a bucket with an answer."""

    bucket: str
    limit: int
    remaining: int
    reset_after: float  # seconds


def read_headers(headers: Mapping[str, str]) -> Said | None:
    """The limits in an answer's headers; None: it has none that can be read."""
    try:
        said = Said(
            headers.get("X-RateLimit-Bucket", ""),
            int(headers.get("X-RateLimit-Limit", "")),
            int(headers.get("X-RateLimit-Remaining", "")),
            float(headers.get("X-RateLimit-Reset-After", "")),
        )
    except ValueError:
        return None
    sound = said.bucket and said.limit > 0 and said.remaining >= 0 and 0 <= said.reset_after <= LONGEST_S
    return said if sound else None


class Bucket:
    """Calls that share one limit. Until Discord has told the limit, one at a time.

    Args:
        limit: calls in a window; 0: not known.
        window_s: how long one lasts.
    """

    def __init__(self, limit: int = 0, window_s: float = 0.0) -> None:
        self.limit = limit
        self.window_s = window_s
        self.in_flight = 0
        self._left = limit
        self._ends: float | None = None  # of the window; None: it begins with the next answer
        self._frozen_until = 0.0

    @property
    def is_known(self) -> bool:
        """Whether Discord has told its limit."""
        return self.limit > 0

    @property
    def reserve(self) -> int:
        """How many calls of a window progress leaves alone."""
        return min(max(1, round(self.limit * RESERVE)), self.limit - 1) if self.limit > 1 else 0

    @property
    def frozen_until(self) -> float:
        """Until when a 429 closes it."""
        return self._frozen_until

    def room(self, now: float) -> int:
        """How many calls may go out now."""
        if now < self._frozen_until:
            return 0
        if not self.is_known:
            return 1 - min(self.in_flight, 1)
        self._turn(now)
        return self._left

    def ready_at(self, now: float, calls: int = 1) -> float | None:
        """When so many calls could go out; None: that shows with the next answer."""
        if now < self._frozen_until:
            return self._frozen_until
        if self.room(now) >= calls:
            return now
        return self._ends if self.is_known else None

    def take(self, now: float) -> None:
        """One call goes out."""
        self.room(now)
        self._left -= 1
        self.in_flight += 1

    def give_back(self) -> None:
        """A call that was to go out did not."""
        self._left = min(self._left + 1, self.limit)
        self.in_flight -= 1

    def lost(self, now: float) -> None:
        """No answer will come to a call."""
        self.in_flight -= 1
        if self.is_known and self._ends is None and not self.in_flight:
            self._ends = now + (self.window_s or WINDOW_S)  # it may have begun a window

    def heard(self, said: Said, now: float) -> None:
        """Take note of what Discord said with an answer; the call itself is not in flight any more."""
        self._turn(now)
        ends = now + said.reset_after
        self.window_s = max(self.window_s, said.reset_after)
        apart = min(
            MOVED_S, self.window_s / 2
        )  # answers of one window agree about its end but for their ways
        if self.limit != said.limit:
            self.limit, self._left = said.limit, max(0, said.remaining - self.in_flight)
        elif self._ends is not None and ends > self._ends + apart:
            self._left = max(0, said.remaining - self.in_flight)
        elif self._ends is not None and ends < self._ends - apart:
            return  # overtaken: it speaks of the window before
        else:
            self._left = min(self._left, said.remaining)
        self._ends = ends

    def freeze(self, until: float) -> None:
        """Discord said 429: nothing goes out before."""
        self._frozen_until = max(self._frozen_until, until)

    def is_idle(self, now: float) -> bool:
        """Whether forgetting it changes nothing."""
        self._turn(now)
        if self.in_flight or now < self._frozen_until:
            return False
        return not self.is_known or self._left >= self.limit

    def _turn(self, now: float) -> None:
        """Begin the next window. What is in flight may be counted in it."""
        if self._ends is not None and now >= self._ends:
            self._left, self._ends = max(0, self.limit - self.in_flight), None


@dataclass(slots=True)
class Place:
    """One of the global limit's places."""

    until: float


class Global:
    """The limit on all calls together.

    A call holds its place for a second after its answer, since it was counted at the latest then: so
    Discord never counts more than the limit in any second, however late calls arrive.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._window_s = 1.0 / scale
        self._places: list[Place] = []
        self.frozen_until = 0.0

    def room(self, now: float) -> int:
        """How many calls may go out now."""
        if now < self.frozen_until:
            return 0
        self._places = [place for place in self._places if place.until > now]
        return GLOBAL_CALLS - len(self._places)

    def ready_at(self, now: float, calls: int = 1) -> float:
        """When so many calls could go out."""
        if now < self.frozen_until:
            return self.frozen_until
        missing = calls - self.room(now)
        return now if missing <= 0 else sorted(place.until for place in self._places)[missing - 1]

    def take(self, now: float) -> Place:
        """One call goes out."""
        place = Place(now + self._window_s + LATE_S)
        self._places.append(place)
        return place

    def answered(self, place: Place, now: float) -> None:
        """It has arrived."""
        place.until = min(place.until, now + self._window_s)

    def freeze(self, until: float) -> None:
        """Discord said 429 for all calls."""
        self.frozen_until = max(self.frozen_until, until)


class Invalid:
    """How many calls were refused lately: too many of them ban the address."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._last_out = float("-inf")

    def count(self, now: float) -> int:
        """401, 403 and 429 of the last ten minutes."""
        while self._times and self._times[0] <= now - INVALID_S:
            self._times.popleft()
        return len(self._times)

    def note(self, now: float) -> None:
        """One more."""
        self._times.append(now)

    def sent(self, now: float) -> None:
        """A call goes out."""
        self._last_out = now

    def ready_at(self, now: float) -> float:
        """When the next call may go out."""
        return now if self.count(now) < INVALID_SLOW else max(now, self._last_out + INVALID_APART_S)

    def progress_at(self, now: float) -> float:
        """When progress may go out again."""
        over = self.count(now) - INVALID_PROGRESS
        return now if over < 0 else self._times[over] + INVALID_S
