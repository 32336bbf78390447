"""What a Slack on loopback remembers: plain records, changed by `workspace.World` alone.

Ids look like Slack's (T… team, E… organisation, U… user, B… bot, A… app, C/G/D… conversation, F… file,
V… view). A `ts` is Slack's "seconds.micros" text. Times called `at` are seconds of the world's clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]


class Refused(Exception):
    """Slack's `{"ok": false, "error": …}`.

    Args:
        error: Slack's word.
        extra: more fields of the answer, e.g. `needed`, `response_metadata`.
    """

    def __init__(self, error: str, **extra: Any) -> None:
        super().__init__(error)
        self.error = error
        self.extra = extra


class Clock:
    """The world's time: the real one, plus what tests jumped ahead."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Epoch seconds."""
        return time.time() + self.offset

    def jump(self, seconds: float) -> None:
        """Go ahead."""
        self.offset += seconds


@dataclass
class Team:
    """A workspace."""

    id: str
    name: str
    domain: str
    enterprise: str = ""  # E… of Enterprise Grid


@dataclass
class User:
    """A person, or a bot's user."""

    id: str
    team: str
    name: str
    real_name: str = ""
    email: str = ""
    is_admin: bool = False
    is_owner: bool = False
    is_bot: bool = False
    bot_id: str = ""  # of a bot's user
    deleted: bool = False
    enterprise: str = ""


@dataclass
class App:
    """An app as it is registered with Slack."""

    id: str
    name: str
    client_id: str
    client_secret: str = field(repr=False)
    signing_secret: str = field(repr=False)
    is_agent: bool = True
    events: set[str] = field(default_factory=set[str])  # subscribed bot events, e.g. "message.channels"
    app_tokens: set[str] = field(default_factory=set[str], repr=False)  # xapp-…
    rotation: bool = False  # bot tokens expire after twelve hours


@dataclass
class Install:
    """An app in a workspace, or in a whole organisation (`team` is "")."""

    app: str
    team: str
    bot_user: str
    bot_id: str
    scopes: set[str]
    enterprise: str = ""
    installed_by: str = ""
    active: bool = True


@dataclass
class Token:
    """A token and what it may do."""

    token: str = field(repr=False)
    install: Install
    scopes: set[str]
    kind: Literal["bot", "user", "app"] = "bot"
    user: str = ""  # of a user's token
    expires_at: float | None = None
    refresh_token: str = field(default="", repr=False)
    revoked: bool = False


@dataclass
class Channel:
    """A conversation: C… public or private, G… older private or group DM, D… direct."""

    id: str
    name: str
    team: str  # where it was made
    creator: str = ""
    created: int = 0
    members: list[str] = field(default_factory=list[str])
    is_private: bool = False
    is_im: bool = False
    is_mpim: bool = False
    is_archived: bool = False
    is_ext_shared: bool = False
    teams: set[str] = field(default_factory=set[str])  # all that share it

    @property
    def channel_type(self) -> str:
        """As events carry it: channel, group, im, mpim."""
        return "im" if self.is_im else "mpim" if self.is_mpim else "group" if self.is_private else "channel"

    @property
    def public(self) -> bool:
        return self.channel_type == "channel"


@dataclass
class Stream:
    """A message that is being streamed, or was."""

    started_at: float
    mode: str = "timeline"  # or "plan"
    text: str = ""
    title: str = ""
    tasks: dict[str, Json] = field(default_factory=dict[str, Json])  # by the chunk's id, in order of arrival
    blocks: list[Json] = field(default_factory=list[Json])  # of blocks chunks
    characters: int = 0
    open: bool = True
    recipient: str = ""
    stopped_by_person: bool = False


@dataclass
class Message:
    """A message of a channel or thread."""

    channel: str
    ts: str
    user: str
    text: str
    team: str
    thread_ts: str = ""  # of its root; "" for a root without replies
    subtype: str = ""
    blocks: list[Json] = field(default_factory=list[Json])
    attachments: list[Json] = field(default_factory=list[Json])
    metadata: Json | None = None
    files: list[str] = field(default_factory=list[str])
    bot_id: str = ""
    app_id: str = ""
    username: str = ""
    edited: Json | None = None  # {"user", "ts"}
    edits: int = 0
    reactions: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    stream: Stream | None = None
    client_msg_id: str = ""
    truncated: bool = False  # Slack cut its text at 40,000 characters
    deleted: bool = False

    @property
    def is_reply(self) -> bool:
        return bool(self.thread_ts) and self.thread_ts != self.ts


@dataclass
class Ephemeral:
    """A message that one person sees."""

    channel: str
    user: str
    ts: str
    text: str
    thread_ts: str = ""
    blocks: list[Json] = field(default_factory=list[Json])
    app_id: str = ""


@dataclass
class UserGroup:
    """People under one handle."""

    id: str  # S…
    team: str
    handle: str
    name: str
    users: list[str] = field(default_factory=list[str])
    disabled: bool = False


@dataclass
class File:
    """A file, its bytes, and where it was shared."""

    id: str
    team: str
    user: str
    name: str
    title: str
    mimetype: str
    filetype: str
    content: bytes = field(default=b"", repr=False)
    size: int = 0  # as announced; after the upload that of the content
    created: int = 0
    snippet: bool = False
    channels: list[str] = field(default_factory=list[str])
    uploaded: bool = False  # the bytes are here
    complete: bool = False  # completeUploadExternal was called, or a person shared it
    ticket: str = field(default="", repr=False)  # in the upload's address
    deleted: bool = False
    by_app: str = ""
    alt_txt: str = ""  # of a picture, for screen readers


@dataclass
class View:
    """A modal in a person's stack, or a person's home tab."""

    id: str
    team: str
    user: str
    app: str
    type: str  # modal, home
    payload: Json  # as the app sent it, block ids filled in
    hash: str
    root_id: str = ""
    previous_id: str = ""
    external_id: str = ""
    open: bool = True
    state: Json = field(default_factory=dict[str, Any])  # {"values": …}, as a person filled it in
    updates: int = 0


@dataclass
class Trigger:
    """The right to open one modal, for 3 s."""

    id: str
    team: str
    user: str
    app: str
    at: float
    used: bool = False
    view: str = ""  # made in this modal: views.push


@dataclass
class Thread:
    """What assistants and agents say of one thread."""

    channel: str
    thread_ts: str
    status: str = ""  # see World.status_of, which knows that it fades
    status_at: float = 0.0
    loading_messages: list[str] = field(default_factory=list[str])
    title: str = ""
    session_status: str = ""  # processing, active, suspended, closed
    session_title: str = ""
    initiator: str = ""
    history: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])  # every status set


@dataclass
class Prompts:
    """Suggested prompts of a conversation."""

    title: str
    prompts: list[Json]


@dataclass(frozen=True)
class Ping:
    """Somebody was notified by a message of a bot: `<!channel>`, `<@U…>` and their kind."""

    channel: str
    ts: str
    what: str  # the sequence
    where: str  # "text", or the path of the block


@dataclass(frozen=True)
class Happening:
    """Something Slack tells apps about; becomes an event envelope."""

    team: str
    event: Json
    app: str = ""  # A…: this app alone is told; "": every app that may see it
