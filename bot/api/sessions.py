"""`/api/start-task`, `/api/reply`, `/api/sessions…`: a team works on a task, people watch and answer.

A session is a run of the workflow `team` whose approvals are automatic; what it asks waits for a reply.
The socket is in `session_socket.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Query

from bot.api import starting
from bot.api.auth import Caller, CallerOf, may_control, needs
from bot.api.core import Core
from bot.api.errors import ProblemError, problems, wrong
from bot.api.newest import Newest
from bot.api.session_log import entries, status_of, waiting
from bot.api.session_models import (
    FAMILY,
    EntryOut,
    ReplyIn,
    SentOut,
    SessionOut,
    StartedOut,
    StopOut,
    TaskIn,
    wished,
)
from bot.api.session_socket import SessionSockets
from bot.permissions import may_decide
from config.errors import ConfigError
from orchestrator.engine.state import RunState
from orchestrator.errors import Refused, UnknownEvent
from orchestrator.events import ENDED, ApprovalRequested, DecisionKind, RunId, RunSettings
from orchestrator.service import Service

TEAM: Final = "team"  # the workflow
KEPT: Final = 512  # views of ended sessions kept for lists; they do not change any more
YES: Final = frozenset({"approve", "approved", "yes", "y", "ok", "okay", "go", "continue", "proceed"})
NO: Final = frozenset({"reject", "rejected", "no", "n", "cancel", "decline"})


@contextmanager
def _lasting(session_id: str) -> Generator[None]:
    """Say of the session, not of its run, that it has ended."""
    try:
        yield
    except Refused as error:
        said = f"session {session_id[:100]!r} has ended; POST /api/start-task starts another one"
        raise ProblemError(409, said) from error


class Sessions:
    """The routes."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._sockets = SessionSockets(core)
        self._ended: Newest[RunId, SessionOut] = Newest(KEPT)

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["sessions"])
        router.add_api_route(
            "/api/start-task",
            self.start,
            methods=["POST"],
            dependencies=[needs("run")],
            operation_id="startTask",
            summary="Put a team to work on a task",
            responses=problems(404, 409, 415),
        )
        router.add_api_route(
            "/api/reply",
            self.reply,
            methods=["POST"],
            dependencies=[needs("run")],
            operation_id="replyToSession",
            summary="Answer a session's question, or say something to the team at work",
            responses=problems(404, 409, 415),
        )
        router.add_api_route(
            "/api/stop-task/{session_id}",
            self.stop,
            methods=["POST"],
            dependencies=[needs("run")],
            operation_id="stopTask",
            summary="End a session now",
            responses=problems(404, 409),
        )
        router.add_api_route(
            "/api/sessions",
            self.sessions,
            methods=["GET"],
            dependencies=[needs("read")],
            operation_id="listSessions",
            summary="Sessions, newest first",
            responses=problems(),
        )
        router.add_api_route(
            "/api/sessions/{session_id}",
            self.session,
            methods=["GET"],
            dependencies=[needs("read")],
            operation_id="getSession",
            summary="One session",
            responses=problems(404),
        )
        router.add_api_route(
            "/api/sessions/{session_id}/logs",
            self.logs,
            methods=["GET"],
            dependencies=[needs("read")],
            operation_id="getSessionLogs",
            summary="What was said and done so far",
            responses=problems(404),
        )
        router.add_api_websocket_route("/ws/{session_id}", self._sockets.follow, dependencies=[needs("read")])
        return router

    # ── starting ─────────────────────────────────────────────────────────────────────────────

    async def start(
        self, body: TaskIn, caller: CallerOf, idempotency_key: starting.IdempotencyKey = None
    ) -> StartedOut:
        """Put a team together for a task and let it work; it does not hang on this call.

        Keys that come with it are used for this session alone, never shown, and deleted when it ends.
        """
        service = self._core.ready()
        keeper = self._core.own_keys
        if (body.api_key or body.tavily_key) and keeper is None:
            raise wrong("api_key" if body.api_key else "tavily_key", "this server takes no keys with a task")
        reference = wished(
            body.model or "",
            body.provider or "",
            brings_key=bool(body.api_key),
            bots=keeper.providers if keeper is not None else {},
        )
        name = starting.name_of(caller, idempotency_key)
        turn_key = starting.turn_key(FAMILY, name)
        settings = self._settings(service, reference)
        # The digest is kept with the run: nothing secret may be in it.
        digest = starting.digest_of(body.model_dump(mode="json", exclude={"api_key", "tavily_key"}))
        kept = await self._keep(service, turn_key, body, reference)
        if body.api_key or body.tavily_key:
            settings = settings.model_copy(update={"own_keys": turn_key})
        try:
            started = await starting.start(
                self._core,
                caller,
                FAMILY,
                name=name,
                text=body.task,
                digest=digest,
                key=idempotency_key,
                workflow=TEAM,
                inputs={"approve_team": "auto"},
                settings=settings,
                instruction=body.system_message or "",
                about={"model": reference or (keeper.default if keeper is not None else "")},
                engine="models" if body.api_key else None,
            )
        except BaseException:
            if kept and keeper is not None and await service.store.known(turn_key) is None:
                await keeper.drop(turn_key)
            raise
        return StartedOut(session_id=started.name)

    async def _keep(self, service: Service, turn_key: str, body: TaskIn, reference: str) -> bool:
        """Keep the keys before the run begins: it may need them at once. Whether they were kept now."""
        keeper = self._core.own_keys
        if keeper is None or not (body.api_key or body.tavily_key):
            return False
        if await service.store.known(turn_key) is not None:
            return False  # the call came before: its run has its keys, or has ended
        from bot.own_keys import Brought

        brought = Brought(reference if body.api_key else "", body.api_key or "", body.tavily_key or "")
        try:
            return await keeper.keep(turn_key, brought)
        except ConfigError as error:
            raise ProblemError(503, f"Keys cannot be kept: {' '.join(str(error).split())}") from None

    def _settings(self, service: Service, reference: str) -> RunSettings:
        settings = self._core.policy.to_run_settings()
        models = settings.models
        if reference:  # one model for all whom models play, whatever their files say
            models = {info.name: reference for info in service.agents.infos() if info.origin == "file"}
        return settings.model_copy(
            update={
                "approvals": "auto",
                "asks": "people",
                "approvers": (),  # whoever may reply to the session may answer it
                "allow_requester": True,
                "models": models,
            }
        )

    # ── control ──────────────────────────────────────────────────────────────────────────────

    async def reply(
        self, body: ReplyIn, caller: CallerOf, idempotency_key: starting.IdempotencyKey = None
    ) -> SentOut:
        """Answer the question that the session waits with; while it works, hand the message to the team.

        Of two replies to one question the first is the answer, and the other one goes to the team at
        work. After the session's end it is 409. A question that is to be decided takes a key with a name and
        the scope `approve`.
        """
        state = await self._mine(body.session_id, caller)
        service = self._core.ready()
        starting.check_key(idempotency_key)
        said = uuid.uuid4().hex if idempotency_key is None else f"{caller.who.key}:{idempotency_key}"
        key = f"{starting.conversation(FAMILY, body.session_id)}reply:{said}"
        if idempotency_key is not None and await service.store.known(key) is not None:
            return SentOut()
        asked = waiting(state)
        if asked is not None and await self._answered(service, state, asked, body.message, caller, key):
            return SentOut()
        with _lasting(body.session_id):
            await service.steer(state.run_id, key=key, text=body.message, who=caller.who)
        return SentOut()

    async def _answered(
        self,
        service: Service,
        state: RunState,
        asked: ApprovalRequested,
        message: str,
        caller: Caller,
        key: str,
    ) -> bool:
        """Whether the message is what counts as the answer.

        Raises:
            ProblemError: 403; to decide takes as much here as at `/v1/approvals`.
        """
        if asked.wants == "decision":
            caller.require("approve")
            caller.require_name()
        allowed = may_decide(asked, caller.actor, requester=state.created.turn.who.key)
        if not allowed.ok:
            raise ProblemError(403, allowed.reason)
        decision: DecisionKind = "edit"
        comment, edited = "", None
        if asked.wants == "text":
            edited = {"text": message.strip()}
        else:
            decision, comment = await self._decision(state, asked, message)
        decided = await service.decide(
            asked.approval_id,
            decision=decision,
            who=caller.who,
            groups=caller.actor.groups,
            comment=comment,
            edited=edited,
            key=key,
        )
        given = decided.approval.decision
        return decided.counted or (given is not None and given.key == key)

    async def _decision(
        self, state: RunState, asked: ApprovalRequested, message: str
    ) -> tuple[DecisionKind, str]:
        word = message.strip().strip(".!").casefold()
        if word in YES:
            return "approve", ""
        if word in NO:
            return "reject", ""
        workflow = await self._core.definition(state.created.workflow_digest)
        if any(edge.on == "changes" for edge in workflow.outgoing.get(asked.node, ())):
            return "changes", message.strip()[:4_000]
        raise wrong("message", "this is asked to be decided: reply `approve` or `reject`")

    async def stop(self, session_id: str, caller: CallerOf) -> StopOut:
        """End a session now, whatever it does. What is under way is cut off within two seconds."""
        state = await self._mine(session_id, caller)
        with _lasting(session_id):
            await self._core.ready().stop(state.run_id, who=caller.who)
        return StopOut()

    async def _mine(self, session_id: str, caller: Caller) -> RunState:
        """The state of a session that this caller may steer.

        Raises:
            NotFound: no such session.
            ProblemError: 403.
        """
        run_id = await starting.find(self._core, FAMILY, session_id)
        state = await self._core.ready().state(run_id)
        may_control(self._core, caller, state.created.turn.who.key)
        return state

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def sessions(self, limit: Annotated[int, Query(ge=1, le=100)] = 100) -> list[SessionOut]:
        """The newest sessions of everybody."""
        service = self._core.ready()
        page = await service.store.entered(starting.workspace(FAMILY), limit=limit)
        found: list[SessionOut] = []
        for row in page.items:
            view = self._ended.get(row.id)
            if view is None:
                try:
                    state = await service.state(row.id)
                except UnknownEvent:
                    continue  # of a newer version; `GET /v1/runs` says so
                if not starting.is_named(FAMILY, state.created):
                    continue  # a fork: a run, and no session of its own
                view = self._view(starting.name_in(FAMILY, row.conversation_id), state)
            found.append(view)
        return found

    async def session(self, session_id: str) -> SessionOut:
        """One session."""
        run_id = await starting.find(self._core, FAMILY, session_id)
        return self._view(session_id, await self._core.ready().state(run_id))

    async def logs(self, session_id: str) -> list[EntryOut]:
        """The session's log, oldest first; replies of people stand there as `User: …`."""
        service = self._core.ready()
        run_id = await starting.find(self._core, FAMILY, session_id)
        state = await service.state(run_id)
        workflow = await self._core.definition(state.created.workflow_digest)
        found = entries(workflow, await service.store.events(run_id))
        return [EntryOut(id=e.id, type=e.type, content=e.content, timestamp=e.at) for e in found]

    def _view(self, name: str, state: RunState) -> SessionOut:
        turn = state.created.turn
        about = turn.call.about if turn.call is not None else {}
        view = SessionOut(
            id=name,
            task=turn.text,
            model=str(about.get("model") or state.created.engine),
            created_at=state.created_at.timestamp(),
            status=status_of(state),
        )
        if state.status in ENDED:
            self._ended.keep(state.run_id, view)
        return view
