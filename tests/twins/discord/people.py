"""People at their Discord clients: what they do, and what they see.

Every method returns when Discord has taken what was done; the bot learns of it as fast as the gateway tells
it. What a client does not offer (a command that is not synced, a button that is not there or is grey, a
channel that is hidden) raises `NotPossible`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from simcord.backend.access import channel_accessible, message_accessible
from simcord.backend.models import Message
from simcord.components import walk_components
from simcord.enums import AppCommandType, ComponentType, InteractionType

from tests.twins.discord import typed
from tests.twins.discord.authors import Id, Upload, Webhook
from tests.twins.discord.events import Json
from tests.twins.discord.interactions import Choice, Interaction, interact
from tests.twins.discord.modals import Modal, NotPossible
from tests.twins.discord.moderators import Moderator
from tests.twins.discord.seen import Seen, seen

__all__ = ["Choice", "Interaction", "Modal", "NotPossible", "Person", "Seen", "Upload", "Webhook"]

CLICK = InteractionType.MESSAGE_COMPONENT
COMMAND = InteractionType.APPLICATION_COMMAND


class Person(Moderator):
    """Somebody with an account. `discord.person("ada")` gives one; writing is in `authors.Author`, what
    moderators and admins do in `moderators.Moderator`.
    """

    _modal: tuple[Modal, Interaction] | None = None  # the form on the screen, and what opened it

    def dms(self, text: str, files: Collection[Upload] = ()) -> str:
        """Write to the bot directly; returns the message's id. The channel is `self.dm`."""
        return self.posts(self.dm, text, files)

    def closes_dms(self) -> None:
        """From now on the bot's direct messages are refused (50007)."""
        self.twin.backend.closed_dms.add(self.user)

    def opens_dms(self) -> None:
        """The bot's direct messages are welcome again."""
        self.twin.backend.closed_dms.discard(self.user)

    # ── the app ──────────────────────────────────────────────────────────────────────────────

    def clicks(
        self, message: Id, *, custom_id: str = "", label: str = "", option: str | Collection[str] = ()
    ) -> Interaction:
        """Press a button (or choose in a menu) of a message, by its custom_id or its label.

        Args:
            label: what stands on it; of a menu, its placeholder.
            option: of a menu: what is chosen, by value or label; one or several.

        Raises:
            NotPossible: it is not there, is grey, or is a link (which tells the bot nothing).
        """
        there = self._visible(message)
        pressed = _find(there.components, custom_id, label)
        data: Json = {
            "component_type": pressed["type"],
            "custom_id": pressed["custom_id"],
            "id": pressed["id"],
        }
        if pressed["type"] != ComponentType.BUTTON:
            data["values"] = _chosen(pressed, [option] if isinstance(option, str) else option)
        return self._interacts(CLICK, there.channel_id, data, there)

    def types_command(self, command: str, channel: Id | None = None, /, **options: Any) -> Interaction:
        """Give a slash command, e.g. `types_command("quartet ask", channel, text="…")`.

        Args:
            command: with its subcommands; `/` before it is welcome.
            channel: where; #general by default.
            options: by their names.
        """
        place = int(channel or self.twin.general)
        data = typed.command_data(self.twin.backend, self.user, self._in(place), command, options)
        return self._interacts(COMMAND, place, data)

    async def autocompletes(
        self, command: str, option: str, so_far: str, channel: Id | None = None, /, **others: Any
    ) -> list[Choice]:
        """What is offered while an option is typed; waits for the bot, at most 3 s.

        Raises:
            NotPossible: "Loading options failed": the bot did not answer in time.
        """
        place = int(channel or self.twin.general)
        given = {**others, option: so_far}
        data = typed.command_data(
            self.twin.backend, self.user, self._in(place), command, given, focused=option
        )
        kind = InteractionType.APPLICATION_COMMAND_AUTOCOMPLETE
        asked = await self._interacts(kind, place, data).wait()
        if asked.failed:
            raise NotPossible("Loading options failed")
        return asked.choices

    def uses_menu(self, name: str, message: Id) -> Interaction:
        """Choose the app's entry in a message's menu (Apps › name)."""
        there = self._visible(message)
        data = typed.menu_data(self.twin.backend, self.user, there, name)
        return self._interacts(COMMAND, there.channel_id, data)

    def commands(self, channel: Id | None = None) -> list[str]:
        """The app's slash commands that are offered here."""
        place = self._in(int(channel or self.twin.general))
        return typed.names(self.twin.backend, self.user, place, AppCommandType.CHAT_INPUT)

    @property
    def modal(self) -> Modal | None:
        """The form on this person's screen."""
        return self._modal[0] if self._modal is not None else None

    def submits(self, modal: Modal | None = None, values: Mapping[str, Any] | None = None) -> Interaction:
        """Fill the open form in and send it; it closes. When the bot fails to answer, it is there again.

        Args:
            modal: the form as it is open; None: whichever is.
            values: field (label or custom_id) → what is entered; what is left out stays as it is.

        Raises:
            NotPossible: it is not open, or the client's own checks refuse (required, lengths).
        """
        if self._modal is None or modal not in (None, self._modal[0]):
            raise NotPossible("this form is not the one on the screen")
        shown, opener = self._modal
        components = shown.filled(values or {})
        self._modal = None
        data: Json = {"custom_id": shown.custom_id, "components": components}
        channel = int(opener.payload["channel_id"])
        source = int(opener.payload["message"]["id"]) if "message" in opener.payload else 0
        message = self.twin.backend.messages.get(channel, {}).get(source)
        sent = self._interacts(InteractionType.MODAL_SUBMIT, channel, data, message)
        sent.when_settled(lambda sent: self._reopens(sent, shown, opener))
        return sent

    def closes_modal(self) -> None:
        """Press Cancel; the bot is told nothing."""
        self._modal = None

    # ── what is on the screen ────────────────────────────────────────────────────────────────

    def sees(self, channel: Id) -> list[Seen]:
        """The messages of a channel, thread or direct message, the ephemeral ones for this person among
        them; oldest first.

        Raises:
            NotPossible: the channel is hidden from this person, or its history is.
        """
        place = self._try(lambda: self.twin.backend.get_channel(int(channel)))
        self._must(place, "read_message_history")
        backend = self.twin.backend
        return [
            seen(backend, each)
            for _, each in sorted(backend.messages[place.id].items())
            if message_accessible(backend, place.id, each, self.user)
        ]

    def sees_message(self, message: Id) -> Seen:
        """One message, as it stands now."""
        return seen(self.twin.backend, self._visible(message))

    def sees_threads(self, channel: Id) -> dict[str, str]:
        """The channel's threads that this person may see, archived ones too: id → name."""
        place = self.twin.backend.get_channel(int(channel))
        self._must(place)
        found = [each for each in self.twin.backend.channels.values() if each.parent_id == place.id]
        shown: dict[str, str] = {}
        for thread in found:
            if thread.is_thread and channel_accessible(self.twin.backend, thread.id, self.user):
                shown[str(thread.id)] = thread.name or ""
        return shown

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _interacts(
        self, kind: InteractionType, channel: int, data: Json, message: Message | None = None
    ) -> Interaction:
        if self.twin.backend.users[self.user].bot:
            raise NotPossible("bots do not use other applications")
        return interact(self.twin, self.user, kind, channel, data, message=message, then=self._opens)

    def _opens(self, interaction: Interaction) -> None:
        form = interaction.modal
        if form is not None:
            self._modal = (form, interaction)

    def _reopens(self, sent: Interaction, shown: Modal, opener: Interaction) -> None:
        if sent.failed and self._modal is None:
            self._modal = (shown, opener)

    def _in(self, channel: int) -> int:
        place = self._try(lambda: self.twin.backend.get_channel(channel))
        self._must(place)
        return channel


