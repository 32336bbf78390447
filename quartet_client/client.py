"""The clients: `Quartet` for programs that wait, `AsyncQuartet` for asyncio. The methods are the same."""

from __future__ import annotations

from quartet_client.async_wire import AsyncWire
from quartet_client.chat_calls import ChatCalls
from quartet_client.execute_calls import ExecuteCalls
from quartet_client.graph_calls import GraphCalls
from quartet_client.run_calls import RunCalls
from quartet_client.session_calls import SessionCalls
from quartet_client.sync_wire import SyncWire


class Quartet(ChatCalls, RunCalls, ExecuteCalls, GraphCalls, SessionCalls, SyncWire):
    """Quartet over HTTP. Use it with `with`, or `close` it; threads may share it.

    Args:
        url: of the server; None: QUARTET_URL, else http://127.0.0.1:8080.
        api_key: None: QUARTET_API_KEY, else API_KEY; "": none.
        timeout: seconds for one answer.
        retries: after the first try, where trying again cannot do anything twice.
        max_pause: seconds; a server that asks to wait longer before a retry is not waited for.
        reconnect: seconds for which streams and waits come back after the last sign of life.

    Raises:
        ValueError: an argument cannot be one.
    """


class AsyncQuartet(ChatCalls, RunCalls, ExecuteCalls, GraphCalls, SessionCalls, AsyncWire):
    """Quartet over HTTP, in asyncio. Use it with `async with`, or `aclose` it; in one event loop.

    Args:
        url: of the server; None: QUARTET_URL, else http://127.0.0.1:8080.
        api_key: None: QUARTET_API_KEY, else API_KEY; "": none.
        timeout: seconds for one answer.
        retries: after the first try, where trying again cannot do anything twice.
        max_pause: seconds; a server that asks to wait longer before a retry is not waited for.
        reconnect: seconds for which streams and waits come back after the last sign of life.

    Raises:
        ValueError: an argument cannot be one.
    """
