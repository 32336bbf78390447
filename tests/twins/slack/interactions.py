"""The payloads of what people do: clicks, submits, shortcuts, commands. Shapes as Slack documents them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, cast

from tests.twins.slack.delivery import Json
from tests.twins.slack.workspace import App, Ephemeral, Message, User, View, World


class NotPossible(Exception):
    """Slack's client would not let a person do this; the message says why."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """An element that a person used, as it was found among blocks."""

    block_id: str
    element: Json
    chosen: Json  # the fields of the action that say what was chosen


class Interactions:
    """Makes payloads for one app.

    Args:
        world: what they are about.
        app: who gets them.
        token: the verification token that each payload holds.
    """

    def __init__(self, world: World, app: App, token: str) -> None:
        self._world = world
        self._app = app
        self._token = token

    def _common(self, kind: str, user: User) -> Json:
        team = self._world.teams[user.team]
        install = self._world.installed(self._app.id, team.id)
        if install is None or not install.active:
            raise NotPossible("the app is not installed in this workspace")
        return {
            "type": kind,
            "token": self._token,
            "api_app_id": self._app.id,
            "team": {"id": team.id, "domain": team.domain},
            "enterprise": {"id": team.enterprise, "name": team.enterprise} if team.enterprise else None,
            "is_enterprise_install": not install.team,
            "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team},
        }

    def _trigger(self, user: User, view: str = "") -> str:
        return self._world.make_trigger(user.team, user.id, self._app.id, view=view)

    def on_message(self, user: User, message: Message, pressed: Pressed, response_url: str) -> Json:
        """`block_actions` from a message."""
        container: Json = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": message.channel,
            "is_ephemeral": False,
        }
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        return self._common("block_actions", user) | {
            "container": container,
            "trigger_id": self._trigger(user),
            "channel": self._channel(message.channel),
            "message": copy.deepcopy(self._world.message_json(message)),
            "state": {"values": {}},
            "response_url": response_url,
            "actions": [self._action(pressed)],
        }

    def on_ephemeral(self, user: User, message: Ephemeral, pressed: Pressed, response_url: str) -> Json:
        """`block_actions` from a message that one person sees; Slack does not send the message along."""
        container: Json = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": message.channel,
            "is_ephemeral": True,
        }
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        return self._common("block_actions", user) | {
            "container": container,
            "trigger_id": self._trigger(user),
            "channel": self._channel(message.channel),
            "state": {"values": {}},
            "response_url": response_url,
            "actions": [self._action(pressed)],
        }

    def on_view(self, user: User, view: View, pressed: Pressed) -> Json:
        """`block_actions` from a modal or the home tab."""
        return self._common("block_actions", user) | {
            "container": {"type": "view", "view_id": view.id},
            "trigger_id": self._trigger(user, view.id if view.type == "modal" else ""),
            "view": copy.deepcopy(self._world.view_json(view)),
            "actions": [self._action(pressed)],
        }

    def submission(self, user: User, view: View, values: Json) -> Json:
        """`view_submission`: `values` is the state, block → action → what is in it."""
        shown = copy.deepcopy(self._world.view_json(view)) | {"state": {"values": values}}
        return self._common("view_submission", user) | {
            "trigger_id": self._trigger(user, view.id),
            "view": shown,
            "response_urls": [],
        }

    def closed(self, user: User, view: View, *, cleared: bool) -> Json:
        """`view_closed`, which only views with `notify_on_close` send."""
        shown = copy.deepcopy(self._world.view_json(view))
        return self._common("view_closed", user) | {"view": shown, "is_cleared": cleared}

    def shortcut(self, user: User, callback_id: str) -> Json:
        """A global shortcut."""
        return self._common("shortcut", user) | {
            "action_ts": self._world.next_ts(),
            "callback_id": callback_id,
            "trigger_id": self._trigger(user),
        }

    def message_shortcut(self, user: User, message: Message, callback_id: str, response_url: str) -> Json:
        """A shortcut from a message's menu."""
        return self._common("message_action", user) | {
            "action_ts": self._world.next_ts(),
            "callback_id": callback_id,
            "trigger_id": self._trigger(user),
            "channel": self._channel(message.channel),
            "message_ts": message.ts,
            "message": copy.deepcopy(self._world.message_json(message)),
            "response_url": response_url,
        }

    def command(self, user: User, channel: str, command: str, text: str, response_url: str) -> Json:
        """A slash command: flat, every value a text, as it comes in a form."""
        common = self._common("", user)
        team = self._world.teams[user.team]
        enterprise = {"enterprise_id": team.enterprise, "enterprise_name": team.enterprise}
        return {
            "token": self._token,
            "team_id": team.id,
            "team_domain": team.domain,
            **(enterprise if team.enterprise else {}),
            "channel_id": channel,
            "channel_name": self._channel(channel)["name"],
            "user_id": user.id,
            "user_name": user.name,
            "command": command,
            "text": text,
            "api_app_id": self._app.id,
            "is_enterprise_install": "true" if common["is_enterprise_install"] else "false",
            "response_url": response_url,
            "trigger_id": self._trigger(user),
        }

    def _channel(self, channel: str) -> Json:
        place = self._world.channels[channel]
        names = {"im": "directmessage", "group": "privategroup"}
        return {"id": place.id, "name": names.get(place.channel_type, place.name)}

    def _action(self, pressed: Pressed) -> Json:
        return {
            "action_id": pressed.element["action_id"],
            "block_id": pressed.block_id,
            **pressed.chosen,
            "type": pressed.element["type"],
            "action_ts": self._world.next_ts(),
        }


