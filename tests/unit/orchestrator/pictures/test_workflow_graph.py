"""What a definition looks like as boxes and arrows."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.pictures import Graph, GraphEdge, GraphNode, graph_of, svg
from orchestrator.workflow import Workflow

FULL: dict[str, Any] = {
    "name": "release",
    "nodes": {
        "collect": {"kind": "agent", "agent": "researcher", "title": "Collect", "compensation": "undo"},
        "each": {"kind": "map", "over": "collect.items", "requires": ["writing"], "join": "any"},
        "score": {"kind": "decision", "title": "Good?"},
        "ok": {"kind": "approval", "of": "collect", "approvers": ["@lead"], "join": 2},
        "more": {"kind": "input", "question": "What else?"},
        "ship": {"kind": "workflow", "workflow": "deployment"},
        "speak": {"kind": "agent", "agent_from": "next.member", "team": "collect"},
        "undo": {"kind": "agent", "agent": "builder"},
        "broken": {"kind": "error_handler"},
        "finish": {"kind": "decision", "title": "Answer"},
    },
    "edges": [
        {"from": "collect", "to": "each"},
        {"from": "each", "to": "score"},
        {"from": "score", "to": "collect", "when": "each.score  < 7", "max_visits": 2},
        {"from": "score", "to": "ok"},
        {"from": "ok", "to": "collect", "on": "changes", "max_visits": 5},
        {"from": "ok", "to": "more", "on": "rejected"},
        {"from": "ok", "to": "ship"},
        {"from": "more", "to": "speak"},
        {"from": "speak", "to": "ok"},
        {"from": "ship", "to": "broken", "on": "error"},
        {"from": "each", "to": "finish", "on": "error"},
        {"from": "ship", "to": "finish"},
    ],
}


@pytest.fixture
def graph() -> Graph:
    return graph_of(Workflow.model_validate(FULL))


def node(graph: Graph, key: str) -> GraphNode:
    return next(n for n in graph.nodes if n.key == key)


def edge(graph: Graph, source: str, target: str) -> GraphEdge:
    return next(e for e in graph.edges if (e.source, e.target) == (source, target))


def test_nodes_say_what_they_are_and_who_works(graph: Graph) -> None:
    assert {n.key: (n.shape, n.word, n.subtitle) for n in graph.nodes} == {
        "collect": ("agent", "", "researcher"),
        "each": ("map", "for each of collect.items", "needs writing"),
        "score": ("decision", "", ""),
        "ok": ("approval", "approval · after 2 of 2 branches", "by @lead"),
        "more": ("input", "input", ""),
        "ship": ("workflow", "workflow", "deployment"),
        "speak": ("agent", "", "whom collect chooses"),
        "undo": ("agent", "undoes", "builder"),
        "broken": ("error_handler", "on error", ""),
        "finish": ("agent", "", ""),  # a decision without a choice
    }
    assert node(graph, "each").title == "Each"
    assert graph.entries == ("collect",)


def test_edges_say_when_they_are_taken(graph: Graph) -> None:
    assert edge(graph, "collect", "each").label == ""
    assert edge(graph, "score", "collect").label == "at most 2×, when each.score < 7"
    assert edge(graph, "score", "ok").label == "otherwise"
    assert edge(graph, "ok", "collect") == GraphEdge("ok", "collect", "changes wanted, at most 5×", "changes")
    assert edge(graph, "ok", "more") == GraphEdge("ok", "more", "rejected", "rejected")
    assert edge(graph, "ship", "broken") == GraphEdge("ship", "broken", "", "error")  # the node says it
    assert edge(graph, "each", "finish").label == "error"
    assert edge(graph, "collect", "undo") == GraphEdge("collect", "undo", "", "compensate")


def test_statuses_of_a_run_are_shown_and_the_others_wait() -> None:
    graph = graph_of(
        Workflow.model_validate(FULL), {"collect": "done", "each": "open", "ok": "failed", "gone": "done"}
    )
    assert {n.key: n.status for n in graph.nodes if n.status != "waiting"} == {
        "collect": "done",
        "each": "working",  # a group at work
        "ok": "failed",
    }


def test_a_definition_alone_has_no_statuses(graph: Graph) -> None:
    assert {n.status for n in graph.nodes} == {None}


def test_several_beginnings_are_all_shown() -> None:
    nodes = {name: {"kind": "agent", "agent": "builder"} for name in ("one", "two", "three")}
    graph = graph_of(
        Workflow.model_validate({"name": "side_by_side", "strategy": "parallel", "nodes": nodes})
    )
    assert graph.entries == ("one", "two", "three")
    start = svg(graph).partition('<g class="start">')[2].partition("</g>")[0]
    assert start.count('class="head"') == 3


def test_a_sequence_needs_no_edges_in_the_file() -> None:
    nodes = {name: {"kind": "agent", "agent": "builder"} for name in ("one", "two", "three")}
    graph = graph_of(Workflow.model_validate({"name": "row", "strategy": "sequential", "nodes": nodes}))
    assert [(e.source, e.target) for e in graph.edges] == [("one", "two"), ("two", "three")]
