"""`quartet agents`: who there is, what they can do, how busy they are and how they did so far."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import click

from bot.agent_words import as_json, facts, table
from bot.app import open_core
from bot.cli import common, given
from bot.cli_settings import settings_of
from bot.logs import configure_logging
from config.errors import suggest
from orchestrator.ports import AgentInfo


@click.command()
@click.argument("name", required=False)
@click.option("--json", "print_json", is_flag=True, help="Print JSON.")
@common
@click.pass_context
def agents(context: click.Context, name: str | None, print_json: bool) -> None:
    r"""List the agents: capabilities, model, status, load, success rate and mean time; or show one of them.

    Success and mean time are learnt from the newest 2,000 steps; later ones weigh more.

    \b
    Examples:
      quartet agents
      quartet agents builder
      quartet agents --json
    """
    settings = settings_of(context)
    configure_logging(settings, "DEBUG" if given(context).debug else "ERROR")

    async def look() -> list[AgentInfo]:
        async with open_core(settings, execute=False) as core:
            core.agents.learn(await core.store.agent_outcomes())
            return at_work(core.agents.infos(), await core.store.agents_at_work())

    infos = asyncio.run(look())
    if name is not None:
        infos = [_named(name, infos)]
    if print_json:
        click.echo(json.dumps([as_json(info) for info in infos], indent=2, ensure_ascii=False))
    elif name is not None:
        for label, value in facts(infos[0]):
            click.echo(f"{label + ':':<14}{value}")
    else:
        click.echo("\n".join(table(infos)))


def at_work(infos: Sequence[AgentInfo], working: Mapping[str, int]) -> list[AgentInfo]:
    """What agents do in other processes, of which this one knows from the log alone."""
    found: list[AgentInfo] = []
    for info in infos:
        load = max(info.load, working.get(info.name, 0))
        status = "busy" if load and info.status == "idle" else info.status
        found.append(replace(info, load=load, status=status))
    return found


def _named(name: str, infos: Sequence[AgentInfo]) -> AgentInfo:
    for info in infos:
        if info.name == name.lower():
            return info
    raise click.UsageError(f"there is no agent {name[:40]!r}; {suggest(name, {i.name for i in infos})}")
