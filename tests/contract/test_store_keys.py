"""Keys of callers over HTTP: one living key for a name, rows stay, broken rows allow nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.api_keys import KEY_SCOPES, TOKEN, ApiKey, NewKey, digest_of, make_token, new_key
from orchestrator.errors import Refused
from tests.contract.store_harness import Opener, OpenStore, opener, store

__all__ = ["opener", "store"]
NOW = datetime.now(UTC)


def key(name: str = "ci", *, lasts: timedelta | None = None) -> NewKey:
    expires_at = None if lasts is None else datetime.now(UTC) + lasts
    return new_key(name, ["read", "run"], made_by="web:ada", expires_at=expires_at)[1]


async def test_what_was_added_is_there_in_every_process_and_nothing_of_the_token(opener: Opener) -> None:
    one, other = await opener(), await opener()
    token, new = new_key("ci", ["run"], made_by="web:ada", expires_at=NOW + timedelta(days=1), per_minute=7)
    added = await one.add_api_key(new)
    [row] = await other.api_keys()
    assert row == added
    assert (row.name, row.scopes, row.made_by, row.per_minute) == ("ci", {"run"}, "web:ada", 7)
    assert (row.digest, row.expires_at, row.state(NOW)) == (
        digest_of(token),
        NOW + timedelta(days=1),
        "living",
    )
    assert token.split("_", 2)[2] not in repr(row)


async def test_two_living_keys_never_share_a_name_however_many_try_at_once(opener: Opener) -> None:
    stores = [await opener(), await opener()]
    tries = [stores[n % 2].add_api_key(key()) for n in range(20)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(o) for o in outcomes].count(ApiKey) == 1
    refused = [o for o in outcomes if isinstance(o, Refused)]
    assert len(refused) == 19
    assert "rotate" in str(refused[0])
    assert len(await stores[0].api_keys()) == 1


async def test_revoked_and_expired_keys_give_their_names_up_and_stay_in_the_list(store: OpenStore) -> None:
    first = await store.add_api_key(key())
    revoked = await store.revoke_api_key(first.id)
    assert revoked is not None
    assert revoked.revoked_at is not None
    assert await store.revoke_api_key(first.id) == revoked  # a second time changes nothing
    await store.add_api_key(key(lasts=timedelta(microseconds=1)))
    await store.add_api_key(key())
    states = [row.state(datetime.now(UTC)) for row in await store.api_keys()]
    assert states == ["revoked", "revoked", "living"]
    assert await store.revoke_api_key("none") is None


async def test_a_key_is_replaced_once_when_two_replace_it(opener: Opener) -> None:
    one, other = await opener(), await opener()
    old = await one.add_api_key(key())
    outcomes = await asyncio.gather(
        one.add_api_key(key(), instead_of=old.id),
        other.add_api_key(key(), instead_of=old.id),
        return_exceptions=True,
    )
    assert sorted(type(o).__name__ for o in outcomes) == ["ApiKey", "Refused"]
    assert [row.state(NOW) for row in await one.api_keys()] == ["revoked", "living"]


async def test_the_mark_changes_with_every_change(store: OpenStore) -> None:
    marks = [await store.api_keys_mark()]
    added = await store.add_api_key(key())
    marks.append(await store.api_keys_mark())
    again = await store.add_api_key(key(), instead_of=added.id)
    marks.append(await store.api_keys_mark())
    await store.revoke_api_key(again.id)
    marks.append(await store.api_keys_mark())
    assert len(set(marks)) == 4


async def test_a_broken_row_allows_nothing_and_is_still_there(store: OpenStore, tmp_path: Path) -> None:
    added = await store.add_api_key(key(lasts=timedelta(days=1)))

    def spoil(statement: str) -> None:
        with sqlite3.connect(tmp_path / "quartet.db") as database:
            database.execute(statement)
        database.close()

    for scopes in ("not JSON", "7", '{"read": 1', '["root", 5, null]', ""):
        await asyncio.to_thread(spoil, f"UPDATE api_keys SET scopes = '{scopes}'")
        [row] = await store.api_keys()
        assert (row.id, row.scopes) == (added.id, frozenset()), scopes
    for expires in ("'soon'", "9e300", "X'00'"):
        await asyncio.to_thread(spoil, f"UPDATE api_keys SET expires_at = {expires}")
        [row] = await store.api_keys()
        assert row.state(NOW) == "expired", expires


def test_tokens_are_random_and_have_one_form() -> None:
    tokens = {make_token()[0] for _ in range(1_000)}
    assert len(tokens) == 1_000
    for token in tokens:
        form = TOKEN.fullmatch(token)
        assert form is not None
        assert len(token.removeprefix(f"qk_{form[1]}_")) * 6 >= 256  # random bits


@pytest.mark.parametrize("name", ["", "a b", "ä", "a" * 41, "a/b", "a\n", "key", "local", "a:b"])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(Refused):
        new_key(name, KEY_SCOPES, made_by="web:ada")


def test_a_key_that_may_do_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="read, run, approve, admin"):
        new_key("ci", [], made_by="web:ada")
