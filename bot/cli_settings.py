"""What the commands share: settings as they were asked for, logs on stderr, times as people read them."""

from __future__ import annotations

import logging
import sys
from datetime import datetime

import click
import structlog

from bot.cli import given
from config.load import load_settings
from config.settings import Settings


def settings_of(context: click.Context) -> Settings:
    """The settings for this call.

    Raises:
        ConfigError: something in them is wrong; `str()` is one line for each problem.
    """
    return load_settings(config_file=given(context).config_file)


def log_to_stderr(level: str) -> None:
    """Send logs to stderr, so that stdout holds answers only.

    Args:
        level: the lowest that is written, e.g. `WARNING`.
    """
    number = logging.getLevelNamesMapping()[level]
    colors = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, force=True)


def local_time(at: datetime | None) -> str:
    """A time where this machine is, with its zone; "" for none."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if at is not None else ""
