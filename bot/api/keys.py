"""`/v1/keys`: the named keys, for callers with the scope admin. In the terminal: `quartet keys`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from bot.api.auth import CallerOf, needs
from bot.api.core import Core
from bot.api.errors import ProblemError, problems, wrong
from bot.key_ring import KeyRing
from orchestrator.api_keys import RESERVED, ApiKey, KeyScope, KeyState, new_key
from orchestrator.errors import NotFound, Refused

MOST_KEYS = 1_000  # that count at a time
LONGEST_S = 10 * 365 * 86_400
MOST_PER_MINUTE = 1_000_000


class KeyIn(BaseModel):
    """A key that is wanted. Unknown fields are refused: a mistyped limit would not hold."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "ci", "scopes": ["read", "run"], "expires_in_s": 7_776_000}]
        },
    )

    name: str = Field(
        min_length=1,
        max_length=40,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="who the key stands for in runs and decisions; no other key that counts has it",
    )
    scopes: set[KeyScope] = Field(
        min_length=1,
        max_length=4,
        description="read: look at runs; run: start and stop its own; approve: decide; admin: everything",
    )
    expires_in_s: int | None = Field(default=None, ge=1, le=LONGEST_S, description="seconds; null: never")
    requests_per_minute: int | None = Field(
        default=None, ge=1, le=MOST_PER_MINUTE, description="null: as the settings say"
    )


class KeyView(BaseModel):
    """A key, without what it is proved with."""

    id: str
    name: str
    scopes: list[KeyScope]
    state: KeyState = Field(description="only `living` lets in")
    made_at: datetime = Field(description="aware, UTC")
    made_by: str = Field(description="person key")
    expires_at: datetime | None
    revoked_at: datetime | None
    requests_per_minute: int | None = Field(description="null: as the settings say")


class NewKeyView(KeyView):
    """A key that was made just now."""

    token: str = Field(description="the key itself, shown this once: `qk_<id>_<secret>`")


class KeyList(BaseModel):
    """Keys, oldest first."""

    items: list[KeyView]


class Keys:
    """The routes."""

    def __init__(self, core: Core, ring: KeyRing) -> None:
        self._core = core
        self._ring = ring

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["keys"], dependencies=[needs("admin")])
        router.add_api_route(
            "/v1/keys",
            self.keys,
            methods=["GET"],
            operation_id="listKeys",
            summary="The named keys",
            responses=problems(),
        )
        router.add_api_route(
            "/v1/keys",
            self.add,
            methods=["POST"],
            status_code=201,
            operation_id="createKey",
            summary="Make a key",
            responses=problems(409, 415),
        )
        router.add_api_route(
            "/v1/keys/{key_id}",
            self.revoke,
            methods=["DELETE"],
            operation_id="revokeKey",
            summary="Revoke a key",
            responses=problems(404),
        )
        return router

    async def keys(self) -> KeyList:
        """All of them, with those that expired or were revoked; never what they are proved with."""
        self._core.ready()
        return KeyList(items=[_view(key, state) for key, state in await self._ring.all()])

    async def add(self, body: KeyIn, caller: CallerOf, response: Response) -> NewKeyView:
        """Make a key. `token` is shown this once: only a digest of it is kept.

        With the first key all calls, and the page, begin to need one.
        """
        service = self._core.ready()
        if body.name in RESERVED:
            raise wrong("name", f"{body.name!r} has a meaning of its own; take another one")
        if sum(state == "living" for _, state in await self._ring.all()) >= MOST_KEYS:
            raise ProblemError(409, f"There are {MOST_KEYS:,} keys already; revoke some.")
        expires_at = (
            None if body.expires_in_s is None else datetime.now(UTC) + timedelta(seconds=body.expires_in_s)
        )
        try:
            token, new = new_key(
                body.name,
                body.scopes,
                made_by=caller.who.key,
                expires_at=expires_at,
                per_minute=body.requests_per_minute,
            )
        except Refused as error:
            raise wrong("name", str(error)) from error
        key = await service.store.add_api_key(new)
        self._ring.changed()
        response.headers["Cache-Control"] = "no-store"
        return NewKeyView(token=token, **_view(key, "living").model_dump())

    async def revoke(self, key_id: Annotated[str, Path(max_length=100)]) -> KeyView:
        """From now on it does not count; a second time changes nothing.

        Calls under way end as they would; streams and sockets that were opened with it end soon.
        When the last one is revoked and `API_KEY` is not set, calls on loopback need none again.
        """
        key = await self._core.ready().store.revoke_api_key(key_id)
        if key is None:
            raise NotFound(f"there is no key {key_id[:40]!r}; GET /v1/keys lists them")
        self._ring.changed()
        return _view(key, "revoked")


def _view(key: ApiKey, state: KeyState) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        scopes=sorted(key.scopes),
        state=state,
        made_at=key.made_at,
        made_by=key.made_by,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        requests_per_minute=key.per_minute,
    )
