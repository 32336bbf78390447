"""Slack's rate limits as token buckets. A bucket starts full and refills evenly.

Burst sizes (what a client that was idle may send at once) and refill, for each app and workspace:

* a method of tier 1, 2, 3, 4: burst 1, 20, 50, 100; refill the same number a minute. Table: `TIERS`.
* `chat.postMessage`: burst 4 and 1 a second in each channel; and burst 60, 10 a second in the workspace.
* `assistant.threads.setStatus`: burst 60, refill 600 a minute.
* `auth.test`, `api.test`, `apps.connections.open`, `chat.getPermalink`: burst 600, refill 600 a minute.
  (Slack calls these special; sockets that are dropped on purpose must be able to come back.)

An empty bucket answers 429 with `Retry-After`, whole seconds, at least 1, until a whole token is there. Any
call on that bucket before its `Retry-After` has passed is noted in `Rates.impatient` and gets 429 again.
`scale` 10 makes every bucket refill ten times as fast (bursts stay); `Retry-After` is in real seconds still.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

TIER_1 = ("apps.uninstall",)
TIER_2 = (
    "chat.startStream",
    "chat.stopStream",
    "conversations.list",
    "reactions.remove",
    "usergroups.list",
    "usergroups.users.list",
)
TIER_3 = (
    "agents.sessions.rename",
    "agents.sessions.setStatus",
    "auth.revoke",
    "bots.info",
    "chat.delete",
    "chat.update",
    "conversations.history",
    "conversations.info",
    "conversations.join",
    "conversations.open",
    "conversations.replies",
    "reactions.add",
    "reactions.get",
    "users.lookupByEmail",
)
TIER_4 = (
    "assistant.threads.setSuggestedPrompts",
    "assistant.threads.setTitle",
    "blocks.validate",
    "chat.appendStream",
    "chat.postEphemeral",
    "conversations.members",
    "files.completeUploadExternal",
    "files.getUploadURLExternal",
    "files.info",
    "oauth.v2.access",
    "oauth.v2.exchange",
    "users.info",
    "views.open",
    "views.publish",
    "views.push",
    "views.update",
)
PER_MINUTE = {1: 1, 2: 20, 3: 50, 4: 100}
TIERS = {
    method: tier for tier, methods in enumerate((TIER_1, TIER_2, TIER_3, TIER_4), 1) for method in methods
}
SPECIAL = {  # burst, a second
    "api.test": (600.0, 10.0),
    "apps.connections.open": (600.0, 10.0),
    "assistant.threads.setStatus": (60.0, 10.0),
    "auth.test": (600.0, 10.0),
    "chat.getPermalink": (600.0, 10.0),
    "chat.postMessage": (60.0, 10.0),
}
POST_IN_CHANNEL = (4.0, 1.0)

Key = tuple[str, ...]  # app, team, method[, channel]


def limit_of(method: str) -> tuple[float, float]:
    """(burst, refill a second) of a method in a workspace; unlisted methods are tier 3."""
    if method in SPECIAL:
        return SPECIAL[method]
    number = PER_MINUTE[TIERS.get(method, 3)]
    return float(number), number / 60


@dataclass(frozen=True)
class Impatience:
    """A call before its Retry-After had passed."""

    method: str
    team: str
    channel: str
    at: float  # monotonic seconds
    early_s: float  # so much too early
    after_s: float  # since the 429; a few ms: it may have been on its way already


@dataclass
class _Bucket:
    burst: float
    refill: float  # a second
    level: float
    at: float


class Rates:
    """The buckets of one Slack."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.on = True
        self.scale = 1.0
        self.impatient: list[Impatience] = []
        self.refused = 0  # how many 429 were answered
        self._clock = clock
        self._buckets: dict[Key, _Bucket] = {}
        self._closed: dict[Key, tuple[float, float]] = {}  # key → (429 given at, closed until)

    def reset(self) -> None:
        """All buckets full, nothing noted."""
        self._buckets.clear()
        self._closed.clear()
        self.impatient.clear()
        self.refused = 0

    def take(self, app: str, team: str, method: str, channel: str = "") -> int:
        """Take a token; 0: go ahead, else the `Retry-After` in seconds."""
        if not self.on:
            return 0
        now = self._clock()
        keys = _keys(app, team, method, channel)
        for key in keys:
            given, until = self._closed.get(key, (0.0, 0.0))
            if now < until:
                self.impatient.append(Impatience(method, team, channel, now, until - now, now - given))
                self.refused += 1
                return max(1, math.ceil(until - now))
        for key in keys:
            bucket = self._bucket(key, method, now)
            if bucket.level < 1.0:
                wait = max(1, math.ceil((1.0 - bucket.level) / (bucket.refill * self.scale)))
                return self._close(key, now, wait)
        for key in keys:
            self._buckets[key].level -= 1.0
        return 0

    def close(self, app: str, team: str, method: str, channel: str, seconds: int) -> None:
        """As if a 429 with this Retry-After had been answered: faults use it."""
        self._close(_keys(app, team, method, channel)[0], self._clock(), seconds)

    def _close(self, key: Key, now: float, wait: int) -> int:
        self._closed[key] = (now, now + wait)
        self.refused += 1
        return wait

    def _bucket(self, key: Key, method: str, now: float) -> _Bucket:
        burst, refill = POST_IN_CHANNEL if len(key) == 4 else limit_of(method)
        bucket = self._buckets.setdefault(key, _Bucket(burst, refill, burst, now))
        bucket.level = min(burst, bucket.level + (now - bucket.at) * refill * self.scale)
        bucket.at = now
        return bucket


def _keys(app: str, team: str, method: str, channel: str) -> list[Key]:
    workspace = (app, team, method)
    return [(*workspace, channel), workspace] if method == "chat.postMessage" else [workspace]
