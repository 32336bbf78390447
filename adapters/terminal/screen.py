"""The one place that writes to the terminal: progress on `err`, answers on `out`.

On a terminal the status cards live in a region at the bottom that is repainted; while a question
waits for its answer the region is away, so that typing is not disturbed. Elsewhere there are only
lines. All methods block and are meant for a thread; the adapter calls one at a time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.text import Text

from adapters.contract import Card
from adapters.terminal import outbound

FRAMES_PER_S = 8


class _Console(Console):
    @property
    def size(self) -> ConsoleDimensions:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Of the terminal that is written to; rich asks the program's own stdin, stdout, stderr."""
        with contextlib.suppress(OSError, ValueError):
            width, height = os.get_terminal_size(self.file.fileno())
            if width > 0 and height > 0:
                return ConsoleDimensions(width, height)
        return super().size

    def on_broken_pipe(self) -> None:
        """Tell the caller; rich would end the program."""
        raise BrokenPipeError


class Screen:
    """What a person sees.

    Args:
        out: where answers go.
        err: where progress and questions go.
        lines_only: repaint nothing even on a terminal, as on a dumb one.
        clock: the time now (aware), for agents that count on.
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        lines_only: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._out = _Console(file=out, highlight=False, markup=False, emoji=False)
        self._err = _Console(file=err, highlight=False, markup=False, emoji=False)
        self._clock = clock
        self.repaints = self._err.is_terminal and not self._err.is_dumb_terminal and not lines_only
        self._live: Live | None = None
        self._cards: list[Card] = []
        self._busy = ""
        self._question = ""  # the prompt that waits for a line

    # ── the live region ──

    def paint(self, cards: list[Card], busy: str) -> None:
        """Show these status cards in the live region from now on. Only where the screen `repaints`."""
        self._cards, self._busy = cards, busy
        if self._question:
            return
        if self._live is not None:
            self._live.refresh()
        elif cards or busy:
            self._live = Live(
                console=self._err,
                get_renderable=self._region,
                refresh_per_second=FRAMES_PER_S,
                transient=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            with self._quietly():
                self._live.start(refresh=True)

    def _region(self) -> RenderableType:
        now = self._clock()
        views: list[RenderableType] = [outbound.live_view(card, now) for card in self._cards]
        if self._busy:
            views.append(outbound.busy_view(self._busy))
        return Group(*views)

    def _take_live_away(self, *, keep: bool) -> None:
        if self._live is not None:
            self._live.transient = not keep
            with self._quietly():
                self._live.stop()
            self._live = None

    # ── what stays ──

    def say(self, what: RenderableType) -> None:
        """Print text or a card among the progress, above the live region or the waiting question."""
        with self._quietly():
            if self._question:
                self._err.file.write("\n")
            if isinstance(what, str) and not self._err.is_terminal:
                self._err.file.write(what + "\n")  # whole lines: nothing is wrapped for a pipe
                self._err.file.flush()
            else:
                self._err.print(Text(what) if isinstance(what, str) else what)
            if self._question:
                self._write_question()

    def answer(self, card: Card) -> None:
        """Print an answer: rendered on a terminal, Markdown source elsewhere.

        Raises:
            BrokenPipeError: nobody reads it any more.
        """
        if not self._out.is_terminal:
            self._out.file.write(outbound.answer_markdown(card))
            self._out.file.flush()
            return
        self._take_live_away(keep=False)  # the answer stands above it: both may be one terminal
        self._out.print(outbound.answer_view(card))
        self._out.file.flush()
        if self.repaints:
            self.paint(self._cards, self._busy)

    def reply(self, text: str) -> None:
        """Print a command's answer."""
        self._out.file.write(outbound.clean(text) + "\n")
        self._out.file.flush()

    # ── questions ──

    def ask(self, question: str) -> None:
        """Show a question; the live region goes away until `answered`."""
        self._take_live_away(keep=False)
        self._question = question
        with self._quietly():
            self._write_question()

    def answered(self, *, typed: bool) -> None:
        """The question was answered, by a typed line or (not `typed`) elsewhere."""
        self._question = ""
        with self._quietly():
            if not typed:
                self._err.file.write("\n")
                self._err.file.flush()
        if self.repaints:
            self.paint(self._cards, self._busy)

    def _write_question(self) -> None:
        self._err.file.write(f"{self._question} › ")
        self._err.file.flush()

    def close(self) -> None:
        """Leave the screen tidy. May be called twice."""
        self._busy = ""  # the last frame stays, without what moves
        self._take_live_away(keep=True)
        self._cards = []

    def _quietly(self) -> contextlib.AbstractContextManager[None]:
        """Progress that nobody can read any more is no reason to end the run."""
        return contextlib.suppress(BrokenPipeError, ConnectionResetError)
