"""What the HTTP routes know of the bot. Filled step by step, so that `/health` answers first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from adapters.contract import Person
from bot.api.entries import Doing, Ended
from bot.api.errors import ProblemError
from bot.api.feeds import Feeds
from bot.api.newest import Newest
from bot.channel_settings import ChannelPolicy
from bot.door import COME_AGAIN, STARTING
from orchestrator.errors import NotFound
from orchestrator.events import RunEvent, RunId
from orchestrator.ports import RunRow
from orchestrator.service import Service
from orchestrator.workflow import Workflow

if TYPE_CHECKING:
    from bot.own_keys import OwnKeys
    from bot.webhooks.book import WebhookBook

DEFINITIONS: Final = 128  # kept; graphs of callers are not asked for by their definition


class Component(BaseModel):
    """How one part of the bot is."""

    status: Literal["healthy", "degraded", "starting", "down"] = Field(
        description="anything but `healthy` makes the whole degraded"
    )
    detail: str = Field(default="", description="what is wrong and what to do, for people")


def _nothing() -> Mapping[str, Component]:
    return {}


def _no_models() -> Mapping[str, str]:
    return {}


def _starting() -> ProblemError:
    return ProblemError(503, STARTING, headers=COME_AGAIN)


@dataclass(slots=True)
class Core:
    """The bot, as the routes see it. The composition root sets the fields when each is there.

    Until `service` is set every route but `/health` answers 503 with `Retry-After`.
    """

    service: Service | None = None
    policy: ChannelPolicy = field(default_factory=ChannelPolicy)  # of turns that come over HTTP
    components: Callable[[], Mapping[str, Component]] = _nothing  # adapters and the like, by name
    cookie_person: Callable[[HTTPConnection], Awaitable[Person | None]] | None = None  # signed in on the page
    providers: tuple[str, ...] = ()  # of models, the preferred one first; (): all agents work by rules
    thrifty: Callable[[], Mapping[str, str]] = _no_models  # the cheapest model, by agent; slow: in a thread
    own_keys: OwnKeys | None = None  # keeps the keys that sessions bring; None: they cannot bring any
    webhooks: WebhookBook | None = None  # None: the bot is still starting
    closing: asyncio.Event = field(default_factory=asyncio.Event)  # set: streams and waiting calls end
    measured_to: int | None = None  # place in the log up to which metrics counted; None: nothing yet
    feeds: Feeds = field(init=False)  # logs that clients follow
    _definitions: Newest[str, Workflow] = field(init=False)  # by digest: they never change

    def __post_init__(self) -> None:
        self.feeds = Feeds(self.closing)
        self._definitions = Newest(DEFINITIONS)

    def ready(self) -> Service:
        """The service.

        Raises:
            ProblemError: 503, the bot is still starting.
        """
        if self.service is None:
            raise _starting()
        return self.service

    def book(self) -> WebhookBook:
        """The webhooks.

        Raises:
            ProblemError: 503, the bot is still starting.
        """
        if self.service is None or self.webhooks is None:
            raise _starting()
        return self.webhooks

    async def row(self, run_id: str) -> RunRow:
        """A run as lists have it.

        Raises:
            NotFound: no such run.
        """
        row = await self.ready().store.run(RunId(run_id))
        if row is None:
            raise NotFound(f"there is no run {run_id[:40]!r}; GET /v1/runs lists them")
        return row

    async def definition(self, digest: str) -> Workflow:
        """The definition that a run keeps: `RunCreated.workflow_digest`.

        Raises:
            NotFound: none was kept under it.
        """
        found = self._definitions.get(digest)
        if found is None:
            found = Workflow.model_validate(await self.ready().store.definition(digest))
            self._definitions.keep(digest, found)
        return found

    async def follow(self, run_id: RunId, after: int, *ends: asyncio.Event) -> AsyncGenerator[RunEvent, None]:
        """The events with `seq > after`: those there are, then live, until the run has ended.

        It also ends when the server closes or one of `ends` is set. However many follow a run, its log
        is read once.

        Raises:
            NotFound: no such run.
            UnknownEvent: the log holds something this program cannot read.
        """
        async with aclosing(self.feeds.follow(self.ready(), run_id, after, *ends)) as batches:
            async for batch in batches:
                if not isinstance(batch, Doing | Ended):
                    for entry in batch:
                        yield entry.event

    async def live(
        self, run_id: RunId, after: int, *ends: asyncio.Event
    ) -> AsyncGenerator[RunEvent | Doing, None]:
        """The same, and in between what agents do now (`Doing`), which may be lost."""
        async with aclosing(self.feeds.follow(self.ready(), run_id, after, *ends, doing=True)) as batches:
            async for batch in batches:
                if isinstance(batch, Doing):
                    yield batch
                elif not isinstance(batch, Ended):
                    for entry in batch:
                        yield entry.event
