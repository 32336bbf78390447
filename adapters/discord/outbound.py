"""Draw cards as Discord messages. Pure: no network, no clock. Nothing of a card is lost, every limit is kept.

A card is a container of texts, files and buttons (components v2), in up to three messages. What is longer is
shown as far as it fits, its longest part cut, and attached as a whole. Discord makes no previews of addresses
in such messages, and ours stand in `<…>`, which asks for none in plain ones either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from adapters.contract import Card
from adapters.discord.naming import FileNames
from adapters.discord.parts import (
    bold,
    button_rows,
    card_button,
    feedback_buttons,
    line,
    part_pieces,
    plain_atoms,
    small,
    uploads,
    whole_text,
)
from adapters.discord.pieces import (
    CONTAINER,
    TEXT,
    TEXT_DISPLAY,
    Component,
    Piece,
    drawn,
    packed,
    text_display,
)
from adapters.discord.ports import Upload
from adapters.discord.text import cut_between, is_seen, neutral, note_units, one_line, size
from adapters.plain import card_text
from adapters.splitting import Piece as Cut

MESSAGES = 3  # more than this for one card: its whole text is attached as a file
PLAIN = 2_000  # characters of a plain message
COMPONENTS_V2 = 1 << 15
SUPPRESS_EMBEDS = 1 << 2

MARKS = {
    "answered": "✅", "approved": "✅", "changes": "✏️", "done": "✅", "expired": "⌛", "failed": "❌",
    "paused": "⏸️", "queued": "🕓", "rejected": "⛔", "stopped": "⏹️", "waiting": "✋", "withdrawn": "↩️",
    "working": "⏳",
}  # fmt: skip
_BLUE, _GREEN, _AMBER, _RED, _GREY = 0x3B82F6, 0x2E9E5B, 0xF0A020, 0xD64545, 0x80848E
COLOURS = {
    "answered": _GREEN, "approved": _GREEN, "changes": _AMBER, "done": _GREEN, "expired": _GREY,
    "failed": _RED, "paused": _GREY, "queued": _GREY, "rejected": _RED, "stopped": _GREY, "waiting": _AMBER,
    "withdrawn": _GREY, "working": _BLUE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DiscordMessage:
    """One message: the body of create-message without its nonce, and the files that go with it."""

    body: dict[str, Any]
    files: tuple[Upload, ...] = ()


def draw(card: Card) -> list[DiscordMessage]:
    """Draw a card as one to three messages, each within every limit of Discord's.

    More than three only where there are more files or buttons than three messages take.

    Raises:
        CardRefused: a button's target is longer than Discord carries.
    """
    names = FileNames()
    groups = [_head(card), *part_pieces(card, names)]
    last = len(groups)
    ends = button_rows([card_button(one) for one in card.buttons], last)
    if card.feedback:
        ends += button_rows(feedback_buttons(card.feedback), last)
    messages = packed([*(piece for group in groups for piece in group), *ends])
    if len(messages) > MESSAGES:
        messages = _shortened(groups, ends, card, names)
    colour = COLOURS.get(state_word(card.status), _RED if card.kind == "error" else None)
    return [
        _message(part, mark(card.id, number), number, len(messages), colour)
        for number, part in enumerate(messages)
    ]


def draw_note(text: str) -> list[DiscordMessage]:
    """A text for one person as plain messages of at most 2,000 characters; a long one is attached.

    A channel in it (`<#123>`) is shown by its name.
    """
    parts = cut_between(note_units(text.strip()), PLAIN - 50)
    if len(parts) <= MESSAGES:
        return [DiscordMessage(_plain_body(part)) for part in parts or [""]]
    files = uploads("note.md", text, FileNames())
    body = _plain_body(f"{parts[0]}\n…")
    body["attachments"] = _attachments(files)
    return [DiscordMessage(body, tuple(files))]


def plain(text: str) -> dict[str, Any]:
    """The body of one plain message that shows a text as `draw_note` does; what is too long ends with `…`."""
    parts = cut_between(note_units(text.strip()), PLAIN - 50)
    return _plain_body("".join(parts[:1]) + ("…" if len(parts) > 1 else ""))


def container(
    components: Sequence[Component], identity: int | None = None, colour: int | None = None
) -> dict[str, Any]:
    """The body of a message of one container."""
    found: Component = {"type": CONTAINER, "components": list(components)}
    if identity is not None:
        found["id"] = identity
    if colour is not None:
        found["accent_color"] = colour
    return {
        "flags": COMPONENTS_V2,
        "components": [found],
        "allowed_mentions": {"parse": []},
        "attachments": [],
    }


def digest(message: DiscordMessage) -> str:
    """The same for messages that show the same."""
    found = hashlib.sha256(json.dumps(message.body, sort_keys=True).encode())
    for file in message.files:
        found.update(file.name.encode() + b"\0" + hashlib.sha256(file.content).digest())
    return found.hexdigest()


def mark(card_id: str, part: int) -> int:
    """The id of the container that shows part `part` (from 0) of a card: 31 bits, never 0."""
    name = f"{card_id}#{part}".encode(errors="replace")
    return int.from_bytes(hashlib.sha256(name).digest()[:4], "big") & 0x7FFFFFFF or 1


def marks_in(message: Mapping[str, Any]) -> int | None:
    """The mark of a message as Discord sends it; None: it is none of our cards."""
    components: object = message.get("components")
    if not isinstance(components, list) or not components:
        return None
    first = cast("list[object]", components)[0]
    if not isinstance(first, Mapping):
        return None
    found = cast("Mapping[str, object]", first)
    number = found.get("id")
    if found.get("type") != CONTAINER or not isinstance(number, int) or isinstance(number, bool):
        return None
    return number


def state_word(status: str) -> str:
    """The first word of a status, by which its sign and colour are chosen."""
    return status.split(maxsplit=1)[0].rstrip(":,.").casefold() if status.strip() else ""


def marked(status: str) -> str:
    """A status with the sign that goes with its first word; the word says it all."""
    return signed(status, status)


def signed(text: str, status: str) -> str:
    """A text with the sign of a status."""
    sign = MARKS.get(state_word(status))
    return f"{sign} {text}" if sign else text


# ── the card ─────────────────────────────────────────────────────────────────────────────────


def _head(card: Card) -> list[Piece]:
    """Title, status and label."""
    if size(f"{card.title}{card.status}{card.label}") > 400:
        return [Piece(cut=cut) for cut in _long_head(card)]
    if card.kind == "reply" and not is_seen(card.status):  # to a command: what was asked for is below
        title = neutral(one_line(card.title))
        text = "\n".join(filter(None, (f"### {title}" if is_seen(title) else "", small(card.label))))
    elif card.kind in ("answer", "reply"):
        same = card.title.strip().casefold() == card.status.strip().casefold()
        said = (signed(card.title, card.status),) if same else (card.title, marked(card.status))
        text = small(*said, card.label)
    else:
        title = neutral(one_line(card.title))
        said = " · ".join(neutral(one_line(bit)) for bit in (marked(card.status), card.label) if is_seen(bit))
        text = "\n".join(filter(None, (f"## {title}" if is_seen(card.title) else "", said)))
    return [Piece(cut=Cut("", text, ""))] if text else []


def _long_head(card: Card) -> list[Cut]:
    found = line("", bold(card.title))
    for bit in (marked(card.status), card.label):
        if is_seen(bit):
            found += line("\n" if found else "", plain_atoms(one_line(bit)))
    return found


def _message(
    pieces: Sequence[Piece], identity: int, number: int, count: int, colour: int | None
) -> DiscordMessage:
    files = [piece.file for piece in pieces if piece.file is not None]
    shown = drawn(pieces, [file.name for file in files]) or [text_display("")]
    if number:
        said = small(f"Part {number + 1} of {count}")
        if shown[0]["type"] == TEXT_DISPLAY:
            shown[0] = text_display(f"{said}\n{shown[0]['content']}")
        else:
            shown.insert(0, text_display(said))
    body = container(shown, identity, colour)
    body["attachments"] = _attachments(files)
    return DiscordMessage(body, tuple(files))


def _shortened(
    groups: Sequence[list[Piece]], ends: Sequence[Piece], card: Card, names: FileNames
) -> list[list[Piece]]:
    """What three messages take: the longest texts are cut, the whole is attached."""
    kept = [list(group) for group in groups]
    sizes = [sum(map(_length, group)) for group in kept]
    whole = whole_text(f"{card.kind}.md", card_text(card), names, len(groups))
    most = MESSAGES * TEXT
    while True:
        while sum(sizes) > most and _drop_last(kept, sizes):
            pass
        shown = [piece for group in kept for piece in _ended(group, groups)]
        messages = packed([*shown, *whole, *ends])
        if len(messages) <= MESSAGES or not _drop_last(kept, sizes):  # what is left are files and buttons
            return messages
        most = sum(sizes) - TEXT // 20


def _drop_last(kept: Sequence[list[Piece]], sizes: list[int]) -> bool:
    """Leave out the end of the longest text; False: there is none to be cut."""
    longest = max(range(len(kept)), key=lambda at: sizes[at])
    group = kept[longest]
    last = next((at for at in range(len(group) - 1, 0, -1) if group[at].cut is not None), None)
    if last is None:
        return False
    sizes[longest] -= _length(group[last])
    del group[last]
    return True


def _ended(group: list[Piece], groups: Sequence[list[Piece]]) -> list[Piece]:
    """The pieces of a part; where it was cut, with `…` at its end."""
    if not group or group[-1] is groups[group[0].group][-1]:
        return group
    last = max(at for at, piece in enumerate(group) if piece.cut is not None)
    cut = group[last].cut
    closing = cut.closing if cut is not None else ""
    more = Piece(cut=Cut("", f"{closing}\n…", ""), group=group[last].group)
    return [*group[: last + 1], more, *group[last + 1 :]]


def _length(piece: Piece) -> int:
    return size(piece.cut.body) if piece.cut is not None else 0


def _plain_body(content: str) -> dict[str, Any]:
    return {
        "content": content if is_seen(content) else "–",
        "flags": SUPPRESS_EMBEDS,
        "allowed_mentions": {"parse": []},
    }


def _attachments(files: Sequence[Upload]) -> list[dict[str, str]]:
    return [{"id": str(number), "filename": file.name} for number, file in enumerate(files)]
