"""From an answer's bytes to a typed answer, or to the error that it is. Pure."""

from __future__ import annotations

import email.utils
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from quartet_client.effects import Reply
from quartet_client.errors import ApiError, BadAnswer, QuartetError

Model = TypeVar("Model", bound=BaseModel)
Kind = TypeVar("Kind")

SHOWN = 200  # characters of a strange answer in a message


def read(reply: Reply, model: type[Model]) -> Model:
    """The answer.

    Raises:
        ApiError: it is an error.
        BadAnswer: it is not what Quartet answers.
    """
    return fit(_content(reply), model)


def read_as(reply: Reply, adapter: TypeAdapter[Kind]) -> Kind:
    """The answer, where it is no object.

    Raises:
        ApiError: it is an error.
        BadAnswer: it is not what Quartet answers.
    """
    try:
        return adapter.validate_python(_content(reply))
    except ValidationError as error:
        raise _strange(error) from None


def fit(value: Any, model: type[Model]) -> Model:
    """A part of an answer.

    Raises:
        BadAnswer: it is not what Quartet answers.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _strange(error) from None


def read_text(text: str) -> dict[str, Any]:
    """A JSON object that came in a stream.

    Raises:
        BadAnswer: it is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise BadAnswer(f"The stream holds something that is not JSON: {text[:SHOWN]!r}") from None
    if not isinstance(value, dict):
        raise BadAnswer(f"The stream holds something that is no object: {text[:SHOWN]!r}")
    return cast("dict[str, Any]", value)


def check(reply: Reply) -> None:
    """See that an answer is a success.

    Raises:
        ApiError: it is an error.
        BadAnswer: it is a redirect.
    """
    if reply.status >= 300:
        raise error_of(reply)


def error_of(reply: Reply) -> QuartetError:
    """The error that an answer is."""
    status = reply.status
    if status < 400:
        there = reply.headers.get("location", "")[:SHOWN]
        return BadAnswer(
            f"The server sends us elsewhere ({status}, {there!r}); set QUARTET_URL to that place."
        )
    problem = _object(reply)
    kind, wait = ApiError.kind(status), retry_after(reply.headers)
    detail = problem.get("detail")
    if not isinstance(detail, str) or not detail:
        detail = _without_detail(reply)
    listed = problem.get("errors")
    errors = cast("dict[Any, Any]", listed) if isinstance(listed, dict) else {}
    return kind(
        status,
        detail,
        errors={str(name): str(what) for name, what in errors.items()},
        problem=problem,
        retry_after=wait,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait; None: it does not say."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(text)
        except (ValueError, IndexError, OverflowError):
            return None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _content(reply: Reply) -> Any:
    check(reply)
    media_type = reply.media_type()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise BadAnswer(
            f"This is not Quartet ({media_type or 'no type'}); check QUARTET_URL: {_excerpt(reply)!r}"
        )
    try:
        return reply.json()
    except ValueError:
        raise BadAnswer(f"The answer is not JSON: {_excerpt(reply)!r}") from None


def _object(reply: Reply) -> dict[str, Any]:
    try:
        value = reply.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _without_detail(reply: Reply) -> str:
    if not reply.content.strip():
        return "the answer says nothing more"
    return f"not answered by Quartet, but by something between ({reply.media_type()}): {_excerpt(reply)!r}"


def _excerpt(reply: Reply) -> str:
    return " ".join(reply.content[: 4 * SHOWN].decode("utf-8", "replace").split())[:SHOWN]


def _strange(error: ValidationError) -> BadAnswer:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"])) or "the whole"
    return BadAnswer(f"The answer is not what Quartet answers: {place[:SHOWN]}: {first['msg'][:SHOWN]}")
