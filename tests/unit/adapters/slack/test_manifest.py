"""The manifest asks for what the code uses: every scope that is needed, none that is not."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.web import client as slack_client

import adapters.slack
from adapters.slack.manifest import EVENTS_PATH, manifest
from adapters.slack.scopes import APP_METHODS, EVENTS, FEATURES, METHODS, REASONS, bot_scopes, missing

FOLDER = Path(str(adapters.slack.__file__)).parent
TABLES = {"scopes.py", "pace.py"}  # which list methods, and call none
BASE = "https://bot.example.com"


def slacks_methods() -> set[str]:
    """All methods there are, by slack_sdk."""
    return set(re.findall(r'api_call\(\s*"([\w.]+)"', Path(slack_client.__file__).read_text()))


def trees() -> dict[str, ast.Module]:
    return {file.name: ast.parse(file.read_text()) for file in FOLDER.glob("*.py") if file.name not in TABLES}


def called() -> set[str]:
    """The methods that our code names, as texts or by slack_sdk's functions for them."""
    methods = slacks_methods()
    functions = {method.replace(".", "").lower(): method for method in methods}
    found: set[str] = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in methods:
                found.add(str(node.value))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and "_" in node.func.attr:
                method = functions.get(node.func.attr.replace("_", "").lower())
                found |= {method} if method is not None else set()
    return found


def taken() -> set[str]:
    """The events that `inbound.py` takes."""
    for node in ast.walk(ast.parse((FOLDER / "inbound.py").read_text())):
        if isinstance(node, ast.Match):
            names = {
                str(value.value.value)
                for case in node.cases
                for value in ast.walk(case.pattern)
                if isinstance(value, ast.MatchValue) and isinstance(value.value, ast.Constant)
            }
            if "app_mention" in names:
                return names
    raise AssertionError("inbound.py takes no events")


def bot(given: dict[str, Any]) -> set[str]:
    return set(given["oauth_config"]["scopes"]["bot"])


def test_the_code_names_methods_that_slack_has() -> None:
    known = slacks_methods()
    assert len(known) > 200
    assert set(METHODS) <= known
    assert set(APP_METHODS) <= known


def test_every_method_that_is_called_has_its_scopes_in_the_manifest_and_no_other_is_listed() -> None:
    assert called() == set(METHODS) | set(APP_METHODS)


def test_every_event_that_is_taken_is_subscribed_and_no_other() -> None:
    subscribed = set(manifest()["settings"]["event_subscriptions"]["bot_events"])
    assert {event.partition(".")[0] for event in subscribed} == taken()
    kinds = {event.partition(".")[2] for event in subscribed if event.startswith("message.")}
    assert kinds == {"channels", "groups", "im", "mpim"}


def test_every_scope_has_a_use_and_a_reason_for_people() -> None:
    used = {scope for table in (METHODS, EVENTS, FEATURES) for scopes in table.values() for scope in scopes}
    assert bot(manifest()) == used == set(REASONS)
    assert all(REASONS.values())


def test_shortcuts_and_the_command_are_those_that_the_code_answers() -> None:
    features = manifest()["features"]
    code = "\n".join(file.read_text() for file in FOLDER.glob("*.py") if file.name != "manifest.py")
    for shortcut in features["shortcuts"]:
        assert f'"{shortcut["callback_id"]}"' in code
    assert [command["command"] for command in features["slash_commands"]] == ["/quartet"]
    assert features["slash_commands"][0]["should_escape"] is True
    assert "agent_view" in features
    assert "assistant_view" not in features


def test_in_socket_mode_slack_is_given_no_address() -> None:
    assert "http" not in json.dumps(manifest())
    assert manifest()["settings"]["socket_mode_enabled"] is True
    # Installations come to an address in Socket Mode too.
    assert manifest(BASE)["oauth_config"]["redirect_urls"] == [f"{BASE}/slack/oauth_redirect"]
    assert "request_url" not in json.dumps(manifest(BASE))


def test_over_http_everything_goes_to_the_one_address() -> None:
    given = manifest(f"{BASE}/", socket_mode=False)
    url = f"{BASE}{EVENTS_PATH}"
    assert given["settings"]["event_subscriptions"]["request_url"] == url
    assert given["settings"]["interactivity"]["request_url"] == url
    assert [command["url"] for command in given["features"]["slash_commands"]] == [url]
    assert given["settings"]["socket_mode_enabled"] is False
    assert bot(given) == bot(manifest())


@pytest.mark.parametrize("base", ["", "http://127.0.0.1:8080", "bot.example.com"])
def test_an_address_that_slack_could_not_reach_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="--base-url https://"):
        manifest(base, socket_mode=False)


def test_texts_keep_slacks_limits() -> None:
    given = manifest()
    info, features = given["display_information"], given["features"]
    assert len(info["name"]) <= 35
    assert len(info["description"]) <= 140
    assert 175 <= len(info["long_description"]) <= 4000
    assert re.fullmatch(r"#[0-9a-f]{6}", info["background_color"])
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,80}", features["bot_user"]["display_name"])
    assert len(features["agent_view"]["agent_description"]) <= 300
    assert len(features["agent_view"]["suggested_prompts"]) <= 4
    assert all(len(s["name"]) <= 24 and len(s["description"]) <= 150 for s in features["shortcuts"])


def test_what_a_token_lacks_is_named_with_what_would_fail() -> None:
    assert missing(bot_scopes()) == {}
    lacking = missing(set(bot_scopes()) - {"usergroups:read", "files:write"})
    assert set(lacking) == {"usergroups:read", "files:write"}
    assert "usergroups.users.list" in lacking["usergroups:read"]
