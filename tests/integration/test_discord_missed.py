"""What was missed and what comes now, together: in order, nothing lost, nobody waits for others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.discord import gateway
from adapters.discord.adapter import DiscordAdapter
from tests.calm import Watch
from tests.integration.discord_desk import Desk, at_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with at_desk(tmp_path) as desk:
        yield desk


def forgets(desk: Desk, thread: str) -> None:
    """The library does not know a thread any more, as where it was archived."""
    assert isinstance(desk.adapter, DiscordAdapter)
    client = desk.adapter._gateway._client  # pyright: ignore[reportPrivateUsage]
    assert client is not None
    guild = client.get_guild(int(desk.discord.guild_id))
    assert guild is not None
    known = guild.get_thread(int(thread))
    assert known is not None
    guild._remove_thread(known)  # pyright: ignore[reportPrivateUsage]


async def test_a_message_that_was_missed_comes_before_one_that_is_written_now(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    here = await desk.asked("zero")
    await desk.adapter.stop()
    for number in range(8):  # news elsewhere, as in a real server: the reading takes a while
        ada.posts(discord.channel(f"before-{number}"), "x")
    ada.posts(here.thread, "first, while away")
    for number in range(8):
        ada.posts(discord.channel(f"behind-{number}"), "x")
    desk.adapter = desk.build()
    await desk.adapter.start(desk.bot)
    ada.posts(here.thread, "second, now")
    await desk.until(lambda: len(desk.bot.turns) == 3)
    assert [turn.text for turn in desk.bot.turns] == ["zero", "first, while away", "second, now"]


async def test_reading_what_was_missed_keeps_neither_the_start_nor_others_waiting(desk: Desk) -> None:
    discord, ada, bob = desk.discord, desk.discord.person("ada"), desk.discord.person("bob")
    here = await desk.asked("zero")
    await desk.adapter.stop()
    ada.posts(here.thread, "while away")
    discord.faults.order("GET /channels/*/messages", latency_s=3.0)
    desk.adapter = desk.build()
    watch = Watch()
    await desk.adapter.start(desk.bot)
    bob.mentions(discord.general, "at once")
    await desk.until(lambda: len(desk.bot.turns) == 2)
    assert watch.calm_s < 2.5
    assert desk.bot.turns[1].text == "at once"
    await desk.until(lambda: len(desk.bot.turns) == 3)


async def test_a_thread_of_ours_is_known_though_discord_does_not_tell_what_it_is(desk: Desk) -> None:
    here = await desk.asked("one")
    forgets(desk, here.thread)
    desk.discord.faults.order("GET /channels/*", status=500, times=99)
    ada = desk.discord.person("ada")
    ada.posts(here.thread, "two")
    ada.mentions(here.thread, "three")
    await desk.until(lambda: len(desk.bot.turns) == 3)
    assert {turn.conversation.key for turn in desk.bot.turns} == {here.key}
    desk.discord.faults.clear()


async def test_a_message_is_not_lost_where_it_cannot_be_told_at_first_what_its_channel_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "LOOK_S", 0.3)
    discord, ada = desk.discord, desk.discord.person("ada")
    await desk.quiet()
    thread = ada.starts_thread(discord.general, "llamas")
    ada.posts(thread, "nothing for the bot")
    await desk.quiet()
    forgets(desk, thread)
    discord.faults.order("GET /channels/{channel_id}", status=500, times=2)
    ada.mentions(thread, "what do they eat?")
    await desk.until(lambda: len(desk.bot.turns) == 1)
    turn = desk.bot.turns[0]
    assert (turn.text, turn.conversation.channel, turn.conversation.thread) == (
        "what do they eat?",
        discord.general,
        thread,
    )
    assert desk.directly("ada") == []


async def test_a_server_that_invites_the_bot_again_has_its_commands_again(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as desk:
        discord, root = desk.discord, desk.discord.person("root", permissions=["administrator"])
        await desk.restart(guild_ids=[discord.guild_id])
        guild = int(discord.guild_id)
        await desk.until(lambda: discord.backend.commands.get(guild))
        root.kick_bot()
        assert not discord.backend.commands.get(guild)
        root.add_bot_back()
        await desk.until(lambda: discord.backend.commands.get(guild))
