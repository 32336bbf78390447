"""`POST /v1/chat` and `WS /v1/chat/stream`: one turn, and its answer at once or agent by agent.

The run does not hang on the call: who hangs up, or waits too long, finds it under its id, or by
calling again with the same idempotency key.
"""

from __future__ import annotations

import uuid
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response, WebSocket
from pydantic import ValidationError

from bot.api.auth import Caller, CallerOf, needs
from bot.api.chat_events import ChatEvents
from bot.api.chat_models import ChatRequest, ContextIn, StreamRequest, line, read_context
from bot.api.core import Core
from bot.api.entries import Doing
from bot.api.errors import ProblemError, field_errors, invalid, problems, wrong
from bot.api.sockets import Socket, opened
from bot.api.starting import IdempotencyKey, check_key, digest_of, other_body
from bot.api.views import ChatResponse, chat_response, inside_id, outside_id
from bot.api.waiting import waited
from orchestrator.engine.state import RunState
from orchestrator.errors import NotFound
from orchestrator.events import ApiCall, RunId, RunSettings, TurnRecord
from orchestrator.service import Service


class Chat:
    """The routes."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["chat"])
        router.add_api_route(
            "/v1/chat",
            self.chat,
            methods=["POST"],
            operation_id="startChat",
            dependencies=[needs("run")],
            summary="One turn",
            response_model=ChatResponse,
            responses={
                200: {"description": "The run ended; `status` says how"},
                202: {"model": ChatResponse, "description": "It goes on, or waits for an approval"},
                **problems(415),
            },
        )
        router.add_api_websocket_route("/v1/chat/stream", self.stream, dependencies=[needs("read")])
        return router

    async def chat(
        self,
        body: ChatRequest,
        request: Request,
        response: Response,
        caller: CallerOf,
        idempotency_key: IdempotencyKey = None,
    ) -> ChatResponse:
        """Start a turn and wait for its end.

        While the conversation is busy the turn is queued, and the call waits. The call ends with 202
        when the run waits for an approval (with `context.approvals` = `ask`) or after
        `context.timeout_s`; the run goes on. The same `Idempotency-Key` again gives the same run.
        """
        service = self._core.ready()
        context = self._context(service, body.context)
        run_id = await self._start(service, body, context, caller, idempotency_key)
        state = await waited(self._core, run_id, request, context.timeout_s, _is_told)
        if state.ended is None:
            response.status_code = 202
            response.headers["Location"] = f"/v1/runs/{run_id}"
        return chat_response(state)

    async def stream(self, websocket: WebSocket, caller: CallerOf) -> None:
        """Start a turn, or come back to one, and tell what its agents do."""
        async with opened(websocket, self._core) as socket:
            service = self._core.ready()
            asked = await socket.first(StreamRequest)
            socket.hear_no_more()
            run_id = await self._asked(service, asked, caller)
            await self._tell(service, socket, run_id, asked.after)

    # ── starting ─────────────────────────────────────────────────────────────────────────────

    async def _asked(self, service: Service, asked: StreamRequest, caller: Caller) -> RunId:
        """The run that a socket's first message is about."""
        if asked.run_id is not None:
            return RunId(asked.run_id)
        caller.require("run")
        try:
            body = ChatRequest.model_validate(asked.model_extra or {})
        except ValidationError as error:
            raise invalid(field_errors(error.errors())) from error
        return await self._start(
            service, body, self._context(service, body.context), caller, asked.idempotency_key
        )

    def _context(self, service: Service, given: dict[str, Any]) -> ContextIn:
        context = read_context(given)
        try:
            service.workflow(context.workflow or self._core.policy.workflow)
        except NotFound as error:
            raise wrong("context.workflow", str(error)) from error
        return context

    async def _start(
        self, service: Service, body: ChatRequest, context: ContextIn, caller: Caller, key: str | None
    ) -> RunId:
        client_id = body.conversation_id or f"c-{uuid.uuid4().hex[:16]}"
        check_key(key)
        turn = TurnRecord(
            key=f"api:{caller.who.key}::{key}" if key else f"api:{uuid.uuid4().hex}",
            text=body.messages[-1].content,
            who=caller.who,
            at=datetime.now(UTC),
            context=context.further(),
            history=tuple(map(line, body.messages[:-1])) if len(body.messages) > 1 else None,
            call=ApiCall(key=key or "", digest=_digest(body)) if key else None,
        )
        if body.conversation_id is not None:
            await _check_theirs(service, inside_id(body.conversation_id), turn.key, caller)
        accepted = await service.start(
            conversation_id=inside_id(client_id),
            turn=turn,
            workflow=context.workflow or self._core.policy.workflow,
            settings=self._settings(context),
        )
        if accepted.duplicate:
            before = (await service.state(accepted.run_id)).created
            if _is_other(before.turn, turn):
                raise other_body(f" in {outside_id(before.conversation_id)!r}")
        return accepted.run_id

    def _settings(self, context: ContextIn) -> RunSettings:
        settings = self._core.policy.to_run_settings()
        return settings.model_copy(
            update={
                "approvals": context.approvals,
                "asks": "people" if context.approvals == "ask" else "refuse",
                "language": context.language or settings.language,
            }
        )

    # ── following ────────────────────────────────────────────────────────────────────────────

    async def _tell(self, service: Service, socket: Socket, run_id: RunId, after: int) -> None:
        """Send what is told of the events behind `after`, up to the answer."""
        row = await self._core.row(run_id)
        if after > row.seq:
            raise wrong("after", f"is beyond the log, which has {row.seq} events")
        created = (await service.store.events(run_id, limit=1))[0].body
        events = ChatEvents(await self._core.definition(getattr(created, "workflow_digest", "")))
        async with aclosing(self._core.live(run_id, 0, socket.gone)) as live:
            async for event in live:
                if isinstance(event, Doing):
                    said = events.progress(event)
                else:
                    said = events.of(event)
                    if said is not None and event.seq <= after and said["type"] != "complete":
                        continue
                if said is not None:
                    await socket.send(said)
                    if said["type"] == "complete":
                        return


async def _check_theirs(service: Service, conversation_id: str, turn_key: str, caller: Caller) -> None:
    """See that the caller may know what was said in a conversation: the agents are told of it.

    Raises:
        ProblemError: 403.
    """
    if caller.may("read") or await service.store.known(turn_key) is not None:
        return
    newest = (await service.store.runs(conversation_id=conversation_id, limit=1)).items
    if newest and newest[0].who != caller.who.key:
        there = outside_id(conversation_id)
        raise ProblemError(
            403,
            f"The conversation {there!r} is another caller's, and your key lacks the scope 'read': "
            "take another conversation_id, or a key with that scope.",
        )


def _digest(body: ChatRequest) -> str:
    """Of what makes the turn; how long the caller waits for it is not part of that."""
    sent = body.model_dump(mode="json")
    sent["context"] = {name: value for name, value in body.context.items() if name != "timeout_s"}
    return digest_of(sent)


def _is_other(before: TurnRecord, now: TurnRecord) -> bool:
    if before.call is None or now.call is None:  # of a version that kept no digest
        return before.text != now.text
    return before.call.digest != now.call.digest


def _is_told(state: RunState) -> bool:
    asks = state.created.settings.approvals == "ask"
    return state.ended is not None or (asks and bool(state.open_approvals()))
