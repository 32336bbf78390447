"""What tests of sending share: a twin of Discord, our API and Sender on it, and cards to show."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from adapters import discord as adapter
from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardId,
    CardPart,
    ConversationRef,
    MarkdownPart,
    RowsPart,
)
from adapters.database import Database
from adapters.discord.api import DiscordApi
from adapters.discord.pace import Pace
from adapters.discord.sending import Sender
from adapters.urgency import Urgency
from tests.twins.discord import DiscordTwin
from tests.twins.discord.people import Person
from tests.twins.discord.seen import Seen

SCHEMA = Path(str(adapter.__file__)).parent / "schema.sql"
SEND = "POST /channels/{channel_id}/messages"
EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"
LIST = "GET /channels/{channel_id}/messages"
DELETE = "DELETE /channels/{channel_id}/messages/{message_id}"
QUICK = 50  # so many times as fast as Discord's limits, where a test does not measure them


@dataclass
class Desk:
    """Everything that is needed to send to the twin."""

    twin: DiscordTwin
    api: DiscordApi
    database: Database
    sender: Sender
    ada: Person
    thread: str
    quick: float

    @property
    def conversation(self) -> ConversationRef:
        return ConversationRef(
            platform="discord", workspace=self.twin.guild_id, channel=self.twin.general, thread=self.thread
        )

    def seen(self) -> list[Seen]:
        """What Ada sees of ours in the thread."""
        return [
            each
            for each in self.ada.sees(self.thread)
            if each.author_id == self.twin.bot_id and each.kind in (0, 19)
        ]

    def names(self) -> list[str]:
        """Every call so far, by METHOD /template."""
        return [call.name for call in self.twin.calls]

    def forget_calls(self) -> None:
        self.twin.calls.clear()

    async def restart(self) -> None:
        """What a new process would have: the file and nothing else."""
        await self.sender.stop()
        await self.api.close()
        self.api = make_api(self.twin, self.quick)
        self.sender = Sender(self.api, self.database, me=lambda: self.twin.bot_id, clock=self.now)

    def now(self) -> float:
        """Discord's clock."""
        return self.twin.backend.clock.now().timestamp()

    async def opens_dms(self) -> ConversationRef:
        """The direct conversation with Ada."""
        made = await self.api.call(
            "POST", "/users/@me/channels", {"recipient_id": str(self.ada.id)}, urgency=Urgency.PERSON
        )
        return ConversationRef(platform="discord", workspace="@me", channel=str(made["id"]))


def make_api(twin: DiscordTwin, quick: float = QUICK) -> DiscordApi:
    return DiscordApi(
        twin.token, base_url=twin.api_url, patience_s=1.0, timeout_s=5, recheck_s=0.1, pace=Pace(scale=quick)
    )


@contextlib.asynccontextmanager
async def desk(home: Path, *, quick: float = QUICK) -> AsyncGenerator[Desk]:
    """A twin with ada's message in a channel, and a Sender that answers in the thread on it."""
    async with DiscordTwin(time_scale=1 / quick) as twin:
        ada = twin.person("ada")
        root = str(ada.posts(twin.general, "hello"))
        api = make_api(twin, quick)
        made = await api.call(
            "POST",
            f"/channels/{twin.general}/messages/{root}/threads",
            {"name": "hello", "auto_archive_duration": 1440},
            urgency=Urgency.REPLY,
        )
        database = Database(home / "discord.db", SCHEMA)
        await database.open()
        there = Desk(
            twin, api, database, Sender(api, database, me=lambda: twin.bot_id), ada, made["id"], quick
        )
        there.sender = Sender(api, database, me=lambda: twin.bot_id, clock=there.now)
        there.forget_calls()
        try:
            yield there
            assert twin.violations == []
        finally:
            await there.sender.stop()
            await there.api.close()
            await database.close()


STOP = Button(action="stop", target="run-1", label="Stop", style="danger")


def status_card(
    doing: str = "reading",
    *,
    state: str = "working",
    buttons: tuple[Button, ...] = (STOP,),
    status: str = "working",
    run: str = "run-1",
) -> Card:
    rows = (
        AgentRow.model_validate({"name": "Researcher", "state": state, "doing": doing}),
        AgentRow(name="Planner", state="waiting"),
    )
    return Card(
        id=CardId(f"{run}:status"),
        kind="status",
        title="Llamas",
        status=status,
        parts=(RowsPart(rows=rows),),
        buttons=buttons,
    )


def answer_card(text: str = "Llamas eat **grass**.", *more: CardPart) -> Card:
    return Card(
        id=CardId("run-1:answer"), kind="answer", title="Answer", parts=(MarkdownPart(text=text), *more)
    )


def approval_card(status: str = "waiting", *, open: bool = True) -> Card:
    buttons = (
        Button(action="approve", target="a-1", label="Approve", style="primary"),
        Button(action="reject", target="a-1", label="Reject", style="danger"),
    )
    return Card(
        id=CardId("run-1:approval:a-1"),
        kind="approval",
        title="May I go on?",
        status=status,
        parts=(MarkdownPart(text="The plan"),),
        buttons=buttons if open else (),
    )


def long_text(paragraphs: int) -> str:
    return "\n\n".join(f"Paragraph {number}. " + "llama " * 150 for number in range(paragraphs))
