"""The seams inside the Slack adapter: who holds tokens, who makes calls. Protocols and values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapters.errors import AdapterError
from adapters.urgency import Urgency


class SlackRefused(AdapterError):
    """Slack answered `ok: false` with a word that has no place in our tree.

    Args:
        code: Slack's word, e.g. `expired_trigger_id`.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class BotToken:
    """A bot's token for one workspace, and who the bot is there."""

    token: str = field(repr=False)
    team: str  # T…; "" for an organisation's own
    enterprise: str = ""  # E…
    bot_user: str = ""  # U…, as it is mentioned
    bot_id: str = ""  # B…, as it signs its messages
    app_id: str = ""
    scopes: frozenset[str] = frozenset()  # empty: not known


class Tokens(Protocol):
    """Where tokens come from: the settings, or the installations by OAuth."""

    async def bot(self, team: str, enterprise: str = "") -> BotToken:
        """The token for a workspace.

        Raises:
            NotAllowed: the app is not installed there (any more); the message says how to install it.
        """
        ...


class Api(Protocol):
    """Calls of Slack's Web API: paced, repeated where that is safe, errors in our words."""

    async def call(
        self,
        team: str,
        method: str,
        arguments: Mapping[str, Any],
        *,
        urgency: Urgency,
        enterprise: str = "",
    ) -> Mapping[str, Any]:
        """Call a method by its name (`chat.postMessage`), with the token of the workspace.

        Waits for room within Slack's limits, the most urgent first; `Urgency.PROGRESS` does not wait. A 429
        is obeyed in here: no call of that kind goes out before its `Retry-After`. What cannot have changed
        anything (a refused connection, a 429, a read) is repeated in here, for at most `patience_s`.

        Raises:
            RateLimited: `Urgency.PROGRESS` only: there is no room now.
            PlatformDown: not reachable, 5xx, or the token is not valid now; `outcome_unknown` where a
                write may have happened.
            NotAllowed: a scope is missing, or the bot is not in the channel; the message names the remedy.
            ConversationGone, MessageGone, CardRefused: as they say.
            SlackRefused: another error of Slack's; `error.code` is Slack's word for it.
        """
        ...
