"""`/quartet` as Discord is told of it: every word of the bot, within Discord's limits, read back as typed."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import discord
import pytest

from adapters.discord import commands, custom_ids
from adapters.discord.inbound import read
from adapters.discord.typed import ASK_ABOUT, COMMAND, words
from bot import command_words
from tests.twins.discord.spec import Spec
from tests.unit.adapters.discord.arrivals import ME, message


class Ears:
    """Hears nothing: the commands are only looked at."""

    async def pressed(self, interaction: commands.Interaction) -> None:
        raise AssertionError(interaction)

    async def choices(
        self, kind: Any, interaction: commands.Interaction, typed: str
    ) -> list[tuple[str, str]]:
        raise AssertionError(interaction)


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    client = discord.AutoShardedClient(intents=discord.Intents.none())
    tree = commands.Tree(client)
    commands.add_to(tree, Ears())
    return commands.payload(tree)


def subcommands(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", told[0]["options"])


def test_there_is_one_group_and_one_entry_in_the_menu_of_messages(told: list[dict[str, Any]]) -> None:
    assert [(one["name"], one["type"]) for one in told] == [(COMMAND, 1), (ASK_ABOUT, 3)]
    for one in told:
        assert (one["integration_types"], one["contexts"]) == ([0], [0, 1])  # servers and direct messages


def test_every_word_of_the_bot_is_a_subcommand_and_home_besides(told: list[dict[str, Any]]) -> None:
    assert {one["name"] for one in subcommands(told)} == {*command_words.WORDS, "home"}


def test_discords_limits_are_kept(told: list[dict[str, Any]]) -> None:
    assert len(subcommands(told)) <= 25
    assert len(json.dumps(told[0])) < 8_000
    for one in [told[0], *subcommands(told), *(o for s in subcommands(told) for o in s["options"])]:
        assert re.fullmatch(r"[-_a-z0-9]{1,32}", one["name"])
        assert 1 <= len(one["description"]) <= 100
    for one in subcommands(told):
        required = [option.get("required", False) for option in one["options"]]
        assert required == sorted(required, reverse=True)


def test_discords_own_description_takes_them(told: list[dict[str, Any]]) -> None:
    route, _, path = Spec.load().match("PUT", "/applications/1/commands")
    assert route is not None
    assert route.check(path, {}, told) == []


def test_every_option_reaches_the_words_that_the_bot_reads(told: list[dict[str, Any]]) -> None:
    for one in subcommands(told):
        given = {option["name"]: f"<{option['name']}>" for option in one["options"]}
        said = words(one["name"], given)
        assert all(value in said for value in given.values()), one["name"]
        assert words(one["name"], {}) == one["name"]


def test_what_can_be_completed_asks_the_bot(told: list[dict[str, Any]]) -> None:
    completed = {
        (one["name"], option["name"])
        for one in subcommands(told)
        for option in one["options"]
        if option.get("autocomplete")
    }
    runs = {(word, "run") for word in ("status", "stop", "pause", "resume", "fork")}
    flows = {("ask", "workflow"), ("run", "workflow"), ("workflows", "about")}
    assert completed == runs | flows | {("agents", "agent")}


def test_the_statuses_are_the_bots(told: list[dict[str, Any]]) -> None:
    runs = next(one for one in subcommands(told) if one["name"] == "runs")
    assert tuple(choice["value"] for choice in runs["options"][0]["choices"]) == command_words.STATUSES


def test_the_buttons_template_takes_what_the_custom_ids_make() -> None:
    template = commands.PressedButton.__discord_ui_compiled_template__
    assert template.fullmatch(custom_ids.press("approve", "a1"))
    assert template.fullmatch("other:approve:a1") is None


def test_an_entry_of_the_menu_with_another_name_is_not_ours() -> None:
    data = {"name": ASK_ABOUT + "!", "type": 3, "target_id": message()["id"]}
    given = {"id": "1", "type": 2, "data": data, "channel_id": "2", "user": {"id": "3"}}
    assert read("INTERACTION_CREATE", given, ME) is None
