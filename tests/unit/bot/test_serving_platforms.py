"""What `quartet up` connects to: a platform that cannot be made stops neither the page nor the others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.serving import _platforms  # pyright: ignore[reportPrivateUsage]
from config.errors import ConfigError
from config.settings import Settings


def settings(home: Path, **more: object) -> Settings:
    return Settings.model_validate({"home": home, **more})


SLACK = {"slack_bot_token": SecretStr("xoxb-1-secret"), "slack_app_token": SecretStr("xapp-1-secret")}


def test_without_tokens_there_is_nothing_to_connect(tmp_path: Path) -> None:
    platforms = _platforms(settings(tmp_path))
    assert (platforms.adapters(), platforms.broken) == ([], {})


def test_library_that_cannot_be_loaded_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "adapters.slack.adapter", None)  # as if its import failed
    platforms = _platforms(settings(tmp_path, **SLACK))
    assert platforms.adapters() == []
    status, detail = platforms.state("slack")
    assert status == "degraded"
    assert "cannot be loaded (ModuleNotFoundError" in detail
    told = capsys.readouterr().out
    assert "Slack is not connected" in told
    assert "1-secret" not in told


def test_adapter_that_cannot_be_made_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("adapters.slack.adapter.slack_adapter", breaks)
    assert "RuntimeError" in _platforms(settings(tmp_path, **SLACK)).broken["slack"]


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
