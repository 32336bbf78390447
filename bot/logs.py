"""Logs: one line for each event on stderr, a sentence, an `action`, ids. Secrets never get through.

Tracebacks carry no values of variables; whatever text equals a configured secret is masked in
every field, should a library put it into a message.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, cast

import structlog
from pydantic import SecretStr

from config.settings import Settings

MASK = "••••"
SHORTEST = 6  # characters; masking less would blacken ordinary words


def configure_logging(settings: Settings, level_name: str | None = None) -> None:
    """Send everything to stderr, so that stdout holds answers only: readable on a terminal, else JSON lines.

    Args:
        settings: whose secrets are masked.
        level_name: the lowest level that is written, e.g. `WARNING`; None: that of the settings.
    """
    level = logging.getLevelNamesMapping()[level_name or settings.log_level]
    tty = sys.stderr.isatty()
    plain = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if tty
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if tty else [plain]),
        Masked(secrets_of(settings)),
        renderer,
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
        handler.addFilter(_LibraryMask(secrets_of(settings)))


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
    """A structlog processor that masks secrets in every field."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Mask in place."""
        for key, value in event.items():
            event[key] = self.mask(value)
        return event

    def mask(self, value: Any) -> Any:
        """The value without secrets, however deep."""
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, MASK)
            return value
        if isinstance(value, Mapping):
            return {k: self.mask(v) for k, v in cast("Mapping[Any, Any]", value).items()}
        if isinstance(value, list | tuple):
            return [self.mask(v) for v in cast("Iterable[Any]", value)]
        return value


class _LibraryMask(logging.Filter):
    """The same for what libraries log by the standard library."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._masked = Masked(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._masked.mask(record.getMessage())
        record.args = ()
        return True
