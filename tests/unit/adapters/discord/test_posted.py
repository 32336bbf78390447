"""What we know of our own messages: kept on the disk, found by card."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from adapters.contract import CardId, ConversationRef
from adapters.database import Database
from adapters.discord.posted import KEPT_S, Posted, Row, channel_of, stop_target
from tests.unit.adapters.discord.going_out import SCHEMA, approval_card, status_card

THREAD = ConversationRef(platform="discord", workspace="1", channel="2", thread="3")


class Clock:
    now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database]:
    database = Database(tmp_path / "discord.db", SCHEMA)
    await database.open()
    yield database
    await database.close()


def row(card: str = "run-1:status", message: str = "11") -> Row:
    return Row(CardId(card), THREAD, message, ("12", "13"), 3, "status", "run-1", ("d1", "d2", "d3"))


async def test_row_comes_back_as_it_was_and_the_newest_counts(database: Database) -> None:
    posted = Posted(database)
    await posted.save(row(message="9"))
    await posted.save(row())
    assert await posted.get(CardId("run-1:status")) == row()
    await posted.forget(CardId("run-1:status"))
    assert await posted.get(CardId("run-1:status")) is None


def test_row_says_what_may_be_there_that_it_does_not_name() -> None:
    assert row().messages == ("11", "12", "13")
    assert not row().in_doubt
    assert row().ref.parts == ("12", "13")
    assert Row(CardId("c"), THREAD, "11", ("12",), 3).in_doubt
    begun = Row(CardId("c"), THREAD, "")
    assert begun.in_doubt
    assert begun.messages == ()


def test_messages_stand_in_the_thread_or_where_there_is_none_in_the_channel() -> None:
    assert row().channel == "3"
    assert channel_of(THREAD.model_copy(update={"thread": ""})) == "2"


def test_stop_target_is_the_run_of_the_stop_button() -> None:
    assert stop_target(status_card()) == "run-1"
    assert stop_target(approval_card()) == ""


async def test_old_rows_are_pruned_and_young_ones_stay(database: Database) -> None:
    clock = Clock()
    posted = Posted(database, clock)
    await posted.save(row("old"))
    clock.now += KEPT_S - 10
    await posted.save(row("young"))
    clock.now += 20
    await posted.prune()
    assert await posted.get(CardId("old")) is None
    assert await posted.get(CardId("young")) is not None
