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
    """Quartet over HTTP. Use it with `with`, or `close` it; threads may share it."""


class AsyncQuartet(ChatCalls, RunCalls, ExecuteCalls, GraphCalls, SessionCalls, AsyncWire):
    """Quartet over HTTP, in asyncio. Use it with `async with`, or `aclose` it; in one event loop."""
