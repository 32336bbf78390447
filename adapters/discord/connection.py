"""The connection to Discord's gateway: kept by discord.py, begun anew where that gives up or waits too long.

discord.py keeps Discord's addresses for the whole program, not for one client: with another `api_url` every
client in the program goes there.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import NamedTuple

import aiohttp
import discord
import structlog
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from adapters.discord.client import Client, Listener
from adapters.errors import AdapterError, NotAllowed, PlatformDown

START_S = 30.0  # to log in and to have the sessions
SHARD_S = 7.0  # what each shard takes more: they begin 5 s apart
DOWN_S = 60.0  # all shards: the library may wait up to 17 min between two tries, so then we begin anew
LONG_DOWN_S = 1200.0  # one shard alone; to begin anew would throw away the sessions of all the others
ADVICE_S = 60.0  # how long Discord's address is good for; it may be asked for twice in 5 s
APART_S = 5.0  # between two sessions, says Discord
SAID_S = 5.0  # a connection that is back by then was no trouble
WATCH_S = 0.5
CLOSE_S = 5.0
LONGEST_PAUSE_S = 30.0
REFUSED_PAUSE_S = 300.0  # with a token that is refused: each try counts towards Discord's limits
TOKEN = (
    "Discord refuses DISCORD_BOT_TOKEN; copy the token anew from Bot → Reset Token at "
    "discord.com/developers/applications, and set it"
)
NO_CONTENT = (
    "Discord does not let the bot read messages that do not mention it, so replies in its threads need a "
    "mention; switch on Bot → Message Content Intent at discord.com/developers/applications, and start again"
)

log = structlog.get_logger(__name__)


class Advice(NamedTuple):
    """What Discord says about connecting."""

    asked: float  # when, by the monotonic clock
    shards: int
    address: str  # of the gateway
    starts: int  # sessions that may still begin
    reset_s: float  # until that is the full number again


class Connection:
    """One bot's connection, over as many sessions as it takes.

    Args:
        token: the bot's token.
        listener: is told what comes in.
        api_url: Discord's REST API; the gateway's address comes from there.
        shards: how many connections; None: as many as Discord recommends.
        content: ask for the text of messages that do not name the bot.
    """

    def __init__(
        self, token: str, listener: Listener, *, api_url: str, shards: int | None, content: bool
    ) -> None:
        self._token = token
        self._listener = listener
        self._api_url = api_url.rstrip("/")
        self._shards = shards
        self.content = content  # whether Discord lets us read what does not name the bot
        self.client: Client | None = None  # of the newest session; its cache is there after the end, too
        self._running: asyncio.Task[None] | None = None  # the library's work
        self._watch: asyncio.Task[None] | None = None
        self._down: dict[int, float] = {}  # shard → since when, by the monotonic clock
        self._advised: Advice | None = None  # what Discord said last
        self._allowed_at = 0.0  # when sessions may begin again, by the monotonic clock
        self._identified = -APART_S  # when the newest session was asked for, by the monotonic clock
        self._lost = ""  # why there is no connection now
        self._lacking = ""  # what Discord does not let us do

    @property
    def trouble(self) -> str:
        """Why Discord is not reached now, or not in full, with the remedy; "": all is well."""
        if self._lost:
            return self._lost
        if self._down_s() > SAID_S:
            return "Discord's gateway is not reached now; the connection is tried again"
        return self._lacking

    async def start(self) -> None:
        """Connect; returns when every session is there. May be called again after an error.

        Raises:
            NotAllowed: the token is wrong; the message names the setting.
            PlatformDown: Discord cannot be reached now.
        """
        if self._watch is not None:
            return
        try:
            await self._open()
        except BaseException:  # also where the bot is stopped meanwhile: what is open is closed
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._keep(), name="discord-gateway")

    async def stop(self) -> None:
        """Disconnect. May be called twice."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        await self._close()
        self._lost = ""

    def up(self, shard: int) -> None:
        """A shard's session is there."""
        self._down.pop(shard, None)

    def down(self, shard: int) -> None:
        """A shard lost its connection; the library tries again."""
        self._down.setdefault(shard, time.monotonic())

    @property
    def unsure(self) -> bool:
        """Whether something may be missing: a shard is away, or has not told of its guilds yet."""
        client = self.client
        return bool(self._down) or client is None or not client.greeted.is_set()

    def _down_s(self) -> float:
        """How long the shard is down that is down for longest, in seconds."""
        return time.monotonic() - min(self._down.values()) if self._down else 0.0

    def _all_down_s(self) -> float:
        """For how long no shard is up, in seconds."""
        shards = self.client.shard_count if self.client is not None else None
        if not self._down or len(self._down) < (shards or 1):
            return 0.0
        return time.monotonic() - max(self._down.values())

    # ── one session ──────────────────────────────────────────────────────────────────────────

    async def _open(self) -> None:
        try:
            await self._connect()
        except discord.PrivilegedIntentsRequired:
            if not self.content:
                raise NotAllowed("Discord refuses what the bot wants to be told of (4014)") from None
            # Mentions and direct messages come with their text all the same.
            self.content, self._lacking = False, NO_CONTENT
            log.warning("Messages come without their text.", action="discord.no_content", remedy=NO_CONTENT)
            await self._open()
        except discord.DiscordException as error:
            raise refused(error) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PlatformDown(
                f"Discord cannot be reached ({type(error).__name__}); check the network"
            ) from None
        except (ValueError, TypeError, KeyError) as error:
            if not _sendable(self._token):
                raise NotAllowed(TOKEN) from None
            raise PlatformDown(f"Discord answered in an unknown way ({type(error).__name__})") from None

    async def _connect(self) -> None:
        await self._close()
        Route.BASE = self._api_url
        client = self.client = Client(self._listener, content=self.content)
        self._may_begin()
        async with asyncio.timeout(START_S) as limit:
            await client.login(self._token)
            if self.content and not _content_allowed(client):
                raise discord.PrivilegedIntentsRequired(None)  # as the gateway would, for one IDENTIFY less
            shards, address = await self._allowed(client)
            limit.reschedule(asyncio.get_running_loop().time() + START_S + SHARD_S * shards)
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(address)
            client.shard_count = shards
            await asyncio.sleep(max(self._identified + APART_S - time.monotonic(), 0.0))
            self._identified = time.monotonic()
            running = self._running = asyncio.create_task(client.connect(), name="discord-connection")
            greeted = asyncio.create_task(client.greeted.wait())
            try:
                await asyncio.wait([running, greeted], return_when=asyncio.FIRST_COMPLETED)
            finally:
                greeted.cancel()
        if running.done():
            await running  # says why
            raise PlatformDown("Discord closed the connection; it is tried again")
        self._lost = ""

    async def _allowed(self, client: Client) -> tuple[int, str]:
        """How many shards, and the gateway's address. Each shard is a session: those are counted here.

        Raises:
            PlatformDown: fewer sessions may begin than there are shards.
        """
        cached = self._fresh_advice() is not None
        advice = await self._advice(client)
        if cached and advice.starts < (self._shards or advice.shards):
            self._advised = None
            advice = await self._advice(client)
        shards = self._shards or advice.shards
        if advice.starts < shards:  # one too many, and Discord would take the token back
            self._allowed_at = time.monotonic() + advice.reset_s
            self._may_begin()
        self._advised = advice._replace(starts=advice.starts - shards)
        return shards, advice.address

    def _may_begin(self) -> None:
        wait_s = self._allowed_at - time.monotonic()
        if wait_s > 0:
            raise PlatformDown(
                f"Discord allows no new connection for {wait_s / 60 + 1:.0f} min: too many were made today"
            )

    def _fresh_advice(self) -> Advice | None:
        advice = self._advised
        return advice if advice is not None and time.monotonic() - advice.asked < ADVICE_S else None

    async def _advice(self, client: Client) -> Advice:
        """How to connect. The library itself forgets the address once a session is refused."""
        advice = self._fresh_advice()
        if advice is None:
            shards, address, starts = await client.http.get_bot_gateway()
            advice = Advice(
                time.monotonic(), shards, address, starts["remaining"], starts["reset_after"] / 1000
            )
            self._advised = advice
        return advice

    async def _close(self) -> None:
        client, running, self._running = self.client, self._running, None
        if client is not None and not client.is_closed():
            with suppress(Exception):  # a connection that is broken already
                async with asyncio.timeout(CLOSE_S):
                    await client.close()
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if client is not None:
            with suppress(Exception):
                await client.http.close()
        self._down.clear()

    # ── one after the other ──────────────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s or WATCH_S)
            why = self._ended()
            if why is None:
                continue
            if not self._lost:
                self._lost = str(why)
                log.warning("The connection to Discord is down.", action="discord.down", error=self._lost)
                if isinstance(why, NotAllowed):  # to try at once would not help
                    await self._close()
                    pause_s = REFUSED_PAUSE_S
                    continue
            try:
                await self._open()
            except Exception as error:
                # Whatever it is: without this task the bot would be deaf for ever, and nobody told.
                self._lost = str(refused(error))
                pause_s = min(pause_s * 2 or WATCH_S, LONGEST_PAUSE_S)
                if isinstance(error, NotAllowed):
                    pause_s = REFUSED_PAUSE_S
                log.warning("Discord is not reached.", action="discord.down", error=self._lost)
            else:
                pause_s = 0.0
                log.info("The connection to Discord was made anew.", action="discord.up")

    def _ended(self) -> AdapterError | None:
        """Why the connection is over, or not worth waiting for; None: it is there, or the library tries."""
        running = self._running
        if running is None:
            return PlatformDown(self._lost or "Discord is not connected")
        if running.done():
            return refused(None if running.cancelled() else running.exception())
        if self._all_down_s() > DOWN_S or self._down_s() > LONG_DOWN_S:
            return PlatformDown("Discord's gateway was not reached for long; the connection is made anew")
        return None


