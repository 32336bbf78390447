"""Turn a flow into a method of both clients: of `AsyncQuartet` it is awaited."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from quartet_client.async_wire import AsyncWire
from quartet_client.effects import Flow
from quartet_client.patience import Streaming
from quartet_client.settings import Settings
from quartet_client.sync_wire import SyncWire

P = ParamSpec("P")
T = TypeVar("T")


class Calls:
    """What a method knows of its client."""

    settings: Settings


class operation(Generic[P, T]):
    """A method that is a flow."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self._flow = flow
        functools.update_wrapper(self, flow)  # pyright: ignore[reportArgumentType]

    @overload
    def __get__(self, client: SyncWire, owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncWire, owner: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, owner: Any = None) -> Self: ...
    def __get__(self, client: SyncWire | AsyncWire | None, owner: Any = None) -> Any:
        """The method of a client."""
        if client is None:
            return self

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.run_flow(self._flow(client, *args, **kwargs))

        return _named(method, self._flow)


class streaming(Generic[P, T]):
    """A method that gives items one by one. Close what it returns to hang up early."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Streaming[T]]) -> None:
        self._flow = flow
        functools.update_wrapper(self, flow)  # pyright: ignore[reportArgumentType]

    @overload
    def __get__(self, client: SyncWire, owner: Any = None) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(self, client: AsyncWire, owner: Any = None) -> Callable[P, AsyncGenerator[T, None]]: ...
    @overload
    def __get__(self, client: None, owner: Any = None) -> Self: ...
    def __get__(self, client: SyncWire | AsyncWire | None, owner: Any = None) -> Any:
        """The method of a client."""
        if client is None:
            return self

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.run_stream(self._flow(client, *args, **kwargs))

        return _named(method, self._flow)


def _named(method: Callable[..., Any], flow: Callable[..., Any]) -> Callable[..., Any]:
    """Name, documentation and types of the flow, for `help` and editors at run time."""
    method.__name__, method.__qualname__ = flow.__name__, flow.__qualname__
    method.__doc__, method.__module__ = flow.__doc__, flow.__module__
    return method
