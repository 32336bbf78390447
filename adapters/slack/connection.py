"""Socket Mode: one WebSocket that is always renewed. What Slack does not see acknowledged it delivers again.

slack_sdk's client reconnects by itself, but it tries the same used ticket for ever; so it is told not
to, and `Connection` looks after it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Any

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

from adapters.errors import AdapterError, NotAllowed, PlatformDown
from adapters.slack.tokens import DEAD

TICKET_S = 10.0  # for the address of a new connection
OPEN_S = 4.0  # for the connection; slack_sdk would try the same ticket for ever
PING_S = 5.0
LEAVE_S = 15.0  # for the connection before; Slack closes it about 10 s after it told us to go
LOOK_S = 0.25  # how often the connection is looked at
LONGEST_PAUSE_S = 15.0

log = structlog.get_logger(__name__)
_QUIET = logging.getLogger("adapters.slack.socket")
_QUIET.setLevel(logging.CRITICAL)  # its errors hold addresses with tickets; we tell of them ourselves


class _Client(SocketModeClient):
    """slack_sdk's client, which says that it wants a new connection instead of making one.

    slack_sdk closes the old connection before it opens the new one, and what Slack sends meanwhile is lost:
    a click for ever. Here the new one is opened first, and the old one read to its end.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, auto_reconnect_enabled=False, **kwargs)
        self.renew = asyncio.Event()
        self.leaving: set[asyncio.Task[None]] = set()

    async def connect_to_new_endpoint(self, force: bool = False) -> None:
        self.renew.set()

    async def connect(self) -> None:
        """Open a connection at `wss_uri`, once.

        Raises:
            aiohttp.ClientError, OSError, ValueError: it does not open.
        """
        parts: Any = self  # slack_sdk says of its tasks only that they are futures
        old, tasks = self.current_session, (parts.message_receiver, parts.current_session_monitor)
        session = await self.aiohttp_client_session.ws_connect(
            self.wss_uri or "",
            autoping=False,
            heartbeat=self.ping_interval,
            proxy=self.proxy,
            ssl=self.web_client.ssl or True,
        )
        self.current_session = session  # acknowledgements go there from now on
        self.message_receiver = asyncio.ensure_future(self.receive_messages())
        self.current_session_monitor = asyncio.ensure_future(self.monitor_current_session())
        for task in tasks:
            if task is not None:
                task.cancel()
        if old is not None:
            leaving = asyncio.create_task(self._leave(old, tasks[0]), name="slack-socket-before")
            self.leaving.add(leaving)
            leaving.add_done_callback(self.leaving.discard)

    async def _leave(
        self, session: aiohttp.ClientWebSocketResponse, receiver: asyncio.Future[None] | None
    ) -> None:
        """Take what still comes on the old connection, until Slack closes it."""
        with suppress(Exception):  # it may be broken in any way
            if receiver is not None:  # two must not read at once
                await asyncio.wait([receiver])
            async with asyncio.timeout(LEAVE_S):
                async for message in session:
                    if message.type is aiohttp.WSMsgType.PING:
                        await session.pong(message.data)
                    elif message.type is aiohttp.WSMsgType.TEXT and not _farewell(message.data):
                        await self.enqueue_message(message.data)
        with suppress(Exception):
            await session.close()


