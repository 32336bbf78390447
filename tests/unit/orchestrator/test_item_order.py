"""Items that wait for each other: rows, circles, ids that nobody has, and the map that keeps to it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.scopes import needed
from orchestrator.events import Json, RunSettings
from orchestrator.item_order import in_order, needs
from tests.builders import Play, flow


def one(name: str, *after: str) -> Json:
    return {"id": name, "depends_on": list(after)}


def test_items_stand_in_rows_by_what_they_wait_for() -> None:
    given_items = [one("d", "b", "c"), one("b", "a"), one("a"), one("c", "a"), one("e")]
    assert [item["id"] for item in in_order(given_items)] == ["a", "e", "b", "c", "d"]


def test_a_circle_is_opened_at_the_item_that_stands_first() -> None:
    ordered = in_order([one("a", "b"), one("b", "a"), one("c", "b")])
    assert [item["id"] for item in ordered] == ["a", "b", "c"]
    assert [needs(ordered, i) for i in range(3)] == [[], [0], [1]]


def test_what_is_no_item_of_that_kind_waits_for_nobody() -> None:
    strange = ["text", 3, None, {"id": 7}, {"id": "x", "depends_on": "x"}, one("y", "nobody", "y")]
    assert in_order(strange) == tuple(strange)
    assert all(needs(strange, i) == [] for i in range(len(strange)))


ids = st.sampled_from("abcdefg")
items_lists = st.lists(
    st.fixed_dictionaries({"id": ids, "depends_on": st.lists(ids, max_size=3)}), max_size=8
)


@given(items_lists)
def test_the_same_items_come_out_and_each_can_be_reached(given_items: list[Json]) -> None:
    ordered = in_order(given_items)
    assert sorted(map(str, ordered)) == sorted(map(str, given_items))
    for index in range(len(ordered)):
        assert all(other < index for other in needs(ordered, index))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True))
def test_without_circles_everything_needed_comes_first(numbers: list[int]) -> None:
    made = [one(str(n), *(str(m) for m in numbers if m < n and m % 2 == n % 2)) for n in numbers]
    ordered = in_order(made)
    for index, item in enumerate(ordered):
        assert {ordered[other]["id"] for other in needs(ordered, index)} == set(item["depends_on"])


# ── the map ──────────────────────────────────────────────────────────────────────────────────

PLANNED: Json = {"items": [one("last", "a", "b"), one("a"), one("b", "a"), one("c")]}


def ordered_map(settings: RunSettings | None = None, **more: Any) -> Play:
    each: Json = {
        "kind": "map",
        "over": "plan.items",
        "agent": "w",
        "max_concurrent": 9,
        "ordered": True,
    } | more
    return Play(
        flow({"plan": "agent", "each": each, "sum": "agent"}, "plan > each", "each > sum"), settings=settings
    )


def test_an_item_begins_when_what_it_depends_on_has_ended() -> None:
    play = ordered_map().done("plan", PLANNED)  # in the order a, c, b, last
    assert play.working() == ["each[0]", "each[1]"]
    play.done("each[1]", {"n": "c"})
    assert play.working() == ["each[0]"]
    play.done("each[0]", {"n": "a"})
    assert play.working() == ["each[2]"]
    play.done("each[2]", {"n": "b"})
    assert needed(play.workflow, play.state, "each[3]") == {"each[a]": {"n": "a"}, "each[b]": {"n": "b"}}
    play.done("each[3]", {"n": "last"})
    assert play.state.latest("each") == {"items": [{"n": n} for n in ("a", "c", "b", "last")], "failed": []}


def test_an_item_goes_on_without_one_that_failed() -> None:
    play = ordered_map(on_item_error="continue").done("plan", PLANNED).fail("each[0]", "no luck")
    assert play.working() == ["each[1]", "each[2]"]
    assert needed(play.workflow, play.state, "each[2]") == {}
    play.done("each[1]", {}).done("each[2]", {"n": "b"}).done("each[3]", {})
    assert play.working() == ["sum"]


def test_an_item_waits_for_the_next_attempt_of_what_it_depends_on() -> None:
    play = ordered_map(retry={"max_retries": 1, "initial_delay": 5}).done("plan", PLANNED)
    play.done("each[1]", {}).fail("each[0]", retryable=True)
    assert play.working() == []
    play.wait(5)
    assert play.working() == ["each[0]"]


def test_the_run_may_take_up_fewer_items_than_its_map_would() -> None:
    play = ordered_map(RunSettings(at_once=1)).done("plan", PLANNED)
    assert play.working() == ["each[0]"]


def test_a_map_without_order_takes_items_as_they_stand() -> None:
    play = ordered_map(ordered=False).done("plan", PLANNED)
    assert play.working() == [f"each[{i}]" for i in range(4)]
