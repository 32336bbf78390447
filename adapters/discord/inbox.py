"""What came in is kept here before anything else happens: once for each key, until the bot has taken it.

One transaction decides whether something counts (is the thread ours? is the bot loop long enough?),
keeps it and notes how far its channel was read, so that a crash leaves none of it half done.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.contract import ConversationRef
from adapters.database import Database
from adapters.discord.inbound import MESSAGES, Arrival, Spoken, message_key, spoken
from adapters.discord.payload import ident, user_of
from adapters.lanes import Row as AnyRow
from adapters.payload import mapping

SCHEMA = Path(__file__).parent / "schema.sql"
KEPT_S = 7 * 24 * 3600.0  # what is done stays known for so long, for repeats and for reactions
THREADS_S = 400 * 24 * 3600.0  # a thread in which nobody wrote for so long needs a mention again
MARKS_S = 60 * 24 * 3600.0
BOT_TURNS = 3  # by other bots in a thread, before a person has to write
BOT_PAUSE_S = (
    3600.0  # a bot that mentions us in a channel, each time for a thread of its own, is no loop then
)
NO_CONTENT = "no content:"  # begins the fact that a thread was told that its messages cannot be read
FRESH = 1_000  # threads of which is remembered who made them known

Row = AnyRow[Arrival]  # something that waits to be handed in


@dataclass(frozen=True, slots=True)
class Known:
    """A message that became a turn, or a card of one."""

    conversation: ConversationRef
    run_id: str


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a channel was read."""

    guild: str
    message: str


