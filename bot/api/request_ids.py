"""A name for each call, the same in the answer's `X-Request-Id` and in every line logged meanwhile."""

from __future__ import annotations

import re
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

HEADER: Final = "X-Request-Id"
SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
BEGINS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class RequestIds:
    """ASGI middleware around all that answers: errors and refusals are named too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the client's name for the call if it is a sane one; else make one."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist(HEADER)
        name = given[0] if len(given) == 1 and SANE.fullmatch(given[0]) else uuid.uuid4().hex

        async def named(message: Message) -> None:
            if message["type"] in BEGINS:
                MutableHeaders(scope=message)[HEADER] = name
            await send(message)

        with bound_contextvars(request_id=name):
            await self._app(scope, receive, named)
