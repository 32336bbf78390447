"""`/quartet` and "Ask Quartet about this", as Discord's users see them.

Nothing is done here: every command hands its interaction on as it came, and `typed` and `meaning` read
the words out of it. What the options are called must agree with `typed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import discord
from discord import app_commands

from adapters.contract import ChoiceKind
from adapters.discord import custom_ids
from adapters.discord.typed import ASK_ABOUT, COMMAND

LONGEST_TEXT = 6_000  # characters that Discord takes in one option
LONGEST_CHOICE = 100  # of a choice's name and value
MOST_CHOICES = 25

Interaction = discord.Interaction[Any]
Text = app_commands.Range[str, 1, LONGEST_TEXT]
Word = app_commands.Range[str, 1, LONGEST_CHOICE]


class Ears(Protocol):
    """Who hears what was pressed and typed."""

    async def pressed(self, interaction: Interaction) -> None:
        """Take an interaction."""
        ...

    async def choices(
        self, kind: ChoiceKind, interaction: Interaction, typed: str
    ) -> Sequence[tuple[str, str]]:
        """What somebody may mean who is typing: (value, label)."""
        ...


class PressedButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=custom_ids.PATTERN):
    """Every button of ours, also on messages from before a restart: `q:<action>:<target>`."""

    @classmethod
    async def from_custom_id(cls, interaction: Interaction, item: Any, match: Any, /) -> PressedButton:
        """The button on the message that it was pressed on."""
        return cls(item)

    async def callback(self, interaction: Interaction) -> None:
        """Hand it on."""
        ears: Any = interaction.client
        await ears.pressed(interaction)


class Tree(app_commands.CommandTree[Any]):
    """Our commands. One that the library cannot place is handed on all the same: the bot answers it."""

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """All of them count."""
        return True

    async def on_error(self, interaction: Interaction, error: app_commands.AppCommandError, /) -> None:
        """A command as Discord knew it before the last change of ours."""
        ears: Any = interaction.client
        await ears.pressed(interaction)


def add_to(tree: Tree, ears: Ears) -> None:
    """Register the command group and the message's menu."""
    tree.add_command(Quartet(ears))
    tree.add_command(_menu(ears))


def payload(tree: Tree) -> list[dict[str, Any]]:
    """The commands as Discord is told of them."""
    return [command.to_dict(tree) for command in tree.get_commands()]


def _menu(ears: Ears) -> app_commands.ContextMenu:
    async def ask_about(interaction: Interaction, message: discord.Message) -> None:
        await ears.pressed(interaction)

    menu = app_commands.ContextMenu(name=ASK_ABOUT, callback=ask_about)
    menu.allowed_installs = app_commands.AppInstallationType(guild=True, user=False)
    menu.allowed_contexts = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False)
    return menu


