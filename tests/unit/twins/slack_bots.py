"""A small real Bolt app on a twin, in Socket Mode or over HTTP, and things to post; for the twin's tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.twins.slack import SlackTwin
from tests.twins.slack.delivery import Json


def web_client(slack: SlackTwin, token: str | None = None) -> Any:
    """slack_sdk's client with the bot's token, or with another. `Any`: its methods are half typed."""
    return AsyncWebClient(token=token or slack.bot_token, base_url=slack.api_url)


def bolt_app(slack: SlackTwin) -> Any:
    """An app that knows the twin's tokens. `Any`: Bolt's decorators are half typed."""
    return AsyncApp(client=web_client(slack), signing_secret=slack.app.signing_secret)


@asynccontextmanager
async def running(app: AsyncApp, slack: SlackTwin) -> AsyncGenerator[None]:
    """The app connected to the twin, in the twin's mode."""
    if slack.mode == "socket":
        async with in_socket_mode(app, slack):
            yield
    else:
        async with over_http(app) as url:
            await slack.set_events_url(url)
            yield


@asynccontextmanager
async def in_socket_mode(app: AsyncApp, slack: SlackTwin) -> AsyncGenerator[AsyncSocketModeHandler]:
    """The app connected by a WebSocket, looking every 0.2 s whether it still is."""
    before = slack.connections
    link = AsyncSocketModeHandler(app, slack.app_token, ping_interval=0.2)
    await link.connect_async()
    try:
        await slack.until(lambda: slack.connections > before)
        yield link
    finally:
        await link.close_async()


@asynccontextmanager
async def over_http(app: AsyncApp) -> AsyncGenerator[str]:
    """The app behind `POST /slack/events`; gives the address."""

    async def events(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    application = web.Application()
    application.router.add_post("/slack/events", events)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    finally:
        await runner.cleanup()


# ── things to post ───────────────────────────────────────────────────────────────────────────


def text(words: str) -> Json:
    return {"type": "plain_text", "text": words}


def button(words: str, action: str, value: str) -> Json:
    return {"type": "button", "text": text(words), "action_id": action, "value": value}


CARD: list[Json] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "Shall I?"}},
    {
        "type": "actions",
        "block_id": "asks",
        "elements": [button("Yes", "say:yes", "1"), button("No", "say:no", "2")],
    },
]
FORM: Json = {
    "type": "modal",
    "callback_id": "form",
    "notify_on_close": True,
    "title": text("A form"),
    "submit": text("Send"),
    "blocks": [
        {
            "type": "input",
            "block_id": "goal",
            "label": text("Goal"),
            "element": {
                "type": "plain_text_input",
                "action_id": "value",
                "max_length": 10,
                "initial_value": "llamas",
            },
        },
        {
            "type": "input",
            "block_id": "size",
            "optional": True,
            "label": text("Size"),
            "element": {
                "type": "static_select",
                "action_id": "value",
                "options": [{"text": text("Small"), "value": "s"}, {"text": text("Large"), "value": "l"}],
            },
        },
    ],
}


async def post_card(slack: SlackTwin) -> str:
    """The `ts` of a card with two buttons in general."""
    posted = await web_client(slack).chat_postMessage(channel=slack.general, text="Shall I?", blocks=CARD)
    return str(posted["ts"])
