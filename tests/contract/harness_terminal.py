"""The terminal for the adapter suite: a real pseudo-terminal, read back by a small screen of our own.

`TerminalHarness` sits at a terminal; `PipedHarness` at one that cannot be repainted, with the
answers in a file. What is visible is what was written, after the
escape sequences were carried out; any that a terminal adapter has no use for is reported.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import fcntl
import io
import os
import re
import struct
import termios
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import ClassVar, Self, TextIO

from rich.cells import cell_len

from adapters.contract import (
    Card,
    CardId,
    CardKind,
    ChatAdapter,
    ConversationRef,
    Form,
    MessageRef,
    Person,
)
from adapters.terminal.adapter import TerminalAdapter, attach
from adapters.terminal.asking import END_OF_TEXT, Prompt
from adapters.terminal.inbound import LETTERS, Typed
from adapters.terminal.keyboard import Keyboard
from adapters.terminal.outbound import RULE
from adapters.terminal.screen import Screen
from tests.contract.adapter_harness import LIMIT_S, RecordingInbound, shows

WIDTH, HEIGHT = 100, 500
_SEQUENCE = re.compile(r"\x1b(?:\[([0-9;?]*)([A-Za-z])|\](.*?)(?:\x07|\x1b\\)|(.?))", re.DOTALL)
_CUT_OFF = re.compile(r"\x1b(?:\[[0-9;?]*|\][^\x07\x1b]*\x1b?)?")  # the rest comes with the next read
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]")


class PaintedScreen:
    """Carries out what a terminal would: lines, carriage returns, cursor up, erase line."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = [[]]
        self.row = 0
        self.column = 0
        self.surprises: list[str] = []
        self._rest = ""
        self.mark = 0
        self.at_mark = ""  # what was painted then; the next frame may have begun since

    def feed(self, text: str) -> None:
        text = self._rest + text
        self._rest = ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = _SEQUENCE.match(text, at)
                if found is None or _CUT_OFF.fullmatch(text, at):
                    self._rest = text[at:]  # maybe not whole yet
                    return
                self._obey(found)
                at = found.end()
            else:
                self._write(text[at])
                at += 1

    def _obey(self, found: re.Match[str]) -> None:
        numbers, letter = found[1], found[2]
        if letter == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif letter == "K" and numbers == "2":
            self.lines[self.row] = []
        elif letter == "m" or (letter in {"h", "l"} and numbers == "?25"):
            pass  # colours; the cursor hides and comes back
        elif letter == "z":
            self.mark = int(numbers)
            self.at_mark = self.text()
        else:
            self.surprises.append(found[0])

    def _write(self, char: str) -> None:
        if char == "\n":
            self.row += 1
            while len(self.lines) <= self.row:
                self.lines.append([])
        elif char == "\r":
            self.column = 0
        elif _CONTROLS.match(char):
            self.surprises.append(char)
        else:
            line = self.lines[self.row]
            line.extend(" " * (self.column - len(line)))
            if cell_len(char) == 0 and self.column > 0:
                line[self.column - 1] += char
                return
            line[self.column : self.column + 1] = [char]
            self.column += 1

    def text(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self.lines)


