"""What a person typed, out of Discord's markup: mentions become names, times readable. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from adapters.discord.payload import CHANNELS, OWN_ROLE, ROLES, ident, name_of, snowflake
from adapters.payload import Payload, items, mapping, text
from adapters.plain import clean_text

LONGEST_NAME = 100  # characters
LONGEST_EMBED = 2_000
_USER = re.compile(r"<@!?(\d{1,20})>", re.ASCII)
_ROLE = re.compile(r"<@&(\d{1,20})>", re.ASCII)
_CHANNEL = re.compile(r"<#(\d{1,20})>", re.ASCII)
_EMOJI = re.compile(r"<a?:(\w{1,64}):\d{1,20}>", re.ASCII)
_TIME = re.compile(r"<t:(-?\d{1,13})(?::([A-Za-z]))?>", re.ASCII)
_SLASH = re.compile(r"</([^<>:\n]{1,100}):\d{1,20}>", re.ASCII)
_ADDRESS = re.compile(r"<((?:https?|mailto|tel):[^<>\s]{1,2000})>")
_SETS = re.compile(r"settings\s+[A-Za-z_]+(?:\.\w+)?\s*=.*", re.IGNORECASE | re.DOTALL)
_DAYS, _CLOCK = frozenset("dD"), frozenset("tT")


def _none() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Names:
    """What ids are called that a text may hold, and which of them are our own."""

    users: Mapping[str, str] = field(default_factory=_none)  # id → name
    channels: Mapping[str, str] = field(default_factory=_none)
    roles: Mapping[str, str] = field(default_factory=_none)
    own: str = ""  # our user id
    own_role: str = ""


def names_in(payload: Payload, own: str = "") -> Names:
    """The names that come with a message or an interaction.

    Args:
        payload: of a message or an interaction, with what the gateway added.
        own: our user id.
    """
    resolved = mapping(mapping(payload.get("data")).get("resolved"))
    users: dict[str, str] = {}
    for one in items(payload.get("mentions")):
        user = mapping(one)
        _add(users, ident(user, "id"), name_of(user, mapping(user.get("member"))))
    members = mapping(resolved.get("members"))
    for user_id, one in mapping(resolved.get("users")).items():
        _add(users, user_id, name_of(mapping(one), mapping(members.get(user_id))))
    channels = {ident(mapping(one), "id"): mapping(one) for one in items(payload.get("mention_channels"))}
    return Names(
        users,
        {**_named(channels), **_named(resolved.get("channels")), **_plain(payload.get(CHANNELS))},
        {**_named(resolved.get("roles")), **_plain(payload.get(ROLES))},
        own=snowflake(own),
        own_role=ident(payload, OWN_ROLE),
    )


def readable(markup: str, names: Names) -> str:
    """The text as a person reads it, without our own mention."""
    said = clean_text(markup)
    for mention in _own(names):
        said = re.sub(rf"\A\s*(?:{mention}[ \t]*[:,]?\s*)+", "", said)
        said = re.sub(rf"[ \t]*{mention}(?=[ \t]*(?:[.,;:!?]|$))", "", said, flags=re.MULTILINE)
        said = re.sub(rf"{mention}[ \t]*", "", said)
    said = _USER.sub(lambda match: f"@{names.users.get(match[1]) or match[1]}", said)
    said = _ROLE.sub(lambda match: f"@{names.roles.get(match[1]) or match[1]}", said)
    said = _CHANNEL.sub(lambda match: f"#{names.channels.get(match[1]) or match[1]}", said)
    said = _EMOJI.sub(r":\1:", said)
    said = _SLASH.sub(r"/\1", said)
    said = _TIME.sub(_time, said)
    return _ADDRESS.sub(r"\1", said).strip()


def command(markup: str, names: Names) -> str:
    """Text that may be a command, as `readable`; who is named in a setting stands there by key.

    A list of approvers holds `discord:<id>` and ids of roles: a name could be anybody's.
    """
    said = readable(markup, names)
    if _SETS.fullmatch(said) is None:
        return said
    keyed = _USER.sub(lambda match: match[0] if match[1] == names.own else f"discord:{match[1]}", markup)
    keyed = _ROLE.sub(lambda match: match[0] if match[1] == names.own_role else match[1], keyed)
    return readable(keyed, names)


def named_ids(payload: Payload) -> tuple[frozenset[str], frozenset[str]]:
    """The ids of the channels and of the roles that a message names, for the gateway to look up."""
    markup = text(payload, "content")[:10_000]
    return frozenset(_CHANNEL.findall(markup)), frozenset(_ROLE.findall(markup))


def words_of(message: Payload, names: Names) -> str:
    """All the words of a message: text, components, stickers, poll and embeds, each as a person reads it."""
    bits = [
        readable(text(message, "content"), names),
        readable("\n".join(_shown(message.get("components"), 6)), names),
        *extras(message, names),
    ]
    return "\n".join(bit for bit in bits if bit)


def extras(message: Payload, names: Names) -> Iterable[str]:
    """What a message shows besides its text: stickers, a poll, embeds of other apps."""
    for one in (*items(message.get("sticker_items")), *items(message.get("stickers"))):
        name = clean_text(text(mapping(one), "name")).strip()
        if name:
            yield f"[sticker: {name[:LONGEST_NAME]}]"
    poll = mapping(message.get("poll"))
    question = text(mapping(poll.get("question")), "text")
    if question:
        answers = (
            text(mapping(mapping(one).get("poll_media")), "text") for one in items(poll.get("answers"))
        )
        yield f"[poll: {readable('; '.join(bit for bit in (question, *answers) if bit), names)}]"
    for one in items(message.get("embeds"))[:10]:
        said = _embed(mapping(one), names)
        if said:
            yield f"[embed: {said}]"


def _embed(embed: Payload, names: Names) -> str:
    if text(embed, "type") not in ("", "rich"):  # what Discord itself shows below an address
        return ""
    fields = (
        f"{text(mapping(one), 'name')}: {text(mapping(one), 'value')}"
        for one in items(embed.get("fields"))[:25]
    )
    bits = (text(embed, "title"), text(embed, "description"), *fields)
    return readable(" · ".join(bit for bit in bits if bit.strip()), names)[:LONGEST_EMBED]


def _shown(components: object, depth: int) -> Iterable[str]:
    """The text of components, as ours and other apps' messages are made of."""
    for one in items(components)[:100] if depth else []:
        component = mapping(one)
        if component.get("type") == 10:
            yield text(component, "content")
        yield from _shown(component.get("components"), depth - 1)


def _own(names: Names) -> Iterable[str]:
    if names.own:
        yield rf"<@!?{re.escape(names.own)}>"
    if names.own_role:
        yield rf"<@&{re.escape(names.own_role)}>"


def _time(match: re.Match[str]) -> str:
    try:
        when = datetime.fromtimestamp(int(match[1]), UTC)
    except (ValueError, OverflowError, OSError):
        return match[0]
    if match[2] in _DAYS:
        return f"{when:%Y-%m-%d}"
    if match[2] in _CLOCK:
        return f"{when:%H:%M:%S} UTC"
    return when.isoformat()


def _named(found: object) -> dict[str, str]:
    return _each(found, lambda one: text(mapping(one), "name"))


def _plain(found: object) -> dict[str, str]:
    return _each(found, lambda one: one if isinstance(one, str) else "")


def _each(found: object, name: Callable[[object], str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for one, value in mapping(found).items():
        _add(names, one, name(value))
    return names


def _add(names: dict[str, str], one: object, name: str) -> None:
    called = " ".join(clean_text(name).split())[:LONGEST_NAME]
    if snowflake(one) and called:
        names[snowflake(one)] = called
