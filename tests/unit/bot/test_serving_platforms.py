"""What `quartet up` connects to: a platform that cannot be made stops neither the page nor the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.serving import _platforms  # pyright: ignore[reportPrivateUsage]
from config.errors import ConfigError
from config.settings import Settings
from tests.unit.bot.platform import MemoryPlatform


def settings(home: Path, **more: object) -> Settings:
    return Settings.model_validate({"home": home, **more})


SLACK = {"slack_bot_token": SecretStr("xoxb-1-secret"), "slack_app_token": SecretStr("xapp-1-secret")}
DISCORD = {"discord_bot_token": SecretStr("MTEyMjMzNDQ1NTY2Nzc4ODk5.Gx1y2z.1-secret1-secret1-secret1-secret")}


def test_without_tokens_there_is_nothing_to_connect(tmp_path: Path) -> None:
    platforms = _platforms(settings(tmp_path))
    assert (platforms.adapters(), platforms.broken) == ([], {})


@pytest.mark.parametrize(("name", "given"), [("slack", SLACK), ("discord", DISCORD)])
def test_library_that_cannot_be_loaded_is_told_and_stops_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    given: dict[str, SecretStr],
) -> None:
    monkeypatch.setitem(sys.modules, f"adapters.{name}.adapter", None)  # as if its import failed
    platforms = _platforms(settings(tmp_path, **given))
    assert platforms.adapters() == []
    status, detail = platforms.state(name)
    assert status == "degraded"
    assert "cannot be loaded (ModuleNotFoundError" in detail
    told = capsys.readouterr().out
    assert f"{name.capitalize()} is not connected" in told
    assert "1-secret" not in told


@pytest.mark.parametrize(("broken", "works"), [("slack", "discord"), ("discord", "slack")])
def test_adapter_that_cannot_be_made_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, works: str
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(f"adapters.{broken}.adapter.{broken}_adapter", breaks)
    platforms = _platforms(settings(tmp_path, **SLACK, **DISCORD))
    assert "RuntimeError" in platforms.broken[broken]
    assert [a.platform for a in platforms.adapters()] == [works]


def test_discord_gets_what_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def makes(home: Path, **options: object) -> object:
        given.update(options, home=home)
        return MemoryPlatform(platform="discord")

    monkeypatch.setattr("adapters.discord.adapter.discord_adapter", makes)
    section = {"bots": ["112233445566778899"], "bot_turns": 2, "shards": 4}
    more = {"discord_guild_ids": ["998877665544332211"], "discord": section}
    (made,) = _platforms(settings(tmp_path, **DISCORD, **more)).adapters()
    assert made.platform == "discord"
    assert given == {
        "home": tmp_path,
        "token": DISCORD["discord_bot_token"].get_secret_value(),
        "guild_ids": ("998877665544332211",),
        "api_url": "https://discord.com/api/v10",
        "allowed_bots": ("112233445566778899",),
        "bot_turns": 2,
        "shards": 4,
    }


def test_libraries_are_imported_only_where_their_token_is_set(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from bot.serving import _platforms; from config.settings import Settings; "
        "_platforms(Settings(home=pathlib.Path(sys.argv[1]))); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=30
    )
    assert not {"discord", "slack_bolt", "slack_sdk"} & set(done.stdout.split())


def test_key_that_cannot_be_used_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("short")
    oauth = {
        "slack_client_id": "1234567890.1234567890",
        "slack_client_secret": SecretStr("0123456789abcdef0123456789abcdef"),
        "slack_signing_secret": SecretStr("0123456789abcdef0123456789abcdef"),
        "base_url": "https://bot.example.com",
    }
    with pytest.raises(ConfigError, match="holds no key"):
        _platforms(settings(tmp_path, **oauth))
