"""Routes SimCord lacks, or answers otherwise than Discord. `answer(twin, ask)` is asked first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from simcord.backend import errors, serializers
from simcord.backend.access import channel_accessible
from simcord.backend.models import Channel
from simcord.http.router import dispatch

from . import threads
from .asks import Ask
from .state import TwinBackend

_NOT_OURS: Any = object()


class Sockets(Protocol):
    """What the routes tell of the gateway."""

    @property
    def session_start_limit(self) -> Mapping[str, Any]: ...
    @property
    def application_flags(self) -> int: ...


class Discord(Protocol):
    """What the routes need of the twin."""

    @property
    def backend(self) -> TwinBackend: ...
    @property
    def gateway_url(self) -> str: ...
    @property
    def gateway(self) -> Sockets: ...
    @property
    def shards(self) -> int: ...
    @property
    def message_content(self) -> bool: ...


Route = Callable[[Discord, Ask], Any]


def carry_out(twin: Discord, ask: Ask) -> Any:
    """Do what a call says and return the answer's JSON; None: 204.

    Raises:
        BackendError: as Discord would answer.
    """
    own = _ROUTES.get(ask.name)
    if own is not None:
        answer = own(twin, ask)
        if answer is not _NOT_OURS:
            return answer
    return dispatch(
        ask.backend,
        ask.method,
        ask.path,
        json=ask.body,
        params=dict(ask.query),
        files=list[Any](ask.files),
        message_content_access=twin.message_content,
    )


def message(twin: Discord, ask: Ask, message: int) -> dict[str, Any]:
    """A message of the call's channel, as an answer shows it."""
    shown = serializers.message_payload(
        ask.backend, ask.backend.get_message(ask.number("channel_id"), message)
    )
    return dict(shown)


def _gateway(twin: Discord, ask: Ask) -> Any:
    return {"url": twin.gateway_url}


def _gateway_bot(twin: Discord, ask: Ask) -> Any:
    starts = dict(twin.gateway.session_start_limit)
    return {"url": twin.gateway_url, "shards": twin.shards, "session_start_limit": starts}


def _application(twin: Discord, ask: Ask) -> Any:
    backend = twin.backend
    bot = dict(serializers.user_payload(backend.bot_user))
    return {
        "id": str(backend.application_id),
        "name": backend.bot_user.name,
        "icon": None,
        "description": "",
        "summary": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "owner": bot,
        "team": None,
        "bot": bot,
        "flags": twin.gateway.application_flags,
    }


def _guilds(twin: Discord, ask: Ask) -> Any:
    """Without before and after: a twin has fewer than two hundred."""
    backend = ask.backend
    return [
        {
            "id": str(guild.id),
            "name": guild.name,
            "icon": None,
            "banner": None,
            "owner": False,
            "permissions": str(backend.compute_permissions(guild.id, backend.bot_user.id)),
            "features": [],
        }
        for guild in backend.guilds.values()
        if backend.bot_user.id in guild.members
    ]


def _edit_channel(twin: Discord, ask: Ask) -> Any:
    channel = _visible(ask, ask.number("channel_id"))
    if not channel.is_thread:
        return _NOT_OURS
    changed = threads.edit(ask.backend, channel, ask.json_object, ask.backend.bot_user.id)
    return dict(serializers.channel_payload(ask.backend, changed))


def _delete_channel(twin: Discord, ask: Ask) -> Any:
    channel = _visible(ask, ask.number("channel_id"))
    if not channel.is_thread:
        return _NOT_OURS
    _need(ask, channel, "manage_threads")
    gone = dict(serializers.channel_payload(ask.backend, channel))
    ask.backend.delete_channel(channel.id)
    return gone


