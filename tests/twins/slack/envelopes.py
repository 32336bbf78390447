"""From what happened in the world to `event_callback` bodies, for the events an app may see.

An app sees an event when it subscribed to it, was granted the event's scope, and its bot is where it
happened.
"""

from __future__ import annotations

import base64
import copy
import json
import secrets
from typing import Any

from tests.twins.slack.delivery import Json, Parcel
from tests.twins.slack.workspace import App, Channel, Happening, Install, World

SUBSCRIBED = frozenset(
    {
        "agent_session_stopped",
        "app_context_changed",
        "app_home_opened",
        "app_mention",
        "app_uninstalled",
        "member_joined_channel",
        "message.channels",
        "message.groups",
        "message.im",
        "message.mpim",
        "reaction_added",
        "reaction_removed",
        "tokens_revoked",
    }
)
"""What an app is told of unless a test says otherwise."""

SCOPES = {
    "app_mention": "app_mentions:read",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
    "message.mpim": "mpim:history",
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
    "file_shared": "files:read",
    "team_join": "users:read",
    "user_change": "users:read",
}
"""The scope without which Slack does not send an event; others need none, or that of the conversation."""

_MESSAGES = {
    "channel": "message.channels",
    "group": "message.groups",
    "im": "message.im",
    "mpim": "message.mpim",
}
_ABOUT_CHANNELS = {
    "channel": "channels:read",
    "group": "groups:read",
    "im": "im:read",
    "mpim": "mpim:read",
}


def subscription(event: Json) -> str:
    """The name under which apps subscribe to an event: `message.im`, `app_mention`, …"""
    kind = str(event["type"])
    return _MESSAGES[event["channel_type"]] if kind == "message" else kind


def channel_of(event: Json) -> str:
    """C…, D… or G… where the event happened; "" for none."""
    item: Json = event.get("item") or {}
    where: Any = event.get("channel") or item.get("channel") or event.get("channel_id") or ""
    return where if isinstance(where, str) else str(where.get("id", ""))


class Envelopes:
    """Wraps happenings for one app.

    Args:
        world: where they happen.
        app: who is told.
        token: the verification token that each body holds.
    """

    def __init__(self, world: World, app: App, token: str) -> None:
        self._world = world
        self._app = app
        self._token = token

    def parcel(self, happening: Happening) -> Parcel | None:
        """The event as this app gets it; None when it is none of its business."""
        event = happening.event
        if happening.app not in ("", self._app.id) or subscription(event) not in self._app.events:
            return None
        install = self._world.installed(self._app.id, happening.team)
        if install is None:
            return None
        channel = self._world.channels.get(channel_of(event))
        if not happening.app and not self._sees(install, channel):
            return None
        if event["type"] == "app_mention" and (channel is None or install.bot_user not in channel.members):
            return None
        if event["type"] not in ("app_uninstalled", "tokens_revoked") and not self._granted(
            install, subscription(event), channel
        ):
            return None
        return Parcel("events_api", self._body(happening, install, channel))

    def _sees(self, install: Install, channel: Channel | None) -> bool:
        return install.active and (channel is None or install.bot_user in channel.members)

    def _granted(self, install: Install, name: str, channel: Channel | None) -> bool:
        needed = SCOPES.get(name)
        if needed is None and name.startswith(("member_", "channel_")) and channel is not None:
            needed = _ABOUT_CHANNELS[channel.channel_type]
        return needed is None or needed in install.scopes

    def _body(self, happening: Happening, install: Install, channel: Channel | None) -> Json:
        event = copy.deepcopy(happening.event)
        team = self._world.teams[happening.team]
        event_id = "Ev" + secrets.token_hex(5).upper()
        hint = {"et": event["type"], "tid": team.id, "aid": self._app.id, "cid": channel_of(event)}
        body: Json = {
            "token": self._token,
            "team_id": team.id,
            "context_team_id": team.id,
            "context_enterprise_id": team.enterprise or None,
            "api_app_id": self._app.id,
            "event": event,
            "type": "event_callback",
            "event_id": event_id,
            "event_time": int(self._world.now()),
            "authorizations": [
                {
                    "enterprise_id": install.enterprise or team.enterprise or None,
                    "team_id": install.team or None,
                    "user_id": install.bot_user,
                    "is_bot": True,
                    "is_enterprise_install": not install.team,
                }
            ],
            "is_ext_shared_channel": channel.is_ext_shared if channel else False,
            "event_context": "4-" + base64.urlsafe_b64encode(json.dumps(hint).encode()).decode().rstrip("="),
        }
        if team.enterprise:
            body["enterprise_id"] = team.enterprise
        return body
