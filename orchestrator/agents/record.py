"""What is known of how an agent does: how many of its steps end well, and how long these take.

The log is the source. A record forgets: each ended step weighs a little more than the one before, so
that an agent which was mended has a good record again after some thirty steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.ports import AgentOutcome

MEMORY = 32  # so many steps weigh as much as all before them ever will
_KEEP = 1 - 1 / MEMORY
# What is held against an agent (`Problem.kind`). Not: what the engine broke ("engine"), a time limit of the
# workflow ("timeout"), a step for which there was nobody ("no_agent"), or that somebody stopped the run.
FAULTS = frozenset(
    {
        "model_refused",
        "model_unavailable",
        "output_invalid",
        "limit_reached",
        "tool_failed",
        "agent_failed",
        "step",
    }
)


@dataclass(slots=True)
class AgentRecord:
    """How one agent did. `good` and `bad` are weights, at most `MEMORY` together."""

    good: float = 0.0
    bad: float = 0.0
    steps: int = 0  # attempts that ended, all of them
    mean_s: float | None = None  # seconds of a step that ended well, newer ones weighing more

    def learn(self, ok: bool, seconds: float) -> None:
        """Another attempt ended."""
        self.steps += 1
        self.good = self.good * _KEEP + ok
        self.bad = self.bad * _KEEP + (not ok)
        if ok:
            # The first few count alike: else the very first would weigh as much as all that follow.
            share = 1 / min(self.good, MEMORY) if self.good > 1 else 1.0
            self.mean_s = seconds if self.mean_s is None else self.mean_s + (seconds - self.mean_s) * share

    @property
    def success_rate(self) -> float | None:
        """Share of the attempts that ended well, 0 to 1; None: there were none."""
        return self.good / (self.good + self.bad) if self.steps else None

    @property
    def grade(self) -> tuple[int, int]:
        """Successes and failures in whole steps, as the choice weighs them."""
        return round(self.good), round(self.bad)


def records(outcomes: Iterable[AgentOutcome]) -> dict[str, AgentRecord]:
    """Records by agent, from outcomes in the order in which they came."""
    found: dict[str, AgentRecord] = {}
    for agent, kind, seconds in outcomes:
        if not kind or kind in FAULTS:
            found.setdefault(agent, AgentRecord()).learn(not kind, seconds)
    return found
