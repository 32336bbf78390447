"""Steps and a sink in memory, for tests of agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from orchestrator.agents.spec import AgentSpec
from orchestrator.events import Body, Json, Line, RunId, RunSettings, TurnRecord, Who
from orchestrator.ports import Recorded, StepInput

ROOT = Path(__file__).parents[3]
ROLES = ("researcher", "planner", "builder", "reviewer")


def specs(**changes: Any) -> list[AgentSpec]:
    """The four shipped agents; `changes` go into each."""
    folder = ROOT / "config" / "agents"
    return [
        AgentSpec.model_validate(yaml.safe_load((folder / f"{r}.yaml").read_text("utf-8")) | changes)
        for r in ROLES
    ]


def turn(text: str, **more: Any) -> TurnRecord:
    """A turn of Ada's."""
    who = Who(key="web:ada", name="Ada")
    return TurnRecord(key="t1", text=text, who=who, at=datetime(2026, 1, 1, tzinfo=UTC), **more)


def step(agent: str, text: str, *, outputs: Mapping[str, Json] | None = None, **more: Any) -> StepInput:
    """A step of an agent; a turn or `turn_more` makes the turn."""
    turn_more = more.pop("turn_more", {})
    return StepInput(
        run_id=RunId("r1"),
        node=agent,
        visit=more.pop("visit", 1),
        attempt=more.pop("attempt", 1),
        agent=agent,
        turn=turn(text, **turn_more),
        exchanges=more.pop("exchanges", ()),
        settings=more.pop("settings", RunSettings()),
        outputs=outputs or {},
        **more,
    )


def said(person: str, bot: str) -> tuple[Line, Line]:
    """One exchange."""
    return Line(role="person", name="Ada", text=person), Line(role="bot", name="Quartet", text=bot)


@dataclass
class MemorySink:
    """Keeps what a step tells."""

    facts: list[Body] = field(default_factory=list[Body])
    said: list[str] = field(default_factory=list[str])
    saved: list[Json] = field(default_factory=list[Json])  # checkpoints
    messages: tuple[str, ...] = ()
    refuse: Exception | None = None  # raised by the next record

    async def record(self, *bodies: Body) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.facts.extend(bodies)

    async def checkpoint(self, content: Json) -> None:
        self.saved.append(content)

    def doing(self, text: str) -> None:
        self.said.append(text)

    def steering(self) -> tuple[str, ...]:
        return self.messages

    def recorded(self) -> tuple[Recorded, ...]:
        """What a later try of the same attempt would be given."""
        kinds = ("model_answered", "tool_returned", "output_sent_back")
        return tuple(f for f in self.facts if f.type in kinds)  # pyright: ignore[reportReturnType]