def _find(components: list[Json], custom_id: str, label: str) -> Json:
    if bool(custom_id) == bool(label):
        raise NotPossible("say which: custom_id or label")
    pressable = [each for each in walk_components(components) if "custom_id" in each or "url" in each]
    found = [
        each
        for each in pressable
        if (custom_id and each.get("custom_id") == custom_id)
        or (label and label in (each.get("label"), each.get("placeholder")))
    ]
    if len(found) != 1:
        there = ", ".join(f"{each.get('label')!r} ({each.get('custom_id')})" for each in pressable)
        raise NotPossible(f"{len(found)} are {custom_id or label!r}; there are: {there or 'none'}")
    if found[0].get("disabled"):
        raise NotPossible(f"{custom_id or label!r} is grey")
    if "custom_id" not in found[0]:
        raise NotPossible(f"{label!r} is a link to {found[0].get('url')}; the bot is told nothing")
    return found[0]


def _chosen(menu: Json, options: Collection[str]) -> list[str]:
    if menu["type"] != ComponentType.STRING_SELECT:
        return [str(each) for each in options]  # ids of people, roles or channels
    by_name = {str(each["label"]): str(each["value"]) for each in menu["options"]}
    values = [by_name.get(each, each) for each in options]
    if strange := [each for each in values if each not in by_name.values()]:
        raise NotPossible(f"{strange} are not on offer: {', '.join(by_name)}")
    least, most = menu.get("min_values", 1), menu.get("max_values", 1)
    if not least <= len(values) <= most:
        raise NotPossible(f"choose {least} to {most}")
    return values
