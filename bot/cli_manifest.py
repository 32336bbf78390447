"""`quartet manifest`: what a chat platform has to be told of the app."""

from __future__ import annotations

import asyncio
import json

import click

from bot.cli import common
from bot.cli_settings import settings_of


@click.group()
@common
def manifest() -> None:
    r"""Print what to set up when the app is created on a chat platform.

    \b
    Examples:
      quartet manifest slack
      quartet manifest slack --http --base-url https://bot.example.com
      quartet manifest discord
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
@click.option(
    "--application-id", metavar="ID", help="Of the app (General Information). Default: the token's own."
)
@click.option("--online", is_flag=True, help="Ask Discord for the application id.")
@common
@click.pass_context
def discord(context: click.Context, application_id: str | None, online: bool) -> None:
    r"""Print the link that invites the bot to a server, what it asks for and why, and the app's switches.

    \b
    Examples:
      quartet manifest discord
      quartet manifest discord --application-id 112233445566778899
    """
    from adapters.discord.manifest import application_id as id_in
    from adapters.discord.manifest import is_id
    from adapters.discord.manifest import manifest as discord_manifest

    if application_id is not None and not is_id(application_id):
        raise click.UsageError(
            "an application id has 17 to 20 digits: copy it from General Information", context
        )
    if application_id is None:
        settings = settings_of(context)
        token = settings.discord_bot_token.get_secret_value() if settings.discord_bot_token else ""
        application_id = _asked(token, settings.discord_api_url) if online else id_in(token)
    click.echo(discord_manifest(application_id))


def _asked(token: str, api_url: str) -> str:
    from adapters.discord.online import application
    from adapters.errors import AdapterError

    if not token:
        raise click.ClickException("Discord can only be asked with a token; set DISCORD_BOT_TOKEN")
    try:
        return asyncio.run(application(token, api_url=api_url))
    except AdapterError as error:
        raise click.ClickException(str(error)) from None
