"""What the outbox remembers, and the settings of channels. Plain functions in a connection's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from orchestrator.events import RunId
from orchestrator.infra.sqlite_heads import LAST
from orchestrator.infra.sqlite_transaction import Transaction
from orchestrator.ports import Delivery, Undelivered


def deliveries(database: sqlite3.Connection, run_id: RunId) -> dict[str, Delivery]:
    """See `Deliveries.deliveries`."""
    rows = database.execute(
        "SELECT card_id, run_id, conversation_id, digest, state, nonce, message FROM deliveries "
        "WHERE run_id = ? ORDER BY rowid",
        (run_id,),
    )
    return {
        row[0]: Delivery(*row[:6], message=None if row[6] is None else json.loads(row[6]))
        for row in rows.fetchall()
    }


def save_delivery(transaction: Transaction, delivery: Delivery) -> None:
    """See `Deliveries.save_delivery`."""
    message = None if delivery.message is None else json.dumps(delivery.message)
    transaction.database.execute(
        """INSERT INTO deliveries (card_id, run_id, conversation_id, digest, state, nonce, message)
        VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (card_id) DO UPDATE SET run_id = excluded.run_id,
            conversation_id = excluded.conversation_id, digest = excluded.digest, state = excluded.state,
            nonce = excluded.nonce, message = excluded.message""",
        (
            delivery.card_id,
            delivery.run_id,
            delivery.conversation_id,
            delivery.digest,
            delivery.state,
            delivery.nonce,
            message,
        ),
    )


def undelivered(database: sqlite3.Connection) -> list[Undelivered]:
    """See `Deliveries.undelivered`."""
    rows = database.execute(
        f"SELECT id, conversation_id, {LAST}, ended_at IS NOT NULL FROM runs WHERE unshown = 1 ORDER BY n"
    )
    return [Undelivered(RunId(row[0]), row[1], row[2], bool(row[3])) for row in rows]


def presented(transaction: Transaction, run_id: RunId, seq: int) -> None:
    """See `Deliveries.presented`. A number lower than an earlier one changes nothing."""
    transaction.database.execute(
        f"UPDATE runs SET presented = max(presented, :seq), unshown = {LAST} > max(presented, :seq) "
        "WHERE id = :run_id",
        {"run_id": run_id, "seq": seq},
    )


def settings(database: sqlite3.Connection, channel_key: str) -> dict[str, Any]:
    """See `ChannelSettings.settings`."""
    rows = database.execute(
        "SELECT name, value FROM channel_settings WHERE channel_key = ? ORDER BY name", (channel_key,)
    )
    return {name: json.loads(value) for name, value in rows.fetchall()}


def settings_in(database: sqlite3.Connection, workspace: str) -> dict[str, dict[str, Any]]:
    """See `ChannelSettings.settings_in`."""
    rows = database.execute(
        "SELECT channel_key, name, value FROM channel_settings WHERE channel_key >= ? AND channel_key < ? "
        "ORDER BY channel_key, name",
        (f"{workspace}:", f"{workspace};"),  # the character behind the colon
    )
    found: dict[str, dict[str, Any]] = {}
    for channel, name, value in rows.fetchall():
        found.setdefault(channel, {})[name] = json.loads(value)
    return found


def change_settings(transaction: Transaction, channel_key: str, changes: Mapping[str, Any]) -> None:
    """See `ChannelSettings.change_settings`."""
    for name, value in changes.items():
        if value is None:
            transaction.database.execute(
                "DELETE FROM channel_settings WHERE channel_key = ? AND name = ?", (channel_key, name)
            )
        else:
            transaction.database.execute(
                "INSERT INTO channel_settings (channel_key, name, value) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET value = excluded.value",
                (channel_key, name, json.dumps(value)),
            )
