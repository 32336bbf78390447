"""What the HTTP and WebSocket libraries raise, in our words: the address may be in them, never the key."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx2
import websockets
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from quartet_client.effects import Reply
from quartet_client.errors import ApiError, BadAnswer, QuartetError, TimedOut, Unreachable
from quartet_client.replies import error_of
from quartet_client.settings import MAX_ANSWER, Settings

OWN_CODES = range(4400, 4600)  # close codes 4000 + an HTTP status
POLICY, TOO_BIG, BROKE, LATER = 1008, 1009, 1011, 1013


def http_error(error: Exception, own: Settings) -> QuartetError:
    """The error of a call or a stream."""
    said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    match error:
        case httpx2.ConnectTimeout() | httpx2.PoolTimeout() | httpx2.ConnectError() | httpx2.ProxyError():
            return Unreachable(f"Quartet does not answer at {own.url} ({said}); is it running?", sent=False)
        case httpx2.TimeoutException():
            return too_slow(own)
        case httpx2.SSEError():
            return BadAnswer(f"This is no stream of Quartet: {said}")
        case httpx2.NetworkError() | httpx2.RemoteProtocolError():
            return Unreachable(f"The connection to {own.url} broke off ({said}).", sent=True)
        case _:
            return BadAnswer(f"The call to {own.url} failed: {said}")


def too_slow(own: Settings, last: object = None) -> TimedOut:
    """No answer in time."""
    return TimedOut(f"{own.url} did not answer in time; the call may have arrived.", last=last)


def silent(own: Settings) -> Unreachable:
    """A stream without a sign of life."""
    return Unreachable(f"The stream of {own.url} fell silent.", sent=True)


def too_large() -> BadAnswer:
    """An answer that nobody sends in earnest."""
    return BadAnswer(f"The answer is larger than {MAX_ANSWER:,} bytes; check QUARTET_URL.")


def socket_error(error: Exception, own: Settings, *, opened: bool) -> QuartetError:
    """The error of a WebSocket; `opened`: the handshake was over."""
    match error:
        case QuartetError():
            return error
        case InvalidStatus():
            response = error.response
            headers = {name.lower(): value for name, value in response.headers.raw_items()}
            return error_of(Reply(response.status_code, headers, bytes(response.body or b"")))
        case ConnectionClosed():
            frame = error.rcvd
            code, reason = (frame.code, frame.reason) if frame is not None else (1006, "")
            if code in OWN_CODES:
                return ApiError.kind(code - 4000)(code - 4000, reason or "the server closed the connection")
            if code in (POLICY, TOO_BIG):
                return BadAnswer(
                    f"The server closed the connection ({code}): {reason or 'it gave no reason'}"
                )
            return Unreachable(f"The connection to {own.url} broke off ({code}).", sent=True)
        case InvalidURI():
            return _elsewhere()
        case InvalidMessage() if isinstance(error.__cause__, EOFError | OSError):
            return Unreachable(f"The connection to {own.url} broke off in the handshake.", sent=False)
        case InvalidHandshake():
            return BadAnswer(f"{own.url} does not speak WebSocket: {str(error)[:200]}")
        case TimeoutError() | OSError():
            said = str(error)[:200] or type(error).__name__
            if opened:
                return Unreachable(f"The connection to {own.url} broke off ({said}).", sent=True)
            return Unreachable(f"Quartet does not answer at {own.url} ({said}); is it running?", sent=False)
        case WebSocketException():
            return Unreachable(f"The connection to {own.url} broke off ({str(error)[:200]}).", sent=True)
        case _:
            return BadAnswer(f"The connection to {own.url} failed: {type(error).__name__}")


def same_place(request: websockets.Request | None, own: Settings) -> None:
    """See that a WebSocket reached the server it was meant for: the library follows redirects.

    Raises:
        BadAnswer: another one answered.
    """
    if request is None or request.headers.get("Host", "").lower() != _host(own):
        raise _elsewhere()


def _elsewhere() -> BadAnswer:
    return BadAnswer("The server sends us elsewhere; set QUARTET_URL to that place.")


def _host(own: Settings) -> str:
    """Host and port as the header says them: without a port that goes without saying."""
    parts = urlsplit(own.url)
    usual = 443 if parts.scheme == "https" else 80
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"