class Inbox:
    """The table of what came in.

    Args:
        database: discord.db.
        bot_turns: how many turns other bots may start in a thread until a person writes there; and each of
            them in a channel by mentions there, until a person writes to us there or an hour has passed.
        sure: whether nothing is missing of what came before; while something may be, no mark moves.
    """

    def __init__(
        self, database: Database, *, bot_turns: int = BOT_TURNS, sure: Callable[[], bool] = lambda: True
    ) -> None:
        self._database = database
        self._sure = sure
        self._bot_turns = bot_turns
        self._marks: dict[str, Mark] = {}  # channel → what was looked at and is not written down yet
        self._behind: Collection[str] | None = ()  # channels whose marks stay where they are; None: all
        # Threads that were not known before: by which message they are; "": they are not any more.
        self._fresh: OrderedDict[str, str] = OrderedDict()

    # ── keeping ──────────────────────────────────────────────────────────────────────────────

    async def keep(self, arrival: Arrival) -> Row | None:
        """Keep something; it is on the disk when this returns. None: known already, or it does not count.

        Raises:
            PlatformDown, sqlite3.Error: it is not kept.
        """
        now = time.time()
        marks = self._ripe()

        def work(db: sqlite3.Connection) -> Arrival | None:
            if db.execute("SELECT 1 FROM inbox WHERE key = ?", (arrival.key,)).fetchone() is not None:
                return None
            counts = self._counting(db, arrival, now)
            if counts is not None:
                _insert(db, counts, now)
                _move(db, marks, now)
            return counts

        kept = await self._database.write(work)
        if kept is None:
            return None
        self._written(marks)
        return Row(kept, now, 0)

    def _counting(self, db: sqlite3.Connection, arrival: Arrival, now: float) -> Arrival | None:
        """It, where it is for us; a message that is opens its thread."""
        said = spoken(arrival.payload) if arrival.kind in MESSAGES or arrival.kind == "deleted" else None
        if arrival.kind == "deleted":
            return _of_known(db, arrival, said)
        if arrival.kind not in MESSAGES:
            return arrival
        if said is None:
            return None
        if not said.thread:
            return arrival
        row = db.execute("SELECT bot_turns FROM threads WHERE thread = ?", (said.thread,)).fetchone()
        if row is None and arrival.kind == "reply":
            return None
        turns = (row["bot_turns"] if row else 0) + 1 if said.bot else 0
        in_channel = _bot_mentions(db, said, now) if said.bot and said.root else 0
        if max(turns, in_channel) > self._bot_turns:
            return None
        if in_channel:
            _note_bot(db, said, in_channel, now)
        elif not said.bot:
            db.execute("DELETE FROM bots WHERE channel = ?", (said.channel,))
        if row is None and not said.root:
            self._fresh[said.thread] = arrival.key
            while len(self._fresh) > FRESH:
                self._fresh.popitem(last=False)
        _open_thread(db, said.guild, said.channel, said.thread, turns, now)
        return arrival

    async def accepted(self, conversation: ConversationRef) -> None:
        """The bot took what was said there: the thread stays known."""
        if self._fresh.pop(conversation.thread, None) == "":
            await self.open_thread(conversation)

    async def in_vain(self, arrival: Arrival, thread: str) -> None:
        """The bot took nothing of it: a thread that is known by it alone is not known any more."""
        if self._fresh.get(thread) != arrival.key:
            return
        self._fresh[thread] = ""
        await self._database.write(lambda db: db.execute("DELETE FROM threads WHERE thread = ?", (thread,)))

    async def open_thread(self, conversation: ConversationRef) -> None:
        """From now on replies there need no mention."""
        place = (conversation.workspace, conversation.channel, conversation.thread)
        if not conversation.thread:
            return
        now = time.time()
        await self._database.write(lambda db: _open_thread(db, *place, 0, now))

    async def posted_question(
        self, conversation: ConversationRef, message: str, run_id: str, who: str
    ) -> None:
        """A message of ours stands for what a person asked: what is done to it is done to its run."""
        channel = conversation.thread or conversation.channel
        if message == conversation.thread:
            channel = conversation.channel
        guild = conversation.workspace
        root = Arrival(message_key(guild, channel, message), conversation.key, "mention", guild, {})

        def work(db: sqlite3.Connection) -> None:
            if db.execute("SELECT 1 FROM inbox WHERE key = ?", (root.key,)).fetchone() is None:
                _insert(db, replace(root, payload={"user_id": who}), time.time())
            _end(db, root.key, "done", run_id)

        await self._database.write(work)

    async def waiting(self) -> list[Row]:
        """What was kept and not taken by the bot yet, in order."""

        def work(db: sqlite3.Connection) -> list[sqlite3.Row]:
            return db.execute("SELECT * FROM inbox WHERE state = 'new' ORDER BY position").fetchall()

        return [_row(row) for row in await self._database.read(work)]

    async def done(self, key: str, run_id: str = "") -> None:
        """The bot has it. What was said is no longer kept here, only that it was, and by whom."""
        await self._database.write(lambda db: _end(db, key, "done", run_id))

    async def given_up(self, key: str) -> None:
        """The bot will never take it."""
        await self._database.write(lambda db: _end(db, key, "given_up", ""))

    async def failed(self, key: str) -> int:
        """Count one try more.

        Returns:
            How many there were.
        """

        def work(db: sqlite3.Connection) -> int:
            db.execute("UPDATE inbox SET tries = tries + 1 WHERE key = ?", (key,))
            row = db.execute("SELECT tries FROM inbox WHERE key = ?", (key,)).fetchone()
            return int(row["tries"]) if row else 0

        return await self._database.write(work)

    async def prune(self) -> None:
        """Forget what was done long ago, and threads that sleep."""
        now = time.time()

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM inbox WHERE state <> 'new' AND received < ?", (now - KEPT_S,))
            db.execute("DELETE FROM threads WHERE since < ?", (now - THREADS_S,))
            db.execute("DELETE FROM read_up_to WHERE at < ?", (now - MARKS_S,))
            db.execute("DELETE FROM bots WHERE since < ?", (now - BOT_PAUSE_S,))
            db.execute(
                "DELETE FROM facts WHERE name LIKE ? || '%'"
                " AND substr(name, length(?) + 1) NOT IN (SELECT thread FROM threads)",
                (NO_CONTENT, NO_CONTENT),
            )

        await self._database.write(work)

    # ── how far channels were read ───────────────────────────────────────────────────────────

    def look(self, guild: str, channel: str, message: str) -> None:
        """A message was looked at; written down with what is kept next, or by `write_marks`."""
        known = self._marks.get(channel)
        if channel and message and (known is None or int(known.message) < int(message)):
            self._marks[channel] = Mark(guild, message)

    def hold(self) -> None:
        """Something may have been missed: no mark moves until `caught_up` was told about all."""
        self._behind = None

    def release(self, behind: Collection[str] = ()) -> None:
        """What was missed was read, but in these channels."""
        self._behind = frozenset(behind)

    async def write_marks(self) -> None:
        """Write down how far channels were read."""
        marks = self._ripe()
        if marks:
            await self._database.write(lambda db: _move(db, marks, time.time()))
            self._written(marks)

    async def caught_up(self, marks: Mapping[str, Mark]) -> None:
        """These channels were read up to there, in spite of `hold`."""
        await self._database.write(lambda db: _move(db, marks, time.time()))

    async def marks(self) -> dict[str, Mark]:
        """How far each channel was read, as it was written down."""

        def work(db: sqlite3.Connection) -> list[sqlite3.Row]:
            return db.execute("SELECT channel, guild, message FROM read_up_to").fetchall()

        return {row["channel"]: Mark(row["guild"], row["message"]) for row in await self._database.read(work)}

    async def awake(self, since: float) -> dict[str, Mark]:
        """Threads of ours in which something was said since then (epoch seconds), each with its mark."""

        def work(db: sqlite3.Connection) -> list[sqlite3.Row]:
            return db.execute(
                "SELECT t.thread, t.guild, r.message"
                " FROM threads t LEFT JOIN read_up_to r ON r.channel = t.thread"
                " WHERE t.since > ? ORDER BY t.since DESC",
                (since,),
            ).fetchall()

        rows = await self._database.read(work)
        return {row["thread"]: Mark(row["guild"], row["message"] or row["thread"]) for row in rows}

    def _ripe(self) -> dict[str, Mark]:
        """What may be written down. Taken before a write is asked for: what is kept later is not in it."""
        if self._behind is None or not self._sure():
            return {}
        return {channel: mark for channel, mark in self._marks.items() if channel not in self._behind}

    def _written(self, marks: Mapping[str, Mark]) -> None:
        for channel, mark in marks.items():
            if self._marks.get(channel) == mark:
                del self._marks[channel]

    async def first_time(self, name: str) -> bool:
        """Whether this is asked for the first time, ever."""

        def work(db: sqlite3.Connection) -> bool:
            return db.execute("INSERT OR IGNORE INTO facts VALUES (?, '1')", (name,)).rowcount > 0

        return await self._database.write(work)

    async def fact(self, name: str) -> bool:
        """Whether `first_time` was asked for this."""

        def work(db: sqlite3.Connection) -> bool:
            return db.execute("SELECT 1 FROM facts WHERE name = ?", (name,)).fetchone() is not None

        return await self._database.read(work)

    # ── looking up ───────────────────────────────────────────────────────────────────────────

    async def first_in_lane(self, arrival: Arrival) -> bool:
        """Whether nothing came in that conversation before."""

        def work(db: sqlite3.Connection) -> bool:
            return (
                db.execute(
                    "SELECT 1 FROM inbox WHERE lane = ?"
                    " AND position < (SELECT position FROM inbox WHERE key = ?)",
                    (arrival.lane, arrival.key),
                ).fetchone()
                is None
            )

        return await self._database.read(work)

    async def turn_at(self, key: str) -> Known | None:
        """The turn that a message became (`inbound.message_key`); None: it became none."""

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute(
                "SELECT lane, run_id FROM inbox WHERE key = ? AND run_id <> ''", (key,)
            ).fetchone()

        return _known(await self._database.read(work))

    async def writer(self, key: str) -> str:
        """Who wrote a message that was kept; "" where it is not known."""

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute("SELECT payload FROM inbox WHERE key = ?", (key,)).fetchone()

        return _who(await self._database.read(work))

    async def requester(self, conversation: ConversationRef) -> str:
        """Who wrote last to the bot in a conversation; "" where nobody did lately."""

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute(
                "SELECT payload FROM inbox WHERE lane = ? AND kind IN ('mention', 'direct', 'reply')"
                " ORDER BY position DESC LIMIT 1",
                (conversation.key,),
            ).fetchone()

        return _who(await self._database.read(work))

    async def places(self, cards: Collection[str]) -> dict[str, tuple[ConversationRef, str]]:
        """Where cards stand: conversation and id of the first message, by card id."""

        def work(db: sqlite3.Connection) -> list[sqlite3.Row]:
            named = json.dumps(list(cards))
            return db.execute(
                "SELECT card_id, conversation, message FROM posted"
                " WHERE card_id IN (SELECT value FROM json_each(?)) AND message <> ''",
                (named,),
            ).fetchall()

        rows = await self._database.read(work)
        return {
            row["card_id"]: (ConversationRef.from_key(row["conversation"]), row["message"]) for row in rows
        }

    async def stop_at(self, conversation: ConversationRef, message: str) -> Known | None:
        """The run whose card (status, approval, answer) stands in a message; None: no such card."""

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute(
                # A card without a Stop button tells its run by its name, "<run id>:…".
                "SELECT conversation AS lane, CASE stop_target WHEN ''"
                " THEN substr(card_id, 1, instr(card_id, ':') - 1) ELSE stop_target END AS run_id FROM posted"
                " WHERE conversation = ?"
                " AND (stop_target <> '' OR kind IN ('approval', 'answer', 'error'))"
                " AND (message = ? OR EXISTS (SELECT 1 FROM json_each(parts) WHERE value = ?)) LIMIT 1",
                (conversation.key, message, message),
            ).fetchone()

        return _known(await self._database.read(work))


