"""`/v1/webhooks`: addresses that are told of runs and approvals. `quartet webhooks` does much the same."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from bot.api.auth import CallerOf, needs
from bot.api.core import Core
from bot.api.errors import ProblemError, problems, wrong
from bot.api.json_values import Text
from bot.api.paging import Cursor, Limit
from bot.api.starting import IdempotencyKey, check_key, digest_of, other_body
from bot.webhooks.addresses import LONGEST, AddressRefused
from bot.webhooks.notices import Kind
from orchestrator.errors import Refused
from orchestrator.webhooks import Notice, NoticeState, Webhook

_NAMES: Final = uuid.UUID("0a3f3c52-1d0c-4f0e-9d0a-4c6d6f0a7a11")  # of ids that are made of idempotency keys
WebhookId = Annotated[str, Path(max_length=100, description="`id` of a webhook")]
Kinds = Annotated[
    list[Kind], Field(max_length=20, description="which notices; empty: all, also those of later versions")
]
Url = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=LONGEST,
        description="https, in the public internet; other hosts as FETCH_ALLOW_HOSTS allows",
    ),
]


class WebhookIn(BaseModel):
    """An address that is to be told. Unknown fields are refused: a mistyped `events` would tell too much."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"url": "https://example.com/quartet", "events": ["run.completed", "run.failed"]}]
        },
    )

    url: Url
    events: Kinds = Field(default_factory=list[Kind])


class WebhookChange(BaseModel):
    """What is to be different."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"state": "on"}]})

    url: Url | None = None
    events: Kinds | None = None
    state: Literal["on", "off"] | None = Field(
        default=None, description="on: it is told of what happens from then on, and of what still waits"
    )


class WebhookView(BaseModel):
    """A webhook, without its secret."""

    id: str
    url: str
    events: list[str] = Field(description="which notices; empty: all")
    state: Literal["on", "off"]
    note: str = Field(description="why it is off")
    failing_since: datetime | None = Field(description="null: the last attempt went well, or there was none")
    made_at: datetime = Field(description="aware, UTC")
    made_by: str = Field(description="person key")


class NewWebhookView(WebhookView):
    """A webhook that was made just now."""

    secret: str = Field(description="notices are signed with it; shown this once: `whsec_…`")


class WebhookList(BaseModel):
    """Webhooks, oldest first."""

    items: list[WebhookView]


class NoticeView(BaseModel):
    """A notice and what became of it."""

    id: str = Field(description="the `webhook-id` that is sent along")
    type: str
    run_id: str | None = Field(description="null: a ping")
    state: NoticeState
    attempts: int
    status: int | None = Field(description="HTTP status of the last answer; null: none came")
    problem: str = Field(description="what went wrong the last time")
    next_attempt: datetime | None
    timestamp: datetime = Field(description="when it happened; aware, UTC")
    body: dict[str, Any] = Field(description="as it is sent")


class NoticeList(BaseModel):
    """Notices, newest first."""

    items: list[NoticeView]
    next: str | None = Field(description="`cursor` of the next page")


class ReplayIn(BaseModel):
    """What is to be sent again: one notice, or all since a time."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"since": "2026-11-21T12:00:00Z"}]}
    )

    notice_id: Text | None = Field(default=None, min_length=1, max_length=100)
    since: AwareDatetime | None = Field(default=None, description="also what the webhook was not on for")

    @model_validator(mode="after")
    def _one(self) -> ReplayIn:
        if (self.notice_id is None) == (self.since is None):
            raise ValueError("give either notice_id or since")
        return self


class Replayed(BaseModel):
    """It will be sent."""

    status: Literal["waiting"] = "waiting"


class Pinged(BaseModel):
    """A ping will be sent."""

    notice_id: str = Field(description="look for it in `notices`")


