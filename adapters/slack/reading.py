"""What a person typed, out of Slack's markup: mentions become names, links readable. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from adapters.plain import clean_text

_MARK = re.compile(r"<([^<>\n]{1,4000})>")
_USER = re.compile(r"<@([A-Z0-9]{2,40})(?:\|[^<>]*)?>")
_GROUP = re.compile(r"<!subteam\^([A-Z0-9]{2,40})(?:\|[^<>]*)?>")
_SETS = re.compile(r"settings\s+[A-Za-z_]+(?:\.\w+)?\s*=.*", re.IGNORECASE | re.DOTALL)


def mentioned(markup: str) -> tuple[str, ...]:
    """The ids of the people who are named, each once, in order."""
    return tuple(dict.fromkeys(_USER.findall(markup)))


def mentioned_away(markup: str) -> str:
    """The text without the people who are named."""
    return _USER.sub("", markup)


def readable(markup: str, names: Mapping[str, str], *, own: str = "") -> str:
    """The text as a person reads it.

    Args:
        markup: Slack's text, `&` `<` `>` escaped.
        names: of people, by id; who is missing keeps the id.
        own: our own user id, whose mention is left out.
    """
    text = clean_text(markup)
    if own:
        mention = rf"<@{re.escape(own)}(?:\|[^<>]*)?>"
        text = re.sub(rf"\A\s*(?:{mention}[ \t]*[:,]?\s*)+", "", text)
        text = re.sub(rf"[ \t]*{mention}(?=[ \t]*(?:[.,;:!?]|$))", "", text, flags=re.MULTILINE)
        text = re.sub(rf"{mention}[ \t]*", "", text)
    text = _MARK.sub(lambda match: _meaning(match[1], names), text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def command(markup: str, names: Mapping[str, str], *, own: str = "") -> str:
    """Text that may be a command, as `readable`; who is named in a setting stands there by key.

    A list of approvers holds `slack:U…` and ids of groups: a name could be anybody's.
    """
    text = readable(markup, names, own=own)
    if _SETS.fullmatch(text) is None:
        return text
    return readable(_GROUP.sub(r"\1", _keyed(markup, own)), names, own=own)


def _keyed(markup: str, own: str) -> str:
    return _USER.sub(lambda match: match[0] if match[1] == own else f"slack:{match[1]}", markup)


def _meaning(mark: str, names: Mapping[str, str]) -> str:
    """What stands between `<` and `>`."""
    target, _, label = mark.partition("|")
    match target[:1]:
        case "@":
            return f"@{names.get(target[1:]) or label.removeprefix('@') or target[1:]}"
        case "#":
            return f"#{label.removeprefix('#') or target[1:]}"
        case "!":
            return _special(target[1:], label)
        case _:
            address = target.removeprefix("mailto:").removeprefix("tel:")
            if not label or label in (address, target) or address.endswith(f"//{label}"):
                return address
            return f"{label} ({address})"


def _special(target: str, label: str) -> str:
    if target.startswith("subteam^"):
        return f"@{label.removeprefix('@') or target.removeprefix('subteam^')}"
    if target.startswith("date^"):
        return label or target.rpartition("^")[0]
    return f"@{label.removeprefix('@') or target}"
