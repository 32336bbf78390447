"""How long connections are kept, and how large messages may be. Light: listening needs it first."""

from __future__ import annotations

from typing import Any, Final

MAX_MESSAGE: Final = (
    1_048_576  # bytes; a socket keeps one that is not understood yet. Longer: closed with 1009
)
# Longer than clients and proxies keep a connection for the next call (nginx: 60 s): whoever closes it
# must not be the one that is called just then.
KEEP_ALIVE_S: Final = 75
PING_S: Final = 20.0  # a peer that answers no ping for so long has gone


def server_settings() -> dict[str, Any]:
    """What uvicorn has to know for sockets, and for connections that are used again."""
    return {
        "ws": "websockets-sansio",
        "ws_max_size": MAX_MESSAGE,
        "ws_ping_interval": PING_S,
        "ws_ping_timeout": PING_S,
        "ws_per_message_deflate": False,  # costs each socket hundreds of kilobytes
        "timeout_keep_alive": KEEP_ALIVE_S,
    }
