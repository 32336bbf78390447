"""The keys for stored tokens: from the setting, or made once and kept."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from bot.secret_keys import secret_keys
from config import ConfigError, Settings, load_settings

GIVEN = "a key of good length"


def settings(home: Path, **env: str) -> Settings:
    return load_settings(env={"QUARTET_HOME": str(home), **env}, env_file=None)


def make(home: str) -> tuple[str, ...]:
    return secret_keys(settings(Path(home)))


def test_without_the_setting_a_key_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    (key,) = secret_keys(settings(home))
    assert len(key) == 64
    assert secret_keys(settings(home)) == (key,)
    file = home / "secret.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    secret_keys(settings(home))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_setting_counts_and_makes_no_file(tmp_path: Path) -> None:
    keys = secret_keys(settings(tmp_path, QUARTET_SECRET_KEY=f"{GIVEN}, another key of length"))
    assert keys == (GIVEN, "another key of length")
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_was_made_goes_on_opening_what_it_closed(tmp_path: Path) -> None:
    (made,) = secret_keys(settings(tmp_path))
    assert secret_keys(settings(tmp_path, QUARTET_SECRET_KEY=GIVEN)) == (GIVEN, made)


def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        made = pool.map(make, [str(tmp_path / "home")] * 8, chunksize=1)
    assert len(set(made)) == 1
    assert [p.name for p in (tmp_path / "home").iterdir() if not p.name.endswith(".lock")] == ["secret.key"]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe\x00" * 20])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret.key").write_bytes(content)
    with pytest.raises(ConfigError, match=r"secret\.key: QUARTET_SECRET_KEY: .*; "):
        secret_keys(settings(tmp_path))
    assert (tmp_path / "secret.key").read_bytes() == content


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        secret_keys(settings(tmp_path / "file" / "home"))
