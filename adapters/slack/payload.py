"""Look into what Slack sent, whatever it is: ids, times, workspace, who and where. Pure; nothing raises."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from adapters.payload import Payload, items, mapping, text

_ID = re.compile(r"[A-Z0-9]{2,40}")
_TS = re.compile(r"\d{1,12}\.\d{1,9}")


def team_of(body: object) -> tuple[str, str]:
    """The workspace whose installation is meant, and its organisation; "" where there is none.

    Slack Connect delivers events of other workspaces' people, so the authorization goes first. Where the
    app is installed for an organisation, what people press has no `team`, but one in `user` or `view`.
    """
    given = mapping(body)
    first = delivered_for(given)
    view, user, event = (mapping(given.get(name)) for name in ("view", "user", "event"))
    team = mapping(given.get("team"))
    teams = (
        view.get("app_installed_team_id"),
        team.get("id") or given.get("team"),
        first.get("team_id"),
        given.get("team_id"),
        given.get("context_team_id"),
        user.get("team_id"),
        view.get("team_id"),
        event.get("team"),
    )
    enterprise = mapping(given.get("enterprise"))
    enterprises = (
        enterprise.get("id"),
        first.get("enterprise_id"),
        given.get("enterprise_id"),
        team.get("enterprise_id"),
        given.get("context_enterprise_id"),
        user.get("enterprise_id"),
    )
    return _first_id(teams, "T"), _first_id(enterprises, "E")


def bot_user_of(body: object) -> str:
    """Our own user id, where the payload says for whom it was delivered; else ""."""
    for one in items(mapping(body).get("authorizations")):
        if mapping(one).get("is_bot") is True:
            return ident(mapping(one), "user_id")
    return ""


def at(ts: str) -> datetime:
    """The time of a message (aware, UTC); the epoch where it says none."""
    return datetime.fromtimestamp(float(ts), UTC) if _TS.fullmatch(ts) else datetime.fromtimestamp(0, UTC)


def action(body: Payload) -> Payload:
    """The button that was pressed; empty when there is none."""
    actions = items(body.get("actions"))
    return mapping(actions[0]) if actions else {}


def presser(body: Payload) -> tuple[str, str]:
    """The id of who pressed or typed something, and what the payload calls them."""
    user = mapping(body.get("user"))
    name = text(body, "user_name") or text(user, "name") or text(user, "username")
    return ident(body, "user_id") or ident(user, "id"), name


def place(body: Payload) -> tuple[str, str, str]:
    """Where something was pressed: channel, thread and message; "" where there is none."""
    container, message = mapping(body.get("container")), mapping(body.get("message"))
    channel = (
        ident(body, "channel_id")
        or ident(mapping(body.get("channel")), "id")
        or ident(container, "channel_id")
    )
    thread = stamp(message, "thread_ts") or stamp(container, "thread_ts")
    ts = stamp(message, "ts") or stamp(container, "message_ts")
    # A message that people replied to names itself as its thread: it still stands where it was posted.
    return channel, thread if thread != ts else "", ts


def delivered_for(body: Payload) -> Payload:
    """For whom it was delivered; there may be more, Slack names one."""
    authorizations = items(body.get("authorizations"))
    return mapping(authorizations[0]) if authorizations else mapping(None)


def ident(given: Payload, name: str) -> str:
    """An id of Slack's; "" where it is missing or does not look like one."""
    value = text(given, name)
    return value if _ID.fullmatch(value) else ""


def stamp(given: Payload, name: str) -> str:
    """A message's `ts`; "" where it is missing or does not look like one."""
    value = text(given, name)
    return value if _TS.fullmatch(value) else ""


def _first_id(candidates: tuple[object, ...], initial: str) -> str:
    for one in candidates:
        if isinstance(one, str) and one.startswith(initial) and _ID.fullmatch(one):
            return one
    return ""
