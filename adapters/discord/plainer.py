"""Draw a card plainer where Discord refuses it: text and buttons, then text alone. Pure.

The first step keeps the messages and their marks, so that it can be edited and found like any other. The last
one, ordinary messages, is for new cards alone: a message of components cannot be made an ordinary one again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from adapters.contract import Card
from adapters.discord import outbound
from adapters.discord.outbound import COMPONENTS_V2, CONTAINER, DiscordMessage
from adapters.payload import items, mapping
from adapters.plain import card_text
from adapters.splitting import split_text

TEXT, ROW, GALLERY = 10, 1, 12  # types of components
ROOM = 4_000  # characters in a message of components
PIECE = 1_500  # of text, before what is done to it that nothing is taken for Markdown
DEPTH = 6
NO_FILES = (
    "(Discord did not take the file of this message: is it too large, or does the bot lack `Attach Files`?)"
)


def simpler(message: DiscordMessage) -> DiscordMessage:
    """The same texts and buttons in one block, without files; the mark stays."""
    components = [mapping(each) for each in items(message.body.get("components"))]
    inner = [each for top in components for each in _walk(top, DEPTH)]
    texts = [str(each.get("content", "")) for each in inner if each.get("type") == TEXT]
    texts += [
        str(mapping(shown).get("description", ""))
        for each in inner
        if each.get("type") == GALLERY
        for shown in items(each.get("items"))
    ]
    if message.files:
        texts.append(NO_FILES)
    text = "\n\n".join(each for each in texts if each)
    if len(text) > ROOM:
        text = text[: ROOM - 1] + "…"
    rows = [each for each in inner if each.get("type") == ROW]
    block: dict[str, Any] = {
        "type": CONTAINER,
        "components": [{"type": TEXT, "content": text or "–"}, *rows],
    }
    number = next((each.get("id") for each in components if each.get("type") == CONTAINER), None)
    if number is not None:
        block["id"] = number
    body: dict[str, Any] = {
        "flags": COMPONENTS_V2,
        "components": [block],
        "allowed_mentions": {"parse": []},
    }
    return DiscordMessage(body)


def ordinary(card: Card) -> list[DiscordMessage]:
    """The card as ordinary messages; buttons are words there."""
    pieces = split_text(card_text(card), PIECE) or ["–"]
    return [message for piece in pieces for message in outbound.draw_note(piece)]


def editing(message: DiscordMessage) -> DiscordMessage:
    """The body for an edit: what the message had before and has no more is taken away."""
    body: dict[str, Any] = {"attachments": [], **message.body}
    if int(body.get("flags") or 0) & COMPONENTS_V2:
        body["content"] = None  # it may have been an ordinary one
    return replace(message, body=body)


def _walk(component: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    yield component
    if depth > 0 and component.get("type") != ROW:
        for each in items(component.get("components")):
            yield from _walk(mapping(each), depth - 1)
