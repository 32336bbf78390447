"""The gateway breaks in every way it can, under the real bot and discord.py as it is: nothing is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from tests.journey.discord_desk import ANSWER, APPROVAL, Desk, desk
from tests.journey.discord_kills import ONE_OF_EACH, at_rest, rows, shown_in
from tests.twins.discord import DiscordTwin

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

TWICE = dict.fromkeys(ONE_OF_EACH, 2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Desk]:
    """One bot for everything that needs no world of its own."""
    async with desk(tmp_path_factory.mktemp("gateway")) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def one(shared: Desk) -> Desk:
    """The bot, connected."""
    await shared.until(lambda: shared.discord.gateway.connected == 1)
    await shared.healthy()
    return shared


def fresh_channel(one: Desk) -> str:
    return one.discord.channel(f"tea-{len(one.discord.backend.channels)}")


async def waiting(one: Desk) -> str:
    """The thread of a run that waits for an approval."""
    thread = one.ada.mentions(fresh_channel(one), "What is tea?")
    await one.message(thread, APPROVAL)
    await one.until(lambda: at_rest(one))
    return thread


async def all_there(one: Desk, *threads: str) -> None:
    """In each thread one run is answered and shown, once."""
    for thread in threads:
        await one.done(thread)
    await one.until(lambda: at_rest(one))
    assert {thread: shown_in(one, thread) for thread in threads} == dict.fromkeys(threads, ONE_OF_EACH)


async def test_the_bot_says_hello_as_discord_wants_it(tmp_path: Path) -> None:
    discord = DiscordTwin()
    discord.gateway.heartbeat_s = 0.5
    async with desk(tmp_path, discord=discord) as one:
        await one.until(lambda: discord.gateway.beats >= 4)
        discord.gateway.ask_for_heartbeat()  # op 1: answered at once
        await one.until(lambda: discord.gateway.beats >= 6)
        [identify] = discord.gateway.identifies
        assert (identify.shard, identify.outcome) == ((0, 1), "ready")
        assert (discord.gateway.connected, discord.gateway.opened) == (1, 1)
        thread = one.ada.mentions(one.general, "What is tea?")
        await one.answered(one.ada, thread)
        assert shown_in(one, thread) == ONE_OF_EACH


async def test_a_gateway_that_fell_silent_is_left_and_the_session_goes_on(tmp_path: Path) -> None:
    discord = DiscordTwin()
    discord.gateway.heartbeat_s = 0.4
    async with desk(tmp_path, discord=discord, waits={"adapters.discord.client:SILENT_S": 1.0}) as one:
        discord.gateway.silence()
        discord.gateway.hold()
        thread = one.ada.mentions(one.general, "What is tea?")
        await one.until(lambda: discord.gateway.resumes)
        discord.gateway.silence(on=False)
        assert discord.gateway.release() >= 1
        await one.answered(one.ada, thread)
        assert discord.gateway.resumes[0].outcome == "resumed"
        assert len(discord.gateway.identifies) == 1
        assert shown_in(one, thread) == ONE_OF_EACH


BREAKS: dict[str, Callable[[Desk], object]] = {
    "drop": lambda one: one.discord.gateway.drop_all(),
    "op 7": lambda one: one.discord.gateway.reconnect(),
    "op 9, resumable": lambda one: one.discord.gateway.invalidate(resumable=True),
    "closed with 4000": lambda one: one.discord.gateway.close_all(4000),
}


@pytest.mark.parametrize("breaks", BREAKS)
async def test_the_session_goes_on_and_what_was_missed_comes_once(one: Desk, breaks: str) -> None:
    gateway = one.discord.gateway
    thread = await waiting(one)
    card = await one.message(thread, APPROVAL)
    identified, resumed = len(gateway.identifies), len(gateway.resumes)
    BREAKS[breaks](one)
    pressed = one.ada.clicks(card.id, label=APPROVAL)
    asked = one.bob.mentions(fresh_channel(one), "What is coffee?")
    one.bob.posts(thread, "And what is coffee?")  # a reply needs no mention
    await one.until(lambda: len(gateway.resumes) > resumed)
    assert gateway.resumes[-1].outcome == "resumed"
    assert len(gateway.identifies) == identified
    if breaks == "drop":  # the others let the connection end when what came before was sent
        assert gateway.resumes[-1].replayed >= 3
    assert not (await pressed.wait()).failed
    await one.message(thread, ANSWER)  # the reply's own run may wait by then
    await one.answered(one.bob, asked)
    await one.answered(one.bob, thread, count=2)
    await one.until(lambda: at_rest(one))
    assert shown_in(one, thread) == TWICE
    assert shown_in(one, asked) == ONE_OF_EACH


async def test_an_outage_of_some_seconds_loses_no_message(one: Desk) -> None:
    # discord.py begins a new session when the first try to resume fails; presses do not come again then.
    thread = await waiting(one)
    card = await one.message(thread, APPROVAL)
    one.discord.gateway.stop_for(3.0)
    pressed = one.ada.clicks(card.id, label=APPROVAL)
    one.forgiven.append(pressed)
    asked = one.bob.mentions(fresh_channel(one), "What is coffee?")
    one.bob.posts(thread, "And what is coffee?")
    await one.answered(one.bob, asked)
    if (await pressed.wait()).failed and APPROVAL in one.ada.sees_message(card.id).labels:
        assert not (await one.ada.clicks(card.id, label=APPROVAL).wait()).failed
    await one.message(thread, ANSWER)
    await one.answered(one.bob, thread, count=2)
    await one.until(lambda: at_rest(one))
    assert shown_in(one, thread) == TWICE
    assert shown_in(one, asked) == ONE_OF_EACH


async def test_it_breaks_in_the_middle_of_a_step_and_the_run_goes_on(one: Desk) -> None:
    thread = one.ada.mentions(fresh_channel(one), "What is tea?")
    await one.until(lambda: one.ours(thread))  # the status card: it works
    one.discord.gateway.drop_all()
    card = await one.message(thread, APPROVAL)
    one.discord.gateway.drop_all()
    assert not (await one.ada.clicks(card.id, label=APPROVAL).wait()).failed
    await all_there(one, thread)


LOST: dict[str, Callable[[Desk], object]] = {
    "op 9, not resumable": lambda one: one.discord.gateway.invalidate(resumable=False),
    "the session is gone": lambda one: (
        one.discord.gateway.expire_sessions(),
        one.discord.gateway.drop_all(),
    ),
}


@pytest.mark.parametrize("loses", LOST)
async def test_the_session_is_lost_and_what_was_said_is_read_back(one: Desk, loses: str) -> None:
    gateway = one.discord.gateway
    talking = one.bob.dms("What is coffee?")
    await one.answered(
        one.bob, one.bob.dm, count=len([s for s in one.ours(one.bob.dm) if ANSWER in s.labels]) + 1
    )
    assert talking
    thread = await waiting(one)
    await one.answered(one.ada, thread)
    identified = len(gateway.identifies)
    LOST[loses](one)
    asked = [one.bob.mentions(fresh_channel(one), f"What is coffee, {n}?") for n in range(2)]
    one.ada.posts(thread, "And what is coffee?")
    await one.until(lambda: len(gateway.identifies) > identified)
    assert gateway.identifies[-1].outcome == "ready"
    for each in asked:
        await one.answered(one.bob, each)
    await one.answered(one.ada, thread, count=2)
    await all_there(one, *asked)
    assert shown_in(one, thread) == TWICE


async def test_twenty_drops_in_a_row_while_people_talk(one: Desk) -> None:
    gateway = one.discord.gateway
    threads: list[str] = []
    approving: list[asyncio.Task[None]] = []

    async def approves(thread: str) -> None:
        card = await one.message(thread, APPROVAL)
        while (await one.ada.clicks(card.id, label=APPROVAL).wait()).failed:
            pass
        await one.done(thread)

    for number in range(20):
        if number % 3 == 0:
            threads.append(one.ada.mentions(fresh_channel(one), "What is tea?"))
            approving.append(asyncio.create_task(approves(threads[-1])))
        resumed = len(gateway.resumes)
        assert gateway.drop_all() == 1
        await one.until(lambda resumed=resumed: len(gateway.resumes) > resumed and gateway.connected == 1)
        assert gateway.resumes[-1].outcome == "resumed"
    await asyncio.gather(*approving)
    await all_there(one, *threads)
    await one.healthy()


async def test_an_event_that_comes_twice_is_one_turn_and_one_decision(one: Desk) -> None:
    gateway = one.discord.gateway
    thread = one.ada.mentions(fresh_channel(one), "What is tea?")
    assert gateway.repeat_last("MESSAGE_CREATE") == 1
    card = await one.message(thread, APPROVAL)
    pressed = one.ada.clicks(card.id, label=APPROVAL)
    assert gateway.repeat_last("INTERACTION_CREATE") == 1
    assert not (await pressed.wait()).failed
    await all_there(one, thread)
    conversation = f"discord:%:{thread}"
    assert len(rows(one, "quartet.db", "SELECT 1 FROM runs WHERE conversation_id LIKE ?", conversation)) == 1
    decided = (
        "SELECT 1 FROM events JOIN runs ON runs.n = events.run"
        " WHERE conversation_id LIKE ? AND type = 'decision_given'"
    )
    assert len(rows(one, "quartet.db", decided, conversation)) == 1


async def test_two_shards_serve_the_guilds_of_both(tmp_path: Path) -> None:
    discord = DiscordTwin(shards=2)
    guilds = [discord.guild_id]
    while _shard(guilds[-1]) == _shard(guilds[0]):  # by the millisecond in which it was made
        guilds.append(discord.guild(f"Guild {len(guilds)}"))
    async with desk(tmp_path, discord=discord) as one:
        assert [identify.shard for identify in discord.gateway.identifies] == [(0, 2), (1, 2)]
        assert discord.gateway.connected == 2
        asked_in = [guilds[0], guilds[-1]]
        people = {guild: discord.person(f"person-{guild}", guild=guild) for guild in asked_in}

        async def asks(guild: str) -> None:
            channel = discord.channel("tea", guild=guild)
            thread = people[guild].mentions(channel, "What is tea?")
            await one.answered(people[guild], thread)

        await asyncio.gather(*(asks(guild) for guild in asked_in))
        resumed = len(discord.gateway.resumes)
        assert discord.gateway.drop(shard=1)
        await one.until(lambda: len(discord.gateway.resumes) > resumed)
        await asyncio.gather(*(asks(guild) for guild in asked_in))
        one.bob.dms("What is tea?")
        await one.answered(one.bob, one.bob.dm)
        assert len(await one.runs()) == 5


def _shard(guild: str) -> int:
    return (int(guild) >> 22) % 2


async def test_the_settings_say_how_many_shards(tmp_path: Path) -> None:
    async with desk(tmp_path, config={"discord": {"shards": 2}}) as one:
        assert [identify.shard for identify in one.discord.gateway.identifies] == [(0, 2), (1, 2)]
        await one.answered(one.ada, one.ada.mentions(one.general, "What is tea?"))


async def test_the_commands_are_registered_once_and_again_when_they_changed(tmp_path: Path) -> None:
    put = "PUT /applications/*/commands"
    async with desk(tmp_path) as one:
        calls = one.discord.faults
        await one.until(lambda: calls.count(put, ok=True) == 1)
        await one.until(lambda: rows(one, "discord.db", "SELECT 1 FROM facts WHERE name LIKE 'commands:%'"))
        await one.stop()
        await one.start()
        told = await one.ada.types_command("quartet help", one.general).wait()
        assert not told.failed
        assert calls.count(put) == 1
        await one.stop()
        _forget_commands(one.bot.home / "discord.db")
        await one.start()
        await one.until(lambda: calls.count(put, ok=True) == 2)
        assert not (await one.ada.types_command("quartet help", one.general).wait()).failed


def _forget_commands(path: Path) -> None:
    """As if an older version had registered its own."""
    with closing(sqlite3.connect(path)) as db, db:
        changed = db.execute("UPDATE facts SET value = 'older' WHERE name LIKE 'commands:%'")
        assert changed.rowcount == 1
