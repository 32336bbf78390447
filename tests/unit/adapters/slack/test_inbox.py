"""What came in is kept once, handed in in order, and again until the bot has it."""

from __future__ import annotations

import asyncio
import inspect
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import ConversationRef
from adapters.database import Database
from adapters.errors import NotAllowed, PlatformDown
from adapters.lanes import APART_S, MOST_TRIES, Lanes, Passing
from adapters.slack import inbox as inbox_module
from adapters.slack.inbound import Arrival
from adapters.slack.inbox import EARLY_S, KEPT_S, THREADS_S, Inbox, Row
from adapters.slack.install import SCHEMA
from tests.unit.adapters.slack.arrivals import arrived, event, mention, message, pressed

LIMIT_S = 60.0


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "slack.db", SCHEMA)
    await database.open()
    yield database
    await database.close()


async def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    return await database.read(lambda db: [tuple(row) for row in db.execute(sql)])


async def until(predicate: Any) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            there = predicate()
            if await there if inspect.isawaitable(there) else there:
                return
            await asyncio.sleep(0.005)


async def settled(inbox: Inbox) -> bool:
    return not await inbox.waiting()


# ── keeping ──────────────────────────────────────────────────────────────────────────────────


async def test_the_same_key_is_kept_once_however_often_it_comes(database: Database) -> None:
    inbox = Inbox(database)
    arrival = arrived(event(mention()))
    kept = await asyncio.gather(*(inbox.keep(arrival) for _ in range(9)))
    assert sum(row is not None for row in kept) == 1
    assert len(await inbox.waiting()) == 1


async def test_a_reply_counts_only_in_a_thread_that_is_known(database: Database) -> None:
    inbox = Inbox(database)
    reply = arrived(event(message(ts="101.000100", thread_ts="100.000100")))
    assert await inbox.keep(arrived(event(mention()))) is not None
    assert await inbox.keep(reply) is not None
    elsewhere = arrived(event(message(ts="102.000100", thread_ts="90.000100")))
    assert await inbox.keep(elsewhere) is None


async def test_replies_that_came_before_their_mention_are_found_in_order(database: Database) -> None:
    inbox = Inbox(database)
    late = arrived(event(message("late", ts="103.000100", thread_ts="100.000100")))
    soon = arrived(event(message("soon", ts="102.000100", thread_ts="100.000100")))
    other = arrived(event(message("other", ts="102.500100", thread_ts="90.000100")))
    for one in (late, soon, other):
        assert await inbox.keep(one) is None
    restarted = Inbox(database)  # they are kept in the file, not in memory
    row = await restarted.keep(arrived(event(mention())))
    assert row is not None
    assert [one.arrival for one in row.early] == [soon, late]
    assert [one.arrival.key for one in await restarted.waiting()] == [row.arrival.key, soon.key, late.key]
    assert await rows(database, "SELECT key FROM early") == [(other.key,)]
    assert await restarted.keep(soon) is None  # delivered again


async def test_reply_that_came_early_and_again_is_kept_once(database: Database) -> None:
    inbox = Inbox(database)
    reply = arrived(event(message(ts="101.000100", thread_ts="100.000100")))
    assert await inbox.keep(reply) is None
    await inbox.open_thread(
        ConversationRef(platform="slack", workspace="T1", channel="C1", thread="100.000100"), "UADA", "T1"
    )
    assert await inbox.keep(reply) is not None
    row = await inbox.keep(arrived(event(mention())))
    assert row is not None
    assert row.early == ()
    assert len(await inbox.waiting()) == 2


