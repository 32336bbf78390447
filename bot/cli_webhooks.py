"""`quartet webhooks`: addresses that are told of runs, with or without a running server (which sends)."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from adapters.terminal.clean import clean
from bot.app import Core
from bot.cli import common
from bot.cli_core import me, with_core
from bot.webhooks.addresses import AddressRefused
from bot.webhooks.book import Made
from bot.webhooks.notices import KINDS
from orchestrator.webhooks import Webhook


@click.group(invoke_without_command=True)
@common
@click.pass_context
def webhooks(context: click.Context) -> None:
    r"""List, add and remove webhooks, and send notices again. `quartet up` sends them.

    \b
    Examples:
      quartet webhooks
      quartet webhooks add https://example.com/quartet --on run.completed --on run.failed
    """
    if context.invoked_subcommand is None:
        context.invoke(list_webhooks)


@webhooks.command("list")
@common
@click.pass_context
def list_webhooks(context: click.Context) -> None:
    r"""List the webhooks.

    \b
    Example:
      quartet webhooks list
    """

    async def look(core: Core) -> list[Webhook]:
        return await core.webhooks.all()

    rows = with_core(context, look)
    if not rows:
        click.echo("No address is told of runs. `quartet webhooks add --help` shows how.")
    for row in rows:
        click.echo(clean(f"{row.id}  {row.state:<3}  {row.url}  {', '.join(row.kinds) or 'everything'}"))
        if row.note:
            click.echo(clean(f"           {row.note}"))
        elif row.failing_since is not None:
            click.echo(f"           nothing got through since {row.failing_since:%Y-%m-%d %H:%M} UTC")


@webhooks.command("add")
@click.argument("url")
@click.option(
    "--on", "kinds", multiple=True, type=click.Choice(KINDS), help="What to tell; without it everything."
)
@common
@click.pass_context
def add_webhook(context: click.Context, url: str, kinds: tuple[str, ...]) -> None:
    r"""Tell URL of what happens from now on. Its secret is shown this once.

    \b
    Example:
      quartet webhooks add https://example.com/quartet --on run.completed
    """

    async def add(core: Core) -> Made:
        return await core.webhooks.add(url, kinds, made_by=me().key)

    made = with_core(context, add, AddressRefused)
    click.echo(f"Webhook {made.webhook.id} is told of {', '.join(kinds) or 'everything'}.", err=True)
    click.echo("Notices are signed with this secret, which is not shown again:", err=True)
    click.echo(made.secret)


@webhooks.command("remove")
@click.argument("webhook_id", metavar="ID")
@common
@click.pass_context
def remove_webhook(context: click.Context, webhook_id: str) -> None:
    r"""Send nothing more; its notices are forgotten.

    \b
    Example:
      quartet webhooks remove wh_4f0c2ab91d3e5f60
    """
    with_core(context, lambda core: core.webhooks.remove(webhook_id), AddressRefused)
    click.echo(f"Removed webhook {webhook_id}.")


@webhooks.command("replay")
@click.argument("webhook_id", metavar="ID")
@click.option("--notice", "notice_id", metavar="NOTICE", help="Only this one.")
@click.option(
    "--since",
    type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ")),
    help="All that happened since then (UTC).",
)
@common
@click.pass_context
def replay(context: click.Context, webhook_id: str, notice_id: str | None, since: datetime | None) -> None:
    r"""Send notices again; each keeps its id. `quartet up` sends them.

    \b
    Examples:
      quartet webhooks replay wh_4f0c2ab91d3e5f60 --since 2026-11-21
      quartet webhooks replay wh_4f0c2ab91d3e5f60 --notice msg_0c2ab91d3e5f604f0c2ab91d3e
    """
    if (notice_id is None) == (since is None):
        raise click.UsageError("say what to send again: --notice NOTICE or --since TIME")
    at = since.replace(tzinfo=UTC) if since is not None else None
    with_core(
        context, lambda core: core.webhooks.replay(webhook_id, notice_id=notice_id, since=at), AddressRefused
    )
    click.echo("`quartet up` sends it again.")
