"""What the bot asks a server for, and why: routes and features with the permissions they need. Pure.

The one table behind the invite link, docs/discord.md and `quartet check --online`. A test compares it
with the routes that the code calls: nothing missing, nothing unused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SCOPES: Final = ("bot", "applications.commands")  # of the invitation: the bot user, and `/quartet`

# Discord's bits, by the names that its library uses.
BITS: Final[Mapping[str, int]] = {
    "administrator": 1 << 3,
    "add_reactions": 1 << 6,
    "view_channel": 1 << 10,
    "send_messages": 1 << 11,
    "attach_files": 1 << 15,
    "read_message_history": 1 << 16,
    "create_public_threads": 1 << 35,
    "send_messages_in_threads": 1 << 38,
}

# Route of our own calls (`*` stands for an id or a token) → permissions in the channel.
ROUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "POST /channels/*/messages": ("view_channel", "send_messages", "send_messages_in_threads"),
    "PATCH /channels/*/messages/*": ("view_channel",),  # its own
    "DELETE /channels/*/messages/*": ("view_channel",),  # its own
    "GET /channels/*/messages": ("view_channel", "read_message_history"),
    "GET /channels/*/messages/*": ("view_channel", "read_message_history"),
    "POST /channels/*/messages/*/threads": ("view_channel", "read_message_history", "create_public_threads"),
    "POST /channels/*/typing": ("view_channel", "send_messages"),
    "PATCH /channels/*": ("view_channel", "send_messages_in_threads"),  # reopens a thread, closes its own
    "GET /channels/*": ("view_channel",),
    "GET /users/*": (),
    "GET /guilds/*/members/*": (),
    "GET /guilds/*/roles": (),
    "POST /users/@me/channels": (),
    "POST /interactions/*/*/callback": (),
    "POST /webhooks/*/*": (),
    "PATCH /webhooks/*/*/messages/@original": (),
    "DELETE /webhooks/*/*/messages/@original": (),
}

# What comes in, or goes out with a route → permissions.
FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    "mentions, replies and reactions": ("view_channel",),
    "answers that name what they answer": ("read_message_history",),
    "long answers and code as files": ("attach_files",),
}

# For people: why the bot wants it.
REASONS: Final[Mapping[str, str]] = {
    "view_channel": "see messages that mention it, and the threads it is in",
    "send_messages": "post in the channel where `/quartet ask` was given, and say why it cannot answer",
    "create_public_threads": "open a thread on the message that mentions it",
    "send_messages_in_threads": "show progress, ask and answer in threads; reopen those that Discord closed",
    "read_message_history": "read the thread it was mentioned in; find its own cards, and what it missed",
    "attach_files": "attach long answers and code as files",
}
# As Discord's pages show them.
TITLES: Final[Mapping[str, str]] = {
    "view_channel": "View Channels",
    "send_messages": "Send Messages",
    "create_public_threads": "Create Public Threads",
    "send_messages_in_threads": "Send Messages in Threads",
    "read_message_history": "Read Message History",
    "attach_files": "Attach Files",
}


def permissions() -> tuple[str, ...]:
    """Every permission that something needs, in the order of `REASONS`."""
    needed = {name for table in (ROUTES, FEATURES) for names in table.values() for name in names}
    return tuple(sorted(needed, key=list(REASONS).index))


def bits() -> int:
    """They all, as Discord writes them."""
    return sum(BITS[name] for name in permissions())


def missing(granted: int) -> tuple[str, ...]:
    """Permissions that a bit field lacks."""
    if granted & BITS["administrator"]:
        return ()
    return tuple(name for name in permissions() if not granted & BITS[name])
