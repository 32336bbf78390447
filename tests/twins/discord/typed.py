"""Commands as a person types them: only what the app has synced can be typed, and only as it was declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from simcord.backend import Backend, serializers
from simcord.backend.errors import SetupError
from simcord.backend.models import Message
from simcord.enums import AppCommandType, OptionType
from simcord.interactions import check_options, nest_options, walk_to_subcommand

from tests.twins.discord.events import Json
from tests.twins.discord.modals import NotPossible

PLAIN = (OptionType.STRING, OptionType.INTEGER, OptionType.NUMBER, OptionType.BOOLEAN)


def names(backend: Backend, user: int, channel: int, kind: AppCommandType) -> list[str]:
    """The app's commands that this person is offered here."""
    found = backend.visible_commands(user_id=user, channel_id=channel, type=kind)
    return [str(each["name"]) for each in found]


def command_data(
    backend: Backend, user: int, channel: int, words: str, options: Mapping[str, Any], *, focused: str = ""
) -> Json:
    """`data` of a typed command, e.g. `quartet ask` with its options.

    Args:
        words: the command with its subcommands, with or without the slash.
        options: by name; while typing (`focused`) not all need to be there.
        focused: the option that is being typed.

    Raises:
        NotPossible: there is no such command here, or it does not take this.
    """
    name, *path = words.removeprefix("/").split()
    command = _find(backend, user, channel, name, AppCommandType.CHAT_INPUT)
    try:
        leaf, nesting = walk_to_subcommand(command, path)
        accepted = check_options(words, leaf, dict(options), partial=bool(focused))
    except SetupError as no:
        raise NotPossible(str(no)) from None
    options_of = cast("list[Json]", leaf.get("options") or [])
    declared = {str(each["name"]): each for each in options_of}
    if focused:
        accepted[focused] = options[focused]  # while it is typed it need not be good yet
        if not declared[focused].get("autocomplete"):
            raise NotPossible(f"{words} offers nothing while {focused} is typed")
    written: list[Json] = []
    for option, value in accepted.items():
        kind = int(declared[option]["type"])
        if kind not in PLAIN:
            raise NotPossible(f"people here cannot give {option}, which is of type {kind}")
        if kind == OptionType.STRING and not focused and not 1 <= len(str(value)) <= 6000:
            raise NotPossible(f"{option} takes 1 to 6,000 characters")
        written.append({"name": option, "type": kind, "value": value})
        if option == focused:
            written[-1]["focused"] = True
    data: Json = {"id": command["id"], "name": name, "type": 1}
    if nested := nest_options(command, nesting, written):
        data["options"] = nested
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    return data


def menu_data(backend: Backend, user: int, message: Message, name: str) -> Json:
    """`data` of an entry in a message's menu (Apps › …).

    Raises:
        NotPossible: the app has not synced it, or not for here.
    """
    command = _find(backend, user, message.channel_id, name, AppCommandType.MESSAGE)
    shown = cast(Json, dict(serializers.message_payload(backend, message)))
    return {
        "id": command["id"],
        "name": name,
        "type": 3,
        "target_id": str(message.id),
        "resolved": {"messages": {str(message.id): shown}},
    } | ({"guild_id": command["guild_id"]} if "guild_id" in command else {})


def _find(backend: Backend, user: int, channel: int, name: str, kind: AppCommandType) -> Json:
    offered = backend.visible_commands(user_id=user, channel_id=channel, type=kind)
    found = [each for each in offered if each["name"] == name]
    if not found:
        there = ", ".join(repr(each["name"]) for each in offered)
        raise NotPossible(f"there is no {name!r} here; synced are: {there or 'none'}")
    return min(found, key=lambda each: "guild_id" not in each)  # a guild's own comes first
