"""Slack's payloads → `Arrival`: what is worth keeping, under which key. Pure: no network, no clock.

Nothing here is trusted and nothing raises: what does not have the shape that Slack documents is
None, which means "acknowledge and forget".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from adapters.contract import ConversationRef
from adapters.payload import Payload, items, mapping, text
from adapters.slack.payload import action, bot_user_of, delivered_for, ident, place, presser, stamp, team_of

Kind = Literal[
    "mention",  # a message that names the bot
    "direct",  # a direct message
    "reply",  # a thread's message without mention: counts where the thread is known
    "deleted",  # a message was deleted
    "reaction",  # one that means "stop"
    "stopped",  # Slack's own Stop button
    "home",  # somebody opened App Home
    "pane",  # somebody opened the conversation with the bot
    "viewing",  # what somebody looks at beside the conversation
    "uninstalled",  # the app or its tokens are gone
    "click",
    "feedback",
    "submission",  # a modal was sent
    "ask_about",  # message shortcut
    "ask_new",  # global shortcut
    "command",  # /quartet
]
MESSAGES: frozenset[str] = frozenset({"mention", "direct", "reply"})
INTERACTIONS: frozenset[str] = frozenset(
    {"click", "feedback", "submission", "ask_about", "ask_new", "command"}
)
STOP_REACTIONS = frozenset(
    {"x", "heavy_multiplication_x", "negative_squared_cross_mark", "no_entry", "no_entry_sign",
     "octagonal_sign", "black_square_for_stop"}
)  # fmt: skip
ACTIONS = "quartet:"  # what our action ids begin with
FEEDBACK = "quartet:feedback"
MODALS = frozenset({"quartet:form", "quartet:ask"})  # callback ids of what can be sent
_SPOKEN = (None, "file_share", "thread_broadcast", "me_message", "bot_message")  # subtypes with words in them


@dataclass(frozen=True, slots=True)
class Me:
    """Who we are in a workspace; "" where it is not known."""

    bot_user: str = ""  # U…
    bot_id: str = ""  # B…
    app_id: str = ""  # A…


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that came from Slack and is to be kept."""

    key: str  # the same thing delivered again has the same key
    lane: str  # what is in one lane is handed in in order
    kind: Kind
    team: str
    enterprise: str
    payload: Payload

    @property
    def pressed(self) -> bool:
        """Whether a person waits with a click or a form in their hand."""
        return self.kind in INTERACTIONS


@dataclass(frozen=True, slots=True)
class Spoken:
    """The envelope of a message."""

    channel: str
    thread: str  # of our conversation: the root's ts; "" at the top of a direct message
    ts: str
    user: str  # "" for bots that have none
    user_team: str
    bot: str  # bot id; "" for a person


def read(body: object, me: Me, allowed_bots: Collection[str] = ()) -> Arrival | None:
    """What a payload is; None: nothing for us.

    Args:
        body: as Bolt parsed it: Events API, slash command or interactive payload.
        me: who we are where it comes from.
        allowed_bots: bot, user or app ids whose messages count; "*": everyone's.
    """
    given = mapping(body)
    if given.get("type") == "event_callback":
        return _event(given, me, allowed_bots)
    if text(given, "command"):
        return _interaction(given, "command", text(given, "trigger_id"))
    match given.get("type"):
        case "block_actions":
            return _pressed(given)
        case "view_submission":
            return _submitted(given)
        case "message_action" if text(given, "callback_id") == "quartet:ask_about":
            return _interaction(given, "ask_about", text(given, "trigger_id"))
        case "shortcut" if text(given, "callback_id") == "quartet:ask_new":
            return _interaction(given, "ask_new", text(given, "trigger_id"))
        case _:
            return None


def conversation(arrival: Arrival) -> ConversationRef:
    """The conversation of a message."""
    said = spoken(arrival.payload)
    return conversation_at(arrival.team, said.channel, said.thread) if said else conversation_at("", "", "")


def message_key(team: str, channel: str, ts: str) -> str:
    """The key of a message: mention, message and every retry of both are one."""
    return f"slack:{team}:{channel}:{ts}"


