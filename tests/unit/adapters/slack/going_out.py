"""What tests of sending share: a twin of Slack, our API and Sender on it, and cards to show."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adapters import slack
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
from adapters.errors import NotAllowed
from adapters.slack.api import SlackApi
from adapters.slack.ports import BotToken
from adapters.slack.sending import Sender
from tests.twins.slack import Person, Seen, SlackTwin

SCHEMA = Path(str(slack.__file__)).parent / "schema.sql"
SCOPES = frozenset(
    {
        "chat:write",
        "files:write",
        "files:read",
        "im:write",
        "im:history",
        "channels:history",
        "groups:history",
        "channels:read",
        "users:read",
        "reactions:read",
    }
)


class TwinTokens:
    """The twin's own bot token (`ports.Tokens`)."""

    def __init__(self, twin: SlackTwin) -> None:
        self.twin = twin
        self.wrong = ""  # set: this is given instead
        self.gone = False

    async def bot(self, team: str, enterprise: str = "") -> BotToken:
        if self.gone:
            raise NotAllowed(f"Quartet is not installed in {team}: install it at /slack/install")
        bot = self.twin.bot
        user = self.twin.world.users[bot.bot_user]
        return BotToken(
            self.wrong or self.twin.bot_token, team, bot_user=user.id, bot_id=user.bot_id, app_id=bot.app
        )


@dataclass
class Desk:
    """Everything that is needed to send to the twin."""

    twin: SlackTwin
    tokens: TwinTokens
    api: SlackApi
    database: Database
    sender: Sender
    ada: Person
    thread: str
    home: Path
    progress: Literal["auto", "stream", "blocks"] = "blocks"

    @property
    def conversation(self) -> ConversationRef:
        return ConversationRef(
            platform="slack", workspace=self.twin.team.id, channel=self.twin.general, thread=self.thread
        )

    @property
    def direct(self) -> ConversationRef:
        return ConversationRef(platform="slack", workspace=self.twin.team.id, channel=self.ada.dm)

    def seen(self, conversation: ConversationRef | None = None) -> list[Seen]:
        """Ada's view, without the root of the thread."""
        place = conversation or self.conversation
        return [
            each for each in self.ada.sees(place.channel, place.thread or None) if each.ts != place.thread
        ]

    def methods(self) -> list[str]:
        """Every call so far, by name."""
        return [call.method for call in self.twin.calls]

    def forget_calls(self) -> None:
        self.twin.calls.clear()

    async def restart(self) -> None:
        """What a new process would have: the file and nothing else."""
        await self.sender.stop()
        await self.api.close()
        self.api = SlackApi(self.tokens, base_url=self.twin.api_url, patience_s=1.0, timeout_s=5)
        self.sender = self.new_sender()

    def new_sender(self) -> Sender:
        return Sender(self.api, self.database, progress=self.progress, clock=self.twin.world.now)

    async def ask_for(self, requester: str) -> None:
        """Somebody wrote to the bot in the thread."""
        row = (self.twin.team.id, self.twin.general, self.thread, requester, self.twin.team.id)

        def work(db: Any) -> None:
            db.execute(
                "INSERT OR REPLACE INTO threads (team, channel, thread, requester, requester_team, since)"
                " VALUES (?, ?, ?, ?, ?, 0)",
                row,
            )

        await self.database.write(work)


@contextlib.asynccontextmanager
async def desk(
    home: Path, *, progress: Literal["auto", "stream", "blocks"] = "blocks", scopes: frozenset[str] = SCOPES
) -> AsyncGenerator[Desk]:
    """A twin with ada's message in a channel, and a Sender that answers in its thread."""
    async with SlackTwin(mode="http", scopes=scopes, events=()) as twin:
        ada = twin.person("ada")
        thread = ada.posts(twin.general, "hello")
        tokens = TwinTokens(twin)
        api = SlackApi(tokens, base_url=twin.api_url, patience_s=1.0, timeout_s=5)
        database = Database(home / "slack.db", SCHEMA)
        await database.open()
        sender = Sender(api, database, progress=progress, clock=twin.world.now)
        made = Desk(twin, tokens, api, database, sender, ada, thread, home, progress)
        await made.ask_for(ada.id)
        try:
            yield made
        finally:
            await made.sender.stop()
            await made.api.close()
            await database.close()


STOP = Button(action="stop", target="run-1", label="Stop", style="danger")


def status_card(
    doing: str = "reading",
    *,
    state: str = "working",
    buttons: tuple[Button, ...] = (STOP,),
    status: str = "working",
) -> Card:
    rows = (
        AgentRow.model_validate({"name": "Researcher", "state": state, "doing": doing}),
        AgentRow(name="Planner", state="waiting"),
    )
    return Card(
        id=CardId("run-1:status"),
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
