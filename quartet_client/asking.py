"""What the methods of all families are made of."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from quartet_client.effects import Flow, Request, Sleep, Tell
from quartet_client.errors import BadArgument, QuartetError, TimedOut
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
    """The answer of a POST that starts or says something: under a key, so that it may be sent again."""
    name = key_of(key)
    headers = {"Idempotency-Key": name}
    request = Request("POST", path, body=body, headers=headers, repeatable=True, timeout_s=timeout_s)
    with keyed(name):
        return read((yield from patiently(own, request)), model)


@contextmanager
def keyed(key: str) -> Generator[None]:
    """Note the key of a call on its error, for whoever wants to send the same again."""
    try:
        yield
    except QuartetError as error:
        error.idempotency_key = key
        raise


def key_of(given: str | None) -> str:
    """The caller's key, or a new one.

    Raises:
        BadArgument: it cannot be sent.
    """
    if given is None:
        return uuid.uuid4().hex
    if not (
        is_text(given) and given.strip() and given.isascii() and given.isprintable() and len(given) <= 200
    ):
        raise BadArgument("an idempotency key has 1 to 200 characters of ASCII")
    return given


def is_text(given: object) -> bool:
    """Whether an argument is what its type says: not every program is checked."""
    return isinstance(given, str)


def polled(
    own: Settings,
    look: Callable[[Settings], Flow[Model]],
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
    once = replace(own, retries=0)  # the patience is that of the whole wait
    failure: QuartetError | None = None
    while True:
        try:
            seen = yield from look(once)
        except QuartetError as error:
            wait, failure = holding.wait_s(error), error
        else:
            failure = None
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
            raise TimedOut(
                f"It has not ended within {timeout_s:g} seconds; it goes on.", last=last
            ) from failure
        yield Sleep(min(wait, left))
