"""The agents a run can call, by name: who there is, who fits, who works, and how they do.

Agents register and unregister while runs work. What the registry knows of each (steps under way,
signs of life, failures in a row, record) it keeps up to date in the index that choices are made
from, so that a choice looks at nobody twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import structlog

from orchestrator.agents.computing import Compute, in_thread
from orchestrator.agents.health import Health
from orchestrator.agents.matching import Matcher, nearest
from orchestrator.agents.model_player import ModelPlayer, Stage
from orchestrator.agents.models import Models
from orchestrator.agents.own_models import OwnModels
from orchestrator.agents.player import Player
from orchestrator.agents.record import FAULTS, AgentRecord, records
from orchestrator.agents.spec import RULES, AgentSpec, split_reference
from orchestrator.errors import AgentFailed, NoAgent, NotFound, OrchestratorError, StepError
from orchestrator.events import Json, RunSettings
from orchestrator.ports import (
    AgentInfo,
    AgentOutcome,
    AgentStatus,
    Choice,
    Room,
    StepInput,
    StepSink,
)
from orchestrator.tools.registry import Tools
from orchestrator.workflow import Retry

if TYPE_CHECKING:
    from orchestrator.agents.flaws import DraftFlaw

log = structlog.get_logger(__name__)

RULES_AT_ONCE = 2  # steps: while one is computed, the next one searches
EXPECTED_S = 30.0  # so long a choice counts as load if its step does not begin
NAMED = 20  # agents that a refusal names
REMEMBERED = 10_000  # records that are kept of agents that are gone
_NO_LIMITS: Mapping[str, int] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class _Entry:
    """A registered agent."""

    player: Player
    health: Health
    record: AgentRecord
    load: int = 0  # steps it works on
    expected: deque[float] = field(default_factory=deque[float])  # until when; chosen, and not begun
    due: float | None = None  # when somebody looks at it again
    gone: bool = False

    @property
    def burden(self) -> int:
        return self.load + len(self.expected)


class AgentRegistry:
    """Implements `ports.Agents`.

    Args:
        specs: agents of files, played by models.
        tools: what they may call; an agent's tool that is not among them is not offered to it.
        models: where models come from; None: there are no providers, the rules engine plays them all.
        default_model: "provider:model" for agents whose file names none, or "rules".
        provider_limits: calls at once, by provider; those not named have no limit of their own.
        draft_flaw: what is wrong with a drafted workflow, for the agent that drafts them.
        own: finds the models that a run brings itself; None: no run can.
        compute: where the rules engine works.
        random: for draws between equals; tests bring a seeded one.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        specs: Sequence[AgentSpec],
        *,
        tools: Tools,
        models: Models | None = None,
        default_model: str = RULES,
        provider_limits: Mapping[str, int] = _NO_LIMITS,
        draft_flaw: DraftFlaw | None = None,
        own: OwnModels | None = None,
        compute: Compute = in_thread,
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = Stage(
            tools=tools,
            models=models,
            default_model=default_model,
            everybody=self.infos,
            draft_flaw=draft_flaw,
            own=own,
            compute=compute,
        )
        self._limits = provider_limits
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._matcher = Matcher(random)
        self._records: dict[str, AgentRecord] = {}  # of those who are gone as well: they may come back
        self._left: dict[str, None] = {}  # names of the gone
        self._due: list[tuple[float, int, _Entry]] = []
        self._numbers = count()
        for spec in specs:
            self.add(spec)

    # ── who there is ─────────────────────────────────────────────────────────────────────────

    def add(self, spec: AgentSpec) -> None:
        """Register an agent that a model plays.

        Raises:
            Refused: there is one of this name.
        """
        self.register(ModelPlayer(spec, self._stage))

    def register(self, player: Player, *, unusable: str = "") -> None:
        """An agent is there from now on. Its record goes on where it ended, if it was there before.

        Args:
            player: who plays it.
            unusable: why it cannot work, for people: it is listed with that, and never chosen; "": it can.

        Raises:
            Refused: there is one of this name; unregister it first.
        """
        card = player.card
        self._matcher.add(
            card.name, card.capabilities, priority=card.priority, max_concurrent=card.max_concurrent
        )
        record = self._records.setdefault(card.name, AgentRecord())
        self._left.pop(card.name, None)
        entry = _Entry(player, Health(card.heartbeat_s, self._clock(), unusable=unusable), record)
        self._entries[card.name] = entry
        self._matcher.update(card.name, grade=record.grade, mean_s=record.mean_s)
        self._settle(entry)

    def unregister(self, name: str) -> None:
        """An agent is gone: it is not chosen any more, and ends what it works on.

        Raises:
            NotFound: there is none of this name.
        """
        entry = self._entry(name)
        del self._entries[name]
        entry.gone = True
        self._matcher.remove(name)
        self._left[name] = None
        if len(self._left) > REMEMBERED:
            longest = next(iter(self._left))
            del self._left[longest]
            self._records.pop(longest, None)
        if isinstance(entry.player, ModelPlayer):
            self._stage.forget(entry.player.spec)

    def beat(self, name: str) -> None:
        """A sign of life of an agent that registered with `heartbeat_s`.

        Raises:
            NotFound: there is none of this name: it has to register again.
        """
        entry = self._entry(name)
        was_offline = entry.health.offline(self._clock())
        entry.health.heard_at = self._clock()
        if was_offline:
            log.info("an agent is back", action="agent_back", agent=name)
            self._settle(entry)

    def names(self) -> Sequence[str]:
        """Names of all agents."""
        return tuple(self._entries)

    def infos(self) -> Sequence[AgentInfo]:
        """For lists."""
        return tuple(self._info(entry) for entry in self._entries.values())

    def _info(self, entry: _Entry) -> AgentInfo:
        card, record = entry.player.card, entry.record
        status, why = entry.health.trouble(self._clock(), entry.burden)
        if not status:
            status = "busy" if entry.load else "idle"
        return AgentInfo(
            name=card.name,
            title=card.title,
            capabilities=card.capabilities,
            model=entry.player.reference(),
            tools=card.tools,
            priority=card.priority,
            status=cast("AgentStatus", status),
            load=entry.load,
            max_concurrent=card.max_concurrent,
            steps=record.steps,
            success_rate=record.success_rate,
            mean_s=record.mean_s,
            origin=card.origin,
            trouble=why,
        )

    def retry(self, agent: str) -> Retry | None:
        """How its failed steps are tried again where the workflow's node says nothing; None: not."""
        entry = self._entries.get(agent)
        return None if entry is None else entry.player.card.retry

    def learn(self, outcomes: Iterable[AgentOutcome]) -> None:
        """Take over the records of earlier days (`Views.agent_outcomes`), before the first step."""
        for name, record in records(outcomes).items():
            self._records[name] = record
            entry = self._entries.get(name)
            if entry is None:
                self._left[name] = None
            else:
                entry.record = record
                self._matcher.update(name, grade=record.grade, mean_s=record.mean_s)

    # ── choosing ─────────────────────────────────────────────────────────────────────────────

    def choose(self, requires: Sequence[str], prefers: Sequence[str] = ()) -> Choice:
        """The agent that fits best. The choice counts as load until its step begins, or for 30 s.

        Raises:
            NoAgent: nobody has all of `requires`; retryable: somebody has who is not there now.
        """
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            at, _, entry = heappop(self._due)
            if entry.due == at:
                entry.due = None
                self._settle(entry)
        choice = self._matcher.choose(requires, prefers)
        entry = self._entries[choice.agent]
        entry.expected.append(now + EXPECTED_S)
        self._settle(entry)
        return choice

    def room(self, agent: str, settings: RunSettings, model: str = "") -> Room:
        """Limits that hold for a step of this agent in a run with these settings.

        Args:
            model: "provider:model" that the step's node wants; "": as for the agent.
        """
        entry = self._entries.get(agent)
        if entry is None:
            return Room("", None, None)
        chosen = settings.models.get(agent)
        brought = bool(settings.own_keys and chosen)  # then the run's model, whatever the node wants
        reference = chosen if brought else entry.player.reference(model or chosen)
        try:
            provider, _ = split_reference(reference or "")
        except ValueError:  # it has no model, or one that no provider will know
            provider = ""
        if provider == RULES:
            return Room(RULES, entry.player.card.max_concurrent, RULES_AT_ONCE)
        return Room(provider, entry.player.card.max_concurrent, self._limits.get(provider))

    def _settle(self, entry: _Entry) -> None:
        """Tell the index how the agent stands, and look again when that changes by itself."""
        if entry.gone:
            return
        now, health = self._clock(), entry.health
        while entry.expected and entry.expected[0] <= now:
            entry.expected.popleft()
        _, why = health.trouble(now, entry.burden)
        self._matcher.update(entry.player.card.name, load=entry.burden, trouble=why)
        times = [at for at in (health.silent_at(), health.rests_until) if at is not None and at > now]
        times += list(entry.expected)[:1]
        if times and (entry.due is None or min(times) < entry.due):
            entry.due = min(times)
            heappush(self._due, (entry.due, next(self._numbers), entry))

    # ── working ──────────────────────────────────────────────────────────────────────────────

    async def warm_up(self) -> None:
        """Import the model library in a thread and build the agents of files. Safe to call again."""
        players = [entry.player for entry in self._entries.values()]
        await self._stage.warm_up(p.spec for p in players if isinstance(p, ModelPlayer))

    def thrifty(self) -> dict[str, str]:
        """The cheapest model, by agent, for those that a model plays; empty: no price is known.

        Slow at the first call, which reads the price table: call it in a thread.
        """
        players = [e.player for e in tuple(self._entries.values()) if isinstance(e.player, ModelPlayer)]
        cheapest = self._stage.cheapest(player.spec for player in players)
        return {} if cheapest is None else {player.spec.name: cheapest for player in players}

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        """Work on one step until its output is there.

        Raises:
            NoAgent: there is no agent of this name, or it is offline.
            StepError: it could not be done.
        """
        entry = self._there(step.agent)
        if entry.expected:
            entry.expected.popleft()
        entry.load += 1
        self._settle(entry)
        begun = self._clock()
        try:
            output = await entry.player.run(step, sink)
        except StepError as error:
            if error.kind in FAULTS:
                self._failed(entry, begun, error)
            raise
        except OrchestratorError:
            raise  # the log or its owner: nothing that the agent did
        except Exception as error:
            if isinstance(entry.player, ModelPlayer):
                raise  # ours to mend
            card = entry.player.card
            log.exception("an agent broke", action="agent_broke", agent=card.name, origin=card.origin)
            failure = AgentFailed(
                f"{card.title} broke ({type(error).__name__}); the log of the bot has the details"
            )
            self._failed(entry, begun, failure)
            raise failure from error
        else:
            entry.health.succeeded()
            self._learn(entry, True, begun)
            return output
        finally:
            entry.load -= 1
            self._settle(entry)

    def _there(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            if name in self._left:
                raise NoAgent(f"the agent {name!r} is gone; register it again", retryable=True)
            some = ", ".join(list(self._entries)[:NAMED])
            raise NoAgent(f"there is no agent {name[:40]!r}{nearest(name, self._entries)}; agents are {some}")
        now = self._clock()
        if entry.health.unusable:
            raise NoAgent(f"{entry.player.card.title} cannot work: {entry.health.unusable}")
        if entry.health.offline(now):
            _, why = entry.health.trouble(now, entry.burden)
            raise NoAgent(f"{entry.player.card.title} cannot be reached ({why})", retryable=True)
        return entry

    def _failed(self, entry: _Entry, begun: float, error: StepError) -> None:
        alone = not entry.gone and self._matcher.alone(entry.player.card.name)
        entry.health.failed(self._clock(), str(error), retryable=error.retryable, alone=alone)
        self._learn(entry, False, begun)

    def _learn(self, entry: _Entry, ok: bool, begun: float) -> None:
        record = entry.record
        record.learn(ok, self._clock() - begun)
        if not entry.gone:
            self._matcher.update(entry.player.card.name, grade=record.grade, mean_s=record.mean_s)

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            hint = nearest(name, self._entries)
            raise NotFound(f"there is no agent {name[:40]!r}{hint}; it has to register first")
        return entry