def spoken(payload: Payload) -> Spoken | None:
    """The envelope of a message event; None: it is none."""
    event = mapping(payload.get("event"))
    channel, ts, thread_ts = ident(event, "channel"), stamp(event, "ts"), stamp(event, "thread_ts")
    if not channel or not ts:
        return None
    direct = is_direct(event)
    thread = thread_ts or ("" if direct else ts)
    user_team = ident(event, "user_team") or ident(event, "team")
    bot = ident(event, "bot_id")
    return Spoken(channel, thread, ts, ident(event, "user"), user_team, bot)


def is_direct(event: Payload) -> bool:
    """Whether an event stands in a direct message with the bot."""
    return event.get("channel_type") == "im" or ident(event, "channel").startswith("D")


# ── events ───────────────────────────────────────────────────────────────────────────────────


def _event(body: Payload, me: Me, allowed_bots: Collection[str]) -> Arrival | None:
    event = mapping(body.get("event"))
    team, enterprise = team_of(body)
    event_id = text(body, "event_id")
    if not (team or enterprise):
        return None
    match event.get("type"):
        case "message" | "app_mention":
            return _message(body, event, team, enterprise, me, allowed_bots)
        case "reaction_added":
            item = mapping(event.get("item"))
            stops = text(event, "reaction").split("::")[0] in STOP_REACTIONS
            user = ident(event, "user")
            if not (stops and user and user != me.bot_user and ident(item, "channel") and stamp(item, "ts")):
                return None
            lane = f"reaction:{team}:{user}"
            return _kept(body, "reaction", f"slack:{event_id}", lane, team, enterprise)
        case "agent_session_stopped" if ident(event, "channel") and ident(event, "user"):
            lane = f"stopped:{team}:{ident(event, 'channel')}"
            return _kept(body, "stopped", f"slack:{event_id}", lane, team, enterprise)
        case "app_home_opened" if ident(event, "user"):
            kind = "pane" if event.get("tab") == "messages" else "home"
            return _kept(
                body, kind, f"slack:{event_id}", f"home:{team}:{ident(event, 'user')}", team, enterprise
            )
        case "app_context_changed" if _viewer(body):
            return _kept(
                body, "viewing", f"slack:{event_id}", f"home:{team}:{_viewer(body)}", team, enterprise
            )
        case "app_uninstalled":
            return _kept(body, "uninstalled", f"slack:{event_id}", f"installed:{team}", team, enterprise)
        case "tokens_revoked" if mapping(event.get("tokens")).get("bot"):
            return _kept(body, "uninstalled", f"slack:{event_id}", f"installed:{team}", team, enterprise)
        case _:
            return None


def _viewer(body: Payload) -> str:
    """Who looks at something else now: Slack's own example names only whom it is delivered for."""
    first = delivered_for(body)
    user = ident(mapping(body.get("event")), "user")
    return user or ("" if first.get("is_bot") is True else ident(first, "user_id"))


def viewed(body: Payload) -> tuple[str, str]:
    """Who looks at which channel now; the channel is "" where it is none."""
    for one in items(mapping(mapping(body.get("event")).get("context")).get("entities")):
        entity = mapping(one)
        if entity.get("type") == "slack#/types/channel_id":
            return _viewer(body), ident(entity, "value")
    return _viewer(body), ""


def _message(
    body: Payload, event: Payload, team: str, enterprise: str, me: Me, allowed_bots: Collection[str]
) -> Arrival | None:
    if event.get("subtype") in ("message_deleted", "message_changed"):
        return _deletion(body, event, team, enterprise)
    said = spoken(body)
    if said is None or event.get("subtype") not in _SPOKEN or event.get("hidden") is True:
        return None
    if _own(body, event, me) or not (said.user or said.bot) or said.user == "USLACKBOT":
        return None
    if said.bot and not _allowed(event, said, allowed_bots):
        return None
    bot_user = me.bot_user or bot_user_of(body)
    named = bool(bot_user) and re.search(rf"<@{bot_user}(\||>)", text(event, "text")) is not None
    kind: Kind
    if is_direct(event):
        kind = "direct"
    elif event.get("type") == "app_mention" or named:
        kind = "mention"
    elif stamp(event, "thread_ts") and said.thread != said.ts:
        kind = "reply"
    else:
        return None
    key = message_key(team, said.channel, said.ts)
    return _kept(body, kind, key, conversation_at(team, said.channel, said.thread).key, team, enterprise)


