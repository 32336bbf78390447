"""`quartet workflows versions | diff | rollback | remove`: what was, and back to it."""

from __future__ import annotations

import json

import click

from adapters.terminal.clean import clean
from bot.app import Core
from bot.cli import common
from bot.cli_core import me, with_core
from bot.cli_settings import local_time
from orchestrator.ports import WorkflowVersion


@click.command("versions")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common
@click.pass_context
def list_versions(context: click.Context, name: str, as_json: bool) -> None:
    r"""List a workflow's versions, newest first: each change of its file, each time it was saved.

    \b
    Examples:
      quartet workflows versions quartet
      quartet workflows versions quartet --json
    """

    async def look(core: Core) -> list[WorkflowVersion]:
        return await core.workflows.versions(name)

    rows = with_core(context, look)[::-1]
    if as_json:
        shown = [
            {
                "version": row.version,
                "origin": row.origin,
                "digest": row.digest,
                "who": row.who.name if row.who else None,
                "note": row.note,
                "at": row.at.astimezone().isoformat(),
            }
            for row in rows
        ]
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for row in rows:
        now = "  (now)" if row is rows[0] else ""
        who = f"  {row.who.name}" if row.who else ""
        click.echo(clean(f"{row.version:>4}  {local_time(row.at)}{who}  {row.note or row.origin}{now}"))


@click.command("diff")
@click.argument("name")
@click.argument("a", type=click.IntRange(min=1))
@click.argument("b", type=click.IntRange(min=1))
@common
@click.pass_context
def show_difference(context: click.Context, name: str, a: int, b: int) -> None:
    r"""Show what version B of a workflow has otherwise than version A.

    \b
    Example:
      quartet workflows diff quartet 1 2
    """

    async def look(core: Core) -> list[str]:
        return await core.workflows.diff(name, a, b)

    lines = with_core(context, look)
    if not lines:
        click.echo(f"Versions {a} and {b} of {name} say the same.", err=True)
    for line in lines:
        click.echo(clean(line))


@click.command("rollback")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@common
@click.pass_context
def go_back(context: click.Context, name: str, version: int) -> None:
    r"""Go back to an earlier version of a workflow; a running server uses it within a second.

    That of a file holds until the file changes again. Runs that were made before keep what they had.

    \b
    Example:
      quartet workflows rollback quartet 1
    """

    async def work(core: Core) -> tuple[int, int]:
        last = (await core.workflows.versions(name))[-1].version
        return last, await core.workflows.rollback(name, version, who=me())

    before, now = with_core(context, work)
    if now == before:
        click.echo(f"{name} is as in version {version} already.")
    else:
        click.echo(f"{name} is again as in version {version} (now version {now}).")


@click.command("remove")
@click.argument("name")
@common
@click.pass_context
def remove_workflow(context: click.Context, name: str) -> None:
    r"""Take a saved workflow out of use. Its versions stay: `rollback` brings it back.

    \b
    Example:
      quartet workflows remove release_notes
    """

    async def work(core: Core) -> None:
        await core.workflows.remove(name, who=me())

    with_core(context, work)
    click.echo(f"Removed {name}; `quartet workflows versions {name}` shows what was.")
