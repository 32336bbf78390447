"""Named keys of callers over HTTP. Plain functions in a connection's thread."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import Any

from orchestrator.api_keys import KEY_SCOPES, ApiKey, NewKey
from orchestrator.errors import Refused
from orchestrator.infra.sqlite_codec import micros, moment
from orchestrator.infra.sqlite_transaction import Transaction

_COLUMNS = "id, name, scopes, digest, made_at, made_by, expires_at, revoked_at, per_minute"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def add_api_key(transaction: Transaction, new: NewKey, instead_of: str) -> ApiKey:
    """See `ApiKeys.add_api_key`."""
    database, now = transaction.database, transaction.at_us
    row = database.execute(
        f"SELECT {_COLUMNS} FROM api_keys WHERE name = ? AND revoked_at IS NULL", (new.name,)
    ).fetchone()
    there = None if row is None else _api_key(row)
    if instead_of:
        if there is None or there.id != instead_of:
            raise Refused(f"the key {new.name!r} was revoked or replaced meanwhile; look with `quartet keys`")
    elif there is not None and there.state(transaction.at) == "living":
        raise Refused(
            f"there is a key {new.name!r} already; revoke it, rotate it (`quartet keys rotate {new.name}`), "
            "or take another name"
        )
    if there is not None:
        database.execute("UPDATE api_keys SET revoked_at = ? WHERE id = ?", (now, there.id))
    database.execute(
        f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)",
        (
            new.id,
            new.name,
            json.dumps(sorted(new.scopes)),
            new.digest,
            now,
            new.made_by,
            None if new.expires_at is None else micros(new.expires_at),
            new.per_minute,
        ),
    )
    kept = database.execute(f"SELECT {_COLUMNS} FROM api_keys WHERE id = ?", (new.id,)).fetchone()
    return _api_key(kept)


def revoke_api_key(transaction: Transaction, key_id: str) -> ApiKey | None:
    """See `ApiKeys.revoke_api_key`."""
    transaction.database.execute(
        "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (transaction.at_us, key_id)
    )
    row = transaction.database.execute(f"SELECT {_COLUMNS} FROM api_keys WHERE id = ?", (key_id,)).fetchone()
    return None if row is None else _api_key(row)


def api_keys(database: sqlite3.Connection) -> list[ApiKey]:
    """See `ApiKeys.api_keys`."""
    rows = database.execute(f"SELECT {_COLUMNS} FROM api_keys ORDER BY made_at, id")
    return [_api_key(row) for row in rows.fetchall()]


def api_keys_mark(database: sqlite3.Connection) -> tuple[int, int]:
    """See `ApiKeys.api_keys_mark`."""
    # Rows are added and, once, revoked; nothing else happens to them.
    rows, revoked = database.execute("SELECT count(*), count(revoked_at) FROM api_keys").fetchone()
    return int(rows), int(revoked)


def _api_key(row: tuple[Any, ...]) -> ApiKey:
    """What a row says; where it is broken it says no."""
    key_id, name, scopes, digest, made_at, made_by, expires_at, revoked_at, per_minute = row
    try:
        listed: Any = json.loads(scopes)
        named = set(map(str, listed))
    except (TypeError, ValueError):
        named = set[str]()
    return ApiKey(
        id=str(key_id),
        name=str(name),
        scopes=frozenset(scope for scope in KEY_SCOPES if scope in named),
        digest=str(digest),
        made_at=_time(made_at) or _LONG_AGO,
        made_by=str(made_by),
        expires_at=_time(expires_at),
        revoked_at=_time(revoked_at),
        per_minute=per_minute if isinstance(per_minute, int) and per_minute > 0 else None,
    )


def _time(at: Any) -> datetime | None:
    """A time; one that cannot be read is long past, so that an unreadable expiry has expired."""
    if at is None:
        return None
    try:
        return moment(at)
    except (TypeError, ValueError, OverflowError):
        return _LONG_AGO
