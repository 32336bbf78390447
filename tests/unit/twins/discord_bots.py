"""Real bots for the tests of Discord's twin: discord.py as it is installed, pointed at the twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.twins.discord import DiscordTwin


class Bot(discord.AutoShardedClient):
    """Keeps what came in; says "Heard: …" where it is mentioned, if told to."""

    def __init__(self, intents: discord.Intents | None = None, **options: Any) -> None:
        options.setdefault("heartbeat_timeout", 5.0)
        options.setdefault("guild_ready_timeout", 0.05)
        super().__init__(intents=intents or content_intents(), enable_debug_events=True, **options)
        self.tree = app_commands.CommandTree(self)
        self.happened: list[str] = []  # the library's own events: ready, resumed, disconnect
        self.heard: list[discord.Message] = []
        self.texts: list[str] = []  # as they were when they came, without the bot's own
        self.edited: list[discord.RawMessageUpdateEvent] = []
        self.deleted: list[int] = []
        self.reactions: list[str] = []
        self.raw: list[str] = []  # names of gateway events, in order
        self.interactions: list[discord.Interaction[Any]] = []

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        # The library waits 5 s before every further IDENTIFY; the twin's limit is shorter.
        if not initial:
            await asyncio.sleep(0.06)

    async def on_ready(self) -> None:
        self.happened.append("ready")

    async def on_resumed(self) -> None:
        self.happened.append("resumed")

    async def on_socket_event_type(self, event: str) -> None:
        self.raw.append(event)

    async def on_message(self, message: discord.Message) -> None:
        self.heard.append(message)
        if message.author != self.user:
            self.texts.append(message.content)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        self.edited.append(event)

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        self.deleted.append(event.message_id)

    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        self.reactions.append(f"+{event.emoji}")

    async def on_raw_reaction_remove(self, event: discord.RawReactionActionEvent) -> None:
        self.reactions.append(f"-{event.emoji}")

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        self.interactions.append(interaction)


def content_intents() -> discord.Intents:
    """The library's default, and message content."""
    intents = discord.Intents.default()
    intents.message_content = True
    return intents


def point_at(twin: DiscordTwin, patch: Any) -> None:
    """Let discord.py take the twin for Discord: REST, and the gateway's address of last resort."""
    patch.setattr(Route, "BASE", twin.api_url)
    patch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(twin.gateway_url))


@asynccontextmanager
async def running(twin: DiscordTwin, bot: Bot, *, ready: bool = True) -> AsyncGenerator[Bot]:
    """A bot that is connected, until the block ends."""
    task = asyncio.get_running_loop().create_task(bot.start(twin.token))
    try:
        if ready:
            await twin.until(lambda: task.done() or "ready" in bot.happened)
            if task.done():
                task.result()
        yield bot
    finally:
        await bot.close()
        await asyncio.gather(task, return_exceptions=True)


class Panel(discord.ui.LayoutView):
    """A message of components v2 as bots make it: text, buttons, a grey one, a link, a menu."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        yes: discord.ui.Button[Any] = discord.ui.Button(label="Approve", custom_id="yes")
        later: discord.ui.Button[Any] = discord.ui.Button(label="Later", custom_id="later", disabled=True)
        page: discord.ui.Button[Any] = discord.ui.Button(label="Page", url="https://example.com/run")
        menu: discord.ui.Select[Any] = discord.ui.Select(
            custom_id="pick",
            placeholder="Pick one",
            options=[
                discord.SelectOption(label="Red", value="r"),
                discord.SelectOption(label="Blue", value="b"),
            ],
        )
        inside: list[discord.ui.Item[Any]] = [
            discord.ui.TextDisplay("**Plan**"),
            discord.ui.TextDisplay("Two steps."),
            discord.ui.ActionRow(yes, later, page),
            discord.ui.ActionRow(menu),
        ]
        self.add_item(discord.ui.Container(*inside, accent_colour=0x00FF00))


class Question(discord.ui.Modal):
    """A form with a text and a choice; keeps what was sent in `got`."""

    def __init__(self, got: list[tuple[str, list[str]]], title: str = "Ask", *, answers: bool = True) -> None:
        super().__init__(title=title)
        self.got = got
        self.answers = answers
        self.text: discord.ui.TextInput[Any] = discord.ui.TextInput(
            custom_id="text", default="Why?", min_length=2, max_length=20
        )
        self.kind: discord.ui.Select[Any] = discord.ui.Select(
            custom_id="kind",
            options=[
                discord.SelectOption(label="Full", value="full"),
                discord.SelectOption(label="Quick", value="q"),
            ],
        )
        fields: list[discord.ui.Item[Any]] = [
            discord.ui.Label(text="Your question", description="One sentence will do", component=self.text),
            discord.ui.Label(text="Workflow", component=self.kind),
        ]
        for field in fields:
            self.add_item(field)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        self.got.append((self.text.value, self.kind.values))
        if self.answers:
            await interaction.response.send_message("Noted.", ephemeral=True)
