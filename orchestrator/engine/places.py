"""Places to work: how many steps may be at work at once, in all, of a run, of an agent, at a provider.

A place is taken before an agent begins and given back when it ends. Who finds no room waits. Whatever
is given back goes to the first of those who now have room in everything they need: by priority, then
in the order in which they came. One who is held up by a limit of its own holds up nobody else.

Whoever waits is handed the place by the one who gives it back, at that moment: between two turns of
the loop nobody waits for whom there is room, and no limit is ever exceeded.

Those who wait for the same things stand in one queue. Each queue lies at one limit that is reached
(its gate), and is looked at again only when there is room at that gate. So a place that is given back
costs as much as there are queues to look at, mostly one, however many wait.
"""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections import OrderedDict
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.events import Priority
from orchestrator.values import Value

Waiter = tuple[int, int]  # rank of its priority, number in the order of coming
RANKS: dict[Priority, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3}
_NO_GATES: Mapping[int, _Gate] = MappingProxyType({})
SLACK = 16  # outdated entries that a gate may hold beside as many as it has queues


class Place(Value, frozen=True):
    """What a step takes up while it works. A limit of None does not hold; "" is no provider."""

    run_id: str
    run_limit: int | None = None
    agent: str = ""
    agent_limit: int | None = None
    provider: str = ""
    provider_limit: int | None = None
    priority: Priority = "medium"


class Places:
    """All places of this process.

    Args:
        total: places there are, at least 1.
    """

    def __init__(self, total: int) -> None:
        if total < 1:
            raise ValueError(f"{total} places are too few for any work; there has to be at least 1")
        self._all = _Use()
        self._total = total
        self._runs: dict[str, _Use] = {}  # those that have places or wait; there is no end of runs
        self._agents: dict[str, _Use] = {}
        self._providers: dict[str, _Use] = {}
        self._queues: dict[Place, _Queue] = {}  # by place, whatever the priority
        self._loose: dict[_Gate, None] = {}  # gates with queues where there may be room
        self._numbers = count()

    @property
    def taken(self) -> int:
        """Places taken now."""
        return self._all.used

    @property
    def waiting(self) -> int:
        """Those who wait for one."""
        return sum(len(waiters) for queue in self._queues.values() for waiters in queue.waiters)

    async def take(self, place: Place) -> None:
        """Take a place; waits until there is room in all that it needs. Give it back with `give`.

        Cancelled, it has taken nothing.
        """
        if self.enter(place):
            return
        queue = self._queue(place)
        waiter = (RANKS[place.priority], next(self._numbers))
        future: Future[None] = get_running_loop().create_future()
        queue.waiters[waiter[0]][waiter] = future
        self._settle(queue)
        try:
            await future
        except BaseException:
            if queue.waiters[waiter[0]].pop(waiter, None) is not None:
                self._settle(queue)
            elif not future.cancelled():
                self.give(place)  # it was handed over in the moment of the cancellation
            raise

    def enter(self, place: Place) -> bool:
        """Take a place if there is room now. Whether there was."""
        # Written out: every step comes through here.
        run_id, run_limit = place.run_id, place.run_limit
        agent, agent_limit = place.agent, place.agent_limit
        provider, provider_limit = place.provider, place.provider_limit
        runs, agents, providers, whole = self._runs, self._agents, self._providers, self._all
        if whole.used >= self._total:
            return False
        of_run = runs.get(run_id)
        if of_run is not None and run_limit is not None and of_run.used >= run_limit:
            return False
        of_agent = agents.get(agent)
        if of_agent is not None and agent_limit is not None and of_agent.used >= agent_limit:
            return False
        of_provider = providers.get(provider)
        if of_provider is not None and provider_limit is not None and of_provider.used >= provider_limit:
            return False
        if of_run is None:
            of_run = runs[run_id] = _Use()
        if of_agent is None:
            of_agent = agents[agent] = _Use()
        if of_provider is None:
            of_provider = providers[provider] = _Use()
        whole.used += 1
        of_run.used += 1
        of_agent.used += 1
        of_provider.used += 1
        return True

    def give(self, place: Place) -> None:
        """Give back what was taken with an equal place; whoever now has room and comes first begins.

        Raises:
            KeyError: no such place is taken.
        """
        run_id, agent, provider = place.run_id, place.agent, place.provider
        of_run = self._runs[run_id]
        of_run.used -= 1
        if not of_run.used and not of_run.gates:
            del self._runs[run_id]
        of_agent = self._agents[agent]
        of_agent.used -= 1
        of_provider = self._providers[provider]
        of_provider.used -= 1
        self._all.used -= 1
        if self._queues:
            for use in (self._all, of_run, of_agent, of_provider):
                for gate in use.gates.values():
                    self._loose[gate] = None
            self._hand_over()

    # ── waiting ──────────────────────────────────────────────────────────────────────────────

    def _queue(self, place: Place) -> _Queue:
        alike = replace(place, priority="medium")
        queue = self._queues.get(alike)
        if queue is None:
            queue = self._queues[alike] = _Queue(alike)
        return queue

    def _settle(self, queue: _Queue) -> None:
        """After its waiters changed: lay the queue at a gate by its first one, or take it away."""
        head = queue.first()
        if head is None:
            self._leave_gate(queue)
            self._queues.pop(queue.place, None)
        elif queue.gate is None:
            gate = self._reached(queue.place)
            assert gate is not None  # whoever has room does not wait
            queue.gate = gate
            gate.queues += 1
            gate.push(head, queue)
        elif head != queue.head:
            queue.gate.push(head, queue)
        queue.head = head

    def _reached(self, place: Place) -> _Gate | None:
        """The gate of a limit that leaves no room for a place; None: there is room."""
        for uses, name, limit in (
            (self._providers, place.provider, place.provider_limit),
            (self._agents, place.agent, place.agent_limit),
            (self._runs, place.run_id, place.run_limit),
        ):
            use = uses.get(name) if limit is not None else None
            if use is not None and limit is not None and use.used >= limit:
                return use.gate(limit)
        return self._all.gate(self._total) if self._all.used >= self._total else None

    def _leave_gate(self, queue: _Queue) -> None:
        gate, queue.gate = queue.gate, None
        if gate is None:
            return
        gate.queues -= 1
        if not gate.queues:
            gate.close()
            self._loose.pop(gate, None)
            of_run = self._runs.get(queue.place.run_id)
            if of_run is not None and not of_run.used and not of_run.gates:
                del self._runs[queue.place.run_id]

    # ── handing over ─────────────────────────────────────────────────────────────────────────

    def _hand_over(self) -> None:
        """Begin whoever has room, the first ones first, until nobody has."""
        while self._all.used < self._total:
            best: _Gate | None = None
            for gate in tuple(self._loose):
                head = gate.head() if gate.use.used < gate.limit else None
                if head is None:
                    del self._loose[gate]
                elif best is None or head < best.heap[0][0]:
                    best = gate
            if best is None:
                return
            queue = best.heap[0][1]
            if self._reached(queue.place) is None:
                self._begin(queue)
            if best.use.used < best.limit and self._reached(queue.place) is not None:
                self._leave_gate(queue)  # something else holds it up now
            self._settle(queue)

    def _begin(self, queue: _Queue) -> None:
        """Hand a place to the first of a queue for which there is room."""
        assert queue.head is not None
        future = queue.waiters[queue.head[0]].pop(queue.head)
        if not future.done():  # else it is cancelled, and has not been told yet
            entered = self.enter(queue.place)
            assert entered
            future.set_result(None)


