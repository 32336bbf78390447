"""Untrusted text for Slack: it rings nobody, hides nothing, and can be read back exactly. Pure.

Three kinds of text leave us. Top-level `text` and mrkdwn are escaped (`neutral`): Slack expands only what
stands in `<…>`, and bare `@here` rings nobody unless a call asks for `link_names` or `parse=full`. Plain text
(headers, buttons, context) and rich text are shown as they are; `shielded` parts what looks like a mention.
`markdown` blocks (`neutral_markdown`) cannot be escaped without showing the escapes, so an invisible word
joiner (U+2060) is put where a mention, a link with a false face or a hidden definition would begin. Slack
expands nothing in code, and code is copied by people, so code stays untouched: but only where every
reading of the Markdown agrees that it is code. Where readings may differ, it counts as prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

JOINER = "\u2060"  # no width, no line break: parts what must not be read as one

_SPECIAL = re.compile(r"<(?=[!@#])")
_LESS_THAN = r"(?:<|&(?:lt|LT|#0{0,9}60|#[xX]0{0,9}3[cC]);?)"
# After `<` only what cannot begin one of Slack's own forms stays: words, comparisons, closing tags, and
# autolinks without a label of their own.
_ANGLE = re.compile(rf"({_LESS_THAN})(?=[^A-Za-z0-9/\s=<-]|[A-Za-z][A-Za-z0-9+.-]*:[^<>\n]*\|)")
_EVERYONE = re.compile(r"(?<!\w)@(?=(?:here|channel|everyone|group)\b)")
_ODD_LINK = re.compile(r"\](?=\((?!\s*<?(?:https?://|mailto:)))", re.IGNORECASE)
_DEFINITION = re.compile(r"^( {0,3}\[[^\]\n]{1,999}\])(?=:)", re.MULTILINE)

_NESTED_FENCE = re.compile(r"^(?:[ \t>*+\-]|\d{1,9}[.)])+(?:`{3}|~{3})|^~{3}", re.MULTILINE)
_FENCE = re.compile(r"(`{3,})([^`]*)")
_RUN = re.compile(r"`+")


def neutral(text: str) -> str:
    """Escape for top-level `text` and mrkdwn. `plain(neutral(text)) == text`, and it rings nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str) -> str:
    """What `neutral` was given."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def neutral_length(text: str) -> int:
    """Characters of `neutral(text)`."""
    return len(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def shielded(text: str) -> str:
    """Text for plain-text fields: shown as it is; what looks like a mention is parted."""
    return _SPECIAL.sub(f"<{JOINER}", text)


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters: cut after a word where that costs little, and ended with `…`."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space >= limit * 2 // 3 else cut).rstrip() + "…"


def cut_escaped(text: str, limit: int) -> list[str]:
    """Cut so that each part, escaped, has at most `limit` characters; after a line where that costs little.

    The parts joined are the text.
    """
    parts: list[str] = []
    start = size = 0
    line_end = 0
    for at, character in enumerate(text):
        cost = 5 if character == "&" else 4 if character in "<>" else 1
        while size + cost > limit:  # behind the end of a line there may be too much still
            end = line_end if line_end - start > (at - start) // 2 else at
            parts.append(text[start:end])
            size = neutral_length(text[end:at])
            start = end
        size += cost
        if character == "\n":
            line_end = at + 1
    if start < len(text):
        parts.append(text[start:])
    return parts


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────


def neutral_markdown(text: str) -> str:
    """Markdown for a `markdown` block: it rings nobody, no link hides where it leads. Code stays as it is."""
    return "".join(part if is_code else _neutral_prose(part) for is_code, part in _parts(text))


def markdown_length(text: str) -> int:
    """At least the characters of `neutral_markdown(text)`."""
    return len(text) + sum(text.count(character) for character in "<&@]")


def _neutral_prose(text: str) -> str:
    text = _ANGLE.sub(rf"\1{JOINER}", text)
    text = _EVERYONE.sub(f"@{JOINER}", text)
    text = _ODD_LINK.sub(f"]{JOINER}", text)
    return _DEFINITION.sub(rf"\1{JOINER}", text)


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    """The text in parts, each with whether every reading of it says code. Joined they are the text."""
    if "`" not in text or _NESTED_FENCE.search(text):
        yield False, text
        return
    blocks = _fenced(_lines(text))
    if blocks is None:
        yield False, text
        return
    for is_code, block in blocks:
        if is_code:
            yield True, block
        else:
            for paragraph in re.split(r"(\n[ \t]*\n)", block):
                yield from _spans(paragraph)


def _lines(text: str) -> list[str]:
    """Lines with their ends, as Markdown counts them."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _fenced(lines: list[str]) -> list[tuple[bool, str]] | None:
    """Fenced blocks and what is between them; None where it is not certain which lines are in a fence."""
    found: list[tuple[bool, str]] = []
    gathered: list[str] = []
    marker = ""
    for line in lines:
        match = _FENCE.fullmatch(line.rstrip("\n"))
        if not marker and match:
            found.append((False, "".join(gathered)))
            gathered, marker = [line], match[1]
        elif marker and line.startswith("```"):
            if match is None or len(match[1]) < len(marker) or match[2].strip():
                return None
            found.append((True, "".join([*gathered, line])))
            gathered, marker = [], ""
        else:
            gathered.append(line)
    if marker:
        return None
    found.append((False, "".join(gathered)))
    return found


def _spans(paragraph: str) -> list[tuple[bool, str]]:
    """Code spans and prose of a paragraph; all prose where the spans could be read in another way."""
    found: list[tuple[bool, str]] = []
    for line in _lines(paragraph):
        runs = list(_RUN.finditer(line))
        at = index = 0
        while index < len(runs):
            opening = runs[index]
            closing = next(
                (n for n in range(index + 1, len(runs)) if len(runs[n][0]) == len(opening[0])), None
            )
            if closing is None:
                return [(False, paragraph)]
            prose, code = line[at : opening.start()], line[opening.start() : runs[closing].end()]
            if "|" in code or prose.endswith("\\"):
                return [(False, paragraph)]
            found += [(False, prose), (True, code)]
            at, index = runs[closing].end(), closing + 1
        found.append((False, line[at:]))
    # What binds tighter than code, or as tight and earlier: tags, autolinks, the addresses of links.
    unsure = any(mark in prose for is_code, prose in found if not is_code for mark in ("<", "](", "]:"))
    return [(False, paragraph)] if unsure else found