def _of_known(db: sqlite3.Connection, arrival: Arrival, said: Spoken | None) -> Arrival | None:
    """A deletion, behind the message that was deleted; None: that was never kept."""
    if said is None:
        return None
    key = message_key(said.guild, said.stands_in, said.message)
    row = db.execute("SELECT lane FROM inbox WHERE key = ?", (key,)).fetchone()
    return replace(arrival, lane=row["lane"]) if row is not None else None


def _open_thread(
    db: sqlite3.Connection, guild: str, channel: str, thread: str, bot_turns: int, now: float
) -> None:
    db.execute(
        "INSERT INTO threads (thread, guild, channel, bot_turns, since) VALUES (?,?,?,?,?)"
        " ON CONFLICT DO UPDATE SET bot_turns = excluded.bot_turns, since = excluded.since",
        (thread, guild, channel, bot_turns, now),
    )


def _bot_mentions(db: sqlite3.Connection, said: Spoken, now: float) -> int:
    """How often that bot has mentioned us in that channel by now, with nobody else there."""
    row = db.execute(
        "SELECT turns FROM bots WHERE channel = ? AND bot = ? AND since > ?",
        (said.channel, said.author, now - BOT_PAUSE_S),
    ).fetchone()
    return (row["turns"] if row else 0) + 1


