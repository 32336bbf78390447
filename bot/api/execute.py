"""`/api/execute`: a goal is planned, worked on by agents, merged into one answer and reviewed.

An execution is a run of the workflow `goal` under a name of its own. It does not hang on the call or the
stream that started it. An event of the stream has the id `EXECUTION/SEQ.PART`: what reconnects with it
goes on behind it, in the same execution, and starts nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Query, Request, Response

from bot.api import starting
from bot.api.auth import Caller, CallerOf, needs
from bot.api.core import Core
from bot.api.errors import problems, wrong
from bot.api.execute_models import ExecuteIn, GoalIn, Outcome, read_goal
from bot.api.execute_strategy import WORKERS, Place, Strategy, at_once, machine, settings_for
from bot.api.execute_views import WORKFLOW, about, outcome, sent
from bot.api.sse import HEARTBEAT_S, EventStream, frame
from bot.api.starting import IdempotencyKey, Started
from bot.api.waiting import waited
from orchestrator.engine.fold import apply
from orchestrator.engine.state import RunState
from orchestrator.events import ENDED, RunId, RunSettings
from orchestrator.workflow import Workflow

NAME: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
MAX_GOAL: Final = 4_000  # characters in an address: servers and proxies take no longer ones
DONE: Final = 2  # the part of the last event
_EVENT_ID = re.compile(rf"({NAME[1:-1]})/([0-9]{{1,9}})\.([012])")
ExecutionId = Annotated[str, Path(max_length=36, pattern=NAME, description="`execution.id`")]
EVENTS: Final[dict[str, Any]] = {"text/event-stream": {}}


class Execute:
    """The routes.

    Args:
        core: the bot.
        heartbeat_s: seconds between signs of life in a silent stream.
    """

    def __init__(self, core: Core, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._core = core
        self._heartbeat_s = heartbeat_s

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["execute"])
        router.add_api_route(
            "/api/execute",
            self.execute,
            methods=["POST"],
            operation_id="execute",
            dependencies=[needs("run")],
            summary="Reach a goal",
            response_model=Outcome,
            responses={
                200: {"description": "It ended; `execution.status` says how"},
                202: {
                    "model": Outcome,
                    "description": "It goes on; `GET /api/execute/{id}` shows how far it is",
                },
                **problems(409, 415),
            },
        )
        router.add_api_route(
            "/api/execute/stream",
            self.stream,
            methods=["GET"],
            operation_id="executeStream",
            dependencies=[needs("read")],
            summary="Reach a goal, and look on",
            response_class=Response,
            responses={
                200: {"description": "Server-sent events", "content": EVENTS},
                204: {"description": "It has ended and everything was sent; do not connect again"},
                **problems(404, 409),
            },
        )
        router.add_api_route(
            "/api/execute/{execution_id}",
            self.execution,
            methods=["GET"],
            operation_id="getExecution",
            dependencies=[needs("read")],
            summary="How far an execution is",
            response_model=Outcome,
            responses=problems(404),
        )
        return router

    # ── routes ───────────────────────────────────────────────────────────────────────────────

    async def execute(
        self,
        body: ExecuteIn,
        request: Request,
        response: Response,
        caller: CallerOf,
        idempotency_key: IdempotencyKey = None,
    ) -> Outcome:
        """Start an execution and wait for its end.

        Hanging up does not stop it. After `timeout_s` seconds (600) it answers 202 with how far it is. The
        same `Idempotency-Key` with the same goal and strategy is the same execution again.
        """
        started = await self._start(body.goal, body.strategy, caller, idempotency_key)
        state = await waited(self._core, started.run_id, request, body.timeout_s)
        if state.ended is None:
            response.status_code = 202
            response.headers["Location"] = f"/api/execute/{started.name}"
        return outcome(state, await self._core.definition(state.created.workflow_digest), datetime.now(UTC))

    async def execution(self, execution_id: ExecutionId) -> Outcome:
        """An execution, and its result when it has ended."""
        service = self._core.ready()
        state = await service.state(await starting.find(self._core, "execute", execution_id))
        return outcome(state, await self._core.definition(state.created.workflow_digest), datetime.now(UTC))

    async def stream(
        self,
        caller: CallerOf,
        goal: Annotated[
            str | None,
            Query(
                max_length=MAX_GOAL,
                description="text, or JSON of an object; due unless `id` is given; longer ones by POST",
            ),
        ] = None,
        strategy: Strategy = "simple",
        id: Annotated[
            str | None,
            Query(max_length=36, pattern=NAME, description="look on at this execution; starts nothing"),
        ] = None,
        idempotency_key: Annotated[
            str | None,
            Query(max_length=200, description="the same key with the same goal starts nothing twice"),
        ] = None,
        after: Annotated[
            str | None,
            Query(max_length=200, description="as Last-Event-ID, for pages that open a new EventSource"),
        ] = None,
        last_event_id: Annotated[
            str | None, Header(max_length=200, description="of the last event that came; starts nothing")
        ] = None,
    ) -> Response:
        """Start an execution and look on: `progress`, `update` (`{execution}`), and at the end `done`.

        An EventSource that reconnects sends the id of the last event that it got: it goes on there, whatever
        else its address says, without gaps or doubles, and gets 204 once everything was sent. An
        `idempotency_key` covers the moment before the first event has arrived as well.
        """
        service = self._core.ready()
        behind = last_event_id or after
        if behind:
            name, position = _position(behind)
            run_id = await starting.find(self._core, "execute", name)
            row = await self._core.row(run_id)
            if position[0] > row.seq:
                raise wrong("Last-Event-ID", f"is beyond the log, which has {row.seq} events")
            if row.status in ENDED and position[1] == DONE:
                return Response(status_code=204)  # tells an EventSource to stop coming back
        elif id is not None:
            name, position = id, (0, 0)
            run_id = await starting.find(self._core, "execute", id)
        else:
            if goal is None:
                raise wrong(
                    "goal", "is missing: text, or JSON of an object; or give the `id` of an execution"
                )
            caller.require("run")
            run_id, name, *_ = await self._start(read_goal(goal), strategy, caller, idempotency_key)
            position = (0, 0)
        state = await service.state(run_id)
        workflow = await self._core.definition(state.created.workflow_digest)
        return EventStream(self._frames(run_id, name, workflow, position), heartbeat_s=self._heartbeat_s)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    async def _start(
        self, goal: str | GoalIn, strategy: Strategy, caller: Caller, key: str | None
    ) -> Started:
        parallelism, settings = await self._settings(strategy)
        sent_goal = goal if isinstance(goal, str) else goal.model_dump(mode="json")
        return await starting.start(
            self._core,
            caller,
            "execute",
            name=starting.name_of(caller, key),
            text=goal if isinstance(goal, str) else goal.text(),
            digest=starting.digest_of({"goal": sent_goal, "strategy": strategy}),
            key=key,
            workflow=WORKFLOW,
            settings=settings,
            about=about(goal, strategy, parallelism),
        )

    async def _settings(self, strategy: Strategy) -> tuple[int, RunSettings]:
        service, settings = self._core.ready(), starting.unattended(self._core)
        places: list[Place] = []
        if strategy == "resource_aware":
            for info in service.agents.infos():
                if info.name in WORKERS and info.status != "offline":
                    room = service.agents.room(info.name, settings)
                    limits = [one for one in (room.agent_limit, room.provider_limit) if one is not None]
                    places.append(Place(info.load, min(limits, default=None)))
        parallelism = at_once(strategy, machine(), places)
        thrifty: Mapping[str, str] = {}
        if strategy == "cost_optimize":
            thrifty = await asyncio.to_thread(self._core.thrifty)
        return parallelism, settings_for(strategy, settings, parallelism, thrifty)

    async def _frames(
        self, run_id: RunId, name: str, workflow: Workflow, position: tuple[int, int]
    ) -> AsyncGenerator[bytes, None]:
        """The events of the stream behind a position. What was sent before is made again and not sent."""
        state: RunState | None = None
        async with aclosing(self._core.follow(run_id, 0)) as events:
            async for event in events:
                before, state = state, apply(state, event)
                if event.seq < position[0]:
                    continue
                for one in sent(before, state, event, workflow):
                    if position == (0, 0) or (one.seq, one.part) > position:
                        yield frame(one.content, event=one.event, id=f"{name}/{one.seq}.{one.part}")


def _position(last_event_id: str) -> tuple[str, tuple[int, int]]:
    found = _EVENT_ID.fullmatch(last_event_id)
    if found is None:
        raise wrong("Last-Event-ID", "is none of this stream; send the id of the last event that came")
    return found[1], (int(found[3]), int(found[4]))
