"""What we posted on Slack: which messages show which card.

Written right after each post, so that Slack's scarce list methods are asked only when the outcome of a
post is really not known. `total` counts what was begun: where it is more than what is named, one post
was on its way when the process ended.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adapters.contract import CardId, ConversationRef, MessageRef
from adapters.database import Database

KEPT_S = 60 * 86_400.0  # older rows go; their messages can still be edited, and found by their metadata
FILE = "file:"  # how ids of files begin among a message's parts


@dataclass(frozen=True, slots=True)
class Row:
    """One card on Slack."""

    card_id: CardId
    conversation: ConversationRef
    ts: str  # of the first message
    parts: tuple[str, ...] = ()  # further messages' ts, and files as "file:F…"
    total: int = 1
    kind: str = "status"
    stop_target: str = ""  # run id of its Stop button
    drawn: tuple[str, ...] = ()  # digests of what its messages show; (): not known
    stream: str = ""  # JSON {"opened": epoch seconds} while it is an open stream

    @property
    def in_doubt(self) -> bool:
        """Whether a further message or file may be there that is not named here."""
        return self.total > 1 + len(self.parts)

    @property
    def messages(self) -> tuple[str, ...]:
        """The ts of all its messages, in order."""
        return (self.ts, *(part for part in self.parts if not part.startswith(FILE)))

    @property
    def files(self) -> tuple[str, ...]:
        """Its files, as "file:F…"."""
        return tuple(part for part in self.parts if part.startswith(FILE))

    @property
    def ref(self) -> MessageRef:
        """The handle for those above."""
        return MessageRef(conversation=self.conversation, message_id=self.ts, parts=self.parts)


class Posted:
    """The table `posted`.

    Args:
        database: slack.db, open.
        clock: epoch seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def get(self, card_id: CardId) -> Row | None:
        """The row of a card."""
        return await self._one("card_id = ?", (card_id,))

    async def save(self, row: Row) -> None:
        """Keep a row; it is on the disk when this returns."""
        values = (
            row.card_id,
            row.conversation.key,
            row.ts,
            json.dumps(row.parts),
            row.total,
            row.kind,
            row.stop_target,
            json.dumps(row.drawn),
            row.stream,
            self._clock(),
        )
        await self._write(
            "INSERT INTO posted"
            " (card_id, conversation, ts, parts, total, kind, stop_target, drawn, stream, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (card_id) DO UPDATE SET"
            " conversation = excluded.conversation, ts = excluded.ts, parts = excluded.parts,"
            " total = excluded.total, kind = excluded.kind, stop_target = excluded.stop_target,"
            " drawn = excluded.drawn, stream = excluded.stream, at = excluded.at",
            values,
        )

    async def forget(self, card_id: CardId) -> None:
        """Drop a row: its message is gone."""
        await self._write("DELETE FROM posted WHERE card_id = ?", (card_id,))

    async def open_streams(self) -> list[Row]:
        """All cards that are open streams, as far as we know."""
        return await self._database.read(
            lambda db: [_row(found) for found in db.execute("SELECT * FROM posted WHERE stream <> ''")]
        )

    async def has_replies(self, conversation: ConversationRef) -> bool:
        """Whether a thread surely has a message beside its root: one of ours, or one that came in."""
        root = f"slack:{conversation.workspace}:{conversation.channel}:{conversation.thread}"

        def work(db: sqlite3.Connection) -> bool:
            return (
                db.execute(
                    "SELECT 1 FROM posted WHERE conversation = ? AND ts <> ?"
                    " UNION ALL SELECT 1 FROM inbox WHERE lane = ? AND key <> ?"
                    " AND kind IN ('mention', 'direct', 'reply') LIMIT 1",
                    (conversation.key, conversation.thread, conversation.key, root),
                ).fetchone()
                is not None
            )

        return await self._database.read(work)

    async def requester(self, conversation: ConversationRef) -> tuple[str, str]:
        """User id and team of who wrote last to the bot here; "" where nobody is known."""

        def work(db: sqlite3.Connection) -> tuple[str, str]:
            found = db.execute(
                "SELECT requester, requester_team FROM threads WHERE team = ? AND channel = ? AND thread = ?",
                (conversation.workspace, conversation.channel, conversation.thread),
            ).fetchone()
            return ("", "") if found is None else (str(found[0]), str(found[1]))

        return await self._database.read(work)

    async def prune(self) -> None:
        """Drop what is too old to be asked for."""
        before = self._clock() - KEPT_S
        await self._write("DELETE FROM posted WHERE at < ?", (before,))

    async def _write(self, statement: str, values: tuple[object, ...]) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(statement, values)

        await self._database.write(work)

    async def _one(self, where: str, values: tuple[object, ...]) -> Row | None:
        def work(db: sqlite3.Connection) -> Row | None:
            found = db.execute(f"SELECT * FROM posted WHERE {where} LIMIT 1", values).fetchone()
            return None if found is None else _row(found)

        return await self._database.read(work)


def _row(found: Any) -> Row:
    return Row(
        card_id=CardId(found["card_id"]),
        conversation=ConversationRef.from_key(found["conversation"]),
        ts=found["ts"],
        parts=tuple(json.loads(found["parts"])),
        total=found["total"],
        kind=found["kind"],
        stop_target=found["stop_target"],
        drawn=tuple(json.loads(found["drawn"])),
        stream=found["stream"],
    )
