"""What can go wrong between a program and Quartet.

QuartetError
├── ApiError                Quartet answered with an error: `status`, `detail`, `errors`, `problem`
│   ├── Unauthorized        401: no key, or a wrong one
│   ├── Forbidden           403, 421: this key, or this address, may not do that
│   ├── NotFound            404: no such run, approval, graph or session
│   ├── Conflict            409: too late, or the name is taken
│   ├── Invalid             400, 405, 413, 415, 422: the call is wrong; `errors` names the fields
│   ├── TooMany             429: wait `retry_after` seconds
│   └── ServerError         5xx
│       └── Unavailable     502, 503, 504: starting, or something between us and it; `retry_after`
├── BadAnswer               what came is no answer of Quartet: a redirect, HTML, broken JSON, far too much
├── Unreachable             no connection, or it broke off; `sent`: the call may have arrived
├── TimedOut                no answer within the time; `last`: what was known then
├── BadArgument             the program called wrongly (also a ValueError and a TypeError); nothing was sent
├── Closed                  the client was closed
└── BadWebhook              a webhook that Quartet did not sign, or an old one

Messages never hold the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class QuartetError(Exception):
    """Something went wrong. The message names the remedy.

    Attributes:
        idempotency_key: of the call, where it had one: the same call with it does nothing twice.
    """

    idempotency_key: str | None = None


class ApiError(QuartetError):
    """Quartet answered with an error.

    Args:
        status: HTTP status.
        detail: what happened and what to do.
        errors: field → what is wrong with it.
        problem: the whole answer (RFC 9457), with members such as `outcome`.
        retry_after: seconds to wait before the same call makes sense again; None: not said.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Mapping[str, str] | None = None,
        problem: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.errors = dict(errors or {})
        self.problem = dict(problem or {})
        self.retry_after = retry_after

    @staticmethod
    def kind(status: int) -> type[ApiError]:
        """The class for a status."""
        known = _KINDS.get(status)
        if known is not None:
            return known
        return ServerError if status >= 500 else ApiError


class Unauthorized(ApiError):
    """No key, or a wrong one: set QUARTET_API_KEY, or give `api_key`."""


class Forbidden(ApiError):
    """The key does not allow this, or the server does not answer under this address."""


class NotFound(ApiError):
    """There is no such run, approval, graph or session."""


class Conflict(ApiError):
    """Too late, or the name is taken. A late decision has `problem["outcome"]`."""


class Invalid(ApiError):
    """The call is wrong; `errors` maps each wrong field to what is wrong with it."""


class TooMany(ApiError):
    """Too many calls; `retry_after` seconds are due before the next."""


class ServerError(ApiError):
    """Something broke inside; the bot's log has the details."""


class Unavailable(ServerError):
    """It is starting, its database does not answer, or something between us and it is down."""


_KINDS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    421: Forbidden,
    422: Invalid,
    429: TooMany,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class BadAnswer(QuartetError):
    """What came is no answer of Quartet; check QUARTET_URL and what stands between."""


class Unreachable(QuartetError):
    """There is no connection.

    Args:
        message: what happened.
        sent: the call may have arrived all the same.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class TimedOut(QuartetError):
    """There was no answer, or no end, within the time.

    Args:
        message: what was waited for.
        last: what was known last, such as the graph's state; None: nothing.
    """

    def __init__(self, message: str, *, last: Any = None) -> None:
        super().__init__(message)
        self.last = last


class BadArgument(QuartetError, ValueError, TypeError):
    """An argument cannot be one. Nothing was sent."""


class Closed(QuartetError):
    """The client was closed; make another one."""


class BadWebhook(QuartetError):
    """A webhook that was not signed with this secret, was changed on the way, or is too old."""