def find(blocks: list[Json], what: str, *, block: str = "", value: str = "", option: str = "") -> Pressed:
    """The element that a person means by its action id, its label, or (of feedback buttons) their labels.

    Args:
        blocks: what the person sees.
        what: an action id or a label.
        block: the block id, where several blocks hold the same.
        value: the value, where one block holds the same twice.
        option: for menus: the value or the label of what is chosen.

    Raises:
        NotPossible: there is none, or more than one.
    """
    found = [
        pressed
        for block_id, element in interactive(blocks)
        if block in ("", block_id)
        for pressed in [_press(block_id, element, what, option)]
        if pressed is not None and value in ("", pressed.chosen.get("value"))
    ]
    if len(found) != 1:
        there = sorted({f"{label_of(e)!r} ({e.get('action_id')})" for _, e in interactive(blocks)})
        raise NotPossible(f"{len(found)} elements are {what!r}; there are: {', '.join(there) or 'none'}")
    return found[0]


def interactive(blocks: list[Json]) -> list[tuple[str, Json]]:
    """Every element that can be used, with its block's id."""
    found: list[tuple[str, Json]] = []
    for block in blocks:
        elements: list[Json] = list(block.get("elements") or [])
        elements += [block[key] for key in ("accessory", "element") if block.get(key)]
        found += [(str(block.get("block_id", "")), each) for each in elements if each.get("action_id")]
    return found


def label_of(element: Json) -> str:
    """What stands on an element, or in it while it is empty."""
    text: Any = element.get("text") or element.get("placeholder") or {}
    return str(cast(Json, text).get("text", "")) if isinstance(text, dict) else str(text)


def _press(block_id: str, element: Json, what: str, option: str) -> Pressed | None:
    kind = element["type"]
    if kind == "feedback_buttons":
        for key in ("positive_button", "negative_button"):
            button: Json = element[key]
            labels = (label_of(button), str(button.get("accessibility_label", "")), button.get("value"), key)
            if what in labels or (what == element["action_id"] and option in labels):
                return Pressed(block_id, element, {"text": button["text"], "value": button["value"]})
        return None
    if what not in (element["action_id"], label_of(element)):
        return None
    if kind in ("button", "icon_button"):
        shown = {key: element[key] for key in ("text", "value", "style", "icon", "url") if key in element}
        return Pressed(block_id, element, shown)
    chosen = entry(element, option)
    return Pressed(block_id, element, {key: value for key, value in chosen.items() if key != "type"})


# ── what is in an input ──────────────────────────────────────────────────────────────────────


def entry(element: Json, given: Any) -> Json:
    """The state of an element after a person filled it in: `{"type", "value" | "selected_…"}`.

    Raises:
        NotPossible: the element has no such option.
    """
    kind = str(element["type"])
    field = _FIELDS.get(kind)
    if field is None:
        raise NotPossible(f"a person cannot fill in a {kind}")
    if given is None or given == "" or given == []:
        return {"type": kind, field: [] if field.endswith("s") else None}
    if field == "selected_option":
        return {"type": kind, field: _option(element, given)}
    if field == "selected_options":
        return {"type": kind, field: [_option(element, each) for each in given]}
    return {"type": kind, field: given}


def initial(element: Json) -> Json:
    """The state of an element that nobody has touched."""
    kind = str(element["type"])
    field = _FIELDS.get(kind)
    if field is None:
        return {"type": kind}
    key = "initial_" + field.removeprefix("selected_")
    return {"type": kind, field: element.get(key, [] if field.endswith("s") else None)}


_FIELDS = {
    "plain_text_input": "value",
    "number_input": "value",
    "email_text_input": "value",
    "url_text_input": "value",
    "static_select": "selected_option",
    "external_select": "selected_option",
    "radio_buttons": "selected_option",
    "overflow": "selected_option",
    "checkboxes": "selected_options",
    "multi_static_select": "selected_options",
    "users_select": "selected_user",
    "multi_users_select": "selected_users",
    "conversations_select": "selected_conversation",
    "multi_conversations_select": "selected_conversations",
    "channels_select": "selected_channel",
    "multi_channels_select": "selected_channels",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
}


def _option(element: Json, given: Any) -> Json:
    groups: list[Json] = element.get("option_groups") or []
    options: list[Json] = list(element.get("options") or []) + [o for g in groups for o in g["options"]]
    for option in options:
        if given in (option["value"], label_of(option)):
            return option
    there = ", ".join(repr(option["value"]) for option in options)
    raise NotPossible(f"{given!r} is not among the options: {there}")
