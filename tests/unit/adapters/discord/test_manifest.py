"""The invite link, the switches, and the application that a token names."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.manifest import SWITCHES, UNKNOWN, application_id, invite, is_id, manifest
from adapters.discord.scopes import REASONS, bits

APP = "112233445566778899"


def query(link: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query, strict_parsing=True).items()}


def test_the_link_asks_for_the_least_permissions_and_both_scopes() -> None:
    link = invite(APP)
    assert link.startswith("https://discord.com/oauth2/authorize?")
    assert query(link) == {
        "client_id": APP,
        "scope": "bot applications.commands",
        "permissions": str(bits()),
        "integration_type": "0",
    }
    assert " " not in link
    assert "+" not in link


def test_a_link_for_one_server_leaves_no_choice() -> None:
    asked = query(invite(APP, guild="998877665544332211"))
    assert (asked["guild_id"], asked["disable_guild_select"]) == ("998877665544332211", "true")


def test_a_token_names_its_application() -> None:
    for length in (17, 18, 19, 20):
        number = "1" * length
        first = base64.urlsafe_b64encode(number.encode()).decode().rstrip("=")
        assert application_id(f"{first}.Gx1y2z.{'s3cr3t' * 6}") == number


@pytest.mark.parametrize("token", ["", ".", "abc.def.ghi", "MTIz.x.y", "ünicode.x.y", f"{'A' * 5000}.x.y"])
def test_what_is_no_token_names_none(token: str) -> None:
    assert application_id(token) == ""


@given(st.text())
def test_any_text_names_an_id_or_nothing(token: str) -> None:
    found = application_id(token)
    assert found == "" or is_id(found)


def test_what_is_printed_begins_with_the_link_and_holds_every_reason_and_switch() -> None:
    lines = manifest(APP).splitlines()
    assert lines[0] == invite(APP)
    text = "\n".join(lines)
    assert all(reason in text for reason in REASONS.values())
    assert all(f"  {switch}: {state} ({why})" in lines for switch, state, why in SWITCHES)
    assert UNKNOWN not in text
    assert f"https://discord.com/developers/applications/{APP}" in text


def test_without_an_id_it_says_where_to_find_it() -> None:
    text = manifest()
    assert text.splitlines()[0] == invite(UNKNOWN)
    assert "General Information" in text
    assert "DISCORD_BOT_TOKEN" in text
