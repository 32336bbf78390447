"""What the methods of all families are made of."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from quartet_client.effects import Flow, Request, Sleep, Tell
from quartet_client.errors import QuartetError, TimedOut
from quartet_client.patience import Holding, patiently
from quartet_client.replies import read
from quartet_client.settings import Settings

Model = TypeVar("Model", bound=BaseModel)

ROUND_S: Final = 50.0  # one call waits this long: proxies end what takes a minute
SLACK_S: Final = 10.0  # an answer may take this much longer than it was told to wait
POLL_S: Final = 0.1
LONGEST_POLL_S: Final = 2.0


def get(
    own: Settings, path: str, model: type[Model], params: Mapping[str, str | int | None] | None = None
) -> Flow[Model]:
    """The answer of a GET; parameters that are None are left out."""
    given = {name: value for name, value in (params or {}).items() if value is not None}
    return read((yield from patiently(own, Request("GET", path, given, repeatable=True))), model)


def post(own: Settings, path: str, model: type[Model], body: Mapping[str, Any] | None = None) -> Flow[Model]:
    """The answer of a POST that changes something that is there. Sent again only if it never arrived."""
    return read((yield from patiently(own, Request("POST", path, body=body))), model)


def begin(
    own: Settings,
    path: str,
    model: type[Model],
    body: Mapping[str, Any],
    key: str | None,
    timeout_s: float | None = None,
) -> Flow[Model]:
    """The answer of a POST that starts something: under a key, so that it may be sent again."""
    headers = {"Idempotency-Key": key_of(key)}
    request = Request("POST", path, body=body, headers=headers, repeatable=True, timeout_s=timeout_s)
    return read((yield from patiently(own, request)), model)


def key_of(given: str | None) -> str:
    """The caller's key, or a new one.

    Raises:
        ValueError: it cannot be sent.
    """
    if given is None:
        return uuid.uuid4().hex
    if not (given.strip() and given.isascii() and given.isprintable() and len(given) <= 200):
        raise ValueError("an idempotency key has 1 to 200 characters of ASCII")
    return given


def polled(
    own: Settings,
    look: Callable[[], Flow[Model]],
    ended: Callable[[Model], bool],
    timeout_s: float,
    on_progress: Callable[[Model], Any] | None,
) -> Flow[Model]:
    """Look until it has ended, over restarts of the server too.

    Raises:
        TimedOut: it has not; `last` is how far it was.
    """
    deadline = time.monotonic() + timeout_s
    holding, last, pause = Holding(own), None, POLL_S
    while True:
        try:
            seen = yield from look()
        except QuartetError as error:
            wait = holding.wait_s(error)
        else:
            holding.alive()
            if seen != last:
                last, pause = seen, POLL_S
                if on_progress is not None:
                    yield Tell(on_progress, seen)
            if ended(seen):
                return seen
            wait, pause = pause, min(LONGEST_POLL_S, pause * 1.5)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"It has not ended within {timeout_s:g} seconds; it goes on.", last=last)
        yield Sleep(min(wait, left))