class TerminalHarness:
    """Everything at one terminal: keyboard, progress, answers."""

    name: ClassVar[str] = "terminal"
    column: ClassVar[str] = "Terminal"
    remembers: ClassVar[bool] = False
    replaces: ClassVar[frozenset[CardKind]] = frozenset({"status"})
    people_apart: ClassVar[bool] = False
    sent_stays: ClassVar[str] = "What was typed at a terminal is typed, and what it printed is paper"
    nowhere: ClassVar[str] = "no-such-conversation"
    crops: ClassVar[bool] = True
    commands_in_channel: ClassVar[bool] = False
    in_a_row: ClassVar[int] = 20
    lines_only: ClassVar[bool] = False
    _inbound: RecordingInbound
    _conversation: ConversationRef

    def __init__(self) -> None:
        self._inbound = RecordingInbound()
        self._conversation = ConversationRef(
            platform="terminal", workspace="local", channel="ask", thread="c1"
        )
        self._folder = TemporaryDirectory()
        self._master, self._slave = os.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self._painted = PaintedScreen()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._more = asyncio.Event()  # something was painted
        self._marks = 0  # written; each proves that all output before it was painted
        self._titles: dict[str, str] = {}  # title → card id, as far as the suite has posted
        self._last: Typed | None = None
        # One large buffer: a whole frame is one write, which no mark can fall into.
        raw = os.fdopen(os.dup(self._slave), "wb", buffering=1 << 23)
        self._terminal = io.TextIOWrapper(raw, encoding="utf-8", write_through=False)
        self._out = self._open_out()

    def _open_out(self) -> TextIO:
        return self._terminal

    @property
    def adapter(self) -> ChatAdapter:
        return self._adapter

    @property
    def inbound(self) -> RecordingInbound:
        return self._inbound

    @property
    def conversation(self) -> ConversationRef:
        return self._conversation

    async def __aenter__(self) -> Self:
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        self._adapter = await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._adapter.stop()
        self._terminal.close()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._slave)
        os.close(self._master)
        self._folder.cleanup()

    async def _start(self) -> _NotingAdapter:
        screen = Screen(self._out, self._terminal, lines_only=self.lines_only)
        person = Person(platform="terminal", id="ada", name="Ada")
        asker = Prompt(screen, Keyboard(self._slave), editor_command="")
        adapter = _NotingAdapter(self._conversation, person, screen=screen, asker=asker)
        adapter.titles = self._titles
        await adapter.start(self._inbound)
        return adapter

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._painted.feed(self._decoder.decode(os.read(self._master, 65_536)))
            self._more.set()

    # ── what people do ──

    async def person_posts(
        self, text: str, *, person: str = "ada", files: Sequence[tuple[str, str, bytes]] = ()
    ) -> None:
        paths: list[Path] = []
        for name, _, content in files:
            path = Path(self._folder.name) / name
            await asyncio.to_thread(path.write_bytes, content)
            paths.append(path)
        attached = tuple(attach(path) for path in paths)
        self._last = Typed(key=uuid.uuid4().hex, text=text, at=datetime.now(UTC), files=attached)
        await self._adapter.say(self._last)

    async def person_posts_again(self) -> None:
        assert self._last is not None
        await self._adapter.say(self._last)

    async def person_clicks(self, card_id: CardId, action: str, *, person: str = "ada") -> None:
        title = next(title for title, known in self._titles.items() if known == card_id)
        await self._until(lambda screen: _asks(screen, title))
        seen = len(self._inbound.clicks)
        self._type(LETTERS[action])
        await self._inbound.until(clicks=seen + 1)
        await self._answer_is_shown(title)

    async def person_fills(self, form: Form, values: Mapping[str, str]) -> None:
        seen = len(self._inbound.forms)
        for field in form.fields:
            text = values.get(field.name, "")
            self._type(text)
            if field.multiline and text:
                self._type(END_OF_TEXT)
        await self._inbound.until(forms=seen + 1)
        await self._answer_is_shown("")

    async def person_types_command(self, text: str) -> None:
        await self._adapter.command(text)

    def _type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    async def _answer_is_shown(self, title: str) -> None:
        """Wait for what the latest receipt brings onto the screen."""
        receipt = self._inbound.last_receipt
        form = receipt.form
        if form is not None:
            await self._until(lambda screen: shows(screen, form.title) and _last_line(screen).endswith("›"))
        for text in (receipt.text, *receipt.errors.values()):
            await self._until(lambda screen, text=text: shows(screen, text))
        if not receipt.accepted and title:
            await self._until(lambda screen: _asks(screen, title))

    # ── what people see ──

    async def visible_text(self, *, person: str = "ada") -> str:
        await self._all_painted()
        return self._painted.at_mark

    async def visible_cards(self) -> list[str]:
        screen = await self.visible_text()
        found: list[tuple[int, str]] = []
        for title, card_id in self._titles.items():
            found += [(m.start(), card_id) for m in re.finditer(re.escape(RULE + title), screen)]
        return [card_id for _, card_id in sorted(found)]

    async def executed(self) -> list[str]:
        await self._all_painted()
        return list(self._painted.surprises)

    async def _all_painted(self) -> None:
        """All that was written so far has gone through the terminal and is painted."""
        self._marks += 1
        mark = self._marks
        await asyncio.to_thread(os.write, self._slave, f"\x1b[{mark}z".encode())
        await self._until(lambda _: self._painted.mark >= mark)

    async def _until(self, true_of: Callable[[str], bool]) -> None:
        """Wait until this is true of the screen."""
        async with asyncio.timeout(LIMIT_S):
            while not true_of(self._painted.text()):
                self._more.clear()
                await self._more.wait()

    async def restart(self) -> None:
        await self._adapter.stop()
        self._adapter = await self._start()


class PipedHarness(TerminalHarness):
    """A terminal that cannot be repainted, and answers that go into a file."""

    name: ClassVar[str] = "pipe"
    replaces: ClassVar[frozenset[CardKind]] = frozenset()
    crops: ClassVar[bool] = False
    lines_only: ClassVar[bool] = True

    def _open_out(self) -> TextIO:
        return io.StringIO()

    async def visible_text(self, *, person: str = "ada") -> str:
        screen = await super().visible_text()
        assert isinstance(self._out, io.StringIO)
        return f"{self._out.getvalue()}\n{screen}"


class _NotingAdapter(TerminalAdapter):
    """The adapter, with a list of titles by which the harness finds cards on the screen."""

    titles: dict[str, str]

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        self.titles[card.title] = card.id
        return await super().post(conversation, card, nonce=nonce)


def _last_line(screen: str) -> str:
    return screen.rstrip().rsplit("\n", 1)[-1]


def _asks(screen: str, title: str) -> bool:
    """Whether the screen ends with the open question about the card (which may take several lines)."""
    end = "".join(screen.split())
    question = end.rfind("".join(f"{title}: [".split()))
    return question >= 0 and end.endswith("›") and "›" not in end[question:-1]