def _note_bot(db: sqlite3.Connection, said: Spoken, turns: int, now: float) -> None:
    db.execute(
        "INSERT INTO bots (channel, bot, turns, since) VALUES (?,?,?,?)"
        " ON CONFLICT DO UPDATE SET turns = excluded.turns, since = excluded.since",
        (said.channel, said.author, turns, now),
    )


def _insert(db: sqlite3.Connection, arrival: Arrival, now: float) -> None:
    db.execute(
        "INSERT INTO inbox (key, lane, kind, guild, payload, received) VALUES (?,?,?,?,?,?)",
        (arrival.key, arrival.lane, arrival.kind, arrival.guild, json.dumps(arrival.payload), now),
    )


def _end(db: sqlite3.Connection, key: str, state: str, run_id: str) -> None:
    row = db.execute("SELECT payload FROM inbox WHERE key = ?", (key,)).fetchone()
    db.execute(
        "UPDATE inbox SET state = ?, run_id = ?, payload = ? WHERE key = ?",
        (state, run_id, json.dumps({"user_id": _who(row)}), key),
    )


def _move(db: sqlite3.Connection, marks: Mapping[str, Mark], now: float) -> None:
    db.executemany(
        "INSERT INTO read_up_to (channel, guild, message, at) VALUES (?,?,?,?)"
        " ON CONFLICT DO UPDATE SET message = excluded.message, at = excluded.at"
        " WHERE CAST(excluded.message AS INTEGER) > CAST(message AS INTEGER)",
        [(channel, mark.guild, mark.message, now) for channel, mark in marks.items()],
    )


def _who(row: sqlite3.Row | None) -> str:
    if row is None:
        return ""
    try:
        payload: Any = json.loads(row["payload"])
    except ValueError:
        return ""
    return ident(user_of(mapping(payload)), "id")


def _row(row: sqlite3.Row) -> Row:
    arrival = Arrival(row["key"], row["lane"], row["kind"], row["guild"], json.loads(row["payload"]))
    return Row(arrival, row["received"], row["tries"], again=True)


def _known(row: sqlite3.Row | None) -> Known | None:
    if row is None:
        return None
    try:
        return Known(ConversationRef.from_key(row["lane"]), row["run_id"])
    except ValueError:
        return None
