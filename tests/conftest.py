"""For all tests: the table of `docs/platforms.md`, their order, and who may try again."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.parity"]

# How fast examples are drawn says how busy the machine is, not whether the code is right.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

# As the bot itself prints them: with all locals each traceback would take seconds, and show what is secret.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# Files that take minutes come first: a worker that began one last would keep the others waiting.
LONG = (
    "tests/journey/",
    "tests/integration/test_api_schema.py",
    "tests/integration/test_cli.py",
    "tests/contract/test_adapters.py",
)
# Storms come last, when little else wants the processor: they need all of it.
LAST = ("tests/journey/test_discord_storm.py", "tests/journey/test_slack_storm.py")
# Real processes, or a real terminal, against limits in seconds: see "Tests" in docs/architecture.md.
CLOCK = ("tests/journey/", "tests/integration/test_cli")
AGAIN = pytest.mark.flaky(reruns=1, rerun_except="pytest-timeout")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files, and mark what plays against the clock."""
    items.sort(key=lambda item: 2 if item.nodeid.startswith(LAST) else not item.nodeid.startswith(LONG))
    for item in items:
        if item.nodeid.startswith(CLOCK):
            item.add_marker("clock")
        if item.get_closest_marker("clock") is not None:
            item.add_marker(AGAIN)


@pytest.fixture(autouse=True)
def _logs_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """What a command played in this process sets up for its logs ends with the test.

    Kept loggers would keep it for ever, so none are kept.
    """
    before, configure = structlog.get_config(), structlog.configure

    def unkept(*given: Any, **more: Any) -> None:
        configure(*given, **{**more, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", unkept)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    configure(**before)
    root.setLevel(level)
    root.handlers[:] = handlers
