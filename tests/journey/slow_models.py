"""Models that take their time, for bots that are watched or killed while they work."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import Any

from tests.house import BRIEF, DRAFT, PLAN, REVIEW
from tests.twins.openai_server import ModelServer

HELD_S = 600.0
OUTPUTS: dict[str, Any] = {
    "researcher": BRIEF,
    "planner": PLAN,
    "builder": DRAFT,
    "reviewer": {k: v for k, v in REVIEW.items() if k != "repeated"},
}
TEAM: dict[str, Any] = {
    "goal": "Explain tea",
    "members": [
        {"name": "Ann", "agent": "qa", "role": "asks", "instructions": "Ask what is unclear.", "tools": []},
        {"name": "Ben", "agent": "backend", "role": "builds", "instructions": "Make it.", "tools": []},
    ],
    "speaking": "as_needed",
    "rounds": 6,
    "done_when": "both have worked",
}


def gives(member: str = "", task: str = "", *, done: bool = False) -> dict[str, Any]:
    """What a coordinator says."""
    return {"member": member, "task": task, "done": done, "reason": "it is there" if done else ""}


ASKS = gives("user", "Which tea?")
# One session. A call that was cut off takes its answer with it: the team is shorter then, and ends as well.
SESSION: dict[str, list[dict[str, Any]]] = {
    "team_builder": [TEAM] * 3,
    "coordinator": [
        gives("Ann", "Ask."),
        gives("Ben", "Make."),
        gives("Ann", "Look."),
        *[gives(done=True)] * 5,
    ],
    **{
        name: [{"body": f"{name} worked.", "outcome": "done"}] * 5
        for name in ("qa", "backend", "technical_writer")
    },
}


@contextmanager
def slow_models(delay_s: float, *, asks: bool = False, held: Collection[str] = ()) -> Generator[ModelServer]:
    """Every agent takes its time, as often as it is asked; one session works with a team of two.

    Args:
        delay_s: of every answer.
        asks: whether the team asks a person first.
        held: agents whose answers do not come while a test lasts.
    """
    outputs = {**{agent: [output] * 60 for agent, output in OUTPUTS.items()}, **SESSION}
    if asks:
        outputs["coordinator"] = [ASKS, *outputs["coordinator"]]
    answers = {
        agent: [{"output": output, "delay_s": HELD_S if agent in held else delay_s} for output in queue]
        for agent, queue in outputs.items()
    }
    with ModelServer({"answers": answers}, strict=False) as server:
        yield server
