"""What the registry needs from an agent, wherever it works: its card, and that it works on a step.

Agents of YAML files are played by models (`model_player.py`). Agents of one's own, in Python or
elsewhere, register with a `Player` of theirs.
"""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import Field

from orchestrator.agents.spec import AgentBase
from orchestrator.events import Json
from orchestrator.ports import StepInput, StepSink

Origin = Literal["file", "built_in", "python", "http", "a2a", "mcp", "command"]


class AgentCard(AgentBase):
    """How an agent presents itself. Validated: what comes from elsewhere can be put into it as it is.

    Raises:
        ValidationError: a name, a capability or a limit is not as agents have them.
    """

    origin: Origin = "file"
    tools: tuple[str, ...] = ()
    # Seconds between signs of life (`AgentRegistry.beat`); after three that did not come it is offline.
    heartbeat_s: float | None = Field(default=None, gt=0, le=3600)


class Player(Protocol):
    """Whoever plays an agent."""

    @property
    def card(self) -> AgentCard:
        """Who it is; the same for as long as it is registered."""
        ...

    def reference(self, chosen: str | None = None) -> str:
        """Its model as "provider:model", or "rules"; "": it has none that we know of.

        Args:
            chosen: the model that the channel has set for it.
        """
        ...

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        """Work on one step until its output is there. Cancelled, it ends within a second.

        Returns:
            The artifact as JSON.

        Raises:
            StepError: it could not be done. Any other error counts as one of the agent.
        """
        ...
