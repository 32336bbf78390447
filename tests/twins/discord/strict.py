"""Where SimCord is kinder than Discord: what is refused before a call is carried out, by the state of things.

Lengths and kinds of fields are the description's business (`spec.py`), the limits of components and modals
SimCord's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import unquote

from simcord.backend import errors
from simcord.backend.errors import BackendError
from simcord.backend.models import Channel, Message
from simcord.components import COMPONENTS_V2_FLAG, walk_components
from simcord.enums import CallbackType, InteractionType

from . import refusals, threads
from .asks import Ask

LARGEST_FILE = 10 << 20
NONCE = 25
SEND = "POST /channels/{channel_id}/messages"
_EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"
_DELETE = "DELETE /channels/{channel_id}/messages/{message_id}"
_TYPING = "POST /channels/{channel_id}/typing"
_CALLBACK = "POST /interactions/{interaction_id}/{interaction_token}/callback"


def check(ask: Ask) -> None:
    """Refuse what Discord refuses, before SimCord sees it.

    Raises:
        BackendError: as Discord would answer.
    """
    _files_fit(ask)
    if int(ask.parameters.get("channel_id", 0)) in ask.backend.lost_channels:
        raise errors.missing_access()
    name = ask.name
    if name == SEND:
        _may_send(ask)
    elif name == _EDIT:
        _may_edit(ask)
    elif name == _DELETE or ("/reactions" in name and ask.method != "GET"):
        _in_open_thread(ask, locked_too=False)
        _is_emoji(ask)
    elif name == _CALLBACK:
        _may_answer(ask)
    elif ask.path.startswith("/webhooks/") and "webhook_token" in ask.parameters:
        _token_lives(ask)


def nonce_of(ask: Ask) -> str | None:
    """The nonce of a message that is being created.

    Raises:
        BackendError: 50035, it has more than 25 characters.
    """
    given = ask.json_object.get("nonce")
    if given is None:
        return None
    if len(str(given)) > NONCE:
        raise errors.invalid_form_body("nonce: Must be 25 or fewer in length.")
    return str(given)


def unseen_uploads(ask: Ask) -> list[str]:
    """Names of uploads of a v2 message that no component shows: people would not see them."""
    body = cast("Mapping[str, Any]", ask.json_object.get("data") or ask.json_object)
    flags = body.get("flags")
    if not isinstance(flags, int) or not flags & COMPONENTS_V2_FLAG or not ask.files:
        return []
    spelt = str(list(walk_components(body.get("components") or [])))
    return [f.filename for f in ask.files if f"attachment://{f.filename}'" not in spelt]


def _files_fit(ask: Ask) -> None:
    if any(file.size > LARGEST_FILE for file in ask.files):
        raise refusals.too_large()


def _may_send(ask: Ask) -> None:
    backend, me = ask.backend, ask.backend.bot_user.id
    channel = backend.get_channel(int(ask.parameters["channel_id"]))
    if channel.guild_id is None:
        _may_write_directly(ask, channel)
    else:
        # Access first: who may not see a thread is not told that it is locked.
        backend.require_permissions(channel.guild_id, me, channel.id)
        if ask.files and not threads.can(backend, channel, me, "attach_files"):
            raise errors.missing_permissions()
    reference = ask.json_object.get("message_reference")
    if isinstance(reference, dict):
        _may_reply(ask, channel, cast("Mapping[str, Any]", reference))
    if channel.is_thread:
        threads.about_to_post(backend, channel, me)


def _may_write_directly(ask: Ask, channel: Channel) -> None:
    backend = ask.backend
    for user in channel.recipient_ids:
        if user in backend.closed_dms:
            raise refusals.no_direct_message()
        if not any(user in guild.members for guild in backend.guilds.values()):
            raise refusals.no_mutual_guild()


def _may_reply(ask: Ask, channel: Channel, reference: Mapping[str, Any]) -> None:
    backend = ask.backend
    if not threads.can(backend, channel, backend.bot_user.id, "read_message_history"):
        raise refusals.no_reply_without_history()
    wanted = str(reference.get("message_id", ""))
    there = wanted.isdecimal() and int(wanted) in backend.messages.get(channel.id, {})
    if not there and reference.get("type", 0) == 0 and reference.get("fail_if_not_exists", True):
        inner = {"code": "MESSAGE_REFERENCE_UNKNOWN_MESSAGE", "message": "Unknown message"}
        raise errors.invalid_form_body(errors={"message_reference": {"_errors": [inner]}})


def _may_edit(ask: Ask) -> None:
    backend = ask.backend
    message = _message(ask)
    _in_open_thread(ask)
    if message is None or message.author_id != backend.bot_user.id:
        return
    if not backend.takes_old_edit(message.channel_id, message.id):
        raise refusals.old_edits_used_up()


def _in_open_thread(ask: Ask, *, locked_too: bool = True) -> None:
    backend, me = ask.backend, ask.backend.bot_user.id
    channel = backend.channels.get(int(ask.parameters["channel_id"]))
    if channel is None or not channel.is_thread:
        return
    backend.require_permissions(channel.guild_id, me, channel.id)
    threads.about_to_change(backend, channel, me, locked_too=locked_too)


def _is_emoji(ask: Ask) -> None:
    emoji = unquote(ask.parameters.get("emoji_name", ":"))
    if emoji.isascii() and ":" not in emoji:  # neither a character nor a guild's `name:id`
        raise errors.unknown_emoji()


def _message(ask: Ask) -> Message | None:
    channel, message = int(ask.parameters["channel_id"]), int(ask.parameters["message_id"])
    return ask.backend.messages.get(channel, {}).get(message)


def _may_answer(ask: Ask) -> None:
    backend = ask.backend
    record = backend.interactions.get(int(ask.parameters["interaction_id"]))
    if record is None or record.token != ask.parameters["interaction_token"] or record.responded:
        return  # SimCord has the words for these
    kind, asked = ask.json_object.get("type"), record.type
    if (asked == InteractionType.APPLICATION_COMMAND_AUTOCOMPLETE) != (
        kind == CallbackType.APPLICATION_COMMAND_AUTOCOMPLETE_RESULT
    ):
        raise _callback_trouble("is not possible for this interaction")
    if kind == CallbackType.MODAL and asked == InteractionType.MODAL_SUBMIT:
        raise _callback_trouble("a modal cannot answer a modal")
    updates = (CallbackType.DEFERRED_UPDATE_MESSAGE, CallbackType.UPDATE_MESSAGE)
    if kind in updates and record.source_message_id is None:
        raise _callback_trouble("there is no message to update")
    channel = backend.channels.get(record.channel_id)
    meta = channel.thread_metadata if channel is not None else None
    if meta is not None and meta.archived and meta.locked:
        raise refusals.thread_is_archived()


def _callback_trouble(what: str) -> BackendError:
    inner = {"code": "INTERACTION_CALLBACK_INVALID", "message": f"type: {what}"}
    return errors.invalid_form_body(errors={"type": {"_errors": [inner]}})


def _token_lives(ask: Ask) -> None:
    backend, token = ask.backend, ask.parameters["webhook_token"]
    if token not in backend.interaction_tokens:
        if token not in backend.webhook_tokens:
            raise refusals.invalid_webhook_token()
        return
    record = backend.interactions[backend.interaction_tokens[token]]
    if record.expires_at is not None and backend.now_iso() >= record.expires_at:
        raise refusals.invalid_webhook_token()
    if not record.responded:
        raise errors.unknown_webhook()
