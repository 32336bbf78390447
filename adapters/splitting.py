"""Cut a long text into messages without losing a character. Pure.

Cuts fall on paragraph borders where they can, else on line ends, sentences, spaces. A code fence
that is cut is closed at the end of one message and opened again at the start of the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SMALLEST_LIMIT = 64
_FENCE = re.compile(r"[ \t]*(`{3,16}|~{3,16})([^\n]*)")  # longer marks could not be opened again in the room
_SENTENCE_END = re.compile(r"[.!?…][)\"'”’]*\s+")


@dataclass(frozen=True, slots=True)
class Piece:
    """One message of a text that was cut. `body` is the text's own; the rest was added."""

    opening: str  # the fence opened again, with its line break, or ""
    body: str
    closing: str  # the fence closed for now, or ""

    def __str__(self) -> str:
        return f"{self.opening}{self.body}{self.closing}"


@dataclass(frozen=True, slots=True)
class _Fence:
    marker: str
    info: str

    def opening(self, room: int) -> str:
        """The line that opens it again; without its info string where that would take the room."""
        whole = f"{self.marker}{self.info}\n"
        return whole if len(whole) <= room else f"{self.marker}\n"


def split_text(text: str, limit: int) -> list[str]:
    """Cut `text` into messages of at most `limit` characters.

    Returns:
        The messages in order; none for the empty text.

    Raises:
        ValueError: the limit is too small to cut sensibly (under 64).
    """
    return [str(piece) for piece in split_pieces(text, limit)]


def split_pieces(text: str, limit: int) -> list[Piece]:
    """As `split_text`, telling what was added: the bodies joined are the text.

    Raises:
        ValueError: the limit is too small to cut sensibly (under 64).
    """
    if limit < SMALLEST_LIMIT:
        raise ValueError(f"limit is {limit}; it must be at least {SMALLEST_LIMIT} characters")
    return list(_cut(text, limit))


def _cut(text: str, limit: int) -> Iterator[Piece]:
    start = 0
    fence: _Fence | None = None
    while start < len(text):
        opening = fence.opening(limit // 3) if fence else ""
        room = limit - len(opening)
        if len(text) - start <= room:
            yield Piece(opening, text[start:], "")
            return
        end, fence = _best_cut(text, start, room, fence)
        closing = ""
        if fence is not None:
            closing = fence.marker if text[end - 1] == "\n" else f"\n{fence.marker}"
        yield Piece(opening, text[start:end], closing)
        start = end


def _best_cut(text: str, start: int, room: int, fence: _Fence | None) -> tuple[int, _Fence | None]:
    """Where the piece that begins at `start` ends, and the fence that is open there."""
    paragraph = line_end = fenced_line_end = None
    early = start + room // 3  # a cut before it would make messages too short
    at = start
    while True:
        newline = text.find("\n", at, start + room)
        stop = newline + 1 if newline >= 0 else start + room
        whole_line = at > start or start == 0 or text[start - 1] == "\n"
        after = _fence_after(text[at : stop - 1], fence) if whole_line and newline >= 0 else fence
        if whole_line and fence is None and after is not None and at > start:
            paragraph = (at, fence)  # before a fence that opens
        if newline < 0:
            break
        blank = newline == at
        fence = after
        at = stop
        if fence is None:
            line_end = (at, fence)
            if blank:
                paragraph = (at, fence)
        elif at + len(fence.marker) <= start + room:
            fenced_line_end = (at, fence)
    for found in (paragraph, line_end, fenced_line_end):
        if found is not None and found[0] >= early:
            return found
    whole_line = at > start or start == 0 or text[start - 1] == "\n"
    if whole_line and _FENCE.match(text, at):  # never inside the line that opens or closes a fence
        found = max(
            (f for f in (paragraph, line_end, fenced_line_end) if f), default=None, key=lambda f: f[0]
        )
        if found is not None:
            return found
    latest = start + room - (len(fence.marker) + 1 if fence else 0)
    return _cut_in_line(text, max(at, early), max(latest, start + 1)), fence


def _fence_after(line: str, fence: _Fence | None) -> _Fence | None:
    match = _FENCE.match(line)
    if match is None:
        return fence
    marker, info = match[1], match[2].rstrip()
    if fence is None:
        return None if marker[0] == "`" and "`" in info else _Fence(marker, info)
    closes = marker[0] == fence.marker[0] and len(marker) >= len(fence.marker) and not info.strip()
    return None if closes else fence


def _cut_in_line(text: str, earliest: int, latest: int) -> int:
    """After the last sentence between the two places, else after the last space, else at the latest."""
    if earliest < latest:
        ends = [m.end() for m in _SENTENCE_END.finditer(text, earliest, latest)]
        if ends:
            return ends[-1]
        for place in range(latest, earliest, -1):
            if text[place - 1] in " \t":
                return place
    if text[latest - 1] == "\r" and text[latest : latest + 1] == "\n" and latest - 1 > earliest:
        return latest - 1
    return latest
