"""What the commands share: settings as they were asked for, logs on stderr, times as people read them."""

from __future__ import annotations

from datetime import datetime

import click

from bot.cli import given
from config.load import load_settings
from config.settings import Settings


def settings_of(context: click.Context) -> Settings:
    """The settings for this call.

    Raises:
        ConfigError: something in them is wrong; `str()` is one line for each problem.
    """
    return load_settings(config_file=given(context).config_file)


def local_time(at: datetime | None) -> str:
    """A time where this machine is, with its zone; "" for none."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if at is not None else ""