class Connection:
    """The WebSocket.

    Args:
        app: Bolt's app, which gets every envelope.
        app_token: `xapp-…`.
        base_url: Slack's Web API.
    """

    def __init__(self, app: AsyncApp, app_token: str, *, base_url: str) -> None:
        self._app = app
        self._app_token = app_token
        self._base_url = base_url
        self._client: _Client | None = None
        self._watch: asyncio.Task[None] | None = None
        self.trouble = ""

    async def start(self) -> None:
        """Connect. May be called again after an error.

        Raises:
            NotAllowed: the app token is wrong, or Socket Mode is off.
            PlatformDown: not reachable now.
        """
        if self._watch is not None:
            return
        try:
            client = self._client = self._client or await self._made()
            await self._open(client)
        except BaseException:  # also where the bot is stopped meanwhile: what is open is closed
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._keep(client), name="slack-socket")

    async def _made(self) -> _Client:
        handler = AsyncSocketModeHandler(self._app, self._app_token, logger=_QUIET)
        await handler.client.close()  # it does not know of us
        client = _Client(
            self._app_token,
            logger=_QUIET,
            web_client=AsyncWebClient(base_url=self._base_url, timeout=int(TICKET_S)),
            ping_interval=PING_S,
        )
        client.socket_mode_request_listeners.append(handler.handle)  # pyright: ignore[reportArgumentType, reportUnknownMemberType]
        handler.client = client
        return client

    async def stop(self) -> None:
        """Disconnect. May be called twice."""
        watch, self._watch = self._watch, None
        client, self._client = self._client, None
        if watch is not None:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        if client is not None:
            with suppress(Exception):  # a connection that is broken already
                await client.close()
            await client.aiohttp_client_session.close()
            await _ended(client)

    async def _open(self, client: _Client) -> None:
        client.renew.clear()
        try:
            async with asyncio.timeout(TICKET_S):
                client.wss_uri = await client.issue_new_wss_url()
            client.stale, client.last_ping_pong_time = False, None
            async with asyncio.timeout(OPEN_S):
                await client.connect()
        except SlackApiError as error:
            raise _refused(error) from None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
            raise PlatformDown(
                f"Slack's Socket Mode cannot be reached ({type(error).__name__}); check the network"
            ) from None
        self.trouble = ""

    async def _keep(self, client: _Client) -> None:
        pause_s = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await client.renew.wait()
            since = time.monotonic()
            try:
                if not client.renew.is_set() and await client.is_connected():
                    continue
                await self._open(client)
            except Exception as error:
                # Whatever it is: without this task the bot would be deaf for ever, and nobody told.
                self.trouble = _told(error)
                pause_s = min(pause_s * 2 or 0.25, LONGEST_PAUSE_S)
                log.warning("The Slack socket is down.", action="slack.socket_down", error=self.trouble)
                client.renew.set()
                await asyncio.sleep(pause_s)
            else:
                pause_s = 0.0
                log.info(
                    "The Slack socket was renewed.",
                    action="slack.socket",
                    seconds=round(time.monotonic() - since, 2),
                )


def _farewell(frame: str) -> bool:
    """Whether Slack tells us to go."""
    try:
        return json.loads(frame)["type"] == "disconnect"
    except (ValueError, TypeError, KeyError):
        return False


def _told(error: Exception) -> str:
    if isinstance(error, AdapterError):
        return str(error)
    return f"Slack's Socket Mode cannot be reached ({type(error).__name__}); it is tried again"


async def _ended(client: _Client) -> None:
    """Its tasks were cancelled; wait for them, so that none outlives the loop."""
    parts: Any = client
    for leaving in tuple(client.leaving):
        leaving.cancel()
    tasks = (
        parts.message_processor, parts.message_receiver, parts.current_session_monitor, *client.leaving
    )  # fmt: skip
    await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


def _refused(error: SlackApiError) -> AdapterError:
    response: Any = error.response
    code = str(response.get("error") or "") if isinstance(response.data, dict) else ""
    if code in DEAD or code in ("not_allowed_token_type", "missing_scope"):
        return NotAllowed(
            f"Slack refuses SLACK_APP_TOKEN ({code}); make an app-level token (xapp-…) with "
            "connections:write under Basic Information at api.slack.com/apps, and set it"
        )
    if code in ("socket_mode_disabled", "access_denied", "forbidden_team"):
        return NotAllowed(
            f"Slack refuses Socket Mode ({code}); switch it on under Socket Mode at api.slack.com/apps"
        )
    return PlatformDown(
        f"Slack's Socket Mode cannot be reached ({code or response.status_code}); it is tried again"
    )
