"""Whoever writes: people, other applications' bots, webhooks. They may do what Discord lets them do."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import discord
from simcord.backend import serializers
from simcord.backend.errors import BackendError
from simcord.backend.models import Channel, Message
from simcord.enums import ChannelType

from tests.twins.discord import threads
from tests.twins.discord.modals import NotPossible

if TYPE_CHECKING:
    from tests.twins.discord.server import DiscordTwin

Id = str | int
Upload = tuple[str, str, bytes]  # name, type ("text/plain"), bytes
MOST_TEXT, MOST_FILES = 2000, 10
_WRITABLE = (
    ChannelType.TEXT,
    ChannelType.DM,
    ChannelType.VOICE,
    ChannelType.NEWS,
    ChannelType.STAGE_VOICE,
    ChannelType.PUBLIC_THREAD,
    ChannelType.PRIVATE_THREAD,
)


class Author:
    """Somebody with an account, a person or another application's bot."""

    def __init__(self, twin: DiscordTwin, user: int) -> None:
        self.twin = twin
        self.user = user

    @property
    def id(self) -> str:
        """The user's id."""
        return str(self.user)

    @property
    def name(self) -> str:
        """The name on the screen."""
        user = self.twin.backend.users[self.user]
        return user.global_name or user.name

    @property
    def dm(self) -> str:
        """The channel of this person's direct messages with the bot."""
        return str(self.twin.backend.get_dm_channel(self.user).id)

    @property
    def roles(self) -> tuple[str, ...]:
        """The names of the roles in the first guild, without @everyone."""
        guild = self.twin.backend.guilds[int(self.twin.guild_id)]
        return tuple(guild.roles[role].name for role in guild.members[self.user].role_ids)

    def permissions(self, channel: Id | None = None) -> frozenset[str]:
        """What this person may do: in the first guild, or in a channel of any guild."""
        backend = self.twin.backend
        if channel is None:
            bits = backend.compute_permissions(int(self.twin.guild_id), self.user)
        else:
            place = backend.get_channel(int(channel))
            if place.guild_id is None:
                return frozenset()
            bits = backend.compute_permissions(place.guild_id, self.user, place.id)
        return frozenset(name for name, flag in discord.Permissions.VALID_FLAGS.items() if bits & flag)

    # ── messages ─────────────────────────────────────────────────────────────────────────────

    def posts(
        self, channel: Id, text: str, files: Collection[Upload] = (), *, reply_to: Id | None = None
    ) -> str:
        """Write in a channel, thread or direct message; returns the message's id.

        Mentions are written `<@id>`. Writing in an archived thread opens it.
        """
        place = self._may_write(channel, files=bool(files))
        if not text and not files:
            raise NotPossible("an empty message cannot be sent")
        if len(text) > MOST_TEXT or len(files) > MOST_FILES:
            raise NotPossible(f"at most {MOST_TEXT} characters and {MOST_FILES} files")
        reference = None
        if reply_to is not None:
            self._must(place, "read_message_history")
            reference = {"message_id": str(int(reply_to)), "channel_id": str(place.id)}
        return str(self._write(place, text, files, reference=reference, author_id=self.user).id)

    def mentions(
        self, channel: Id, text: str, files: Collection[Upload] = (), *, reply_to: Id | None = None
    ) -> str:
        """Write to the bot: its mention, then the text; returns the message's id."""
        return self.posts(channel, f"<@{self.twin.bot_id}> {text}", files, reply_to=reply_to)

    def edits(self, message: Id, text: str) -> None:
        """Change an own message."""
        mine = self._own(message)
        place = self.twin.backend.get_channel(mine.channel_id)
        self._try(lambda: threads.about_to_change(self.twin.backend, place, self.user))
        self._try(lambda: self.twin.backend.edit_message(place.id, mine.id, {"content": text}))

    def deletes(self, message: Id) -> None:
        """Delete an own message."""
        mine = self._own(message)
        self.twin.backend.delete_message(mine.channel_id, mine.id)

    def reacts(self, message: Id, emoji: str) -> None:
        """Add a reaction, e.g. "❌"."""
        there = self._visible(message)
        place = self.twin.backend.get_channel(there.channel_id)
        new = there.reaction_for(emoji) is None
        self._must(place, "read_message_history", *(["add_reactions"] if new else []))
        self._try(lambda: threads.about_to_change(self.twin.backend, place, self.user, locked_too=False))
        self.twin.backend.set_reaction(there.channel_id, there.id, emoji, self.user, True)

    def unreacts(self, message: Id, emoji: str) -> None:
        """Take a reaction back."""
        there = self._visible(message)
        self.twin.backend.set_reaction(there.channel_id, there.id, emoji, self.user, False)

    def unfurls(self, message: Id, url: str) -> None:
        """Discord adds a link's preview to an own message: a MESSAGE_UPDATE that is no edit."""
        mine = self._own(message)
        mine.embeds.append({"type": "link", "url": url, "title": "A page"})
        payload = dict(serializers.message_payload(self.twin.backend, mine))
        self.twin.backend.emit("MESSAGE_UPDATE", payload)

    def types(self, channel: Id) -> None:
        """ "… is typing": TYPING_START."""
        place = self._may_write(channel)
        payload: dict[str, Any] = {"channel_id": str(place.id), "user_id": self.id, "timestamp": 0}
        if place.guild_id is not None:
            payload["guild_id"] = str(place.guild_id)
        self.twin.backend.emit("TYPING_START", payload)

    # ── threads ──────────────────────────────────────────────────────────────────────────────

    def starts_thread(
        self, channel: Id, name: str, *, message: Id | None = None, private: bool = False
    ) -> str:
        """Begin a thread, on a message or on none; returns its id."""
        place = self.twin.backend.get_channel(int(channel))
        self._must(place, "create_private_threads" if private else "create_public_threads")
        backend = self.twin.backend
        if message is not None:
            return str(
                self._try(
                    lambda: threads.start_on_message(backend, place.id, int(message), name, self.user)
                ).id
            )
        kind = ChannelType.PRIVATE_THREAD if private else ChannelType.PUBLIC_THREAD
        return str(backend.create_thread(place.id, name, self.user, type=kind, broadcast=not private).id)

    def posts_in_forum(self, forum: Id, title: str, text: str, files: Collection[Upload] = ()) -> str:
        """A new post of a forum; returns the id of its thread, which its first message has as well."""
        place = self.twin.backend.get_channel(int(forum))
        if place.type != ChannelType.FORUM:
            raise NotPossible("this is no forum")
        self._must(place, "send_messages")
        thread = self.twin.backend.create_thread(place.id, title, self.user, broadcast=False)
        self.twin.backend.announce_thread_create(thread)
        place.last_message_id = thread.id
        self._write(thread, text, files, author_id=self.user, message_id=thread.id)
        return str(thread.id)

    def joins(self, thread: Id) -> None:
        """Become a member of a thread."""
        self._must(self.twin.backend.get_channel(int(thread)))
        self.twin.backend.add_thread_member(int(thread), self.user)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _write(
        self,
        place: Channel,
        text: str,
        files: Collection[Upload],
        *,
        message_id: int | None = None,
        **fields: Any,
    ) -> Message:
        backend = self.twin.backend
        attachments = backend.store_attachments(place.id, [(name, content) for name, _, content in files])
        for attachment, (_, mimetype, _) in zip(attachments, files, strict=True):
            attachment["content_type"] = mimetype
        author = int(fields.pop("author_id"))

        def write() -> Message:
            message = backend.prepare_message(place.id, author, text, attachments=attachments, **fields)
            message.id = message_id or message.id
            return backend.commit_message(message)

        if place.is_thread and author == self.user and author not in place.thread_members:
            backend.add_thread_member(place.id, author)
        message = self._try(write)
        self.twin.changed()
        return message

    def _may_write(self, channel: Id, *, files: bool = False) -> Channel:
        place = self._try(lambda: self.twin.backend.get_channel(int(channel)))
        if place.type not in _WRITABLE:
            raise NotPossible("nobody can write here; forums take posts, categories nothing")
        send = "send_messages_in_threads" if place.is_thread else "send_messages"
        self._must(place, send, *(["attach_files"] if files else []))
        self._try(lambda: threads.about_to_post(self.twin.backend, place, self.user))
        return place

    def _must(self, place: Channel, *permissions: str) -> None:
        """The place is visible to this person, who has these permissions there."""
        self._try(
            lambda: self.twin.backend.require_permissions(place.guild_id, self.user, place.id, *permissions)
        )

    def _visible(self, message: Id) -> Message:
        """A message by its id, wherever it stands, if this person sees it."""
        for place, messages in self.twin.backend.messages.items():
            found = messages.get(int(message))
            if found is not None and found.visible_to(self.user):
                self._must(self.twin.backend.get_channel(place))
                return found
        raise NotPossible(f"there is no message {message} on this person's screen")

    def _own(self, message: Id) -> Message:
        found = self._visible(message)
        if found.author_id != self.user:
            raise NotPossible("this message is somebody else's")
        return found

    def _try(self, act: Any) -> Any:
        try:
            return act()
        except BackendError as no:
            raise NotPossible(f"{no} ({self.name})") from None


class Webhook:
    """A webhook of a channel, as other services post with. `Webhook(discord, channel, "CI")`."""

    def __init__(self, twin: DiscordTwin, channel: Id, name: str = "Webhook") -> None:
        owner = twin.backend.guilds[int(twin.guild_id)].owner_id
        self._twin = twin
        self._hook = twin.backend.create_webhook(int(channel), name, owner)

    @property
    def id(self) -> str:
        """The webhook's id, which its messages have as their author's."""
        return str(self._hook.id)

    def posts(self, text: str, *, thread: Id | None = None, name: str = "") -> str:
        """Write in the channel or a thread of it; returns the message's id."""
        message = self._twin.backend.create_message(
            int(thread or self._hook.channel_id),
            self._hook.webhook_user_id,
            text,
            webhook_id=self._hook.id,
            author_name=name or None,
        )
        return str(message.id)

    def mentions(self, text: str, *, thread: Id | None = None) -> str:
        """Write to the bot."""
        return self.posts(f"<@{self._twin.bot_id}> {text}", thread=thread)
