"""A twin of Slack's Web API with a team, two people, a bot and a channel, and a real AsyncWebClient."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.twins.slack.web_api import WebApi, application_for
from tests.twins.slack.workspace import App, Channel, Happening, Install, Team, User, World

SCOPES = frozenset(
    {
        "assistant:write",
        "channels:history",
        "channels:join",
        "channels:read",
        "chat:write",
        "files:read",
        "files:write",
        "groups:history",
        "groups:read",
        "im:history",
        "im:read",
        "im:write",
        "reactions:read",
        "reactions:write",
        "usergroups:read",
        "users:read",
    }
)


@dataclass
class Office:
    """What the tests work with. `client` holds the bot's token."""

    world: World
    api: WebApi
    team: Team
    ada: User
    bob: User
    app: App
    bot: Install
    general: Channel
    client: Any  # AsyncWebClient: slack_sdk leaves its types open
    told: list[Happening]

    def client_with(self, token: str | None) -> Any:
        """A client with another token, or none; nothing is repeated."""
        return AsyncWebClient(token=token, base_url=f"{self.world.base_url}/api/", retry_handlers=[])

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of a type, or of a message subtype."""
        return [h.event for h in self.told if kind in (h.event["type"], h.event.get("subtype"))]

    async def replies(self, ts: str) -> list[dict[str, Any]]:
        """A thread of the channel, with metadata."""
        found = await self.client.conversations_replies(
            channel=self.general.id, ts=ts, include_all_metadata=True
        )
        return found["messages"]


@asynccontextmanager
async def office() -> AsyncGenerator[Office]:
    """A Slack that listens on loopback."""
    world = World()
    told: list[Happening] = []
    world.subscribe(told.append)
    team = world.add_team("Acme")
    ada = world.add_user(team.id, "ada", is_admin=True)
    bob = world.add_user(team.id, "bob")
    app = world.add_app("Quartet", events={"agent_session_stopped"})
    bot = world.install(app.id, team.id, SCOPES, by=ada.id)
    general = world.add_channel(team.id, "general", creator=ada.id, members=[bob.id, bot.bot_user])
    api = WebApi(world)
    runner = web.AppRunner(application_for(api), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        world.base_url = f"http://127.0.0.1:{port}"
        client = AsyncWebClient(
            token=world.token_of(bot), base_url=f"{world.base_url}/api/", retry_handlers=[]
        )
        yield Office(world, api, team, ada, bob, app, bot, general, client, told)
    finally:
        await runner.cleanup()


async def refused(call: Awaitable[Any]) -> str:
    """Slack's word for why the call was refused; "" when it was not."""
    try:
        await call
    except SlackApiError as error:
        return str(cast("dict[str, Any]", error.response)["error"])
    return ""
