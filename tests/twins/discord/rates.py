"""Discord's rate limits: a bucket for each route, 50 requests a second in all, and what bad behaviour costs.

Documented by Discord: the headers (`X-RateLimit-Limit`, `-Remaining`, `-Reset`, `-Reset-After`, `-Bucket`;
on a 429 also `-Scope`, `-Global`, `Retry-After`), top-level resources (channel, guild, webhook) counted
apart, 50 requests a second for a bot, interaction and webhook routes outside of those, and a ban of the
address after 10,000 answers of 401, 403 or 429 (but not `shared` ones) in 10 minutes, which Cloudflare
answers without JSON. Figures of the routes are not documented; `LIMITS` holds what libraries and their users
report from the headers: 5 messages and 5 edits in 5 s, one reaction in 0.25 s, 5 deletions in a second, and
2 changes of a channel's name or topic in 10 minutes (which no header shows). For threads, direct messages,
typing, commands and webhooks the reports vary; the figures here are on the strict side. Routes not named
have no bucket of their own, and no headers.

A bucket is a window that opens with its first request. `time_scale` 0.01 makes every window a hundred
times as short; all headers and pauses are in real seconds still. A call made on something closed by a 429
before the `retry_after` it gave has passed is kept in `impatient`.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import Literal

Scope = Literal["user", "global", "shared"]

# Method and template → name of the bucket, requests, seconds.
LIMITS: dict[str, tuple[str, int, float]] = {
    "POST /channels/{channel_id}/messages": ("create", 5, 5.0),
    "PATCH /channels/{channel_id}/messages/{message_id}": ("edit", 5, 5.0),
    "DELETE /channels/{channel_id}/messages/{message_id}": ("delete", 5, 1.0),
    "POST /channels/{channel_id}/messages/bulk-delete": ("bulk", 1, 1.0),
    "PUT /channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me": ("react", 1, 0.25),
    "DELETE /channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me": ("react", 1, 0.25),
    "DELETE /channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/{user_id}": (
        "react",
        1,
        0.25,
    ),
    "DELETE /channels/{channel_id}/messages/{message_id}/reactions": ("react", 1, 0.25),
    "POST /channels/{channel_id}/typing": ("typing", 5, 5.0),
    "POST /channels/{channel_id}/messages/{message_id}/threads": ("thread", 50, 300.0),
    "POST /channels/{channel_id}/threads": ("thread", 50, 300.0),
    "PATCH /channels/{channel_id}": ("channel", 5, 15.0),
    "PUT /channels/{channel_id}/messages/pins/{message_id}": ("pin", 5, 4.0),
    "POST /users/@me/channels": ("dm", 10, 10.0),
    "GET /gateway/bot": ("gateway", 2, 5.0),
    "PUT /applications/{application_id}/commands": ("commands", 2, 60.0),
    "PUT /applications/{application_id}/guilds/{guild_id}/commands": ("commands", 2, 60.0),
    "GET /guilds/{guild_id}/members": ("members", 10, 10.0),
    "POST /webhooks/{webhook_id}/{webhook_token}": ("webhook", 5, 2.0),
    "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original": ("webhook-edit", 5, 2.0),
    "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}": ("webhook-edit", 5, 2.0),
}
RENAMES = (2, 600.0)  # of a channel or thread; not in any header
GLOBAL = (50, 1.0)
INVALID = (10_000, 600.0)
BAN_S = 3600.0
_NO_GLOBAL = ("/interactions/", "/webhooks/")
_MAJORS = ("channel_id", "guild_id", "webhook_id")

Key = tuple[str, ...]
_OVERALL: Key = ("global",)


@dataclass(frozen=True)
class Impatience:
    """A call before the pause of a 429 had passed."""

    name: str  # METHOD /template
    key: Key
    at: float  # monotonic seconds
    early_s: float  # so much too early
    after_s: float  # since the 429; a few ms: it may have been on its way already


@dataclass(frozen=True)
class Verdict:
    """What the limits say to a call. `retry_after` 0: go ahead."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    retry_after: float = 0.0
    scope: Scope = "user"
    bucket: str = ""


@dataclass
class _Window:
    limit: int
    length: float
    ends: float = 0.0
    used: int = 0

    def left(self, now: float) -> int:
        if now >= self.ends:
            self.ends, self.used = now + self.length, 0
        return self.limit - self.used


