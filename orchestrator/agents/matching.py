"""Choose the agent that fits a step best, among ten thousand in less than a millisecond. Pure.

Sets of agents are whole numbers, one bit for each agent: all who have a capability, all who are there,
all who are equally busy. A choice intersects a few such numbers and never goes through the agents;
what changes about an agent moves its bit.

Between equals, Thompson sampling on their records: each draws from Beta(successes + 1, failures + 1)
and the highest draw wins. Who does well works often, who is new is tried, who failed gets another chance.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from math import sqrt
from random import Random
from typing import Generic, TypeVar

from orchestrator.errors import NoAgent, NotFound, Refused
from orchestrator.events import Priority
from orchestrator.ports import Choice

USUAL = 10  # how many steps an agent without a limit is thought to manage at once, where loads are compared
EXACT = 32  # equals who all draw; of more, some of every record draw
DRAWS = 48  # then so many in all
OF_ONE_GRADE = 3  # and so many of those with the same record
ALIKE = 2  # digits of a draw that count; then whoever is quicker wins
WISHES = 32  # preferred capabilities that count
NAMED = 5  # agents that a refusal names
LOOKED_AT = 1_000  # names among which the nearest is looked for
_RANKS: dict[Priority, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3}
Grade = tuple[int, int]  # successes, failures


@dataclass(slots=True)
class _Agent:
    name: str
    bit: int  # 1 << its slot
    capabilities: frozenset[str]
    rank: int
    limit: int | None
    load: int = 0
    level: float = 0.0  # load, relative to what it manages
    grade: Grade = (0, 0)
    mean_s: float | None = None
    trouble: str = ""  # why it is not there; "": it is


K = TypeVar("K", float, "tuple[float, Grade]")


class _Order(Generic[K]):
    """Sets of agents by a key, the lowest key first."""

    __slots__ = ("_keys", "_sets")

    def __init__(self) -> None:
        self._keys: list[K] = []  # sorted
        self._sets: dict[K, int] = {}

    def put(self, key: K, bit: int) -> None:
        """Into the set of this key."""
        those = self._sets.get(key)
        if those is None:
            insort(self._keys, key)
        self._sets[key] = (those or 0) | bit

    def drop(self, key: K, bit: int) -> None:
        """Out of the set of this key."""
        those = self._sets[key] & ~bit
        if those:
            self._sets[key] = those
        else:
            del self._sets[key]
            del self._keys[bisect_left(self._keys, key)]

    def among(self, those: int) -> Iterator[int]:
        """What each set has in common with `those`, where that is anything."""
        for key in self._keys:
            common = those & self._sets[key]
            if common:
                yield common


class Matcher:
    """An index of agents. Every change costs microseconds.

    Args:
        random: for the draws; tests bring a seeded one.
    """

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or Random()
        self._agents: dict[str, _Agent] = {}
        self._slots: list[_Agent | None] = []
        self._free: list[int] = []
        self._all = 0
        self._there = 0
        self._open = 0  # there, and below its limit
        self._with: dict[str, int] = {}  # by capability
        self._ranks = [0] * len(_RANKS)
        self._levels = _Order[float]()  # the less busy first
        self._grades = _Order[tuple[float, Grade]]()  # those that promise most first

    def __len__(self) -> int:
        return len(self._agents)

    # ── who there is ─────────────────────────────────────────────────────────────────────────

    def add(
        self,
        name: str,
        capabilities: Collection[str],
        *,
        priority: Priority = "medium",
        max_concurrent: int | None = None,
    ) -> None:
        """An agent is there from now on: idle, without a record.

        Raises:
            Refused: there is one of this name.
        """
        if name in self._agents:
            raise Refused(f"there is an agent {name!r} already; unregister it first, or choose another name")
        slot = self._free.pop() if self._free else len(self._slots)
        agent = _Agent(name, 1 << slot, frozenset(capabilities), _RANKS[priority], max_concurrent)
        if slot == len(self._slots):
            self._slots.append(agent)
        else:
            self._slots[slot] = agent
        self._agents[name] = agent
        self._all |= agent.bit
        self._there |= agent.bit
        self._open |= agent.bit
        for capability in agent.capabilities:
            self._with[capability] = self._with.get(capability, 0) | agent.bit
        self._ranks[agent.rank] |= agent.bit
        self._levels.put(agent.level, agent.bit)
        self._grades.put(_promise(agent.grade), agent.bit)

    def remove(self, name: str) -> None:
        """An agent is gone.

        Raises:
            NotFound: there is none of this name.
        """
        agent = self._agent(name)
        del self._agents[name]
        slot = agent.bit.bit_length() - 1
        self._slots[slot] = None
        self._free.append(slot)
        others = ~agent.bit
        self._all &= others
        self._there &= others
        self._open &= others
        for capability in agent.capabilities:
            self._with[capability] &= others
            if not self._with[capability]:
                del self._with[capability]
        self._ranks[agent.rank] &= others
        self._levels.drop(agent.level, agent.bit)
        self._grades.drop(_promise(agent.grade), agent.bit)

    def update(
        self,
        name: str,
        *,
        load: int | None = None,
        trouble: str | None = None,
        grade: Grade | None = None,
        mean_s: float | None = None,
    ) -> None:
        """What changed about an agent; None: nothing did.

        Args:
            load: steps it works on, or is about to.
            trouble: why it cannot be chosen now, for people; "": it can.
            grade: successes and failures of its record.
            mean_s: seconds of a step that ended well.

        Raises:
            NotFound: there is no agent of this name.
        """
        agent = self._agent(name)
        if load is not None and load != agent.load:
            level = load / (agent.limit or USUAL)
            self._levels.drop(agent.level, agent.bit)
            self._levels.put(level, agent.bit)
            agent.load, agent.level = load, level
        if trouble is not None:
            agent.trouble = trouble
        if grade is not None and grade != agent.grade:
            self._grades.drop(_promise(agent.grade), agent.bit)
            self._grades.put(_promise(grade), agent.bit)
            agent.grade = grade
        if mean_s is not None:
            agent.mean_s = mean_s
        below = agent.limit is None or agent.load < agent.limit
        self._there = self._there & ~agent.bit if agent.trouble else self._there | agent.bit
        self._open = self._open & ~agent.bit if agent.trouble or not below else self._open | agent.bit

    def alone(self, name: str) -> bool:
        """Whether an agent has a capability that nobody else has."""
        agent = self._agent(name)
        return any(self._with[capability] == agent.bit for capability in agent.capabilities)

    def _agent(self, name: str) -> _Agent:
        agent = self._agents.get(name)
        if agent is None:
            raise NotFound(f"there is no agent {name[:40]!r}{nearest(name, self._agents)}")
        return agent

    # ── choosing ─────────────────────────────────────────────────────────────────────────────

    def choose(self, requires: Sequence[str], prefers: Sequence[str] = ()) -> Choice:
        """The agent that fits best.

        It has all of `requires`; then counts that it has room, how many of `prefers` it has, how busy it is,
        its priority, and its record. Where everybody is busy up to the limit, the choice has to wait.

        Raises:
            NoAgent: nobody has all of `requires`; retryable: somebody has who is not there now.
        """
        fit = self._all
        for capability in requires:
            fit &= self._with.get(capability, 0)
        if not fit:
            raise NoAgent(self._nobody(requires))
        left = fit & self._there
        if not left:
            raise NoAgent(self._not_there(requires, fit), retryable=True)
        left = left & self._open or left
        left, granted = self._most(left, prefers)
        left = next(self._levels.among(left))
        for rank in self._ranks:
            if left & rank:
                left &= rank
                break
        agent = self._drawn(left)
        return Choice(agent.name, self._why(agent, requires, prefers, granted, fit))

    def _most(self, left: int, prefers: Sequence[str]) -> tuple[int, int]:
        """Those who have most of what is preferred, and how much that is."""
        at_least = [left]  # at_least[n] have n or more
        for capability in list(dict.fromkeys(prefers))[:WISHES]:
            have = self._with.get(capability, 0)
            at_least.append(at_least[-1] & have)
            for n in range(len(at_least) - 2, 0, -1):
                at_least[n] |= at_least[n - 1] & have
        n = max(n for n, those in enumerate(at_least) if those)
        return at_least[n], n

    def _drawn(self, equals: int) -> _Agent:
        """One of equals, by Thompson sampling; between draws that are alike, the quickest."""
        best: tuple[float, float] | None = None
        chosen: _Agent | None = None
        for bit in _bits(equals) if equals.bit_count() <= EXACT else self._some(equals):
            agent = self._slots[bit]
            assert agent is not None
            good, bad = agent.grade
            drawn = self._random.betavariate(good + 1, bad + 1) if good or bad else self._random.random()
            quick = -agent.mean_s if agent.mean_s is not None else -1e9
            key = (round(drawn, ALIKE), quick)
            if best is None or key > best:
                best, chosen = key, agent
        assert chosen is not None
        return chosen

    def _some(self, equals: int) -> list[int]:
        """Slots of some of many equals: a few of each record, those that promise most first."""
        found: list[int] = []
        for those in self._grades.among(equals):
            if those.bit_count() <= OF_ONE_GRADE:
                found += _bits(those)
            else:
                found += {self._any(those) for _ in range(OF_ONE_GRADE)}
            if len(found) >= DRAWS:
                break
        return found

    def _any(self, those: int) -> int:
        start = self._random.randrange(those.bit_length())
        rest = those >> start
        return start + (rest & -rest).bit_length() - 1

    # ── in words ─────────────────────────────────────────────────────────────────────────────

    def _why(
        self, agent: _Agent, requires: Sequence[str], prefers: Sequence[str], granted: int, fit: int
    ) -> str:
        parts = [f"fits {', '.join(requires)}" if requires else "every agent fits"]
        if fit == agent.bit:
            parts.append("nobody else does" if requires else "there is no other")
        if prefers:
            wished = len(set(prefers))
            parts.append(f"{granted} of {wished} wished {'capability' if wished == 1 else 'capabilities'}")
        if agent.limit is not None and agent.load >= agent.limit:
            parts.append(f"busy up to its limit of {agent.limit}, like all who fit")
        elif agent.load:
            parts.append(f"works on {agent.load}{f' of {agent.limit}' if agent.limit else ''}")
        else:
            parts.append("idle")
        good, bad = agent.grade
        parts.append(f"{good / (good + bad):.0%} well".replace("%", " %") if good + bad else "no record yet")
        return ", ".join(parts)

    def _nobody(self, requires: Sequence[str]) -> str:
        unknown = [capability for capability in requires if capability not in self._with]
        if not self._agents:
            return "there are no agents; register one"
        if unknown:
            named = " and ".join(f"{capability!r}{nearest(capability, self._with)}" for capability in unknown)
            return f"no agent has the capability {named}; `agents` shows who can do what"
        # Each is known: somebody has most of them.
        those, _ = self._most(self._all, requires)
        near = self._slots[(those & -those).bit_length() - 1]
        assert near is not None
        lacks = ", ".join(c for c in requires if c not in near.capabilities)
        return (
            f"no agent has all of {', '.join(requires)}; {near.name} comes nearest and lacks {lacks}: "
            "give it the capability, or ask for less"
        )

    def _not_there(self, requires: Sequence[str], fit: int) -> str:
        named: list[str] = []
        left = fit
        while left and len(named) < NAMED:
            agent = self._slots[(left & -left).bit_length() - 1]
            assert agent is not None
            named.append(f"{agent.name} ({agent.trouble})")
            left &= left - 1
        more = f" and {left.bit_count()} more" if left else ""
        wanted = f"has {', '.join(requires)}" if requires else "could do it"
        return f"nobody who {wanted} is there now: {', '.join(named)}{more}; try again later"


def _bits(those: int) -> list[int]:
    found: list[int] = []
    while those:
        low = those & -those
        found.append(low.bit_length() - 1)
        those ^= low
    return found


def _promise(grade: Grade) -> tuple[float, Grade]:
    """Sorts records by how well they may do: mean and twice the deviation of their Beta, the best first."""
    good, bad = grade[0] + 1, grade[1] + 1
    n = good + bad
    return -(good / n + 2 * sqrt(good * bad / (n * n * (n + 1)))), grade


def nearest(name: str, known: Collection[str]) -> str:
    """Its end of a refusal: " (did you mean 'builder'?)", or nothing."""
    near = get_close_matches(name[:80], islice(known, LOOKED_AT), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
