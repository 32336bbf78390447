"""The settings of a channel, changed with a form from outside the channel: from a person's own page."""

from __future__ import annotations

from adapters.contract import Click, ConversationRef, Form, FormInput, Person, Receipt
from bot import channel_settings, settings_form
from bot.channel_settings import ChannelPolicy
from bot.commands import Commands
from bot.permissions import Permission, Permissions
from orchestrator.errors import OrchestratorError, StoreFailed
from orchestrator.service import Service


class ChannelForms:
    """Opens and takes settings forms.

    Args:
        service: the core.
        permissions: who may change settings.
        commands: read KEY=VALUE, and know what may stand there.
        defaults: the policy of a channel where nothing was set.
    """

    def __init__(
        self, service: Service, permissions: Permissions, commands: Commands, defaults: ChannelPolicy
    ) -> None:
        self._service = service
        self._permissions = permissions
        self._commands = commands
        self._defaults = defaults

    async def click(self, click: Click) -> Receipt:
        """Open the form of the channel that `click.target` names.

        Raises:
            StoreFailed: it can be tried again.
        """
        channel = channel_of(click.target)
        if channel is None or not _same_workspace(channel, click.conversation):
            return _no("This channel is not known here.")
        stored = await self._service.store.settings(channel.channel_key)
        allowed = self._may(channel, click.person, channel_settings.effective(self._defaults, stored))
        if not allowed.ok:
            return _no(allowed.reason)
        return Receipt(accepted=True, form=self._form(channel, stored))

    async def form(self, given: FormInput) -> Receipt:
        """Take a filled form. Errors come back at their fields; nothing is changed then.

        Raises:
            StoreFailed: nothing was changed; it can be tried again.
        """
        channel = channel_of(given.form_id.removeprefix(settings_form.PREFIX))
        if channel is None or not _same_workspace(channel, given.conversation):
            return _no("This form is not known here; open it again.")
        try:
            return await self._save(channel, given)
        except StoreFailed:
            raise  # no refusal: it can be tried again
        except OrchestratorError as error:
            return _no(str(error))

    async def _save(self, channel: ConversationRef, given: FormInput) -> Receipt:
        store = self._service.store
        stored = await store.settings(channel.channel_key)
        policy = channel_settings.effective(self._defaults, stored)
        allowed = self._may(channel, given.person, policy)
        if not allowed.ok:
            return _no(allowed.reason)
        changes, errors = settings_form.changes(
            self._form(channel, stored),
            given.values,
            lambda key, value: self._commands.change_of(key, value, channel.platform),
        )
        if errors:
            return Receipt(accepted=False, errors=errors)
        if not changes:
            return Receipt(accepted=True, text="Nothing was changed.")
        # Sent again after others changed something, it would take their changes back.
        if await store.first_time(given.key):
            await store.change_settings(channel.channel_key, changes)
        now = await self._commands.policy(channel)
        return Receipt(accepted=True, text=f"Set for this channel: {channel_settings.told(changes, now)}.")

    def _form(self, channel: ConversationRef, stored: channel_settings.Stored) -> Form:
        return settings_form.settings_form(
            channel.channel_key,
            self._defaults,
            stored,
            workflows=self._service.workflows,
            agents=self._service.agents.names(),
        )

    def _may(self, channel: ConversationRef, person: Person, policy: ChannelPolicy) -> Permission:
        return self._permissions.change(channel.key, person, policy)


def channel_of(channel_key: str) -> ConversationRef | None:
    """A channel by its key; None: it is none."""
    try:
        channel = ConversationRef.from_key(f"{channel_key}:")
    except ValueError:
        return None
    return channel if channel.channel and channel.channel_key == channel_key else None


def _same_workspace(channel: ConversationRef, conversation: ConversationRef) -> bool:
    """Settings are changed from anywhere in the workspace: whoever may, is looked up with the channel."""
    return (channel.platform, channel.workspace) == (conversation.platform, conversation.workspace)


def _no(text: str) -> Receipt:
    return Receipt(accepted=False, text=text)
