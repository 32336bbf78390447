"""Discord's events → `Arrival`: what is worth keeping, under which key. Pure: no network, no clock.

Nothing here is trusted and nothing raises: what does not have the shape that Discord documents is
None, which means "forget it". Discord does not say with a message what its channel is: the gateway
adds that (`payload.PARENT` and its sisters) before anything is read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from adapters.contract import ConversationRef
from adapters.discord import custom_ids
from adapters.discord.payload import (
    DM,
    HOLDS_THREADS,
    OWN_ROLE,
    THREADS,
    channel_of,
    guild_of,
    ident,
    idents,
    number,
    snowflake,
    user_of,
)
from adapters.discord.ports import DIRECT
from adapters.discord.typed import ASK_ABOUT, COMMAND, subcommand
from adapters.payload import Payload, mapping, text

Kind = Literal[
    "mention",  # a message that names the bot, or answers one of its messages
    "direct",  # a direct message
    "reply",  # a thread's message without mention: counts where the thread is known
    "deleted",  # a message was deleted
    "reaction",  # one that means "stop"
    "click",
    "feedback",
    "form",  # a modal was sent
    "again",  # "Correct": the form opens again, with what was typed
    "command",  # /quartet
    "ask_about",  # the command in a message's menu
    "home",  # /quartet home
]
MESSAGES: frozenset[str] = frozenset({"mention", "direct", "reply"})
INTERACTIONS: frozenset[str] = frozenset(
    {"click", "feedback", "form", "again", "command", "ask_about", "home"}
)
EVENTS = frozenset(
    {"MESSAGE_CREATE", "MESSAGE_DELETE", "MESSAGE_DELETE_BULK", "MESSAGE_REACTION_ADD", "INTERACTION_CREATE"}
)  # what of the gateway is read here; edits never start or change anything
STOP_REACTIONS = frozenset("❌✖❎⛔🚫🛑⏹")
MODALS = frozenset({"form", "ask"})  # actions in the custom ids of what can be sent

_VARIANT = "\N{VARIATION SELECTOR-16}"
_IN_ORDER = frozenset({"pause", "resume", "settings"})  # words of `/quartet` of which the last one counts
_SPOKEN = frozenset({0, 19, 20, 23})  # what people write, and what other apps answer to commands


@dataclass(frozen=True, slots=True)
class Me:
    """Who we are; "" where it is not known."""

    user: str = ""
    application: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that came from Discord and is to be kept."""

    key: str  # the same thing delivered again has the same key
    lane: str  # what is in one lane is handed in in order
    kind: Kind
    guild: str  # `ports.DIRECT` for direct messages
    payload: Payload

    @property
    def pressed(self) -> bool:
        """Whether a person waits with a click or a form in their hand."""
        return self.kind in INTERACTIONS


@dataclass(frozen=True, slots=True)
class Spoken:
    """The envelope of a message."""

    guild: str  # `ports.DIRECT` for direct messages
    channel: str  # of the conversation: where it stands in a thread, the channel that this hangs in
    thread: str  # of the conversation; a message in a channel is the root of a thread with its own id
    stands_in: str  # id of the channel or thread where the message stands
    message: str
    author: str
    bot: bool  # another app, or a webhook
    webhook: str  # its id; "" where it came from none
    channel_type: int  # -1: not known

    @property
    def root(self) -> bool:
        """Whether it stands in a channel, so that its thread has to be made on it.

        The first message of a forum's post has the id of its thread as well, and stands in it.
        """
        return bool(self.thread) and self.thread == self.message and self.stands_in != self.thread


