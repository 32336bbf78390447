"""`/v1/runs`: lists, one run, its log as a stream, control, and forks."""

from __future__ import annotations

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from bot.api.auth import Caller, CallerOf, may_control, needs
from bot.api.core import Core
from bot.api.errors import problems, wrong
from bot.api.json_values import JsonObject, Text
from bot.api.newest import Newest
from bot.api.paging import Cursor, Limit
from bot.api.run_stream import RunStream
from bot.api.sse import HEARTBEAT_S
from bot.api.starting import IdempotencyKey, check_key, digest_of, other_body
from bot.api.views import RunDetail, RunList, RunView, run_detail, run_view, unreadable_run
from orchestrator.errors import Refused, UnknownEvent
from orchestrator.events import ENDED, ApiCall, RunId, RunStatus
from orchestrator.inputs import checked
from orchestrator.ports import RunRow
from orchestrator.service import Service

KEPT: Final = 512  # views of ended runs kept for lists; they do not change any more


class ForkRequest(BaseModel):
    """Where a run is begun anew."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"from_step": "builder"}]})

    from_step: Text = Field(
        min_length=1, max_length=200, description="a step of the run; what came before it is shared"
    )
    inputs: JsonObject | None = Field(
        default=None, description="of the workflow: those that change; null: none"
    )


class Runs:
    """The routes.

    Args:
        core: the bot.
        heartbeat_s: seconds between signs of life in a silent stream.
    """

    def __init__(self, core: Core, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._core = core
        self._heartbeat_s = heartbeat_s
        self._ended: Newest[RunId, RunView] = Newest(KEPT)

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["runs"])
        router.add_api_route(
            "/v1/runs",
            self.runs,
            methods=["GET"],
            operation_id="listRuns",
            dependencies=[needs("read")],
            summary="Runs, newest first",
            responses=problems(),
        )
        router.add_api_route(
            "/v1/runs/{run_id}",
            self.run,
            methods=["GET"],
            operation_id="getRun",
            dependencies=[needs("read")],
            summary="One run",
            responses=problems(404),
        )
        router.add_api_route(
            "/v1/runs/{run_id}/events",
            self.events,
            methods=["GET"],
            operation_id="streamRunEvents",
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
                operation_id=f"{path}Run",
                dependencies=[needs("run")],
                summary=summary,
                responses=problems(404, 409),
            )
        router.add_api_route(
            "/v1/runs/{run_id}/fork",
            self.fork,
            methods=["POST"],
            operation_id="forkRun",
            status_code=201,
            dependencies=[needs("run")],
            summary="Begin a run anew from a step on",
            responses={
                200: {"model": RunView, "description": "This very call came before; the run it made"},
                201: {"description": "A new run"},
                **problems(404, 409, 415),
            },
        )
        return router

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def runs(
        self,
        status: RunStatus | None = None,
        limit: Limit = 20,
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
            return kept
        try:
            view = run_view(await service.state(row.id))
        except UnknownEvent as error:
            return unreadable_run(row, str(error))
        if view.status in ENDED:
            self._ended.keep(row.id, view)
        return view

    async def run(self, run_id: str) -> RunDetail:
        """A run with its steps and its answer."""
        service = self._core.ready()
        return run_detail(await service.state((await self._core.row(run_id)).id))

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
        row = await self._core.row(run_id)
        start = last_event_id if last_event_id is not None else after or 0
        if start > row.seq:
            raise wrong("Last-Event-ID", f"is beyond the log, which has {row.seq} events")
        if row.status in ENDED and start == row.seq:
            return Response(status_code=204)  # tells an EventSource to stop coming back
        return RunStream(self._core, row.id, start, heartbeat_s=self._heartbeat_s)

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

    async def fork(
        self,
        run_id: str,
        body: ForkRequest,
        response: Response,
        caller: CallerOf,
        idempotency_key: IdempotencyKey = None,
    ) -> RunView:
        """Begin a run that shares another one's past up to a step, with changed inputs where given.

        The other run stays as it is, and may have ended or not. The new one is another turn of the same
        conversation; who may stop the one may fork it. The same `Idempotency-Key` again gives the same run.
        """
        service = self._core.ready()
        check_key(idempotency_key)
        row = await self._core.row(run_id)
        may_control(self._core, caller, row.who)
        state = await service.state(row.id)
        if body.from_step not in state.nodes:
            there = ", ".join(dict.fromkeys(step.node for step in state.steps)) or "none yet"
            raise wrong("from_step", f"the run has no step {body.from_step[:100]!r}; it has: {there[:500]}")
        if body.inputs:
            definition = await self._core.definition(state.created.workflow_digest)
            try:
                checked(definition, {**state.created.inputs, **body.inputs})
            except Refused as error:
                raise wrong("inputs", str(error)) from error
        digest = digest_of({"fork": run_id, **body.model_dump(mode="json")})
        about = state.created.turn.call.about if state.created.turn.call else {}
        accepted = await service.fork(
            state.run_id,
            body.from_step,
            key=f"api:fork:{caller.who.key}:{idempotency_key or uuid.uuid4().hex}",
            who=caller.who,
            inputs=body.inputs,
            call=ApiCall(key=idempotency_key or "", digest=digest, about=about),
        )
        forked = await service.state(accepted.run_id)
        if accepted.duplicate:
            if forked.created.turn.call is None or forked.created.turn.call.digest != digest:
                raise other_body()
            response.status_code = 200
        response.headers["Location"] = f"/v1/runs/{accepted.run_id}"
        return run_view(forked)

    async def _allowed(self, run_id: str, caller: Caller) -> Service:
        service = self._core.ready()
        may_control(self._core, caller, (await self._core.row(run_id)).who)
        return service
