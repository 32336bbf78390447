"""What slack_sdk's `Installation` says: whose token, how long it is good, how it is stored. No I/O."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from slack_sdk.oauth.installation_store import Installation

from adapters.slack.ports import BotToken

REFRESH_BEFORE_MIN = 120  # a token that ends within this is exchanged for a new one
LAST_USE_S = 30  # a token that could not be exchanged is used until shortly before its end


def ends_soon(installation: Installation) -> bool:
    """Whether the token is to be exchanged now."""
    ends = installation.bot_token_expires_at
    return bool(installation.bot_refresh_token and ends and ends <= time.time() + REFRESH_BEFORE_MIN * 60)


def good_until(installation: Installation) -> float:
    """Until when (epoch seconds) the token may be used without another look."""
    ends = installation.bot_token_expires_at
    if not ends or not installation.bot_refresh_token:
        return float("inf")
    if ends_soon(installation):  # it could not be refreshed: try again soon
        return time.time() + LAST_USE_S
    return ends - REFRESH_BEFORE_MIN * 60


def why(error: Exception) -> str:
    """Slack's word, or the error's name; never the answer itself, which may hold tokens."""
    cause = getattr(error, "api_error", error)
    response = getattr(cause, "response", None)
    code = response.get("error") if response is not None and isinstance(response.data, dict) else None
    return str(code or type(error).__name__)


def bot_token(installation: Installation) -> BotToken:
    """Who the bot is there."""
    return BotToken(
        token=installation.bot_token or "",
        team="" if installation.is_enterprise_install else installation.team_id or "",
        enterprise=installation.enterprise_id or "",
        bot_user=installation.bot_user_id or "",
        bot_id=installation.bot_id or "",
        app_id=installation.app_id or "",
        scopes=frozenset(installation.bot_scopes or ()),
    )


def plain(installation: Installation) -> dict[str, Any]:
    """What JSON can hold; slack_sdk reads times back from ISO 8601."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in installation.to_dict_for_copying().items()
        if value is not None
    }
