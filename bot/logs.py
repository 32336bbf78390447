"""Logs: one line for each event on stderr, a sentence, an `action`, ids. Secrets never get through.

Tracebacks carry no values of variables; whatever text equals a configured secret, or looks like a key
or a ticket of our own, is masked in every field, should a library put it into a message.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

import structlog
from pydantic import SecretStr

from config.settings import Settings

MASK = "••••"
OURS = re.compile(r"\b(qk_[0-9a-f]{12}|qt)_[A-Za-z0-9_-]{20,}")  # `quartet keys`, `POST /v1/tickets`
SHORTEST = 6  # characters; masking less would blacken ordinary words


def configure_logging(settings: Settings, level_name: str | None = None) -> None:
    """Send everything to stderr, so that stdout holds answers only: readable on a terminal, else JSON lines.

    Args:
        settings: whose secrets are masked.
        level_name: the lowest level that is written, e.g. `WARNING`; None: that of the settings.
    """
    level = logging.getLevelNamesMapping()[level_name or settings.log_level]
    tty = sys.stderr.isatty()
    render: Any
    masked = Masked(secrets_of(settings))
    if tty:
        render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        render = structlog.processors.JSONRenderer(ensure_ascii=False)
    plain = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )

    def rendered(logger: Any, method: str, event: Any) -> str:
        return masked.mask(render(logger, method, event))

    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if tty else [plain]),
        # Masked last, as text: whatever a field or a traceback holds has become text by then.
        rendered,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries: warnings and worse only, and never their request lines, which may hold addresses with keys.
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr, force=True)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_MaskedFormatter(masked))


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every secret value of the settings, the longest first."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        _collect(getattr(settings, name), found)
    return tuple(sorted((s for s in found if len(s) >= SHORTEST), key=len, reverse=True))


def _collect(value: object, found: set[str]) -> None:
    if isinstance(value, SecretStr):
        found.update(part.strip() for part in value.get_secret_value().split(","))
    elif isinstance(value, Mapping):
        for part in cast("Mapping[object, object]", value).values():
            _collect(part, found)
    elif isinstance(value, list | tuple):
        for part in cast("Iterable[object]", value):
            _collect(part, found)


class Masked:
    """Replaces secrets in text."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def mask(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        # The id of a key stays: it says which one to revoke.
        return OURS.sub(lambda found: f"{found[1]}_{MASK}", text)


class _MaskedFormatter(logging.Formatter):
    """What libraries log by the standard library, tracebacks included."""

    def __init__(self, masked: Masked) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._masked = masked

    def format(self, record: logging.LogRecord) -> str:
        return self._masked.mask(super().format(record))
