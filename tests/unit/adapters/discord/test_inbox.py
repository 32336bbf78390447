"""What came in is kept once, a thread is known from its mention on, and marks never pass what is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import ConversationRef
from adapters.database import Database
from adapters.discord import inbox as inbox_module
from adapters.discord.inbound import Arrival, conversation_at, message_key
from adapters.discord.inbox import BOT_PAUSE_S, KEPT_S, NO_CONTENT, SCHEMA, THREADS_S, Inbox, Mark
from tests.unit.adapters.discord.arrivals import (
    ADA,
    GENERAL,
    GUILD,
    M1,
    M2,
    THREAD,
    arrived,
    direct,
    in_thread,
    mention,
    message,
    user,
)

M3 = "300000000000000003"
ROOT = conversation_at(GUILD, GENERAL, M1)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "discord.db", SCHEMA)
    await database.open()
    yield database
    await database.close()


async def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    return await database.read(lambda db: [tuple(row) for row in db.execute(sql)])


def reply(text: str = "more", message_id: str = M2, thread: str = M1, **more: Any) -> Arrival:
    """In the thread that a mention began."""
    given = in_thread(message(text, id=message_id, **more)) | {"channel_id": thread}
    return arrived("MESSAGE_CREATE", given, "*")


def deletion(message_id: str, channel: str = GENERAL) -> Arrival:
    given = {"id": message_id, "channel_id": channel, "guild_id": GUILD}
    return arrived("MESSAGE_DELETE", given)


# ── keeping ──────────────────────────────────────────────────────────────────────────────────


async def test_the_same_message_is_kept_once_however_often_it_comes(database: Database) -> None:
    inbox = Inbox(database)
    arrival = arrived("MESSAGE_CREATE", mention())
    kept = await asyncio.gather(*(inbox.keep(arrival) for _ in range(9)))
    assert sum(row is not None for row in kept) == 1
    assert [row.arrival for row in await inbox.waiting()] == [arrival]


async def test_a_reply_counts_only_in_a_thread_that_is_known(database: Database) -> None:
    inbox = Inbox(database)
    assert await inbox.keep(reply()) is None
    assert await inbox.keep(arrived("MESSAGE_CREATE", mention())) is not None
    assert await inbox.keep(reply()) is not None
    assert await inbox.keep(reply(message_id=M3, thread=THREAD)) is None
    await inbox.open_thread(conversation_at(GUILD, GENERAL, THREAD))
    assert await inbox.keep(reply(message_id=M3, thread=THREAD)) is not None


async def test_a_thread_is_known_after_a_restart(database: Database) -> None:
    await Inbox(database).keep(arrived("MESSAGE_CREATE", mention()))
    assert await Inbox(database).keep(reply()) is not None


async def test_a_direct_message_needs_no_thread(database: Database) -> None:
    inbox = Inbox(database)
    assert await inbox.keep(arrived("MESSAGE_CREATE", direct())) is not None
    assert await rows(database, "SELECT thread FROM threads") == []


async def test_other_bots_go_on_for_so_many_turns_until_a_person_writes(database: Database) -> None:
    inbox = Inbox(database, bot_turns=2)
    await inbox.keep(arrived("MESSAGE_CREATE", mention()))
    robot = {"author": user("200000000000000009", "robot", bot=True)}
    ids = iter(range(10))

    async def says(**more: Any) -> bool:
        return await inbox.keep(reply(message_id=f"30000000000000001{next(ids)}", **more)) is not None

    assert [await says(**robot) for _ in range(3)] == [True, True, False]
    assert await says()
    assert [await says(**robot) for _ in range(3)] == [True, True, False]


async def test_a_bot_that_mentions_us_in_a_channel_may_again_after_an_hour_or_a_person(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, ids = Inbox(database, bot_turns=2), iter(range(10, 99))

    async def says(author: str) -> bool:
        given = mention(id=f"3000000000000000{next(ids)}", author=user(author, bot=author != ADA))
        return await inbox.keep(arrived("MESSAGE_CREATE", given, "*")) is not None

    robot, other = "200000000000000009", "200000000000000008"
    assert [await says(robot) for _ in range(3)] == [True, True, False]
    assert await says(other)
    assert await says(ADA)
    assert [await says(robot) for _ in range(3)] == [True, True, False]
    now = time.time()
    monkeypatch.setattr(inbox_module.time, "time", lambda: now + BOT_PAUSE_S + 1)
    assert [await says(robot) for _ in range(3)] == [True, True, False]
    monkeypatch.setattr(inbox_module.time, "time", lambda: now + 3 * BOT_PAUSE_S)
    await inbox.prune()
    assert await rows(database, "SELECT * FROM bots") == []


async def test_a_thread_is_known_no_more_when_what_made_it_known_was_in_vain(database: Database) -> None:
    inbox = Inbox(database)
    first = arrived("MESSAGE_CREATE", in_thread(mention(id=M2)))
    await inbox.keep(first)
    await inbox.keep(reply(message_id=M3, thread=THREAD))
    await inbox.in_vain(first, THREAD)
    assert await rows(database, "SELECT thread FROM threads") == []
    await inbox.accepted(conversation_at(GUILD, GENERAL, THREAD))  # what was said meanwhile
    assert await rows(database, "SELECT thread FROM threads") == [(THREAD,)]
    again = arrived("MESSAGE_CREATE", in_thread(mention(id="300000000000000004")))
    await inbox.keep(again)
    await inbox.in_vain(again, THREAD)
    assert await rows(database, "SELECT thread FROM threads") == [(THREAD,)], "it was known before"


async def test_what_was_told_in_a_thread_is_forgotten_with_the_thread(database: Database) -> None:
    inbox = Inbox(database)
    await inbox.open_thread(ROOT)
    for fact in (f"{NO_CONTENT}{M1}", f"{NO_CONTENT}{THREAD}", "commands:1:"):
        await inbox.first_time(fact)
    await inbox.prune()
    assert await rows(database, "SELECT name FROM facts ORDER BY name") == [
        ("commands:1:",),
        (f"{NO_CONTENT}{M1}",),
    ]


async def test_a_deletion_counts_for_what_was_kept_and_stands_behind_it(database: Database) -> None:
    inbox = Inbox(database)
    assert await inbox.keep(deletion(M1)) is None
    await inbox.keep(arrived("MESSAGE_CREATE", mention()))
    await inbox.keep(reply())
    row = await inbox.keep(deletion(M2, channel=M1))  # a deletion does not say what its channel hangs in
    assert row is not None
    assert row.arrival.lane == ROOT.key
    assert [one.arrival.kind for one in await inbox.waiting()] == ["mention", "reply", "deleted"]


async def test_what_is_done_is_known_by_its_writer_alone(database: Database) -> None:
    inbox = Inbox(database)
    arrival = arrived("MESSAGE_CREATE", mention("my secret plan"))
    await inbox.keep(arrival)
    await inbox.done(arrival.key, "r-1")
    assert "secret" not in str(await rows(database, "SELECT * FROM inbox"))
    assert await inbox.writer(arrival.key) == ADA
    assert await inbox.requester(ROOT) == ADA
    known = await inbox.turn_at(message_key(GUILD, GENERAL, M1))
    assert known is not None
    assert (known.conversation, known.run_id) == (ROOT, "r-1")
    assert await inbox.keep(arrival) is None
    assert await inbox.waiting() == []


async def test_what_was_given_up_is_not_handed_in_again_and_tries_are_counted(database: Database) -> None:
    inbox = Inbox(database)
    arrival = arrived("MESSAGE_CREATE", mention())
    await inbox.keep(arrival)
    assert [await inbox.failed(arrival.key) for _ in range(2)] == [1, 2]
    (row,) = await Inbox(database).waiting()
    assert (row.tries, row.again) == (2, True)
    await inbox.given_up(arrival.key)
    assert await inbox.waiting() == []
    assert await inbox.turn_at(arrival.key) is None


async def test_a_question_that_was_said_aloud_is_found_by_its_message(database: Database) -> None:
    inbox = Inbox(database)
    for _ in range(2):
        await inbox.posted_question(ROOT, M1, "r-1", ADA)
    known = await inbox.turn_at(message_key(GUILD, GENERAL, M1))
    assert known is not None
    assert known.run_id == "r-1"
    assert await inbox.requester(ROOT) == ADA
    in_a_thread = conversation_at(GUILD, GENERAL, THREAD)
    await inbox.posted_question(in_a_thread, M2, "r-2", ADA)
    assert await inbox.turn_at(message_key(GUILD, THREAD, M2)) is not None


async def test_old_things_are_forgotten_and_what_waits_is_not(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(database)
    first = arrived("MESSAGE_CREATE", mention())
    await inbox.keep(first)
    await inbox.done(first.key)
    await inbox.keep(reply())
    now = time.time()
    monkeypatch.setattr(inbox_module.time, "time", lambda: now + KEPT_S + 1)
    await inbox.prune()
    assert await rows(database, "SELECT kind FROM inbox") == [("reply",)]
    assert await rows(database, "SELECT thread FROM threads") == [(M1,)]
    monkeypatch.setattr(inbox_module.time, "time", lambda: now + THREADS_S + 1)
    await inbox.prune()
    assert await rows(database, "SELECT thread FROM threads") == []


async def test_whether_something_came_first_is_told_by_its_place(database: Database) -> None:
    inbox = Inbox(database)
    first, second = arrived("MESSAGE_CREATE", mention()), reply()
    await inbox.keep(first)
    await inbox.keep(second)
    assert await inbox.first_in_lane(first)
    assert not await inbox.first_in_lane(second)


# ── marks ────────────────────────────────────────────────────────────────────────────────────


async def test_a_mark_moves_with_what_is_kept_and_never_back(database: Database) -> None:
    inbox = Inbox(database)
    inbox.look(GUILD, GENERAL, M2)
    inbox.look(GUILD, GENERAL, M1)
    assert await inbox.marks() == {}
    await inbox.keep(arrived("MESSAGE_CREATE", mention(id=M2)))
    assert await inbox.marks() == {GENERAL: Mark(GUILD, M2)}
    inbox.look(GUILD, GENERAL, M1)
    await inbox.write_marks()
    assert await inbox.marks() == {GENERAL: Mark(GUILD, M2)}


async def test_a_mark_compares_ids_as_numbers(database: Database) -> None:
    inbox = Inbox(database)
    inbox.look(GUILD, GENERAL, "99999999999999999")
    await inbox.write_marks()
    inbox.look(GUILD, GENERAL, "100000000000000000")
    await inbox.write_marks()
    assert await inbox.marks() == {GENERAL: Mark(GUILD, "100000000000000000")}


async def test_no_mark_moves_while_something_may_be_missing(database: Database) -> None:
    whole = False
    inbox = Inbox(database, sure=lambda: whole)
    inbox.look(GUILD, GENERAL, M1)
    await inbox.keep(arrived("MESSAGE_CREATE", mention()))
    await inbox.write_marks()
    assert await inbox.marks() == {}
    whole = True
    inbox.hold()
    await inbox.write_marks()
    assert await inbox.marks() == {}
    await inbox.caught_up({THREAD: Mark(GUILD, M1)})
    inbox.release(behind=[GENERAL])
    await inbox.write_marks()
    assert await inbox.marks() == {THREAD: Mark(GUILD, M1)}
    inbox.release()
    await inbox.write_marks()
    assert await inbox.marks() == {THREAD: Mark(GUILD, M1), GENERAL: Mark(GUILD, M1)}


async def test_a_mark_is_not_written_for_what_came_after_the_write_was_asked_for(database: Database) -> None:
    inbox = Inbox(database)
    inbox.look(GUILD, GENERAL, M1)
    keeping = asyncio.create_task(inbox.keep(arrived("MESSAGE_CREATE", mention())))
    await asyncio.sleep(0)
    inbox.look(GUILD, GENERAL, M2)  # its own keep is not asked for yet
    await keeping
    assert await inbox.marks() == {GENERAL: Mark(GUILD, M1)}
    await inbox.write_marks()
    assert await inbox.marks() == {GENERAL: Mark(GUILD, M2)}


# ── cards ────────────────────────────────────────────────────────────────────────────────────


async def post(
    database: Database, card: str, kind: str, message_id: str, *, stop: str = "", parts: str = "[]"
) -> None:
    await database.write(
        lambda db: db.execute(
            "INSERT INTO posted (card_id, conversation, message, parts, kind, stop_target, at)"
            " VALUES (?,?,?,?,?,?,?)",
            (card, ROOT.key, message_id, parts, kind, stop, time.time()),
        )
    )


async def test_a_reaction_finds_the_run_of_the_card_that_it_stands_on(database: Database) -> None:
    inbox = Inbox(database)
    await post(database, "r-1:status", "status", "11", stop="r-1")
    await post(database, "r-1:approval:a", "approval", "12", parts='["13"]')
    await post(database, "r-1:old", "status", "14")
    await post(database, "k:reply", "reply", "15")
    found = {m: await inbox.stop_at(ROOT, m) for m in ("11", "12", "13", "14", "15", "16")}
    assert {m: known.run_id for m, known in found.items() if known} == {"11": "r-1", "12": "r-1", "13": "r-1"}
    elsewhere = ConversationRef(platform="discord", workspace=GUILD, channel=GENERAL, thread="9")
    assert await inbox.stop_at(elsewhere, "11") is None
    assert await inbox.places(["r-1:approval:a", "none"]) == {"r-1:approval:a": (ROOT, "12")}
