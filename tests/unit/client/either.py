"""One test for both clients: calls a method of `Quartet` in a thread, or of `AsyncQuartet` in the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

import pytest

from quartet_client import AsyncQuartet, Quartet

Kind = Literal["sync", "async"]
both = pytest.mark.parametrize("kind", ["sync", "async"])


class Either:
    """A client of either kind."""

    def __init__(self, client: Quartet | AsyncQuartet) -> None:
        self.client = client

    async def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The result of a method."""
        async with asyncio.timeout(60):
            method = getattr(self.client, name)
            if isinstance(self.client, AsyncQuartet):
                return await method(*args, **kwargs)
            return await asyncio.to_thread(method, *args, **kwargs)

    async def items(self, name: str, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        """The items of a stream, as they come."""
        stream = getattr(self.client, name)(*args, **kwargs)
        if isinstance(self.client, AsyncQuartet):
            async with aclosing(stream):
                async for item in stream:
                    yield item
            return
        nothing = object()
        try:
            while (item := await asyncio.to_thread(next, stream, nothing)) is not nothing:
                yield item
        finally:
            await asyncio.to_thread(stream.close)

    async def all(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """The items of a stream, when it has ended."""
        async with asyncio.timeout(60):
            return [item async for item in self.items(name, *args, **kwargs)]


@asynccontextmanager
async def either(kind: Kind, url: str, api_key: str = "", **options: Any) -> AsyncGenerator[Either]:
    """A client of a kind; closed in the end."""
    if kind == "async":
        async with AsyncQuartet(url, api_key, **options) as client:
            yield Either(client)
        return
    waiting = Quartet(url, api_key, **options)
    try:
        yield Either(waiting)
    finally:
        await asyncio.to_thread(waiting.close)
