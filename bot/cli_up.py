"""`quartet up`: the bot itself."""

from __future__ import annotations

import asyncio

import click

from bot.cli import common, given


@click.command()
@click.option("--host", metavar="H", help="Address to listen on. Default: ORCHESTRATOR_HOST or 127.0.0.1.")
@click.option(
    "--port", metavar="P", type=click.IntRange(0, 65535), help="Default: ORCHESTRATOR_PORT, PORT or 8080."
)
@common
@click.pass_context
def up(context: click.Context, host: str | None, port: int | None) -> None:
    r"""Start the bot: Slack and Discord where they have tokens, the web page and the HTTP API.

    It works with no key at all: then the rules engine plays the four agents. Ctrl-C stops it;
    runs under way go on at the next start.

    \b
    Examples:
      quartet up
      quartet up --port 9000
      quartet --config team.yaml up
    """
    from orchestrator.infra.garbage import seldom

    seldom()  # before the imports
    from bot.cli_settings import settings_of
    from bot.logs import configure_logging

    settings = settings_of(context)
    configure_logging(settings, "DEBUG" if given(context).debug or settings.debug else settings.log_level)
    from bot.front import serve

    asyncio.run(serve(settings, host=host, port=port))
