"""Discord's twin and the unmodified discord.py: people act, the bot learns of it, people see its answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import discord
import pytest

from tests.twins.discord import DiscordTwin
from tests.twins.discord.people import NotPossible, Webhook
from tests.unit.twins.discord_bots import Bot, point_at, running


@pytest.fixture
async def twin(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordTwin]:
    async with DiscordTwin() as discord_twin:
        point_at(discord_twin, monkeypatch)
        yield discord_twin
        assert discord_twin.gateway.problems == []


async def test_mention_reaches_the_bot_and_its_answer_is_seen(twin: DiscordTwin) -> None:
    ada, eve = twin.person("ada"), twin.person("eve")
    async with running(twin, Bot()) as bot:
        assert str(bot.user.id if bot.user else "") == twin.bot_id
        sent = ada.mentions(twin.general, "what do llamas eat?", [("a.txt", "text/plain", b"grass")])
        heard = await twin.until(lambda: bot.heard[-1] if bot.heard else None)
        assert heard.id == int(sent)
        assert heard.content == f"<@{twin.bot_id}> what do llamas eat?"
        assert heard.mentions[0] == bot.user
        assert (heard.attachments[0].content_type, await heard.attachments[0].read()) == (
            "text/plain",
            b"grass",
        )
        await heard.channel.send("Grass.")
        answer = (await twin.until(lambda: eve.sees(twin.general)[1:]))[0]
    assert (answer.text, answer.author, answer.author_id) == ("Grass.", "Quartet", twin.bot_id)
    asked = ada.sees_message(sent)
    assert asked.files[0].text == "grass"
    assert asked.pings == (twin.bot_id,)


async def test_edits_deletions_and_reactions_of_people_reach_the_bot(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with running(twin, Bot()) as bot:
        sent = ada.posts(twin.general, "first")
        await twin.until(lambda: bot.texts)
        ada.edits(sent, "second")
        ada.reacts(sent, "❌")
        ada.unreacts(sent, "❌")
        ada.deletes(sent)
        await twin.until(lambda: bot.deleted)
    assert bot.texts == ["first"]
    assert [each.data["content"] for each in bot.edited] == ["second"]
    assert bot.reactions == ["+❌", "-❌"]
    assert ada.sees(twin.general) == []


async def test_direct_message_is_heard_and_answered(twin: DiscordTwin) -> None:
    ada, eve = twin.person("ada"), twin.person("eve")
    async with running(twin, Bot()) as bot:
        ada.dms("hello")
        heard = await twin.until(lambda: bot.heard[-1] if bot.heard else None)
        assert isinstance(heard.channel, discord.DMChannel)
        await heard.channel.send("Hello, Ada.")
        await twin.until(lambda: len(ada.sees(ada.dm)) == 2)
    assert [each.text for each in ada.sees(ada.dm)] == ["hello", "Hello, Ada."]
    with pytest.raises(NotPossible):
        eve.sees(ada.dm)


async def test_thread_that_the_bot_begins_is_written_in_archived_and_opened(twin: DiscordTwin) -> None:
    ada, mod = twin.person("ada"), twin.person("mod", permissions=["manage_threads"])
    async with running(twin, Bot()) as bot:
        sent = ada.mentions(twin.general, "plan it")
        heard = await twin.until(lambda: bot.heard[-1] if bot.heard else None)
        thread = await heard.create_thread(name="plan it")
        assert str(thread.id) == sent
        assert ada.sees_message(sent).thread == "plan it"
        assert ada.sees_threads(twin.general) == {sent: "plan it"}
        await thread.send("Planning.")
        ada.posts(thread.id, "and quickly")
        await twin.until(lambda: "and quickly" in bot.texts)
        first, *others = ada.sees(thread.id)
        assert first.text.endswith("plan it")
        assert [each.text for each in others] == ["Planning.", "and quickly"]
        mod.archives(thread.id)
        await twin.until(lambda: (t := bot.get_channel(thread.id)) is None or getattr(t, "archived", False))
        ada.posts(thread.id, "wait")  # opens it again
        await twin.until(lambda: "wait" in bot.texts)
        mod.locks(thread.id)
        with pytest.raises(NotPossible):
            ada.posts(thread.id, "too late")


async def test_other_bots_and_webhooks_write_as_what_they_are(twin: DiscordTwin) -> None:
    async with running(twin, Bot()) as bot:
        twin.person("deploybot", bot=True).mentions(twin.general, "deployed")
        Webhook(twin, twin.general, "CI").posts("green", name="Build 7")
        await twin.until(lambda: len(bot.heard) == 2)
    other, hook = bot.heard
    assert (other.author.bot, other.webhook_id) == (True, None)
    assert (hook.webhook_id, hook.author.name) == (hook.author.id, "Build 7")


async def test_hidden_channels_are_hidden_from_people_and_from_the_bot(twin: DiscordTwin) -> None:
    ada, root = twin.person("ada"), twin.person("root", permissions=["administrator"])
    secret = twin.channel("secret")
    root.deny(secret, "view_channel", whom=twin.guild_id)
    root.deny(secret, "view_channel")
    async with running(twin, Bot()) as bot:
        for forbidden in (lambda: ada.sees(secret), lambda: ada.posts(secret, "hi")):
            with pytest.raises(NotPossible):
                forbidden()
        root.posts(secret, "nobody is to know")
        root.posts(twin.general, "hello")
        await twin.until(lambda: bot.heard)
        root.allow(secret, "view_channel")
        root.posts(secret, "now you may")
        await twin.until(lambda: len(bot.heard) == 2)
    assert bot.texts == ["hello", "now you may"]


async def test_bot_that_is_kicked_learns_of_it_and_hears_nothing_until_it_is_back(twin: DiscordTwin) -> None:
    ada, root = twin.person("ada"), twin.person("root", permissions=["administrator"])
    with pytest.raises(NotPossible):
        ada.kick_bot()
    async with running(twin, Bot()) as bot:
        root.kick_bot()
        await twin.until(lambda: not bot.guilds)
        ada.posts(twin.general, "where is it?")
        root.renames(twin.general, "lonely")
        root.add_bot_back()
        await twin.until(lambda: bot.guilds)
        ada.posts(twin.general, "welcome back")
        await twin.until(lambda: bot.heard)
    assert bot.texts == ["welcome back"]
    assert "CHANNEL_UPDATE" not in bot.raw


async def test_moderators_delete_messages_and_channels(twin: DiscordTwin) -> None:
    ada, root = twin.person("ada"), twin.person("root", permissions=["administrator"])
    place = twin.channel("short-lived")
    async with running(twin, Bot()) as bot:
        sent = ada.posts(twin.general, "spam")
        with pytest.raises(NotPossible):
            twin.person("eve").delete_message(sent)
        root.delete_message(sent)
        two = [ada.posts(twin.general, "a"), ada.posts(twin.general, "b")]
        root.delete_messages(*two)
        ada.starts_thread(place, "inside")
        root.delete_channel(place)
        await twin.until(lambda: "CHANNEL_DELETE" in bot.raw)
        assert bot.get_channel(int(place)) is None
    assert bot.deleted == [int(sent)]
    assert bot.raw.count("MESSAGE_DELETE_BULK") == 1
    assert bot.raw.count("THREAD_DELETE") == 1


async def test_forum_post_is_a_thread_with_its_first_message(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    forum = twin.channel("questions", kind=15)
    async with running(twin, Bot()) as bot:
        post = ada.posts_in_forum(forum, "Llamas", f"<@{twin.bot_id}> what do they eat?")
        heard = await twin.until(lambda: bot.heard[-1] if bot.heard else None)
        assert (str(heard.id), str(heard.channel.id)) == (post, post)
        with pytest.raises(NotPossible):
            ada.posts(forum, "not a post")


async def test_preview_of_a_link_is_an_update_that_is_no_edit(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with running(twin, Bot()) as bot:
        sent = ada.posts(twin.general, "https://example.com")
        ada.unfurls(sent, "https://example.com")
        update = (await twin.until(lambda: bot.edited))[0]
    assert (update.data["content"], update.data["edited_timestamp"]) == ("https://example.com", None)
    assert not ada.sees_message(sent).edited


async def test_what_nobody_can_write_is_refused(twin: DiscordTwin) -> None:
    ada, root = twin.person("ada"), twin.person("root", permissions=["administrator"])
    thread = ada.starts_thread(twin.general, "a place")
    sent = ada.posts(thread, "mine")
    for wrong in (
        lambda: ada.posts(twin.general, ""),
        lambda: ada.posts(twin.general, "x" * 2001),
        lambda: ada.posts("1", "nowhere"),
        lambda: ada.posts_in_forum(twin.general, "no forum", "text"),
        lambda: root.edits(sent, "not mine"),
        lambda: root.deletes(sent),
        lambda: ada.edits("1", "nothing"),
        lambda: ada.deny(twin.general, "view_channel"),
        lambda: root.add_bot_back(),
        lambda: root.delete_messages(sent, ada.posts(twin.general, "elsewhere")),
    ):
        with pytest.raises(NotPossible):
            wrong()
    root.archives(thread)
    for wrong in (lambda: ada.edits(sent, "late"), lambda: ada.reacts(sent, "👍")):
        with pytest.raises(NotPossible):
            wrong()
    root.deny(twin.general, "send_messages_in_threads", whom=ada.id)
    assert "send_messages_in_threads" not in ada.permissions(thread)
    assert {"view_channel", "send_messages"} <= ada.permissions(twin.general)
    with pytest.raises(NotPossible):
        ada.posts(thread, "still here?")
