"""The seams inside the Discord adapter: who makes calls. Protocols and values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.errors import AdapterError
from adapters.urgency import Urgency

API_URL = "https://discord.com/api/v10"
DIRECT = "@me"  # ConversationRef.workspace of direct messages


class DiscordRefused(AdapterError):
    """Discord refused a call with a code that has no place in our tree.

    Args:
        code: Discord's number, e.g. 10062; 0: none was given.
        status: of the HTTP answer.
    """

    def __init__(self, message: str, *, code: int, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that goes out with a message."""

    name: str
    content: bytes


class Api(Protocol):
    """Calls of Discord's REST API: in our order, within Discord's limits, errors in our words."""

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        urgency: Urgency,
        query: Mapping[str, str] | None = None,
        files: Sequence[Upload] = (),
    ) -> Any:
        """Call a route, e.g. `POST`, `/channels/1/messages`; the answer's JSON, None where there is none.

        Waits for room in the route's bucket and in the global limit, the most urgent first, and returns as
        soon as Discord has answered; `Urgency.PROGRESS` does not wait. A 429 is obeyed in here. What cannot
        have changed anything (a refused connection, a 429, a read) is repeated in here. Routes that begin
        with `/interactions/` or `/webhooks/` carry their own token and have no global limit.

        Raises:
            RateLimited: `Urgency.PROGRESS` only: there is no room now.
            PlatformDown: not reachable, 5xx, or the token is not valid now; `outcome_unknown` where a
                write may have happened.
            NotAllowed: a permission is missing; the message names it or its remedy.
            ConversationGone, MessageGone, CardRefused: as they say.
            DiscordRefused: another refusal; `error.code` is Discord's number for it.
        """
        ...
