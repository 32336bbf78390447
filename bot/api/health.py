"""`GET /health`: whether the bot can take turns. Needs no key, and answers before all else is there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from bot.api.core import Component, Core
from bot.door import LOADING
from orchestrator.ports import Store

SOON_S = 0.02  # the store is waited for so long, where it is known how it was a moment ago
KNOWN_S = 1.0  # such a moment
STORE_S = 2.0  # a store that does not answer within this time is down


class Health(BaseModel):
    """How the bot is."""

    status: Literal["healthy", "degraded"]
    active_workflows: int = Field(description="runs that agents work on now")
    timestamp: datetime = Field(description="aware, UTC")
    components: dict[str, Component]


class HealthRoute:
    """The route."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._store = _Store()

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["health"])
        router.add_api_route(
            "/health",
            self.health,
            methods=["GET"],
            operation_id="getHealth",
            summary="How the bot is",
            response_model=Health,
            responses={503: {"model": Health, "description": "It cannot take turns"}},
        )
        return router

    async def health(self, response: Response) -> Health:
        """503 when no turn can be taken; degraded when a part is missing, such as a chat platform."""
        service = self._core.service
        active = 0
        if service is None:
            store = Component(status="starting", detail=LOADING)
        else:
            store, active = await self._store.look(service.store)
        components = {"store": store, **self._core.components()}
        healthy = all(part.status == "healthy" for part in components.values())
        if store.status != "healthy":
            response.status_code = 503
            response.headers["Retry-After"] = "1"
        response.headers["Cache-Control"] = "no-store"
        return Health(
            status="healthy" if healthy else "degraded",
            active_workflows=active,
            timestamp=datetime.now(UTC),
            components=components,
        )


class _Store:
    """How the store is: one question at a time, however many ask."""

    def __init__(self) -> None:
        self._asking: asyncio.Task[tuple[Component, int]] | None = None
        self._known: tuple[Component, int] | None = None
        self._known_at = 0.0  # the loop's time

    async def look(self, store: Store) -> tuple[Component, int]:
        """How it is, and how many runs are at work."""
        now = asyncio.get_running_loop().time()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(_look(store), name="health")
            self._asking.add_done_callback(self._note)
        if self._known is not None and now - self._known_at < KNOWN_S:
            # Under load the database answers in its time; what it said just now tells enough.
            await asyncio.wait([self._asking], timeout=SOON_S)
            if not self._asking.done():
                return self._known
        return await asyncio.shield(self._asking)

    def _note(self, asking: asyncio.Task[tuple[Component, int]]) -> None:
        if not asking.cancelled():
            self._known, self._known_at = asking.result(), asyncio.get_running_loop().time()


async def _look(store: Store) -> tuple[Component, int]:
    try:
        async with asyncio.timeout(STORE_S):
            active = await store.count("running")
    except TimeoutError:
        return Component(status="down", detail=f"the database does not answer within {STORE_S:g} s"), 0
    except Exception as error:  # whatever the database's library raises
        return Component(status="down", detail=f"the database fails: {type(error).__name__}"), 0
    return Component(status="healthy"), active
