"""What is behind the port of `quartet up`: the page, the API and every chat platform that is connected.

Loaded when the server listens already (`front`). A platform that cannot be reached keeps neither the page
nor the others waiting.
"""

from __future__ import annotations

import asyncio
import sys

import structlog
import uvicorn
from pydantic import SecretStr

from adapters.contract import ChatAdapter
from adapters.web.adapter import WebAdapter
from bot.api import core as api_core
from bot.api.access import Access
from bot.api.app import create_api, mount
from bot.app import Core, channel_defaults, open_core
from bot.door import Door
from bot.key_ring import KeyRing
from bot.page_sign_in import PageSignIn
from bot.platforms import Platforms
from bot.secret_keys import secret_keys
from config.errors import ConfigError
from config.settings import Settings
from orchestrator.agents.computing import OwnProcess
from orchestrator.infra.garbage import settle

log = structlog.get_logger(__name__)


async def bring_up(
    settings: Settings,
    server: uvicorn.Server,
    door: Door,
    serving: asyncio.Task[None],
    leaving: asyncio.Event,
) -> None:
    """Bring up all that answers behind the door, and keep it until somebody leaves or the server ends.

    Args:
        settings: of the bot.
        server: listens already.
        door: opened as soon as there are routes; until the bot is there they answer 503 and "starting".
        serving: the server at work.
        leaving: set: stop.

    Raises:
        ConfigError: the key that tokens are encrypted with cannot be used.
        StoreFailed: the database cannot be used.
    """
    view = api_core.Core(policy=channel_defaults(settings))
    access = Access(
        api_key=settings.api_key.get_secret_value() if settings.api_key else "",
        cors_origins=settings.cors_origins,
        base_url=settings.base_url_given or "",
        any_peer=settings.insecure_bind,
        per_minute=settings.api.requests_per_minute,
    )
    ring = KeyRing(lambda: view.ready().store)
    api = create_api(view, access, ring=ring)
    door.open(api)
    web = _web(settings, ring)
    platforms = await asyncio.to_thread(_platforms, settings)
    if leaving.is_set():
        return
    async with open_core(settings, adapters=[web], platforms=platforms, compute=OwnProcess()) as core:
        for adapter in core.adapters.values():
            mount(api, adapter.routes())
        await fill(view, settings, core, web)
        warming = asyncio.create_task(core.agents.warm_up(), name="warm-up")
        warming.add_done_callback(lambda _: settle())
        say(_greeting(settings, core, is_closed=await ring.is_closed()))
        left = asyncio.create_task(leaving.wait())
        await asyncio.wait([left, serving], return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        view.closing.set()
        server.should_exit = True
        web.close_streams()
        await serving
        warming.cancel()
        await asyncio.gather(warming, left, return_exceptions=True)


async def fill(view: api_core.Core, settings: Settings, core: Core, web: WebAdapter | None = None) -> None:
    """Give the routes all that they know of a bot that is up; from then on they answer.

    Args:
        view: what the routes look at.
        settings: of the bot.
        core: the bot.
        web: the page, whose sign-in counts for the API as well; None: there is none.
    """
    view.cookie_person = web.signed_in if web is not None else None
    view.components = lambda: _components(core)
    view.providers = tuple(settings.providers()) if settings.engine == "models" else ()
    view.thrifty = core.agents.thrifty
    view.own_keys = core.own_keys
    view.webhooks = core.webhooks
    view.measured_to = await core.store.log_end()
    view.service = core.service  # last: the routes wait for it


def say(text: str) -> None:
    """Tell who started the bot."""
    print(text, flush=True)  # noqa: T201 - what `quartet up` is to print


def _platforms(settings: Settings) -> Platforms:
    """The platforms that settings are there for. Runs in a thread: their libraries are large.

    Raises:
        ConfigError: the key that tokens are encrypted with cannot be used.
    """
    made: list[ChatAdapter] = []
    broken: dict[str, str] = {}
    for name, wanted, make in (
        ("slack", settings.slack_bot_token or settings.slack_client_id, _slack),
        ("discord", settings.discord_bot_token, _discord),
    ):
        if not wanted:
            continue
        try:
            made.append(make(settings))
        except ConfigError:
            raise
        except Exception as error:
            # A library that is missing or broken: the page and the others go on without.
            log.exception("a platform broke", action="platform_broke", platform=name)
            trouble = f"it cannot be loaded ({type(error).__name__}: {error}); `make install` mends libraries"
            say(f"{name.capitalize()} is not connected: {trouble}")
            broken[name] = trouble
    return Platforms(made, say, broken=broken)


def _slack(settings: Settings) -> ChatAdapter:
    from adapters.slack.adapter import slack_adapter

    return slack_adapter(
        settings.home,
        bot_token=_plain(settings.slack_bot_token),
        app_token=_plain(settings.slack_app_token),
        signing_secret=_plain(settings.slack_signing_secret),
        client_id=settings.slack_client_id or "",
        client_secret=_plain(settings.slack_client_secret),
        secret_keys=secret_keys(settings) if settings.slack_client_id else (),
        base_url=settings.base_url,
        api_url=settings.slack_api_url,
        progress=settings.slack.progress,
        allowed_bots=settings.slack.bots,
        bot_turns=settings.slack.bot_turns,
    )


def _discord(settings: Settings) -> ChatAdapter:
    from adapters.discord.adapter import discord_adapter

    return discord_adapter(
        settings.home,
        token=_plain(settings.discord_bot_token),
        guild_ids=settings.discord_guild_ids,
        api_url=settings.discord_api_url,
        allowed_bots=settings.discord.bots,
        bot_turns=settings.discord.bot_turns,
        shards=settings.discord.shards,
    )


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _web(settings: Settings, ring: KeyRing) -> WebAdapter:
    return WebAdapter(
        settings.home,
        base_url=settings.base_url_given or "",
        allowed_origins=settings.cors_origins,
        hosts=(settings.host,),
        sign_in=PageSignIn(_plain(settings.api_key), ring),
    )


def _components(core: Core) -> dict[str, api_core.Component]:
    parts: dict[str, api_core.Component] = {}
    for name in core.platforms.broken:
        status, detail = core.platforms.state(name)
        parts[name] = api_core.Component(status=status, detail=detail)
    for name, adapter in core.adapters.items():
        status, detail = core.platforms.state(name)
        if status == "healthy" and (adapter.trouble or adapter.lacking):
            status, detail = "degraded", adapter.trouble or adapter.lacking
        parts[name] = api_core.Component(status=status, detail=detail)
    detail = "no model is configured" if core.settings.engine == "rules" else ""
    parts["agents"] = api_core.Component(
        status="healthy", detail=f"engine: {core.settings.engine}" + (f" ({detail})" if detail else "")
    )
    return parts


def _greeting(settings: Settings, core: Core, *, is_closed: bool) -> str:
    lines = [f"Quartet listens on {settings.base_url}"]
    if settings.local_url != settings.base_url:
        lines.append(f"Its address on this machine, for a proxy to point to: {settings.local_url}")
    if settings.closed_outside and not is_closed:
        lines.append("API_KEY is not set: from outside only /slack/ and /health are answered.")
    lines += [f"{a.platform.capitalize()} is being connected …" for a in core.platforms.adapters()
              if not core.platforms.connected(a.platform)]  # fmt: skip
    if settings.engine == "rules":
        lines.append("No model is configured: the rules engine plays the four agents (see `quartet check`).")
    if sys.stdout.isatty():
        lines.append("Stop with Ctrl-C.")
    return "\n".join(lines)
