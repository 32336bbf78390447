"""The wire of `Quartet`: performs what flows ask, and waits in this thread."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
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
    from websockets.sync.client import ClientConnection

    from quartet_client.patience import Streaming

T = TypeVar("T")


class SyncWire(Wire["httpx2.Client"]):
    """See `Quartet`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Calls after it are refused."""
        http = self._let_go()
        if http is not None:
            http.close()

    def run_flow(self, flow: Flow[T]) -> T:
        """The result of a flow."""
        with _Line(self.settings, self._client()) as line:
            try:
                effect = next(flow)
                while True:
                    try:
                        came = line.perform(effect)
                    except QuartetError as error:
                        effect = flow.throw(error)
                    else:
                        effect = flow.send(came)
            except StopIteration as end:
                return end.value
            finally:
                flow.close()

    def run_stream(self, flow: Streaming[T]) -> Generator[T, None, None]:
        """The items of a stream; close it to hang up early."""
        with _Line(self.settings, self._client()) as line:
            try:
                effect = next(flow)
                while True:
                    if isinstance(effect, Give):
                        yield effect.item
                        effect = next(flow)
                        continue
                    try:
                        came = line.perform(effect)
                    except QuartetError as error:
                        effect = flow.throw(error)
                    else:
                        effect = flow.send(came)
            except StopIteration:
                return
            finally:
                flow.close()

    def _made(self, options: dict[str, Any]) -> httpx2.Client:
        import httpx2

        return httpx2.Client(**options)


class _Line:
    """The connection of one flow: a client for calls, and at most one open stream or socket."""

    def __init__(self, own: Settings, http: httpx2.Client) -> None:
        self._own = own
        self._http = http
        self._open = ExitStack()
        self._frames: Iterator[httpx2.ServerSentEvent] = iter(())
        self._socket: ClientConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.close()

    def perform(self, effect: Effect) -> Any:
        """Do what a flow asks.

        Raises:
            QuartetError: it failed.
        """
        match effect:
            case Send(request):
                return self._send(request)
            case Listen(request):
                return self._listen(request)
            case NextFrame():
                return self._next_frame()
            case Connect():
                return self._connect(effect)
            case Say(text):
                return self._say(text)
            case Hear():
                return self._hear()
            case Hang():
                return self._open.close()
            case Sleep(seconds):
                return time.sleep(seconds)
            case Tell(listener, news):
                return listener(news)
            case _:
                assert_never(effect)

    def _send(self, request: Request) -> Reply:
        import httpx2

        from quartet_client.wire_errors import http_error
        from quartet_client.wire_parts import call_options

        options = call_options(self._own, request)
        try:
            response = self._http.send(self._http.build_request(**options), stream=True)
            with closing(response):
                return self._read(response)
        except httpx2.HTTPError as error:
            raise http_error(error, self._own) from error

    def _read(self, response: httpx2.Response) -> Reply:
        """The whole answer, as long as it is not too large and does not trickle for ever.

        Between chunks the clock is looked at; the library limits how long each read may take, so an answer,
        its head too, may take somewhat longer than `timeout` when it trickles.
        """
        from quartet_client.wire_errors import too_large, too_slow
        from quartet_client.wire_parts import begun

        deadline = time.monotonic() + self._own.timeout_s
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER:
                raise too_large()
            if time.monotonic() > deadline:
                raise too_slow(self._own)
        return begun(response, bytes(content))

    def _listen(self, request: Request) -> Reply:
        import httpx2

        from quartet_client.wire_errors import http_error
        from quartet_client.wire_parts import begun, is_stream, stream_options

        self._open.close()
        options = stream_options(self._own, request)
        try:
            response = self._http.send(self._http.build_request(**options), stream=True)
            self._open.callback(response.close)
            if not is_stream(response):
                return self._read(response)
        except httpx2.HTTPError as error:
            raise http_error(error, self._own) from error
        self._frames = iter(httpx2.EventSource(response, MAX_FRAME))
        return begun(response)

    def _next_frame(self) -> Frame | None:
        import httpx2

        from quartet_client.wire_errors import http_error, silent
        from quartet_client.wire_parts import frame

        try:
            event = next(self._frames, None)
        except httpx2.TimeoutException as error:
            raise silent(self._own) from error
        except httpx2.HTTPError as error:
            raise http_error(error, self._own) from error
        return frame(event) if event is not None else None

    def _connect(self, asked: Connect) -> None:
        from websockets.sync.client import connect

        from quartet_client.wire_errors import same_place, socket_error
        from quartet_client.wire_parts import socket_options

        self._open.close()
        try:
            # As a context manager it is the same in every version of the library.
            socket: ClientConnection = self._open.enter_context(connect(**socket_options(self._own, asked)))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            same_place(socket.request, self._own)
        except Exception as error:
            raise socket_error(error, self._own, opened=False) from error
        self._socket = socket

    def _say(self, text: str) -> None:
        from quartet_client.wire_errors import socket_error

        assert self._socket is not None
        try:
            self._socket.send(text)
        except Exception as error:
            raise socket_error(error, self._own, opened=True) from error

    def _hear(self) -> str | None:
        from websockets.exceptions import ConnectionClosedOK

        from quartet_client.wire_errors import socket_error

        assert self._socket is not None
        try:
            heard = self._socket.recv()
        except ConnectionClosedOK:
            return None
        except Exception as error:
            raise socket_error(error, self._own, opened=True) from error
        return heard if isinstance(heard, str) else heard.decode("utf-8", "replace")