class Rates:
    """The limits of one bot."""

    def __init__(
        self, *, on: bool = True, time_scale: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.on = on
        self.time_scale = time_scale
        self.limits = dict(LIMITS)
        self.global_limit = GLOBAL[0]
        self.invalid_limit = INVALID[0]
        self.impatient: list[Impatience] = []
        self.refused: list[tuple[str, Scope]] = []  # 429s: METHOD /template and scope
        self.busiest = 0  # requests of the global limit in any second
        self._clock = clock
        self._windows: dict[Key, _Window] = {}
        self._closed: dict[Key, tuple[float, float]] = {}  # key → (429 given at, closed until)
        self._invalid: deque[float] = deque()
        self._lately: deque[float] = deque()
        self._banned_until = 0.0

    @property
    def banned(self) -> float:
        """Seconds the address is still banned; 0: it is not."""
        return max(0.0, self._banned_until - self._clock())

    @property
    def invalid(self) -> int:
        """Answers of 401, 403 and 429 (not shared) in the last 10 minutes."""
        self._forget(self._invalid, INVALID[1])
        return len(self._invalid)

    def reset(self) -> None:
        """All windows open, nothing noted."""
        self._windows.clear()
        self._closed.clear()
        self._invalid.clear()
        self._lately.clear()
        self.impatient.clear()
        self.refused.clear()
        self._banned_until, self.busiest = 0.0, 0

    def take(self, name: str, path: str, parameters: Mapping[str, str], *, renames: bool = False) -> Verdict:
        """Ask for a call.

        Args:
            name: METHOD /template.
            path: the real one.
            parameters: the template's.
            renames: the body changes the name or topic of a channel.
        """
        now = self._clock()
        counts = not path.startswith(_NO_GLOBAL)
        if counts:
            self._count(now)
        key, window = self._window(name, parameters)
        bucket = "/".join(key)
        if not self.on:
            return Verdict(bucket=bucket)
        asked: list[tuple[Key, _Window | None]] = [(key, window)]
        if renames:
            asked.append(self._kept(("rename", parameters.get("channel_id", "")), *RENAMES))
        if counts:
            asked.append(self._kept(_OVERALL, self.global_limit, GLOBAL[1]))
        shut = [(k, *self._closed[k]) for k, _ in asked if now < self._closed.get(k, (0.0, 0.0))[1]]
        for k, given, until in shut:
            self.impatient.append(Impatience(name, k, now, until - now, now - given))
        used_up = [(k, w.ends) for k, w in asked if w is not None and w.left(now) <= 0]
        waits = [*((k, until) for k, _, until in shut), *used_up]
        if waits:
            # What is used up in all is said before what is used up on the route.
            k, until = max(waits, key=lambda wait: (wait[0] == _OVERALL, wait[1]))
            scope: Scope = "global" if k == _OVERALL else "user"
            return self._refuse(name, k, until, scope, now, window, bucket)
        for _, w in asked:
            if w is not None:
                w.used += 1
        return Verdict(self._headers(key, window, now), bucket=bucket)

    def close(self, name: str, parameters: Mapping[str, str], seconds: float, scope: Scope) -> Verdict:
        """As if the limit were used up for so long: faults use it. Seconds are real ones."""
        now = self._clock()
        key, window = self._window(name, parameters)
        shut = _OVERALL if scope == "global" else key
        return self._refuse(name, shut, now + seconds, scope, now, window, "/".join(key))

    def answered(self, status: int, *, shared: bool = False) -> None:
        """Count an answer towards the ban of the address."""
        if status not in (401, 403, 429) or shared:
            return
        now = self._clock()
        self._invalid.append(now)
        if self.invalid >= self.invalid_limit:
            self._banned_until = now + BAN_S * self.time_scale

    def _refuse(
        self, name: str, key: Key, until: float, scope: Scope, now: float, window: _Window | None, bucket: str
    ) -> Verdict:
        self._closed[key] = (now, until)
        self.refused.append((name, scope))
        wait = max(0.001, until - now)
        headers = {} if scope == "global" else self._headers(key, window, now)
        # Whole seconds, as Discord; in short windows that would make everybody wait for nothing.
        headers["Retry-After"] = str(math.ceil(wait)) if self.time_scale >= 1 else f"{wait:.3f}"
        headers["X-RateLimit-Scope"] = scope
        if scope == "global":
            headers["X-RateLimit-Global"] = "true"
        return Verdict(headers, wait, scope, bucket=bucket)

    def _kept(self, key: Key, limit: int, seconds: float) -> tuple[Key, _Window]:
        return key, self._windows.setdefault(key, _Window(limit, seconds * self.time_scale))

    def _window(self, name: str, parameters: Mapping[str, str]) -> tuple[Key, _Window | None]:
        major = next((parameters[m] for m in _MAJORS if m in parameters), "")
        if "webhook_token" in parameters:
            major = f"{major}:{parameters['webhook_token']}"
        limit = self.limits.get(name)
        if limit is None:
            return (name, major), None
        bucket, count, seconds = limit
        return self._kept((bucket, major), count, seconds)

    def _headers(self, key: Key, window: _Window | None, now: float) -> dict[str, str]:
        if window is None:
            return {}
        left = max(0.0, window.ends - now)
        return {
            "X-RateLimit-Limit": str(window.limit),
            "X-RateLimit-Remaining": str(max(0, window.limit - window.used)),
            "X-RateLimit-Reset": f"{time.time() + left:.3f}",
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Bucket": md5(key[0].encode(), usedforsecurity=False).hexdigest(),
        }

    def _count(self, now: float) -> None:
        self._lately.append(now)
        self._forget(self._lately, GLOBAL[1])
        self.busiest = max(self.busiest, len(self._lately))

    def _forget(self, times: deque[float], seconds: float) -> None:
        oldest = self._clock() - seconds * self.time_scale
        while times and times[0] <= oldest:
            times.popleft()
