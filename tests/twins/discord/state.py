"""SimCord's `Backend` with what it lacks: nonces that are remembered, closed direct messages, old edits."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from simcord._clock import Clock
from simcord.backend import Backend

_EPOCH_MS = 1420070400000
NONCE_KEPT_S = 300.0  # "the past few minutes", says Discord
OLD_S = 3600.0


class RealClock(Clock):
    """Real time, plus what was advanced."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.elapsed)


class TwinBackend(Backend):
    """One Discord's state.

    Attributes:
        closed_dms: users who take no direct messages.
        lost_channels: of guilds the bot was removed from: 50001, as long as they exist.
        nonce: of the message that is being created now; its event carries it, as the answer does.
        old_edits: how many edits of messages older than an hour a channel takes in `old_edits_in_s`. Discord
            does not publish its figures.
    """

    def __init__(self) -> None:
        super().__init__(clock=RealClock())
        self.closed_dms: set[int] = set()
        self.lost_channels: set[int] = set()
        self.nonce: str | int | None = None
        self.old_edits = 3
        self.old_edits_in_s = 20.0
        self._nonces: dict[tuple[int, int, str], tuple[int, datetime]] = {}
        self._edited: dict[int, deque[datetime]] = {}

    def emit(self, event: str, payload: Mapping[str, Any]) -> None:
        if event == "MESSAGE_CREATE" and self.nonce is not None:
            payload = {**payload, "nonce": self.nonce}
        super().emit(event, payload)

    def forget_log(self) -> None:
        """SimCord keeps every event and request for ever; the twin has a journal of its own."""
        self.transcript.clear()
        self.http_requests.clear()

    def made_at(self, snowflake: int) -> datetime:
        """When something got its id."""
        return datetime.fromtimestamp(((snowflake >> 22) + _EPOCH_MS) / 1000, UTC)

    def message_of_nonce(self, channel: int, author: int, nonce: str) -> int | None:
        """The message somebody created in a channel with this nonce in the last minutes."""
        message, at = self._nonces.get((channel, author, nonce), (0, datetime.min.replace(tzinfo=UTC)))
        if self.clock.now() - at > timedelta(seconds=NONCE_KEPT_S):
            return None
        return message if message in self.messages.get(channel, {}) else None

    def remember_nonce(self, channel: int, author: int, nonce: str, message: int) -> None:
        """Keep which message was created with a nonce."""
        self._nonces[channel, author, nonce] = (message, self.clock.now())

    def takes_old_edit(self, channel: int, message: int) -> bool:
        """Whether an edit of this message is still within the limit of old ones; counts it."""
        now = self.clock.now()
        if now - self.made_at(message) < timedelta(seconds=OLD_S):
            return True
        times = self._edited.setdefault(channel, deque())
        while times and now - times[0] >= timedelta(seconds=self.old_edits_in_s):
            times.popleft()
        if len(times) >= self.old_edits:
            return False
        times.append(now)
        return True