class _Use(Struct, eq=False):
    """How often something is used, and the gates of its limits; mostly there is none."""

    used: int = 0
    gates: Mapping[int, _Gate] = _NO_GATES  # by limit: an agent that comes again may have another

    def gate(self, limit: int) -> _Gate:
        found = self.gates.get(limit)
        if found is None:
            found = _Gate(self, limit)
            self.gates = {**self.gates, limit: found}
        return found

    def drop(self, limit: int) -> None:
        self.gates = {other: gate for other, gate in self.gates.items() if other != limit}


class _Queue:
    """Those who wait for the same things, by priority."""

    __slots__ = ("gate", "head", "place", "waiters")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.waiters = tuple(OrderedDict[Waiter, Future[None]]() for _ in RANKS)
        self.gate: _Gate | None = None
        self.head: Waiter | None = None  # as the gate knows it

    def first(self) -> Waiter | None:
        for waiters in self.waiters:
            if waiters:
                return next(iter(waiters))
        return None


class _Gate:
    """The queues that lie at a limit. An entry whose queue has gone on, or has another first, is outdated."""

    __slots__ = ("heap", "limit", "queues", "use")

    def __init__(self, use: _Use, limit: int) -> None:
        self.use = use
        self.limit = limit
        self.heap: list[tuple[Waiter, _Queue]] = []
        self.queues = 0

    def push(self, head: Waiter, queue: _Queue) -> None:
        queue.head = head
        heappush(self.heap, (head, queue))
        if len(self.heap) > 2 * self.queues + SLACK:
            self.heap = [entry for entry in set(self.heap) if self._holds(entry)]
            heapify(self.heap)

    def head(self) -> Waiter | None:
        """The first one who waits here."""
        while self.heap and not self._holds(self.heap[0]):
            heappop(self.heap)
        return self.heap[0][0] if self.heap else None

    def _holds(self, entry: tuple[Waiter, _Queue]) -> bool:
        return entry[1].gate is self and entry[1].head == entry[0]

    def close(self) -> None:
        self.heap.clear()
        self.use.drop(self.limit)
