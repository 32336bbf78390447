"""What the app asks Slack for, and why: methods, events and features with the scopes they need.

The one table behind the manifest, the installation page and `quartet check --online`. A test compares
it with the methods that the code calls and the events it takes: nothing missing, nothing unused.
"""

from __future__ import annotations

from collections.abc import Iterable

# Of each kind of conversation the bot may be in: public, private, direct, direct among several.
HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
READ = ("channels:read", "groups:read", "im:read", "mpim:read")

# Method of the Web API → scopes of the bot token.
METHODS: dict[str, tuple[str, ...]] = {
    "auth.test": (),
    "chat.postMessage": ("chat:write",),
    "chat.update": ("chat:write",),
    "chat.delete": ("chat:write",),
    "chat.postEphemeral": ("chat:write",),
    "chat.startStream": ("chat:write",),
    "chat.appendStream": ("chat:write",),
    "chat.stopStream": ("chat:write",),
    "assistant.threads.setStatus": ("chat:write",),
    "assistant.threads.setTitle": ("assistant:write",),
    "assistant.threads.setSuggestedPrompts": ("assistant:write",),
    "conversations.history": HISTORY,
    "conversations.replies": HISTORY,
    "conversations.info": READ,
    "conversations.open": ("im:write",),
    "users.info": ("users:read",),
    "usergroups.list": ("usergroups:read",),
    "usergroups.users.list": ("usergroups:read",),
    "files.info": ("files:read",),
    "files.getUploadURLExternal": ("files:write",),
    "files.completeUploadExternal": ("files:write",),
    "views.open": (),
    "views.update": (),
    "views.publish": (),
}
# Called with the app token, whose own scope is given when it is made.
APP_METHODS: dict[str, tuple[str, ...]] = {"apps.connections.open": ("connections:write",)}

# Event that the bot subscribes to → scopes.
EVENTS: dict[str, tuple[str, ...]] = {
    "app_mention": ("app_mentions:read",),
    "message.channels": ("channels:history",),
    "message.groups": ("groups:history",),
    "message.im": ("im:history",),
    "message.mpim": ("mpim:history",),
    "reaction_added": ("reactions:read",),
    "app_home_opened": (),
    "app_context_changed": ("assistant:write",),  # sent to apps with the agent pane
    "agent_session_stopped": ("chat:write",),  # likewise
    "tokens_revoked": (),
    "app_uninstalled": (),
}

# What the manifest switches on → scopes.
FEATURES: dict[str, tuple[str, ...]] = {
    "agent_view": ("assistant:write",),
    "slash_commands": ("commands",),
    "shortcuts": ("commands",),
    "downloads": ("files:read",),  # fetching what people attach, with the token in the header
}

# For people: why the app wants it.
REASONS: dict[str, str] = {
    "app_mentions:read": "see messages that mention the bot",
    "assistant:write": "the agent pane: suggested prompts and titles of conversations",
    "channels:history": "read the thread it was mentioned in, in public channels it is in",
    "channels:read": "names of public channels it is in",
    "chat:write": "post and edit its own messages",
    "commands": "`/quartet` and the two shortcuts",
    "files:read": "fetch files that people attach for it",
    "files:write": "attach long answers and code as files",
    "groups:history": "read the thread it was mentioned in, in private channels it was invited to",
    "groups:read": "names of private channels it was invited to",
    "im:history": "read what people write to it directly",
    "im:read": "know a direct conversation by its id",
    "im:write": "open a direct conversation where no channel was chosen",
    "mpim:history": "read what people write in group conversations it is in",
    "mpim:read": "know a group conversation by its id",
    "reactions:read": "❌ on a message stops the run",
    "usergroups:read": "user groups as approvers",
    "users:read": "names of people, and who is an admin",
}


def bot_scopes() -> tuple[str, ...]:
    """Every scope of the bot token that something needs, sorted."""
    return tuple(
        sorted({scope for table in (METHODS, EVENTS, FEATURES) for s in table.values() for scope in s})
    )


def bot_events() -> tuple[str, ...]:
    """Every event that the bot subscribes to, sorted."""
    return tuple(sorted(EVENTS))


def missing(granted: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Scopes that a token lacks, each with the methods, events and features that would fail without it."""
    have = set(granted)
    return {scope: needed_by(scope) for scope in bot_scopes() if scope not in have}


def needed_by(scope: str) -> tuple[str, ...]:
    """What needs this scope."""
    tables = (METHODS, EVENTS, FEATURES)
    return tuple(name for table in tables for name, scopes in table.items() if scope in scopes)
