"""`quartet runs`: look at runs, stop, pause, resume and fork them, with or without a running server."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, get_args

import click

from adapters.terminal.clean import clean
from bot.app import Core
from bot.cli import common
from bot.cli_ask import input_pairs
from bot.cli_core import all_runs, find_run, me, with_core
from bot.cli_settings import local_time
from bot.cli_timeline import describe, usage_text
from orchestrator.events import ENDED, RunStatus
from orchestrator.inputs import from_words
from orchestrator.ports import RunRow
from orchestrator.workflow import Workflow

STATUSES: tuple[str, ...] = get_args(RunStatus)
EFFECT_WITHIN_S = 2.0  # a running server obeys within this time


@click.group(invoke_without_command=True)
@common
@click.pass_context
def runs(context: click.Context) -> None:
    r"""List, show, stop, pause, resume and fork runs. An id may be shortened as long as it is unambiguous.

    \b
    Examples:
      quartet runs                       the newest runs
      quartet runs list --status waiting
      quartet runs show r7k2             its timeline
      quartet runs stop r7k2
      quartet runs fork r7k2 --from builder
    """
    if context.invoked_subcommand is None:
        context.invoke(list_runs)


@runs.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only runs with this status.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common
@click.pass_context
def list_runs(context: click.Context, status: RunStatus | None, limit: int, as_json: bool) -> None:
    r"""List runs, newest first.

    \b
    Examples:
      quartet runs list --limit 5
      quartet runs list --status failed --json | jq '.[].id'
    """

    async def look(core: Core) -> list[RunRow]:
        found: list[RunRow] = []
        async for row in all_runs(core, limit=1_000_000):
            if status is None or row.status == status:
                found.append(row)
            if len(found) == limit:
                break
        return found

    rows = with_core(context, look)
    if as_json:
        click.echo(json.dumps([_as_json(row) for row in rows], indent=2, ensure_ascii=False))
    elif not rows:
        click.echo('No runs yet. Start one: quartet ask "…"' if status is None else f"No run is {status}.")
    for row in rows if not as_json else ():
        text = clean(" ".join(row.text.split()))
        short = text if len(text) <= 60 else f"{text[:59]}…"
        click.echo(f"{row.id}  {local_time(row.created_at)}  {row.status:<9}  {row.workflow}  {short}")


@runs.command("show")
@click.argument("run_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common
@click.pass_context
def show_run(context: click.Context, run_id: str, as_json: bool) -> None:
    r"""Show what happened in a run, with times where you are.

    \b
    Examples:
      quartet runs show r7k2
      quartet runs show r7k2 --json
    """

    async def look(core: Core) -> tuple[RunRow, list[Any]]:
        row = await find_run(core, run_id)
        return row, list(await core.store.events(row.id))

    row, events = with_core(context, look)
    if as_json:
        log = [{"seq": e.seq, "at": e.at.isoformat(), **e.body.model_dump(mode="json")} for e in events]
        click.echo(json.dumps({**_as_json(row), "events": log}, indent=2, ensure_ascii=False))
        return
    click.echo(f"Run {row.id}: {row.status}, workflow {row.workflow}, {usage_text(row.usage)}")
    click.echo(clean(f"Asked by {row.who}: {' '.join(row.text.split())}"))
    for event in events:
        line = clean(" ".join(describe(event.body).rstrip().split("\n")))
        click.echo(f"{event.seq:>4}  {local_time(event.at)}  {line}")


@runs.command("stop")
@click.argument("run_id", metavar="ID")
@click.option("--reason", default="", help="Why, for those who read it later.")
@common
@click.pass_context
def stop_run(context: click.Context, run_id: str, reason: str) -> None:
    r"""End a run now.

    \b
    Examples:
      quartet runs stop r7k2
      quartet runs stop r7k2 --reason "asked the wrong thing"
    """
    _control(context, run_id, "stop", lambda c, i: c.service.stop(i, who=me(), reason=reason), set(ENDED))


@runs.command("pause")
@click.argument("run_id", metavar="ID")
@common
@click.pass_context
def pause_run(context: click.Context, run_id: str) -> None:
    r"""Let a run start no new steps until it is resumed.

    \b
    Example:
      quartet runs pause r7k2
    """
    _control(context, run_id, "pause", lambda c, i: c.service.pause(i, who=me()), {"paused"})


@runs.command("resume")
@click.argument("run_id", metavar="ID")
@common
@click.pass_context
def resume_run(context: click.Context, run_id: str) -> None:
    r"""Let a paused run go on.

    \b
    Example:
      quartet runs resume r7k2
    """
    _control(context, run_id, "go on", lambda c, i: c.service.resume(i, who=me()), {"running", "waiting"})


@runs.command("fork")
@click.argument("run_id", metavar="ID")
@click.option(
    "--from", "step", metavar="STEP", required=True, help="The step to begin anew; `show` lists them."
)
@click.option(
    "--input", "inputs", metavar="K=V", multiple=True, help="An input that changes; may be repeated."
)
@common
@click.pass_context
def fork_run(context: click.Context, run_id: str, step: str, inputs: tuple[str, ...]) -> None:
    r"""Run again from a step on, with what was done before it, and with other inputs where given.

    The new run keeps the workflow's version of the old one, and is worked on by `quartet up`.

    \b
    Examples:
      quartet runs fork r7k2 --from builder
      quartet runs fork r7k2 --from deploy --input environment=staging
    """
    pairs = input_pairs(inputs)

    async def work(core: Core) -> str:
        row = await find_run(core, run_id)
        state = await core.service.state(row.id)
        definition = await core.store.definition(state.created.workflow_digest)
        changed = from_words(Workflow.model_validate(definition), pairs)
        key = f"terminal-fork-{uuid.uuid4().hex}"
        return (await core.service.fork(row.id, step, key=key, who=me(), inputs=changed)).run_id

    forked = with_core(context, work)
    click.echo(
        f"Run {forked} goes on from {step}; see `quartet runs show {forked}`. If nothing works: quartet up"
    )


def _control(
    context: click.Context,
    run_id: str,
    word: str,
    act: Callable[[Core, Any], Awaitable[None]],
    wanted: set[str],
) -> None:
    """Append the fact, and tell whether a server has already acted on it."""

    async def work(core: Core) -> tuple[str, str]:
        row = await find_run(core, run_id)
        await act(core, row.id)
        status = row.status
        with suppress(TimeoutError):
            async with asyncio.timeout(EFFECT_WITHIN_S):
                while status not in wanted:
                    await asyncio.sleep(0.1)
                    found = await core.store.run(row.id)
                    status = found.status if found is not None else status
        return row.id, status

    run, status = with_core(context, work)
    if status in wanted:
        click.echo(f"Run {run} is {status}.")
    else:
        click.echo(f"Run {run} was asked to {word}; it obeys when the process that works on it takes note "
                   f"(now: {status}). If none is running: quartet up")  # fmt: skip


def _as_json(row: RunRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "conversation_id": row.conversation_id,
        "workflow": row.workflow,
        "status": row.status,
        "created_at": row.created_at.astimezone().isoformat(),
        "ended_at": row.ended_at.astimezone().isoformat() if row.ended_at else None,
        "text": row.text,
        "who": row.who,
        "usage": row.usage.model_dump(mode="json"),
    }
