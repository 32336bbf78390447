"""What came in is kept here before Slack is told so: once for each key, until the bot has taken it.

One transaction decides whether something counts (is the thread ours? is the bot loop long enough?)
and keeps it, so that a crash leaves neither half.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, replace

from adapters.contract import ConversationRef
from adapters.database import Database
from adapters.lanes import Row as AnyRow
from adapters.payload import items, mapping
from adapters.slack.inbound import MESSAGES, Arrival, deleted, message_key, spoken

EARLY_S = 60.0  # a reply may come before the mention that makes its thread ours
MOST_EARLY = 500
KEPT_S = 7 * 24 * 3600.0  # what is done stays known for so long, for late repeats and for reactions
THREADS_S = 400 * 24 * 3600.0  # a thread in which nobody wrote for so long needs a mention again
BOT_TURNS = 3  # by other bots in a thread, before a person has to write


Row = AnyRow[Arrival]  # something that waits to be handed in


@dataclass(frozen=True, slots=True)
class Known:
    """A message that became a turn."""

    conversation: ConversationRef
    run_id: str


class Inbox:
    """The table of what came in.

    Args:
        database: slack.db.
        bot_turns: how many turns other bots may start in a thread until a person writes there.
    """

    def __init__(self, database: Database, *, bot_turns: int = BOT_TURNS) -> None:
        self._database = database
        self._bot_turns = bot_turns

    async def keep(self, arrival: Arrival) -> Row | None:
        """Keep something; it is on the disk when this returns. None: known already, or it does not count.

        Raises:
            PlatformDown, sqlite3.Error: it is not kept; Slack will deliver it again.
        """
        now = time.time()

        def work(db: sqlite3.Connection) -> tuple[Row, ...] | None:
            known = db.execute("SELECT state, payload FROM inbox WHERE key = ?", (arrival.key,)).fetchone()
            if known is not None:
                _add_files(db, arrival, known)
                return None
            if not self._counts(db, arrival, now):
                if arrival.kind == "reply":
                    _set_aside(db, arrival, now)
                return None
            _insert(db, arrival, now)
            return self._now_ours(db, arrival, now) if arrival.kind == "mention" else ()

        early = await self._database.write(work)
        return None if early is None else Row(arrival, now, 0, early=early)

    def _now_ours(self, db: sqlite3.Connection, mention: Arrival, now: float) -> tuple[Row, ...]:
        """Keep the replies to a mention that Slack delivered before it, which did not count then."""
        said = spoken(mention.payload)
        waiting = db.execute(
            "SELECT * FROM early WHERE lane = ? AND received > ?", (mention.lane, now - EARLY_S)
        ).fetchall()
        found: list[tuple[float, Row]] = []
        for row in waiting:
            arrival = Arrival(
                row["key"], row["lane"], "reply", row["team"], row["enterprise"], json.loads(row["payload"])
            )
            reply = spoken(arrival.payload)
            if said is None or reply is None or float(reply.ts) <= float(said.ts):
                continue
            db.execute("DELETE FROM early WHERE key = ?", (arrival.key,))
            if db.execute("SELECT 1 FROM inbox WHERE key = ?", (arrival.key,)).fetchone():
                continue
            found.append((float(reply.ts), Row(arrival, now, 0)))
        ours = [r for _, r in sorted(found, key=lambda one: one[0]) if self._counts(db, r.arrival, now)]
        for row in ours:
            _insert(db, row.arrival, now)
        return tuple(ours)

    def _counts(self, db: sqlite3.Connection, arrival: Arrival, now: float) -> bool:
        """Whether it is for us; a message that is opens its thread."""
        if arrival.kind == "deleted":
            gone = deleted(arrival.payload)
            if gone is None:
                return False
            key = message_key(arrival.team, gone.channel, gone.ts)
            return db.execute("SELECT 1 FROM inbox WHERE key = ?", (key,)).fetchone() is not None
        said = spoken(arrival.payload) if arrival.kind in MESSAGES else None
        if said is None:
            return arrival.kind not in MESSAGES
        place = (arrival.team, said.channel, said.thread)
        row = db.execute(
            "SELECT bot_turns FROM threads WHERE team = ? AND channel = ? AND thread = ?", place
        ).fetchone()
        if row is None and arrival.kind == "reply":
            return False
        turns = (row["bot_turns"] if row else 0) + 1 if said.bot else 0
        if turns > self._bot_turns:
            return False
        _open_thread(db, place, said.user, said.user_team, turns, now)
        return True

    async def open_thread(self, conversation: ConversationRef, user: str, user_team: str) -> None:
        """From now on replies there need no mention."""
        place = (conversation.workspace, conversation.channel, conversation.thread)
        now = time.time()
        await self._database.write(lambda db: _open_thread(db, place, user, user_team, 0, now))

    async def posted_question(self, conversation: ConversationRef, ts: str, run_id: str) -> None:
        """A message of ours stands for what a person asked: what is done to it is done to its run."""
        arrival = Arrival(
            message_key(conversation.workspace, conversation.channel, ts),
            conversation.key,
            "mention",
            conversation.workspace,
            "",
            {},
        )

        def work(db: sqlite3.Connection) -> None:
            if db.execute("SELECT 1 FROM inbox WHERE key = ?", (arrival.key,)).fetchone() is None:
                _insert(db, arrival, time.time())
            _end(db, arrival.key, "done", run_id)

        await self._database.write(work)

    async def latest(self, arrival: Arrival) -> Arrival:
        """A message as it is kept now: its files may have come with another of its events."""

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute(
                "SELECT payload FROM inbox WHERE key = ? AND state = 'new'", (arrival.key,)
            ).fetchone()

        row = await self._database.read(work)
        return replace(arrival, payload=json.loads(row["payload"])) if row is not None else arrival

    async def waiting(self) -> list[Row]:
        """What was kept and not taken by the bot yet, in order."""

        def work(db: sqlite3.Connection) -> list[sqlite3.Row]:
            return db.execute("SELECT * FROM inbox WHERE state = 'new' ORDER BY position").fetchall()

        return [_row(row) for row in await self._database.read(work)]

    async def done(self, key: str, run_id: str = "") -> None:
        """The bot has it. What was said is no longer kept here, only that it was."""
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
            db.execute("DELETE FROM early WHERE received < ?", (now - EARLY_S,))
            db.execute("DELETE FROM threads WHERE since < ?", (now - THREADS_S,))

        await self._database.write(work)

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

    async def turn_at(self, team: str, channel: str, ts: str) -> Known | None:
        """The turn that a message became; None: it became none."""
        key = message_key(team, channel, ts)

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute(
                "SELECT lane, run_id FROM inbox WHERE key = ? AND run_id <> ''", (key,)
            ).fetchone()

        return _known(await self._database.read(work))

    async def latest_turn(self, conversation: ConversationRef) -> Known | None:
        """The newest turn of a conversation; None: there was none lately."""

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute(
                "SELECT lane, run_id FROM inbox WHERE lane = ? AND run_id <> ''"
                " ORDER BY position DESC LIMIT 1",
                (conversation.key,),
            ).fetchone()

        return _known(await self._database.read(work))

    async def stop_at(self, team: str, channel: str, ts: str) -> Known | None:
        """The run whose card (status, approval, answer) stands at `ts`; None: no such card."""
        # A reaction names no thread, and keys of a channel's conversations differ only behind the channel.
        begin, end = f"slack:{team}:{channel}:", f"slack:{team}:{channel};"

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute(
                # A card without a Stop button tells its run by its name, "<run id>:…".
                "SELECT conversation AS lane, CASE stop_target WHEN ''"
                " THEN substr(card_id, 1, instr(card_id, ':') - 1) ELSE stop_target END AS run_id FROM posted"
                " WHERE conversation >= ? AND conversation < ?"
                " AND (stop_target <> '' OR kind IN ('approval', 'answer', 'error'))"
                " AND (ts = ? OR EXISTS (SELECT 1 FROM json_each(parts) WHERE value = ?)) LIMIT 1",
                (begin, end, ts, ts),
            ).fetchone()

        return _known(await self._database.read(work))

    async def stops_in(self, conversation: ConversationRef) -> Known | None:
        """The newest run of a conversation that can be stopped; None: none can."""

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute(
                "SELECT conversation AS lane, stop_target AS run_id FROM posted"
                " WHERE conversation = ? AND stop_target <> '' ORDER BY at DESC LIMIT 1",
                (conversation.key,),
            ).fetchone()

        return _known(await self._database.read(work))


def _open_thread(
    db: sqlite3.Connection, place: tuple[str, str, str], user: str, user_team: str, bot_turns: int, now: float
) -> None:
    db.execute(
        "INSERT INTO threads (team, channel, thread, requester, requester_team, bot_turns, since)"
        " VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET bot_turns = excluded.bot_turns,"
        " since = excluded.since,"
        " requester = CASE excluded.requester WHEN '' THEN requester ELSE excluded.requester END,"
        " requester_team = CASE excluded.requester WHEN '' THEN requester_team"
        " ELSE excluded.requester_team END",
        (*place, user, user_team, bot_turns, now),
    )


def _insert(db: sqlite3.Connection, arrival: Arrival, now: float) -> None:
    db.execute(
        "INSERT INTO inbox (key, lane, kind, team, enterprise, payload, received) VALUES (?,?,?,?,?,?,?)",
        (
            arrival.key,
            arrival.lane,
            arrival.kind,
            arrival.team,
            arrival.enterprise,
            json.dumps(arrival.payload),
            now,
        ),
    )


def _end(db: sqlite3.Connection, key: str, state: str, run_id: str) -> None:
    db.execute("UPDATE inbox SET state = ?, run_id = ?, payload = '' WHERE key = ?", (state, run_id, key))


def _set_aside(db: sqlite3.Connection, reply: Arrival, now: float) -> None:
    """A reply in a thread that is not ours: its mention may be on its way. Kept no longer than it takes."""
    db.execute("DELETE FROM early WHERE received < ?", (now - EARLY_S,))
    db.execute(
        "INSERT OR IGNORE INTO early (key, lane, team, enterprise, payload, received) VALUES (?,?,?,?,?,?)",
        (reply.key, reply.lane, reply.team, reply.enterprise, json.dumps(reply.payload), now),
    )
    db.execute(
        "DELETE FROM early WHERE key NOT IN (SELECT key FROM early ORDER BY received DESC LIMIT ?)",
        (MOST_EARLY,),
    )


def _add_files(db: sqlite3.Connection, arrival: Arrival, known: sqlite3.Row) -> None:
    """Slack tells of a mention twice, and not always of its files each time."""
    files = items(mapping(arrival.payload.get("event")).get("files"))
    if arrival.kind not in MESSAGES or not files or known["state"] != "new":
        return
    payload = json.loads(known["payload"])
    event = mapping(payload.get("event"))
    if event and not items(event.get("files")):
        payload["event"] = {**event, "files": files}
        db.execute("UPDATE inbox SET payload = ? WHERE key = ?", (json.dumps(payload), arrival.key))


def _row(row: sqlite3.Row) -> Row:
    arrival = Arrival(
        row["key"], row["lane"], row["kind"], row["team"], row["enterprise"], json.loads(row["payload"])
    )
    return Row(arrival, row["received"], row["tries"], again=True)


def _known(row: sqlite3.Row | None) -> Known | None:
    if row is None:
        return None
    try:
        return Known(ConversationRef.from_key(row["lane"]), row["run_id"])
    except ValueError:
        return None
