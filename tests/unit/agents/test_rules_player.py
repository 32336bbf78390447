"""A step that rules play: searches side by side, results in order, what refuses goes on as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from orchestrator.agents import rules_player
from orchestrator.agents.computing import in_thread
from orchestrator.agents.journal import Journal
from orchestrator.agents.rules_engine import SEARCH
from orchestrator.errors import Fenced, LimitReached, OutputInvalid
from orchestrator.events import Body, Json, ModelAnswered, ToolCall, ToolReturned
from orchestrator.tools.registry import AgentTool, ToolTrouble
from tests.unit.agents.steps import MemorySink, specs, step

T = TypeVar("T")
COMPARES = "Compare Redis and Kafka"


class Searches:
    """A search whose first question is answered last."""

    def __init__(self, *, fails: str = "") -> None:
        self.asked: list[str] = []
        self._second = asyncio.Event()
        self._fails = fails

    async def search(self, query: str, limit: int) -> list[Json]:
        self.asked.append(query)
        if len(self.asked) == 1:
            await self._second.wait()
        self._second.set()
        if query == self._fails:
            raise ToolTrouble("the index is gone")
        return [{"title": query, "url": f"{query}.md", "text": f"All about {query}.", "score": 1.0}]

    def tool(self) -> AgentTool:
        return AgentTool(SEARCH, "Search.", self.search, lambda arguments: f"for {arguments['query']}")


class Seen:
    """Computes at once, and keeps the results that the rules were given."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    async def __call__(self, work: Callable[..., T], *given: Any) -> T:
        self.results = list(given[2])
        return work(*given)


class FencedAfter(MemorySink):
    """A sink of a run that somebody else takes over after some facts."""

    def __init__(self, facts: int) -> None:
        super().__init__()
        self._left = facts

    async def record(self, *bodies: Body) -> None:
        if not self._left:
            raise Fenced("another process has it")
        self._left -= 1
        await super().record(*bodies)


def journal(sink: MemorySink, text: str = COMPARES, **more: Any) -> Journal:
    tools = {SEARCH: more.pop("searches", Searches()).tool()}
    [spec] = [s for s in specs(**more.pop("changes", {})) if s.name == more.get("agent", "researcher")]
    return Journal(
        spec=spec, step=step(more.pop("agent", "researcher"), text, **more), sink=sink, tools=tools
    )


async def test_searches_go_side_by_side_and_their_results_stand_in_the_order_of_the_questions() -> None:
    sink, seen = MemorySink(), Seen()
    await rules_player.play(journal(sink), seen)
    assert [[p["title"] for p in found] for found in seen.results] == [["redis"], ["kafka"]]
    assert [f.call_id for f in sink.facts if isinstance(f, ToolReturned)] == ["search-2", "search-1"]
    answers = [f for f in sink.facts if isinstance(f, ModelAnswered)]
    assert [(a.call, [b.call_id for b in a.bits if isinstance(b, ToolCall)]) for a in answers] == [
        (1, ["search-1", "search-2"]),
        (2, ["output"]),
    ]


async def test_a_search_that_fails_is_left_out_and_the_other_counts() -> None:
    sink, seen = MemorySink(), Seen()
    output = await rules_player.play(journal(sink, searches=Searches(fails="redis")), seen)
    assert [found[0]["title"] for found in seen.results] == ["kafka"]
    assert [source["url"] for source in output["sources"]] == ["kafka.md"]


@pytest.mark.parametrize("facts", [0, 1, 2])
async def test_a_run_that_is_somebody_elses_ends_the_step_as_such(facts: int) -> None:
    with pytest.raises(Fenced):
        await rules_player.play(journal(FencedAfter(facts)), in_thread)


async def test_whatever_was_recorded_before_a_crash_the_end_is_the_same_and_no_search_is_made_twice() -> None:
    sink = MemorySink()
    whole = await rules_player.play(journal(sink), in_thread)
    for length in range(1, len(sink.facts) + 1):
        again, searches = MemorySink(), Searches()
        returned = sum(isinstance(f, ToolReturned) for f in sink.facts[:length])
        if returned == 1:
            searches.asked.append("before the crash")
        done = journal(again, searches=searches, recorded=sink.recorded()[:length])
        assert await rules_player.play(done, in_thread) == whole
        assert len(again.facts) == len(sink.facts) - length


async def test_what_computes_too_long_is_ended() -> None:
    async def never(work: Callable[..., T], *given: object) -> T:
        await asyncio.sleep(3600)
        return work(*given)

    with pytest.raises(LimitReached, match="timeout_s") as ended:
        await rules_player.play(journal(MemorySink(), changes={"timeout_s": 0.05}), never)
    assert ended.value.retryable


async def test_an_output_that_cannot_count_is_said_at_once() -> None:
    async def flawed(work: Callable[..., Any], *given: object) -> Any:
        return work(*given)._replace(flaw="the plan\nleads nowhere")

    with pytest.raises(OutputInvalid, match="the plan leads nowhere"):
        await rules_player.play(journal(MemorySink(), agent="planner"), flawed)
