"""What answers while the bot is still being loaded: `/health` says so, all else is asked to come again.

Plain ASGI: the web framework is the largest part of what is being loaded.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

STARTING: Final = "The bot is starting; try again in a second."
RETRY_AFTER_S: Final = 1
TRY_AGAIN_LATER: Final = 1013  # close code of a WebSocket


class Door:
    """An ASGI app that another one takes the place of."""

    def __init__(self) -> None:
        self._behind: ASGIApp | None = None

    def open(self, app: ASGIApp) -> None:
        """From now on `app` answers."""
        self._behind = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        if self._behind is not None:
            await self._behind(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": STARTING})
        elif scope["type"] == "http" and scope["path"] == "/health":
            await _answer(send, health(), "application/json", no_store=True)
        elif scope["type"] == "http":
            await _answer(send, problem(), "application/problem+json")


def health() -> dict[str, Any]:
    """What `bot.api.health` says of a bot that is starting."""
    store = {"status": "starting", "detail": "the bot is starting; ask again in a second"}
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"status": "degraded", "active_workflows": 0, "timestamp": now, "components": {"store": store}}


def problem() -> dict[str, Any]:
    """What `bot.api.errors` says of it."""
    title = HTTPStatus.SERVICE_UNAVAILABLE.phrase
    return {"type": "about:blank", "title": title, "status": 503, "detail": STARTING}


async def _answer(send: Send, content: dict[str, Any], media_type: str, *, no_store: bool = False) -> None:
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(RETRY_AFTER_S).encode()),
        *([(b"cache-control", b"no-store")] if no_store else []),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
