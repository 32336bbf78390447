"""What a server knows of the keys: fresh enough, and without a question to the database for each call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.key_ring import FRESH_S, KeyRing
from bot.page_sign_in import PageSignIn
from orchestrator.api_keys import KeyScope, new_key
from orchestrator.infra.sqlite_store import SqliteStore


class Desk:
    """A store, and a ring with clocks that stand until they are moved."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.asked = 0
        self.seconds = 0.0
        self.now = datetime.now(UTC)
        self.ring = KeyRing(self._store, now=lambda: self.now, clock=lambda: self.seconds)

    def _store(self) -> SqliteStore:
        self.asked += 1
        return self.store

    async def add(self, name: str, *scopes: KeyScope, lasts: timedelta | None = None) -> str:
        expires_at = None if lasts is None else self.now + lasts
        token, new = new_key(name, scopes or ("read",), made_by="web:ada", expires_at=expires_at)
        await self.store.add_api_key(new)
        self.ring.changed()
        return token

    async def revoke(self, name: str) -> None:
        [row] = [row for row in await self.store.api_keys() if row.name == name and row.revoked_at is None]
        await self.store.revoke_api_key(row.id)


@asynccontextmanager
async def desk(folder: Path) -> AsyncGenerator[Desk]:
    store = await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")
    try:
        yield Desk(store)
    finally:
        await store.close()


async def test_a_thousand_calls_within_a_second_ask_the_database_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        token = await d.add("ci")
        found = await asyncio.gather(*(d.ring.find(token) for _ in range(1_000)))
        assert d.asked == 1
        assert {f.state for f in found if f is not None} == {"living"}
        assert None not in found
        d.seconds = FRESH_S
        await d.ring.find(token)
        assert d.asked == 2


async def test_a_key_revoked_elsewhere_counts_no_longer_than_a_second(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        token = await d.add("ci")
        assert await d.ring.find(token) is not None
        await d.revoke("ci")
        d.seconds = FRESH_S
        found = await d.ring.find(token)
        assert found is not None
        assert found.state == "revoked"
        assert await d.ring.living(found.key.id) is None
        assert not await d.ring.is_closed()


async def test_a_key_expires_on_time_without_anybody_asking_the_database(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        token = await d.add("ci", lasts=timedelta(days=1))
        for later, state in ((timedelta(0), "living"), (timedelta(days=1), "expired")):
            d.now += later
            found = await d.ring.find(token)
            assert found is not None
            assert found.state == state
        assert d.asked == 1
        assert await d.ring.is_closed()


async def test_a_failed_look_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.add("ci")
        assert await d.ring.is_closed()
        await d.store.close()
        d.seconds = FRESH_S
        for _ in range(2):
            with pytest.raises(Exception, match="closed"):
                await d.ring.is_closed()


# ── the page ─────────────────────────────────────────────────────────────────────────────────


async def test_the_page_asks_as_soon_as_there_is_a_key_of_any_kind(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        assert not await PageSignIn("", d.ring).is_needed()
        assert await PageSignIn("s3cret", d.ring).is_needed()
        await d.add("ci")
        assert await PageSignIn("", d.ring).is_needed()


async def test_a_named_key_signs_its_own_person_in_until_it_ends(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        page = PageSignIn("s3cret", d.ring)
        token = await d.add("ada", "read", "run", "approve")
        boss = await d.add("boss", "admin")
        given, one_for_all, admin = [await page.check(key) for key in (f" {token}\n", "s3cret", boss)]
        assert given is not None
        assert not isinstance(given, str)
        assert (given.name, given.is_admin) == ("ada", False)
        assert token[15:] not in given.stamp
        assert getattr(one_for_all, "name", None) == ""
        assert (getattr(admin, "name", None), getattr(admin, "is_admin", None)) == ("boss", True)
        assert await page.counts(given.stamp)
        await d.revoke("ada")
        d.ring.changed()
        assert not await page.counts(given.stamp)
        assert "was revoked" in str(await page.check(token))
        assert await page.counts(getattr(one_for_all, "stamp", ""))


async def test_what_is_not_for_the_page_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        page = PageSignIn("", d.ring)
        token = await d.add("ci", "read", "run")
        refused = await page.check(token)
        assert isinstance(refused, str)
        assert "read, run and approve" in refused
        for wrong in ("", "qk_", token[:-1], token + "x", "\ud800", "s3cret", "ü" * 5_000):
            assert await page.check(wrong) is None, wrong[:20]
        for stamp in ("", "named:", "named:none", "0" * 16):
            assert not await page.counts(stamp), stamp
