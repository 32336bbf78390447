"""What was said while the bot was away is found: each channel from where it was read, within bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.database import Database
from adapters.discord import missed as missed_module
from adapters.discord.inbound import Me, conversation_at
from adapters.discord.inbox import SCHEMA, Inbox, Mark
from adapters.discord.missed import BEGUN, PAGE, Missed
from adapters.discord.payload import Payload, ident
from adapters.discord.ports import DIRECT, Upload
from adapters.errors import ConversationGone, PlatformDown
from adapters.urgency import Urgency
from tests.unit.adapters.discord.arrivals import DM, GENERAL, GUILD, ME, THREAD

LIMIT_S = 5.0
QUIET = "100000000000000077"


def sent(seconds_ago: float, number: int = 0) -> str:
    """The id of a message that was sent so long ago."""
    return str((int((time.time() - seconds_ago) * 1000) - 1_420_070_400_000 << 22) + number)


class World:
    """Channels with their messages; what the gateway and REST tell of them."""

    def __init__(self) -> None:
        self.channels: dict[str, list[str]] = {}
        self.listed: dict[str, str] = {}  # channel → guild, of those in the gateway's list
        self.errors: dict[str, list[Exception]] = {}
        self.read: list[tuple[str, str]] = []

    @property
    def me(self) -> Me:
        return ME

    def last_messages(self) -> Mapping[str, tuple[str, str]]:
        return {
            channel: (guild, self.channels[channel][-1])
            for channel, guild in self.listed.items()
            if self.channels.get(channel)
        }

    async def placed(self, payload: Payload, guild: str = "") -> Payload:
        return {**payload, **({"guild_id": guild} if guild != DIRECT else {})}

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        urgency: Urgency,
        query: Mapping[str, str] | None = None,
        files: Sequence[Upload] = (),
    ) -> Any:
        channel = path.split("/")[2]
        after = int((query or {})["after"])
        self.read.append((channel, str(after)))
        if self.errors.get(channel):
            raise self.errors[channel].pop(0)
        page = [one for one in self.channels.get(channel, []) if int(one) > after][:PAGE]
        return [{"id": one, "channel_id": channel} for one in reversed(page)]


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    database = Database(tmp_path / "discord.db", SCHEMA)
    await database.open()
    yield Inbox(database)
    await database.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed_module, "APART_S", 0)
    monkeypatch.setattr(missed_module, "FIRST_PAUSE_S", 0.01)


async def found(world: World, inbox: Inbox) -> list[str]:
    """Look once; the ids of what was taken, in order."""
    taken: list[str] = []

    async def take(payload: Payload) -> None:
        taken.append(ident(payload, "id"))

    missed = Missed(world, world, inbox, take)
    missed.look()
    task = missed._task  # pyright: ignore[reportPrivateUsage]
    assert task is not None
    async with asyncio.timeout(LIMIT_S):
        await task
    await missed.stop()
    return taken


async def begun(inbox: Inbox, **marks: str) -> None:
    """It was started before, and had looked so far."""
    await inbox.first_time(BEGUN)
    known = {"general": GENERAL, "thread": THREAD, "dm": DM}
    guild = {"general": GUILD, "thread": GUILD, "dm": DIRECT}
    await inbox.caught_up({known[name]: Mark(guild[name], mark) for name, mark in marks.items()})


async def test_the_first_time_nothing_is_read_and_the_next_time_what_is_new(inbox: Inbox) -> None:
    world = World()
    world.channels[GENERAL], world.listed[GENERAL] = [sent(50), sent(40)], GUILD
    assert await found(world, inbox) == []
    assert world.read == []
    new = sent(30)
    world.channels[GENERAL].append(new)
    world.channels[QUIET], world.listed[QUIET] = [sent(-5)], GUILD  # nobody had ever written there
    assert await found(world, inbox) == [new, *world.channels[QUIET]]
    assert await found(world, inbox) == []


async def test_only_channels_with_something_new_are_read_from_where_they_were_read(inbox: Inbox) -> None:
    world = World()
    old, new = sent(100), sent(50)
    world.channels |= {GENERAL: [old, new], THREAD: [old]}
    world.listed |= {GENERAL: GUILD, THREAD: GUILD}
    await begun(inbox, general=old, thread=old)
    assert await found(world, inbox) == [new]
    assert world.read == [(GENERAL, old)]
    assert (await inbox.marks())[GENERAL] == Mark(GUILD, new)


async def test_messages_of_all_channels_are_taken_in_the_order_of_their_time(inbox: Inbox) -> None:
    world = World()
    start = sent(100)
    times = [sent(90 - n, n) for n in range(6)]
    world.channels |= {GENERAL: times[::2], THREAD: times[1::2]}
    world.listed |= {GENERAL: GUILD, THREAD: GUILD}
    await begun(inbox, general=start, thread=start)
    assert await found(world, inbox) == times


async def test_direct_messages_and_closed_threads_of_ours_are_read_too(inbox: Inbox) -> None:
    world = World()
    start, dm, closed = sent(100), sent(50), sent(40)
    world.channels |= {DM: [start, dm], THREAD: [start, closed]}
    await begun(inbox, dm=start, thread=start)
    await inbox.open_thread(conversation_at(GUILD, GENERAL, THREAD))
    assert await found(world, inbox) == [dm, closed]


async def test_what_is_older_than_a_day_is_not_answered_any_more(inbox: Inbox) -> None:
    world = World()
    old, new = sent(90_000), sent(50)
    world.channels[GENERAL], world.listed[GENERAL] = [old, new], GUILD
    await begun(inbox, general=sent(200_000))
    assert await found(world, inbox) == [new]


async def test_more_than_a_page_is_read_on_and_much_more_is_not(inbox: Inbox) -> None:
    world = World()
    start = sent(1000)
    world.channels[GENERAL] = [sent(900, n) for n in range(PAGE + 7)]
    world.listed[GENERAL] = GUILD
    await begun(inbox, general=start)
    assert await found(world, inbox) == world.channels[GENERAL]
    world.channels[GENERAL] += [sent(500, n) for n in range(PAGE * 10)]
    assert len(await found(world, inbox)) == PAGE * missed_module.PAGES


async def test_only_the_channels_with_the_newest_messages_are_read(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed_module, "CHANNELS", 2)
    world = World()
    await begun(inbox, general=sent(5000))
    for number in range(5):
        channel = f"10000000000000010{number}"
        world.channels[channel], world.listed[channel] = [sent(1000 - number)], GUILD
    newest = [world.channels[f"10000000000000010{number}"][0] for number in (3, 4)]
    assert await found(world, inbox) == newest


async def test_a_channel_that_is_gone_does_not_keep_the_others(inbox: Inbox) -> None:
    world = World()
    start, new = sent(100), sent(50)
    world.channels |= {GENERAL: [new], THREAD: [new]}
    world.listed |= {GENERAL: GUILD, THREAD: GUILD}
    world.errors[GENERAL] = [ConversationGone("gone")]
    await begun(inbox, general=start, thread=start)
    assert await found(world, inbox) == [new]
    assert {channel for channel, _ in world.read} == {GENERAL, THREAD}


async def test_a_channel_that_could_not_be_read_is_read_again_and_its_mark_stays(inbox: Inbox) -> None:
    world = World()
    start, new = sent(100), sent(50)
    world.channels[GENERAL], world.listed[GENERAL] = [new], GUILD
    world.errors[GENERAL] = [PlatformDown("away"), PlatformDown("away")]
    await begun(inbox, general=start)
    assert await found(world, inbox) == [new]
    world.errors[GENERAL] = [PlatformDown("away")] * 99
    world.channels[GENERAL].append(sent(20))
    inbox.look(GUILD, GENERAL, sent(10))  # somebody writes there meanwhile
    assert await found(world, inbox) == []
    await inbox.write_marks()
    assert (await inbox.marks())[GENERAL].message == new
    world.errors.clear()
    assert await found(world, inbox) == world.channels[GENERAL][1:]


async def test_no_mark_moves_until_it_was_looked(inbox: Inbox) -> None:
    world = World()
    start, gap, live = sent(100), sent(50), sent(10)
    world.channels[GENERAL], world.listed[GENERAL] = [gap, live], GUILD
    await begun(inbox, general=start)
    inbox.hold()
    inbox.look(GUILD, GENERAL, live)
    await inbox.write_marks()
    assert await found(world, inbox) == [gap, live]
    assert (await inbox.marks())[GENERAL].message == live


async def test_answers_that_are_none_break_nothing(inbox: Inbox) -> None:
    world = World()
    await begun(inbox, general=sent(100))
    world.channels[GENERAL], world.listed[GENERAL] = [sent(50)], GUILD

    class Odd(World):
        async def call(self, *args: Any, **more: Any) -> Any:
            return [None, 5, {}, {"id": "x"}, {"id": ["1"]}, [[]]]

    odd = Odd()
    odd.channels, odd.listed = world.channels, world.listed
    assert await found(odd, inbox) == []
