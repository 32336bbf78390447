"""`POST /v1/tickets`: a stand-in for the key in addresses of streams and sockets.

EventSource and WebSocket send no headers, and a key in an address ends up in logs and histories. A
ticket may: it is worth nothing after its first use, or after a minute. Kept in memory alone: after a
restart clients get another one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from bot.api.auth import Caller, CallerOf, needs
from bot.api.errors import problems

TICKET_S: Final = 60
MOST: Final = 20_000  # beyond it the oldest are worthless


class Tickets:
    """Tickets that were not used yet.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._callers: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()  # by digest, oldest first

    def issue(self, caller: Caller) -> str:
        """A ticket that stands for this caller, once."""
        now = self._clock()
        while self._callers:
            digest, (_, until) = next(iter(self._callers.items()))
            if until > now and len(self._callers) < MOST:
                break
            del self._callers[digest]
        ticket = f"qt_{secrets.token_urlsafe(32)}"
        self._callers[_digest(ticket)] = (caller, now + TICKET_S)
        return ticket

    def take(self, ticket: str) -> Caller | None:
        """Whom a ticket stands for; None: it is none, or was used, or is too old."""
        # Looked up by digest: how long that takes says nothing about tickets there are.
        caller, until = self._callers.pop(_digest(ticket), (None, 0.0))
        return caller if until > self._clock() else None


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()


class TicketView(BaseModel):
    """A ticket."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ticket": "qt_…", "expires_in": 60}]})

    ticket: str = Field(description="append it to the address of a stream or socket: `?ticket=…`")
    expires_in: Literal[60] = Field(default=TICKET_S, description="seconds; it works once")


class TicketRoute:
    """The route."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["keys"])
        router.add_api_route(
            "/v1/tickets",
            self.ticket,
            methods=["POST"],
            dependencies=[needs("read")],
            operation_id="createTicket",
            summary="A ticket for a stream or a socket",
            responses=problems(),
        )
        return router

    async def ticket(self, caller: CallerOf, response: Response) -> TicketView:
        """For one GET or one WebSocket within a minute, in the caller's name and with the same scopes."""
        response.headers["Cache-Control"] = "no-store"
        return TicketView(ticket=self._tickets.issue(caller))
