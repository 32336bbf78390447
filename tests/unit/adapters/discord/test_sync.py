"""Discord is told of the commands once for each change, and a refusal keeps nobody from working."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import adapters.discord
from adapters.database import Database
from adapters.discord.sync import CommandSync, digest
from adapters.errors import NotAllowed

SCHEMA = Path(adapters.discord.__file__).parent / "schema.sql"
ONE: list[dict[str, Any]] = [{"name": "quartet", "options": [{"name": "ask"}]}, {"name": "Ask", "type": 3}]
TWO: list[dict[str, Any]] = [{"name": "quartet", "options": []}]


class Discord:
    """Keeps what it is told; refuses some guilds."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.refuses: set[str] = set()
        self.refused = asyncio.Event()
        self.slowly = asyncio.Event()
        self.slowly.set()
        self.took = asyncio.Event()

    async def put(self, guild: str, told: Sequence[Mapping[str, Any]]) -> None:
        if guild in self.refuses:
            self.refused.set()
            raise NotAllowed(f"not in {guild}")
        self.told.append((guild, len(told)))
        self.took.set()
        await self.slowly.wait()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "discord.db", SCHEMA)
    await database.open()
    yield database
    await database.close()


async def test_the_same_commands_are_told_once_and_changed_ones_again(database: Database) -> None:
    there = Discord()
    assert await CommandSync(database, there.put).once("1", ONE) == 1
    assert await CommandSync(database, there.put).once("1", list(reversed(ONE))) == 0
    assert await CommandSync(database, there.put).once("1", TWO) == 1
    assert there.told == [("", 2), ("", 1)]


async def test_another_application_is_told_for_itself(database: Database) -> None:
    there = Discord()
    sync = CommandSync(database, there.put)
    assert await sync.once("1", ONE) + await sync.once("2", ONE) + await sync.once("1", ONE) == 2


async def test_named_guilds_get_the_commands_and_those_of_before_lose_them(database: Database) -> None:
    there = Discord()
    await CommandSync(database, there.put).once("1", ONE)
    await CommandSync(database, there.put, ["7", "8", "7"]).once("1", ONE)
    await CommandSync(database, there.put, ["8"]).once("1", ONE)
    assert there.told == [("", 2), ("7", 2), ("8", 2), ("", 0), ("7", 0)]


async def test_a_guild_that_refuses_keeps_no_other_from_its_commands(database: Database) -> None:
    there = Discord()
    there.refuses = {"7"}
    sync = CommandSync(database, there.put, ["7", "8"])
    with pytest.raises(NotAllowed, match="not in 7"):
        await sync.once("1", ONE)
    there.refuses = set()
    assert await sync.once("1", ONE) == 1
    assert there.told == [("8", 2), ("7", 2)]


async def test_a_refused_sync_is_told_of_and_tried_again_until_it_works(database: Database) -> None:
    there = Discord()
    there.refuses = {""}
    sync = CommandSync(database, there.put, first_pause_s=0.01)
    sync.start("1", ONE)
    sync.start("1", ONE)
    await asyncio.wait_for(there.refused.wait(), 5)
    there.refuses = set()
    await asyncio.wait_for(there.took.wait(), 5)
    assert "not in" in sync.trouble  # until it is written down
    await sync.stop()
    await sync.stop()
    sync.start("1", ONE)
    await asyncio.wait_for(sync.done(), 5)
    assert sync.trouble == ""
    assert set(there.told) == {("", 2)}


async def test_a_guild_that_removed_the_bot_is_told_again_when_it_is_back(database: Database) -> None:
    there = Discord()
    sync = CommandSync(database, there.put, ["7"])
    await sync.once("1", ONE)
    await sync.forget("1", "7")
    assert await sync.once("1", ONE) == 1


async def test_a_guild_that_invites_the_bot_is_told_at_once_though_it_refused_before(
    database: Database,
) -> None:
    there = Discord()
    there.refuses = {"7"}
    sync = CommandSync(database, there.put, ["7"], first_pause_s=1000)
    sync.start("1", ONE)
    await asyncio.wait_for(there.refused.wait(), 5)
    there.refuses = set()
    sync.start("1", ONE)
    await asyncio.wait_for(sync.done(), 5)
    assert there.told == [("7", 2)]
    await sync.stop()


async def test_a_guild_that_removes_the_bot_while_it_is_told_is_told_again(database: Database) -> None:
    there = Discord()
    there.slowly.clear()
    sync = CommandSync(database, there.put, ["7"])
    sync.start("1", ONE)
    await asyncio.wait_for(there.took.wait(), 5)
    forgetting = asyncio.create_task(sync.forget("1", "7"))
    await asyncio.sleep(0)
    sync.start("1", ONE)
    there.slowly.set()
    await asyncio.wait_for(forgetting, 5)
    await asyncio.wait_for(sync.done(), 5)
    assert there.told == [("7", 2), ("7", 2)]
    await sync.stop()


@given(st.permutations(ONE), st.text(min_size=1))
def test_the_digest_knows_no_order_but_every_word(commands: list[dict[str, Any]], word: str) -> None:
    assert digest(commands) == digest(ONE)
    assert digest([*commands, {"name": word}]) != digest(ONE)
