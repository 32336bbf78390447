"""Pieces of a card, and how they are put into messages within Discord's limits. Pure.

A piece is a stretch of text that may stand at the end of a message, a file, or a row of buttons. Neighbouring
texts of one group are shown as one text; between groups stands a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.discord.ports import Upload
from adapters.discord.text import is_seen, size
from adapters.splitting import Piece as Cut

Component = dict[str, Any]

ACTION_ROW, BUTTON, SECTION, TEXT_DISPLAY, GALLERY, FILE, SEPARATOR, CONTAINER = 1, 2, 9, 10, 12, 13, 14, 17

TEXT = 3_850  # characters in all texts of a message: Discord takes 4,000; the rest is for what is added
COMPONENTS = 36  # in a message, nested ones counted: Discord takes 40; the rest is for what is added
FILES = 9  # with a message: Discord takes 10


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a card: text, or a component that stands alone, perhaps with its file."""

    cut: Cut | None = None
    group: int = 0  # neighbours of one group share a text
    component: Component | None = None
    file: Upload | None = None  # its component is made when the message is known
    alt: str = ""  # of a file that is a picture to be shown: what it shows


@dataclass(slots=True)
class _Message:
    pieces: list[Piece] = field(default_factory=list[Piece])
    text: int = 0  # without the closing of the last text
    components: int = 1  # the container
    files: int = 0

    def takes(self, piece: Piece) -> bool:
        """Whether the piece fits as well."""
        if not self.pieces:
            return True
        text, components = self._with(piece)
        return (
            text + (size(piece.cut.closing) if piece.cut else 0) <= TEXT
            and components <= COMPONENTS
            and self.files + (piece.file is not None) <= FILES
        )

    def add(self, piece: Piece) -> None:
        """Take the piece."""
        self.text, self.components = self._with(piece)
        self.files += piece.file is not None
        self.pieces.append(piece)

    def _with(self, piece: Piece) -> tuple[int, int]:
        last = self.pieces[-1] if self.pieces else None
        line = 1 if last is not None and last.group != piece.group else 0
        text = self.text
        if piece.cut is None:
            own = 1 if piece.component is None else 1 + len(piece.component.get("components", ()))
            return text, self.components + line + own
        if last is not None and last.cut is not None and last.group == piece.group:
            return text + size(piece.cut.body), self.components
        closing = size(last.cut.closing) if last is not None and last.cut is not None else 0
        return text + closing + size(piece.cut.opening) + size(piece.cut.body), self.components + line + 1


def packed(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The pieces message by message, as many in each as it takes."""
    messages = [_Message()]
    for piece in pieces:
        if not messages[-1].takes(piece):
            messages.append(_Message())
        messages[-1].add(piece)
    return [message.pieces for message in messages]


def drawn(pieces: Sequence[Piece], names: Sequence[str]) -> list[Component]:
    """The components in the container of one message.

    Args:
        names: of the message's files, in order, as they are attached.
    """
    found: list[Component] = []
    texts: list[Cut] = []
    waiting = iter(names)
    group: int | None = None

    def say() -> None:
        text = merged(texts)
        texts.clear()
        if is_seen(text):
            found.append(text_display(text))

    for piece in pieces:
        if group is not None and piece.group != group:
            say()
            if found and found[-1]["type"] != SEPARATOR:
                found.append(separator())
        group = piece.group
        if piece.cut is not None:
            texts.append(piece.cut)
            continue
        say()
        if piece.file is not None:
            found.append(_attached(next(waiting), piece.alt))
        elif piece.component is not None:
            found.append(piece.component)
    say()
    if found and found[-1]["type"] == SEPARATOR:
        found.pop()
    return found


def merged(cuts: Sequence[Cut]) -> str:
    """Neighbouring texts put together; what is open at either end of the message is opened or closed."""
    if not cuts:
        return ""
    body = "".join(cut.body for cut in cuts).strip("\n")
    opening, closing = cuts[0].opening, cuts[-1].closing
    if opening and not opening.startswith("```"):
        body = body.lstrip(" ")
    if closing and "```" not in closing:
        body = body.rstrip()
    elif closing and not closing.startswith("\n"):
        body += "\n"  # that was stripped
    return f"{opening}{body}{closing}"


def _attached(name: str, alt: str) -> Component:
    url = {"url": f"attachment://{name}"}
    if alt:
        return {"type": GALLERY, "items": [{"media": url, "description": alt}]}
    return {"type": FILE, "file": url}


def text_display(content: str) -> Component:
    """A text; never empty, which Discord refuses."""
    return {"type": TEXT_DISPLAY, "content": content if is_seen(content) else "–"}


def separator() -> Component:
    """A line between two things."""
    return {"type": SEPARATOR, "divider": True, "spacing": 1}
