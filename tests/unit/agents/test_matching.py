"""The choice among agents: the index finds whom a look at everybody would find."""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from typing import NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.matching import USUAL, Matcher
from orchestrator.errors import NoAgent, NotFound, Refused
from orchestrator.events import Priority

CAPABILITIES = ("research", "writing", "review", "fast", "cheap")
RANKS: dict[Priority, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3}


class Somebody(NamedTuple):
    capabilities: frozenset[str]
    priority: Priority
    limit: int | None
    load: int
    there: bool


def somebody() -> st.SearchStrategy[Somebody]:
    return st.builds(
        Somebody,
        st.frozensets(st.sampled_from(CAPABILITIES), max_size=4),
        st.sampled_from(get_args(Priority)),
        st.sampled_from((None, 1, 2, 5)),
        st.integers(0, 6),
        st.integers(0, 9).map(lambda n: n > 1),
    )


def crowd(people: dict[str, Somebody], seed: int = 1) -> Matcher:
    matcher = Matcher(Random(seed))
    for name, one in people.items():
        matcher.add(name, one.capabilities, priority=one.priority, max_concurrent=one.limit)
        matcher.update(name, load=one.load, trouble="" if one.there else "offline")
    return matcher


def rank(one: Somebody, prefers: list[str]) -> tuple[bool, int, float, int]:
    """The lower the better, as a look at everybody would sort them."""
    full = one.limit is not None and one.load >= one.limit
    granted = sum(capability in one.capabilities for capability in set(prefers))
    return full, -granted, one.load / (one.limit or USUAL), RANKS[one.priority]


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), somebody(), min_size=1, max_size=60),
    st.lists(st.sampled_from(CAPABILITIES), max_size=3),
    st.lists(st.sampled_from((*CAPABILITIES, "unheard_of")), max_size=4),
    st.integers(0, 5),
)
def test_choice_is_one_of_the_best_of_all(
    people: dict[str, Somebody], requires: list[str], prefers: list[str], seed: int
) -> None:
    fit = {name: one for name, one in people.items() if one.capabilities >= set(requires)}
    there = {name: one for name, one in fit.items() if one.there}
    matcher = crowd(people, seed)
    if not there:
        with pytest.raises(NoAgent) as refused:
            matcher.choose(requires, prefers)
        assert refused.value.retryable is bool(fit)
        return
    choice = matcher.choose(requires, prefers)
    assert choice.agent in there
    best = min(rank(one, prefers) for one in there.values())
    assert rank(there[choice.agent], prefers) == best


@given(st.data())
def test_index_after_any_changes_is_that_of_those_who_are_left(data: st.DataObject) -> None:
    """Whatever was added, changed and removed before: only what is now counts."""
    matcher, people = Matcher(Random(1)), dict[str, Somebody]()
    for _ in range(data.draw(st.integers(1, 25))):
        name = data.draw(st.sampled_from("abcdefg"))
        if name in people and data.draw(st.booleans()):
            matcher.remove(name)
            del people[name]
            continue
        one = data.draw(somebody())
        if name in people:
            one = one._replace(
                capabilities=people[name].capabilities,
                priority=people[name].priority,
                limit=people[name].limit,
            )
        else:
            matcher.add(name, one.capabilities, priority=one.priority, max_concurrent=one.limit)
        good = data.draw(st.integers(0, 5))
        matcher.update(name, load=one.load, trouble="" if one.there else "offline", grade=(good, 1))
        people[name] = one
    assert len(matcher) == len(people)
    for capability in CAPABILITIES:
        there = {n: one for n, one in people.items() if one.there and capability in one.capabilities}
        if there:
            chosen = matcher.choose([capability]).agent
            assert rank(there[chosen], []) == min(rank(one, []) for one in there.values())
        else:
            with pytest.raises(NoAgent):
                matcher.choose([capability])
    for name, one in people.items():
        others = [other for n, other in people.items() if n != name]
        assert matcher.alone(name) == any(
            all(capability not in other.capabilities for other in others) for capability in one.capabilities
        )


def pair(first: tuple[int, int], second: tuple[int, int], seed: int = 7) -> Matcher:
    matcher = Matcher(Random(seed))
    for name, grade in (("first", first), ("second", second)):
        matcher.add(name, ["work"])
        matcher.update(name, grade=grade)
    return matcher


def shares(matcher: Matcher, times: int = 2000) -> Counter[str]:
    return Counter(matcher.choose(["work"]).agent for _ in range(times))


def test_between_equals_whoever_does_well_works_most_and_the_other_is_still_tried() -> None:
    counted = shares(pair((12, 2), (7, 5)))
    assert counted["first"] > 1600
    assert counted["second"] > 20


def test_new_agent_is_tried_beside_a_proven_one() -> None:
    assert 100 < shares(pair((20, 2), (0, 0)))["second"] < 500


def test_same_seed_same_choices() -> None:
    def choices(seed: int) -> list[str]:
        matcher = pair((3, 1), (2, 1), seed)
        return [matcher.choose(["work"]).agent for _ in range(50)]

    assert choices(7) == choices(7)
    assert choices(7) != choices(8)


