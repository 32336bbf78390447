"""The terminal, for the shared journeys: `quartet ask` on a pseudo-terminal, one command for each message.

A conversation is what `--conversation NAME` holds together. Its screen is the painted screens of all of
its commands, one below the other.
"""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import pty
import re
import struct
import termios
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from adapters.terminal.asking import END_OF_TEXT
from adapters.terminal.inbound import LETTERS
from adapters.terminal.outbound import RULE
from tests.contract.adapter_harness import shows
from tests.contract.harness_terminal import HEIGHT, WIDTH, PaintedScreen
from tests.journey.bot_process import ROOT
from tests.journey.desks import WITHIN_S, Desk, Files, Talk
from tests.journey.warm import started

ACTIONS = {"Approve": "approve", "Edit": "edit", "Ask for changes": "changes", "Reject": "reject"}
CTRL_C = "\x03"
# What begins a card on the screen, by the card's kind.
TITLES = {"approval": "Approve the plan", "answer": "(?:Answer|Rejected|Stopped|This did not work)"}
# The fields of each form in their order: name, label, whether it takes many lines.
FORMS = (
    (
        ("goal", "Goal", False),
        ("outline", "Outline", True),
        ("tasks", "Tasks", True),
        ("risks", "Risks", True),
    ),
    (("comment", "What should be different?", True),),
)
ONE_PERSON = "One person sits at a terminal"
PAPER = (
    "In a terminal the command is the bot and the screen at once: both end with it. The run is kept, and "
    "`quartet up` goes on with it"
)


class Window:
    """One command on a pseudo-terminal of its own."""

    def __init__(self, words: Sequence[str], desk: TerminalDesk) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        terminal = Path(os.ttyname(slave))
        self.running = started(words, folder=desk.folder, env=desk.env, given=terminal, into=terminal)
        self._slave = slave  # ours as well, until the command ends: what nobody has open is closed
        os.set_blocking(self._master, False)
        self.painted = PaintedScreen()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.closed = asyncio.Event()  # by the command
        loop = asyncio.get_running_loop()
        loop.add_reader(self._master, self._read)
        loop.add_reader(self.running.sentinel, self._ended)

    @property
    def screen(self) -> str:
        """What is painted."""
        return self.painted.text()

    @property
    def asks(self) -> bool:
        """Whether the cursor stands behind a question."""
        return self.screen.rstrip().endswith("›")

    def types(self, text: str) -> None:
        """Keys, as they are pressed."""
        os.write(self._master, text.encode())

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self.running.sentinel)
        os.close(self._slave)

    def _read(self) -> None:
        try:
            got = os.read(self._master, 65_536)
        except BlockingIOError:
            return
        except OSError:  # how Linux says that the other side is closed
            got = b""
        self.painted.feed(self._decoder.decode(got))
        if not got:
            asyncio.get_running_loop().remove_reader(self._master)
            self.closed.set()

    async def kill(self) -> None:
        """SIGKILL."""
        self.running.kill()
        await asyncio.to_thread(self.running.join)

    async def close(self) -> None:
        """End what still runs."""
        await self.kill()
        if asyncio.get_running_loop().remove_reader(self.running.sentinel):
            os.close(self._slave)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)


