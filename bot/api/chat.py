"""`POST /v1/chat`: one turn, and the answer when it is there.

The run does not hang on the call: who hangs up, or waits too long, finds it under its id, or by
calling again with the same `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bot.api.auth import Caller, CallerOf, needs
from bot.api.core import Core
from bot.api.errors import field_errors, invalid, problems, wrong
from bot.api.json_values import JsonObject, Text, clean_text
from bot.api.views import ChatResponse, chat_response, inside_id, outside_id
from bot.intake import MAX_TEXT
from orchestrator.engine.fold import apply
from orchestrator.engine.state import RunState
from orchestrator.errors import NotFound
from orchestrator.events import Line, RunId, RunSettings, TurnRecord
from orchestrator.service import Service

WAIT_S = 600.0  # a call waits this long if it does not say otherwise
MAX_CONTEXT = 50  # keys
MAX_CONTEXT_TEXT = 4_000  # characters of one value


class MessageIn(BaseModel):
    """A message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: Text = Field(max_length=MAX_TEXT)


class ContextIn(BaseModel):
    """What goes with a turn. Further keys (tone, length, format, …) reach the agents as text."""

    model_config = ConfigDict(extra="allow")

    approvals: Literal["auto", "ask"] = Field(default="auto", description="`ask`: 202 with the question")
    workflow: Text | None = Field(default=None, description="null: the default")
    language: Text = Field(default="", max_length=40, description='"": that of the turn')
    timeout_s: float = Field(default=WAIT_S, ge=0, le=3600, description="how long this call waits")

    @field_validator("timeout_s", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("a number of seconds is due")  # noqa: TRY004 - pydantic wants ValueError
        return value

    @model_validator(mode="after")
    def _small(self) -> ContextIn:
        further = self.model_extra or {}
        if len(further) > MAX_CONTEXT:
            raise ValueError(f"has more than {MAX_CONTEXT} keys")
        for key, text in self.further().items():
            if len(key) > 64 or len(text) > MAX_CONTEXT_TEXT:
                raise ValueError(f"{key[:64]!r} is longer than {MAX_CONTEXT_TEXT:,} characters")
        return self

    def further(self) -> dict[str, str]:
        """What the agents are told."""
        found = {key: _as_text(value) for key, value in (self.model_extra or {}).items()}
        if self.language:
            found["language"] = self.language
        return {key: text for key, text in found.items() if text}


class ChatRequest(BaseModel):
    """A turn. Fields that are not named here are ignored."""

    conversation_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9._:@/+-]+$",
        description="yours to choose; null makes a new conversation",
    )
    messages: list[MessageIn] = Field(
        min_length=1,
        max_length=500,
        description="the last one is the turn; earlier ones replace the stored conversation for this run",
    )
    context: JsonObject = Field(default_factory=dict, description="see ContextIn")

    @field_validator("messages")
    @classmethod
    def _turn_last(cls, messages: list[MessageIn]) -> list[MessageIn]:
        if messages[-1].role != "user":
            raise ValueError("the last message has to be the user's: it is the turn")
        if not messages[-1].content.strip():
            raise ValueError("the last message is empty: write what you want to know or have done")
        return messages


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
            dependencies=[needs("run")],
            summary="One turn",
            response_model=ChatResponse,
            responses={
                200: {"description": "The run ended; `status` says how"},
                202: {"model": ChatResponse, "description": "It goes on, or waits for an approval"},
                **problems(415),
            },
        )
        return router

    async def chat(
        self,
        body: ChatRequest,
        request: Request,
        response: Response,
        caller: CallerOf,
        idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
    ) -> ChatResponse:
        """Start a turn and wait for its end.

        While the conversation is busy the turn is queued, and the call waits. The call ends with 202
        when the run waits for an approval (with `context.approvals` = `ask`) or after
        `context.timeout_s`; the run goes on. The same `Idempotency-Key` again gives the same run.
        """
        service = self._core.ready()
        context = self._context(service, body.context)
        run_id = await self._start(service, body, context, caller, idempotency_key)
        state = await self._wait(service, run_id, context, request)
        if state.ended is None:
            response.status_code = 202
            response.headers["Location"] = f"/v1/runs/{run_id}"
        return chat_response(state)

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
        conversation = inside_id(client_id)
        text = body.messages[-1].content
        if key is not None:
            _check_key(key)
        # Without a conversation the key alone says which turn it is.
        named = body.conversation_id or ""
        turn_key = f"api:{caller.who.key}:{named}:{key}" if key else f"api:{uuid.uuid4().hex}"
        accepted = await service.start(
            conversation_id=conversation,
            turn=TurnRecord(
                key=turn_key,
                text=text,
                who=caller.who,
                at=datetime.now(UTC),
                context=context.further(),
                history=tuple(map(_line, body.messages[:-1])) if len(body.messages) > 1 else None,
            ),
            workflow=context.workflow or self._core.policy.workflow,
            settings=self._settings(context),
        )
        if accepted.duplicate:
            before = (await service.state(accepted.run_id)).created
            if before.turn.text != text:
                there = outside_id(before.conversation_id)
                raise wrong(
                    "Idempotency-Key", f"was used for another message in {there!r}; take a new one for each"
                )
        return accepted.run_id

    def _settings(self, context: ContextIn) -> RunSettings:
        settings = self._core.policy.to_run_settings()
        return settings.model_copy(
            update={
                "approvals": context.approvals,
                "language": context.language or settings.language,
            }
        )

    async def _wait(self, service: Service, run_id: RunId, context: ContextIn, request: Request) -> RunState:
        """The run when it has ended, asks, or nobody waits for it any more."""
        state = await service.state(run_id)
        gone = asyncio.Event()
        watching = asyncio.create_task(_watch(request, gone))
        try:
            async with (
                asyncio.timeout(context.timeout_s),
                aclosing(self._core.follow(run_id, state.seq, gone)) as events,
            ):
                if not _is_told(state):
                    async for event in events:
                        state = apply(state, event)
                        if _is_told(state):
                            break
        except TimeoutError:
            pass  # 202: it goes on
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return state


def read_context(given: dict[str, Any]) -> ContextIn:
    """Check what goes with a turn.

    Raises:
        ProblemError: 422 with the field.
    """
    try:
        return ContextIn.model_validate(given)
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), "context")) from error


def _is_told(state: RunState) -> bool:
    asks = state.created.settings.approvals == "ask"
    return state.ended is not None or (asks and bool(state.open_approvals()))


async def _watch(request: Request, gone: asyncio.Event) -> None:
    """Notice that the caller hung up, so that nothing waits for nobody."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()


def _line(message: MessageIn) -> Line:
    match message.role:
        case "user":
            return Line(role="person", name="user", text=message.content)
        case "assistant":
            return Line(role="bot", name="Quartet", text=message.content)
        case "system":  # the client's word is not ours: the agents read it as said by others
            return Line(role="other", name="system", text=message.content)


def _check_key(key: str) -> None:
    try:
        clean_text(key)
    except ValueError as error:
        raise wrong("Idempotency-Key", str(error)) from error
    if not key.strip():
        raise wrong("Idempotency-Key", "is empty; leave it out, or send a new text for each turn")


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
