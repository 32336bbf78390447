"""What was said while the bot was away is found: each channel from where it was read, within bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.database import Database
from adapters.discord import missed as missed_module
from adapters.discord.inbound import Me, conversation_at
from adapters.discord.inbox import SCHEMA, Inbox, Mark
from adapters.discord.missed import BEGUN, PAGE, Missed
from adapters.discord.payload import CHANNEL_TYPE, PARENT, ident
from adapters.discord.ports import DIRECT, Upload
from adapters.errors import ConversationGone, PlatformDown
from adapters.payload import Payload
from adapters.urgency import Urgency
from tests.unit.adapters.discord.arrivals import DM, GENERAL, GUILD, ME, THREAD

LIMIT_S = 60.0
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
        self.unsure = False
        self.after_reading: Callable[[str], Awaitable[None]] | None = None
        self.before_reading: Callable[[str], Awaitable[None]] | None = None

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
        if self.before_reading is not None:
            await self.before_reading(channel)
        if self.errors.get(channel):
            raise self.errors[channel].pop(0)
        page = [one for one in self.channels.get(channel, []) if int(one) > after][:PAGE]
        if self.after_reading is not None:
            await self.after_reading(channel)
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


class Looking:
    """What finds what was missed, and what it handed in, in order."""

    def __init__(self, world: World, inbox: Inbox) -> None:
        self.taken: list[str] = []
        self.inbox = inbox
        self.fails_at = ""
        self.missed = Missed(world, world, inbox, self.take, self.hand_in)

    async def take(self, payload: Payload) -> None:
        if ident(payload, "id") == self.fails_at:
            raise OSError("the disk is full")
        self.keep(payload)

    async def hand_in(self, event: str, payload: Payload) -> None:
        self.inbox.look(GUILD, ident(payload, "channel_id"), ident(payload, "id"))
        self.keep(payload)

    def keep(self, payload: Payload) -> None:
        if ident(payload, "id") not in self.taken:  # the same one again has the same key
            self.taken.append(ident(payload, "id"))

    async def comes(self, message: str, channel: str, parent: str = "") -> None:
        """Somebody writes now."""
        thread = {PARENT: parent, CHANNEL_TYPE: 11} if parent else {CHANNEL_TYPE: 0}
        payload = {"id": message, "channel_id": channel, "guild_id": GUILD, **thread}
        if not self.missed.waits("MESSAGE_CREATE", payload):
            await self.hand_in("MESSAGE_CREATE", payload)

    async def end(self) -> list[str]:
        """Until nothing is looked for any more."""
        task = self.missed._task  # pyright: ignore[reportPrivateUsage]
        assert task is not None
        async with asyncio.timeout(LIMIT_S):
            await task
        return self.taken


async def found(world: World, inbox: Inbox) -> list[str]:
    """Look once; the ids of what was taken, in order."""
    looking = Looking(world, inbox)
    looking.missed.look()
    return await looking.end()


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


async def test_known_threads_are_read_first_and_a_channel_before_its_other_threads(inbox: Inbox) -> None:
    world = World()
    start = sent(100)
    times = [sent(90 - n, n) for n in range(6)]
    other = str(int(THREAD) + 1)
    world.channels |= {GENERAL: times[:2], other: times[2:4], THREAD: times[4:]}
    world.listed |= {other: GUILD, GENERAL: GUILD, THREAD: GUILD}
    await begun(inbox, general=start, thread=start)
    await inbox.open_thread(conversation_at(GUILD, GENERAL, THREAD))
    assert await found(world, inbox) == [*times[4:], *times[:2], *times[2:4]]


async def test_what_is_written_now_waits_behind_what_was_missed_there_and_nowhere_else(inbox: Inbox) -> None:
    world = World()
    start, gap, live, elsewhere = sent(100), sent(50), sent(10), sent(9)
    world.channels[GENERAL], world.listed[GENERAL] = [gap], GUILD
    await begun(inbox, general=start)
    looking = Looking(world, inbox)

    async def meanwhile(channel: str) -> None:
        await looking.comes(live, GENERAL)
        await looking.comes(elsewhere, QUIET)

    world.before_reading = meanwhile
    looking.missed.look()
    assert await looking.end() == [elsewhere, gap, live]
    await inbox.write_marks()
    assert (await inbox.marks())[GENERAL].message == live


async def test_until_it_is_known_what_is_to_be_read_everything_waits(inbox: Inbox) -> None:
    world = World()
    start, gap, live, elsewhere = sent(100), sent(50), sent(10), sent(9)
    world.channels[GENERAL], world.listed[GENERAL] = [gap], GUILD
    await begun(inbox, general=start)
    looking = Looking(world, inbox)
    looking.missed.hold()
    await looking.comes(live, GENERAL)
    await looking.comes(elsewhere, QUIET)
    assert looking.taken == []
    looking.missed.look()
    assert await looking.end() == [elsewhere, gap, live]


async def test_a_reply_in_a_thread_waits_for_the_mention_that_made_the_thread_ours(inbox: Inbox) -> None:
    world = World()
    start, mention, reply = sent(100), sent(50), sent(10)
    world.channels[GENERAL], world.listed[GENERAL] = [mention], GUILD
    await begun(inbox, general=start)
    looking = Looking(world, inbox)

    async def meanwhile(channel: str) -> None:
        await looking.comes(reply, mention, GENERAL)

    world.before_reading = meanwhile
    looking.missed.hold()
    await looking.comes(str(int(reply) - 1), mention, GENERAL)
    looking.missed.look()
    assert await looking.end() == [mention, str(int(reply) - 1), reply]


async def test_where_somebody_writes_now_is_read_next(inbox: Inbox) -> None:
    world = World()
    start = sent(100)
    channels = [str(int(QUIET) + n) for n in range(5)]
    missed = [sent(50, n) for n in range(5)]
    for channel, message in zip(channels, missed, strict=True):
        world.channels[channel], world.listed[channel] = [message], GUILD
    await begun(inbox, general=start)
    looking = Looking(world, inbox)
    live = sent(5)

    async def meanwhile(channel: str) -> None:
        if channel == channels[0]:
            await looking.comes(live, channels[4])

    world.before_reading = meanwhile
    looking.missed.look()
    assert await looking.end() == [missed[0], missed[4], live, *missed[1:4]]


async def test_more_than_can_wait_is_read_from_discord(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed_module, "MOST_WAITING", 3)
    world = World()
    world.channels[GENERAL], world.listed[GENERAL] = [sent(50)], GUILD
    await begun(inbox, general=sent(100))
    looking = Looking(world, inbox)
    lives = [sent(10, n) for n in range(8)]

    async def meanwhile(channel: str) -> None:
        world.after_reading = None
        world.channels[GENERAL] += lives
        for message in lives:
            await looking.comes(message, GENERAL)

    world.after_reading = meanwhile
    looking.missed.look()
    assert await looking.end() == world.channels[GENERAL]
    assert len(world.read) == 2
    assert (await inbox.marks())[GENERAL].message == lives[-1]


async def test_what_was_taken_before_an_end_is_not_read_again(inbox: Inbox) -> None:
    world = World()
    times = [sent(90, n) for n in range(PAGE + 5)]
    world.channels |= {GENERAL: times, QUIET: [sent(10)]}
    world.listed |= {GENERAL: GUILD, QUIET: GUILD}
    await begun(inbox, general=sent(100))
    looking = Looking(world, inbox)
    reached = asyncio.Event()

    async def meanwhile(channel: str) -> None:
        if len(looking.taken) == PAGE:
            reached.set()
            await asyncio.Event().wait()

    world.before_reading = meanwhile
    looking.missed.look()
    await asyncio.wait_for(reached.wait(), LIMIT_S)
    await looking.missed.stop()
    assert looking.taken == times[:PAGE]
    world.before_reading = None
    again = await found(world, inbox)
    assert again == [*times[PAGE:], *world.channels[QUIET]]


async def test_a_channel_whose_message_cannot_be_kept_is_tried_again_from_there(inbox: Inbox) -> None:
    world = World()
    first, second = sent(50), sent(40)
    world.channels[GENERAL], world.listed[GENERAL] = [first, second], GUILD
    await begun(inbox, general=sent(100))
    looking = Looking(world, inbox)
    looking.fails_at = second
    looking.missed.look()
    assert set(await looking.end()) == {first}
    await inbox.write_marks()
    assert int((await inbox.marks())[GENERAL].message) < int(second)
    looking.fails_at = ""
    looking.missed.look()
    assert (await looking.end())[-1] == second


async def test_nobody_waits_where_it_cannot_be_known_what_was_missed(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> dict[str, Mark]:
        raise OSError("the disk is full")

    world = World()
    await begun(inbox, general=sent(100))
    monkeypatch.setattr(inbox, "marks", broken)
    looking = Looking(world, inbox)
    looking.missed.hold()
    live = sent(10)
    await looking.comes(live, GENERAL)
    looking.missed.look()
    assert await looking.end() == [live]
    await inbox.write_marks()
    monkeypatch.undo()
    assert int((await inbox.marks())[GENERAL].message) < int(live)


async def test_marks_that_move_while_a_shard_is_away_hide_nothing_of_its_channels(inbox: Inbox) -> None:
    world = World()
    start, gap = sent(100), sent(50)
    world.channels[GENERAL], world.listed[GENERAL] = [sent(20)], GUILD
    await begun(inbox, general=start)
    looking = Looking(world, inbox)
    world.unsure = True
    looking.missed.look()
    await looking.end()
    world.channels[QUIET], world.listed[QUIET] = [gap], GUILD  # the other shard's, never written in before
    world.unsure = False
    looking.missed.look()
    assert gap in await looking.end()


async def test_direct_messages_and_closed_threads_of_ours_are_read_too(inbox: Inbox) -> None:
    world = World()
    start, dm, closed = sent(100), sent(50), sent(40)
    world.channels |= {DM: [start, dm], THREAD: [start, closed]}
    await begun(inbox, dm=start, thread=start)
    await inbox.open_thread(conversation_at(GUILD, GENERAL, THREAD))
    assert await found(world, inbox) == [closed, dm]


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
