"""A Slack's state and how it changes. Every change that Slack tells apps about is a `Happening`.

One `World` is one Slack with any number of teams. Its methods do not ask who may: `web_api` checks tokens,
scopes and limits before it calls them, and people's control API calls them directly.

    world = World(); world.subscribe(callback)          # callback(Happening), called at once, must not block
    team = world.add_team("Acme"); ada = world.add_user(team.id, "ada", is_admin=True)
    app = world.add_app("Quartet"); install = world.install(app.id, team.id, {"chat:write", …})
    general = world.add_channel(team.id, "general", members=[ada.id, install.bot_user])
    world.post(general.id, user=ada.id, text=f"<@{install.bot_user}> hello")   # message + app_mention
"""

from __future__ import annotations

from .records import (
    App,
    Channel,
    Clock,
    Ephemeral,
    File,
    Happening,
    Install,
    Json,
    Message,
    Ping,
    Prompts,
    Refused,
    Stream,
    Team,
    Thread,
    Token,
    Trigger,
    User,
    UserGroup,
    View,
)
from .surfaces import Surfaces

__all__ = [
    "App",
    "Channel",
    "Clock",
    "Ephemeral",
    "File",
    "Happening",
    "Install",
    "Json",
    "Message",
    "Ping",
    "Prompts",
    "Refused",
    "Stream",
    "Team",
    "Thread",
    "Token",
    "Trigger",
    "User",
    "UserGroup",
    "View",
    "World",
]


class World(Surfaces):
    """One Slack: teams, people, apps, conversations.

    Its parts, each on top of the one before: `state` (records, clock, subscribers), `payloads` (JSON shapes),
    `registry` (who there is), `messages`, `surfaces` (agents, modals, home tabs).
    """
