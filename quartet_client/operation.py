"""Turn a flow into a method of both clients: of `AsyncQuartet` it is awaited."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from quartet_client.async_wire import AsyncWire
from quartet_client.effects import Flow
from quartet_client.patience import Streaming
from quartet_client.settings import Settings
from quartet_client.sync_wire import SyncWire

P = ParamSpec("P")
T = TypeVar("T")
SHOWN: Final = {"Flow": r"\1", "Streaming": r"Iterator[\1]"}  # what callers get of what a flow returns


class Calls:
    """What a method knows of its client."""

    settings: Settings


class operation(Generic[P, T]):
    """A method that is a flow."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self._flow = flow
        self._signature = _signature(flow)
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, client: SyncWire, owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncWire, owner: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, owner: Any = None) -> Callable[..., Any]: ...
    def __get__(self, client: SyncWire | AsyncWire | None, owner: Any = None) -> Any:
        """The method of a client; of its class, what takes the client first."""
        if client is None:

            def of_any(client: SyncWire | AsyncWire, /, *args: P.args, **kwargs: P.kwargs) -> Any:
                return client.run_flow(self._flow(client, *args, **kwargs))

            return _named(of_any, self._flow, self._signature)

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.run_flow(self._flow(client, *args, **kwargs))

        return _named(method, self._flow, _bound(self._signature))


class streaming(Generic[P, T]):
    """A method that gives items one by one. Close what it returns to hang up early."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Streaming[T]]) -> None:
        self._flow = flow
        self._signature = _signature(flow)
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, client: SyncWire, owner: Any = None) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(self, client: AsyncWire, owner: Any = None) -> Callable[P, AsyncGenerator[T, None]]: ...
    @overload
    def __get__(self, client: None, owner: Any = None) -> Callable[..., Any]: ...
    def __get__(self, client: SyncWire | AsyncWire | None, owner: Any = None) -> Any:
        """The method of a client; of its class, what takes the client first."""
        if client is None:

            def of_any(client: SyncWire | AsyncWire, /, *args: P.args, **kwargs: P.kwargs) -> Any:
                return client.run_stream(self._flow(client, *args, **kwargs))

            return _named(of_any, self._flow, self._signature)

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.run_stream(self._flow(client, *args, **kwargs))

        return _named(method, self._flow, _bound(self._signature))


def _signature(flow: Callable[..., Any]) -> inspect.Signature:
    """Names, defaults and types of a method as its callers see it."""
    signature = inspect.signature(flow)
    returned = str(signature.return_annotation)
    for name, shown in SHOWN.items():
        returned = re.sub(rf"^{name}\[(.*)\]$", shown, returned)
    return signature.replace(return_annotation=returned)


def _bound(signature: inspect.Signature) -> inspect.Signature:
    """Without the client, which the method has."""
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _named(
    method: Callable[..., Any], flow: Callable[..., Any], signature: inspect.Signature
) -> Callable[..., Any]:
    """Name, documentation and arguments of the flow, for `help` and editors at run time."""
    method.__name__, method.__qualname__ = flow.__name__, flow.__qualname__
    method.__doc__, method.__module__ = flow.__doc__, flow.__module__
    method.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return method
