"""Definitions: what is refused, where, and with which remedy."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.events import Json
from orchestrator.workflow import Retry, Workflow
from orchestrator.workflow_checks import MAX_FLAWS, Flaw, problems
from tests.builders import edge, flow, quartet

AGENTS = frozenset({"a", "b", "c", "researcher", "planner", "builder", "reviewer"})


def flaws(workflow: Workflow) -> list[Flaw]:
    return list(problems(workflow, agents=AGENTS))


def test_shipped_workflow_has_no_problems() -> None:
    assert flaws(quartet()) == []


@pytest.mark.parametrize(
    ("workflow", "path", "words"),
    [
        (flow({"a": "agent"}, start="b"), ("start",), "no node 'b'"),
        (flow({"a": "agent"}, "a > b"), ("edges", 0, "to"), "no node 'b'; nodes are a"),
        (flow({"a": "agent"}, "b > a"), ("edges", 0, "from"), "no node 'b'"),
        (
            flow({"a": "agent", "d": "agent"}, "a > d"),
            ("nodes", "d", "agent"),
            "no agent 'd'; agents are a, b",
        ),
        (
            flow({"a": "agent", "h": {"kind": "error_handler", "agent": "x"}}, edge("a > h", on="error")),
            ("nodes", "h", "agent"),
            "no agent 'x'",
        ),
        (flow({"a": "agent", "ok": "approval of z"}, "a > ok"), ("nodes", "ok", "of"), "no node 'z'"),
        (flow({"a": "agent"}, answer={"draft": "z"}), ("answer", "draft"), "no node 'z'"),
        (flow({"a": "agent"}, answer={"draft": "a", "plan": "z"}), ("answer", "plan"), "no node 'z'"),
        (flow({"a": "agent", "b": "agent"}), ("nodes", "b"), "no edge leads to 'b'"),
        (flow({"a": "agent", "b": "agent"}, "a > b", "b > a"), ("edges", 1), "max_visits"),
        (flow({"a": "agent"}, "a > a"), ("edges", 0), "the loop through a never ends"),
        (flow({"a": "agent"}, edge("a > a", when="a.x < 3")), ("edges", 0), "max_visits"),
        (flow({"a": "agent"}, edge("a > a", on="error")), ("edges", 0), "max_visits"),
        (
            flow({"a": "agent", "b": "agent"}, edge("a > b", when="bilder.x")),
            ("edges", 0, "when"),
            "unknown name 'bilder'; known are a, b, inputs, policies, visits",
        ),
        (
            flow({"a": "agent", "b": "agent"}, edge("a > b", when="a.x <")),
            ("edges", 0, "when"),
            "not an expression",
        ),
        (
            flow({"a": "agent", "b": "agent"}, edge("a > b", when="")),
            ("edges", 0, "when"),
            "not an expression",
        ),
        (
            flow({"a": "agent", "b": "agent"}, edge("a > b", when="a.__class__")),
            ("edges", 0, "when"),
            "begin with _",
        ),
        (
            flow({"a": "agent", "b": "agent"}, edge("a > b", on="changes")),
            ("edges", 0, "on"),
            "only approvals have edges",
        ),
        (
            flow({"a": "agent", "b": "agent"}, edge("a > b", on="rejected")),
            ("edges", 0, "on"),
            "of kind 'agent'",
        ),
    ],
)
def test_a_flaw_names_its_place_and_its_remedy(workflow: Workflow, path: tuple[Any, ...], words: str) -> None:
    found = flaws(workflow)
    assert path in [f.path for f in found]
    assert any(words in f.message for f in found if f.path == path)
    assert all("\n" not in f.message for f in found)


@pytest.mark.parametrize("taken", ["visits", "policies", "inputs"])
def test_a_node_cannot_take_the_name_of_a_variable(taken: str) -> None:
    (flaw,) = flaws(flow({"a": "agent", taken: "decision"}, f"a > {taken}"))
    assert flaw.path == ("nodes", taken)
    assert "another name" in flaw.message


def test_a_loop_with_a_limit_on_any_of_its_edges_is_fine() -> None:
    nodes = {"a": "agent", "b": "agent", "c": "agent"}
    assert flaws(flow(nodes, "a > b", "b > c", edge("c > a", max_visits=2))) == []
    assert flaws(flow(nodes, edge("a > b", max_visits=1), "b > c", "c > a")) == []


def test_a_loop_behind_a_limited_loop_is_still_found() -> None:
    nodes = {"a": "agent", "b": "agent", "c": "agent"}
    found = flaws(flow(nodes, "a > b", edge("b > a", max_visits=1), "b > c", "c > b"))
    assert [f.path for f in found] == [("edges", 3)]
    assert "b, c" in found[0].message


@pytest.mark.parametrize(
    "document",
    [
        {"name": "x", "nodes": {}},
        {"name": "X Y", "nodes": {"a": {"kind": "agent", "agent": "a"}}},
        {"name": "x", "nodes": {"a b": {"kind": "agent", "agent": "a"}}},
        {"name": "x", "nodes": {"__class__": {"kind": "agent", "agent": "a"}}},
        {"name": "x", "nodes": {"a": {"kind": "magic"}}},
        {"name": "x", "nodes": {"a": {"kind": "agent", "agent": "a", "colour": "red"}}},
        {"name": "x", "nodes": {"a": {"kind": "approval"}}},
        {"name": "x", "nodes": {"a": {"kind": "agent", "agent": "a", "timeout": 0}}},
        {"name": "x", "nodes": {"a": {"kind": "agent", "agent": "a", "retry": {"max_retries": 99}}}},
        {
            "name": "x",
            "nodes": {"a": {"kind": "decision"}},
            "edges": [{"from": "a", "to": "a", "max_visits": 0}],
        },
        {
            "name": "x",
            "nodes": {"a": {"kind": "decision"}},
            "edges": [{"from": "a", "to": "a", "on": "sometimes"}],
        },
        {"name": "x", "nodes": {"a": {"kind": "decision"}}, "policies": {"max_steps": 0}},
        {"name": "x", "nodes": {"a": {"kind": "decision"}}, "policies": {"min_score": float("nan")}},
    ],
)
def test_wrong_shapes_are_refused(document: Json) -> None:
    with pytest.raises(ValidationError):
        Workflow.model_validate(document)


def test_digest_is_of_the_meaning_and_survives_the_store() -> None:
    workflow = quartet()
    again = Workflow.model_validate(workflow.model_dump(mode="json", by_alias=True))
    assert again.digest == workflow.digest
    assert again == workflow
    assert flow({"a": "agent"}).digest != flow({"b": "agent"}).digest


def test_retry_waits_longer_each_time() -> None:
    retry = Retry(max_retries=3, initial_delay=2.0, backoff=3.0)
    assert [retry.delay(attempt) for attempt in (1, 2, 3)] == [2.0, 6.0, 18.0]


def test_a_thousand_nodes_are_checked_within_a_second() -> None:
    names = [f"n{i}" for i in range(1000)]
    pairs = [f"{a} > {b}" for i, a in enumerate(names) for b in names[i + 1 : i + 9]]
    steps: list[str | Json] = [
        edge(f"{b} > {a}", when=f"visits.{a} < 3", on="error", max_visits=2) for a, b in pairwise(names)
    ]
    nodes: dict[str, str | Json] = {
        n: {"kind": "agent", "agent": "a", "task": "{{ inputs.text }}"} for n in names
    }
    workflow = flow(nodes, *pairs, *steps)
    begun = time.process_time()
    assert flaws(workflow) == []
    assert time.process_time() - begun < 5.0


def test_a_thousand_flaws_are_told_in_few_words() -> None:
    names = [f"n{i}" for i in range(1000)]
    wrong: list[str | Json] = [edge(f"{a} > {b}", when="nobody.x") for a, b in pairwise(names)]
    begun = time.process_time()
    found = flaws(flow(dict.fromkeys(names, "agent"), *wrong))
    assert time.process_time() - begun < 5.0
    assert len(found) == MAX_FLAWS
    assert all(len(flaw.message) < 1000 for flaw in found)


@given(st.integers(1, 6), st.integers(0, 2**32))
def test_a_graph_without_problems_has_no_endless_walk(size: int, seed: int) -> None:
    """Walk along edges, each at most `max_visits` times: without a flaw every walk ends."""
    dice = random.Random(seed)
    names = [f"n{i}" for i in range(size)]
    edges = [
        edge(
            f"{dice.choice(names)} > {dice.choice(names)}",
            **({"max_visits": 2} if dice.random() < 0.4 else {}),
        )
        for _ in range(dice.randint(0, 9))
    ]
    workflow = flow(dict.fromkeys(names, "decision"), *edges)
    endless = any("never ends" in f.message for f in problems(workflow))
    # The reference: a loop of free edges is there if a node reaches itself along them.
    free = {n: {e.target for e in workflow.edges if e.source == n and e.max_visits is None} for n in names}
    reach = {n: set(free[n]) for n in names}
    for _ in names:
        for n in names:
            for m in list(reach[n]):
                reach[n] |= reach[m]
    assert endless == any(n in reach[n] for n in names)
