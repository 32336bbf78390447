"""Sessions of the twin's gateway, with the unmodified discord.py: lost, resumed, refused, too many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest

from tests.twins.discord import DiscordTwin
from tests.unit.twins.discord_bots import Bot, content_intents, point_at, running


@pytest.fixture
async def twin(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordTwin]:
    async with DiscordTwin(limits=False) as discord_twin:  # tests start bots faster than Discord likes
        point_at(discord_twin, monkeypatch)
        yield discord_twin


def cached_guild(twin: DiscordTwin, bot: Bot) -> discord.Guild:
    guild = bot.get_guild(int(twin.guild_id))
    assert guild is not None
    return guild


async def test_connecting_gives_ready_and_the_guild(twin: DiscordTwin) -> None:
    async with running(twin, Bot()) as bot:
        guild = cached_guild(twin, bot)
        assert [channel.name for channel in guild.text_channels] == ["general"]
        assert guild.me.id == int(twin.bot_id)
        assert bot.raw[:2] == ["READY", "GUILD_CREATE"]
        assert twin.gateway.connected == 1
        assert [(each.shard, each.outcome) for each in twin.gateway.identifies] == [((0, 1), "ready")]
        assert twin.gateway.session_start_limit["remaining"] == 999
    await twin.until(lambda: twin.gateway.connected == 0)
    assert twin.gateway.sessions == []  # the bot closed with 1000 and gave its session up


async def test_what_happened_during_a_break_comes_again_with_resume(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with running(twin, Bot()) as bot:
        ada.posts(twin.general, "before")
        await twin.until(lambda: bot.texts == ["before"])
        assert twin.gateway.drop()
        ada.posts(twin.general, "meanwhile")
        ada.posts(twin.general, "and again")
        await twin.until(lambda: "resumed" in bot.happened)
        ada.posts(twin.general, "after")
        await twin.until(lambda: "after" in bot.texts)
    assert bot.texts == ["before", "meanwhile", "and again", "after"]
    assert [(each.outcome, each.replayed) for each in twin.gateway.resumes] == [("resumed", 2)]
    assert len(twin.gateway.identifies) == 1


async def test_lost_session_is_begun_anew_and_nothing_missed_comes_again(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with running(twin, Bot()) as bot:
        twin.gateway.expire_sessions()
        twin.gateway.drop_all()
        ada.posts(twin.general, "lost")
        await twin.until(lambda: bot.happened.count("ready") == 2)
        ada.posts(twin.general, "after")
        await twin.until(lambda: "after" in bot.texts)
    assert bot.texts == ["after"]
    assert [each.outcome for each in twin.gateway.resumes] == ["invalid session"]
    assert [each.outcome for each in twin.gateway.identifies] == ["ready", "ready"]


@pytest.mark.parametrize(("resumable", "identifies", "resumes"), [(True, 1, 1), (False, 2, 0)])
async def test_invalid_session_tells_whether_to_resume(
    twin: DiscordTwin, resumable: bool, identifies: int, resumes: int
) -> None:
    async with running(twin, Bot()) as bot:
        twin.gateway.invalidate(resumable=resumable)
        wanted = "resumed" if resumable else "ready"
        await twin.until(lambda: bot.happened.count(wanted) == (1 if resumable else 2))
    assert (len(twin.gateway.identifies), len(twin.gateway.resumes)) == (identifies, resumes)


async def test_bot_that_is_told_to_reconnect_resumes(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with running(twin, Bot()) as bot:
        twin.gateway.hold()
        twin.gateway.reconnect()
        await twin.until(lambda: "resumed" in bot.happened)
        ada.posts(twin.general, "held")
        ada.posts(twin.general, "too")
        assert (twin.gateway.held, bot.texts) == (2, [])
        assert twin.gateway.release() == 2
        await twin.until(lambda: len(bot.texts) == 2)
        assert twin.gateway.repeat_last("MESSAGE_CREATE") == 1
        await twin.until(lambda: len(bot.texts) == 3)
    assert bot.texts == ["held", "too", "too"]
    assert twin.gateway.opened == 2


async def test_intent_that_is_not_switched_on_closes_with_4014(monkeypatch: pytest.MonkeyPatch) -> None:
    async with DiscordTwin(message_content=False) as twin:
        point_at(twin, monkeypatch)
        bot = Bot()
        with pytest.raises(discord.PrivilegedIntentsRequired):
            await bot.start(twin.token)
        assert [each.outcome for each in twin.gateway.identifies] == ["4014"]


async def test_without_the_content_intent_only_mentions_and_direct_messages_have_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with DiscordTwin(message_content=False) as twin:
        point_at(twin, monkeypatch)
        ada = twin.person("ada")
        async with running(twin, Bot(discord.Intents.default())) as bot:
            ada.posts(twin.general, "not for you")
            ada.mentions(twin.general, "for you")
            ada.dms("for you alone")
            await twin.until(lambda: len(bot.texts) == 3)
    assert bot.texts == ["", f"<@{twin.bot_id}> for you", "for you alone"]


async def test_wrong_token_closes_with_4004(twin: DiscordTwin) -> None:
    twin.gateway.refuse(4004)
    bot = Bot()
    with pytest.raises(discord.ConnectionClosed) as closed:
        await bot.start(twin.token)
    assert closed.value.code == 4004


async def test_token_that_is_revoked_closes_what_is_open(twin: DiscordTwin) -> None:
    bot = Bot()
    async with running(twin, bot):
        twin.revokes_token()
        await twin.until(bot.is_closed)
    assert twin.gateway.connected == 0


async def test_day_s_identifies_used_up_resets_the_token(twin: DiscordTwin) -> None:
    twin.gateway.limits.remaining = 0
    with pytest.raises(discord.ConnectionClosed) as closed:
        await Bot().start(twin.token)
    assert closed.value.code == 4004
    assert not twin.token_valid


async def test_silent_gateway_is_left_and_resumed(twin: DiscordTwin) -> None:
    twin.gateway.heartbeat_s = 0.3
    async with running(twin, Bot(heartbeat_timeout=1.0)) as bot:
        await twin.until(lambda: twin.gateway.beats > 3)
        assert (bot.latency < 1, twin.gateway.opened) == (True, 1)
        twin.gateway.silence()
        await twin.until(lambda: twin.gateway.opened > 1, within_s=4)
        twin.gateway.silence(on=False)
        await twin.until(lambda: "resumed" in bot.happened)
    assert twin.gateway.problems == []


async def test_outage_ends_and_the_bot_is_there_again(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with running(twin, Bot()) as bot:
        twin.gateway.stop_for(0.3)
        await twin.until(lambda: twin.gateway.connected == 0)
        await twin.until(lambda: twin.gateway.connected == 1, within_s=20)
        await twin.until(lambda: len(bot.happened) > 1)
        ada.posts(twin.general, "back?")
        await twin.until(lambda: bot.texts == ["back?"])


async def test_each_shard_gets_its_own_guilds_and_direct_messages_go_to_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with DiscordTwin(shards=2) as twin:
        point_at(twin, monkeypatch)
        ada = twin.person("ada")
        guilds = [twin.guild_id]
        while len({(int(each) >> 22) % 2 for each in guilds}) < 2:
            guilds.append(twin.guild(f"Guild {len(guilds)}"))
            await asyncio.sleep(0.001)  # ids are made of milliseconds
        async with running(twin, Bot()) as bot:
            assert sorted(str(each.id) for each in bot.guilds) == sorted(guilds)
            by_shard = {each.shard[0]: each for each in twin.gateway.sessions}
            for number, session in by_shard.items():
                got = [each["d"]["id"] for each in session.dispatches if each["t"] == "GUILD_CREATE"]
                assert got == [each for each in guilds if (int(each) >> 22) % 2 == number]
            ada.dms("to the first")
            await twin.until(lambda: bot.texts)
            assert by_shard[0].last("MESSAGE_CREATE") is not None
            assert by_shard[1].last("MESSAGE_CREATE") is None
            assert twin.gateway.drop(shard=1)
            await twin.until(lambda: twin.gateway.resumes)
        assert twin.gateway.problems == []


async def test_member_chunks_are_asked_for_and_come(twin: DiscordTwin) -> None:
    twin.person("ada")
    twin.person("adam")
    twin.person("bob")
    async with running(twin, Bot()) as bot:
        found = await cached_guild(twin, bot).query_members("ad", limit=5)
        assert sorted(each.name for each in found) == ["ada", "adam"]


async def test_presence_is_told(twin: DiscordTwin) -> None:
    async with running(twin, Bot()) as bot:
        await bot.change_presence(activity=discord.Game("chess"))
        told = await twin.until(lambda: twin.gateway.presences)
    assert told[0]["activities"][0]["name"] == "chess"


async def test_members_need_their_intent_to_be_told_of(twin: DiscordTwin) -> None:
    intents = content_intents()
    intents.members = True
    twin.gateway.privileged.add("members")
    async with running(twin, Bot(intents)) as told, running(twin, Bot()) as untold:
        twin.person("ada")
        twin.person("eve").posts(twin.general, "hello")
        await twin.until(lambda: told.texts and untold.texts)
    assert told.raw.count("GUILD_MEMBER_ADD") == 2
    assert "GUILD_MEMBER_ADD" not in untold.raw


async def test_bot_may_start_again_and_two_at_once_both_hear(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    for _ in range(2):
        async with running(twin, Bot()) as bot:
            ada.posts(twin.general, "hello")
            await twin.until(lambda bot=bot: bot.texts == ["hello"])
        await asyncio.sleep(0.06)
    any_problem: Any = twin.gateway.problems
    assert any_problem == []
