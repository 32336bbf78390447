"""`quartet keys` as people and scripts run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.api_keys import TOKEN
from tests.integration.test_cli import Quartet, errors

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def quartet(tmp_path: Path) -> Quartet:
    return Quartet(tmp_path)


def test_a_key_is_printed_alone_and_once_and_listed_without_itself(quartet: Quartet) -> None:
    added = quartet.run("keys", "add", "ci", "--scope", "run", "--scope", "read", "--expires", "90d")
    token = added.stdout.decode().strip()
    assert added.returncode == 0, errors(added)
    assert TOKEN.fullmatch(token)
    assert "from now on every call" in errors(added)
    listed = quartet.run("keys").stdout.decode()
    assert "read,run" in listed
    assert token[15:] not in listed
    [row] = json.loads(quartet.run("keys", "list", "--json").stdout)
    assert (row["name"], row["state"], row["scopes"]) == ("ci", "living", ["read", "run"])
    database = b"".join(path.read_bytes() for path in (quartet.folder / "home").glob("quartet.db*"))
    assert token[16:].encode() not in database
    again = quartet.run("keys", "add", "ci", "--scope", "run")
    assert again.returncode == 1
    assert "quartet keys rotate ci" in errors(again)


def test_rotating_and_revoking_leave_one_and_then_none(quartet: Quartet) -> None:
    first = quartet.run("keys", "add", "ci", "--scope", "run", "--per-minute", "7").stdout
    second = quartet.run("keys", "rotate", "ci").stdout
    assert TOKEN.fullmatch(second.decode().strip())
    assert first != second
    rows = json.loads(quartet.run("keys", "list", "--all", "--json").stdout)
    assert [(row["state"], row["requests_per_minute"]) for row in rows] == [("revoked", 7), ("living", 7)]
    revoked = quartet.run("keys", "revoke", "ci")
    assert revoked.returncode == 0
    assert "need none again" in errors(revoked)
    assert b"no named keys" in quartet.run("keys").stdout
    for words in (("revoke", "ci"), ("rotate", "ci")):
        gone = quartet.run("keys", *words)
        assert gone.returncode == 1
        assert "there is no key 'ci'" in errors(gone)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("add", "ci"), 2, "--scope"),
        (("add", "ci", "--scope", "root"), 2, "read"),
        (("add", "a b", "--scope", "read"), 1, "letters"),
        (("add", "local", "--scope", "read"), 1, "another one"),
        (("add", "ci", "--scope", "read", "--expires", "soon"), 2, "90d"),
        (("add", "ci", "--scope", "read", "--expires", "0d"), 2, "90d"),
        (("add", "ci", "--scope", "read", "--expires", "999999999w"), 2, "90d"),
        (("add", "ci", "--scope", "read", "--per-minute", "0"), 2, "0"),
    ],
)
def test_wrong_use_is_told_in_one_line_and_makes_no_key(
    quartet: Quartet, args: tuple[str, ...], code: int, words: str
) -> None:
    done = quartet.run("keys", *args)
    assert done.returncode == code
    assert words in errors(done)
    assert json.loads(quartet.run("keys", "list", "--json").stdout) == []
