"""A whole Discord on 127.0.0.1, for real bots: REST, CDN, gateway, people.

    async with DiscordTwin() as discord:            # a guild with #general, the bot is a member
        ada = discord.person("ada", permissions=("manage_guild",))
        ada.mentions(discord.general, "what do llamas eat?")
        await discord.until(lambda: …)              # the bot got DISCORD_* from discord.environment()

`discord.backend` is the state (SimCord's), `discord.calls` every REST call, `discord.violations` where a
call broke Discord's description, `discord.faults` and `discord.rates` what is refused, `discord.gateway`
the sockets. `discord.advance(seconds)` sets the clock forward.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from simcord.backend.models import Guild, Overwrite, User
from simcord.enums import ChannelType, OverwriteType

from tests.calm import Watch
from tests.twins.discord.faults import Call, Faults
from tests.twins.discord.gateway import Gateway
from tests.twins.discord.people import Person
from tests.twins.discord.rates import Rates
from tests.twins.discord.rest import Rest
from tests.twins.discord.threads import archive_quiet
from tests.twins.discord.world import BOT_PERMISSIONS, World, permission_bits

T = TypeVar("T")
LOOK_AGAIN_S = 0.25  # for what a test waits for and the twin cannot know of, as a list in the bot
LARGEST_BODY = 64 << 20


class DiscordTwin:
    """One Discord with one application and its bot, listening while the `async with` block runs.

    Args:
        permissions: what the bot's role has in every guild.
        message_content: the privileged intent is switched on for the application.
        limits: rate limits are kept; off, nothing is ever answered 429.
        time_scale: how long a second of the rate limits' windows lasts; 0.01 makes 5 s 50 ms.
        shards: what `GET /gateway/bot` advises.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        *,
        permissions: Collection[str] = BOT_PERMISSIONS,
        message_content: bool = True,
        limits: bool = True,
        time_scale: float = 1.0,
        shards: int = 1,
        port: int = 0,
    ) -> None:
        self.world = world = World(permissions)
        self.backend = world.backend
        self.message_content = message_content
        self.shards = shards
        self.token = _token(world.backend.bot_user.id)
        self.token_valid = True
        self.faults = Faults()
        self.rates = Rates(on=limits, time_scale=time_scale)
        self.violations: list[str] = []  # route and what was wrong with a call, oldest first
        self.base_url = ""
        self.rest = Rest(self)
        self.gateway = Gateway(self)
        self._people: dict[int, Person] = {}
        self._port = port
        self._waiting: set[asyncio.Future[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self.backend.subscribers.append(self._happened)

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._wake_after])
        application.router.add_get("/gateway", self.gateway.handle)
        self.rest.add_routes(application)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.world.cdn.base_url = f"{self.base_url}/cdn"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        """The REST API's base, as DISCORD_API_URL: `http://127.0.0.1:PORT/api/v10`."""
        return f"{self.base_url}/api/v10"

    @property
    def gateway_url(self) -> str:
        """`ws://127.0.0.1:PORT/gateway`, as `GET /gateway/bot` tells it."""
        return self.base_url.replace("http", "ws", 1) + "/gateway"

    def environment(self) -> dict[str, str]:
        """DISCORD_* for a bot's process."""
        return {"DISCORD_BOT_TOKEN": self.token, "DISCORD_API_URL": self.api_url}

    # ── who and what there is ────────────────────────────────────────────────────────────────

    @property
    def guild_id(self) -> str:
        """The first guild, Acme."""
        return str(self.world.guild.id)

    @property
    def general(self) -> str:
        """#general of the first guild."""
        return str(self.world.general)

    @property
    def application_id(self) -> str:
        return str(self.backend.application_id)

    @property
    def bot_id(self) -> str:
        """The bot's user."""
        return str(self.backend.bot_user.id)

    def person(
        self,
        name: str,
        *,
        permissions: Collection[str] = (),
        roles: Collection[str] = (),
        bot: bool = False,
        guild: str = "",
    ) -> Person:
        """Somebody by name in a guild, by default the first; who is unknown joins it.

        Args:
            permissions: given at once, by a role of their own.
            roles: names of roles they get; who is missing is made.
            bot: another application's bot; counts when the name is new.
        """
        place = self.backend.guilds[int(guild)] if guild else self.world.guild
        known = [u for u in self.backend.users.values() if u.name == name and u.id != int(self.bot_id)]
        user = known[0] if known else self.world.add_user(name, bot=bot, guild=place)
        self._join(place, user)
        for role in roles:
            self.backend.add_member_role(place.id, user.id, self.world.role(role, guild=place).id)
        if permissions:
            own = self.world.role(f"{name}'s", permissions, place)
            self.backend.add_member_role(place.id, user.id, own.id)
        return self._people.setdefault(user.id, Person(self, user.id))

    def channel(self, name: str, *, kind: int = ChannelType.TEXT, guild: str = "") -> str:
        """A new channel; returns its id."""
        return str(self.world.add_channel(name, self._guild(guild), kind=kind).id)

    def guild(self, name: str) -> str:
        """A further guild with the bot and #general; returns its id."""
        return str(self.world.add_guild(name).id)

    # ── what people and moderators do to the bot ─────────────────────────────────────────────

    def revokes_token(self) -> None:
        """The token is reset: calls get 401, sockets close with 4004."""
        self.token_valid = False
        self.gateway.close_all(4004)
        self.changed()

    def restores_token(self) -> None:
        """The token is good again, as after entering a new one."""
        self.token_valid = True
        self.changed()

    def removes_bot(self, guild: str = "") -> None:
        """The bot is removed from a guild, whose channels are gone for it: GUILD_DELETE."""
        place = self._guild(guild)
        self.backend.lost_channels |= {*place.channel_ids, *place.thread_ids}
        self.backend.remove_guild(place.id)

    def deletes_channel(self, channel: str) -> None:
        """A moderator deletes a channel or thread."""
        self.backend.delete_channel(int(channel))

    def deletes_message(self, channel: str, message: str) -> None:
        """A moderator deletes a message."""
        self.backend.delete_message(int(channel), int(message))

    def closes_thread(self, thread: str, *, locked: bool = False) -> None:
        """A moderator archives a thread, and locks it as well."""
        meta = {"archived": True, "locked": locked, "archive_timestamp": self.backend.now_iso()}
        self.backend.edit_channel(int(thread), {}, thread_metadata=meta)

    def locks_thread(self, thread: str) -> None:
        """A moderator locks a thread that stays open."""
        self.backend.edit_channel(int(thread), {}, thread_metadata={"locked": True})

    def takes_permissions(self, *names: str, guild: str = "") -> None:
        """The bot loses permissions: its role has them no more, and every channel denies them to it."""
        self._set_bot(guild, lambda bits: bits & ~permission_bits(names))
        for channel in self._guild(guild).channel_ids:
            self.denies(str(channel), *names)

    def gives_permissions(self, *names: str, guild: str = "") -> None:
        """The bot's role gets permissions, and no channel denies it any."""
        self._set_bot(guild, lambda bits: bits | permission_bits(names))
        for channel in self._guild(guild).channel_ids:
            self.backend.delete_overwrite(channel, self.backend.bot_user.id)

    def hides_channel(self, channel: str) -> None:
        """A channel the bot can no longer see: an overwrite denies it."""
        self.denies(channel, "view_channel")

    def denies(self, channel: str, *names: str) -> None:
        """An overwrite of a channel denies the bot permissions."""
        deny = permission_bits(names)
        mine = Overwrite(self.backend.bot_user.id, OverwriteType.MEMBER, allow=0, deny=deny)
        self.backend.set_overwrite(int(channel), mine)

    def closes_dms(self, user: str) -> None:
        """Somebody takes no direct messages any more: 50007."""
        self.backend.closed_dms.add(int(user))

    def advance(self, seconds: float) -> None:
        """Set Discord's clock forward: deadlines, ids and time stamps, but not rate limits."""
        self.backend.clock.advance(seconds)
        archive_quiet(self.backend)
        self.changed()

    # ── what happened ────────────────────────────────────────────────────────────────────────

    @property
    def calls(self) -> list[Call]:
        """Every REST call, oldest first."""
        return self.faults.calls

    async def until(self, predicate: Callable[[], T | None], within_s: float = 10.0) -> T:
        """Wait until the predicate gives something true, and return that.

        It is asked after every change and call, and each quarter of a second for what the twin cannot know.

        Raises:
            TimeoutError: it did not happen in time; the message says what the twin saw last.
        """
        loop = asyncio.get_running_loop()
        watch = Watch()
        while True:
            waiter = loop.create_future()
            self._waiting.add(waiter)
            try:
                if found := predicate():
                    return found
                if watch.calm_s >= within_s:
                    raise TimeoutError(f"it did not happen within {within_s} s; {self.summary()}")
                await asyncio.wait([waiter], timeout=min(LOOK_AGAIN_S, max(0.01, within_s - watch.calm_s)))
            finally:
                self._waiting.discard(waiter)

    def summary(self) -> str:
        """What a failed wait wants to know: the last calls, and what broke the description."""
        calls = [f"{c.name} {c.status}{f' ({c.code})' if c.code else ''}" for c in self.calls[-8:]]
        return f"last calls: {calls}; violations: {self.violations[-3:]}"

    def changed(self) -> None:
        """Wake those who wait."""
        for waiter in tuple(self._waiting):
            if not waiter.done():
                waiter.set_result(None)

    def later(self, act: Coroutine[Any, Any, None]) -> None:
        """Let something go on in the background until the twin ends."""
        task = asyncio.get_running_loop().create_task(act)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _guild(self, guild: str) -> Guild:
        return self.backend.get_guild(int(guild)) if guild else self.world.guild

    def _join(self, guild: Guild, user: User) -> None:
        if user.id not in guild.members:
            self.backend.add_member(guild.id, user.id, announce=True)

    def _set_bot(self, guild: str, change: Callable[[int], int]) -> None:
        place = self._guild(guild)
        role = self.world.bot_role(place)
        self.backend.edit_role(place.id, role.id, {"permissions": change(role.permissions)})

    def _happened(self, event: str, payload: Mapping[str, Any]) -> None:
        self.changed()

    @web.middleware
    async def _wake_after(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            self.changed()


def _token(user: int) -> str:
    # Shaped as Discord's: the bot's id, a time, a secret.
    name = urlsafe_b64encode(str(user).encode()).decode().rstrip("=")
    return f"{name}.{secrets.token_urlsafe(4)[:6]}.{secrets.token_urlsafe(28)[:38]}"
