"""What moderators and admins do to channels, messages and the bot; each needs the permission for it."""

from __future__ import annotations

from simcord.backend.models import Overwrite
from simcord.enums import OverwriteType

from tests.twins.discord import threads
from tests.twins.discord.authors import Author, Id
from tests.twins.discord.modals import NotPossible
from tests.twins.discord.world import permission_bits


class Moderator(Author):
    """Somebody with rights. `discord.person("root", permissions=["administrator"])` gives one."""

    _bot_roles: list[int] | None = None  # of the bot that this person removed

    def archives(self, thread: Id) -> None:
        """Close a thread; it opens again when somebody writes in it."""
        self._edits_thread(thread, archived=True)

    def unarchives(self, thread: Id) -> None:
        """Open a thread again."""
        self._edits_thread(thread, archived=False)

    def locks(self, thread: Id) -> None:
        """Lock a thread: only who may manage threads writes in it, and opens it."""
        self._edits_thread(thread, locked=True)

    def unlocks(self, thread: Id) -> None:
        """Unlock a thread."""
        self._edits_thread(thread, locked=False)

    def renames(self, channel: Id, name: str) -> None:
        """Give a channel or thread another name."""
        place = self.twin.backend.get_channel(int(channel))
        self._must(place, "manage_threads" if place.is_thread else "manage_channels")
        self.twin.backend.edit_channel(place.id, {"name": name})

    def delete_message(self, message: Id) -> None:
        """Delete anybody's message."""
        there = self._visible(message)
        self._must(self.twin.backend.get_channel(there.channel_id), "manage_messages")
        self.twin.backend.delete_message(there.channel_id, there.id)

    def delete_messages(self, *messages: Id) -> None:
        """Delete several messages of one channel at once: MESSAGE_DELETE_BULK."""
        places = {self._visible(each).channel_id for each in messages}
        if len(places) != 1:
            raise NotPossible("messages of one channel at a time")
        (place,) = places
        self._must(self.twin.backend.get_channel(place), "manage_messages")
        self.twin.backend.bulk_delete_messages(place, [int(each) for each in messages])

    def delete_channel(self, channel: Id) -> None:
        """Delete a channel or thread."""
        place = self.twin.backend.get_channel(int(channel))
        self._must(place, "manage_threads" if place.is_thread else "manage_channels")
        inside = [each.id for each in self.twin.backend.channels.values() if each.parent_id == place.id]
        for thread in inside:
            if self.twin.backend.channels[thread].is_thread:
                self.twin.backend.delete_channel(thread)
        self.twin.backend.delete_channel(place.id)

    def deny(self, channel: Id, *permissions: str, whom: Id | None = None) -> None:
        """Deny the bot (or somebody else) permissions in a channel; those denied before stay denied."""
        self._overwrites(channel, permissions, whom, denied=True)

    def allow(self, channel: Id, *permissions: str, whom: Id | None = None) -> None:
        """Grant the bot (or somebody else) permissions in a channel, whatever was denied before."""
        self._overwrites(channel, permissions, whom, denied=False)

    def kick_bot(self) -> None:
        """Remove the bot from the first guild: GUILD_DELETE, and nothing of it any more."""
        backend, guild = self.twin.backend, int(self.twin.guild_id)
        self._try(lambda: backend.require_permissions(guild, self.user, None, "kick_members"))
        member = backend.guilds[guild].members.get(backend.bot_user.id)
        if member is None:
            raise NotPossible("the bot is not in the guild")
        self._bot_roles = list(member.role_ids)
        backend.remove_member(guild, backend.bot_user.id)
        backend.commands.pop(guild, None)  # they come back with nobody but who registers them again
        backend.emit("GUILD_DELETE", {"id": str(guild)})

    def add_bot_back(self) -> None:
        """Invite the bot again, with the permissions that it had: GUILD_CREATE."""
        backend, guild = self.twin.backend, int(self.twin.guild_id)
        self._try(lambda: backend.require_permissions(guild, self.user, None, "manage_guild"))
        if self._bot_roles is None:
            raise NotPossible("this person has not removed the bot")
        backend.add_member(guild, backend.bot_user.id, roles=self._bot_roles)
        self._bot_roles = None
        backend.emit("GUILD_CREATE", {"id": str(guild)})

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _edits_thread(self, thread: Id, **changes: bool) -> None:
        place = self.twin.backend.get_channel(int(thread))
        self._must(place)
        self._try(lambda: threads.edit(self.twin.backend, place, changes, self.user))

    def _overwrites(
        self, channel: Id, permissions: tuple[str, ...], whom: Id | None, *, denied: bool
    ) -> None:
        place = self.twin.backend.get_channel(int(channel))
        self._must(place, "manage_roles")
        target = int(whom or self.twin.bot_id)
        known = [each for each in place.overwrites if each.target_id == target]
        before = known[0] if known else Overwrite(target, OverwriteType.MEMBER)
        bits = permission_bits(permissions)
        allow = (before.allow & ~bits) | (0 if denied else bits)
        deny = (before.deny & ~bits) | (bits if denied else 0)
        self.twin.backend.set_overwrite(place.id, Overwrite(target, before.type, allow, deny))
