"""Call Slack's Web API: every call waits for its turn, every error becomes one of ours.

This is the only place that sees slack_sdk's errors. What a code of Slack's means is a table in
`refusals.py`; whether a call may be repeated is decided here: after a 429 always, else only where it
cannot have changed anything or where doing it twice is the same as once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.web.async_client import AsyncWebClient

from adapters.errors import AdapterError, NotAllowed, PlatformDown, RateLimited
from adapters.slack.pace import Pace
from adapters.slack.ports import BotToken, Tokens
from adapters.slack.refusals import is_token_trouble, refusal
from adapters.slack.tokens import API_URL
from adapters.urgency import Urgency

log = structlog.get_logger(__name__)

TIMEOUT_S = 30.0  # for a whole call
CONNECT_S = 5.0
PATIENCE_S = 20.0  # how long something harmless is tried again
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 4.0)
KEPT_CLIENTS = 1_000
RETRY_AFTER_S = 1.0  # where Slack says 429 without a word of how long
PATIENT_S = 3_600.0  # a Retry-After beyond this is not believed

# Done twice is the same as done once.
_REPEATABLE = frozenset(
    {
        "assistant.threads.setStatus",
        "assistant.threads.setSuggestedPrompts",
        "assistant.threads.setTitle",
        "auth.test",
        "chat.update",
        "conversations.open",
        "views.publish",
    }
)
_READS = (".info", ".list", ".replies", ".history", ".members", ".getPermalink", ".getUploadURLExternal")


def is_repeatable(method: str) -> bool:
    """Whether calling `method` again does no harm when nobody knows what became of the first call."""
    return method in _REPEATABLE or method.endswith(_READS)


class SlackApi:
    """Slack's Web API with the tokens of all workspaces (`ports.Api`).

    Args:
        tokens: who we are in which workspace.
        base_url: where the API is; Slack's own, or a server on loopback.
        pace: how fast it may be called.
        patience_s: for how long calls that did no harm are tried again.
        timeout_s: for one call.
        token_remedy: what to do about a token that does not count; "": copy SLACK_BOT_TOKEN again.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        base_url: str = API_URL,
        pace: Pace | None = None,
        patience_s: float = PATIENCE_S,
        timeout_s: float = TIMEOUT_S,
        token_remedy: str = "",
    ) -> None:
        self._token_remedy = token_remedy
        self._tokens = tokens
        self._base_url = base_url if base_url.endswith("/") else base_url + "/"
        self._pace = pace or Pace()
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._clients: OrderedDict[str, AsyncWebClient] = OrderedDict()  # by token
        self._teams: dict[tuple[str, str], str] = {}  # workspace → the token we used last
        self._troubles: dict[str, str] = {}

    @property
    def trouble(self) -> str:
        """Why a workspace is not reached now, with the remedy; "": all is well."""
        return next(iter(self._troubles.values()), "")

    def trouble_in(self, team: str) -> str:
        """Why this workspace is not reached now; "": all is well."""
        return self._troubles.get(team, "")

    async def me(self, team: str, enterprise: str = "") -> BotToken:
        """Who we are in a workspace.

        Raises:
            PlatformDown: we have no token for it now; what is to be shown there waits until we have.
        """
        try:
            return await self._tokens.bot(team, enterprise)
        except NotAllowed as error:
            # Not installed now. Cards are not given up for that: a new installation shows them.
            self._troubles[team or enterprise] = str(error)
            raise PlatformDown(str(error)) from error

    def forget(self, team: str) -> None:
        """Drop what is kept of a workspace, after its token was replaced or revoked."""
        self._troubles.pop(team, None)
        for key in [key for key in self._teams if team in key]:
            self._clients.pop(self._teams.pop(key), None)

    async def close(self) -> None:
        """Close the connections. May be called twice; a later call opens them again."""
        session, self._session = self._session, None
        self._clients.clear()
        self._teams.clear()
        if session is not None:
            await session.close()

    async def call(
        self,
        team: str,
        method: str,
        arguments: Mapping[str, Any],
        *,
        urgency: Urgency,
        enterprise: str = "",
    ) -> Mapping[str, Any]:
        """See `ports.Api.call`."""
        channel = str(arguments.get("channel", ""))
        limited = team or enterprise

        async def once() -> Mapping[str, Any]:
            token = (await self.me(team, enterprise)).token
            async with self._pace.room(limited, method, channel, urgency):
                call = _call(self._client(token, (team, enterprise)), method)
                given = await call(arguments)
            self._troubles.pop(limited, None)
            return given

        return await self._patiently(
            once,
            method,
            repeatable=is_repeatable(method),
            urgency=urgency,
            frozen=lambda seconds: self._pace.freeze(limited, method, channel, seconds),
            place=(limited, str(arguments.get("channel", arguments.get("channel_id", "")))),
        )

    async def upload(self, url: str, content: bytes) -> None:
        """Send a file's bytes to the address that `files.getUploadURLExternal` gave.

        Raises:
            PlatformDown: not reachable, or it did not take them.
        """

        async def once() -> Mapping[str, Any]:
            # No token goes with it: the address itself is the permission.
            async with self._open_session().post(url, data=content) as answer:
                if answer.status != 200:
                    raise PlatformDown(f"Slack did not take a file: HTTP {answer.status}")
            return {}

        # Nobody sees the bytes before completeUploadExternal: sending them twice does no harm.
        await self._patiently(once, "the file upload", repeatable=True, urgency=Urgency.ANSWER)

    async def _patiently(
        self,
        once: Callable[[], Awaitable[Mapping[str, Any]]],
        method: str,
        *,
        repeatable: bool,
        urgency: Urgency,
        frozen: Callable[[float], None] | None = None,
        place: tuple[str, str] = ("", ""),
    ) -> Mapping[str, Any]:
        """Try until it is done, refused, or patience is at its end."""
        tries, first = 0, 0.0
        while True:
            try:
                return await once()
            except SlackApiError as error:
                seconds = _retry_after(error)
                if seconds is not None and frozen is not None:
                    frozen(seconds)
                    log.info("Slack asks us to wait", action="slack_429", method=method, seconds=seconds)
                    if urgency is Urgency.PROGRESS:
                        raise RateLimited(
                            f"Slack asks us to wait with {method}", retry_after_s=seconds
                        ) from None
                    continue
                ours = self._translate(error, method, place, repeatable=repeatable)
            except (aiohttp.ClientError, TimeoutError, SlackRequestError, OSError) as error:
                ours = _unreached(error, method, repeatable=repeatable)
            except PlatformDown as error:
                ours = error
            again = isinstance(ours, PlatformDown) and not ours.outcome_unknown
            if place[0] in self._troubles or not again or urgency is Urgency.PROGRESS:
                raise ours from None
            now = time.monotonic()
            first = first or now
            pause = BACKOFF_S[min(tries, len(BACKOFF_S) - 1)] * random.uniform(0.8, 1.2)
            tries += 1
            if now + pause - first > self._patience_s:
                raise ours from None
            await asyncio.sleep(pause)

    def _translate(
        self, error: SlackApiError, method: str, place: tuple[str, str], *, repeatable: bool
    ) -> AdapterError:
        team, channel = place
        status, code, needed = _parts(error)
        if not code or status >= 500:
            return PlatformDown(
                f"Slack answered {method} with HTTP {status or 'nonsense'}; it is tried again",
                outcome_unknown=not repeatable,
            )
        ours = refusal(
            code,
            method=method,
            channel=channel,
            needed=needed,
            repeatable=repeatable,
            token_remedy=self._token_remedy,
        )
        if is_token_trouble(code):
            if self._troubles.get(team) != str(ours):  # said once, not at every call
                log.warning("a workspace is not reached", action="slack_token", team=team, error=str(ours))
            self._troubles[team] = str(ours)
        return ours

    def _client(self, token: str, workspace: tuple[str, str]) -> AsyncWebClient:
        client = self._clients.pop(token, None)
        if client is None or client.session is not self._session or self._session is None:
            # No retry handlers: they would not know of the pace.
            client = AsyncWebClient(
                token=token,
                base_url=self._base_url,
                session=self._open_session(),
                timeout=int(self._timeout_s) or 1,
                retry_handlers=[],
            )
        self._clients[token] = client
        self._teams[workspace] = token
        while len(self._clients) > KEPT_CLIENTS:
            self._clients.popitem(last=False)
        return client

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S)
            )
        return self._session


