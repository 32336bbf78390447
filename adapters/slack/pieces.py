"""Pieces of a card, and how they are put into messages within Slack's limits. Pure.

A piece is a part of the card's text with what shows it, so that text and blocks of a message always cover
the same. Pieces joined are the card's text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, cast

from adapters.slack.text import markdown_length, neutral_length, neutral_markdown
from adapters.splitting import Piece as Cut

Block = dict[str, Any]

TEXT = 3_900  # characters of top-level text, escaped: past about 4,000 Slack advises splitting
TEXT_AT_MOST = 39_000  # Slack cuts off at 40,000
MARKDOWN = 11_500  # in all markdown blocks of a message: Slack takes 12,000
SHOWN = 12_000  # in all blocks of a message: refused near 13,200
BLOCKS = 38  # Slack takes 50; the rest is for what is added around
ELEMENTS = 900  # in one rich_text block
SMALL = 600  # characters: may stand beside a piece that is over the limit by itself


@dataclass(frozen=True, slots=True)
class SlackFile:
    """A file to upload with a message."""

    name: str
    title: str
    content: str | bytes  # never empty
    alt: str = ""  # of a picture: what it shows, for those who do not see it


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a card's text and what shows it: blocks, rich text or Markdown."""

    text: str
    blocks: tuple[Block, ...] = ()
    rich: tuple[Block, ...] = ()  # elements of a rich_text block; neighbours share one
    markdown: Cut | None = None  # neighbours of one source share a block
    source: int = 0  # which text `markdown` is a part of
    table: Block | None = None  # shown instead of `markdown`, once a message
    files: tuple[SlackFile, ...] = ()
    whole: bool = False  # cannot be cut: its text may go beyond what is advised


@dataclass(slots=True)
class _Message:
    pieces: list[Piece] = field(default_factory=list[Piece])
    text: int = 0
    markdown: int = 0
    shown: int = 0
    blocks: int = 0
    tables: int = 0

    def takes(self, piece: Piece, budget: int) -> bool:
        """Whether the piece fits as well."""
        if not self.pieces:
            return True
        size = neutral_length(piece.text)
        text = self.text + size
        beside = min(self.text, size) <= SMALL and any(p.whole for p in (*self.pieces, piece))
        return (
            text <= (TEXT_AT_MOST if beside else budget)
            and self.markdown + _markdown(piece) <= MARKDOWN
            and self.shown + _shown(piece) <= SHOWN
            and self.blocks + self._further(piece) <= BLOCKS
        )

    def add(self, piece: Piece) -> None:
        """Take the piece."""
        self.text += neutral_length(piece.text)
        self.markdown += _markdown(piece)
        self.shown += _shown(piece)
        self.blocks += self._further(piece)
        self.tables += piece.table is not None
        self.pieces.append(piece)

    def _further(self, piece: Piece) -> int:
        """How many blocks the piece adds; neighbours of one kind share theirs."""
        if not (piece.rich or piece.markdown):
            return len(piece.blocks)
        return int(not self.pieces or _kind(self.pieces[-1]) != _kind(piece))


def packed(pieces: Sequence[Piece], budget: int) -> list[list[Piece]]:
    """The pieces message by message, each message's text of at most `budget` characters where it can be."""
    messages = [_Message()]
    for piece in pieces:
        # Slack takes one table a message; a further one stays Markdown.
        here = replace(piece, table=None) if piece.table is not None and messages[-1].tables else piece
        if messages[-1].takes(here, budget):
            messages[-1].add(here)
        else:
            messages.append(_Message())
            messages[-1].add(piece)
    return [message.pieces for message in messages]


def drawn(pieces: Sequence[Piece]) -> list[Block]:
    """The blocks of one message."""
    blocks: list[Block] = []
    for (kind, _), group in groupby(pieces, key=_kind):
        neighbours = list(group)
        if kind == "rich":
            elements = [element for piece in neighbours for element in piece.rich]
            blocks += [rich_block(elements[at : at + ELEMENTS]) for at in range(0, len(elements), ELEMENTS)]
        elif kind == "markdown":
            text = _merged([piece.markdown for piece in neighbours if piece.markdown])
            if text.strip():
                blocks.append({"type": "markdown", "text": neutral_markdown(text)})
        else:
            blocks += [block for piece in neighbours for block in _own(piece)]
    return blocks


def rich_block(elements: Sequence[Block]) -> Block:
    """Rich text: shown as it is, nothing in it is read as markup."""
    return {"type": "rich_text", "elements": list(elements)}


def _kind(piece: Piece) -> tuple[str, int]:
    if piece.rich:
        return "rich", 0
    return ("markdown", piece.source) if piece.markdown and piece.table is None else ("own", 0)


def _own(piece: Piece) -> tuple[Block, ...]:
    return piece.blocks if piece.table is None else (piece.table,)


def _merged(cuts: Sequence[Cut]) -> str:
    """Neighbours of one source as they stood there; fences are closed and opened at the ends alone."""
    return (cuts[0].opening + "".join(cut.body for cut in cuts) + cuts[-1].closing).strip("\n")


def _markdown(piece: Piece) -> int:
    cut = piece.markdown
    return markdown_length(str(cut)) if cut and piece.table is None else 0


def _shown(piece: Piece) -> int:
    return _markdown(piece) + sum(_letters(part) for part in (*_own(piece), *piece.rich))


def _letters(value: object) -> int:
    """Characters in all strings of a block that stand for something shown or carried."""
    return sum(len(text) for text in _strings(value))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in cast(dict[str, object], value).items():
            if not (isinstance(inner, str) and key in ("type", "style", "align")):
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in cast(list[object], value):
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value
