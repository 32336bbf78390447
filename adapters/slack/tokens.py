"""Who a token belongs to, and the one token of SLACK_BOT_TOKEN.

Tokens of many workspaces are in `install.py`; `Fixed` joins the two.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from adapters.errors import AdapterError, NotAllowed, PlatformDown
from adapters.slack.ports import BotToken, SlackRefused, Tokens

API_URL = "https://slack.com/api/"
TIMEOUT_S = 10
COPY_TOKEN = "copy the Bot User OAuth Token again from OAuth & Permissions at api.slack.com/apps"
# Slack's words for a token that does not count (any more).
DEAD = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission"}
)
_AGAIN_AFTER_S = 1.0  # a refusal counts this long, so that a storm of turns asks once


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token it is."""

    bot: BotToken
    workspace: str  # its name
    whole_organisation: bool = False


class _WebClient(AsyncWebClient):
    """slack_sdk's client, without aiohttp's deprecated BasicAuth, which it uses for `oauth.v2.access`."""

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:  # pyright: ignore[reportIncompatibleMethodOverride]
        auth = arguments.pop("auth", None)
        if auth is not None:
            pair = base64.b64encode(f"{auth['client_id']}:{auth['client_secret']}".encode()).decode()
            arguments["headers"] = {**(arguments.get("headers") or {}), "Authorization": f"Basic {pair}"}
        return await super().api_call(api_method, **arguments)  # pyright: ignore[reportUnknownMemberType]


def web_client(
    token: str | None = None, *, api_url: str = API_URL, timeout_s: float = TIMEOUT_S
) -> AsyncWebClient:
    """A client for rare calls: each opens its own connection and closes it. Obeys a 429 once."""
    return _WebClient(
        token=token,
        base_url=api_url,
        timeout=int(timeout_s) or 1,
        retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=1)],
    )


