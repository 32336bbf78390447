"""Where a call stands, kept in the step's checkpoint beside what the agent itself saved.

After a crash the same attempt goes on waiting for the same task instead of asking for it again.
"""

from __future__ import annotations

from orchestrator.events import Json
from orchestrator.ports import StepInput, StepSink


class Resuming:
    """The checkpoint of one step. A `StepSink` for what the agent saves.

    Args:
        step: what it saved comes back with it.
        sink: where it goes.
    """

    def __init__(self, step: StepInput, sink: StepSink) -> None:
        kept = step.checkpoint or {}
        self._attempt = step.attempt
        self._sink = sink
        self.own: Json | None = kept.get("agent")
        # Of another attempt: that call has failed.
        self.call: str | None = kept.get("call") if kept.get("attempt") == step.attempt else None
        self.doing = sink.doing
        self.record = sink.record
        self.steering = sink.steering

    async def checkpoint(self, content: Json) -> None:
        """Keep what the agent saves."""
        self.own = content
        await self._save()

    async def under_way(self, call: str) -> None:
        """Keep how the task under way is found again."""
        if call != self.call:
            self.call = call
            await self._save()

    async def _save(self) -> None:
        await self._sink.checkpoint({"attempt": self._attempt, "call": self.call, "agent": self.own})
