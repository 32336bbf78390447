"""One call of the Web API: its arguments, who calls, and the checks that many methods share."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from aiohttp import web

from .workspace import App, Channel, Install, Json, Message, Refused, Token, User, World

Answer = Json | Awaitable[Json]
CallFunction = Callable[["Ask"], Answer]
F = TypeVar("F", bound=CallFunction)


@dataclass(frozen=True)
class Method:
    """A method: what it does, and which scopes open it (any one of them; none: every token)."""

    name: str
    call: CallFunction
    scopes: Sequence[str] = ()
    auth: bool = True  # False: the function looks at the request by itself


METHODS: dict[str, Method] = {}


def method(name: str, *scopes: str) -> Callable[[F], F]:
    """Register a function as a method of every twin."""

    def keep(function: F) -> F:
        METHODS[name] = Method(name, function, scopes)
        return function

    return keep


@dataclass
class Ask:
    """A call, authenticated unless the method does that by itself."""

    world: World
    name: str
    arguments: Mapping[str, Any]
    request: web.Request | None = field(default=None, repr=False)
    bearer: str = field(default="", repr=False)
    token: Token | None = None
    team: str = ""

    @property
    def install(self) -> Install:
        if self.token is None:
            raise Refused("not_authed")
        return self.token.install

    @property
    def app(self) -> App:
        return self.world.apps[self.install.app]

    @property
    def me(self) -> User:
        """Who calls: the bot's user, or the user of a user's token."""
        token = self.token
        if token is None:
            raise Refused("not_authed")
        return self.world.users[token.user if token.kind == "user" else token.install.bot_user]

    # ── arguments ───────────────────────────────────────────────────────────────────────────

    def text(self, name: str, default: str = "") -> str:
        """A text argument; numbers become text."""
        value = self.arguments.get(name)
        if value is None:
            return default
        if isinstance(value, dict | list):
            raise Refused("invalid_arguments", response_metadata=_said(f"{name} is not a string"))
        return str(value)

    def need(self, name: str, error: str = "invalid_arguments") -> str:
        """A text argument that must be there."""
        value = self.text(name)
        if not value:
            said = _said(f"missing required field: {name}") if error == "invalid_arguments" else {}
            raise Refused(error, **({"response_metadata": said} if said else {}))
        return value

    def flag(self, name: str) -> bool:
        """A boolean in any of the forms clients send."""
        return str(self.arguments.get(name, "")).lower() in ("1", "true")

    def number(self, name: str, default: int) -> int:
        """A whole number.

        Raises:
            Refused: invalid_limit.
        """
        try:
            return int(self.text(name) or default)
        except ValueError:
            raise Refused("invalid_limit") from None

    def decoded(self, name: str, error: str) -> object:
        """A structured argument: given as JSON already, or as text that holds JSON; None when absent."""
        value = self.arguments.get(name)
        if isinstance(value, str):
            if not value:
                return None
            try:
                return cast("object", json.loads(value))
            except ValueError:
                raise Refused(error) from None
        return cast("object", value)

    # ── checks ──────────────────────────────────────────────────────────────────────────────

    def need_scope(self, *any_of: str) -> None:
        """Refuse with missing_scope unless the token has one of these."""
        if self.token is not None and any_of and not self.token.scopes.intersection(any_of):
            provided = ",".join(sorted(self.token.scopes))
            raise Refused("missing_scope", needed=any_of[0], provided=provided)

    def need_scope_for(self, channel: Channel, what: str) -> None:
        """`what` is read, history or write, for the type of this conversation."""
        kinds = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}
        self.need_scope(f"{kinds[channel.channel_type]}:{what}")

    def channel(self, name: str = "channel") -> Channel:
        """The conversation named by an argument, if the caller may know that it exists."""
        wanted = self.need(name, "channel_not_found")
        found = self.world.channels.get(wanted)
        if found is None or (self.team and not self._reaches(found)):
            raise Refused("channel_not_found")
        if not found.public and self.me.id not in found.members:
            raise Refused("channel_not_found")
        return found

    def member_channel(self, name: str = "channel") -> Channel:
        """A conversation the caller is in."""
        found = self.channel(name)
        if self.me.id not in found.members:
            raise Refused("not_in_channel")
        return found

    def _reaches(self, channel: Channel) -> bool:
        if self.team in channel.teams:
            return True
        install = self.install  # an organisation's own token sees all of its teams
        return not install.team and any(
            self.world.teams[t].enterprise == install.enterprise
            for t in channel.teams
            if t in self.world.teams
        )

    def own_message(self, channel: Channel, ts: str, error: str) -> Message:
        """A message that this app wrote."""
        found = self.world.message(channel.id, ts)
        if found.user != self.me.id:
            raise Refused(error)
        return found

    def user(self, name: str = "user") -> User:
        """A person of this workspace, or of one it shares a channel with."""
        found = self.world.users.get(self.need(name, "user_not_found"))
        if found is None:
            raise Refused("user_not_found")
        if found.team != self.team and self.install.team:
            shared = any(self.team in c.teams and found.id in c.members for c in self.world.channels.values())
            if not shared:
                raise Refused("user_not_found")
        return found

    # ── pages ───────────────────────────────────────────────────────────────────────────────

    def page(self, rows: Sequence[Any], *, default: int, most: int) -> tuple[list[Any], str]:
        """The part of `rows` that limit and cursor ask for, and the next cursor."""
        limit = self.number("limit", default)
        if limit < 1:
            raise Refused("invalid_limit")
        start = _read_cursor(self.text("cursor"))
        end = start + min(limit, most)
        following = base64.b64encode(f"next:{end}".encode()).decode() if end < len(rows) else ""
        return list(rows[start:end]), following


def _read_cursor(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        word, _, number = base64.b64decode(cursor, validate=True).decode().partition(":")
        start = int(number) if word == "next" else -1
    except (ValueError, binascii.Error):
        start = -1
    if start < 0:
        raise Refused("invalid_cursor")
    return start


def _said(message: str) -> Json:
    return {"messages": [f"[ERROR] {message}"]}
