"""What a world holds, its clock, its ids and its subscribers: the ground the rest of `World` stands on."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable

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
    Team,
    Thread,
    Token,
    Trigger,
    User,
    UserGroup,
    View,
)


class State:
    """Every record of one Slack."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.base_url = ""  # "http://127.0.0.1:PORT", set by the server once it listens
        self.teams: dict[str, Team] = {}
        self.users: dict[str, User] = {}
        self.apps: dict[str, App] = {}
        self.installs: list[Install] = []
        self.tokens: dict[str, Token] = {}
        self.channels: dict[str, Channel] = {}
        self.messages: dict[str, dict[str, Message]] = {}  # channel → ts → message, in order
        self.replies: dict[tuple[str, str], list[str]] = {}  # (channel, thread_ts) → ts of its replies
        self.ephemerals: list[Ephemeral] = []
        self.groups: dict[str, UserGroup] = {}
        self.files: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.modals: dict[tuple[str, str], list[str]] = {}  # (team, user) → open view ids, topmost last
        self.homes: dict[tuple[str, str, str], str] = {}  # (app, team, user) → view id
        self.triggers: dict[str, Trigger] = {}
        self.threads: dict[tuple[str, str], Thread] = {}  # (channel, thread_ts)
        self.prompts: dict[tuple[str, str], Prompts] = {}  # (channel, thread_ts or "")
        self.pings: list[Ping] = []  # what bots' messages notified
        self._last_ts = 0
        self._number = 0
        self._subscribers: list[Callable[[Happening], None]] = []

    def subscribe(self, told: Callable[[Happening], None]) -> None:
        """Have `told` called for every happening, in order."""
        self._subscribers.append(told)

    def emit(self, team: str, event: Json, *, app: str = "") -> None:
        """Tell the subscribers. `event_ts` is filled in."""
        event = copy.deepcopy(event)  # what was told stays as it was
        event.setdefault("event_ts", self.next_ts())
        for told in tuple(self._subscribers):
            told(Happening(team, event, app))

    def now(self) -> float:
        """The world's time, epoch seconds."""
        return self.clock.now()

    def next_ts(self) -> str:
        """A `ts` later than every other."""
        self._last_ts = max(self._last_ts + 1, int(self.now() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def new_id(self, prefix: str) -> str:
        """An id in Slack's shape, e.g. `C0000000A7`."""
        self._number += 1
        return (
            f"{prefix}{hashlib.sha256(str(self._number).encode()).hexdigest()[:6].upper()}{self._number:04d}"
        )