def _thread_on_message(twin: Discord, ask: Ask) -> Any:
    backend = ask.backend
    channel = _visible(ask, ask.number("channel_id"))
    if channel.guild_id is None:
        raise errors.cannot_execute_on_channel_type()
    _need(ask, channel, "create_public_threads", "read_message_history")
    body = ask.json_object
    thread = threads.start_on_message(
        backend,
        channel.id,
        ask.number("message_id"),
        str(body["name"]),
        backend.bot_user.id,
        archive_after=int(body.get("auto_archive_duration") or 1440),
    )
    return dict(serializers.thread_payload(backend, thread))


def _history(twin: Discord, ask: Ask) -> Any:
    if "after" not in ask.query:
        return _NOT_OURS
    # SimCord gives the newest after an id; Discord the next ones after it, newest first.
    backend, channel = ask.backend, _visible(ask, ask.number("channel_id"))
    if not channel_accessible(backend, channel.id, backend.bot_user.id, history=True):
        return []
    after, limit = int(ask.query["after"]), int(ask.query.get("limit", 50))
    there = sorted(m.id for m in backend.messages[channel.id].values() if not m.is_ephemeral and m.id > after)
    wanted = there[:limit]
    if not wanted:
        return []
    params = {"before": str(wanted[-1] + 1), "limit": str(len(wanted))}
    return dispatch(backend, "GET", ask.path, params=params, message_content_access=twin.message_content)


def _guild_commands(twin: Discord, ask: Ask) -> Any:
    guild = ask.number("guild_id")
    if guild not in ask.backend.guilds:
        raise errors.missing_access()
    return _NOT_OURS


def _command(twin: Discord, ask: Ask) -> Any:
    scope = int(ask.parameters["guild_id"]) if "guild_id" in ask.parameters else None
    kept = ask.backend.commands.get(scope, {})
    for key, command in kept.items():
        if command["id"] == ask.parameters["command_id"]:
            if ask.method == "GET":
                return command
            del kept[key]
            return None
    raise errors.BackendError(404, 10063, "Unknown application command")


def _callback(twin: Discord, ask: Ask) -> Any:
    made = dispatch(
        ask.backend,
        ask.method,
        ask.path,
        json=ask.body,
        files=list[Any](ask.files),
        message_content_access=twin.message_content,
    )
    return made if ask.query.get("with_response", "").lower() in ("true", "1") else None


def _visible(ask: Ask, channel: int) -> Channel:
    found = ask.backend.get_channel(channel)
    ask.backend.require_permissions(found.guild_id, ask.backend.bot_user.id, found.id, "view_channel")
    return found


def _need(ask: Ask, channel: Channel, *permissions: str) -> None:
    ask.backend.require_permissions(channel.guild_id, ask.backend.bot_user.id, channel.id, *permissions)


_GUILD_COMMANDS = "/applications/{application_id}/guilds/{guild_id}/commands"
_GLOBAL_COMMAND = "/applications/{application_id}/commands/{command_id}"
_ROUTES: dict[str, Route] = {
    "GET /gateway": _gateway,
    "GET /gateway/bot": _gateway_bot,
    "GET /applications/@me": _application,
    "GET /oauth2/applications/@me": _application,
    "GET /users/@me/guilds": _guilds,
    "PATCH /channels/{channel_id}": _edit_channel,
    "DELETE /channels/{channel_id}": _delete_channel,
    "POST /channels/{channel_id}/messages/{message_id}/threads": _thread_on_message,
    "GET /channels/{channel_id}/messages": _history,
    f"GET {_GUILD_COMMANDS}": _guild_commands,
    f"PUT {_GUILD_COMMANDS}": _guild_commands,
    f"GET {_GLOBAL_COMMAND}": _command,
    f"DELETE {_GLOBAL_COMMAND}": _command,
    f"GET {_GUILD_COMMANDS}/{{command_id}}": _command,
    f"DELETE {_GUILD_COMMANDS}/{{command_id}}": _command,
    "POST /interactions/{interaction_id}/{interaction_token}/callback": _callback,
}
