"""What `quartet check` says of Slack: how the bot is connected and, with `--online`, whether tokens work."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from bot.check_home import home_flaw
from bot.check_row import CheckRow
from bot.secret_keys import FILE, secret_keys
from config.errors import ConfigError, short_path
from config.settings import Settings

if TYPE_CHECKING:  # what brings slack_sdk along is imported when it is asked for
    from adapters.slack.online import Finding


def slack_rows(settings: Settings) -> Iterator[CheckRow]:
    """How the bot is connected, as far as the settings tell."""
    if not settings.slack_bot_token and not settings.slack_client_id:
        yield CheckRow("slack", "off", "settings", note="no SLACK_BOT_TOKEN; docs/slack.md says how to begin")
        return
    ways = ["Socket Mode"] if settings.slack_app_token else []
    if settings.slack_signing_secret:
        ways.append(f"HTTP at {settings.base_url}/slack/events")
    places = "one workspace" if settings.slack_bot_token else ""
    if settings.slack_client_id:
        places = " and ".join(filter(None, (places, f"installs at {settings.base_url}/slack/install")))
    yield CheckRow("slack", f"{' and '.join(ways)}, {places}", "settings")
    if settings.slack_client_id:
        yield _key_row(settings)
    yield from _reach_rows(settings)


def _reach_rows(settings: Settings) -> Iterator[CheckRow]:
    """What has to be known of the way from Slack to the bot."""
    if settings.slack_signing_secret and (settings.public_url is None or _is_plain(settings)):
        note = (
            f"Slack must reach {settings.base_url}/slack/events from the internet by https: set "
            "ORCHESTRATOR_BASE_URL to the https address of the proxy or tunnel that passes /slack/ to "
            f"{settings.local_url}, or use Socket Mode (SLACK_APP_TOKEN)"
        )
        if not settings.slack_app_token:
            yield CheckRow("way from Slack", "", "settings", "note", note)


def outside_rows(settings: Settings) -> Iterator[CheckRow]:
    """What the public address answers without a key."""
    if settings.closed_outside:
        note = (
            f"API_KEY is not set, so {settings.public_url} answers only /slack/ and /health from outside; "
            "set API_KEY to use the page and the API from there, else let the proxy pass only /slack/"
        )
        yield CheckRow("from outside", "", "settings", "note", note)


def _is_plain(settings: Settings) -> bool:
    return settings.base_url.startswith("http://")


def _key_row(settings: Settings) -> CheckRow:
    """What tokens of installations are encrypted with. Makes no key."""
    file = settings.home / FILE
    if settings.secret_keys is None and not file.exists():
        return CheckRow("secret key", short_path(file), "default", note="made at the first start")
    try:
        keys = secret_keys(settings)
    except ConfigError as error:
        problem = error.problems[0]
        return CheckRow(
            "secret key", short_path(file), "default", "wrong", f"{problem.message}; {problem.remedy}"
        )
    if settings.secret_keys is None:
        return CheckRow("secret key", short_path(file), "default")
    return CheckRow("secret key", f"{len(keys)} keys" if len(keys) > 1 else "1 key", "QUARTET_SECRET_KEY")


async def ask_slack(settings: Settings, timeout_s: float) -> list[CheckRow]:
    """One row for each token that is set, and for each workspace that installed the app."""
    if not (settings.slack_bot_token or settings.slack_app_token or settings.slack_client_id):
        return []
    from adapters.slack.online import check_app_token, check_bot_token

    url = settings.slack_api_url
    asked: list[Coroutine[Any, Any, Finding]] = []
    if settings.slack_bot_token:
        token = settings.slack_bot_token.get_secret_value()
        asked.append(check_bot_token(token, api_url=url, timeout_s=timeout_s))
    if settings.slack_app_token:
        token = settings.slack_app_token.get_secret_value()
        asked.append(check_app_token(token, api_url=url, timeout_s=timeout_s))
    findings = [*await asyncio.gather(*asked), *await _installed(settings, timeout_s)]
    return [
        CheckRow(f"online {f.name}", url, "network", "ok" if f.fine else "wrong", f.note) for f in findings
    ]


async def _installed(settings: Settings, timeout_s: float) -> list[Finding]:
    from adapters.database import Database
    from adapters.slack.install import SCHEMA
    from adapters.slack.online import check_installations

    file = settings.home / "slack.db"
    if not settings.slack_client_id or not file.exists() or home_flaw(settings.home):
        return []
    keys = await asyncio.to_thread(secret_keys, settings)
    database = Database(file, SCHEMA)
    await database.open()
    try:
        return await check_installations(database, keys, api_url=settings.slack_api_url, timeout_s=timeout_s)
    finally:
        await database.close()
