"""The JSON in which Slack shows its records: in events, in answers of the Web API, in interactions."""

from __future__ import annotations

import secrets
from typing import Any

from .records import Channel, File, Json, Message, Stream, User, View
from .state import State


class Payloads(State):
    """Shapes of a `World`; nothing here changes it."""

    # ── messages ────────────────────────────────────────────────────────────────────────────

    def app_of_bot(self, bot_id: str) -> str:
        """A… of a B…; "" for none."""
        return next((i.app for i in self.installs if bot_id and i.bot_id == bot_id), "")

    def own_blocks(self, text: str, blocks: list[Json] | None, by_bot: bool) -> list[Json]:
        """Blocks as Slack stores them: every one has a block_id; what a person wrote is rich text."""
        if not blocks:
            if not text or by_bot:
                return []
            section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
            return [{"type": "rich_text", "block_id": _block_id(), "elements": [section]}]
        return [each if each.get("block_id") else {**each, "block_id": _block_id()} for each in blocks]

    def message_json(self, message: Message, *, metadata: bool = True) -> Json:
        """A message as `conversations.replies` and nested in events; metadata only where it was asked for."""
        shown: Json = {
            "type": "message",
            "user": message.user,
            "ts": message.ts,
            "text": message.stream.text if message.stream else message.text,
            "team": message.team,
        }
        if message.subtype:
            shown["subtype"] = message.subtype
        if message.client_msg_id:
            shown["client_msg_id"] = message.client_msg_id
        if message.bot_id:
            shown["bot_id"] = message.bot_id
            shown["app_id"] = message.app_id
            shown["bot_profile"] = self.bot_json(message.bot_id)
        if message.username:
            shown["username"] = message.username
        blocks = stream_blocks(message.stream) + message.blocks if message.stream else message.blocks
        if blocks:
            shown["blocks"] = blocks
        if message.attachments:
            shown["attachments"] = message.attachments
        if message.files:
            shown["files"] = [self.file_json(self.files[each]) for each in message.files]
            shown["upload"] = False
        if message.metadata and metadata:
            shown["metadata"] = message.metadata
        if message.edited:
            shown["edited"] = message.edited
        if message.reactions:
            shown["reactions"] = self.reactions_json(message)
        if message.stream:
            shown["streaming_state"] = "in_progress" if message.stream.open else "completed"
        shown.update(self._thread_fields(message))
        return shown

    def _thread_fields(self, message: Message) -> Json:
        if message.is_reply:
            root = self.messages[message.channel].get(message.thread_ts)
            return {"thread_ts": message.thread_ts, "parent_user_id": root.user if root else ""}
        replies = [m for m in self.thread_messages(message.channel, message.ts) if m.ts != message.ts]
        if not replies:
            return {}
        users = list(dict.fromkeys(m.user for m in replies))
        return {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users_count": len(users),
            "latest_reply": replies[-1].ts,
            "reply_users": users,
            "is_locked": False,
            "subscribed": False,
        }

    def reactions_json(self, message: Message) -> list[Json]:
        """Reactions as `reactions.get` lists them."""
        return [{"name": n, "users": list(u), "count": len(u)} for n, u in message.reactions.items()]

    def active_thread(self, channel: str, thread_ts: str) -> bool:
        """Whether somebody has replied to this message."""
        return any(m.is_reply for m in self.thread_messages(channel, thread_ts))

    def thread_messages(self, channel: str, thread_ts: str) -> list[Message]:
        """Root and replies, oldest first; [] when the root is not there."""
        everything = self.messages.get(channel, {})
        if thread_ts not in everything:
            return []
        return [everything[thread_ts], *(everything[ts] for ts in self.replies.get((channel, thread_ts), ()))]

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def _event(self, kind: str, channel: Channel, ts: str) -> Json:
        return {
            "type": "message",
            **({"subtype": kind} if kind else {}),
            "channel": channel.id,
            "channel_type": channel.channel_type,
            "ts": ts,
            "event_ts": ts,
        }

    def message_event(self, message: Message) -> Json:
        """A new message."""
        channel = self.channels[message.channel]
        shown = self.message_json(message)
        if message.subtype == "bot_message" and not self.app_of_bot(message.bot_id):
            shown.pop("user", None)  # classic bots have no user
        return {**shown, **self._event(message.subtype, channel, message.ts)}

    def mention_event(self, message: Message) -> Json:
        """`app_mention`: the message's twin."""
        shown = self.message_json(message)
        shown.pop("subtype", None)
        event_ts = message.edited["ts"] if message.edited else message.ts
        return {**shown, "type": "app_mention", "channel": message.channel, "event_ts": event_ts}

    def changed_event(self, message: Message, before: Json) -> Json:
        """`message_changed`."""
        event = self._event("message_changed", self.channels[message.channel], self.next_ts())
        return {**event, "hidden": True, "message": self.message_json(message), "previous_message": before}

    def deleted_event(self, message: Message, before: Json) -> Json:
        """`message_deleted`."""
        event = self._event("message_deleted", self.channels[message.channel], self.next_ts())
        return {**event, "hidden": True, "deleted_ts": message.ts, "previous_message": before}

    def reaction_event(self, kind: str, message: Message, user: str, name: str) -> Json:
        """`reaction_added`, `reaction_removed`."""
        item = {"type": "message", "channel": message.channel, "ts": message.ts}
        return {"type": kind, "user": user, "reaction": name, "item_user": message.user, "item": item}

    def joined_event(self, channel: Channel, user: str, inviter: str) -> Json:
        """`member_joined_channel`."""
        event: Json = {
            "type": "member_joined_channel",
            "user": user,
            "channel": channel.id,
            "channel_type": "G" if channel.is_private else "C",
            "team": channel.team,
        }
        return {**event, "inviter": inviter} if inviter else event

    # ── the rest ────────────────────────────────────────────────────────────────────────────

    def bot_json(self, bot_id: str) -> Json:
        """A bot's profile."""
        install = next((i for i in self.installs if i.bot_id == bot_id), None)
        user = next((u for u in self.users.values() if u.bot_id == bot_id), None)
        name = self.apps[install.app].name if install else user.name if user else ""
        shown: Json = {
            "id": bot_id,
            "deleted": not install.active if install else False,
            "name": name,
            "updated": 1700000000,
            "app_id": install.app if install else "",
            "user_id": user.id if user else "",
            "icons": {"image_36": "https://example.com/36.png"},
        }
        if user:
            shown["team_id"] = user.team
        return shown

    def user_json(self, user: User, *, email: bool = False) -> Json:
        """A user as `users.info` shows it; the address needs users:read.email."""
        profile: Json = {
            "real_name": user.real_name or user.name,
            "display_name": user.name,
            "real_name_normalized": user.real_name or user.name,
            "display_name_normalized": user.name,
            "team": user.team,
        }
        if email and not user.is_bot:
            profile["email"] = user.email
        if user.is_bot:
            profile["bot_id"] = user.bot_id
        shown: Json = {
            "id": user.id,
            "team_id": user.team,
            "name": user.name,
            "deleted": user.deleted,
            "real_name": user.real_name or user.name,
            "tz": "Europe/Amsterdam",
            "tz_offset": 3600,
            "profile": profile,
            "is_bot": user.is_bot,
            "is_app_user": False,
            "updated": 1700000000,
        }
        if user.enterprise:
            shown["enterprise_user"] = {
                "id": user.id,
                "enterprise_id": user.enterprise,
                "is_admin": user.is_admin,
                "is_owner": user.is_owner,
                "teams": [user.team],
            }
        if not user.deleted:
            shown |= {"is_admin": user.is_admin or user.is_owner, "is_owner": user.is_owner}
            shown |= {"is_primary_owner": False, "is_restricted": False, "is_ultra_restricted": False}
        return shown

    def channel_json(self, channel: Channel, viewer: str = "") -> Json:
        """A conversation as `conversations.info` shows it to `viewer`."""
        shown: Json = {
            "id": channel.id,
            "created": channel.created,
            "is_archived": channel.is_archived,
            "is_im": channel.is_im,
            "is_org_shared": False,
            "context_team_id": channel.team,
        }
        if channel.is_im:
            other = next((m for m in channel.members if m != viewer), "")
            return {**shown, "user": other, "is_user_deleted": False, "is_open": True, "priority": 0}
        return {
            **shown,
            "name": channel.name,
            "name_normalized": channel.name,
            "is_channel": channel.channel_type == "channel",
            "is_group": channel.channel_type == "group",
            "is_mpim": channel.is_mpim,
            "is_private": channel.is_private,
            "creator": channel.creator,
            "is_general": False,
            "is_shared": channel.is_ext_shared,
            "is_ext_shared": channel.is_ext_shared,
            "shared_team_ids": sorted(channel.teams),
            "is_member": viewer in channel.members,
            "num_members": len(channel.members),
            "topic": {"value": "", "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
        }

    def file_json(self, file: File) -> Json:
        """A file as messages and `files.info` show it."""
        private = f"{self.base_url}/files-pri/{file.team}-{file.id}/{file.name}"
        return {
            "id": file.id,
            "created": file.created,
            "timestamp": file.created,
            "name": file.name,
            "title": file.title,
            "mimetype": file.mimetype,
            "filetype": file.filetype,
            "pretty_type": file.filetype.upper(),
            "user": file.user,
            "user_team": file.team,
            "editable": file.snippet,
            "size": file.size,
            "mode": "snippet" if file.snippet else "hosted",
            "is_external": False,
            "external_type": "",
            "is_public": bool(file.channels),
            "public_url_shared": False,
            "display_as_bot": False,
            "url_private": private,
            "url_private_download": f"{self.base_url}/files-pri/{file.team}-{file.id}/download/{file.name}",
            "permalink": f"{self.base_url}/files/{file.user}/{file.id}/{file.name}",
            "channels": [c for c in file.channels if c.startswith("C")],
            "groups": [c for c in file.channels if c.startswith("G")],
            "ims": [c for c in file.channels if c.startswith("D")],
            "file_access": "visible",
        }

    def view_json(self, view: View) -> Json:
        """A view as the Web API and interactions carry it."""
        install = next((i for i in self.installs if i.app == view.app), None)
        return {
            "private_metadata": "",
            "callback_id": "",
            "clear_on_close": False,
            "notify_on_close": False,
            "close": None,
            "submit": None,
            **view.payload,
            "id": view.id,
            "team_id": view.team,
            "hash": view.hash,
            "state": view.state or {"values": {}},
            "previous_view_id": view.previous_id or None,
            "root_view_id": view.root_id or view.id,
            "external_id": view.external_id,
            "app_id": view.app,
            "app_installed_team_id": view.team,
            "bot_id": install.bot_id if install else "",
        }


def stream_blocks(stream: Stream) -> list[Json]:
    """What a stream shows: its plan or tasks, then its text, then its blocks."""
    tasks = [_task_card(task) for task in stream.tasks.values()]
    shown: list[Json] = []
    if stream.mode == "plan" and (tasks or stream.title):
        title = stream.title or (str(tasks[0]["title"]) if tasks else "")  # Slack: the first task's title
        shown.append({"type": "plan", "block_id": "stream-plan", "title": title, "tasks": tasks})
    else:
        shown.extend(tasks)
    if stream.text:
        shown.append({"type": "markdown", "block_id": "stream-text", "text": stream.text})
    return shown + stream.blocks


def _task_card(task: Json) -> Json:
    card: Json = {
        "type": "task_card",
        "block_id": f"stream-task-{task['id']}"[:255],
        "task_id": task["id"],
        "title": task["title"],
        "status": task["status"],
    }
    for key in ("details", "output"):
        if task.get(key):
            card[key] = rich_text(str(task[key]))
    if task.get("sources"):
        card["sources"] = task["sources"]
    return card


def rich_text(text: str) -> Json:
    """A rich_text entity with one run of text."""
    elements: list[dict[str, Any]] = [{"type": "text", "text": text}]
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}


def _block_id() -> str:
    return secrets.token_urlsafe(4)
