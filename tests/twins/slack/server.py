"""A whole Slack on 127.0.0.1, for real bots: Web API, Socket Mode, signed HTTP, OAuth, files, people.

    async with SlackTwin() as slack:                       # or mode="http" and slack.set_events_url(url)
        ada, general = slack.person("ada"), slack.general
        ts = ada.mentions(general, "what do llamas eat?")  # the bot got SLACK_* from slack.environment()
        await slack.until(lambda: len(ada.sees(general, ts)) > 1)

`slack.world` is the state, `slack.delivery` what goes to the bot and came back, `slack.faults` and
`slack.rates` what the Web API refuses, `slack.calls` every call it got.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Coroutine
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from adapters.slack.manifest import COMMAND
from adapters.slack.scopes import bot_events, bot_scopes
from tests.calm import Watch
from tests.twins.slack.calls import Ask
from tests.twins.slack.delivery import ACK_LIMIT_S, Delivery, Kind
from tests.twins.slack.envelopes import Envelopes
from tests.twins.slack.faults import Call, Faults
from tests.twins.slack.interactions import Interactions
from tests.twins.slack.oauth import Consent, OAuth, basic_login
from tests.twins.slack.other_bots import OtherBot
from tests.twins.slack.people import Person
from tests.twins.slack.rates import Rates
from tests.twins.slack.response_urls import ResponseUrls
from tests.twins.slack.signed_http import SignedHttp
from tests.twins.slack.sockets import Reason, Sockets
from tests.twins.slack.web_api import WebApi, application_for
from tests.twins.slack.workspace import Happening, Install, Json, Refused, Team, User, World

Mode = Literal["socket", "http"]
T = TypeVar("T")
LOOK_AGAIN_S = 0.25  # for what a test waits for and the twin cannot know of, as a list in the bot


class SlackTwin:
    """One Slack with one app, listening while the `async with` block runs.

    In the workspace Acme are ada, bob, cem (plain) and root (an admin), and the channel `general` with all
    of them and the bot.

    Args:
        mode: how the app gets its events.
        events_url: of `http`: the bot's request URL; or `set_events_url` later.
        events: what the app subscribed to; by default what the adapter's manifest names.
        scopes: what the app was granted; by default what the adapter's manifest names.
        installed: False leaves the workspace without the app, for OAuth.
        enterprise: E… makes the workspace one of an Enterprise Grid organisation.
        rotation: the app's tokens expire after 12 hours and have refresh tokens.
        redirect_uris: what the app registered for OAuth; empty: anything goes.
        time_scale: how long a second of the documented retry pauses lasts; 0.01 makes a minute 0.6 s.
        ack_limit_s: how long Slack waits for an acknowledgement.
        ping_every_s: pause between ping frames.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        mode: Mode = "socket",
        events_url: str | None = None,
        *,
        events: Collection[str] | None = None,
        scopes: Collection[str] | None = None,
        commands: Collection[str] = (COMMAND,),
        installed: bool = True,
        enterprise: str = "",
        rotation: bool = False,
        redirect_uris: tuple[str, ...] = (),
        time_scale: float = 1.0,
        ack_limit_s: float = ACK_LIMIT_S,
        ping_every_s: float = 5.0,
        port: int = 0,
    ) -> None:
        self.mode: Mode = mode
        self.commands = frozenset(commands)
        self.world = world = World()
        self.team: Team = world.add_team("Acme", enterprise=enterprise)
        self.app = world.add_app(
            "Quartet", events=events if events is not None else bot_events(), rotation=rotation
        )
        self.api = WebApi(world)
        token = secrets.token_hex(12)
        self.sockets = Sockets(
            self.app.id, ack_limit_s=ack_limit_s, ping_every_s=ping_every_s, changed=self.changed
        )
        self.http = SignedHttp(self.app.signing_secret, token, ack_limit_s=ack_limit_s)
        self.delivery = Delivery(
            self.sockets if mode == "socket" else self.http, time_scale=time_scale, changed=self.changed
        )
        self.interactions = Interactions(world, self.app, token)
        self.response_urls = ResponseUrls(world, changed=self.changed)
        people = {
            name: world.add_user(self.team.id, name, is_admin=name == "root")
            for name in ("ada", "bob", "cem", "root")
        }
        self.oauth = OAuth(
            world, self.app, Consent(people["root"].id), redirect_uris=redirect_uris, changed=self.changed
        )
        members = [user.id for user in people.values()]
        if installed:
            granted = scopes if scopes is not None else bot_scopes()
            install = world.install(self.app.id, self.team.id, granted, by=people["root"].id)
            members.append(install.bot_user)
        self.general: str = world.add_channel(
            self.team.id, "general", creator=people["root"].id, members=members
        ).id
        self._envelopes = Envelopes(world, self.app, token)
        self._people: dict[str, Person] = {}
        self._others: dict[tuple[str, str], OtherBot] = {}
        self._events_url = events_url
        self._port = port
        self._waiting: set[asyncio.Future[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self.api.register("apps.connections.open", self._connections_open, auth=False)
        self.api.register("oauth.v2.access", self._oauth_access, auth=False)
        world.subscribe(self._happened)

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        application = application_for(self.api)
        application.middlewares.append(self._wake_after)
        application.router.add_get("/link/", self.sockets.link)
        application.router.add_get("/oauth/v2/authorize", self.oauth.authorize)
        for kind in ("actions", "commands", "app"):
            application.router.add_post(f"/{kind}/{{team}}/{{key}}", self.response_urls.answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self.world.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        if self._events_url:
            await self.set_events_url(self._events_url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.delivery.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.sockets.close()
        await self.http.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        """The Web API's base, for `AsyncWebClient(base_url=…)`; ends with `/api/`."""
        return f"{self.world.base_url}/api/"

    @property
    def authorize_url(self) -> str:
        """Where OAuth begins, for Bolt's `authorization_url`."""
        return f"{self.world.base_url}/oauth/v2/authorize"

    def environment(self, *, oauth: bool = False) -> dict[str, str]:
        """SLACK_* for a bot's process; with `oauth` the client's id and secret instead of a bot token."""
        named = {"SLACK_API_URL": self.api_url, "SLACK_SIGNING_SECRET": self.app.signing_secret}
        if self.mode == "socket":
            named["SLACK_APP_TOKEN"] = self.app_token
        if oauth:
            named["SLACK_CLIENT_ID"] = self.app.client_id
            named["SLACK_CLIENT_SECRET"] = self.app.client_secret
        else:
            named["SLACK_BOT_TOKEN"] = self.bot_token
        return named

    async def set_events_url(self, url: str) -> None:
        """Enter the bot's request URL, as on the app's page: Slack sends it a challenge first.

        Raises:
            ChallengeRefused: the bot did not answer with the challenge.
        """
        await self.http.verify(url)

    # ── who there is ─────────────────────────────────────────────────────────────────────────

    @property
    def app_token(self) -> str:
        """xapp-…"""
        return next(iter(self.app.app_tokens))

    @property
    def bot_token(self) -> str:
        """xoxb-… of the first workspace, as it is now."""
        return self.world.token_of(self.bot)

    @property
    def bot(self) -> Install:
        """The app in the first workspace."""
        return self.bot_of(self.team.id)

    def bot_of(self, team: str) -> Install:
        """The app in a workspace, installed there or in its organisation."""
        found = self.world.installed(self.app.id, team)
        if found is None:
            raise LookupError(f"the app is not installed in {team}")
        return found

    def person(self, name: str, *, team: str = "") -> Person:
        """Somebody by name, in the first workspace unless `team` says otherwise.

        Who is unknown joins the workspace, and in the first one #general, as with Slack.
        """
        team = team or self.team.id
        known = [u for u in self.world.users.values() if (u.team, u.name, u.is_bot) == (team, name, False)]
        user = known[0] if known else self._newcomer(team, name)
        return self._people.setdefault(user.id, Person(self, user))

    def channel(self, name: str, *members: str, private: bool = False, with_bot: bool = True) -> str:
        """A new channel in the first workspace with these people (names) and the bot; returns C…."""
        ids = [self.person(each).id for each in members]
        bots = [self.bot.bot_user] if with_bot else []
        return self.world.add_channel(self.team.id, name, members=[*ids, *bots], private=private).id

    def other_bot(self, name: str, *, team: str = "") -> OtherBot:
        """Another app's bot in a workspace."""
        key = (team or self.team.id, name)
        if key not in self._others:
            app = self.world.add_app(name)
            install = self.world.install(app.id, key[0], {"chat:write"})
            self._others[key] = OtherBot(self, app.id, install.bot_user)
        return self._others[key]

    # ── what Slack does by itself ────────────────────────────────────────────────────────────

    def unfurls(self, channel: str, ts: str, url: str = "https://example.com/page") -> None:
        """Slack adds a link's preview to a message, which comes as `message_changed`."""
        preview = {"from_url": url, "title": "A page", "fallback": "A page", "id": 1, "original_url": url}
        self.world.unfurl(channel, ts, [preview])

    def uninstalls(self, team: str = "") -> None:
        """An admin removes the app: `tokens_revoked`, `app_uninstalled`."""
        self.world.uninstall(self.bot_of(team or self.team.id))
        self.changed()

    def revokes_token(self, team: str = "") -> None:
        """The bot's token of a workspace is revoked: `tokens_revoked`."""
        install = self.bot_of(team or self.team.id)
        self.world.revoke(self.world.tokens[self.world.token_of(install)])
        self.changed()

    async def disconnect(self, reason: Reason = "refresh_requested", *, close_after_s: float = 0.2) -> None:
        """`disconnect` envelopes to every connection, which is closed soon after."""
        await self.sockets.disconnect(reason, close_after_s=close_after_s)

    def drop_sockets(self) -> int:
        """Every connection breaks, without a word; returns how many there were."""
        return self.sockets.drop()

    # ── what happened ────────────────────────────────────────────────────────────────────────

    @property
    def faults(self) -> Faults:
        """Orders for calls of the Web API to go wrong."""
        return self.api.faults

    @property
    def rates(self) -> Rates:
        """The Web API's limits."""
        return self.api.rates

    @property
    def calls(self) -> list[Call]:
        """Every call of the Web API, oldest first."""
        return self.api.faults.calls

    @property
    def connections(self) -> int:
        """How many sockets are open."""
        return self.sockets.connections

    def ack_latencies(self, kind: Kind | None = None) -> list[float]:
        """Seconds from sending to acknowledgement."""
        return self.delivery.ack_latencies(kind)

    async def until(self, predicate: Callable[[], T | None], within_s: float = 10.0) -> T:
        """Wait until the predicate gives something true, and return that.

        It is asked after every change of the world, and each quarter of a second for what the twin cannot
        know.

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
        """What a failed wait wants to know: sockets, the last calls, what was not acknowledged."""
        calls = [f"{c.method} {c.error or c.status}" for c in self.calls[-8:]]
        unacked = [p.event.get("type") or p.payload.get("type") or p.kind for p in self.delivery.unacked()]
        return f"{self.connections} sockets; last calls: {calls}; not acknowledged: {unacked[-8:]}"

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

    def _newcomer(self, team: str, name: str) -> User:
        user = self.world.add_user(team, name)
        if team == self.team.id:
            self.world.channels[self.general].members.append(user.id)
        return user

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _happened(self, happening: Happening) -> None:
        parcel = self._envelopes.parcel(happening)
        if parcel is not None:
            self.delivery.post(parcel)
        self.changed()

    @web.middleware
    async def _wake_after(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            self.changed()

    def _connections_open(self, ask: Ask) -> Json:
        if not ask.bearer:
            raise Refused("not_authed")
        if ask.bearer not in self.app.app_tokens:
            raise Refused("not_allowed_token_type" if ask.bearer in self.world.tokens else "invalid_auth")
        address = self.world.base_url.replace("http://", "ws://", 1)
        return {"url": f"{address}/link/?ticket={self.sockets.ticket()}&app_id={self.app.id}"}

    def _oauth_access(self, ask: Ask) -> Json:
        given = {name: str(value) for name, value in ask.arguments.items() if value is not None}
        given |= basic_login(ask.request.headers.get("Authorization", "") if ask.request else "")
        return self.oauth.access(given)
