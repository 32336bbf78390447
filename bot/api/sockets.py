"""WebSockets that hold to the rules: JSON only, time and size limits, errors said once, no task left behind.

    async with opened(websocket, core) as socket:
        body = await socket.first(Body)
        async for event in core.follow(run_id, 0, socket.gone):
            await socket.send({...})

What a family raises inside (`ProblemError`, errors of the core) becomes one message `{"type": "error",
"detail": …, "status": …}` and a close code of 4000 + the HTTP status: 4404, 4409, 4422. The server's end
closes with 1012: the client comes back where it was. Pings are the server's (`connections.server_settings`).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import structlog
from pydantic import BaseModel, ValidationError
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.api.core import Core
from bot.api.errors import ProblemError, field_errors, invalid, wrong
from bot.api.json_values import read_json
from bot.api.letting_go import KEY_ENDED, cut, cut_if_closing, key_lives
from orchestrator.errors import Conflict, NotFound, Refused, StoreFailed

log = structlog.get_logger(__name__)

FIRST_S = 30.0  # who opens a socket says what they want within this time
UNREAD_S: Final = 60.0  # a peer that takes nothing for so long is let go; it comes back where it was
UNHEARD: Final = 32  # messages that wait to be heard; who sends more without need is let go
CHATTER: Final = 300  # messages within CHATTER_S that nobody listens to; signs of life are fewer
CHATTER_S: Final = 1.0
BEAT_S: Final = 15.0  # so often it is looked whether the key of an open socket still counts
CLOSE_S: Final = 5.0  # a peer that does not read is not waited for longer than this to say goodbye
MAX_REASON: Final = 123  # bytes of a close frame's reason
NORMAL: Final = 1000
RESTARTS: Final = 1012
BROKEN: Final = 1011

B = TypeVar("B", bound=BaseModel)


class Gone(Exception):
    """The peer went, does not read, or the server closes. `opened` takes it: families let it pass."""


class Socket:
    """An open socket. Made by `opened`.

    Attributes:
        gone: set when nothing more can be said; end following with it.
    """

    def __init__(self, websocket: WebSocket, closing: asyncio.Event) -> None:
        self._websocket = websocket
        self._closing = closing
        self._heard: deque[Message] = deque()  # as they came: understood when they are wanted
        self._is_deaf = False
        self._chatter, self._chatter_since = 0, 0.0  # messages since a time of the loop
        self._something = asyncio.Event()  # was heard, or the socket is gone
        self._sending = asyncio.Lock()  # the order of messages is that of the calls
        self._flaw: ProblemError | None = None
        self.gone = asyncio.Event()

    async def send(self, message: Any) -> None:
        """Send JSON. Waits while the peer's buffers are full; others are not held up.

        Raises:
            Gone: nobody is there to read it.
        """
        text = json.dumps(message)  # ASCII: no half characters
        async with self._sending:
            if self.gone.is_set():
                raise Gone
            try:
                async with asyncio.timeout(UNREAD_S):
                    await self._websocket.send_text(text)
            except TimeoutError:
                log.info("a client did not read its socket", action="socket_unread")
                cut(self._websocket.scope)
                self._end()
                raise Gone from None
            except (WebSocketDisconnect, OSError, RuntimeError):  # RuntimeError: it was closed meanwhile
                self._end()
                raise Gone from None

    async def receive(self, timeout_s: float | None = None) -> Any:
        """The next message, as JSON.

        Raises:
            Gone: none will come.
            ProblemError: it is not JSON text, or too many came at once.
            TimeoutError: none came in time.
        """
        async with asyncio.timeout(timeout_s):
            while not self._heard:
                if self._flaw is not None:
                    raise self._flaw
                if self.gone.is_set():
                    raise Gone
                self._something.clear()
                await self._something.wait()
        return _read(self._heard.popleft())

    def hear_no_more(self) -> None:
        """Nothing that the client says from now on means anything: some send signs of life."""
        self._is_deaf = True
        self._heard.clear()

    async def first(self, model: type[B]) -> B:
        """The first message, checked as the body of a call is.

        Raises:
            Gone: the peer went.
            ProblemError: 422 with the fields; 408 none came in time.
        """
        try:
            message = await self.receive(FIRST_S)
        except TimeoutError:
            raise ProblemError(
                408, f"Nothing came within {FIRST_S:g} seconds; send a message when the socket is open."
            ) from None
        if not isinstance(message, dict):
            raise wrong("body", "send a JSON object")
        try:
            return model.model_validate(message)
        except ValidationError as error:
            raise invalid(field_errors(error.errors())) from error

    async def listen(self) -> None:
        """Take up what comes and notice the end; a task of `opened`."""
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                if self._is_chatter() if self._is_deaf else len(self._heard) >= UNHEARD:
                    self._flaw = ProblemError(429, "Too many messages at once; wait for the answers.")
                    break
                if not self._is_deaf:
                    self._heard.append(message)
                    self._something.set()
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            watching.cancel()
            self._end()

    def _is_chatter(self) -> bool:
        """Whether one more message that nobody listens to is too much."""
        now = asyncio.get_running_loop().time()
        if now - self._chatter_since > CHATTER_S:
            self._chatter, self._chatter_since = 0, now
        self._chatter += 1
        return self._chatter > CHATTER

    async def _watch(self) -> None:
        """Notice that the server closes, that the key ended, and that the server gave the client up."""
        scope = self._websocket.scope
        while True:
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._closing.wait()
                break
            except TimeoutError:
                pass
            if not await key_lives(scope):
                self._flaw = ProblemError(401, KEY_ENDED)
                break
            cut_if_closing(scope)  # it answered no ping, and does not read either
        self._end()

    def _end(self) -> None:
        self.gone.set()
        self._something.set()

    @property
    def flaw(self) -> ProblemError | None:
        """What the peer did that nobody listens to any more."""
        return self._flaw


@asynccontextmanager
async def opened(websocket: WebSocket, core: Core, *, error_field: str = "detail") -> AsyncGenerator[Socket]:
    """Accept a socket; close it when the block ends, however it ends.

    Args:
        websocket: after `needs(…)` let it through.
        core: knows when the server closes.
        error_field: name of the text in error messages: `detail`, or `content` where the family says so.
    """
    try:
        await websocket.accept()
    except (WebSocketDisconnect, OSError, RuntimeError):
        raise WebSocketDisconnect(1006) from None  # it went while it came: no error (`QuietSockets`)
    socket = Socket(websocket, core.closing)
    listening = asyncio.create_task(socket.listen(), name="socket")
    problem: ProblemError | None = None
    try:
        yield socket
    except Gone:
        pass
    except ProblemError as error:
        problem = error
    except NotFound as error:
        problem = ProblemError(404, str(error))
    except (Refused, Conflict) as error:
        problem = ProblemError(409, str(error))
    except StoreFailed:
        log.exception("the database failed", action="api_store_failed")
        problem = ProblemError(503, "The database fails; nothing was lost. Try again later.")
    except Exception:
        log.exception("a socket broke", action="api_broke", path=websocket.url.path)
        problem = ProblemError(500, "Something broke inside; the log of the bot has the details.")
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await _close(websocket, core, problem or socket.flaw, error_field)


async def _close(websocket: WebSocket, core: Core, problem: ProblemError | None, error_field: str) -> None:
    code, reason = NORMAL, ""
    if problem is not None:
        code = BROKEN if problem.status >= 500 else 4000 + problem.status
        reason = problem.detail
    elif core.closing.is_set():
        code, reason = RESTARTS, "the server restarts; come back"
    try:
        async with asyncio.timeout(CLOSE_S):
            if problem is not None:
                fields = {"errors": dict(problem.errors)} if problem.errors else {}
                said = {"type": "error", error_field: problem.detail, "status": problem.status, **fields}
                await websocket.send_text(json.dumps(said))
            await websocket.close(code, _short(reason))
    except (TimeoutError, WebSocketDisconnect, OSError, RuntimeError):
        pass  # it is closed already, or nobody reads


def _short(reason: str) -> str:
    """What fits into a close frame."""
    return reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


def _read(message: Message) -> Any:
    """What a message says.

    Raises:
        ProblemError: it is no JSON that could be kept.
    """
    text = message.get("text")
    if text is None:
        raise wrong("body", "send JSON as text, not as bytes")
    try:
        return read_json(text)
    except RecursionError:
        raise wrong("body", "is nested too deeply") from None
    except ValueError as error:
        raise wrong("body", f"not JSON that can be kept: {error}") from error