class WebhookRoutes:
    """The routes."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["webhooks"], dependencies=[needs("admin")])
        one = "/v1/webhooks/{webhook_id}"
        for path, method, route, name, summary, status, more in (
            ("/v1/webhooks", "GET", self.webhooks, "listWebhooks", "Webhooks, oldest first", 200, ()),
            ("/v1/webhooks", "POST", self.add, "createWebhook", "Make a webhook", 201, (409, 415)),
            (one, "GET", self.webhook, "getWebhook", "One webhook", 200, (404,)),
            (one, "PATCH", self.change, "changeWebhook", "Change a webhook", 200, (404, 409, 415)),
            (one, "DELETE", self.remove, "deleteWebhook", "Remove a webhook", 204, (404,)),
            (f"{one}/notices", "GET", self.notices, "listNotices", "Its notices, newest first", 200, (404,)),
            (f"{one}/replay", "POST", self.replay, "replayNotices", "Send again", 202, (404, 409, 415)),
            (f"{one}/test", "POST", self.test, "testWebhook", "Send a ping", 202, (404, 409)),
        ):
            router.add_api_route(
                path,
                route,
                methods=[method],
                status_code=status,
                operation_id=name,
                summary=summary,
                response_class=Response if status == 204 else JSONResponse,
                responses=problems(*more),
            )
        return router

    async def webhooks(self) -> WebhookList:
        """All of them; never their secrets."""
        return WebhookList(items=[_view(row) for row in await self._core.book().all()])

    async def add(
        self, body: WebhookIn, caller: CallerOf, response: Response, idempotency_key: IdempotencyKey = None
    ) -> NewWebhookView:
        """Tell an address of what happens from now on. `secret` is shown this once.

        The same `Idempotency-Key` with the same body gives the same webhook and its secret again, for who
        did not get the first answer.
        """
        book = self._core.book()
        webhook_id, digest = "", digest_of(body)
        if idempotency_key is not None:
            check_key(idempotency_key)
            unique = uuid.uuid5(_NAMES, f"{caller.who.key}\0{idempotency_key}")
            webhook_id = f"wh_{unique.hex[:16]}"
        try:
            made = await book.add(
                body.url, body.events, made_by=caller.who.key, webhook_id=webhook_id, digest=digest
            )
        except AddressRefused as error:
            raise wrong("url", str(error)) from error
        if made.webhook.digest != digest:
            raise other_body()
        if made.webhook.state == "removed":
            raise ProblemError(409, "The webhook of this Idempotency-Key was removed; take a new key.")
        response.headers["Cache-Control"] = "no-store"
        response.headers["Location"] = f"/v1/webhooks/{made.webhook.id}"
        return NewWebhookView(secret=made.secret, **_fields(made.webhook))

    async def webhook(self, webhook_id: WebhookId) -> WebhookView:
        """One webhook, without its secret."""
        return _view(await self._core.book().one(webhook_id))

    async def change(self, webhook_id: WebhookId, body: WebhookChange) -> WebhookView:
        """Change what is given; fields that are left out or null stay as they are."""
        try:
            changed = await self._core.book().change(
                webhook_id, url=body.url, kinds=body.events, state=body.state
            )
        except AddressRefused as error:
            raise wrong("url", str(error)) from error
        return _view(changed)

    async def remove(self, webhook_id: WebhookId) -> None:
        """Nothing more is sent; its notices and its secret are forgotten."""
        await self._core.book().remove(webhook_id)

    async def notices(
        self,
        webhook_id: WebhookId,
        state: NoticeState | None = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> NoticeList:
        """What was told and what is to be. Kept for 30 days after the last attempt."""
        try:
            page = await self._core.book().notices(webhook_id, state=state, limit=limit, cursor=cursor)
        except Refused as error:
            raise wrong("cursor", str(error)) from error
        return NoticeList(items=[_notice_view(row) for row in page.items], next=page.next)

    async def replay(self, webhook_id: WebhookId, body: ReplayIn) -> Replayed:
        """Send one notice again, or those of all events since a time; each keeps its id."""
        await self._core.book().replay(webhook_id, notice_id=body.notice_id, since=body.since)
        return Replayed()

    async def test(self, webhook_id: WebhookId) -> Pinged:
        """Send a notice `ping` before all that waits. It is tried once."""
        return Pinged(notice_id=await self._core.book().test(webhook_id))


def _view(row: Webhook) -> WebhookView:
    return WebhookView(**_fields(row))


def _fields(row: Webhook) -> dict[str, Any]:
    return {
        "id": row.id,
        "url": row.url,
        "events": list(row.kinds),
        "state": row.state,
        "note": row.note,
        "failing_since": row.failing_since,
        "made_at": row.made_at,
        "made_by": row.made_by,
    }


def _notice_view(row: Notice) -> NoticeView:
    return NoticeView(
        id=row.id,
        type=row.kind,
        run_id=row.run_id or None,
        state=row.state,
        attempts=row.attempts,
        status=row.status or None,
        problem=row.problem,
        next_attempt=row.due if row.state == "waiting" else None,
        timestamp=row.at,
        body=json.loads(row.body),
    )
