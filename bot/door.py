"""What answers while the bot is still being loaded: `/health` says so, all else is asked to come again.

Without the web framework, which is the largest part of what is being loaded. It knows no allowed origins:
to a page elsewhere a bot that is being loaded is one that is not there.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.api.request_ids import RequestIds

STARTING: Final = "The bot is starting; try again in a second."
LOADING: Final = "the bot is starting; ask again in a second"
COME_AGAIN: Final = {"Retry-After": "1"}


class Door:
    """An ASGI app that another one takes the place of."""

    def __init__(self) -> None:
        self._behind: ASGIApp = RequestIds(_starting)

    def open(self, app: ASGIApp) -> None:
        """From now on `app` answers."""
        self._behind = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        await self._behind(scope, receive, send)


async def _starting(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"] == "/health":
        headers = {**COME_AGAIN, "Cache-Control": "no-store"}
        answer = Response(json.dumps(_health()), 503, headers, "application/json")
    else:  # a socket sees it too, in place of being accepted
        answer = Response(json.dumps(_problem()), 503, COME_AGAIN, "application/problem+json")
    await answer(scope, receive, send)


def _health() -> dict[str, Any]:
    """What `bot.api.health` says of a bot that is starting."""
    store = {"status": "starting", "detail": LOADING}
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"status": "degraded", "active_workflows": 0, "timestamp": now, "components": {"store": store}}


def _problem() -> dict[str, Any]:
    """What `bot.api.errors` says of it."""
    title = HTTPStatus.SERVICE_UNAVAILABLE.phrase
    return {"type": "about:blank", "title": title, "status": 503, "detail": STARTING}