def read(event: str, payload: object, me: Me, allowed_bots: Collection[str] = ()) -> Arrival | None:
    """What an event is; None: nothing for us.

    Args:
        event: the gateway's name, e.g. `MESSAGE_CREATE`. Of a bulk deletion, give what `singly` makes of it.
        payload: the event's data, as JSON, with what the gateway added.
        me: who we are.
        allowed_bots: user, application or webhook ids whose messages count; "*": everyone's.
    """
    given = mapping(payload)
    match event:
        case "MESSAGE_CREATE":
            return _message(given, me, allowed_bots)
        case "MESSAGE_DELETE":
            return _deletion(given)
        case "MESSAGE_REACTION_ADD":
            return _reaction(given, me)
        case "INTERACTION_CREATE":
            return _interaction(given)
        case _:
            return None


def singly(event: str, payload: object) -> list[tuple[str, Payload]]:
    """The event as it is; a deletion of many messages as one for each of them."""
    given = mapping(payload)
    if event != "MESSAGE_DELETE_BULK":
        return [(event, given)]
    rest = {name: value for name, value in given.items() if name != "ids"}
    return [("MESSAGE_DELETE", {**rest, "id": one}) for one in sorted(idents(given.get("ids")))]


def conversation_of(arrival: Arrival) -> ConversationRef:
    """The conversation where something was said, deleted, pressed or typed."""
    said = spoken(arrival.payload) if arrival.kind in MESSAGES or arrival.kind == "deleted" else None
    if said is not None:
        return conversation_at(said.guild, said.channel, said.thread)
    return place(arrival.payload)


def conversation_at(guild: str, channel: str, thread: str = "") -> ConversationRef:
    """A place where people and the bot talk; without a thread the channel itself."""
    return ConversationRef(platform="discord", workspace=guild, channel=channel, thread=thread)


def place(payload: Payload) -> ConversationRef:
    """Where something was pressed, typed or reacted to: the thread, or the channel itself."""
    channel, parent, _ = channel_of(payload)
    return conversation_at(guild_of(payload), parent or channel, channel if parent else "")


def message_key(guild: str, stands_in: str, message: str) -> str:
    """The key of a message, however often and on whatever way it comes."""
    return f"discord:{guild}:{stands_in}:{message}"


def spoken(payload: Payload) -> Spoken | None:
    """The envelope of a message, or of a message's deletion; None: it is none."""
    stands_in, parent, kind = channel_of(payload)
    message = ident(payload, "id")
    if not stands_in or not message:
        return None
    guild = guild_of(payload)
    author, webhook = mapping(payload.get("author")), ident(payload, "webhook_id")
    if guild == DIRECT:
        channel, thread = stands_in, ""
    elif parent:
        channel, thread = parent, stands_in
    else:
        channel, thread = stands_in, message if kind in HOLDS_THREADS or kind < 0 else ""
    bot = bool(webhook) or author.get("bot") is True
    return Spoken(guild, channel, thread, stands_in, message, ident(author, "id"), bot, webhook, kind)


# ── messages ─────────────────────────────────────────────────────────────────────────────────


def _message(given: Payload, me: Me, allowed_bots: Collection[str]) -> Arrival | None:
    said = spoken(given)
    author = mapping(given.get("author"))
    if said is None or not said.author or number(given, "type", 0) not in _SPOKEN:
        return None
    if _own(given, said, me) or author.get("system") is True:
        return None
    if said.bot and not _allowed(given, said, allowed_bots):
        return None
    kind: Kind
    if said.guild == DIRECT:
        kind = "direct"
    elif _names_us(given, me):
        kind = "mention"
    elif said.channel_type in THREADS:
        kind = "reply"
    else:
        return None
    there = conversation_at(said.guild, said.channel, said.thread)
    return Arrival(message_key(said.guild, said.stands_in, said.message), there.key, kind, said.guild, given)


def _own(given: Payload, said: Spoken, me: Me) -> bool:
    if me.user and said.author == me.user:
        return True
    # What we answer to commands comes as from a webhook whose id is our application's.
    return bool(said.bot and me.application) and me.application in (
        said.webhook,
        ident(given, "application_id"),
        said.author,
    )


def _allowed(given: Payload, said: Spoken, allowed_bots: Collection[str]) -> bool:
    ids = {said.author, said.webhook, ident(given, "application_id")} - {""}
    return "*" in allowed_bots or not ids.isdisjoint(allowed_bots)