async def test_replies_to_others_are_forgotten_after_a_minute(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(database)
    reply = arrived(event(message(ts="101.000100", thread_ts="100.000100")))
    assert await inbox.keep(reply) is None
    now = time.time()
    monkeypatch.setattr(inbox_module.time, "time", lambda: now + EARLY_S + 1)
    row = await inbox.keep(arrived(event(mention())))
    assert row is not None
    assert row.early == ()
    await inbox.prune()
    assert await rows(database, "SELECT key FROM early") == []


async def test_sleeping_threads_are_forgotten_and_those_with_talk_are_not(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(database)
    await inbox.keep(arrived(event(mention())))
    await inbox.keep(arrived(event(mention(ts="200.000100"))))
    now = time.time()
    monkeypatch.setattr(inbox_module.time, "time", lambda: now + THREADS_S / 2)
    assert await inbox.keep(arrived(event(message(ts="201.000100", thread_ts="200.000100")))) is not None
    monkeypatch.setattr(inbox_module.time, "time", lambda: now + THREADS_S + 1)
    await inbox.prune()
    assert await rows(database, "SELECT thread FROM threads") == [("200.000100",)]


async def test_files_that_only_the_twin_of_a_mention_names_are_added_while_it_waits(
    database: Database,
) -> None:
    inbox = Inbox(database)
    bare, file = arrived(event(mention())), {"id": "F1", "name": "a.txt"}
    twin = arrived(event(message("<@UBOT> hello", subtype="file_share", files=[file]), event_id="Ev2"))
    row = await inbox.keep(bare)
    assert row is not None
    assert await inbox.keep(twin) is None
    for kept in (await inbox.latest(bare), (await inbox.waiting())[0].arrival):
        assert kept.payload["event"]["files"] == [file]
    other = arrived(event(message("<@UBOT> hello", files=[{"id": "F2"}]), event_id="Ev3"))
    assert await inbox.keep(other) is None
    assert (await inbox.latest(bare)).payload["event"]["files"] == [file]
    await inbox.done(bare.key, "run-1")
    assert await inbox.keep(twin) is None
    assert await inbox.waiting() == []


async def test_message_that_says_what_was_asked_stands_for_its_run(database: Database) -> None:
    inbox = Inbox(database)
    there = ConversationRef(platform="slack", workspace="T1", channel="C1", thread="300.000100")
    await inbox.posted_question(there, "300.000100", "run-7")
    await inbox.posted_question(there, "300.000100", "run-7")
    known = await inbox.turn_at("T1", "C1", "300.000100")
    assert known is not None
    assert (known.conversation, known.run_id) == (there, "run-7")
    assert await inbox.latest_turn(there) == known
    assert await inbox.waiting() == []


async def test_talk_before_a_mention_in_a_thread_is_no_early_reply(database: Database) -> None:
    inbox = Inbox(database)
    before = arrived(event(message("before", ts="101.000100", thread_ts="100.000100")))
    assert await inbox.keep(before) is None
    row = await inbox.keep(arrived(event(mention(ts="102.000100", thread_ts="100.000100"))))
    assert row is not None
    assert row.early == ()


async def test_the_thread_knows_who_wrote_last_and_their_team(database: Database) -> None:
    inbox = Inbox(database)
    await inbox.keep(arrived(event(mention(user_team="T1"))))
    await inbox.keep(
        arrived(event(message(ts="101.000100", thread_ts="100.000100", user="UBEN", user_team="T9")))
    )
    found = await rows(database, "SELECT team, channel, thread, requester, requester_team FROM threads")
    assert found == [("T1", "C1", "100.000100", "UBEN", "T9")]


async def test_bots_among_themselves_come_to_an_end_until_a_person_writes(database: Database) -> None:
    inbox = Inbox(database, bot_turns=2)

    def said(number: int, **more: Any) -> Arrival:
        return arrived(event(mention(ts=f"{number}.000100", thread_ts="100.000100", **more)), "*")

    robot = {"bot_id": "BOTHER", "user": "UOTHER"}
    kept = [await inbox.keep(said(number, **robot)) is not None for number in (101, 102, 103)]
    assert kept == [True, True, False]
    assert await inbox.keep(said(104)) is not None
    assert await inbox.keep(said(105, **robot)) is not None


async def test_what_is_done_is_emptied_remembered_and_forgotten_after_a_week(database: Database) -> None:
    inbox = Inbox(database)
    arrival = arrived(event(mention("a secret")))
    await inbox.keep(arrival)
    await inbox.done(arrival.key, "r-1")
    assert await rows(database, "SELECT payload, state, run_id FROM inbox") == [("", "done", "r-1")]
    assert await inbox.keep(arrival) is None
    known = await inbox.turn_at("T1", "C1", "100.000100")
    assert known is not None
    assert (known.run_id, known.conversation.key) == ("r-1", arrival.lane)
    await database.write(lambda db: db.execute("UPDATE inbox SET received = received - ?", (KEPT_S + 60,)))
    await inbox.prune()
    assert await rows(database, "SELECT * FROM inbox") == []


async def test_what_waits_is_never_pruned(database: Database) -> None:
    inbox = Inbox(database)
    await inbox.keep(arrived(event(mention())))
    await database.write(lambda db: db.execute("UPDATE inbox SET received = 0"))
    await inbox.prune()
    assert len(await inbox.waiting()) == 1


async def test_a_deletion_counts_only_for_a_message_that_came_in(database: Database) -> None:
    inbox = Inbox(database)
    inner = {"type": "message", "subtype": "message_deleted", "channel": "C1", "deleted_ts": "100.000100"}
    gone = arrived(event(inner | {"previous_message": {"user": "UADA", "ts": "100.000100"}}, event_id="Ev9"))
    assert await inbox.keep(gone) is None
    await inbox.keep(arrived(event(mention())))
    assert await inbox.keep(gone) is not None


async def test_the_card_with_the_stop_button_is_found_by_the_message_alone(database: Database) -> None:
    inbox = Inbox(database)

    def post(db: sqlite3.Connection) -> None:
        for card, conversation, ts, parts, stop in (
            ("r1:status", "slack:T1:C1:100.000100", "101.000100", ["101.000200"], "r1"),
            ("r2:status", "slack:T1:C11:100.000100", "101.000100", [], "r2"),
            ("r3:status", "slack:T1:C1:90.000100", "91.000100", [], ""),
        ):
            db.execute(
                "INSERT INTO posted (card_id, conversation, ts, parts, kind, stop_target, at)"
                " VALUES (?,?,?,?,'status',?,0)",
                (card, conversation, ts, json.dumps(parts), stop),
            )

    await database.write(post)
    for ts in ("101.000100", "101.000200"):
        known = await inbox.stop_at("T1", "C1", ts)
        assert known is not None
        assert (known.run_id, known.conversation.thread) == ("r1", "100.000100")
    assert await inbox.stop_at("T1", "C1", "91.000100") is None
    here = ConversationRef(platform="slack", workspace="T1", channel="C11", thread="100.000100")
    known = await inbox.stops_in(here)
    assert known is not None
    assert known.run_id == "r2"


# ── handing in ───────────────────────────────────────────────────────────────────────────────


class Work:
    """What the lanes hand in to; fails as often as it is told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.tried: list[tuple[str, bool]] = []
        self.failures: dict[str, int] = {}
        self.error: Exception = PlatformDown("away")
        self.held: dict[str, asyncio.Event] = {}
        self.lost: list[str] = []

    async def perform(self, row: Row) -> str:
        key = row.arrival.key
        self.tried.append((key, row.again))
        if key in self.held:
            await self.held[key].wait()
        if self.failures.get(key, 0) > 0:
            self.failures[key] -= 1
            raise self.error
        self.done.append(key)
        return "r"

    async def give_up(self, row: Row) -> None:
        self.lost.append(row.arrival.key)


def said(number: int, thread: str = "100.000100") -> Arrival:
    return arrived(event(mention(ts=f"{number}.000100", thread_ts=thread)))


async def run(inbox: Inbox, work: Work) -> Lanes[Arrival]:
    lanes = Lanes(inbox, work.perform, work.give_up, first_pause_s=0.001)
    await lanes.start()
    return lanes


async def keep(inbox: Inbox, lanes: Lanes[Arrival], *arrivals: Arrival) -> None:
    for arrival in arrivals:
        row = await inbox.keep(arrival)
        assert row is not None
        lanes.add(row)


async def test_a_lane_keeps_its_order_through_failures_and_does_not_hold_up_others(
    database: Database,
) -> None:
    inbox, work = Inbox(database), Work()
    first, second, other = said(101), said(102), said(201, "200.000100")
    work.failures = {first.key: 3}
    lanes = await run(inbox, work)
    try:
        await keep(inbox, lanes, first, second, other)
        await until(lambda: settled(inbox))
    finally:
        await lanes.stop()
    assert work.done.index(first.key) < work.done.index(second.key)
    assert work.done[0] == other.key
    assert [again for key, again in work.tried if key == first.key] == [False, True, True, True]


async def test_a_press_is_not_kept_waiting_by_messages_at_work(database: Database) -> None:
    inbox, work = Inbox(database), Work()
    lanes = await run(inbox, work)
    busy = [said(1000 + n, f"{1000 + n}.000100") for n in range(40)]
    work.held = {one.key: asyncio.Event() for one in busy}
    click = arrived(pressed())
    try:
        await keep(inbox, lanes, *busy, click)
        await until(lambda: click.key in work.done)
    finally:
        await lanes.stop()
    assert work.done == [click.key]


async def test_a_burst_of_messages_is_spread(database: Database) -> None:
    inbox, begun = Inbox(database), list[float]()

    class Timed(Work):
        async def perform(self, row: Row) -> str:
            begun.append(asyncio.get_running_loop().time())
            return await super().perform(row)

    lanes = await run(inbox, work := Timed())
    many = [said(number, f"{number}.000100") for number in range(101, 111)]
    first = asyncio.get_running_loop().time()
    await keep(inbox, lanes, *many)
    await until(lambda: len(work.done) == len(many))
    await lanes.stop()
    # None before its time has come; later is the machine's affair.
    assert all(at >= first + number * APART_S for number, at in enumerate(sorted(begun)))


async def test_a_press_does_not_wait_for_a_burst_of_messages(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.lanes.APART_S", 3_600.0)
    inbox, work = Inbox(database), Work()
    lanes = await run(inbox, work)
    first, *others = [said(number, f"{number}.000100") for number in range(101, 111)]
    click = arrived(pressed())
    await keep(inbox, lanes, first, *others, click)
    await until(lambda: click.key in work.done)
    await lanes.stop()
    assert set(work.done) <= {first.key, click.key}


async def test_what_was_interrupted_is_handed_in_at_the_next_start(database: Database) -> None:
    inbox, work = Inbox(database), Work()
    one = said(101)
    work.held = {one.key: asyncio.Event()}
    lanes = await run(inbox, work)
    await keep(inbox, lanes, one)
    await until(lambda: work.tried)
    await lanes.stop()
    assert work.done == []
    work.held.clear()
    lanes = await run(inbox, work)
    await until(lambda: work.done == [one.key])
    await lanes.stop()
    assert work.tried == [(one.key, False), (one.key, True)]


async def test_after_many_tries_the_person_is_told_and_the_lane_goes_on(database: Database) -> None:
    inbox, work = Inbox(database), Work()
    first, second = said(101), said(102)
    work.failures = {first.key: MOST_TRIES}
    lanes = Lanes(inbox, work.perform, work.give_up, first_pause_s=0.000001)
    await lanes.start()
    try:
        await keep(inbox, lanes, first, second)
        await until(lambda: settled(inbox))
    finally:
        await lanes.stop()
    assert work.lost == [first.key]
    assert await rows(database, "SELECT state FROM inbox ORDER BY position") == [("given_up",), ("done",)]


@pytest.mark.parametrize("queued", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("takes_back", [True, False])
async def test_what_need_not_wait_passes_a_row_that_is_stuck(
    database: Database, queued: bool, takes_back: bool
) -> None:
    inbox, work, dropped = Inbox(database), Work(), list[str]()
    stuck, later, stop = said(101), said(102), said(103)
    work.held = {stuck.key: asyncio.Event()}

    async def taken_back(row: Row) -> None:
        dropped.append(row.arrival.key)

    passing = Passing(lambda row: row.arrival.key == stop.key, lambda _, __: takes_back, taken_back)
    stuck_s = 0.05 if queued else 0.0
    lanes = Lanes(inbox, work.perform, work.give_up, passing=passing, stuck_s=stuck_s)
    await lanes.start()
    try:
        await keep(inbox, lanes, stuck, *([later, stop] if queued else [later]))
        await until(lambda: work.tried)
        if not queued:
            await keep(inbox, lanes, stop)
        await until(lambda: stop.key in work.done)
        if not takes_back:
            assert work.done == [stop.key]
            work.held[stuck.key].set()
        await until(lambda: settled(inbox))
    finally:
        await lanes.stop()
    assert (stuck.key in work.done) is not takes_back
    assert dropped == ([stuck.key] if takes_back else [])
    assert later.key in work.done


async def test_what_can_never_work_is_not_tried_again(database: Database) -> None:
    inbox, work = Inbox(database), Work()
    one = said(101)
    work.failures, work.error = {one.key: 99}, NotAllowed("removed")
    lanes = await run(inbox, work)
    try:
        await keep(inbox, lanes, one)
        await until(lambda: work.tried)
        await until(lambda: settled(inbox))
    finally:
        await lanes.stop()
    assert len(work.tried) == 1
