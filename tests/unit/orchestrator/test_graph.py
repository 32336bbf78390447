"""Loops and order in a graph, compared with looking at every pair of nodes."""

from __future__ import annotations

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.graph import Before, components, distances, loops


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"n{i}" for i in range(draw(st.integers(1, 8)))]
    return {name: draw(st.lists(st.sampled_from(names), max_size=3)) for name in names}


def reach(ways: dict[str, list[str]]) -> dict[str, set[str]]:
    """Each node to all that can be reached from it by one way or more."""
    found = {name: set(targets) for name, targets in ways.items()}
    for _ in ways:
        for name in ways:
            found[name] |= {far for target in set(found[name]) for far in found[target]}
    return found


@given(graphs())
def test_components_are_the_nodes_that_reach_each_other(ways: dict[str, list[str]]) -> None:
    far = reach(ways)
    found = components(ways)
    assert sorted(name for part in found for name in part) == sorted(ways)
    place = {name: i for i, part in enumerate(found) for name in part}
    for a in ways:
        for b in ways:
            assert (place[a] == place[b]) == (a == b or (b in far[a] and a in far[b]))
            if b in far[a]:
                assert place[a] <= place[b]
    assert {name for part in loops(ways) for name in part} == {name for name in ways if name in far[name]}


@given(graphs())
def test_what_comes_before_is_what_leads_there(ways: dict[str, list[str]]) -> None:
    far, before = reach(ways), Before(ways)
    assert all(before.comes(a, b) == (b in far[a]) for a in ways for b in ways)


@given(graphs())
def test_what_is_reached_has_a_distance(ways: dict[str, list[str]]) -> None:
    found = distances(ways, ["n0", "nobody"])
    assert found.keys() == {"n0"} | reach(ways)["n0"]
    assert all(found[b] <= found[a] + 1 for a in found for b in ways[a])


def test_a_long_chain_is_no_recursion() -> None:
    names = [f"n{i}" for i in range(20_000)]
    chain = {a: [b] for a, b in pairwise(names)} | {names[-1]: [names[0]]}
    begun = time.process_time()
    assert [len(part) for part in loops(chain)] == [20_000]
    assert time.process_time() - begun < 5.0
