"""What has to be set up at Discord: the link that invites the bot, and the switches of the app. Pure.

Discord takes no manifest: the app is made by hand, and the link says which permissions its role gets.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final
from urllib.parse import quote, urlencode

from adapters.discord.scopes import REASONS, SCOPES, TITLES, bits, permissions

AUTHORIZE: Final = "https://discord.com/oauth2/authorize"
PORTAL: Final = "https://discord.com/developers/applications"
UNKNOWN: Final = "APPLICATION_ID"  # stands in the link where the id is not known
_ID: Final = re.compile(r"[0-9]{17,20}")

# (switch, how it has to be, why)
SWITCHES: Final = (
    (
        "Bot > Message Content Intent",
        "on",
        "replies in the bot's threads need no mention, and what it missed while away can be read; without it "
        "everything that mentions the bot or is sent to it directly works all the same",
    ),
    (
        "Bot > Public Bot",
        "off",
        "else anybody may invite it to their server; first choose None for the Install Link on the page "
        "Installation, or Discord refuses to save it",
    ),
    ("Bot > Requires OAuth2 Code Grant", "off", "the link could not be used"),
    ("Bot > Presence Intent, Server Members Intent", "off", "not needed"),
    (
        "General Information > Interactions Endpoint URL",
        "empty",
        "else commands and buttons never reach the bot",
    ),
)


def application_id(token: str) -> str:
    """The id of the bot that a token belongs to, which is that of its application; "" if it does not tell.

    For applications made before 2016 the two differ: there Discord has to be asked.
    """
    first = token.partition(".")[0]
    try:
        text = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return text if is_id(text) else ""


def is_id(text: str) -> bool:
    """Whether a text can be an id of Discord's."""
    return _ID.fullmatch(text) is not None


def invite(application: str, *, guild: str = "") -> str:
    """The link that invites the bot with the permissions it needs and no other.

    Args:
        application: its id.
        guild: the server it is for; "": the person chooses.
    """
    query = {
        "client_id": application,
        "scope": " ".join(SCOPES),
        "permissions": str(bits()),
        "integration_type": "0",
    }
    if guild:
        query |= {"guild_id": guild, "disable_guild_select": "true"}
    return f"{AUTHORIZE}?{urlencode(query, quote_via=quote)}"


def manifest(application: str = "") -> str:
    """All that is to be done at Discord, as lines for people; the first is the link."""
    lines = [invite(application or UNKNOWN), ""]
    if not application:
        lines += [
            f"Put the Application ID in place of {UNKNOWN} ({PORTAL}, General Information), or set "
            "DISCORD_BOT_TOKEN and ask again: the token holds it.",
            "",
        ]
    lines += ["Open it to invite the bot; somebody who may manage the server has to. It asks for"]
    lines += [f"  {TITLES[name]}: {REASONS[name]}" for name in permissions()]
    lines += ["", f"Switches of the app, at {PORTAL}{f'/{application}' if application else ''}"]
    lines += [f"  {switch}: {state} ({why})" for switch, state, why in SWITCHES]
    return "\n".join(lines)
