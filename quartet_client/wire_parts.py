"""What both wires do in the same way: how clients, sockets and streams are set up."""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import urlencode

import httpx2

from quartet_client.effects import Connect, Frame, Reply, Request
from quartet_client.settings import MAX_FRAME, SILENCE_S, USER_AGENT, Settings

CONNECT_S: Final = 10.0
PING_S: Final = 20.0

# The library would write every header of the handshake, the key among them, into a debug log.
# So this one is nobody's child: what is set for other loggers does not reach it.
QUIET: Final = logging.Logger("quartet_client.socket", logging.CRITICAL)  # noqa: LOG001


def client_options(own: Settings) -> dict[str, Any]:
    """For httpx2's clients. Redirects are not followed: the key is for one server alone."""
    # On this machine no proxy is asked; and without https a TLS context, slow to make, is of no use.
    here = {"trust_env": False} if own.is_local else {}
    plain = {"verify": False} if own.is_local and own.url.startswith("http:") else {}
    return {"headers": own.headers(), "follow_redirects": False, **here, **plain}


def call_options(own: Settings, request: Request) -> dict[str, Any]:
    """For `build_request`."""
    seconds = own.timeout_s if request.timeout_s is None else request.timeout_s
    return {
        "method": request.method,
        "url": own.url + request.path,
        "params": dict(request.params) or None,
        "json": request.body,
        "headers": dict(request.headers),
        "timeout": httpx2.Timeout(seconds, connect=min(CONNECT_S, seconds)),
    }


def stream_options(own: Settings, request: Request) -> dict[str, Any]:
    """For `build_request` of a stream, which may be silent for a while."""
    options = call_options(own, request)
    options["headers"] |= {"Accept": "text/event-stream"}
    options["timeout"] = httpx2.Timeout(own.timeout_s, connect=CONNECT_S, read=SILENCE_S)
    return options


def socket_options(own: Settings, asked: Connect) -> dict[str, Any]:
    """For `connect` of websockets."""
    # As bearer, since the library takes this header away when it follows a redirect to another host.
    bearer = {"Authorization": f"Bearer {own.api_key}"} if own.api_key else {}
    query = f"?{urlencode(dict(asked.params))}" if asked.params else ""
    return {
        "uri": own.socket_url + asked.path + query,
        "additional_headers": {**asked.headers, **bearer},
        "user_agent_header": USER_AGENT,
        "compression": None,
        "open_timeout": CONNECT_S,
        "ping_interval": PING_S,
        "ping_timeout": PING_S,
        "close_timeout": 1,
        "max_size": MAX_FRAME,
        "logger": QUIET,
        **({"proxy": None} if own.is_local else {}),
    }


def begun(response: httpx2.Response, content: bytes = b"") -> Reply:
    """An answer's head, with what was read of it."""
    return Reply(response.status_code, {name.lower(): v for name, v in response.headers.items()}, content)


def is_stream(response: httpx2.Response) -> bool:
    """Whether what was asked to be a stream became one. A strange success is left to the stream's reader."""
    return response.status_code == 200


def frame(event: httpx2.ServerSentEvent) -> Frame:
    """An event."""
    return Frame(event.event, event.data, event.id)
