"""The wire of `AsyncQuartet`: performs what flows ask, and waits in asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar, assert_never

from quartet_client.effects import (
    Connect,
    Effect,
    Flow,
    Frame,
    Give,
    Hang,
    Hear,
    Listen,
    NextFrame,
    Reply,
    Request,
    Say,
    Send,
    Sleep,
    Tell,
)
from quartet_client.errors import QuartetError
from quartet_client.settings import MAX_ANSWER, MAX_FRAME, Settings
from quartet_client.wire import Wire

if TYPE_CHECKING:  # loaded with the first call: programs start faster
    import httpx2
    from websockets.asyncio.client import ClientConnection

    from quartet_client.patience import Streaming

T = TypeVar("T")


class AsyncWire(Wire["httpx2.AsyncClient"]):
    """See `AsyncQuartet`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Calls after it are refused."""
        http = self._let_go()
        if http is not None:
            await http.aclose()

    async def run_flow(self, flow: Flow[T]) -> T:
        """The result of a flow."""
        async with _Line(self.settings, self._client()) as line:
            try:
                effect = next(flow)
                while True:
                    try:
                        came = await line.perform(effect)
                    except QuartetError as error:
                        effect = flow.throw(error)
                    else:
                        effect = flow.send(came)
            except StopIteration as end:
                return end.value
            finally:
                flow.close()

    async def run_stream(self, flow: Streaming[T]) -> AsyncGenerator[T, None]:
        """The items of a stream; close it to hang up early."""
        async with _Line(self.settings, self._client()) as line:
            try:
                effect = next(flow)
                while True:
                    if isinstance(effect, Give):
                        yield effect.item
                        effect = next(flow)
                        continue
                    try:
                        came = await line.perform(effect)
                    except QuartetError as error:
                        effect = flow.throw(error)
                    else:
                        effect = flow.send(came)
            except StopIteration:
                return
            finally:
                flow.close()

    def _made(self, options: dict[str, Any]) -> httpx2.AsyncClient:
        import httpx2

        return httpx2.AsyncClient(**options)


class _Line:
    """The connection of one flow: a client for calls, and at most one open stream or socket."""

    def __init__(self, own: Settings, http: httpx2.AsyncClient) -> None:
        self._own = own
        self._http = http
        self._open = AsyncExitStack()
        self._frames: AsyncIterator[httpx2.ServerSentEvent] | None = None
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._open.aclose()

    async def perform(self, effect: Effect) -> Any:
        """Do what a flow asks.

        Raises:
            QuartetError: it failed.
        """
        match effect:
            case Send(request):
                return await self._send(request)
            case Listen(request):
                return await self._listen(request)
            case NextFrame():
                return await self._next_frame()
            case Connect():
                return await self._connect(effect)
            case Say(text):
                return await self._say(text)
            case Hear():
                return await self._hear()
            case Hang():
                return await self._open.aclose()
            case Sleep(seconds):
                return await asyncio.sleep(seconds)
            case Tell(listener, news):
                told = listener(news)
                return await told if inspect.isawaitable(told) else told
            case _:
                assert_never(effect)

    async def _send(self, request: Request) -> Reply:
        import httpx2

        from quartet_client.wire_errors import http_error, too_slow
        from quartet_client.wire_parts import call_options

        options = call_options(self._own, request)
        seconds = self._own.timeout_s if request.timeout_s is None else request.timeout_s
        try:
            async with asyncio.timeout(seconds + 1):  # the library's own limits name what was slow
                response = await self._http.send(self._http.build_request(**options), stream=True)
                try:
                    return await self._read(response)
                finally:
                    await response.aclose()
        except httpx2.HTTPError as error:
            raise http_error(error, self._own) from error
        except TimeoutError as error:
            raise too_slow(self._own) from error

    async def _read(self, response: httpx2.Response) -> Reply:
        """The whole answer, as long as it is not too large and does not trickle for ever."""
        from quartet_client.wire_errors import too_large, too_slow
        from quartet_client.wire_parts import begun

        content = bytearray()
        try:
            async with asyncio.timeout(self._own.timeout_s):
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER:
                        raise too_large()
        except TimeoutError as error:
            raise too_slow(self._own) from error
        return begun(response, bytes(content))

    async def _listen(self, request: Request) -> Reply:
        import httpx2

        from quartet_client.wire_errors import http_error
        from quartet_client.wire_parts import begun, is_stream, stream_options

        await self._open.aclose()
        options = stream_options(self._own, request)
        try:
            response = await self._http.send(self._http.build_request(**options), stream=True)
            self._open.push_async_callback(response.aclose)
            if not is_stream(response):
                return await self._read(response)
        except httpx2.HTTPError as error:
            raise http_error(error, self._own) from error
        self._frames = aiter(httpx2.EventSource(response, MAX_FRAME))
        return begun(response)

    async def _next_frame(self) -> Frame | None:
        import httpx2

        from quartet_client.wire_errors import http_error, silent
        from quartet_client.wire_parts import frame

        assert self._frames is not None
        try:
            event = await anext(self._frames, None)
        except httpx2.TimeoutException as error:
            raise silent(self._own) from error
        except httpx2.HTTPError as error:
            raise http_error(error, self._own) from error
        return frame(event) if event is not None else None

    async def _connect(self, asked: Connect) -> None:
        from websockets.asyncio.client import connect

        from quartet_client.wire_errors import same_place, socket_error
        from quartet_client.wire_parts import socket_options

        await self._open.aclose()
        try:
            socket = await self._open.enter_async_context(connect(**socket_options(self._own, asked)))
            same_place(socket.request, self._own)
        except Exception as error:
            raise socket_error(error, self._own, opened=False) from error
        self._socket = socket

    async def _say(self, text: str) -> None:
        from quartet_client.wire_errors import socket_error

        assert self._socket is not None
        try:
            await self._socket.send(text)
        except Exception as error:
            raise socket_error(error, self._own, opened=True) from error

    async def _hear(self) -> str | None:
        from websockets.exceptions import ConnectionClosedOK

        from quartet_client.wire_errors import socket_error

        assert self._socket is not None
        try:
            heard = await self._socket.recv()
        except ConnectionClosedOK:
            return None
        except Exception as error:
            raise socket_error(error, self._own, opened=True) from error
        return heard if isinstance(heard, str) else heard.decode("utf-8", "replace")
