"""Agents of one's own: files in `agents_path`, and packages that `agents_python` names.

Files are looked at again while the bot runs: what is new, changed or gone registers and unregisters, and
steps under way end in peace. An agent that cannot be used is listed with its reason and stops nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydantic import ValidationError

from config.documents import read_given
from config.errors import ConfigError, ConfigProblem, short_path, suggest
from config.load import environment
from config.paths import own_agent_files
from config.settings import Settings
from config.yaml_text import decode, read_bytes, read_text
from orchestrator.agents.elsewhere.specs import KINDS, CommandSpec, PythonSpec
from orchestrator.agents.elsewhere.surroundings import AnySpec, ElsewherePlayer, Surroundings
from orchestrator.agents.player import AgentCard, Player
from orchestrator.agents.registry import AgentRegistry
from orchestrator.agents.spec import AgentSpec
from orchestrator.errors import AgentFailed, NotFound
from orchestrator.events import Json
from orchestrator.ports import StepInput, StepSink
from orchestrator.tools.registry import Tools

log = structlog.get_logger(__name__)

POLL_S = 2.0
PROBE_S = 10.0
OwnSpec = AgentSpec | AnySpec
Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class OwnAgents:
    """What the files say."""

    specs: Mapping[str, OwnSpec] = field(default_factory=dict[str, OwnSpec])
    files: Mapping[str, str] = field(default_factory=dict[str, str])  # agent → its file, as people know it
    packages: tuple[str, ...] = ()  # entry points whose cards say the rest
    problems: tuple[ConfigProblem, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict[str, str])  # agent → why, of broken files

    @property
    def complete(self) -> bool:
        """Whether names and capabilities of all are known without running anybody's code."""
        return not self.problems and not self.packages


def read_own_agents(settings: Settings, taken: Mapping[str, str]) -> OwnAgents:
    """Read the files. Blocks; never raises for what is in them.

    Args:
        settings: where to look.
        taken: agents that there are already → where.
    """
    specs: dict[str, OwnSpec] = {}
    files: dict[str, str] = {}
    problems: list[ConfigProblem] = []
    unusable: dict[str, str] = {}
    known = dict(taken)
    for file in own_agent_files(settings.agents_path):
        try:
            spec = read_own(file, known)
        except ConfigError as error:
            problems += error.problems
            name = file.stem.lower()
            if re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name) and name not in known:
                unusable[name] = _told(error.problems[0])
            continue
        specs[spec.name] = spec
        files[spec.name] = known[spec.name] = short_path(file)
    unusable = {name: why for name, why in unusable.items() if name not in specs}
    packages: list[str] = []
    for name in dict.fromkeys(settings.agents_python):
        if name in known:
            message = f"there is an agent {name!r} already, in {known[name]}"
            problems.append(
                ConfigProblem("agents_python", None, None, "agents_python", message, "remove one of both")
            )
        else:
            packages.append(name)
    return OwnAgents(specs, files, tuple(packages), tuple(problems), unusable)


def read_own(file: Path, taken: Mapping[str, str]) -> OwnSpec:
    """One agent of a file.

    Raises:
        ConfigError: it is wrong; with line and remedy.
    """
    name = short_path(file)
    text = decode(read_bytes(file, name), name)
    document = read_text(text, name)
    origin = document.values.get("origin")
    if origin is None:
        spec, document = read_given(text, name, AgentSpec)
    else:
        kind = KINDS.get(origin) if isinstance(origin, str) else None
        if kind is None:
            shown = str(origin)[:40]
            message = f"{shown!r} is not one of {', '.join(KINDS)}"
            raise ConfigError([document.problem(("origin",), message, suggest(shown, set(KINDS)))])
        spec, document = read_given(text, name, kind)
    if spec.name in taken:
        message = f"there is an agent {spec.name!r} already, in {taken[spec.name]}"
        raise ConfigError([document.problem(("name",), message, "choose another name")])
    return spec