async def ask(
    method: str, token: str, *, api_url: str = API_URL, timeout_s: float = TIMEOUT_S
) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Call a method that only looks, once.

    Returns:
        The answer and its headers (names in small letters).

    Raises:
        SlackRefused: Slack said no; `code` is its word.
        PlatformDown: no answer within `timeout_s` seconds, or none that is Slack's.
    """
    client = web_client(token, api_url=api_url, timeout_s=timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            response = await client.api_call(method)  # pyright: ignore[reportUnknownMemberType]
    except SlackApiError as error:
        answer: Any = error.response
        code = str(answer.get("error") or "") if isinstance(answer.data, dict) else ""
        if not code:
            raise PlatformDown(
                f"{api_url} did not answer as Slack does (status {answer.status_code}); check SLACK_API_URL"
            ) from None
        raise SlackRefused(f"Slack refused {method}: {code}", code=code) from None
    except TimeoutError:
        raise PlatformDown(
            f"Slack ({api_url}) did not answer in {timeout_s:.0f} s; check the network"
        ) from None
    except (SlackClientError, aiohttp.ClientError, OSError, ValueError) as error:
        raise PlatformDown(
            f"Slack ({api_url}) cannot be reached ({type(error).__name__}); check network and SLACK_API_URL"
        ) from None
    headers = cast("Mapping[str, str]", response.headers)
    return cast("Mapping[str, Any]", response.data), {name.lower(): value for name, value in headers.items()}


async def identity(token: str, *, api_url: str = API_URL, timeout_s: float = TIMEOUT_S) -> Identity:
    """Whose token it is, and its scopes.

    Raises:
        SlackRefused, PlatformDown: as `ask`.
    """
    answer, headers = await ask("auth.test", token, api_url=api_url, timeout_s=timeout_s)
    whole = bool(answer.get("is_enterprise_install"))
    scopes = frozenset(
        scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",") if scope.strip()
    )
    bot = BotToken(
        token=token,
        team="" if whole else str(answer.get("team_id") or ""),
        enterprise=str(answer.get("enterprise_id") or ""),
        bot_user=str(answer.get("user_id") or ""),
        bot_id=str(answer.get("bot_id") or ""),
        app_id=str(answer.get("app_id") or headers.get("x-slack-app-id", "")),
        scopes=scopes,
    )
    return Identity(bot, str(answer.get("team") or ""), whole)


class OneWorkspace:
    """The token of SLACK_BOT_TOKEN, for the workspace it was given in. Implements `Tokens`.

    Args:
        token: `xoxb-…`.
        api_url: Slack's Web API, with a slash at the end.
    """

    def __init__(self, token: str, api_url: str = API_URL, *, timeout_s: float = TIMEOUT_S) -> None:
        self._token = token
        self._api_url = api_url
        self._timeout_s = timeout_s
        self._known: BotToken | None = None
        self._failed: tuple[float, AdapterError] | None = None  # until when, with what
        self._asking = asyncio.Lock()

    async def bot(self, team: str, enterprise: str = "") -> BotToken:
        """The token, if it is good for this workspace; `team` "" asks for whichever it is.

        Raises:
            NotAllowed: it belongs to another workspace.
            PlatformDown: Slack cannot be reached, or refuses the token; the message says what to do.
        """
        bot = await self._who()
        if not team or team == bot.team or (not bot.team and enterprise in ("", bot.enterprise)):
            return bot
        raise NotAllowed(
            f"SLACK_BOT_TOKEN belongs to workspace {bot.team or bot.enterprise}, not to {team}; "
            "install the app there (SLACK_CLIENT_ID and /slack/install)"
        )

    @property
    def team(self) -> str:
        """The workspace it belongs to; "" where that is not known yet."""
        return self._known.team if self._known is not None else ""

    async def verify(self) -> None:
        """Ask Slack about the token now, whatever was known of it.

        Raises:
            NotAllowed: Slack does not know the token (any more).
            PlatformDown: Slack cannot be reached, or does not say.
        """
        try:
            found = await identity(self._token, api_url=self._api_url, timeout_s=self._timeout_s)
        except SlackRefused as error:
            if error.code not in DEAD:
                raise PlatformDown(f"Slack does not answer auth.test now ({error.code})") from None
            raise NotAllowed(f"Slack refuses SLACK_BOT_TOKEN ({error.code}); {COPY_TOKEN}") from None
        self._known, self._failed = found.bot, None

    def forget(self) -> None:
        """Ask Slack again at the next use."""
        self._known = self._failed = None

    async def _who(self) -> BotToken:
        if self._known is not None:
            return self._known
        async with self._asking:  # many turns at once: one question
            if self._known is None:
                if self._failed is not None and time.monotonic() < self._failed[0]:
                    raise self._failed[1].with_traceback(None)
                try:
                    found = await identity(self._token, api_url=self._api_url, timeout_s=self._timeout_s)
                except AdapterError as error:
                    told = _told(error)
                    self._failed = (time.monotonic() + _AGAIN_AFTER_S, told)
                    raise told from None
                self._known = found.bot
            return self._known


def _told(error: AdapterError) -> AdapterError:
    if not isinstance(error, SlackRefused):
        return error
    return PlatformDown(f"Slack refuses SLACK_BOT_TOKEN ({error.code}); {COPY_TOKEN}, and start again")


class Fixed:
    """The one token for its own workspace, installations for all others. Implements `Tokens`."""

    def __init__(self, one: OneWorkspace, installations: Tokens) -> None:
        self._one = one
        self._installations = installations

    async def bot(self, team: str, enterprise: str = "") -> BotToken:
        """As `Tokens.bot`."""
        try:
            return await self._one.bot(team, enterprise)
        except AdapterError as error:
            try:
                return await self._installations.bot(team, enterprise)
            except NotAllowed as absent:
                # Slack refusing the fixed token says more than "not installed".
                raise (absent if isinstance(error, NotAllowed) else error) from None
