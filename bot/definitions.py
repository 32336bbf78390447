"""Read agents and workflows from their YAML files: shipped ones, those of packs, and one's own.

All agents first, then the workflows, which are checked against all of them and against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from bot.design_cards import BUILT_IN
from bot.own_agents import OwnAgents, read_own_agents, with_settings
from bot.packs import Pack, Packs
from bot.team_rounds import bounded
from config.documents import read_given, refuse_flawed
from config.errors import ConfigError, ConfigProblem, short_path
from config.paths import WORKFLOWS_DIR, agent_files, workflow_files
from config.settings import Settings
from config.yaml_text import Document, decode, read_bytes
from orchestrator.agents.spec import AgentBase, AgentSpec
from orchestrator.embedding import embedded, embedding_flaws
from orchestrator.library import SHIPPED, FromFile
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import Flaw, problems

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Definitions:
    """What there is to run, all of it checked."""

    agents: list[AgentSpec]
    workflows: list[FromFile]
    packs: list[Pack]
    own: OwnAgents = field(default_factory=OwnAgents)  # besides `agents`: those that may come and go


@dataclass(frozen=True)
class _Read:
    """A workflow as its file has it, before it is checked beside the others."""

    file: FromFile
    document: Document


def read_definitions(
    settings: Settings, *, adding: Pack | None = None, without: str = "", agents: Iterable[AgentSpec] = ()
) -> Definitions:
    """Everything there is, checked together. Blocks on files.

    Args:
        settings: where to look.
        adding: a pack that is to be installed; stands in for the installed one of its name.
        without: the name of a pack that is left out.
        agents: further ones that workflows may name, and that are not in files.

    Raises:
        ConfigError: a file is wrong, or two define the same name; with file, line and remedy.
    """
    packs = [pack for pack in installed(settings) if pack.name != without]
    if adding is not None:
        packs = [*(pack for pack in packs if pack.name != adding.name), adding]
    specs = _agents(settings, packs)
    own = read_own_agents(settings, places(specs))
    known: list[AgentBase] = [*specs, *BUILT_IN, *agents, *own.specs.values()]
    names, capabilities = None, None
    if own.complete:  # else who can do what is known once they are loaded
        names = frozenset(spec.name for spec in known)
        capabilities = frozenset(one for spec in known for one in spec.capabilities)
    read = [_bounded(each, settings) for each in _distinct(_workflows(settings, packs))]
    every = {each.file.workflow.name: each.file.workflow for each in read}
    for each in read:
        flaws = list(_flaws(each.file.workflow, names, capabilities, every))
        refuse_flawed(each.document, ((flaw.path, flaw.message) for flaw in flaws))
    return Definitions(specs, [each.file for each in read], packs, own)


def places(specs: Iterable[AgentSpec]) -> dict[str, str]:
    """Agents that cannot be defined again → where they are."""
    return {spec.name: "the bot itself" for spec in BUILT_IN} | {
        spec.name: "the shipped ones, or those of a pack" for spec in specs
    }


def _bounded(read: _Read, settings: Settings) -> _Read:
    """With as many rounds as the settings allow, where it goes round."""
    workflow = bounded(read.file.workflow, settings.max_rounds)
    return replace(read, file=read.file._replace(workflow=workflow))


def installed(settings: Settings) -> list[Pack]:
    """The installed packs. Raises ConfigError: one was changed since it was installed."""
    return Packs(settings.home, settings.packs.trusted_keys).all()


def read_agents(settings: Settings) -> list[AgentSpec]:
    """The agents, each with the model and temperature that the settings give it.

    Raises:
        ConfigError: a file is wrong; names file, line and remedy.
    """
    return _agents(settings, installed(settings))


def read_workflows(settings: Settings, agents: Iterable[str] = ()) -> dict[str, Workflow]:
    """Every workflow of a file by name, with those that its nodes name.

    Raises:
        ConfigError: a file is wrong, or two files define the same name.
    """
    every = {each.workflow.name: each.workflow for each in read_definitions(settings).workflows}
    return {name: embedded(workflow, every) for name, workflow in every.items()}


def _flaws(
    workflow: Workflow,
    agents: frozenset[str] | None,
    capabilities: frozenset[str] | None,
    every: dict[str, Workflow],
) -> Iterator[Flaw]:
    found = list(problems(workflow, agents=agents, capabilities=capabilities, workflows=frozenset(every)))
    yield from found
    if not found:  # a name that is missing was told already
        yield from embedding_flaws(workflow, every)


# ── agents ───────────────────────────────────────────────────────────────────────────────────


def _agents(settings: Settings, packs: Iterable[Pack]) -> list[AgentSpec]:
    read = [_from_disk(file, AgentSpec) for file in agent_files()]
    read += [each for pack in packs for each in pack.agents]
    _refuse_doubles("agent", ((spec.name, document) for spec, document in read))
    return [with_settings(spec, settings) for spec, _ in read]


# ── workflows ────────────────────────────────────────────────────────────────────────────────


def _workflows(settings: Settings, packs: Iterable[Pack]) -> Iterator[_Read]:
    for file in workflow_files(settings.workflows_path):
        workflow, document = _from_disk(file, Workflow)
        source = SHIPPED if file.parent == WORKFLOWS_DIR else str(file)
        yield _Read(FromFile(workflow, source, file.name), document)
    for pack in packs:
        for workflow, document in pack.workflows:
            shown = f"the pack {pack.name!r} {pack.manifest.version}"
            yield _Read(FromFile(workflow, f"pack {pack.name}", shown), document)


def _distinct(read: Iterable[_Read]) -> list[_Read]:
    found = list(read)
    _refuse_doubles("workflow", ((each.file.workflow.name, each.document) for each in found))
    return found


def _refuse_doubles(kind: str, named: Iterable[tuple[str, Document]]) -> None:
    files: dict[str, str] = {}
    for name, document in named:
        if name.casefold() in files:
            message = f"there is {_a(kind)} {name!r} already, in {files[name.casefold()]}"
            mark = document.mark(("name",))
            raise ConfigError(
                [ConfigProblem(document.name, mark.line, mark.column, "name", message, "choose another name")]
            )
        files[name.casefold()] = document.name


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _from_disk(file: Path, model: type[M]) -> tuple[M, Document]:
    name = short_path(file)
    return read_given(decode(read_bytes(file, name), name), name, model)