def _told(problem: ConfigProblem) -> str:
    place = ":".join(str(part) for part in (problem.file, problem.line) if part is not None)
    return f"{place}: {problem.message}; {problem.remedy}"


class _Unusable:
    """Stands for an agent that cannot work. Implements `Player`."""

    def __init__(self, card: AgentCard) -> None:
        self.card = card

    def reference(self, chosen: str | None = None) -> str:
        """It has no model."""
        return ""

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        """Never called by the registry."""
        raise AgentFailed(f"{self.card.title} cannot work")


class Roster:
    """Keeps the registry as the files say, while the bot runs.

    Args:
        settings: where to look.
        registry: where they register.
        tools: what agents of packages may call.
        titles: agent → what people call it; kept up to date.
        shipped: agents that there are besides → where.
    """

    def __init__(
        self,
        settings: Settings,
        registry: AgentRegistry,
        tools: Tools,
        titles: dict[str, str],
        shipped: Mapping[str, str],
    ) -> None:
        # Imported here: nobody without such agents needs it.
        from orchestrator.agents.elsewhere.network import Network

        self._settings = settings
        self._registry = registry
        self._titles = titles
        self._shipped = shipped
        self._variables: dict[str, str] = {}
        self._network = Network(settings.agents_allow_hosts)
        self._around = Surroundings(
            tools=tools,
            network=self._network,
            workspaces=settings.workspaces,
            variable=lambda name: self._variables.get(name),
            beat=registry.beat,
        )
        self._own = OwnAgents()
        self._there: dict[str, ElsewherePlayer[AnySpec] | None] = {}  # registered by us
        self._signature: Signature | None = None
        self._changed = asyncio.Event()

    async def start(self, own: OwnAgents) -> None:
        """Register all of them."""
        self._variables = await asyncio.to_thread(environment)
        self._signature = await asyncio.to_thread(self._seen)
        for problem in own.problems:
            log.warning("an agent's file is wrong", action="agent_unread", why=_told(problem))
        for name in own.packages:
            await self._add_package(name)
        await self._apply(own)

    async def close(self) -> None:
        """Close every connection."""
        await self._network.close()

    # ── as the files say ─────────────────────────────────────────────────────────────────────

    async def watch(self) -> None:
        """Take up what changes in the folders, and listen for signs of life, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                await asyncio.sleep(POLL_S)
                await self.look()

    async def look(self) -> bool:
        """Take up what has changed in the folders; whether anything has."""
        signature = await asyncio.to_thread(self._seen)
        if signature == self._signature:
            return False
        self._signature = signature
        own = await asyncio.to_thread(read_own_agents, self._settings, self._shipped)
        self._variables = await asyncio.to_thread(environment)
        for problem in set(own.problems) - set(self._own.problems):
            log.warning("an agent's file is wrong", action="agent_unread", why=_told(problem))
        await self._apply(own)
        return True

    def _seen(self) -> Signature:
        found: list[tuple[str, int, int]] = []
        for file in own_agent_files(self._settings.agents_path):
            try:
                stat = file.stat()
            except OSError:  # gone since
                continue
            found.append((str(file), stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    async def _apply(self, own: OwnAgents) -> None:
        before, self._own = self._own, own
        for name in before.specs.keys() | before.unusable.keys():
            same = own.specs.get(name) == before.specs.get(name)
            if not same or own.unusable.get(name) != before.unusable.get(name):
                self._drop(name)
        for name, why in own.unusable.items():
            if name not in self._there:
                self._add(_Unusable(AgentCard(name=name, title=name)), why)
        for name, spec in own.specs.items():
            if name not in self._there:
                await self._make(spec)

    async def _make(self, spec: OwnSpec) -> None:
        from orchestrator.agents.elsewhere.players import make_player
        from orchestrator.agents.elsewhere.python import NotLoaded
        from orchestrator.agents.elsewhere.surroundings import card_of

        if isinstance(spec, AgentSpec):
            self._registry.add(with_settings(spec, self._settings))
            self._there[spec.name] = None
            self._titles[spec.name] = spec.title
            return
        try:
            player = await make_player(spec, self._around)
        except NotLoaded as error:
            self._add(_Unusable(card_of(spec)), str(error))
        else:
            self._add(player)

    async def _add_package(self, name: str) -> None:
        from orchestrator.agents.elsewhere.python import NotLoaded, PythonPlayer, load_soon, spec_of

        try:
            agent = await load_soon(name)
            player = PythonPlayer(spec_of(agent, name), self._around, agent)
        except (NotLoaded, ValidationError) as error:
            self._add(_Unusable(AgentCard(name=name, title=name, origin="python")), str(error))
        else:
            self._add(player)

    def _add(self, player: Player, unusable: str = "") -> None:
        card = player.card
        self._registry.register(player, unusable=unusable)
        self._there[card.name] = player if isinstance(player, ElsewherePlayer) else None
        self._titles[card.name] = card.title
        self._changed.set()
        log.info("an agent is there", action="agent_there", agent=card.name, origin=card.origin, why=unusable)

    def _drop(self, name: str) -> None:
        if name not in self._there:
            return
        del self._there[name]
        self._registry.unregister(name)
        self._changed.set()
        log.info("an agent is gone", action="agent_gone", agent=name)

    # ── signs of life ────────────────────────────────────────────────────────────────────────

    async def _listen(self) -> None:
        """Look after every agent that has a heartbeat, as long as it is registered."""
        looking: dict[str, tuple[object, asyncio.Task[None]]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                wanted = {n: p for n, p in self._there.items() if p is not None and p.card.heartbeat_s}
                for name, (player, task) in list(looking.items()):
                    if wanted.get(name) is not player:
                        task.cancel()
                        del looking[name]
                for name, player in wanted.items():
                    if name not in looking:
                        looking[name] = (player, group.create_task(self._pulse(player)))
                await self._changed.wait()

    async def _pulse(self, player: ElsewherePlayer[AnySpec]) -> None:
        every = player.card.heartbeat_s
        assert every is not None
        while True:
            try:
                await asyncio.wait_for(player.probe(), min(every, PROBE_S))
                self._registry.beat(player.card.name)
            except (AgentFailed, TimeoutError, NotFound) as error:
                log.debug("no sign of life", action="agent_silent", agent=player.card.name, why=str(error))
            except Exception:
                log.exception("an agent could not be looked at", action="probe_broke", agent=player.card.name)
            await asyncio.sleep(every)

    async def probe(self, names: Collection[str] | None = None) -> dict[str, str]:
        """Ask those that can be asked whether they are there: agent → why it is not; "": it is."""

        async def one(player: ElsewherePlayer[AnySpec]) -> str:
            try:
                await asyncio.wait_for(player.probe(), PROBE_S)
            except AgentFailed as error:
                return str(error)
            except TimeoutError:
                return f"no answer in {PROBE_S:.0f} s"
            return ""

        asked = {
            name: player
            for name, player in self._there.items()
            if player is not None
            and not isinstance(player.spec, CommandSpec | PythonSpec)
            and (names is None or name in names)
        }
        found = await asyncio.gather(*(one(player) for player in asked.values()))
        return dict(zip(asked, found, strict=True))


def with_settings(spec: AgentSpec, settings: Settings) -> AgentSpec:
    """The agent with the model and temperature that the settings give it."""
    changes: dict[str, object] = {}
    # Settings win over the file, and a file's own model over the default one.
    if spec.model is None or spec.name in settings.agents or spec.name in settings.project_ids:
        changes["model"] = settings.model_for(spec.name)
    temperature = settings.temperature_for(spec.name)
    if temperature is not None:
        changes["temperature"] = temperature
    return spec.model_copy(update=changes)
