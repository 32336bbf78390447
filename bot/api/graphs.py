"""`/run-graph`, `/status`, `/workflows`: graphs of tasks that callers put together themselves.

A graph is a run like any other: it is started under its `workflow_id`, and seen in `/v1/runs`, on the
console and in the log.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response

from bot.api import starting
from bot.api.auth import CallerOf, may_control, needs
from bot.api.core import Core
from bot.api.errors import problems
from bot.api.graph_definition import planned
from bot.api.graph_kept import Kept, Shown
from bot.api.graph_request import WORKFLOW_ID, GraphIn
from bot.api.graph_roles import Roles, RolesKept
from bot.api.graph_views import GraphDeleted, GraphOut, Status, about
from bot.api.starting import IdempotencyKey
from orchestrator.errors import Refused
from orchestrator.events import ENDED, RunStatus
from orchestrator.service import Service

LOOKED_AT: Final = 2_000  # runs of one call to the list that may be partial, and are not
# Which runs may show so. What was stopped is failed, or partial where something had been completed.
_MAY_BE: Final[dict[Status, tuple[RunStatus, ...]]] = {
    "pending": ("queued",),
    "running": ("running", "waiting", "paused"),
    "completed": ("completed", "failed", "stopped", "rejected", "expired"),
    "failed": ("completed", "failed", "stopped", "rejected", "expired"),
    "partial": ("completed", "failed", "stopped", "rejected", "expired"),
}
WorkflowId = Annotated[
    str, Path(min_length=1, max_length=128, pattern=WORKFLOW_ID, description="as `/run-graph` answered")
]


class Graphs:
    """The routes."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._kept = Kept()
        self._roles = RolesKept()

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["graphs"])
        router.add_api_route(
            "/run-graph",
            self.run,
            methods=["POST"],
            operation_id="runGraph",
            dependencies=[needs("run")],
            summary="Start a graph of tasks",
            response_class=Response,
            responses={200: _answer(GraphOut, "It was started, and goes on"), **problems(409, 415)},
        )
        router.add_api_route(
            "/status/{workflow_id}",
            self.status,
            methods=["GET"],
            operation_id="getGraph",
            dependencies=[needs("read")],
            summary="How far a graph is",
            response_class=Response,
            responses={200: _answer(GraphOut, "The graph"), **problems(404)},
        )
        router.add_api_route(
            "/workflows",
            self.graphs,
            methods=["GET"],
            operation_id="listGraphs",
            dependencies=[needs("read")],
            summary="Graphs, newest first",
            response_class=Response,
            responses={200: _answer(list[GraphOut], "The graphs"), **problems()},
        )
        router.add_api_route(
            "/workflows/{workflow_id}",
            self.delete,
            methods=["DELETE"],
            operation_id="deleteGraph",
            dependencies=[needs("run")],
            summary="Stop a graph and hide it",
            responses=problems(404),
        )
        return router

    async def run(self, body: GraphIn, caller: CallerOf, idempotency_key: IdempotencyKey = None) -> Response:
        """Start the tasks, and answer at once; `GET /status/{workflow_id}` says how far they are.

        A `workflow_id` can be used once. The same `Idempotency-Key` with the same body gives the same graph.
        """
        service = self._core.ready()
        plan = planned(body, self._known(service), self._core.providers)
        started = await starting.start(
            self._core,
            caller,
            "graph",
            name=body.workflow_id or starting.name_of(caller, idempotency_key),
            text=plan.text,
            digest=starting.digest_of(body),
            key=idempotency_key,
            definition=plan.definition,
            parts=plan.parts,
            about=about(body.workflow_type, plan.roles, plan.needs, body.metadata or {}),
        )
        if started.begun:  # what it is now is known, and callers wait for no second look at the database
            return _sent(self._kept.begun(started.run_id, started.begun))
        return _sent(await self._kept.now(service.store, started.run_id))

    def _known(self, service: Service) -> Roles:
        names = service.agents.names()
        found = self._roles.of(names) or self._roles.of(names, service.agents.infos())
        assert found is not None
        return found

    async def status(self, workflow_id: WorkflowId) -> Response:
        """A graph with its tasks, and the results of those that have ended. Asking often costs little."""
        store = self._core.ready().store
        run_id = await starting.find(self._core, "graph", workflow_id)
        return _sent(await self._kept.now(store, run_id))

    async def graphs(
        self,
        status: Status | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 100,
    ) -> Response:
        """Graphs of all callers, without deleted ones, and without forks, which have no `workflow_id`.

        With `status` of graphs that have ended, the newest 2,000 of them are looked at.
        """
        store = self._core.ready().store
        statuses = _MAY_BE[status] if status else ()
        found: list[bytes] = []
        looked, cursor = 0, None
        while len(found) < limit and looked < LOOKED_AT:
            page = await store.entered(
                starting.workspace("graph"), statuses=statuses, limit=100, cursor=cursor
            )
            for row in page.items:
                shown = await self._kept.row(store, row)
                looked += 1
                if shown.named and len(found) < limit and status in (None, shown.status):
                    found.append(shown.body)
            cursor = page.next
            if cursor is None:
                break
        return Response(b"[" + b",".join(found) + b"]", media_type="application/json")

    async def delete(self, workflow_id: WorkflowId, caller: CallerOf) -> GraphDeleted:
        """Stop a graph that is not done, and forget it for these routes; its log stays, as of every run.

        Its `workflow_id` is not free again.
        """
        service = self._core.ready()
        run_id = await starting.find(self._core, "graph", workflow_id)
        row = await self._core.row(run_id)
        may_control(self._core, caller, row.who)
        stopped = row.status not in ENDED
        if stopped:
            try:
                await service.stop(run_id, who=caller.who, reason="deleted")
            except Refused:  # it ended at this moment
                stopped = False
        await service.store.hide(run_id)
        return GraphDeleted(message=f"Workflow {workflow_id} was {'stopped and ' if stopped else ''}deleted.")


def _answer(model: Any, description: str) -> dict[str, Any]:
    return {"model": model, "description": description}


def _sent(shown: Shown) -> Response:
    return Response(shown.body, media_type="application/json")
