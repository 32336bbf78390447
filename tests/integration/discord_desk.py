"""One Discord on loopback, one adapter on it, one bot behind it whose answers are scripted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from adapters.contract import (
    Button,
    Card,
    CardId,
    ChatAdapter,
    Choice,
    ChoiceKind,
    Click,
    Command,
    ConversationRef,
    FactsPart,
    Feedback,
    Form,
    FormField,
    FormInput,
    Home,
    MarkdownPart,
    Person,
    Receipt,
    Turn,
    Withdrawal,
)
from adapters.discord import client
from adapters.discord.adapter import discord_adapter
from tests.twins.discord import DiscordTwin
from tests.twins.discord.seen import Seen

LIMIT_S = 60.0
T = TypeVar("T")

EDIT = Form(
    id="edit:a1",
    title="Edit the plan",
    fields=(
        FormField(name="goal", label="Goal", value="feed llamas"),
        FormField(name="note", label="Note", required=False),
    ),
)


def approval(**more: Any) -> Card:
    """A question with two buttons."""
    return Card(
        id=CardId("r:approval:a1"),
        kind="approval",
        title="Is the plan right?",
        parts=(MarkdownPart(text="Feed the llamas."),),
        buttons=(
            Button(action="approve", target="a1", label="Approve", style="primary"),
            Button(action="edit", target="a1", label="Edit", needs_form=True),
        ),
        **more,
    )


class Bot:
    """The bot's side: keeps what came in; answers are scripted by `answers`, by kind."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.clicks: list[Click] = []
        self.commands: list[Command] = []
        self.forms: list[FormInput] = []
        self.withdrawals: list[Withdrawal] = []
        self.feedbacks: list[Feedback] = []
        self.homes: list[tuple[str, Person]] = []
        self.offered: list[Choice] | Exception = []
        self.asked_choices: list[tuple[ChoiceKind, str]] = []
        self.receipts: dict[str, deque[Receipt | Exception]] = {}
        self.slow_s: dict[str, float] = {}
        self.begun: list[str] = []  # the kind of all that was handed in, before it is answered
        self.home_shown = Home(usage=FactsPart(facts=(("Tokens", "12"),)))

    def answers(self, kind: str, *receipts: Receipt | Exception) -> None:
        """What comes next for a kind."""
        self.receipts.setdefault(kind, deque()).extend(receipts)

    async def _answer(self, kind: str, kept: list[Any], given: Any) -> Receipt:
        self.begun.append(kind)
        await asyncio.sleep(self.slow_s.get(kind, 0))  # the bot itself takes time: a model, a slow disk
        script = self.receipts.get(kind)
        answer = script.popleft() if script else Receipt(accepted=True, run_id=f"r-{len(kept)}")
        if isinstance(answer, Exception):
            raise answer
        kept.append(given)
        return answer

    async def turn(self, turn: Turn) -> Receipt:
        return await self._answer("turn", self.turns, turn)

    async def click(self, click: Click) -> Receipt:
        return await self._answer("click", self.clicks, click)

    async def command(self, command: Command) -> Receipt:
        return await self._answer("command", self.commands, command)

    async def form(self, given: FormInput) -> Receipt:
        return await self._answer("form", self.forms, given)

    async def withdraw(self, given: Withdrawal) -> Receipt:
        return await self._answer("withdraw", self.withdrawals, given)

    async def feedback(self, given: Feedback) -> Receipt:
        return await self._answer("feedback", self.feedbacks, given)

    async def home(self, workspace: str, person: Person) -> Home:
        self.homes.append((workspace, person))
        return self.home_shown

    async def choices(self, kind: ChoiceKind, conversation: ConversationRef, typed: str) -> Sequence[Choice]:
        self.asked_choices.append((kind, typed))
        if isinstance(self.offered, Exception):
            raise self.offered
        return self.offered


class Desk:
    """One Discord, one adapter, one bot."""

    def __init__(self, discord: DiscordTwin, home: Path, **settings: Any) -> None:
        self.discord = discord
        self.home = home
        self.bot = Bot()
        self.adapter = self.build(**settings)

    def build(self, **settings: Any) -> ChatAdapter:
        """An adapter for this Discord, not started."""
        return discord_adapter(self.home, token=self.discord.token, api_url=self.discord.api_url, **settings)

    async def until(self, predicate: Callable[[], T | None]) -> T:
        """What the predicate gives, as soon as it is true."""
        return await self.discord.until(predicate, within_s=LIMIT_S)

    async def restart(self, **settings: Any) -> None:
        """The bot's process ends and another begins."""
        await self.adapter.stop()
        self.adapter = self.build(**settings)
        await self.adapter.start(self.bot)

    async def asked(self, text: str = "hello", who: str = "ada") -> ConversationRef:
        """A mention in #general, taken by the bot."""
        count = len(self.bot.turns)
        self.discord.person(who).mentions(self.discord.general, text)
        await self.until(lambda: len(self.bot.turns) > count)
        return self.bot.turns[-1].conversation

    def seen(self, who: str, channel: str) -> list[Seen]:
        """What somebody sees there."""
        return self.discord.person(who).sees(channel)

    def ephemeral(self, who: str, channel: str) -> list[Seen]:
        """What somebody alone sees there."""
        return [seen for seen in self.seen(who, channel) if seen.ephemeral]

    def directly(self, who: str) -> list[str]:
        """What the bot wrote to somebody directly."""
        person = self.discord.person(who)
        return [seen.text for seen in self.seen(who, person.dm) if seen.author_id == self.discord.bot_id]

    async def quiet(self) -> None:
        """Until everything that was done before has reached the adapter: what is done after it has."""
        marker = self.discord.person("marker")
        count = len(self.bot.turns)
        marker.dms(f"marker {count}")
        await self.until(lambda: any(turn.text == f"marker {count}" for turn in self.bot.turns))
        self.bot.turns = [turn for turn in self.bot.turns if turn.text != f"marker {count}"]


@asynccontextmanager
async def at_desk(home: Path, *, twin: dict[str, Any] | None = None, **settings: Any) -> AsyncGenerator[Desk]:
    """A desk with a started adapter; at the end no call has broken Discord's description."""
    given = {"time_scale": 0.01, **(twin or {})}
    # How long after the last server that was told of the library takes it for the last one.
    with patch.object(client, "GUILDS_S", 0.05):
        async with _open(home, given, settings) as desk:
            yield desk


@asynccontextmanager
async def _open(home: Path, twin: dict[str, Any], settings: dict[str, Any]) -> AsyncGenerator[Desk]:
    async with DiscordTwin(**twin) as discord:
        desk = Desk(discord, home, **settings)
        await desk.adapter.start(desk.bot)
        try:
            yield desk
        finally:
            await desk.adapter.stop()
        assert not discord.violations, discord.violations
