"""`GET /health`: whether the bot can take turns. Needs no key, and answers before all else is there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from bot.api.core import Component, Core
from orchestrator.ports import Store

STORE_S = 2.0  # a store that does not answer within this time is down
PAGES = 10  # of running runs that are counted; more than 1,000 at once are not expected in one process


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

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["health"])
        router.add_api_route(
            "/health",
            self.health,
            methods=["GET"],
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
            store = Component(status="starting", detail="the bot is starting; ask again in a second")
        else:
            store, active = await _store(service.store)
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


async def _store(store: Store) -> tuple[Component, int]:
    active, cursor = 0, None
    try:
        async with asyncio.timeout(STORE_S):
            for _ in range(PAGES):
                page = await store.runs(status="running", limit=100, cursor=cursor)
                active += len(page.items)
                cursor = page.next
                if cursor is None:
                    break
    except TimeoutError:
        return Component(status="down", detail=f"the database does not answer within {STORE_S:g} s"), 0
    except Exception as error:  # whatever the database's library raises
        return Component(status="down", detail=f"the database fails: {type(error).__name__}"), 0
    return Component(status="healthy"), active
