"""Messages of a world: posted, changed, deleted, reacted to; each tells the apps."""

from __future__ import annotations

import secrets
from collections.abc import Collection

from .payloads import stream_blocks
from .pings import pings_of
from .records import Json, Message, Ping, Refused, Stream
from .registry import Registry

STREAM_LIVES_S = 300.0


class Messages(Registry):
    """What people and bots say."""

    def post(
        self,
        channel: str,
        *,
        user: str,
        text: str = "",
        thread_ts: str = "",
        blocks: list[Json] | None = None,
        attachments: list[Json] | None = None,
        metadata: Json | None = None,
        files: Collection[str] = (),
        broadcast: bool = False,
        subtype: str = "",
        username: str = "",
        stream: Stream | None = None,
        app: str = "",
    ) -> Message:
        """Add a message, by a person or a bot's user. Emits `message`, and `app_mention` for mentioned bots.

        `text` is in Slack's form: `<@U…>` mentions, `&lt;` for a bare `<`. `files` are ids.
        """
        author = self.users[user]
        place = self.channels[channel]
        root = self.messages[channel].get(thread_ts) if thread_ts else None
        if thread_ts and root is None:
            raise Refused("thread_not_found")
        if root is not None:
            thread_ts = root.thread_ts or root.ts
            self.messages[channel][thread_ts].thread_ts = thread_ts
        message = Message(
            channel,
            self.next_ts(),
            user,
            text,
            author.team,
            thread_ts,
            subtype or ("thread_broadcast" if broadcast and thread_ts else "file_share" if files else ""),
            self.own_blocks(text, blocks, author.is_bot),
            attachments or [],
            metadata,
            list(files),
            author.bot_id,
            app or self.app_of_bot(author.bot_id),
            username,
            stream=stream,
            client_msg_id="" if author.is_bot else secrets.token_hex(16),
        )
        self.messages[channel][message.ts] = message
        if message.is_reply:
            self.replies.setdefault((channel, thread_ts), []).append(message.ts)
        for each in files:
            shared = self.files[each]
            shared.complete = True
            if channel not in shared.channels:
                shared.channels.append(channel)
        if author.is_bot:
            self.note_pings(message)
            self._clear_status(channel, thread_ts)
        mention_first = secrets.randbelow(2) == 1  # Slack promises no order of the two
        if mention_first:
            self._tell_mentioned(message)
        self.emit(place.team, self.message_event(message))
        if not mention_first:
            self._tell_mentioned(message)
        return message

    def _tell_mentioned(self, message: Message) -> None:
        place = self.channels[message.channel]
        if place.is_im:
            return  # Slack sends no app_mention in direct messages
        for install in self.installs:
            if (
                install.active
                and install.bot_user != message.user
                and f"<@{install.bot_user}" in message.text
            ):
                self.emit(place.team, self.mention_event(message), app=install.app)

    def _clear_status(self, channel: str, thread_ts: str) -> None:
        if (thread := self.threads.get((channel, thread_ts))) is not None:
            thread.status = ""

    def note_pings(self, message: Message) -> None:
        """Record whom a bot's message notifies."""
        text = message.stream.text if message.stream else message.text
        streamed = stream_blocks(message.stream) if message.stream else []
        for what, where in pings_of(text, [*streamed, *message.blocks]):
            self.pings.append(Ping(message.channel, message.ts, what, where))

    def message(self, channel: str, ts: str) -> Message:
        """The message.

        Raises:
            Refused: message_not_found.
        """
        found = self.messages.get(channel, {}).get(ts)
        if found is None or found.deleted:
            raise Refused("message_not_found")
        return found

    def streaming(self, message: Message) -> bool:
        """Whether a message still takes what is appended: Slack closes a stream 5 minutes after its start."""
        stream = message.stream
        return stream is not None and stream.open and self.now() - stream.started_at < STREAM_LIVES_S

    def edit(
        self,
        channel: str,
        ts: str,
        *,
        by: str,
        text: str | None = None,
        blocks: list[Json] | None = None,
        attachments: list[Json] | None = None,
        metadata: Json | None = None,
        mark: bool = True,
    ) -> Message:
        """Change a message (`message_changed`); with `mark` False it does not count as edited (unfurls)."""
        message = self.message(channel, ts)
        before = self.message_json(message)
        if message.stream is not None and (text is not None or blocks is not None):
            message.stream = None  # taken over
        if text is not None:
            message.text = text
        if blocks is not None:
            message.blocks = self.own_blocks(message.text, blocks, bool(message.bot_id))
        elif text is not None and not message.bot_id:
            message.blocks = self.own_blocks(
                text, None, False
            )  # Slack keeps a bot's blocks that are not given
        if attachments is not None:
            message.attachments = attachments
        if metadata is not None:
            message.metadata = metadata or None
        if mark:
            message.edited = {"user": by, "ts": self.next_ts()}
            message.edits += 1
        if message.bot_id:
            self.note_pings(message)
        self.emit(self.channels[channel].team, self.changed_event(message, before))
        if mark and not message.bot_id:
            self._tell_mentioned(message)  # Slack mentions again, with `edited` and the same ts
        return message

    def unfurl(self, channel: str, ts: str, attachments: list[Json]) -> Message:
        """Slack adds a link's preview: `message_changed` with the same text."""
        return self.edit(channel, ts, by="", attachments=attachments, mark=False)

    def delete(self, channel: str, ts: str) -> None:
        """Delete a message (`message_deleted`); a root with replies is changed to a tombstone."""
        message = self.message(channel, ts)
        before = self.message_json(message)
        if any(m.ts != ts for m in self.thread_messages(channel, ts)):
            message.subtype, message.text, message.user = (
                "tombstone",
                "This message was deleted.",
                "USLACKBOT",
            )
            message.blocks, message.files, message.metadata, message.reactions = [], [], None, {}
            event = self.changed_event(message, before)
        else:
            message.deleted = True
            del self.messages[channel][ts]
            if message.is_reply:
                self.replies[channel, message.thread_ts].remove(ts)
            event = self.deleted_event(message, before)
        self.emit(self.channels[channel].team, event)

    def react(self, channel: str, ts: str, user: str, name: str) -> None:
        """Add a reaction. Raises Refused already_reacted."""
        message = self.message(channel, ts)
        users = message.reactions.setdefault(name, [])
        if user in users:
            raise Refused("already_reacted")
        users.append(user)
        self.emit(self.channels[channel].team, self.reaction_event("reaction_added", message, user, name))

    def unreact(self, channel: str, ts: str, user: str, name: str) -> None:
        """Take a reaction back. Raises Refused no_reaction."""
        message = self.message(channel, ts)
        if user not in message.reactions.get(name, []):
            raise Refused("no_reaction")
        message.reactions[name].remove(user)
        if not message.reactions[name]:
            del message.reactions[name]
        self.emit(self.channels[channel].team, self.reaction_event("reaction_removed", message, user, name))

    def join(self, channel: str, user: str, *, inviter: str = "") -> None:
        """Become a member: `member_joined_channel` and a `channel_join` message. Nothing for a member."""
        place = self.channels[channel]
        if user in place.members:
            return
        place.members.append(user)
        self.emit(place.team, self.joined_event(place, user, inviter))
        self.post(channel, user=user, text=f"<@{user}> has joined the channel", subtype="channel_join")

    def leave(self, channel: str, user: str) -> None:
        """Leave, or be removed: `member_left_channel`."""
        place = self.channels[channel]
        if user in place.members:
            place.members.remove(user)
            event: Json = {
                "type": "member_left_channel",
                "user": user,
                "channel": channel,
                "team": place.team,
            }
            self.emit(place.team, event)
