"""Graphs of tasks: the builder, and the three patterns."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest

from quartet_client import GraphBuilder, create_agent, full_stack, parallel_code_review, supervised
from quartet_client.graphs import Graph

A, B = create_agent("researcher", "a"), create_agent("builder", "b", "openai:gpt-5", 0.2)


def test_a_graph_is_sent_as_the_routes_take_it() -> None:
    graph = GraphBuilder("w-1", {"k": 1}).task(A, "Look").task(B, {"task": "Write", "x": 2}, [A]).graph()
    assert graph.body() == {
        "workflow_id": "w-1",
        "workflow_type": "graph",
        "metadata": {"k": 1},
        "tasks": [
            {"agent_id": "a", "agent_role": "researcher", "input_data": {"task": "Look"}, "depends_on": []},
            {
                "agent_id": "b",
                "agent_role": "builder",
                "input_data": {"task": "Write", "x": 2},
                "depends_on": ["a"],
                "llm_model": "openai:gpt-5",
                "temperature": 0.2,
            },
        ],
    }
    assert "workflow_id" not in GraphBuilder().task(A, "x").sequential().body()
    assert GraphBuilder().task(A, "x").parallel().workflow_type == "parallel"


def test_what_cannot_be_a_graph_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="needs a task"):
        GraphBuilder().graph()
    with pytest.raises(ValueError, match="already"):
        GraphBuilder().task(A, "x").task(A, "y")
    with pytest.raises(ValueError, match="no task of this graph"):
        GraphBuilder().task(A, "x", ["nobody"]).graph()
    with pytest.raises(ValueError, match="that is a graph"):
        GraphBuilder().task(A, "x").task(B, "y", [A]).parallel()
    with pytest.raises(ValueError, match="list of agents"):
        GraphBuilder().task(A, "x", "abc")
    for bad in ({"role": ""}, {"agent_id": ""}, {"temperature": 3.0}):
        with pytest.raises(ValueError, match=r"String should have|less than or equal to 2"):
            create_agent(**{"role": "x", "agent_id": "y", **bad})  # pyright: ignore[reportArgumentType]


def order(graph: Graph) -> list[set[str]]:
    """Which tasks can be worked on at once, round by round."""
    sorter = TopologicalSorter({task.agent.agent_id: set(task.depends_on) for task in graph.tasks})
    sorter.prepare()
    rounds: list[set[str]] = []
    while sorter.is_active():
        rounds.append(set(sorter.get_ready()))
        sorter.done(*rounds[-1])
    return rounds


def test_full_stack_builds_both_ends_at_once() -> None:
    graph = full_stack("A guest book", llm_model="openai:gpt-5")
    assert order(graph) == [{"architect"}, {"backend", "frontend"}, {"qa", "documentation"}]
    assert {task.agent.llm_model for task in graph.tasks} == {"openai:gpt-5"}


def test_parallel_code_review_reviews_at_once_and_puts_together() -> None:
    assert [len(one) for one in order(parallel_code_review("x = 1"))] == [3, 1]
    one = parallel_code_review("x = 1", aspects={"security": "holes"})
    assert order(one) == [{"review_security"}, {"summary"}]
    assert one.tasks[0].input_data["code"] == "x = 1"
    with pytest.raises(ValueError, match="aspect"):
        parallel_code_review("x", aspects={})


def test_supervised_plans_first_and_judges_last() -> None:
    graph = supervised("A guest book", [A, B], supervisor=create_agent("architect", "boss"))
    assert order(graph) == [{"boss_plan"}, {"a", "b"}, {"boss_verdict"}]
    with pytest.raises(ValueError, match="worker"):
        supervised("x", [])
    with pytest.raises(ValueError, match="already"):
        supervised("x", [A, A])