def _names_us(given: Payload, me: Me) -> bool:
    """Whether a message names the bot, its own role, or answers one of its messages. `@everyone` does not."""
    if me.user and me.user in idents(given.get("mentions")):
        return True
    own_role = ident(given, OWN_ROLE)
    if own_role and own_role in idents(given.get("mention_roles")):
        return True
    answered = mapping(mapping(given.get("referenced_message")).get("author"))
    return bool(me.user) and number(given, "type", 0) == 19 and ident(answered, "id") == me.user


def _deletion(given: Payload) -> Arrival | None:
    gone = spoken(given)
    if gone is None:
        return None
    lane = conversation_at(gone.guild, gone.channel, gone.thread).key
    key = f"{message_key(gone.guild, gone.stands_in, gone.message)}:deleted"
    return Arrival(key, lane, "deleted", gone.guild, given)


def _reaction(given: Payload, me: Me) -> Arrival | None:
    emoji = text(mapping(given.get("emoji")), "name").replace(_VARIANT, "")
    user = user_of(given)
    who, channel, message = ident(given, "user_id"), ident(given, "channel_id"), ident(given, "message_id")
    # A server's own emoji has an id, and may be called anything.
    if emoji not in STOP_REACTIONS or ident(mapping(given.get("emoji")), "id"):
        return None
    if not (who and channel and message) or who == me.user or user.get("bot") is True:
        return None
    guild = guild_of(given)
    key = f"{message_key(guild, channel, message)}:{who}:{emoji}"
    return Arrival(key, f"reaction:{guild}:{who}", "reaction", guild, given)


# ── interactions ─────────────────────────────────────────────────────────────────────────────


def _interaction(given: Payload) -> Arrival | None:
    kind = _pressed(given)
    who, what = ident(user_of(given), "id"), ident(given, "id")
    channel = channel_of(given)[0]
    if kind is None or not (who and what and channel):
        return None
    guild, key = guild_of(given), f"discord:interaction:{what}"
    # What undoes something else stays in order; no other press waits for one that does not get through.
    lane = f"person:{guild}:{who}:{channel}" if _in_order(kind, mapping(given.get("data"))) else key
    return Arrival(key, lane, kind, guild, given)


def _in_order(kind: Kind, data: Payload) -> bool:
    """Whether it has to stay behind what the same person pressed or typed there before."""
    if kind == "command":
        return subcommand(data)[0] in _IN_ORDER
    pressed = custom_ids.read(text(data, "custom_id"))
    if pressed is None:
        return False
    if kind == "form":
        return (pressed.target or "").startswith("settings:")
    return kind == "click" and pressed.action in ("pause", "resume")


def _pressed(given: Payload) -> Kind | None:
    data = mapping(given.get("data"))
    match number(given, "type"):  # 4, the completion of a command, is answered and never kept
        case 2:
            return _typed(data)
        case 3:
            pressed = custom_ids.read(text(data, "custom_id"))
            if pressed is None or not pressed.target or pressed.action in MODALS:
                return None
            if pressed.action in ("good", "bad"):
                return "feedback"
            return "again" if pressed.action == "again" else "click"
        case 5:
            pressed = custom_ids.read(text(data, "custom_id"))
            return "form" if pressed is not None and pressed.action in MODALS else None
        case _:
            return None


def _typed(data: Payload) -> Kind | None:
    name = text(data, "name")
    match number(data, "type", 1):
        case 1 if name == COMMAND:
            return "home" if subcommand(data)[0] == "home" else "command"
        case 3 if name == ASK_ABOUT and snowflake(data.get("target_id")):
            return "ask_about"
        case _:
            return None


def direct(payload: Payload) -> bool:
    """Whether something stands in a direct message with the bot."""
    return guild_of(payload) == DIRECT and channel_of(payload)[2] in (DM, -1)
