"""Programs that call the bot and do not give up when it dies: each comes back where it was."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

import httpx2
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.frames import CloseCode
from websockets.sync.client import connect

from tests.event_lines import EventLines
from tests.journey.bot_process import Bot

GIVE_UP_S = 60.0
AGAIN_S = 0.05
Answer = httpx2.Response


class Frame(NamedTuple):
    """An event of a stream."""

    id: str  # "": it has none
    event: str
    data: Any


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """The events of a stream, as an EventSource reads them."""
    read = EventLines()
    for line in lines:
        event = read.take(line)
        if event and "data" in event:
            yield Frame(event.get("id", ""), event.get("event", "message"), json.loads(event["data"]))


def client(bot: Bot) -> httpx2.Client:
    """Somebody else's connection to the bot."""
    transport = httpx2.HTTPTransport(verify=False)  # a TLS context takes long to make
    return httpx2.Client(base_url=bot.url, timeout=GIVE_UP_S, transport=transport)


def insisted(bot: Bot, method: str, path: str, **given: Any) -> Answer:
    """The first answer of a call that is sent again as long as nobody answers, or the bot is starting."""
    until = time.monotonic() + GIVE_UP_S
    while time.monotonic() < until:
        try:
            with client(bot) as calling:
                answer = calling.request(method, path, **given)
            if answer.status_code != 503:
                return answer
        except httpx2.TransportError:
            pass  # it died under the call, or is not there yet
        time.sleep(AGAIN_S)
    raise AssertionError(f"no answer to {method} {path} within {GIVE_UP_S:.0f} s")


def meanwhile(what: Callable[..., Any], *given: Any, **named: Any) -> Future[Any]:
    """Do it in a thread of its own, which nobody waits for at the end."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(what(*given, **named))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


class Listener:
    """Follows something in a thread of its own, over as many connections as it takes.

    Attributes:
        got: what came, in order.
        connections: how often it connected.
    """

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.connections = 0
        self._something = threading.Condition()
        self._listening = meanwhile(self._listen)

    def until(self, wanted: Callable[[list[Any]], bool], within_s: float = GIVE_UP_S) -> None:
        """Wait for what came to be as wanted."""
        with self._something:
            there = self._something.wait_for(
                lambda: wanted(self.got) or self._listening.done(), timeout=within_s
            )
        if self._listening.done():
            self._listening.result()
        assert there, f"did not come: {self.got[-3:]}"
        assert wanted(self.got), f"it ended before that came: {self.got[-3:]}"

    def over(self) -> list[Any]:
        """All that came, when it has ended."""
        self._listening.result(GIVE_UP_S)
        return self.got

    def _listen(self) -> None:
        until = time.monotonic() + GIVE_UP_S
        try:
            while time.monotonic() < until:
                try:
                    self.connections += 1
                    if self._connected():
                        return
                except (httpx2.TransportError, OSError, ConnectionClosed, InvalidHandshake):
                    pass  # it died, or is not there yet
                time.sleep(AGAIN_S)
            raise AssertionError(f"it did not end within {GIVE_UP_S:.0f} s; the last: {self.got[-3:]}")
        finally:
            with self._something:
                self._something.notify_all()

    def _take(self, one: Any) -> None:
        with self._something:
            self.got.append(one)
            self._something.notify_all()

    def _connected(self) -> bool:
        """Listen on one connection to its end; whether all is said."""
        raise NotImplementedError


class Stream(Listener):
    """An EventSource. Ends behind the event `last`, or when it is told to come back no more.

    Args:
        bot: whose stream.
        path: of it.
        last: name of the event after which nothing comes.
        params: of the address.
        headers: with every call.
    """

    def __init__(
        self,
        bot: Bot,
        path: str,
        last: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._bot, self._path, self._last = bot, path, last
        self._params, self._headers = dict(params or {}), dict(headers or {})
        self._behind = ""
        super().__init__()

    def _connected(self) -> bool:
        headers = {**self._headers, **({"Last-Event-ID": self._behind} if self._behind else {})}
        with (
            client(self._bot) as calling,
            calling.stream("GET", self._path, params=self._params, headers=headers) as answer,
        ):
            if answer.status_code == 204:
                return True
            if answer.status_code == 503:
                return False
            assert answer.status_code == 200, answer.read()
            for frame in frames(answer.iter_lines()):
                self._behind = frame.id or self._behind
                self._take(frame)
                if frame.event == self._last:
                    return True
        return False


class SocketListener(Listener):
    """A WebSocket, opened again whenever it breaks. The server closes it as it should when all is said.

    Args:
        bot: whose socket.
        path: of it, made from what came so far.
        first: what is sent when it is open, made from what came so far; None: nothing.
        headers: of the call that opens it.
    """

    def __init__(
        self,
        bot: Bot,
        path: Callable[[list[Any]], str],
        first: Callable[[list[Any]], Any] | None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._headers = dict(headers or {})
        self._bot, self._path, self._first = bot, path, first
        super().__init__()

    def _connected(self) -> bool:
        address = f"ws://127.0.0.1:{self._bot.port}{self._path(self.got)}"
        with connect(address, proxy=None, open_timeout=30, additional_headers=self._headers) as socket:
            if self._first is not None:
                socket.send(json.dumps(self._first(self.got)))
            for text in socket:
                self._take(json.loads(text))
            return socket.close_code == CloseCode.NORMAL_CLOSURE


def numbers(got: Iterable[Frame]) -> list[int]:
    """The events' numbers, in the order they came."""
    return [int(frame.id) for frame in got if frame.id]
