"""`quartet manifest`: what a chat platform is told of the app when it is created."""

from __future__ import annotations

import json

import click

from bot.cli import common
from bot.cli_settings import settings_of


@click.group()
@common
def manifest() -> None:
    r"""Print what to paste when the app is created on a chat platform.

    \b
    Examples:
      quartet manifest slack
      quartet manifest slack --http --base-url https://bot.example.com
    """


@manifest.command("slack")
@click.option("--http", is_flag=True, help="Slack posts events to the bot; without it, Socket Mode.")
@click.option(
    "--base-url",
    metavar="URL",
    help="The bot's https address. Default: ORCHESTRATOR_BASE_URL, where it is https.",
)
@common
@click.pass_context
def slack(context: click.Context, http: bool, base_url: str | None) -> None:
    r"""Print the app manifest (JSON) to paste at api.slack.com/apps: Create New App, From a manifest.

    \b
    Examples:
      quartet manifest slack
      quartet manifest slack > manifest.json
      quartet manifest slack --base-url https://bot.example.com
      quartet manifest slack --http --base-url https://bot.example.com
    """
    from adapters.slack.manifest import manifest as slack_manifest

    if base_url is None:
        given = settings_of(context).base_url_given or ""
        base_url = given if given.startswith("https://") else ""
    try:
        printed = slack_manifest(base_url, socket_mode=not http)
    except ValueError as error:
        raise click.UsageError(str(error), context) from None
    click.echo(json.dumps(printed, indent=2, ensure_ascii=False))


@manifest.command("discord")
@common
def discord() -> None:
    """Not in this version: the bot does not talk on Discord yet."""
    raise click.ClickException("Discord is not in this version; there is nothing to set up there yet")
