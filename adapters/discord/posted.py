"""What we posted on Discord: which messages show which card.

A row is written before a card's first post and after each one, so a crash anywhere leaves a row that says
what may be there: with no message where the first post's outcome is not known, and with a `total` above what
is named where a further one's is not.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adapters.contract import Card, CardId, ConversationRef, MessageRef
from adapters.database import Database

KEPT_S = 60 * 86_400.0  # older rows go; their messages can still be edited, and found by their marks


@dataclass(frozen=True, slots=True)
class Row:
    """One card on Discord."""

    card_id: CardId
    conversation: ConversationRef
    message: str  # id of the first message; "": it was begun, its outcome is not known
    parts: tuple[str, ...] = ()  # ids of further messages
    total: int = 1  # messages begun
    kind: str = "status"
    stop_target: str = ""  # run id of its Stop button
    drawn: tuple[str, ...] = ()  # digests of what its messages show; (): not known

    @property
    def in_doubt(self) -> bool:
        """Whether a further message may be there that is not named here."""
        return self.total > len(self.messages)

    @property
    def messages(self) -> tuple[str, ...]:
        """The ids of all its messages, in order."""
        return (self.message, *self.parts) if self.message else ()

    @property
    def channel(self) -> str:
        """The channel that its messages stand in."""
        return channel_of(self.conversation)

    @property
    def ref(self) -> MessageRef:
        """The handle for those above."""
        return MessageRef(conversation=self.conversation, message_id=self.message, parts=self.parts)


class Posted:
    """The table `posted`.

    Args:
        database: discord.db, open.
        clock: epoch seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def get(self, card_id: CardId) -> Row | None:
        """The row of a card."""

        def work(db: sqlite3.Connection) -> Row | None:
            found = db.execute("SELECT * FROM posted WHERE card_id = ?", (card_id,)).fetchone()
            return None if found is None else _row(found)

        return await self._database.read(work)

    async def save(self, row: Row) -> None:
        """Keep a row; it is on the disk when this returns."""
        values = (
            row.card_id,
            row.conversation.key,
            row.message,
            json.dumps(row.parts),
            row.total,
            row.kind,
            row.stop_target,
            json.dumps(row.drawn),
            self._clock(),
        )
        await self._write(
            "INSERT INTO posted"
            " (card_id, conversation, message, parts, total, kind, stop_target, drawn, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (card_id) DO UPDATE SET"
            " conversation = excluded.conversation, message = excluded.message, parts = excluded.parts,"
            " total = excluded.total, kind = excluded.kind, stop_target = excluded.stop_target,"
            " drawn = excluded.drawn, at = excluded.at",
            values,
        )

    async def forget(self, card_id: CardId) -> None:
        """Drop a row: nothing of the card is there."""
        await self._write("DELETE FROM posted WHERE card_id = ?", (card_id,))

    async def prune(self) -> None:
        """Drop what is too old to be asked for."""
        await self._write("DELETE FROM posted WHERE at < ?", (self._clock() - KEPT_S,))

    async def _write(self, statement: str, values: tuple[object, ...]) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(statement, values)

        await self._database.write(work)


def channel_of(conversation: ConversationRef) -> str:
    """The channel that a conversation's messages stand in: the thread, where there is one."""
    return conversation.thread or conversation.channel


def stop_target(card: Card) -> str:
    """The run that the card's Stop button stops; "": it has none."""
    return next((button.target for button in card.buttons if button.action == "stop"), "")


def _row(found: Any) -> Row:
    return Row(
        card_id=CardId(found["card_id"]),
        conversation=ConversationRef.from_key(found["conversation"]),
        message=found["message"],
        parts=tuple(json.loads(found["parts"])),
        total=found["total"],
        kind=found["kind"],
        stop_target=found["stop_target"],
        drawn=tuple(json.loads(found["drawn"])),
    )
