"""`/v1/runs`: lists, one run, its log as a stream, and control."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from bot.api.auth import Caller, CallerOf, needs
from bot.api.core import Core
from bot.api.errors import ProblemError, problems, wrong
from bot.api.views import RunDetail, RunList, RunView, run_detail, run_view, unreadable_run
from bot.permissions import may_stop
from orchestrator.errors import NotFound, Refused, UnknownEvent
from orchestrator.events import ENDED, RunEvent, RunId, RunStatus
from orchestrator.ports import RunRow
from orchestrator.service import Service

HEARTBEAT_S: Final = 15
KEPT: Final = 512  # views of ended runs kept for lists; they do not change any more
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before")]


class Runs:
    """The routes.

    Args:
        core: the bot.
        heartbeat_s: seconds between signs of life in a silent stream.
    """

    def __init__(self, core: Core, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._core = core
        self._heartbeat_s = heartbeat_s
        self._ended: OrderedDict[RunId, RunView] = OrderedDict()

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["runs"])
        router.add_api_route(
            "/v1/runs",
            self.runs,
            methods=["GET"],
            dependencies=[needs("read")],
            summary="Runs, newest first",
            responses=problems(),
        )
        router.add_api_route(
            "/v1/runs/{run_id}",
            self.run,
            methods=["GET"],
            dependencies=[needs("read")],
            summary="One run",
            responses=problems(404),
        )
        router.add_api_route(
            "/v1/runs/{run_id}/events",
            self.events,
            methods=["GET"],
            dependencies=[needs("read")],
            summary="The log of a run, live",
            response_class=Response,
            responses={
                200: {"description": "Server-sent events", "content": {"text/event-stream": {}}},
                204: {"description": "The run has ended and everything was sent; do not connect again"},
                **problems(404),
            },
        )
        for path, route, summary in (
            ("stop", self.stop, "End a run now"),
            ("pause", self.pause, "Start no new steps"),
            ("resume", self.resume, "Go on"),
        ):
            router.add_api_route(
                f"/v1/runs/{{run_id}}/{path}",
                route,
                methods=["POST"],
                dependencies=[needs("run")],
                summary=summary,
                responses=problems(404, 409),
            )
        return router

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def runs(
        self,
        status: RunStatus | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Cursor = None,
    ) -> RunList:
        """Runs of every conversation, newest first."""
        service = self._core.ready()
        try:
            page = await service.store.runs(status=status, limit=limit, cursor=cursor)
        except Refused as error:
            raise wrong("cursor", str(error)) from error
        return RunList(items=[await self._view(service, row) for row in page.items], next=page.next)

    async def _view(self, service: Service, row: RunRow) -> RunView:
        kept = self._ended.get(row.id)
        if kept is not None:
            self._ended.move_to_end(row.id)
            return kept
        try:
            view = run_view(await service.state(row.id))
        except UnknownEvent as error:
            return unreadable_run(row, str(error))
        if view.status in ENDED:
            self._ended[row.id] = view
            while len(self._ended) > KEPT:
                self._ended.popitem(last=False)
        return view

    async def run(self, run_id: str) -> RunDetail:
        """A run with its steps and its answer."""
        service = self._core.ready()
        return run_detail(await service.state((await _row(service, run_id)).id))

    async def events(
        self,
        run_id: str,
        after: Annotated[int | None, Query(ge=0, description="as Last-Event-ID")] = None,
        last_event_id: Annotated[int | None, Header(ge=0)] = None,
    ) -> Response:
        """Every event of the log: those there are, then live; at the end one `end` without an id.

        `id` is the event's number. `Last-Event-ID` (or `?after=`) resumes behind it, without gaps or
        doubles.
        """
        service = self._core.ready()
        row = await _row(service, run_id)
        start = last_event_id if last_event_id is not None else after or 0
        if start > row.seq:
            raise wrong("Last-Event-ID", f"is beyond the log, which has {row.seq} events")
        if row.status in ENDED and start == row.seq:
            return Response(status_code=204)  # tells an EventSource to stop coming back
        return EventSourceResponse(
            self._stream(service, row.id, start),
            ping=self._heartbeat_s,
            sep="\n",
            headers={"Cache-Control": "no-cache, no-transform"},
        )

    async def _stream(self, service: Service, run_id: RunId, after: int) -> AsyncIterator[ServerSentEvent]:
        async with aclosing(self._core.follow(run_id, after)) as events:
            async for event in events:
                yield _sent(event)
        row = await service.store.run(run_id)
        if row is not None and row.status in ENDED:  # otherwise the server closes: the client comes back
            yield ServerSentEvent(event="end", data=json.dumps({"status": row.status}))

    # ── control ──────────────────────────────────────────────────────────────────────────────

    async def stop(self, run_id: str, caller: CallerOf) -> RunView:
        """End a run. Model and tool calls in flight are cut off within two seconds."""
        service = await self._allowed(run_id, caller)
        await service.stop(RunId(run_id), who=caller.who)
        return run_view(await service.state(RunId(run_id)))

    async def pause(self, run_id: str, caller: CallerOf) -> RunView:
        """Start no new steps; those at work end."""
        service = await self._allowed(run_id, caller)
        await service.pause(RunId(run_id), who=caller.who)
        return run_view(await service.state(RunId(run_id)))

    async def resume(self, run_id: str, caller: CallerOf) -> RunView:
        """Go on after a pause."""
        service = await self._allowed(run_id, caller)
        await service.resume(RunId(run_id), who=caller.who)
        return run_view(await service.state(RunId(run_id)))

    async def _allowed(self, run_id: str, caller: Caller) -> Service:
        service = self._core.ready()
        row = await _row(service, run_id)
        allowed = may_stop(self._core.policy, caller.actor, requester=row.who)
        if not allowed.ok:
            raise ProblemError(403, allowed.reason)
        return service


async def _row(service: Service, run_id: str) -> RunRow:
    row = await service.store.run(RunId(run_id))
    if row is None:
        raise NotFound(f"there is no run {run_id[:40]!r}; GET /v1/runs lists them")
    return row


def _sent(event: RunEvent) -> ServerSentEvent:
    content = {
        "run_id": event.run_id,
        "seq": event.seq,
        "at": event.at.isoformat(),
        "type": event.body.type,
        "body": event.body.model_dump(mode="json"),
    }
    # ASCII only: no character of an event may look like a line break to a client.
    return ServerSentEvent(id=str(event.seq), event=event.body.type, data=json.dumps(content))
