"""Draw cards as Slack messages. Pure: no network, no clock. Nothing of a card is lost, every limit is kept.

The texts of a card's messages, unescaped and joined, are the card's plain text; each message's blocks show
the same part of it. Long code and files are attached; a card of more than three messages is attached as a
whole too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from adapters.contract import Card
from adapters.plain import card_text, clean_text
from adapters.slack.parts import (
    action_blocks,
    context,
    part_pieces,
    plain_object,
    plain_pieces,
    section,
    spread,
    words,
)
from adapters.slack.pieces import TEXT, Block, Piece, SlackFile, drawn, packed, rich_block
from adapters.slack.text import cut_escaped, neutral, neutral_length, plain, shortened

__all__ = ["SlackFile", "SlackMessage", "draw", "draw_note", "joined"]

MESSAGES = 3  # more than this for one card: its whole text is attached as a file
BUDGETS = (TEXT, 6_500, 9_000, 11_500, 38_000)  # characters of text; above the first to need fewer messages
EDITED = frozenset({"status", "approval"})  # their texts stay short: Slack edits none beyond about 4,000
MARKS = {
    "answered": "✅", "approved": "✅", "changes": "✏️", "done": "✅", "expired": "⌛", "failed": "❌",
    "paused": "⏸️", "queued": "🕓", "rejected": "⛔", "stopped": "⏹️", "waiting": "✋", "withdrawn": "↩️",
    "working": "⏳",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """One message: `text` for screen readers and notifications, `blocks` for the eye, files to go with it."""

    text: str  # escaped
    blocks: list[dict[str, Any]]
    files: tuple[SlackFile, ...] = ()


def draw(card: Card) -> list[SlackMessage]:
    """Draw a card as one or more messages, each within every limit of Slack's.

    `joined` of them is the card's plain text; only what a long file holds is in the file alone.

    Raises:
        CardRefused: a button's target is longer than Slack carries.
    """
    card = cleaned(card)
    pieces = _pieces(card)
    budgets = BUDGETS[:1] if card.kind in EDITED else BUDGETS
    sizes = [neutral_length(piece.text) for piece in pieces]
    size = sum(one for one in sizes if one <= TEXT)  # what is larger stands alone
    messages: list[list[Piece]] = []
    for budget in budgets:
        if size <= budget * MESSAGES or budget == budgets[-1]:
            messages = packed(pieces, budget)
            if len(messages) <= MESSAGES:
                break
    found = [_message(part, number, len(messages)) for number, part in enumerate(messages, start=1)]
    return found if len(found) <= MESSAGES else _with_whole(found, card)


def draw_note(text: str) -> SlackMessage:
    """A short private text as one message."""
    parts = cut_escaped(clean_text(text).strip(), TEXT - 1)
    shown = parts[0] + ("…" if len(parts) > 1 else "") if parts else "(no text)"
    return SlackMessage(neutral(shown), [rich_block([section(words(shown))])])


def joined(messages: Sequence[SlackMessage]) -> str:
    """The texts of the messages, unescaped and put together again."""
    return "".join(plain(message.text) for message in messages)


def cleaned(card: Card) -> Card:
    """The card without control characters and halves of characters."""
    return Card.model_validate(_clean(card.model_dump()))


def headline(card: Card) -> str:
    """Title, status and label in one line."""
    return card_text(card.model_copy(update={"parts": (), "buttons": ()}))


def marked(status: str) -> str:
    """A status with the sign that goes with its first word; the word says it all."""
    first = status.split(maxsplit=1)[0].rstrip(":,.").casefold() if status.strip() else ""
    return f"{MARKS[first]} {status}" if first in MARKS else status


def feedback_block(run_id: str) -> Block:
    """The buttons with which people say whether an answer was good."""
    return {
        "type": "context_actions",
        "elements": [
            {
                "type": "feedback_buttons",
                "action_id": "quartet:feedback",
                "positive_button": {
                    "text": plain_object("Good answer"),
                    "accessibility_label": "This answer was good",
                    "value": f"good\n{run_id}",
                },
                "negative_button": {
                    "text": plain_object("Bad answer"),
                    "accessibility_label": "This answer was not good",
                    "value": f"bad\n{run_id}",
                },
            }
        ],
    }


def _pieces(card: Card) -> list[Piece]:
    groups = [_head(card), *part_pieces(card)]
    if card.buttons:
        labels = card_text(card.model_copy(update={"title": "", "status": "", "label": "", "parts": ()}))
        groups.append(spread(labels, action_blocks(card.buttons)))
    pieces: list[Piece] = []
    has_text = False
    for group in groups:
        if not any(piece.text for piece in group):
            pieces += group
            continue
        if has_text:
            group[0] = replace(group[0], text=f"\n\n{group[0].text}")
        pieces += group
        has_text = True
    if card.feedback:
        pieces.append(Piece("", blocks=(feedback_block(card.feedback),)))
    return pieces


def _head(card: Card) -> list[Piece]:
    text = headline(card)
    if len(text) > 600:
        return plain_pieces(text, bold=True)
    small = [bit for bit in (marked(card.status), card.label) if bit.strip()]
    blocks: list[Block] = []
    if card.kind in ("answer", "reply") or len(card.title) > 140 or "\n" in card.title:
        small = [bit for bit in (card.title, *small) if bit.strip()]
    elif card.title.strip():
        blocks.append({"type": "header", "text": plain_object(card.title, 150)})
    if small:
        blocks.append(context(small))
    return [Piece(text, blocks=tuple(blocks))]


def _message(pieces: Sequence[Piece], number: int, count: int) -> SlackMessage:
    blocks = drawn(pieces)
    if number > 1:
        blocks = [context([f"Part {number} of {count}"]), *blocks]
    text = neutral("".join(piece.text for piece in pieces))
    return SlackMessage(
        text or "(no text)",
        blocks or [context(["(no text)"])],
        tuple(file for piece in pieces for file in piece.files),
    )


def _with_whole(messages: list[SlackMessage], card: Card) -> list[SlackMessage]:
    name = f"{card.kind}.md"
    whole = SlackFile(name, shortened(headline(card), 200) or name, card_text(card))
    said = context([f"{len(messages)} messages; the whole text is in the attached file {name}"])
    last = messages[-1]
    return [*messages[:-1], replace(last, blocks=[*last.blocks, said], files=(*last.files, whole))]


def _clean(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in cast(dict[str, object], value).items()}
    if isinstance(value, tuple):
        return tuple(_clean(inner) for inner in cast(tuple[object, ...], value))
    return value
