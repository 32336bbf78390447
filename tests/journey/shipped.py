"""Shipped workflows on the web page: a bot played by rules, one by scripted models, people who press."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.journey.desks import Talk
from tests.journey.desks.web import WebDesk


class RulesDesk(WebDesk):
    """No model: the rules engine plays all agents."""

    column: ClassVar[str] = "rules"

    def variables(self) -> dict[str, str]:
        return {}


class ModelsDesk(WebDesk):
    """Models that answer from a script."""

    column: ClassVar[str] = "models"

    def script(self, **answers: list[dict[str, Any]]) -> None:
        """What each agent answers, oldest first; replaces what was left."""
        self.models.twin.load({"answers": answers})

    def settled(self) -> None:
        """Every answer was asked for, and nothing else."""
        journal = self.models.journal()
        assert journal["problems"] == []
        assert journal["left"] == {}


def said(body: str, outcome: str = "done", **more: Any) -> dict[str, Any]:
    """One answer of an agent whose output is a Report."""
    return {"output": {"body": body, "outcome": outcome, **more}}


def issue(problem: str, severity: str = "major", where: str = "app.py:1") -> dict[str, Any]:
    """One finding."""
    return {"severity": severity, "where": where, "problem": problem, "remedy": "mend it"}


def visits(talk: Talk) -> Counter[str]:
    """How often each step of the conversation's runs began, first attempts only."""
    kinds = ("step_started", "group_started")
    begun = [fact for kind in kinds for fact in talk.facts(kind) if fact.get("attempt", 1) == 1]
    return Counter(fact["node"] for fact in begun)


def skipped(talk: Talk, *nodes: str) -> bool:
    """Whether none of these nodes was ever begun."""
    return not set(nodes) & set(visits(talk))


async def approves(talk: Talk, *, asked: int) -> None:
    """Wait for the newest of so many questions, and approve."""
    await talk.waits(asked=asked)
    await talk.presses("Approve")


async def answers(talk: Talk, text: str, *, asked: int) -> None:
    """Wait for the newest of so many questions, and answer it."""
    await talk.waits(asked=asked)
    await talk.presses("Answer")
    await talk.fills({"text": text})


def created(talk: Talk) -> Mapping[str, Any]:
    """The first fact of the newest run."""
    return talk.facts("run_created")[-1]
