"""How clients are let go: who reads nothing, whose key ended, and sockets that never opened.

Here is what has to be known of the server, uvicorn: closing waits until the client took what is buffered for
it, which one that does not read never does; and a socket that ends before it opened is an error in its log,
unless the application says that the client has gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from orchestrator.errors import StoreFailed

SERVERS_SEND: Final = "quartet.send"  # in a call's scope: what the server itself gave to send with
LIVES: Final = "quartet.lives"  # likewise, of calls with a named key: gives None when that ended
Lives = Callable[[], Awaitable[object | None]]
KEY_ENDED: Final = "The key that this was opened with has ended; ask who runs this bot for another one."


async def key_lives(scope: Scope) -> bool:
    """Whether the key that a call came with still lets in: also where none is needed, or nobody can say."""
    lives: Lives | None = scope.get(LIVES)
    if lives is None:
        return True
    try:
        return await lives() is not None
    except StoreFailed:
        return True  # it is asked again; a database that fails cuts off nobody


def cut(scope: Scope) -> None:
    """End a connection at once, and free what is buffered for its client."""
    abort = getattr(_transport(scope), "abort", None)
    if abort is not None:
        abort()


def cut_if_closing(scope: Scope) -> None:
    """The same for one that was given up, and waits for a client that reads nothing."""
    is_closing = getattr(_transport(scope), "is_closing", None)
    if is_closing is not None and is_closing():
        cut(scope)


def _transport(scope: Scope) -> Any:
    """The connection of a call; None with servers that do not show it."""
    return getattr(getattr(scope.get(SERVERS_SEND), "__self__", None), "transport", None)


class QuietSockets:
    """ASGI middleware: a socket that was refused, or went while it came, is no error in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call what comes after."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        is_over = False

        async def heard() -> Message:
            nonlocal is_over
            message = await receive()
            is_over = is_over or message["type"] == "websocket.disconnect"
            return message

        async def said(message: Message) -> None:
            nonlocal is_over
            await send(message)
            if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
                is_over = True

        try:
            await self._app(scope, heard, said)
        except WebSocketDisconnect:
            is_over = True
        if is_over:
            raise ClientDisconnected  # uvicorn takes this in silence
