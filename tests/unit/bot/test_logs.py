"""Nothing secret gets through a log, whoever writes it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import structlog

from bot.api.auth import LOCAL
from bot.api.tickets import Tickets
from bot.logs import MASK, configure_logging, secrets_of
from config.load import load_settings
from config.settings import Settings
from orchestrator.api_keys import make_token

KEY = "sk-very-secret-0123456789"
OTHER = "tvly-very-secret-0123456789"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    env = {"OPENAI_API_KEY": KEY, "TAVILY_API_KEY": OTHER, "QUARTET_HOME": str(tmp_path), "LOG_LEVEL": "INFO"}
    return load_settings(env=env, env_file=None)


@pytest.fixture(autouse=True)
def untouched() -> object:
    yield
    structlog.reset_defaults()
    logging.basicConfig(force=True)


def test_every_secret_of_the_settings_is_known(settings: Settings) -> None:
    assert set(secrets_of(settings)) == {KEY, OTHER}


def test_secrets_are_masked_in_fields_exceptions_and_libraries(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(settings)
    log = structlog.get_logger("test")
    log.info("a sentence", action="test", header={"authorization": [f"Bearer {KEY}"]}, note=OTHER)
    try:
        local = f"in a variable: {KEY}"
        raise RuntimeError(f"refused key {KEY}, {len(local)}")  # noqa: TRY301 - a frame with a local
    except RuntimeError:
        log.exception("it broke", action="broke")
    logging.getLogger("some.library").warning("GET /?key=%s", OTHER)
    written = capsys.readouterr().err
    assert "a sentence" in written
    assert "it broke" in written
    assert "some.library" in written or "GET /?key=" in written
    assert written.count(MASK) >= 4
    assert KEY not in written
    assert OTHER not in written


def test_our_own_keys_and_tickets_are_masked_though_no_setting_holds_them(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    token, key_id = make_token()
    ticket = Tickets().issue(LOCAL)
    configure_logging(settings)
    structlog.get_logger("test").info("a call", path=f"/v1/runs?ticket={ticket}", header=f"Bearer {token}")
    logging.getLogger("a.library").warning("GET /ws/x?ticket=%s&key=%s", ticket, token)
    written = capsys.readouterr().err
    assert written.count(f"qk_{key_id}_{MASK}") == 2  # which one it was, without what proves it
    assert written.count(f"qt_{MASK}") == 2


def test_levels_below_the_wanted_one_are_not_written(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(settings, "ERROR")
    structlog.get_logger("test").warning("quiet")
    structlog.get_logger("test").error("loud")
    written = capsys.readouterr().err
    assert "quiet" not in written
    assert "loud" in written
