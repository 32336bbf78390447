"""What adapters hand in goes to the right place: turns, clicks, commands, forms. Implements `Inbound`."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.contract import (
    Choice,
    ChoiceKind,
    Click,
    Command,
    ConversationRef,
    Feedback,
    FormInput,
    Home,
    Person,
    Receipt,
    Turn,
    Withdrawal,
)
from bot import settings_form
from bot.channel_forms import ChannelForms
from bot.commands import Commands
from bot.decisions import Decisions
from bot.home import Homes
from bot.intake import Intake


class Inbox:
    """The bot's side of the seam."""

    def __init__(
        self, intake: Intake, decisions: Decisions, commands: Commands, forms: ChannelForms, homes: Homes
    ) -> None:
        self._intake = intake
        self._decisions = decisions
        self._commands = commands
        self._forms = forms
        self._homes = homes

    async def turn(self, turn: Turn) -> Receipt:
        """A message: a command in words, or a turn."""
        named = self._commands.read_turn(turn)
        if isinstance(named, Receipt):
            return named
        if named is not None:
            return await self._intake.take(named)
        if not turn.attachments and self._commands.is_command(turn.text):
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
        if click.action == "settings" and not click.quiet:
            return await self._forms.click(click)
        return await self._decisions.click(click, await self._commands.policy(click.conversation))

    async def command(self, command: Command) -> Receipt:
        """Words after `/quartet`."""
        return await self._commands.perform(command)

    async def form(self, given: FormInput) -> Receipt:
        """A form."""
        if given.form_id.startswith(settings_form.PREFIX):
            return await self._forms.form(given)
        return await self._decisions.form(given)

    async def withdraw(self, given: Withdrawal) -> Receipt:
        """A message that was deleted."""
        return await self._intake.withdraw(given)

    async def feedback(self, given: Feedback) -> Receipt:
        """An opinion on an answer."""
        return await self._decisions.feedback(given)

    async def choices(self, kind: ChoiceKind, conversation: ConversationRef, typed: str) -> Sequence[Choice]:
        """What may be meant in a command that is being typed."""
        return await self._commands.choices(kind, conversation, typed)

    async def home(self, workspace: str, person: Person) -> Home:
        """A person's own page."""
        return await self._homes.home(workspace, person)
