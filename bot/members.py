"""How people and groups are named in settings: approvers, admins, who may start. Pure.

What can be nobody is refused: a list that holds only such names would lock everybody out.
"""

from __future__ import annotations

import difflib
import re
from typing import Final, get_args

from adapters.contract import Platform

# Bare ids of Slack: long, or with a digit, so that no name in capitals is taken for one.
_BARE: Final = r"(?:(?=[A-Z]*[0-9])[A-Z0-9]+|[A-Z]{7,})"
_SLACK_PERSON: Final = re.compile(rf"[UW]{_BARE}")
_SLACK_GROUP: Final = re.compile(rf"S{_BARE}")
_DISCORD_ID: Final = re.compile(r"[0-9]{17,20}")
_DISCORD_PERSON: Final = re.compile(r"<@!?([0-9]{17,20})>")
_DISCORD_ROLE: Final = re.compile(r"<@&([0-9]{17,20})>")
PERMISSION: Final = "permission:"  # begins the groups of those who hold a permission of Discord's
# Those of Discord's permissions that say whom a server trusts, by the names of its documentation.
DISCORD_PERMISSIONS: Final = (
    "administrator",
    "ban_members",
    "kick_members",
    "manage_channels",
    "manage_guild",
    "manage_messages",
    "manage_roles",
    "manage_threads",
    "moderate_members",
)
_ENTRANCES: Final = (*get_args(Platform), "api")  # keys that have a name are people too: api:ada
# Where the next one begins though there is no comma: pickers put a space, or nothing, between mentions.
_NEXT: Final = re.compile(
    rf"(?<=>) ?(?=\S)| (?=<[@#]|@|permission:|(?:{'|'.join(_ENTRANCES)}):|[0-9]{{17,20}}(?: |$)"
    rf"|[UWS]{_BARE}(?: |$))"
)
_REMEDIES: Final = {
    "slack": (
        "mention them, as {key}=@ada picked from the list that opens after @, or write "
        "platform:id (slack:U0123ABCD) or the id of a user group; several with commas between"
    ),
    "discord": (
        "mention them or a role, as {key}=@ada picked from the list that opens after @, or write discord:ID "
        "for a person, the id of a role, or permission:manage_guild; several with commas between"
    ),
}


class NobodyMeant(ValueError):
    """A name that can be nobody's. The message says what can be written."""


def listed(text: str) -> list[str]:
    """The members of a list as typed, with commas between, or spaces where it is clear where each begins."""
    parts = (one.strip() for part in " ".join(text.split()).split(",") for one in _NEXT.split(part))
    return [part for part in parts if part]


def member(key: str, item: str, platform: Platform) -> str:
    """A person's key or a group's id, as typed or as meant.

    Args:
        key: the setting, as people know it.
        item: one of its values.
        platform: of the channel: a bare id is one of its people's or groups'.

    Raises:
        NobodyMeant: it is neither.
    """
    where, colon, who = item.partition(":")
    if colon and where in _ENTRANCES and who and _is_person(where, who):
        return item
    found = _of_discord(key, item) if platform == "discord" else _of_slack(item, platform)
    if found is not None:
        return found
    remedy = _REMEDIES.get(platform, f"write platform:id, as {platform}:ada; several with commas between")
    raise NobodyMeant(
        f"{key}: {_short(item)!r} is only a name, not a person or group: {remedy.format(key=key)}"
    )


def _of_slack(item: str, platform: Platform) -> str | None:
    if platform == "slack" and _SLACK_PERSON.fullmatch(item):
        return f"slack:{item}"
    return item if _SLACK_GROUP.fullmatch(item) else None


def _of_discord(key: str, item: str) -> str | None:
    if person := _DISCORD_PERSON.fullmatch(item):
        return f"discord:{person[1]}"
    if role := _DISCORD_ROLE.fullmatch(item):
        return role[1]
    if item in ("@everyone", "@here"):
        raise NobodyMeant(f"{key}: {item} is everybody; write {key}= (with nothing behind it) for that")
    if item.startswith(PERMISSION):
        return _permission(key, item.removeprefix(PERMISSION))
    return item if _DISCORD_ID.fullmatch(item) else None


def _permission(key: str, name: str) -> str:
    known = re.sub(r"[\s-]+", "_", name.strip().lower())
    if known in DISCORD_PERMISSIONS:
        return f"{PERMISSION}{known}"
    near = difflib.get_close_matches(known, DISCORD_PERMISSIONS, n=1, cutoff=0.5)
    hint = f"did you mean {PERMISSION}{near[0]}? " if near else ""
    raise NobodyMeant(
        f"{key}: there is no permission {_short(name)!r} that can be named here; {hint}"
        f"possible: {', '.join(DISCORD_PERMISSIONS)}"
    )


def _is_person(platform: str, text: str) -> bool:
    """Whether an id can be that of a person there; who exists, only the platform knows."""
    if platform == "slack":
        return re.fullmatch(r"[UW][A-Z0-9]+", text) is not None
    return platform != "discord" or _DISCORD_ID.fullmatch(text) is not None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
