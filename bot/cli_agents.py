"""`quartet agents`: who there is, and how they did in the newest runs."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import click

from bot.app import Core, open_core
from bot.cli import common, given
from bot.cli_core import all_runs
from bot.cli_settings import settings_of
from bot.logs import configure_logging
from orchestrator.events import ENDED

LOOKED_AT = 100  # newest runs that the figures are taken from


@dataclass(slots=True)
class Record:
    """How an agent did."""

    working: int = 0  # steps under way
    done: int = 0
    failed: int = 0
    seconds: float = 0.0  # of the steps that were done

    @property
    def success(self) -> float | None:
        """Share of the ended steps that ended well, 0 to 1."""
        ended = self.done + self.failed
        return self.done / ended if ended else None

    @property
    def mean_s(self) -> float | None:
        """Mean seconds of a step that ended well."""
        return self.seconds / self.done if self.done else None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common
@click.pass_context
def agents(context: click.Context, as_json: bool) -> None:
    r"""List the agents: capabilities, model, load, success rate and mean time (of the newest 100 runs).

    \b
    Examples:
      quartet agents
      quartet agents --json
    """
    settings = settings_of(context)
    configure_logging(settings, "DEBUG" if given(context).debug else "ERROR")

    async def look() -> list[dict[str, Any]]:
        async with open_core(settings, execute=False) as core:
            records = await _records(core)
            return [
                {
                    "name": info.name,
                    "title": info.title,
                    "capabilities": list(info.capabilities),
                    "model": info.model,
                    "tools": list(info.tools),
                    "working": records[info.name].working,
                    "success_rate": records[info.name].success,
                    "mean_seconds": records[info.name].mean_s,
                }
                for info in core.agents.infos()
            ]

    rows = asyncio.run(look())
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        success = "–" if row["success_rate"] is None else f"{row['success_rate']:.0%}"
        mean = "–" if row["mean_seconds"] is None else f"{row['mean_seconds']:.1f} s"
        click.echo(f"{row['name']}: {', '.join(row['capabilities']) or 'no capabilities named'}")
        model = "engine: rules" if row["model"] == "rules" else row["model"]
        click.echo(f"  {model} · working on {row['working']} · success {success} · mean {mean}")


async def _records(core: Core) -> defaultdict[str, Record]:
    """By agent, from the logs of the newest runs."""
    records: defaultdict[str, Record] = defaultdict(Record)
    async for row in all_runs(core, limit=LOOKED_AT):
        state = await core.service.state(row.id)
        workflow = await core.engine.workflow(state.created.workflow_digest)
        for step in state.steps:
            agent = getattr(workflow.nodes.get(step.node), "agent", None)
            if agent is None:
                continue
            record = records[agent]
            if step.status == "done" and step.ended_at is not None:
                record.done += 1
                record.seconds += (step.ended_at - step.started_at).total_seconds()
            elif step.status == "failed":
                record.failed += 1
            elif step.status == "working" and row.status not in ENDED:
                record.working += 1
    return records
