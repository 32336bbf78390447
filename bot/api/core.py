"""What the HTTP routes know of the bot. Filled step by step, so that `/health` answers first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from adapters.contract import Person
from bot.api.errors import ProblemError
from bot.channel_settings import ChannelPolicy
from orchestrator.events import RunEvent, RunId
from orchestrator.service import Service

T = TypeVar("T")


class Component(BaseModel):
    """How one part of the bot is."""

    status: Literal["healthy", "degraded", "starting", "down"] = Field(
        description="anything but `healthy` makes the whole degraded"
    )
    detail: str = Field(default="", description="what is wrong and what to do, for people")


def _nothing() -> Mapping[str, Component]:
    return {}


@dataclass(slots=True)
class Core:
    """The bot, as the routes see it. The composition root sets the fields when each is there.

    Until `service` is set every route but `/health` answers 503 with `Retry-After`.
    """

    service: Service | None = None
    policy: ChannelPolicy = field(default_factory=ChannelPolicy)  # of turns that come over HTTP
    components: Callable[[], Mapping[str, Component]] = _nothing  # adapters and the like, by name
    cookie_person: Callable[[HTTPConnection], Awaitable[Person | None]] | None = None  # signed in on the page
    closing: asyncio.Event = field(default_factory=asyncio.Event)  # set: streams and waiting calls end

    def ready(self) -> Service:
        """The service.

        Raises:
            ProblemError: 503, the bot is still starting.
        """
        if self.service is None:
            raise ProblemError(
                503, "The bot is starting; try again in a second.", headers={"Retry-After": "1"}
            )
        return self.service

    async def follow(self, run_id: RunId, after: int, *ends: asyncio.Event) -> AsyncGenerator[RunEvent, None]:
        """`Service.follow`, which also ends when the server closes or one of `ends` is set."""
        live = cast("AsyncGenerator[RunEvent, None]", self.ready().follow(run_id, after=after))
        async with aclosing(live), aclosing(_until(live, self.closing, *ends)) as events:
            async for event in events:
                yield event


async def _until(stream: AsyncIterator[T], *ends: asyncio.Event) -> AsyncGenerator[T, None]:
    """The items of a stream, until it ends or one of the events is set."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(end.wait()) for end in ends]
    try:
        while True:
            following = asyncio.create_task(_next(stream))
            tasks[len(ends) :] = [following]  # cancelled with the others, whatever happens
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                return
            try:
                item = following.result()
            except _End:
                return
            yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _End(Exception):
    """The stream is over; a task cannot raise StopAsyncIteration."""


async def _next(stream: AsyncIterator[T]) -> T:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise _End from None
