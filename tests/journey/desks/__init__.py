"""What the shared journeys need of a platform: a `Desk` with the real bot, and `Talk`s of people with it.

A desk plays the platform and the people at their clients, who see what a client would show; it never looks
into the bot, except for how its runs stand in the database. A journey that a platform cannot make stands in
`cannot`, with the reason that people get to read in `docs/platforms.md`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from tests.calm import Watch
from tests.contract.adapter_harness import shows
from tests.twins.openai_server import ModelServer

Files = Sequence[tuple[str, str, bytes]]  # name, type, content

WITHIN_S = 30.0
LOOK_EVERY_S = 0.05
DECIDERS = ("ada", "bob")  # who may decide on every desk where there is more than one person; cem may not
ONE_OF_EACH = {"status": 1, "approval": 1, "answer": 1}
KNOWLEDGE = "# Tea\n\n## What tea is\n\nTea is a warm drink made of leaves.\n"
T = TypeVar("T")


class Talk(ABC):
    """One conversation that ada has begun."""

    key: str  # of the conversation, as the bot names it

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    # ── what people do ──

    @abstractmethod
    async def says(self, text: str, *, files: Files = ()) -> None:
        """Ada writes the next message."""

    @abstractmethod
    async def takes_back(self) -> None:
        """Ada deletes the last message of `says`."""

    @abstractmethod
    async def presses(self, label: str, *, by: Sequence[str] = ("ada",)) -> None:
        """Press the newest button with this label once it is there, all of these people at once."""

    @abstractmethod
    async def fills(self, values: Mapping[str, str]) -> None:
        """Ada waits for the form that her click opens, types these values over what stands there, sends it.

        A form that was sent and came back with errors is filled again.
        """

    @abstractmethod
    async def commands(self, words: str) -> None:
        """Ada gives a command, without the `/quartet` in front; the answer comes onto her screen."""

    @abstractmethod
    async def rates(self, *, good: bool) -> None:
        """Ada says what she thinks of the newest answer."""

    # ── what people see ──

    @abstractmethod
    async def screen(self, *, by: str = "ada") -> str:
        """All text this person sees of the conversation: cards, forms, notes, and what stands in files."""

    @abstractmethod
    async def cards(self) -> Counter[str]:
        """How often a card of each kind is there: status, approval, answer (or how else a run ended)."""

    async def sees(self, *texts: str, by: str = "ada") -> None:
        """Wait until all of these texts are on somebody's screen, wherever lines are wrapped."""

        async def there() -> bool:
            seen = await self.screen(by=by)
            return all(shows(seen, text) for text in texts)

        await self.until(there, f"{by} sees {', '.join(map(repr, texts))}", by=by)

    async def waits(self, *, asked: int = 1) -> None:
        """The newest run waits for people, and its cards are all there."""

        async def there() -> bool:
            return self.statuses()[-1:] == ["waiting"] and (await self.cards())["approval"] >= asked

        await self.until(there, "an approval")

    async def ended(self, *statuses: str, answers: int | None = None) -> None:
        """The runs of the conversation have ended so, and people were told.

        Args:
            answers: cards that tell so, where it is not one for each run.
        """
        told = len(statuses) if answers is None else answers

        async def there() -> bool:
            return self.statuses() == [*statuses] and (await self.cards())["answer"] >= told

        await self.until(there, f"runs that are {', '.join(statuses)}")
        await self.desk.at_rest()

    async def until(
        self, true: Callable[[], Awaitable[bool]], said: str, *, by: str = "ada", within_s: float = WITHIN_S
    ) -> None:
        """Wait until something is true; a failure shows what this person saw instead."""
        watch = Watch()
        while not await true():  # screens tell nobody when they change
            if watch.calm_s >= within_s:
                stands = f"runs: {self.statuses()}, cards: {dict(await self.cards())}"
                screen = "\n".join(line for line in (await self.screen(by=by)).splitlines() if line.strip())
                raise AssertionError(f"never: {said}\n\n{stands}\n\n{screen}\n\n{self.desk.log()}")
            await asyncio.sleep(LOOK_EVERY_S)

    def statuses(self) -> list[str]:
        """How the conversation's runs stand, oldest first."""
        query = "SELECT status FROM runs WHERE conversation_id = ? ORDER BY position"
        return [str(row[0]) for row in self.desk.rows(query, self.key)]

    def facts(self, kind: str) -> list[dict[str, Any]]:
        """The facts of a kind in the logs of the conversation's runs, oldest first."""
        place = "FROM events JOIN runs ON runs.n = events.run WHERE conversation_id = ? AND type = ?"
        found = self.desk.rows(f"SELECT body {place} ORDER BY events.id", self.key, kind)
        return [json.loads(body) for (body,) in found]


