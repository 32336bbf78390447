"""How many requests a caller may make in a minute. Counted in memory, each minute that ends now."""

from __future__ import annotations

import math
import time
from typing import Final

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from bot.api.auth import LOCAL, Caller
from bot.api.errors import ProblemError

PER_MINUTE: Final = 1_200


class Limiter:
    """Counts requests by caller.

    Args:
        per_minute: for callers that have no number of their own; None: as many as they like.
    """

    def __init__(self, per_minute: int | None = PER_MINUTE) -> None:
        self._per_minute = per_minute
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def count(self, caller: Caller) -> None:
        """One more request.

        Who calls on loopback where no key is asked for is not counted: there is nobody to protect from
        whom.

        Raises:
            ProblemError: 429, it is one too many.
        """
        most = caller.per_minute or self._per_minute
        if caller is LOCAL or most is None:
            return
        item = RateLimitItemPerMinute(most)
        if await self._limiter.hit(item, caller.who.key):
            return
        free_at, _ = await self._limiter.get_window_stats(item, caller.who.key)
        wait_s = min(60, max(1, math.ceil(free_at - time.time())))
        raise ProblemError(
            429,
            f"More than {most:,} requests in a minute; try again in {wait_s} s.",
            headers={"Retry-After": str(wait_s)},
        )
