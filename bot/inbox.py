"""What adapters hand in goes to the right place: turns, clicks, commands, forms. Implements `Inbound`."""

from __future__ import annotations

from adapters.contract import Click, Command, FormInput, Receipt, Turn
from bot.commands import Commands
from bot.decisions import Decisions
from bot.intake import Intake


class Inbox:
    """The bot's side of the seam."""

    def __init__(self, intake: Intake, decisions: Decisions, commands: Commands) -> None:
        self._intake = intake
        self._decisions = decisions
        self._commands = commands

    async def turn(self, turn: Turn) -> Receipt:
        """A message: a command in words, or a turn."""
        if turn.workflow is None and not turn.attachments and self._commands.is_command(turn.text):
            return await self.command(
                Command(
                    key=turn.key,
                    conversation=turn.conversation,
                    person=turn.person,
                    text=turn.text,
                    at=turn.at,
                )
            )
        return await self._intake.take(turn)

    async def click(self, click: Click) -> Receipt:
        """A button."""
        return await self._decisions.click(click, await self._commands.policy(click.conversation))

    async def command(self, command: Command) -> Receipt:
        """Words after `/quartet`."""
        return await self._commands.perform(command)

    async def form(self, given: FormInput) -> Receipt:
        """A form."""
        return await self._decisions.form(given)