def refused(error: BaseException | None) -> AdapterError:
    """The library's errors in our words."""
    if isinstance(error, AdapterError):
        return error
    if isinstance(error, discord.LoginFailure):
        return NotAllowed(TOKEN)
    if isinstance(error, discord.HTTPException):
        return PlatformDown(f"Discord cannot be reached ({error.status}); it is tried again")
    if not isinstance(error, discord.ConnectionClosed):
        name = type(error).__name__ if error is not None else "closed"
        return PlatformDown(f"Discord's gateway cannot be reached ({name}); it is tried again")
    match error.code:
        case 4004:
            return NotAllowed(TOKEN)
        case 4010 | 4011:
            return NotAllowed(f"Discord refuses the number of shards ({error.code}); leave `shards` out")
        case 4012 | 4013 | 4014:
            return NotAllowed(f"Discord refuses how the bot connects ({error.code}); update Quartet")
        case code:
            return PlatformDown(f"Discord closed the connection ({code}); it is tried again")


def _content_allowed(client: Client) -> bool:
    """Whether the application may read messages that do not name the bot; also where Discord does not say."""
    known = client.application
    if known is None or not known.flags.value:
        return True
    return known.flags.gateway_message_content or known.flags.gateway_message_content_limited


def _sendable(token: str) -> bool:
    """Whether a token can stand in a request at all."""
    return token.strip().isascii() and token.strip().isprintable()
