"""What `quartet check` says of agents of one's own: their files, their packages, and who answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from bot.check_row import CheckRow
from bot.own_agents import read_own_agents
from config.load import environment
from config.settings import Settings
from orchestrator.agents.elsewhere.specs import A2aSpec, CommandSpec, HttpSpec, McpSpec, PythonSpec
from orchestrator.agents.spec import AgentSpec


def own_agent_rows(settings: Settings, taken: Iterable[str]) -> tuple[list[CheckRow], set[str]]:
    """A row for each of them, and their names. Loads the packages that the settings name."""
    own = read_own_agents(settings, dict.fromkeys(taken, "the shipped ones"))
    rows = [
        CheckRow(
            problem.key or problem.file,
            "",
            ":".join(str(p) for p in (problem.file, problem.line, problem.column) if p is not None),
            "wrong",
            f"{problem.message}; {problem.remedy}",
        )
        for problem in own.problems
    ]
    variables = environment()
    for name, spec in own.specs.items():
        value = (spec.model or "") if isinstance(spec, AgentSpec) else spec.origin
        flaw = "" if isinstance(spec, AgentSpec) else _flaw(spec, variables)
        rows.append(CheckRow(f"agent {name}", value, own.files[name], "wrong" if flaw else "ok", flaw))
    for name in own.packages:
        flaw = _load_flaw(name)
        rows.append(CheckRow(f"agent {name}", "python", "agents_python", "wrong" if flaw else "ok", flaw))
    return rows, {*own.specs, *own.packages}


def _flaw(spec: PythonSpec | HttpSpec | A2aSpec | McpSpec | CommandSpec, variables: dict[str, str]) -> str:
    if isinstance(spec, PythonSpec):
        return _load_flaw(spec.wanted, by_card=False)
    named = [*spec.env] if isinstance(spec, CommandSpec | McpSpec) else []
    if not isinstance(spec, CommandSpec) and spec.token_env is not None:
        named.append(spec.token_env)
    for name in named:
        if name not in variables:
            return f"the variable {name} is not set; put it into .env or the environment"
    command = spec.command if isinstance(spec, CommandSpec | McpSpec) else None
    if command is not None and shutil.which(command[0]) is None:
        return f"there is no program {command[0]!r}; install it, or correct command"
    return ""


def _load_flaw(name: str, *, by_card: bool = True) -> str:
    from orchestrator.agents.elsewhere.python import NotLoaded, load, spec_of

    try:
        agent = load(name)
        if by_card:
            spec_of(agent, name)
    except NotLoaded as error:
        return str(error)
    return ""


async def probe_rows(settings: Settings) -> list[CheckRow]:
    """Ask agents behind addresses whether they are there."""
    from bot.own_agents import Roster
    from orchestrator.agents.registry import AgentRegistry
    from orchestrator.tools.registry import Tools

    tools = Tools()
    roster = Roster(settings, AgentRegistry([], tools=tools), tools, {}, {})
    try:
        await roster.start(read_own_agents(settings, {}))
        found = await roster.probe()
    finally:
        await roster.close()
    return [
        CheckRow(f"online agent {name}", "", "network", "wrong" if why else "ok", why or "answers")
        for name, why in found.items()
    ]