def test_between_equal_records_the_quicker_is_chosen_where_draws_are_alike() -> None:
    class Even(Random):
        def betavariate(self, alpha: float, beta: float) -> float:
            return 0.5

    matcher = Matcher(Even(1))
    for name, seconds in (("slow", 20.0), ("quick", 2.0), ("middling", 9.0)):
        matcher.add(name, ["work"])
        matcher.update(name, grade=(4, 1), mean_s=seconds)
    assert matcher.choose(["work"]).agent == "quick"


def test_good_one_among_many_bad_ones_is_found() -> None:
    matcher = Matcher(Random(3))
    for number in range(300):
        matcher.add(f"bad{number}", ["work"])
        matcher.update(f"bad{number}", grade=(1, 30))
    matcher.add("good", ["work"])
    matcher.update("good", grade=(30, 1))
    assert shares(matcher, 200)["good"] > 190


def test_every_one_of_many_equals_gets_work() -> None:
    matcher = Matcher(Random(3))
    for number in range(200):
        matcher.add(f"a{number}", ["work"])
    assert len(shares(matcher, 5000)) > 195


# ── in words ─────────────────────────────────────────────────────────────────────────────────


def test_why_says_what_counted() -> None:
    matcher = crowd(
        {
            "a": Somebody(frozenset({"research", "fast"}), "medium", 4, 1, True),
            "b": Somebody(frozenset({"research"}), "medium", None, 0, True),
        }
    )
    matcher.update("a", grade=(24, 1))
    assert matcher.choose(["research"], ["fast", "cheap"]).why == (
        "fits research, 1 of 2 wished capabilities, works on 1 of 4, 96 % well"
    )
    assert matcher.choose(["fast"]).why == "fits fast, nobody else does, works on 1 of 4, 96 % well"
    matcher.update("a", load=4)
    assert matcher.choose(["fast"]).why == (
        "fits fast, nobody else does, busy up to its limit of 4, like all who fit, 96 % well"
    )
    assert matcher.choose([], ["cheap"]).why == (
        "every agent fits, 0 of 1 wished capability, idle, no record yet"
    )


def refusal(matcher: Matcher, *requires: str) -> str:
    with pytest.raises(NoAgent) as refused:
        matcher.choose(requires)
    return str(refused.value)


def test_refusals_name_what_is_missing_and_what_is_near() -> None:
    matcher = crowd(
        {
            "a": Somebody(frozenset({"research", "fast"}), "medium", None, 0, True),
            "b": Somebody(frozenset({"writing"}), "medium", None, 0, True),
        }
    )
    assert "'reserch' (did you mean 'research'?)" in refusal(matcher, "reserch")
    assert "did you mean" not in refusal(matcher, "zzzzzzzz")
    assert "has all of research, fast, writing; a comes nearest and lacks writing" in refusal(
        matcher, "research", "fast", "writing"
    )
    assert "there are no agents" in refusal(Matcher(), "research")


def test_refusal_where_nobody_is_there_names_who_and_why_and_can_be_tried_again() -> None:
    matcher = Matcher(Random(1))
    for number in range(8):
        matcher.add(f"a{number}", ["research"])
        matcher.update(f"a{number}", trouble="offline since noon")
    message = refusal(matcher, "research")
    assert message.startswith("nobody who has research is there now: a0 (offline since noon), a1 (")
    assert "and 3 more" in message
    matcher.update("a5", trouble="")
    assert matcher.choose(["research"]).agent == "a5"


def test_names_are_unique_and_unknown_ones_are_told_the_nearest() -> None:
    matcher = Matcher()
    matcher.add("builder", [])
    with pytest.raises(Refused, match="already"):
        matcher.add("builder", [])
    with pytest.raises(NotFound, match="did you mean 'builder'"):
        matcher.remove("bilder")
    with pytest.raises(NotFound):
        matcher.update("nobody", load=1)


def test_hostile_capabilities_find_nobody() -> None:
    matcher = crowd({"a": Somebody(frozenset({"research"}), "medium", None, 0, True)})
    for text in ("", "\x00", "x" * 100_000, "research\n", "'; drop table", "Ünïcode"):
        with pytest.raises(NoAgent):
            matcher.choose([text])
    assert matcher.choose(["research"] * 1000, ["x"] * 1000).agent == "a"


def test_choice_among_ten_thousand_is_quick() -> None:
    """A generous limit that a look at everybody does not keep; `bench agents` has the figure."""
    random = Random(1)
    matcher = Matcher(random)
    for number in range(10_000):
        matcher.add(f"a{number}", ["work", f"c{number % 100}"])
        matcher.update(f"a{number}", load=number % 3, grade=(number % 17, number % 5))
    taken: list[float] = []
    for _ in range(200):
        begun = time.perf_counter()
        matcher.choose(["work"], ["c5", "c7"])
        matcher.choose(["work"])
        taken.append(time.perf_counter() - begun)
    assert sorted(taken)[100] < 0.003