async def _workflows(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return await _choices("workflow", interaction, typed)


async def _runs(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return await _choices("run", interaction, typed)


async def _to_stop(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return await _choices("stop", interaction, typed)


async def _to_pause(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return await _choices("pause", interaction, typed)


async def _to_resume(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return await _choices("resume", interaction, typed)


async def _agents(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return await _choices("agent", interaction, typed)


async def _choices(kind: ChoiceKind, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    ears: Any = interaction.client
    found: Sequence[tuple[str, str]] = await ears.choices(kind, interaction, typed)
    return [
        app_commands.Choice(name=label[:LONGEST_CHOICE] or value, value=value)
        for value, label in found[:MOST_CHOICES]
        if 0 < len(value) <= LONGEST_CHOICE
    ]


# As the bot knows them; a test holds both against each other.
_STATUSES = [
    app_commands.Choice(name=status, value=status)
    for status in (
        "queued",
        "running",
        "waiting",
        "paused",
        "completed",
        "failed",
        "rejected",
        "stopped",
        "expired",
    )
]


@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
class Quartet(app_commands.Group):
    """The group `/quartet`, with one subcommand for each word that the bot knows."""

    def __init__(self, ears: Ears) -> None:
        super().__init__(name=COMMAND, description="Ask the agents, and steer what they do")
        self._ears = ears

    @app_commands.command(description="Ask for something; the answer comes in a thread")
    @app_commands.describe(
        text="What you want", workflow="How it is worked on; left out: as set for this channel"
    )
    @app_commands.autocomplete(workflow=_workflows)
    async def ask(self, interaction: Interaction, text: Text, workflow: Word | None = None) -> None:
        """Start a turn."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="Start a workflow that you choose")
    @app_commands.describe(
        workflow="Which one", text="Its inputs as KEY=VALUE, priority=…, deadline=…, then what you want"
    )
    @app_commands.autocomplete(workflow=_workflows)
    async def run(self, interaction: Interaction, workflow: Word, text: Text | None = None) -> None:
        """Start a turn with a workflow."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="Let a team assemble itself for a task")
    @app_commands.describe(text="What the team shall do")
    async def team(self, interaction: Interaction, text: Text) -> None:
        """Start a turn with the workflow `team`."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="Run again from a step on, with other inputs where given")
    @app_commands.describe(run="Which one", step="The step to begin anew", inputs="KEY=VALUE …")
    @app_commands.autocomplete(run=_runs)
    async def fork(self, interaction: Interaction, run: Word, step: Word, inputs: Text | None = None) -> None:
        """Fork a run."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="What works or waits in this conversation")
    @app_commands.describe(run="One run; left out: all that are open here")
    @app_commands.autocomplete(run=_runs)
    async def status(self, interaction: Interaction, run: Word | None = None) -> None:
        """Tell what works or waits."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="End a run now")
    @app_commands.describe(run="Which one; left out: the one that is open here")
    @app_commands.autocomplete(run=_to_stop)
    async def stop(self, interaction: Interaction, run: Word | None = None) -> None:
        """End a run."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="Start no new steps of a run")
    @app_commands.describe(run="Which one; left out: the one that is open here")
    @app_commands.autocomplete(run=_to_pause)
    async def pause(self, interaction: Interaction, run: Word | None = None) -> None:
        """Pause a run."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="Go on with a run that was paused")
    @app_commands.describe(run="Which one; left out: the one that is paused here")
    @app_commands.autocomplete(run=_to_resume)
    async def resume(self, interaction: Interaction, run: Word | None = None) -> None:
        """Resume a run."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="The latest runs of this channel")
    @app_commands.describe(status="Only these")
    @app_commands.choices(status=_STATUSES)
    async def runs(self, interaction: Interaction, status: str | None = None) -> None:
        """List runs."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="What can be run, and its versions")
    @app_commands.describe(
        about="NAME, versions NAME, diff NAME A B, rollback NAME N, remove NAME; left out: all"
    )
    @app_commands.autocomplete(about=_workflows)
    async def workflows(self, interaction: Interaction, about: Word | None = None) -> None:
        """List workflows, show one and its versions."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="Who works on a run")
    @app_commands.describe(agent="Only this one")
    @app_commands.autocomplete(agent=_agents)
    async def agents(self, interaction: Interaction, agent: Word | None = None) -> None:
        """List agents."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="Tokens and cost of this month, by model")
    async def usage(self, interaction: Interaction) -> None:
        """Tell what was used."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="The settings of this channel, or a change of one")
    @app_commands.describe(change="KEY=VALUE, or KEY= for the default; left out: all are shown")
    async def settings(self, interaction: Interaction, change: Text | None = None) -> None:
        """Show or change settings."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="The last time you were allowed or refused something here")
    async def why(self, interaction: Interaction) -> None:
        """Tell why."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="What can be typed after /quartet")
    @app_commands.describe(word="One command")
    async def help(self, interaction: Interaction, word: Word | None = None) -> None:
        """List the commands."""
        await self._ears.pressed(interaction)

    @app_commands.command(description="Your own page: what waits for you, your runs, your channels")
    async def home(self, interaction: Interaction) -> None:
        """Show the person's own page."""
        await self._ears.pressed(interaction)