class Desk(ABC):
    """One platform with its people and the bot, open while the context lasts.

    Args:
        folder: for the bot's home, its settings and its knowledge.
    """

    column: ClassVar[str]  # as `tests/parity.py` has it
    cannot: ClassVar[Mapping[str, str]]  # journey (its test without `test_`) → why not, for everybody to read

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = ModelServer({"answers": {}}, strict=False)

    @property
    def home(self) -> Path:
        """The bot's home."""
        return self.folder / "home"

    async def __aenter__(self) -> Self:
        self.models.__enter__()
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        finally:
            self.models.__exit__(None, None, None)

    @abstractmethod
    async def open(self) -> None:
        """Set up the platform and start the bot."""

    @abstractmethod
    async def close(self) -> None:
        """Take all down."""

    @abstractmethod
    async def begins(self, text: str, *, files: Files = ()) -> Talk:
        """Ada begins a conversation with these words."""

    @abstractmethod
    async def kill(self) -> None:
        """SIGKILL: nothing is cleaned up."""

    @abstractmethod
    async def start(self) -> None:
        """The bot runs again, and talks with the platform."""

    @abstractmethod
    def log(self) -> str:
        """What the bot has logged."""

    # ── the bot's settings ──

    def settle(self, deciders: Sequence[str] = ()) -> dict[str, str]:
        """Write settings and knowledge; returns the variables for the bot's environment.

        Args:
            deciders: who alone may decide, as `platform:id`; none: everybody.
        """
        (self.folder / "knowledge").mkdir()
        (self.folder / "knowledge" / "tea.md").write_text(KNOWLEDGE, encoding="utf-8")
        (self.folder / "config").mkdir()
        settings = {"chat": {"approvers": [*deciders]}}
        (self.folder / "config" / "quartet.yaml").write_text(json.dumps(settings), encoding="utf-8")
        return {"KNOWLEDGE_DIR": str(self.folder / "knowledge"), **self.variables()}

    def variables(self) -> dict[str, str]:
        """Where the bot finds its models."""
        return {"OPENAI_API_KEY": self.models.key, "OPENAI_BASE_URL": f"{self.models.url}/v1"}

    # ── models and runs ──

    def prompts(self, agent: str) -> list[str]:
        """What a model was asked in the name of an agent, oldest first."""
        return [r["prompt"] for r in self.models.journal()["requests"] if r["agent"] == agent]

    async def asked(self, agent: str) -> None:
        """A model is being asked in the name of an agent."""
        async with asyncio.timeout(WITHIN_S):
            while not self.prompts(agent):  # noqa: ASYNC110 - the server is in a thread of its own
                await asyncio.sleep(LOOK_EVERY_S)

    async def at_rest(self) -> None:
        """All of every run is shown."""
        async with asyncio.timeout(WITHIN_S):
            while self.rows("SELECT 1 FROM runs WHERE unshown"):  # noqa: ASYNC110 - another process writes
                await asyncio.sleep(LOOK_EVERY_S)

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """What stands in the bot's database; nothing as long as there is none."""
        try:
            with closing(sqlite3.connect(f"file:{self.home / 'quartet.db'}?mode=ro", uri=True)) as db:
                return db.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "unable to open" in str(error) or "no such table" in str(error):
                return []
            raise
