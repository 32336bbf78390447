"""Errors that a WebSocket says before it closes: `{"type": "error", "detail", "status"}`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from quartet_client.errors import ApiError


def raise_said(fields: Mapping[str, Any]) -> None:
    """See that a message is not the server's refusal. What agents say wrong has no status.

    Raises:
        ApiError: it is.
    """
    status = fields.get("status")
    if fields.get("type") != "error" or not isinstance(status, int):
        return
    listed = fields.get("errors")
    errors = cast("dict[Any, Any]", listed) if isinstance(listed, dict) else {}
    raise ApiError.kind(status)(
        status,
        str(fields.get("detail") or fields.get("content") or "the server gave no reason"),
        errors={str(name): str(what) for name, what in errors.items()},
        problem=fields,
    )
