"""What exists in the twin: SimCord's `Backend` on real time, with one guild, its owner, #general and the bot.

SimCord keeps the state (guilds, channels, threads, messages, permissions, interactions) and tells every
change to `backend.subscribers` as gateway events. Here it gets a clock that follows the real one and can be
set forward, a CDN that is really there, and a bot with the permissions its invite link asks for, no more.
"""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

import discord
from simcord.backend.cdn import CdnStore
from simcord.backend.models import Channel, Guild, Role, User
from simcord.enums import ChannelType

from .state import TwinBackend

BOT_PERMISSIONS = (
    "view_channel",
    "send_messages",
    "send_messages_in_threads",
    "create_public_threads",
    "read_message_history",
    "attach_files",
    "embed_links",
    "add_reactions",
)
_LINK_HEX = 16  # hex characters of a signed link's code


def permission_bits(names: Collection[str]) -> int:
    """The sum of discord.py's permissions of these names."""
    return discord.Permissions(**dict.fromkeys(names, True)).value


class Cdn(CdnStore):
    """Attachments under an address that answers, with a signed query as Discord's links have."""

    def __init__(self) -> None:
        super().__init__()
        self.base_url = ""
        self._codes: dict[str, str] = {}

    def store_attachment(
        self, attachment_id: int, channel_id: int, filename: str, data: bytes, description: str | None
    ) -> dict[str, Any]:
        path = f"attachments/{channel_id}/{attachment_id}/{filename}"
        code = secrets.token_hex(_LINK_HEX // 2)
        self._blobs[path] = data
        self._codes[path] = code
        url = f"{self.base_url}/{quote(path)}?ex=7fffffff&is=0&hm={code}"
        return {
            "id": str(attachment_id),
            "filename": filename,
            "description": description,
            "size": len(data),
            "url": url,
            "proxy_url": url,
            "content_type": mimetypes.guess_type(filename)[0] or "application/octet-stream",
        }

    def read(self, path: str, code: str) -> bytes | None:
        """The bytes behind a link's path; None: no such thing, or the link's code is wrong."""
        return self._blobs.get(path) if code and self._codes.get(path) == code else None


class World:
    """One Discord with one application.

    Args:
        permissions: what the bot's role has in every guild, by discord.py's names.
        bot_name: the bot's user name.
    """

    def __init__(self, permissions: Collection[str] = BOT_PERMISSIONS, bot_name: str = "Quartet") -> None:
        self.backend = TwinBackend()
        self.cdn = Cdn()
        self.backend.cdn = self.cdn
        self.backend.bot_user.name = bot_name
        self._permissions = permissions
        self.guild = self.add_guild("Acme")
        self.general: int = self.guild.channel_ids[0]

    def add_guild(self, name: str) -> Guild:
        """A guild with an owner, the bot and #general."""
        guild = self.backend.create_guild(name)
        self.bot_role(guild).permissions = permission_bits(self._permissions)
        self.add_channel("general", guild)
        return guild

    def add_channel(self, name: str, guild: Guild | None = None, *, kind: int = ChannelType.TEXT) -> Channel:
        """A channel in a guild, by default the first."""
        return self.backend.create_channel((guild or self.guild).id, name, type=kind)

    def add_user(self, name: str, *, bot: bool = False, guild: Guild | None = None) -> User:
        """Somebody new, a member of a guild, by default of the first."""
        user = self.backend.make_user(name, bot=bot)
        self.backend.add_member((guild or self.guild).id, user.id, announce=True)
        return user

    def role(self, name: str, permissions: Collection[str] = (), guild: Guild | None = None) -> Role:
        """A guild's role of this name, made when it is not there; it has at least these permissions."""
        guild = guild or self.guild
        bits = permission_bits(permissions)
        for role in guild.roles.values():
            if role.name == name:
                if bits & ~role.permissions:
                    self.backend.edit_role(guild.id, role.id, {"permissions": role.permissions | bits})
                return role
        return self.backend.create_role(guild.id, name, permissions=bits)

    def bot_role(self, guild: Guild | None = None) -> Role:
        """The bot's own role in a guild."""
        guild = guild or self.guild
        member = guild.members[self.backend.bot_user.id]
        return guild.roles[member.role_ids[0]]
