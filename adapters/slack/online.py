"""Ask Slack whether the tokens that are set work: `quartet check --online`. Changes nothing there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.database import Database
from adapters.errors import AdapterError, PlatformDown
from adapters.slack.install import Installations
from adapters.slack.ports import BotToken, SlackRefused
from adapters.slack.scopes import REASONS, bot_scopes, missing
from adapters.slack.tokens import API_URL, COPY_TOKEN, DEAD, TIMEOUT_S, Identity, ask, identity

REINSTALL = (
    "paste what `quartet manifest slack` prints at api.slack.com/apps, App Manifest, and reinstall the app"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of asking with one token."""

    name: str  # the variable, or the workspace
    fine: bool
    note: str  # whose token it is; or what is wrong and how to mend it


async def check_bot_token(token: str, *, api_url: str = API_URL, timeout_s: float = TIMEOUT_S) -> Finding:
    """Whether SLACK_BOT_TOKEN works and has all scopes. Answers within `timeout_s`; raises nothing."""
    name = "SLACK_BOT_TOKEN"
    return await _look(name, token, COPY_TOKEN, api_url=api_url, timeout_s=timeout_s)


async def check_app_token(token: str, *, api_url: str = API_URL, timeout_s: float = TIMEOUT_S) -> Finding:
    """Whether SLACK_APP_TOKEN can open Socket Mode. The address that Slack gives is not used."""
    name = "SLACK_APP_TOKEN"
    try:
        await ask("apps.connections.open", token, api_url=api_url, timeout_s=timeout_s)
    except SlackRefused as error:
        return Finding(name, False, _app_refusal(error.code))
    except AdapterError as error:
        return Finding(name, False, str(error))
    return Finding(name, True, "Socket Mode can be opened")


async def check_installations(
    database: Database, keys: Sequence[str], *, api_url: str = API_URL, timeout_s: float = TIMEOUT_S
) -> list[Finding]:
    """Whether the token of each workspace that installed the app works and has all scopes.

    Args:
        database: slack.db, open.
        keys: as for `Installations`.
        api_url: Slack's Web API, with a slash at the end.
        timeout_s: seconds for all of them.
    """
    rows = await Installations(database, keys, api_url=api_url).installed()
    return list(await asyncio.gather(*(_installed(name, bot, api_url, timeout_s) for name, bot in rows)))


async def _installed(name: str, bot: BotToken | None, api_url: str, timeout_s: float) -> Finding:
    shown = f"Slack workspace {name}"
    if bot is None:
        note = "no key in QUARTET_SECRET_KEY opens its token; put the former key back, or install again"
        return Finding(shown, False, note)
    remedy = "install the app there again at /slack/install"
    return await _look(shown, bot.token, remedy, api_url=api_url, timeout_s=timeout_s)


async def _look(name: str, token: str, remedy: str, *, api_url: str, timeout_s: float) -> Finding:
    try:
        found = await identity(token, api_url=api_url, timeout_s=timeout_s)
    except SlackRefused as error:
        why = (
            "Slack does not know this token (any more)" if error.code in DEAD else "Slack refuses this token"
        )
        return Finding(name, False, f"{why}: {error.code}; {remedy}")
    except PlatformDown as error:
        return Finding(name, False, str(error))
    return Finding(name, *_scopes(found))


def _scopes(found: Identity) -> tuple[bool, str]:
    """Fine or not, and the note."""
    place = f"organisation {found.workspace}" if found.whole_organisation else f"workspace {found.workspace}"
    if not found.bot.bot_id:
        return False, f"is a token of a person in {place}, not of the bot; copy the Bot User OAuth Token"
    if not found.bot.scopes:
        return True, f"{place}; Slack did not say which scopes it has"
    lacking = missing(found.bot.scopes)
    if lacking:
        lost = "".join(f"\n    {scope}: {REASONS[scope]}" for scope in lacking)
        return False, f"lacks {_count(len(lacking))} in {place}; {REINSTALL}. Lost without:{lost}"
    return True, f"{place}, all {len(bot_scopes())} scopes"


def _count(number: int) -> str:
    return f"{number} scope{'' if number == 1 else 's'}"


def _app_refusal(code: str) -> str:
    page = "Basic Information at api.slack.com/apps"
    if code == "missing_scope":
        return f"lacks the scope connections:write; make a new app-level token with it under {page}"
    if code in DEAD or code == "not_allowed_token_type":
        return (
            f"Slack does not know this token (any more): {code}; make one with connections:write under {page}"
        )
    return f"Slack refuses Socket Mode: {code}; switch Socket Mode on at api.slack.com/apps"