def _call(client: AsyncWebClient, method: str) -> Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]:
    """slack_sdk's own function for a method: it knows how each wants its arguments."""
    any_client = cast(Any, client)  # slack_sdk's types know neither arguments nor answers
    known: Any = getattr(any_client, method.replace(".", "_"), None)

    async def call(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if known is None:
            answer: Any = await any_client.api_call(method, json=dict(arguments))
        else:
            answer = await known(**arguments)
        found: Any = answer.data
        return cast(Mapping[str, Any], found) if isinstance(found, Mapping) else {}

    return call


def _parts(error: SlackApiError) -> tuple[int, str, str]:
    """HTTP status, Slack's code and the scope it asks for; what is missing is 0 and ""."""
    response: Any = cast(Any, error.response)
    status = getattr(response, "status_code", None) or getattr(response, "status", None) or 0
    found: Any = getattr(response, "data", None)
    if not isinstance(found, Mapping):
        return int(status), "", ""
    answer = cast(Mapping[str, Any], found)
    return int(status), str(answer.get("error") or ""), str(answer.get("needed") or "")


def _retry_after(error: SlackApiError) -> float | None:
    """Seconds to wait, if this is a 429."""
    status, code, _ = _parts(error)
    if status != 429 and code not in ("ratelimited", "rate_limited"):
        return None
    headers: Any = getattr(cast(Any, error.response), "headers", None) or {}
    seconds = RETRY_AFTER_S
    with contextlib.suppress(ValueError, TypeError):
        seconds = float(headers.get("Retry-After", RETRY_AFTER_S))
    return seconds if 0 < seconds <= PATIENT_S else RETRY_AFTER_S


def _unreached(error: Exception, method: str, *, repeatable: bool) -> PlatformDown:
    """No answer: what was never sent cannot have happened."""
    never_sent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    # The kind of error alone: its text may hold an address with secrets in it.
    return PlatformDown(
        f"Slack is not reached with {method} ({type(error).__name__}); is the network up?",
        outcome_unknown=not (never_sent or repeatable),
    )
