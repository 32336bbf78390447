"""What we know of our own messages: kept on the disk, found by card and by place."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from adapters.contract import CardId, ConversationRef
from adapters.database import Database
from adapters.slack.inbox import Inbox, Known
from adapters.slack.posted import KEPT_S, Posted, Row
from tests.unit.adapters.slack.going_out import SCHEMA

THREAD = ConversationRef(platform="slack", workspace="T1", channel="C1", thread="10.1")


class Clock:
    now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database]:
    database = Database(tmp_path / "slack.db", SCHEMA)
    await database.open()
    yield database
    await database.close()


def row(card: str = "run-1:status", ts: str = "11.1", *, where: ConversationRef = THREAD) -> Row:
    return Row(
        CardId(card), where, ts, ("12.1", "file:F1"), 3, "status", "run-1", ("d1", "d2"), '{"opened": 5}'
    )


async def test_row_comes_back_as_it_was_and_the_newest_counts(database: Database) -> None:
    posted = Posted(database)
    await posted.save(row(ts="9.9"))
    await posted.save(row())
    assert await posted.get(CardId("run-1:status")) == row()
    assert row().messages == ("11.1", "12.1")
    assert row().files == ("file:F1",)
    assert not row().in_doubt
    assert row().ref.parts == ("12.1", "file:F1")
    await posted.forget(CardId("run-1:status"))
    assert await posted.get(CardId("run-1:status")) is None


async def test_stop_target_is_found_by_the_message_in_whatever_thread_of_the_channel(
    database: Database,
) -> None:
    posted = Posted(database)
    await posted.save(row())
    await posted.save(row("run-2:status", where=THREAD.model_copy(update={"channel": "C10"})))
    inbox = Inbox(database)
    for ts in ("11.1", "12.1"):  # its first message, and the one after it
        assert await inbox.stop_at(THREAD.workspace, THREAD.channel, ts) == Known(THREAD, "run-1")
    assert await inbox.stop_at(THREAD.workspace, THREAD.channel, "99.9") is None
    assert await inbox.stop_at("T2", THREAD.channel, "11.1") is None


async def test_open_streams_are_listed(database: Database) -> None:
    posted = Posted(database)
    await posted.save(row())
    await posted.save(Row(CardId("run-2:status"), THREAD, "13.1"))
    assert [each.card_id for each in await posted.open_streams()] == ["run-1:status"]


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


async def test_requester_is_unknown_where_nobody_wrote(database: Database) -> None:
    assert await Posted(database).requester(THREAD) == ("", "")
