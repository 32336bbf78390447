"""Payloads in the shape that Slack documents, for tests of what comes in."""

from __future__ import annotations

from typing import Any

from adapters.slack.inbound import Arrival, Me, read

Json = dict[str, Any]
ME = Me(bot_user="UBOT", bot_id="BBOT", app_id="AAPP")


def event(inner: Json, *, event_id: str = "Ev1", **outer: Any) -> Json:
    return {
        "token": "verification",
        "type": "event_callback",
        "team_id": "T1",
        "api_app_id": "AAPP",
        "event_id": event_id,
        "event_time": 1_700_000_000,
        "authorizations": [{"team_id": "T1", "enterprise_id": None, "user_id": "UBOT", "is_bot": True}],
        "event": inner,
        **outer,
    }


def message(text: str = "hello", *, ts: str = "100.000100", **more: Any) -> Json:
    inner = {
        "type": "message",
        "channel": "C1",
        "channel_type": "channel",
        "user": "UADA",
        "text": text,
        "ts": ts,
    }
    return inner | more


def mention(text: str = "hello", *, ts: str = "100.000100", **more: Any) -> Json:
    return message(f"<@UBOT> {text}", ts=ts, type="app_mention", **more)


def pressed(action_id: str = "quartet:approve", value: str = "a1", **more: Any) -> Json:
    return {
        "type": "block_actions",
        "team": {"id": "T1", "domain": "acme"},
        "user": {"id": "UADA", "username": "ada", "team_id": "T1"},
        "trigger_id": "1.2.abc",
        "container": {
            "type": "message",
            "message_ts": "101.000100",
            "channel_id": "C1",
            "thread_ts": "100.000100",
        },
        "channel": {"id": "C1", "name": "general"},
        "message": {"ts": "101.000100", "thread_ts": "100.000100"},
        "response_url": "https://hooks.slack.com/actions/T1/1/x",
        "actions": [
            {"action_id": action_id, "block_id": "b", "value": value, "type": "button", "action_ts": "1.1"}
        ],
    } | more


def submitted(values: Json, **more: Any) -> Json:
    view = {
        "id": "V1",
        "hash": "1.x",
        "type": "modal",
        "callback_id": "quartet:form",
        "private_metadata": "{}",
        "state": {"values": values},
    }
    return {
        "type": "view_submission",
        "team": {"id": "T1"},
        "user": {"id": "UADA", "team_id": "T1"},
        "trigger_id": "1.3.abc",
        "view": view | more,
    }


def arrived(body: Json, *bots: str) -> Arrival:
    arrival = read(body, ME, bots)
    assert arrival is not None
    return arrival