class TerminalTalk(Talk):
    """The commands of one conversation."""

    desk: TerminalDesk

    def __init__(self, desk: TerminalDesk, name: str) -> None:
        super().__init__(desk)
        self.name = name
        self.key = f"terminal:local:ask:{name}"
        self._windows: list[Window] = []

    async def says(self, text: str, *, files: Files = ()) -> None:
        words = [text]
        for name, _, content in files:
            (self.desk.folder / name).write_bytes(content)
            words += ["--file", name]
        if self._windows:  # the next command is typed when the last one has ended
            await asyncio.wait_for(self._asking.closed.wait(), WITHIN_S)
        self._windows.append(self._window(*words))

    async def takes_back(self) -> None:
        raise AssertionError("what was typed is typed")

    async def presses(self, label: str, *, by: Sequence[str] = ("ada",)) -> None:
        if label == "Stop":
            await self.sees("Stop: Ctrl-C")
            self._asking.types(CTRL_C)
            return
        letter = LETTERS[ACTIONS[label]]

        async def asked() -> bool:
            return self._asking.asks and shows(self._asking.screen, f"[{letter}] {label}")

        await self.until(asked, f"a question with [{letter}] {label}")
        self._asking.types(f"{letter}\n" * len(by))

    async def fills(self, values: Mapping[str, str]) -> None:
        [fields] = [form for form in FORMS if set(values) <= {name for name, _, _ in form}]
        for name, label, many in fields:
            question = "".join(f"{label} ›".split())

            async def asked(question: str = question) -> bool:
                return "".join(self._asking.screen.split()).endswith(question)

            await self.until(asked, f"the field {label}")
            keeps = "".join(self._asking.screen.split()).endswith(f"Enterkeepswhatisthere.{question}")
            if name in values:
                lines = [*values[name].split("\n"), *([END_OF_TEXT] if many else [])]
            else:
                lines = [END_OF_TEXT if many and not keeps else ""]
            self._asking.types("".join(f"{line}\n" for line in lines))

    async def commands(self, words: str) -> None:
        window = self._window(words)
        self._windows.insert(0, window)  # the newest stays the one that asks
        await asyncio.wait_for(window.closed.wait(), WITHIN_S)

    async def rates(self, *, good: bool) -> None:
        raise AssertionError("there is nothing to press")

    async def screen(self, *, by: str = "ada") -> str:
        return "\n".join(window.screen for window in self._windows)

    async def cards(self) -> Counter[str]:
        screen = await self.screen()
        found = {kind: len(re.findall(f"^{RULE}{title} · ", screen, re.M)) for kind, title in TITLES.items()}
        # What has another title than these is the status card of a run.
        cards = len(re.findall(f"^{RULE}\\S.* · ", screen, re.M))
        return +Counter({"status": cards - sum(found.values()), **found})

    async def ended(self, *statuses: str, answers: int | None = None) -> None:
        await super().ended(*statuses, answers=answers)
        await asyncio.wait_for(self._asking.closed.wait(), WITHIN_S)  # until then a frame may be half painted

    @property
    def _asking(self) -> Window:
        return self._windows[-1]

    def _window(self, *words: str) -> Window:
        window = Window(["ask", "--conversation", self.name, *words], self.desk)
        self.desk.windows.append(window)
        return window


class TerminalDesk(Desk):
    """One person at a terminal."""

    column: ClassVar[str] = "Terminal"
    cannot: ClassVar[Mapping[str, str]] = {
        "who_may_not_decide_is_told_alone_and_nothing_changes": ONE_PERSON,
        "a_message_that_waits_is_withdrawn_by_deleting_it": (
            "At a terminal the next message is given when the last one is answered; Ctrl-C stops it"
        ),
        "killed_while_it_waits_there_is_one_of_each_card_and_the_buttons_live": PAPER,
        "killed_while_it_works_there_is_one_of_each_card_and_one_answer": PAPER,
        "what_people_think_of_an_answer_is_kept": "A printed answer has no buttons",
    }

    async def open(self) -> None:
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")}
        own = {"QUARTET_HOME": str(self.home), "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        self.env = {**keep, **own, **self.settle()}
        self.windows: list[Window] = []
        self._talks = 0

    async def close(self) -> None:
        for window in self.windows:
            await window.close()
        assert [window.painted.surprises for window in self.windows if window.painted.surprises] == []

    async def begins(self, text: str, *, files: Files = ()) -> Talk:
        self._talks += 1
        talk = TerminalTalk(self, f"talk-{self._talks}")
        await talk.says(text, files=files)
        return talk

    async def kill(self) -> None:
        for window in self.windows:
            await window.kill()

    async def start(self) -> None:
        raise AssertionError(PAPER)

    def log(self) -> str:
        return "(a command logs errors on its screen)"
