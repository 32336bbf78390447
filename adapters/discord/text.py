"""Untrusted text for Discord: it rings nobody, fakes nothing, and reads as it was written. Pure.

Discord reads Markdown and mentions in everything we say, so words of people and models are escaped with
backslashes (`neutral`). The escapes do not depend on where a line begins: a text may be cut between any two
of its `units` and both halves stay harmless. What would be read in a text that shows backslashes too (a
mention, an address that must be no link) is parted by an invisible word joiner (U+2060).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from adapters.plain import clean_text

JOINER = "\u2060"  # no width, no line break: parts what must not be read as one
LONGEST_ADDRESS = 1_000  # what is longer is no link: it could not be cut

_ORDER = re.compile("[\u202a-\u202e\u2066-\u2069]")  # they turn the order of what follows, our words too
_MARK = re.compile(
    r"""
    (?P<plain> [\\*_~`|\[\]<>\#]          # emphasis, code, spoilers, links, headings, quotes
    | -(?=[\s\#]|$)                       # lists, small print
    | (?<=\d)\.(?=\s|$)                   # numbered lists
    | :(?=[\w+-]+:) )                     # emoji by name
    (?P<mention> (?<=<)(?=@|\#|a?:\w|t:|id:|/[^\s>]+:\d))?
    | (?P<everyone> @(?=everyone|here))
    | (?P<scheme> https?:(?=//))
    | (?P<invite>
        \b(?:discord|dis)\.(?=(?:gg|gift|new|gd)\b)
        | discord(?:app)?\.(?=com/(?:invite|gifts|template|events)\b) )
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_QUOTES = "“”„‟‘’‚‛«»‹›…「」『』（）"  # around an address or behind it, never in one that is copied
_URL = re.compile(rf"https?://[^\s<>\"'`\\|\[\]{{}}^\u2060{_QUOTES}]+", re.IGNORECASE)
_INVITE = re.compile(
    r"(?:^|\.)(?:discord\.(?:gg|gift|new)|dis\.gd)(?:$|/)"
    r"|(?:^|\.)discord(?:app)?\.com/(?:invite|gifts|template|events)(?:/|$)",
    re.IGNORECASE,
)
_UNIT = re.compile(r"(?:\\.\u2060?|[^\s\\]){1,60}\s{0,60}|\s{1,60}", re.DOTALL)
_ADDRESS_LIKE = re.compile(r"://|\bwww\.|\b[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b", re.IGNORECASE)


def readable(text: str) -> str:
    """Without control characters, halves of characters, and marks that turn the order of letters."""
    return _ORDER.sub("", clean_text(text))


def neutral(text: str) -> str:
    """Text as it is: no Markdown, no mention. Web addresses are links to where they say, without previews."""
    return "".join(units(text))


def units(text: str) -> Iterator[str]:
    """`neutral(text)` in parts between which it may be cut; each has at most some 1,000 characters."""
    text = readable(text)
    at = 0
    for match in _URL.finditer(text):
        url = _without_end(match[0])
        address = web_address(url)
        if address is not None:
            yield from _UNIT.findall(_escaped(text[at : match.start()]))
            yield f"<{address}>"
            at = match.start() + len(url)
    yield from _UNIT.findall(_escaped(text[at:]))


def one_line(text: str) -> str:
    """Any text in one line, not yet neutral."""
    return " ".join(readable(text).split())


def size(text: str) -> int:
    """Characters as the strictest of Discord's clients counts them: UTF-16 units (its API: code points)."""
    return len(text) if text.isascii() else len(text) + sum(character > "\uffff" for character in text)


def fitted(text: str, limit: int) -> str:
    """At most `limit` characters in one line, as `size` counts them: what is longer ends with `…`."""
    words = one_line(text)
    if size(words) <= limit:
        return words
    room, at = limit - 1, 0
    while at < len(words) and room >= size(words[at]):
        room -= size(words[at])
        at += 1
    return words[:at].rstrip() + "…"


def is_seen(text: str) -> bool:
    """Whether there is anything to see: Discord refuses texts of which nothing is left."""
    return any(unicodedata.category(character)[0] not in "CZ" for character in text)


def note_units(text: str) -> Iterator[str]:
    """As `units`, but channels that are named as Discord does stay links: they ring nobody."""
    for number, part in enumerate(re.split(r"(<#[0-9]{15,20}>)", text)):
        yield from [part] if number % 2 else units(part)  # the odd ones are what was split at


def cut_between(parts_of: Iterable[str], limit: int) -> list[str]:
    """Units put together to parts of at most `limit` characters, after a line where that costs little."""
    parts: list[str] = []
    gathered: list[str] = []
    length = line_end = 0
    for unit in parts_of:
        if length + size(unit) > limit and gathered:
            cut = line_end if sum(map(size, gathered[:line_end])) > length // 2 else len(gathered)
            parts.append("".join(gathered[:cut]))
            gathered = gathered[cut:]
            length = sum(map(size, gathered))
            line_end = 0
        gathered.append(unit)
        length += size(unit)
        if "\n" in unit:
            line_end = len(gathered)
    return [*parts, "".join(gathered)] if gathered else parts


# ── addresses ────────────────────────────────────────────────────────────────────────────────


def web_address(url: str) -> str | None:
    """The address so that it can stand in `<…>`; None where it is no web address, or none to be led to.

    Invitations are none, nor is what names somebody before its host (`https://bank.example@evil.example`).
    """
    if len(url) > LONGEST_ADDRESS or not re.fullmatch(r"https?://\S+", url, re.IGNORECASE):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # brackets that are no address
        return None
    if not host or "@" in parts.netloc or _INVITE.search(f"{host}{parts.path}"):
        return None
    found = re.sub(r"[*|`\\<>()\"]", lambda match: f"%{ord(match[0]):02X}", url)
    return re.sub("@(?=everyone|here)", "%40", found.replace("~~", "%7E%7E"))


def host_of(url: str) -> str:
    """The host that a web address leads to."""
    return urlsplit(url).hostname or ""


def may_be_label(text: str) -> bool:
    """Whether a link may be called this: nothing that pretends to be another address, nothing unreadable."""
    return (
        0 < len(text) <= 300
        and is_seen(text)
        and not re.search(r"[\[\]\n]", text)
        and not _ADDRESS_LIKE.search(text)
    )


def link(label: str, url: str) -> str:
    """A link by its name; where it leads is shown where the name pretends, or where it is no web address."""
    label, url = one_line(label), readable(url)
    address = web_address(url)
    if address is None:
        return neutral(f"{label} ({url})" if label and label != url else url)
    if may_be_label(label):
        return f"[{neutral(label)}](<{address}>)"
    return f"{neutral(label)} (<{address}>)" if label and label != url else f"<{address}>"


def _escaped(text: str) -> str:
    return _MARK.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    if match["plain"]:
        return f"\\{match['plain']}{JOINER if match['mention'] is not None else ''}"
    return f"{match[0]}{JOINER}"


def _without_end(url: str) -> str:
    """An address in running text without the sentence's marks behind it."""
    depth = 0
    for at, character in enumerate(url):
        depth += (character == "(") - (character == ")")
        if depth < 0:  # it stands in brackets
            url = url[:at]
            break
    return url.rstrip(".,:;!?*_~")