def _own(body: Payload, event: Payload, me: Me) -> bool:
    app = me.app_id or ident(body, "api_app_id")
    apps = (ident(event, "app_id"), ident(mapping(event.get("bot_profile")), "app_id"))
    return (
        bool(app and app in apps)
        or bool(me.bot_id and ident(event, "bot_id") == me.bot_id)
        or ident(event, "user") in {me.bot_user, bot_user_of(body)} - {""}
    )


def _allowed(event: Payload, said: Spoken, allowed_bots: Collection[str]) -> bool:
    profile = mapping(event.get("bot_profile"))
    ids = {said.bot, said.user, ident(event, "app_id"), ident(profile, "app_id")} - {""}
    return "*" in allowed_bots or not ids.isdisjoint(allowed_bots)


def _deletion(body: Payload, event: Payload, team: str, enterprise: str) -> Arrival | None:
    """A deleted message. A thread's root stays as a tombstone, which Slack tells as a change."""
    found = deleted(body)
    if found is None:
        return None
    lane = conversation_at(team, found.channel, found.thread).key
    return _kept(body, "deleted", f"slack:{text(body, 'event_id')}", lane, team, enterprise)


def deleted(body: Payload) -> Spoken | None:
    """The envelope of the message that was deleted; None: none was."""
    event = mapping(body.get("event"))
    before = mapping(event.get("previous_message"))
    if event.get("subtype") == "message_deleted":
        ts = stamp(event, "deleted_ts") or stamp(before, "ts")
    elif mapping(event.get("message")).get("subtype") == "tombstone":
        ts = stamp(mapping(event.get("message")), "ts")
    else:
        return None
    channel, user = ident(event, "channel"), ident(before, "user")
    if not channel or not ts:
        return None
    thread = stamp(before, "thread_ts") or ts
    if thread == ts and is_direct(event):  # also where people replied to it
        thread = ""
    return Spoken(channel, thread, ts, user, ident(before, "team"), ident(before, "bot_id"))


# ── interactions ─────────────────────────────────────────────────────────────────────────────


def _pressed(body: Payload) -> Arrival | None:
    pressed = action(body)
    name = text(pressed, "action_id")
    if not name.startswith(ACTIONS):
        return None
    kind: Kind = "feedback" if name == FEEDBACK else "click"
    return _interaction(body, kind, text(body, "trigger_id") or f"{text(pressed, 'action_ts')}:{name}")


def _submitted(body: Payload) -> Arrival | None:
    view = mapping(body.get("view"))
    if text(view, "callback_id") not in MODALS or not text(view, "id"):
        return None
    # A form with errors stays open under the same id and hash: what was typed tells a repeat from a new try.
    typed = json.dumps(mapping(view.get("state")).get("values"), sort_keys=True, default=str)
    digest = hashlib.sha256(typed.encode("utf-8", "replace")).hexdigest()[:16]
    return _interaction(body, "submission", f"{text(view, 'id')}:{text(view, 'hash')}:{digest}")


def _interaction(body: Payload, kind: Kind, key: str) -> Arrival | None:
    team, enterprise = team_of(body)
    user, _ = presser(body)
    if not key or not user or not (team or enterprise):
        return None
    # One person's presses in one place stay in order; nobody waits for anybody else.
    return _kept(body, kind, f"slack:{key}", f"person:{team}:{user}:{place(body)[0]}", team, enterprise)


def _kept(body: Payload, kind: Kind, key: str, lane: str, team: str, enterprise: str) -> Arrival | None:
    if key == "slack:":
        return None
    # Slack's old verification token is a secret of the app: it is not written down.
    payload = {name: value for name, value in body.items() if name != "token"}
    return Arrival(key[:300], lane[:300], kind, team, enterprise, payload)


def conversation_at(team: str, channel: str, thread: str = "") -> ConversationRef:
    """A place where people and the bot talk; without a thread the channel itself."""
    return ConversationRef(platform="slack", workspace=team, channel=channel, thread=thread)
