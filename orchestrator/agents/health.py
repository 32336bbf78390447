"""Whether an agent can be counted on now: signs of life that did not come, failures in a row. Pure.

An agent that fails three times in a row is left alone for a while, twice as long each time; then a
single step tries whether it works again.
"""

from __future__ import annotations

from dataclasses import dataclass

MISSED = 3  # heartbeats that did not come make it offline
IN_A_ROW = 3  # failures
FIRST_REST_S = 30.0
LONGEST_REST_S = 600.0
PROBLEM_CHARS = 160


@dataclass(slots=True)
class Health:
    """One agent's. Times are monotonic seconds."""

    heartbeat_s: float | None
    heard_at: float
    failures: int = 0  # in a row
    rests: int = 0  # in a row
    rests_until: float | None = None  # once it is over, one step tries
    problem: str = ""  # of the last failure
    unusable: str = ""  # why it cannot work at all, until that is mended; "": it can

    def silent_at(self) -> float | None:
        """When it is offline unless it is heard; None: never."""
        return None if self.heartbeat_s is None else self.heard_at + MISSED * self.heartbeat_s

    def offline(self, now: float) -> bool:
        """Whether its signs of life have stopped."""
        silent_at = self.silent_at()
        return silent_at is not None and now >= silent_at

    def succeeded(self) -> None:
        """A step ended well."""
        self.failures, self.rests, self.rests_until, self.problem = 0, 0, None, ""

    def failed(self, now: float, problem: str, *, retryable: bool, alone: bool) -> None:
        """A step failed, and that is held against the agent.

        Args:
            retryable: waiting may help.
            alone: nobody else has one of its capabilities. Left alone it would keep everybody waiting,
                so that is done only where waiting may help.
        """
        self.failures += 1
        self.problem = " ".join(problem.split())[:PROBLEM_CHARS]
        tried = self.rests_until is not None and now >= self.rests_until
        if (tried or self.failures >= IN_A_ROW) and (retryable or not alone):
            self.rests += 1
            self.rests_until = now + min(FIRST_REST_S * 2 ** (self.rests - 1), LONGEST_REST_S)

    def trouble(self, now: float, load: int) -> tuple[str, str]:
        """Its status where that is error or offline, and why it cannot be chosen; both "": it can.

        Args:
            now: monotonic seconds.
            load: steps it works on, or is about to.
        """
        if self.unusable:
            return "error", self.unusable
        if self.offline(now):
            assert self.heartbeat_s is not None
            return "offline", f"offline: {MISSED} heartbeats, one every {self.heartbeat_s:g} s, did not come"
        if self.rests_until is None:
            return "", ""
        row = f"{self.failures} failures in a row, the last: {self.problem}"
        if now < self.rests_until:
            return "error", row
        return "error", f"tried again now after {row}" if load else ""
