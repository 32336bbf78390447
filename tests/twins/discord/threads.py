"""Threads as Discord has them, where SimCord is simpler: on a message, archived, locked, grown quiet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from simcord.backend import errors, permissions, serializers
from simcord.backend.models import Channel, Message, ThreadMetadata
from simcord.enums import ChannelType, MessageType

from . import refusals
from .state import TwinBackend

HAS_THREAD = 1 << 5
MOST_ACTIVE = 1000  # in a guild
_WITH_THREADS = (ChannelType.TEXT, ChannelType.NEWS)
_ORDINARY = (MessageType.DEFAULT, MessageType.REPLY, MessageType.CHAT_INPUT_COMMAND)


def can(backend: TwinBackend, channel: Channel, user: int, permission: str) -> bool:
    """Whether somebody has a permission in a guild's channel or thread."""
    if channel.guild_id is None:
        return True
    held = backend.compute_permissions(channel.guild_id, user, channel.id)
    return bool(held & permissions.flag(permission))


def start_on_message(
    backend: TwinBackend, channel: int, message: int, name: str, owner: int, *, archive_after: int = 1440
) -> Channel:
    """Begin a thread on a message; it has the message's id, and the message the flag HAS_THREAD.

    Raises:
        BackendError: 160004, 160006, 50024 (not in this kind of channel), 50021.
    """
    place = backend.get_channel(channel)
    first = backend.get_message(channel, message)
    if place.type not in _WITH_THREADS or place.guild_id is None:
        raise errors.cannot_execute_on_channel_type()
    if first.id in backend.channels or first.flags & HAS_THREAD:
        raise refusals.thread_exists()
    if first.type not in _ORDINARY:
        raise refusals.system_message()
    if len(backend.active_threads(place.guild_id)) >= MOST_ACTIVE:
        raise refusals.too_many_threads()
    thread = backend.create_thread(
        channel, name, owner, message_id=message, auto_archive_duration=archive_after, broadcast=False
    )
    first.flags |= HAS_THREAD
    backend.announce_thread_create(thread)
    backend.emit("MESSAGE_UPDATE", dict(serializers.message_payload(backend, first)))
    starter = Message(
        id=backend.snowflake(),
        channel_id=thread.id,
        author_id=first.author_id,
        timestamp=backend.now_iso(),
        type=int(MessageType.THREAD_STARTER_MESSAGE),
        reference={
            "type": 0,
            "guild_id": str(place.guild_id),
            "channel_id": str(channel),
            "message_id": str(message),
        },
    )
    backend.commit_message(starter)
    return thread


def about_to_post(backend: TwinBackend, thread: Channel, author: int) -> None:
    """A message is about to be posted: an archived thread opens, a locked one stays shut.

    Raises:
        BackendError: 50083 for an archived and locked thread, 50013 for a locked one, without MANAGE_THREADS.
    """
    meta = thread.thread_metadata
    if meta is None:
        return
    may_manage = can(backend, thread, author, "manage_threads")
    if meta.locked and not may_manage:
        raise refusals.thread_is_archived() if meta.archived else errors.missing_permissions()
    if meta.archived:
        reopen(backend, thread)


def about_to_change(backend: TwinBackend, thread: Channel, author: int, *, locked_too: bool = True) -> None:
    """Something in a thread is about to be changed: not in an archived one, nor in a locked one.

    Raises:
        BackendError: 50083, 50013.
    """
    meta = thread.thread_metadata
    if meta is None:
        return
    if meta.archived:
        raise refusals.thread_is_archived()
    if meta.locked and locked_too and not can(backend, thread, author, "manage_threads"):
        raise errors.missing_permissions()


def reopen(backend: TwinBackend, thread: Channel) -> None:
    """The thread is open again: THREAD_UPDATE."""
    changes = {"archived": False, "archive_timestamp": backend.now_iso()}
    backend.edit_channel(thread.id, {}, thread_metadata=changes)


def edit(backend: TwinBackend, thread: Channel, body: Mapping[str, Any], author: int) -> Channel:
    """`PATCH /channels/{thread}` with a thread's own permissions, instead of MANAGE_CHANNELS.

    Raises:
        BackendError: 50083 unless the change opens the thread; 50013.
    """
    meta = thread.thread_metadata
    if meta is None:
        raise errors.cannot_execute_on_channel_type()
    opens = body.get("archived") is False
    may_manage = can(backend, thread, author, "manage_threads")
    if meta.archived and not opens:
        raise refusals.thread_is_archived()
    if not may_manage:
        _may_edit(backend, thread, meta, body, author)
    names = ("name", "rate_limit_per_user", "applied_tags")
    changes = {name: body[name] for name in names if body.get(name) is not None}
    if "applied_tags" in changes:
        changes["applied_tags"] = [int(tag) for tag in changes["applied_tags"]]
    settings = ("archived", "locked", "auto_archive_duration", "invitable")
    new: dict[str, Any] = {name: body[name] for name in settings if body.get(name) is not None}
    if new.get("archived", meta.archived) != meta.archived:
        new["archive_timestamp"] = backend.now_iso()
    return backend.edit_channel(thread.id, changes, thread_metadata=new)


def _may_edit(
    backend: TwinBackend, thread: Channel, meta: ThreadMetadata, body: Mapping[str, Any], author: int
) -> None:
    only_opens = set(body) == {"archived"} and body["archived"] is False
    if only_opens and not meta.locked and can(backend, thread, author, "send_messages_in_threads"):
        return
    if "locked" in body or meta.locked or thread.owner_id != author:
        raise errors.missing_permissions()


def archive_quiet(backend: TwinBackend) -> list[int]:
    """Archive every thread in which nothing happened for so long; returns their ids."""
    now = backend.clock.now()
    closed: list[int] = []
    for guild in tuple(backend.guilds.values()):
        for thread in backend.active_threads(guild.id):
            meta = thread.thread_metadata
            if meta is None:
                continue
            newest = max(thread.last_message_id or 0, thread.id)
            last = backend.made_at(newest)
            if now - last >= timedelta(minutes=meta.auto_archive_duration):
                new = {"archived": True, "archive_timestamp": backend.now_iso()}
                backend.edit_channel(thread.id, {}, thread_metadata=new)
                closed.append(thread.id)
    return closed
